"""Every part of a set-up has exactly the purpose that the necessity table says.

This is about the host and not about the implementation under test: the proxy is tproxyd, or the wrong
proxy that a row names.
"""

import json

import pytest

from lab import schema, waiting
from lab.conformance import report
from lab.ctl import bystanders, check_score, checklist, connectivity, necessity
from lab.paths import ROOT
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

ROWS = necessity.load()
CASES = necessity.cases(ROWS)
ROUNDS = {"intermittent": 3}  # two proxies are involved, and may show it one after the other
PAGE = ROOT / "docs" / "NECESSITY.md"
WHOLE = {"family": None, "recipe": None, "sample_per": None}  # a run of everything
SCHEMA = json.loads((ROOT / "fixtures" / "schema" / "report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def implementation(case):
    return adapter(case.row.implementation)


@pytest.fixture
def lab(implementation, case):
    made = Lab(implementation, case.family, case.row.topology, case.firewall_tool, divert=False, recipe_name=case.recipe)
    yield made
    made.close()


@pytest.mark.necessity
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_table_is_right(lab, case, record_property):
    trial = necessity.Trial(lab, case)
    observed, also = trial.run()
    named = trial.check()
    necessity.keep(case, observed, also)
    made = check_score.of(case.row.finding, named)
    record_property(check_score.PROPERTY, made)
    assert observed == case.row.predicted, also
    assert case.row.answers in ("", also)
    assert set(named) == set(case.row.finding), named
    # What this host sends to its own proxy is not followed through all hooks.
    assert named or not trial.not_judged or case.row.topology == "local-client", trial.not_judged
    if named:
        before = bystanders.reached(trial)
        assert fixed(trial, named, case.row) == "works", "what check prints does not fix it"
        waiting.until(lambda: before <= bystanders.reached(trial), f"all of {before} work as before the fix")
        waiting.until(lambda: not trial.check(), "check finds nothing any more")
        made["fixed"] = True


def fixed(trial, named, row):
    """The symptom after the printed commands; if connections fail by chance, run check again, as it recommends."""
    for _ in range(ROUNDS.get(row.predicted, 1)):
        trial.fix(checklist.commands(named))
        observed = trial.observe()
        if observed == "works":
            break
        named = trial.check()
        assert set(named) <= set(row.finding), named
    return observed


@pytest.mark.parametrize("case", [each for each in CASES if each.row.change == "only the client's packets diverted"][:1], ids=lambda case: case.id)
def test_what_an_earlier_connection_still_sends_says_nothing_of_a_new_one(lab, case):
    trial = necessity.Trial(lab, case)
    assert trial.run()[0] == "times out"
    earlier = connectivity.forget(lab)
    assert connectivity.stuck(lab, set()) == 1
    assert connectivity.stuck(lab, earlier) == 0


def test_what_is_broken_has_a_finding_and_what_works_has_none():
    for row in ROWS:
        assert bool(row.finding) == (row.predicted != "works"), row.change


def test_no_change_is_there_twice():
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)


def test_the_page_is_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == necessity.render(ROWS), "tests/netns/necessity --docs >docs/NECESSITY.md"


def test_what_is_kept_is_what_reports_show(tmp_path, monkeypatch):
    monkeypatch.setattr(necessity, "OBSERVED", tmp_path / "necessity.json")
    assert necessity.kept() is None
    for case, observed in ((CASES[1], CASES[1].row.predicted), (CASES[0], "stalls")):
        necessity.keep(case, observed, "")
    made = necessity.kept()
    assert not schema.problems(made, SCHEMA["properties"]["necessity"], SCHEMA)
    assert [row["case"] for row in made["cases"]] == [CASES[0].id, CASES[1].id]
    text = report.markdown(report.build([], [], WHOLE, "repeat", 1.0, made))
    assert f"2 of {len(CASES)} cases tried, 1 as predicted" in text and "| stalls |" in text


def test_a_file_that_is_cut_off_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.setattr(necessity, "OBSERVED", tmp_path / "necessity.json")
    necessity.OBSERVED.write_text('{"format": 2, "cases": [', encoding="utf-8")
    assert necessity.kept() is None
    assert "Not tried" in report.markdown(report.build([], [], WHOLE, "repeat", 1.0))
