"""Adapters are honest: they say what they are in the form that is published, and refuse what they do not know."""

import copy
import json
import re
import subprocess
from pathlib import Path

import pytest

from lab import capabilities, requirements, schema
from lab.conductor import PLAIN
from lab.proxy import IMPLEMENTATIONS, UNSUPPORTED, Implementation
from lab.verdict import Unsupported

SCHEMAS = Path(__file__).resolve().parents[3] / "fixtures" / "schema"
TEMPLATE = Path(__file__).resolve().parents[3] / "contrib" / "adapter-template"
ADAPTERS = sorted(path for path in (*IMPLEMENTATIONS.iterdir(), TEMPLATE) if path.is_file() and not path.suffix)
each_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=[path.name for path in ADAPTERS])


def published(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def described(adapter):
    try:
        return Implementation(adapter).describe()
    except Unsupported as problem:
        pytest.skip(f"absent: {problem}")


def with_unknown_field(place):
    """A plain scenario with a field more than there can be, in one of its parts."""
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
    said = described(adapter)
    assert not schema.problems(said, published("describe"))
    assert not set(said["capabilities"]) - set(capabilities.NAMES)
    assert len(set(said["capabilities"])) == len(said["capabilities"])


@each_adapter
@pytest.mark.parametrize("place", ["scenario", "listener", "server", "source", "timeouts"])
def test_a_field_that_is_unknown_is_refused(adapter, place, tmp_path):
    described(adapter)
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(with_unknown_field(place)), encoding="utf-8")
    done = subprocess.run([adapter, "run", path, tmp_path], capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == UNSUPPORTED, done.stdout + done.stderr


@each_adapter
def test_without_a_known_verb_an_adapter_fails(adapter):
    done = subprocess.run([adapter, "sing"], capture_output=True, check=False, timeout=10)
    assert done.returncode not in (0, UNSUPPORTED)


@pytest.mark.parametrize("place", ["scenario", "listener", "server", "source", "timeouts"])
def test_the_published_form_of_a_scenario_knows_no_other_field(place):
    assert schema.problems(with_unknown_field(place), published("scenario"))


def test_the_scenarios_of_the_suite_have_the_published_form():
    assert not schema.problems(PLAIN, published("scenario"))


def test_every_capability_is_explained():
    guide = (SCHEMAS.parents[1] / "docs" / "ADAPTERS.md").read_text(encoding="utf-8")
    assert not [name for name in capabilities.NAMES if f"`{name}`" not in guide]


DEVIATIONS = sorted((SCHEMAS.parent / "deviations").glob("*.toml"))


@pytest.mark.parametrize("path", DEVIATIONS, ids=[path.name for path in DEVIATIONS])
def test_a_known_failure_is_explained_where_it_says(path):
    rows = requirements.tomllib.loads(path.read_text(encoding="utf-8"))["deviation"]
    known = {row.id for row in requirements.load()}
    assert not [row["requirement"] for row in rows if row["requirement"] not in known]
    for reference in {row["reference"] for row in rows}:
        page, _, anchor = reference.partition("#")
        lines = (SCHEMAS.parents[1] / page).read_text(encoding="utf-8").splitlines()
        assert anchor in [anchor_of(line) for line in lines if line.startswith("#")], reference


@pytest.mark.parametrize("path", DEVIATIONS, ids=[path.name for path in DEVIATIONS])
def test_a_known_failure_has_a_script_that_shows_it(path):
    """The section of the page that it refers to names it, and names a script that is there."""
    for row in requirements.tomllib.loads(path.read_text(encoding="utf-8"))["deviation"]:
        page, _, anchor = row["reference"].partition("#")
        page = SCHEMAS.parents[1] / page
        section = sections(page.read_text(encoding="utf-8"))[anchor]
        assert row["requirement"] in section, row
        scripts = re.findall(r"`(reproduce/[\w-]+\.sh)", section)
        assert scripts and all((page.parent / script).is_file() for script in scripts), row


def sections(text):
    """A page's sections by their anchors."""
    parts = re.split(r"^(#+ .*)\n", text, flags=re.M)
    return {anchor_of(heading): body for heading, body in zip(parts[1::2], parts[2::2])}


def anchor_of(heading):
    """As GitHub makes them."""
    words = heading.lstrip("#").strip().lower().replace(" ", "-")
    return "".join(letter for letter in words if letter.isalnum() or letter in "-_")
