"""tests/mutate/mutate on the Python base of the wrong proxies, with two tests of the suite as judges."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lab.paths import BUILD, ROOT

MUTATE = ROOT / "tests" / "mutate" / "mutate"
PROJECT = MUTATE.parent / "base.toml"
BASE = "tests/netns/implementations/falsifiers"
JUDGES = "tests/netns/test_leftovers.py"  # of its tests those with "refused_connections_leave" in their name

pytestmark = pytest.mark.suite


@pytest.fixture
def mutate():
    """Runs the tool on the project, with a build folder and a result of this test, and few judges."""
    with tempfile.TemporaryDirectory(prefix="mutate-", dir=BUILD) as made:  # each mutant has a /run of its own
        yield tool(Path(made))


def tool(folder):
    text = PROJECT.read_text(encoding="utf-8")
    for name, value in {"root": ROOT, "build": folder, "result": folder / "result.json"}.items():
        text = re.sub(rf"(?m)^{name} = .*$", f'{name} = "{value}"', text)
    text = re.sub(r"(?m)^test_sources = .*$", f'test_sources = ["{JUDGES}"]', text)
    text = re.sub(r'(?m)^command = "(.*)"$', r'command = "\1 -k refused_connections_leave"', text)
    (folder / "base.toml").write_text(text, encoding="utf-8")

    def run(*arguments):
        words = [sys.executable, str(MUTATE), "--project", str(folder / "base.toml"), *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.result = lambda: json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return run


def find(listing, place, change):
    """The id of the only mutant of a file and function with this change."""
    lines = [line for line in listing.splitlines() if f"/{place}:" in line and line.endswith(change)]
    assert len(lines) == 1, f"{place} {change}: {lines}"
    return lines[0].split()[0]


def test_a_mutant_is_judged_by_the_tests_that_run_its_line(mutate):
    listing = mutate("--list")
    leaks = find(listing, "session.py:close", "close(made, reset)  =>  pass")
    not_closed = find(listing, "session.py:close", "made.close()  =>  pass")
    no_log = find(listing, "session.py:close", "self.proxy.log_session(self)  =>  pass")
    datagrams = find(listing, "datagrams.py:forward", "self.active = time.monotonic()  =>  pass")
    chosen = [word for each in (leaks, not_closed, no_log, datagrams) for word in ("--only", each)]
    lines = {line.split()[2]: line for line in mutate(*chosen).splitlines() if re.match(r"\d+/4 ", line)}
    assert "killed" in lines[leaks] and "test_leftovers.py::test_" in lines[leaks]
    assert "killed" in lines[not_closed]
    assert "survived" in lines[no_log] and "1 tests pass" in lines[no_log]
    assert "survived" in lines[datagrams] and "no test runs it" in lines[datagrams]
    assert {each["id"] for each in mutate.result()["survivors"]} == {no_log, datagrams}
    assert "0 tests to record, 1 are recorded" in mutate("--only", datagrams)


def test_what_makes_the_base_an_adapter_has_no_mutants(mutate):
    assert ":adapter:" not in mutate("--list", "--file", f"{BASE}/base.py")
