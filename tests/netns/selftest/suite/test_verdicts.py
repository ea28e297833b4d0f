"""How outcomes of tests become verdicts, cells and an exit status."""

import errno

import pytest

from lab import toml
from lab.conformance import capabilities, deviations, evidence, matrix, requirements, verdict, wording
from lab.exceptions import Absent, GuardFailed, Unsupported
from lab.peers import http
from lab.peers.proxy import Implementation, ProxyEnded

pytestmark = pytest.mark.suite

ROW = requirements.Requirement("TP-SRC-01", "MUST", "source", "Text.", "source")
SELECTION = {"family": None, "recipe": None, "sample_per": None, "expect_env": False, "known_ok": False}


def outcome(word=verdict.FAIL, message="it went wrong", unclaimed=(), lacking=(), proxies=1):
    event = {"test": f"t[{word}]", "verdict": word, "message": message, "details": "", "parameters": {}, "seconds": 0}
    event |= {"unclaimed": list(unclaimed), "lacking": list(lacking), "proxies": proxies}
    return matrix.row({**event, "evidence": ""}, "repeat")


def reasons(rows, recorded=(), level="MUST", **selection):
    made = matrix.cell(ROW, rows, list(recorded), "command")
    column = {"name": "one", "problems": [], "cells": [made]}
    needed = {"requirements": [{"id": ROW.id, "level": level}], "selection": {**SELECTION, **selection}}
    return matrix.reasons({**needed, "implementations": [column]})


def report_on(*cells, level="MUST", recorded=(), columns=1):
    """A report on implementations that all have these cells; each cell is the outcomes of its tests."""
    rows = [requirements.Requirement(f"TP-SRC-{number:02}", level, "source", "Text.", "source") for number in range(len(cells))]
    made = [matrix.cell(row, outcomes, list(recorded), "command") for row, outcomes in zip(rows, cells)]
    return {
        "requirements": [{"id": row.id, "level": level} for row in rows],
        "selection": SELECTION,
        "implementations": [{"name": f"proxy{number}", "problems": [], "cells": made} for number in range(columns)],
    }


HTTP_ALONE = str(http.unsupported("half-close"))
PASSED, FAILED = [outcome(verdict.PASS)], [outcome(verdict.FAIL)]
HOST_ALONE = [outcome(verdict.PASS, proxies=0)]


def unasked(*lacking):
    return [outcome(verdict.UNSUPPORTED, lacking=lacking, proxies=0)]


@pytest.mark.parametrize(
    "cells, sentence",
    [
        ([PASSED, PASSED], "Every MUST passed"),
        ([PASSED, HOST_ALONE], "Every MUST passed"),
        ([PASSED, FAILED], "1 of 2 MUSTs passed; 1 failed"),
        (
            [PASSED, unasked("bind"), unasked("udp", "bind"), unasked("udp"), unasked("udp")],
            "1 of 5 MUSTs passed; 4 were not asked, for want of one claim (udp 2, bind 1) or of several (1)",
        ),
        (
            [PASSED, unasked("a", "b", "c", "d", "e", "f", "g")],
            "1 of 2 MUSTs passed; 1 was not asked, for want of several claims each",
        ),
        (
            [PASSED, *(unasked(name) for name in "abcdefgg"), unasked()],
            "1 of 10 MUSTs passed; 9 were not asked, for want of one claim (g 2, a 1, b 1, c 1, d 1, 2 other claims 2) "
            "or for a reason that the row names (1)",
        ),
        ([PASSED, unasked()], "1 of 2 MUSTs passed; 1 was not asked, for a reason that the row names (1)"),
        (
            [PASSED, HOST_ALONE, unasked("bind")],
            "1 of 2 MUSTs passed; 1 was not asked, for want of one claim (bind 1); "
            "1 more is about the host alone, and not counted",
        ),
        ([PASSED, [outcome(verdict.PASS), *unasked("ipv6")]], "1 of 2 MUSTs passed; 1 was asked only in part, "
         "for want of one claim (ipv6 1)"),
        ([PASSED, [outcome(verdict.ABSENT)]], "1 of 2 MUSTs passed; 1 could not be tried here (ABSENT)"),
        ([PASSED, []], "1 of 2 MUSTs passed; 1 was not run"),
        ([PASSED, [outcome(verdict.ERROR)]], "1 of 2 MUSTs passed; 1 has no verdict (BLOCKED or ERROR)"),
        ([HOST_ALONE], "No MUST was tested: 1 is about the host alone"),
    ],
)
def test_the_last_line_says_what_was_not_asked(cells, sentence):
    assert matrix.summary(report_on(*cells)) == [sentence]


def test_a_cell_that_passed_where_it_was_asked_has_a_sign_of_its_own():
    made = report_on(PASSED, [outcome(verdict.PASS), *unasked("ipv6")], unasked("ipv6"))["implementations"][0]["cells"]
    assert matrix.tally(made) == [(verdict.PASS, "✓", 1), (verdict.UNSUPPORTED, matrix.PARTLY, 1), (verdict.UNSUPPORTED, "–", 1)]
    assert set(matrix.LEGEND) == {matrix.PARTLY, *verdict.SYMBOLS.values()}


def test_a_cause_that_many_rows_share_is_named_once():
    same = [{**outcome(), "message": f"client {n} was reset [{wording.UNTRIED}; its log ends with: bind {n}: failed]"} for n in range(6)]
    made = report_on(*([each] for each in same), [outcome()])
    assert list(matrix.causes(made)) == [f"proxy0: 6 rows: {wording.UNTRIED}; its log ends with: bind 0: failed"]
    assert not list(matrix.causes(report_on(*([each] for each in same[: matrix.SHARED - 1]))))


def test_several_implementations_have_a_line_each():
    assert matrix.summary(report_on(PASSED, columns=2)) == ["proxy0: Every MUST passed", "proxy1: Every MUST passed"]


def test_a_run_without_a_must_says_so():
    assert matrix.summary(report_on(PASSED, level="SHOULD")) == ["No MUST was chosen"]
    assert not matrix.reasons(report_on(unasked("bind"), level="SHOULD"))


def test_rows_that_failed_because_a_wait_ended_can_be_asked_again_with_more_patience():
    waits, other = outcome(message="waited 8 s, and this did not happen: it ends"), outcome(message="8 s is what it waited")
    made = report_on([waits], [other], PASSED, [outcome(message="198.51.100.1:80 waited 8 s for a byte")])
    assert list(matrix.ended_waits(made)) == [
        "proxy0: 2 rows failed because a wait ended, as it can on a busy machine. Ask them again: --patience 60 --only TP-SRC-00 TP-SRC-03"
    ]
    patient = outcome(message="waited 60 s, and this did not happen: it ends")
    assert not list(matrix.ended_waits(report_on(PASSED, [other], [patient])))


@pytest.mark.parametrize(
    "cells, nothing",
    [
        ([unasked("bind")], True),
        ([unasked("bind"), HOST_ALONE], True),
        ([HOST_ALONE], True),
        ([[outcome(verdict.ABSENT)]], True),
        ([unasked("bind"), PASSED], False),
        ([unasked("bind"), FAILED], False),
    ],
)
def test_a_run_that_tested_nothing_does_not_succeed(cells, nothing):
    found = [each for each in matrix.reasons(report_on(*cells)) if "nothing was tested" in each]
    assert bool(found) == nothing


def test_a_known_failure_is_no_pass():
    known = report_on(PASSED, [outcome()], recorded=[deviations.Deviation("TP-SRC-01", "wrong", "a page")])
    assert matrix.summary(known) == ["Every MUST passed, except 1 known failure"]


@pytest.mark.parametrize(
    "problem, phase, word",
    [
        (AssertionError("no"), "call", verdict.FAIL),
        (TimeoutError("no"), "call", verdict.FAIL),
        (ProxyEnded("no"), "call", verdict.FAIL),
        (ConnectionResetError(), "call", verdict.FAIL),
        (TimeoutError(), "call", verdict.FAIL),
        (OSError(errno.EHOSTUNREACH, "no"), "call", verdict.FAIL),
        (OSError(errno.ENOENT, "no"), "call", verdict.ERROR),
        (KeyError("no"), "call", verdict.ERROR),
        (GuardFailed("no"), "setup", verdict.BLOCKED),
        (TimeoutError("no"), "setup", verdict.BLOCKED),
        (TimeoutError(), "setup", verdict.BLOCKED),
        (KeyError("no"), "setup", verdict.ERROR),
        (AssertionError("no"), "teardown", verdict.ERROR),
        (Absent("no"), "setup", verdict.ABSENT),
        (Unsupported("no"), "call", verdict.UNSUPPORTED),
    ],
)
def test_an_exception_gets_the_verdict_of_its_cause(problem, phase, word):
    assert verdict.of_exception(problem, phase) == word


@pytest.mark.parametrize(
    "reason, word",
    [("unsupported: x", "UNSUPPORTED"), ("absent: x", "ABSENT"), ("blocked: x", "BLOCKED"), ("later", "ERROR")],
)
def test_a_skip_has_to_say_why(reason, word):
    assert verdict.of_skip(reason) == word


def test_the_worst_verdict_counts():
    assert verdict.worst([]) == verdict.NOT_RUN
    assert verdict.worst([verdict.PASS, verdict.PASS]) == verdict.PASS
    assert verdict.worst([verdict.PASS, verdict.UNSUPPORTED]) == verdict.UNSUPPORTED
    assert verdict.worst([verdict.ERROR, verdict.FAIL, verdict.PASS]) == verdict.FAIL


def test_unsupported_has_to_be_confirmed():
    assert verdict.confirmed(["bind"], ["bind", "source"])[0] == verdict.UNSUPPORTED
    assert verdict.confirmed(["bind"], ["bind", "udp", "source"])[2] == ["source", "udp"]
    word, why, lacking = verdict.confirmed(["bind", "source"], ["bind", "source"])
    assert word == verdict.FAIL and "bind, source" in why and not lacking


def test_what_a_scenario_needs():
    listener = {"address": "2001:db8:f::80", "port": 80, "transparent": True}
    scenario = {"listeners": [listener], "servers": [], "source": {"mode": "client"}, "relay": "splice"}
    assert capabilities.needed(scenario) == ["bind", "ipv6", "source-port", "relay-splice"]
    assert capabilities.needed({"listeners": [{"address": "192.0.2.1", "port": 80}]}) == ["source-none"]


@pytest.mark.parametrize(
    "messages, shown",
    [
        (("not claimed: relay-splice", "a transparent listener (not claimed: bind)"), "a transparent listener (not claimed: bind)"),
        (("a transparent listener (not claimed: bind)", HTTP_ALONE), HTTP_ALONE),
        (("not claimed: bind", "not claimed: udp"), "not claimed: bind"),
    ],
)
def test_a_cell_that_was_not_asked_shows_its_most_specific_reason(messages, shown):
    rows = [outcome(verdict.PASS, ""), *(outcome(verdict.UNSUPPORTED, message) for message in messages)]
    assert matrix.cell(ROW, rows, [], "command")["message"] == shown


def test_where_the_dialect_is_the_reason_the_refusal_names_it(tmp_path):
    adapter = tmp_path / "adapter"
    described = '{"name": "one", "version": "1", "capabilities": ["source-none"], "dialect": {"client": "http", "server": "http"}}'
    adapter.write_text(f"#!/bin/sh\necho '{described}'\n", encoding="ascii")
    adapter.chmod(0o755)
    with pytest.raises(Unsupported, match="relays only HTTP") as refused:
        Implementation(str(adapter)).must_claim(["bind", "stream"])
    assert refused.value.needs == ("bind", "stream")


def test_all_tests_of_a_requirement_are_kept_and_what_is_unclaimed_is_reported():
    rows = [outcome(verdict.PASS, "", ["udp"]), outcome(verdict.FAIL, "lost")]
    made = matrix.cell(ROW, rows, [], "command")
    assert (made["verdict"], made["message"], made["passed"], len(made["tests"])) == ("FAIL", "lost", 1, 2)
    assert made["remarks"] == ["served without a claim: udp"] and not made["deviates"]


@pytest.mark.parametrize(
    "word, passes",
    [("PASS", True), ("UNSUPPORTED", True), ("ABSENT", True), ("BLOCKED", False), ("ERROR", False), ("FAIL", False)],
)
def test_which_verdicts_of_a_must_pass_a_run(word, passes):
    assert (not matrix.reasons(report_on(PASSED, [outcome(word)]))) == passes
    assert not reasons([outcome(word)], level="SHOULD")


def test_what_is_absent_fails_where_everything_is_expected():
    assert reasons([outcome(verdict.ABSENT)], expect_env=True)


def test_what_was_not_run_is_no_pass_unless_it_was_not_asked_for():
    assert "NOT RUN" in matrix.reasons(report_on(PASSED, []))[0]
    assert not matrix.reasons({**report_on(PASSED, []), "selection": {**SELECTION, "family": 6}})


KNOWN = deviations.Deviation("TP-SRC-01", "went (very )?wrong", "https://example.org/1")


def test_a_known_failure_stays_a_failure_and_is_marked_as_known():
    made = matrix.cell(ROW, [outcome()], [KNOWN], "command")
    assert matrix.shown(made) == "FAIL (known)" and made["known"] == KNOWN.reference
    assert reasons([outcome()], [KNOWN]) == ["one: TP-SRC-01: FAIL (known)"]
    assert not reasons([outcome()], [KNOWN], known_ok=True)


def test_another_failure_than_the_recorded_one_is_reported():
    assert "in another way than recorded" in reasons([outcome(message="new")], [KNOWN], known_ok=True)[0]
    assert reasons([outcome(), outcome(message="new")], [KNOWN], known_ok=True)


def test_a_deviation_that_passes_is_reported():
    assert "passes, although" in reasons([outcome(verdict.PASS)], [KNOWN], level="MAY")[0]


def test_deviations_are_read_for_the_version_that_runs(tmp_path):
    row = '[[deviation]]\nrequirement = "TP-SRC-01"\npattern = "x"\nreference = "r"\nversions = ["2.6.*"]\n'
    (tmp_path / "proxy.toml").write_text(row, encoding="utf-8")
    assert len(deviations.load("proxy", "2.6.12", tmp_path)) == 1
    assert not deviations.load("proxy", "2.8.1", tmp_path)
    assert not deviations.load("another", "2.6.12", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[[deviation]",
        '[[deviation]]\nrequirement = "TP-SRC-01"\npattern = "x"\n',
        '[[deviation]]\nrequirement = "TP-SRC-01"\npattern = "("\nreference = "r"\n',
        '[[deviation]]\nrequirement = "TP-SRC-01"\npattern = "x"\nreference = "r"\nreason = "more"\n',
    ],
)
def test_a_malformed_deviation_is_refused(text, tmp_path):
    (tmp_path / "proxy.toml").write_text(text, encoding="utf-8")
    with pytest.raises(deviations.Malformed, match="proxy.toml"):
        deviations.load("proxy", "1", tmp_path)


def test_recorded_deviations_name_requirements_that_there_are():
    known = {row.id for row in requirements.load()}
    for path in deviations.FOLDER.glob("*.toml"):
        rows = toml.read(path)["deviation"]
        assert {row["requirement"] for row in rows} <= known, path.name


def test_the_evidence_of_a_test_with_a_long_name_has_a_folder_of_its_own():
    one, other = (evidence.folder_of(f"test_x.py::test_y[{'z' * 300}{number}]") for number in (1, 2))
    assert one != other and max(len(one.name), len(other.name)) <= 255


def test_a_refused_scenario_is_told_by_its_fields():
    scenario = {
        "listeners": [{"address": "192.0.2.1", "port": 1, "transparent": True}, {"address": "192.0.2.1", "port": 2, "v6": "v6only"}],
        "servers": [{"address": "203.0.113.1", "port": 3}],
        **{"destination": "servers", "source": {"mode": "none"}, "protocol": "tcp", "timeouts": {"client": 3}, "threads": 1},
    }
    assert capabilities.unusual(scenario) == ["listener.transparent", "listener.v6", "threads", "timeouts.client"]
