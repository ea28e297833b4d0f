"""Adapters keep their contract: they describe themselves in the published format, and refuse unknown fields."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from lab import schema, toml, waiting
from lab.conformance import capabilities, requirements
from lab.conformance.suite_runner import PLAIN
from lab.conformance.verdict import ABSENT
from lab.exceptions import Absent
from lab.paths import FIXTURES, IMPLEMENTATIONS, ROOT, SUITE
from lab.peers.description import AdapterFailed
from lab.peers.proxy import UNAVAILABLE, UNSUPPORTED, Implementation

pytestmark = pytest.mark.suite

SCHEMAS = FIXTURES / "schema"
TEMPLATE = ROOT / "contrib" / "adapter-template"
ADAPTERS = sorted(path for path in (*IMPLEMENTATIONS.iterdir(), TEMPLATE) if path.is_file() and not path.suffix)
each_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=[path.name for path in ADAPTERS])


def published(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


# The program that each adapter needs, and its package.
TOOLS = {
    "adapter-template": {"jq": "jq", "socat": "socat"},
    "pen": {"jq": "jq", "pen": "pen"},
    "redir": {"jq": "jq", "redir": "redir"},
    "shadowsocks-libev": {"ss-redir": "shadowsocks-libev"},
    "stunnel4": {"stunnel4": "stunnel4"},
    "trafficserver": {"traffic_server": "trafficserver"},
    "varnish": {"varnishd": "varnish"},
    **{name: {name: name} for name in ("go-mmproxy", "haproxy", "hitch", "nginx", "socat", "sniproxy", "squid", "sslh", "v2ray")},
}
MISSING = [(adapter, tool) for adapter in ADAPTERS for tool in TOOLS.get(adapter.name, ())]


def with_unknown_field(place):
    """A plain scenario with an unknown field in one of its parts."""
    scenario = copy.deepcopy(PLAIN)
    parts = {
        "scenario": scenario,
        "listener": scenario["listeners"][0],
        "server": scenario["servers"][0],
        "source": scenario["source"],
        "timeouts": scenario.setdefault("timeouts", {}),
    }
    parts[place]["colour"] = 1
    return scenario


@each_adapter
def test_what_an_adapter_says_of_itself_has_the_published_form(adapter):
    said = Implementation(adapter).describe()
    assert not schema.problems(said, published("describe"))
    assert not set(said["capabilities"]) - set(capabilities.NAMES)
    assert len(set(said["capabilities"])) == len(said["capabilities"])


@each_adapter
@pytest.mark.parametrize("place", ["scenario", "listener", "server", "source", "timeouts"])
def test_a_field_that_is_unknown_is_refused(adapter, place, tmp_path):
    Implementation(adapter).describe()
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(with_unknown_field(place)), encoding="utf-8")
    done = subprocess.run([adapter, "run", path, tmp_path], capture_output=True, text=True, check=False, timeout=waiting.seconds)
    assert done.returncode == UNSUPPORTED, done.stdout + done.stderr


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Hides a program, as if it were not installed. Other programs that an adapter needs exist, at least by name."""

    def hide(adapter, tool):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("cat", "dpkg-query", "sed"):
            if found := shutil.which(name):
                (folder / name).symlink_to(found)
        for name in TOOLS[adapter.name].keys() - {tool}:
            (folder / name).write_text("#!/bin/sh\n", encoding="ascii")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        for name in TOOLS[adapter.name]:
            monkeypatch.delenv(name.upper().replace("-", "_"), raising=False)

    return hide


@pytest.mark.parametrize("adapter, tool", MISSING, ids=[f"{adapter.name}-{tool}" for adapter, tool in MISSING])
def test_an_adapter_whose_program_is_missing_says_so_and_what_to_install(adapter, tool, without, tmp_path):
    without(adapter, tool)
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(PLAIN), encoding="utf-8")
    for words in (["describe"], ["run", path, tmp_path]):
        done = subprocess.run([adapter, *words], capture_output=True, text=True, check=False, timeout=waiting.seconds)
        assert (done.returncode, done.stdout) == (UNAVAILABLE, ""), done.stderr
        assert done.stderr == f"{tool} is not installed. On Debian and Ubuntu: apt-get install {TOOLS[adapter.name][tool]}\n"
    with pytest.raises(Absent, match=f"apt-get install {TOOLS[adapter.name][tool]}"):
        Implementation(adapter).describe()


def test_every_adapter_has_its_program_hidden_once():
    assert {adapter.name for adapter in ADAPTERS} - {"tproxyd"} <= set(TOOLS)


def test_a_tproxyd_that_is_not_built_is_missing_too(monkeypatch):
    monkeypatch.setenv("TPROXYD", "/nonexistent/tproxyd")
    with pytest.raises(Absent, match="/nonexistent/tproxyd is not installed. `make` builds it."):
        Implementation("tproxyd").describe()


def test_an_nginx_without_its_stream_module_is_not_enough(tmp_path, monkeypatch):
    stand_in = tmp_path / "nginx"
    stand_in.write_text("#!/bin/sh\necho nginx/1.22.1 --modules-path=/nonexistent --with-stream=dynamic\n", encoding="ascii")
    stand_in.chmod(0o755)
    monkeypatch.setenv("NGINX", str(stand_in))
    with pytest.raises(Absent, match="apt-get install libnginx-mod-stream"):
        Implementation("nginx").describe()


@pytest.mark.parametrize(
    "text, message",
    [("exit 127", "ended with status 127: no reason was given"), ("echo oops >&2; exit 1", "ended with status 1: oops")],
)
def test_an_adapter_that_fails_otherwise_is_broken_and_not_missing(tmp_path, text, message):
    adapter = tmp_path / "adapter"
    adapter.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    adapter.chmod(0o755)
    with pytest.raises(AdapterFailed, match=message):
        Implementation(adapter).describe()


def test_a_run_whose_program_is_missing_says_absent(tmp_path):
    adapter, events = tmp_path / "adapter", tmp_path / "events"
    adapter.write_text("#!/bin/sh\necho 'no such program. Install it.' >&2\nexit 69\n", encoding="ascii")
    adapter.chmod(0o755)
    command = [sys.executable, "-m", "pytest", "-q", "-c", SUITE / "pytest.ini", "--rootdir", ROOT]
    command += ["-p", "no:xdist", "--impl", adapter, "--requirements", "TP-SRC-01,TP-SRC-10", "--no-evidence"]
    command += ["--events", events, SUITE / "test_source.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [row for row in map(json.loads, events.read_text(encoding="utf-8").splitlines()) if row["event"] == "ended"]
    assert {row["requirement"] for row in rows} == {"TP-SRC-01", "TP-SRC-10"}, done.stdout
    assert {(row["verdict"], row["message"]) for row in rows} == {(ABSENT, "no such program. Install it.")}
    assert done.returncode == 0 and f"{len(rows)} skipped" in done.stdout


@each_adapter
def test_without_a_known_verb_an_adapter_fails(adapter):
    done = subprocess.run([adapter, "sing"], capture_output=True, check=False, timeout=waiting.seconds)
    assert done.returncode not in (0, UNSUPPORTED)


@pytest.mark.parametrize("place", ["scenario", "listener", "server", "source", "timeouts"])
def test_the_published_form_of_a_scenario_knows_no_other_field(place):
    assert schema.problems(with_unknown_field(place), published("scenario"))


def test_the_scenarios_of_the_suite_have_the_published_form():
    assert not schema.problems(PLAIN, published("scenario"))


def test_every_capability_is_explained():
    guide = (ROOT / "docs" / "ADAPTERS.md").read_text(encoding="utf-8")
    assert not [name for name in capabilities.NAMES if f"`{name}`" not in guide]


DEVIATIONS = sorted((SCHEMAS.parent / "deviations").glob("*.toml"))


@pytest.mark.parametrize("path", DEVIATIONS, ids=[path.name for path in DEVIATIONS])
def test_a_known_failure_is_explained_where_it_says(path):
    rows = toml.read(path)["deviation"]
    known = {row.id for row in requirements.load()}
    assert not [row["requirement"] for row in rows if row["requirement"] not in known]
    for reference in {row["reference"] for row in rows}:
        page, _, anchor = reference.partition("#")
        lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
        assert anchor in [anchor_of(line) for line in lines if line.startswith("#")], reference


@pytest.mark.parametrize("path", DEVIATIONS, ids=[path.name for path in DEVIATIONS])
def test_a_known_failure_has_a_script_that_shows_it(path):
    """The section that it refers to names it, and names a script that exists."""
    for row in toml.read(path)["deviation"]:
        page, _, anchor = row["reference"].partition("#")
        page = ROOT / page
        section = sections(page.read_text(encoding="utf-8"))[anchor]
        assert row["requirement"] in section, row
        scripts = re.findall(r"`(reproduce/[\w-]+\.sh)", section)
        assert scripts and all(os.access(page.parent / script, os.X_OK) for script in scripts), row


def sections(text):
    """A page's sections by their anchors."""
    parts = re.split(r"^(#+ .*)\n", text, flags=re.M)
    return {anchor_of(heading): body for heading, body in zip(parts[1::2], parts[2::2])}


def anchor_of(heading):
    """As GitHub makes them."""
    words = heading.lstrip("#").strip().lower().replace(" ", "-")
    return "".join(letter for letter in words if letter.isalnum() or letter in "-_")
