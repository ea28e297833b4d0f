"""What is made of earlier runs: the badge, and the comparison of two reports. Nothing here runs a proxy."""

import copy
import hashlib
import json
import os
import re
import subprocess
import xml.etree.ElementTree as xml
from dataclasses import replace

import pytest

from lab import commands, schema
from lab.conformance import badge, report, requirements, saved, verdict
from lab.paths import ROOT, SUITE

pytestmark = pytest.mark.suite

ROWS = [row for row in requirements.load() if not row.withdrawn]
MUSTS = [row for row in ROWS if row.level == "MUST"]
SELECTION = {"profiles": [], "only": [], "recipe": None, "rules_by": "iptables", "family": None, "sample_per": None}
SELECTION |= {"expect_env": False, "known_ok": False, "seed": 1}


def cell(row, words, proxies=1):
    """A cell whose tests have these verdicts."""
    tests = [
        {"test": f"tests/netns/test_x.py::test_{row.id}[{number}]", "verdict": word, "message": f"{word} of {number}"}
        | {"details": "", "parameters": {"family": 4}, "seconds": 0.1, "evidence": "", "unclaimed": [], "lacking": []}
        | {"proxies": proxies, "command": "run it"}
        for number, word in enumerate(words)
    ]
    word = verdict.worst(words)
    made = {"requirement": row.id, "verdict": word, "passed": words.count("PASS"), "message": "" if word == "PASS" else f"it is {word}"}
    return made | {"known": "", "deviates": False, "remarks": [], "command": f"repeat {row.id}", "tests": tests}


def column(chosen, words, name, **others):
    made = {"name": name, "adapter": name, "version": "1.0", "capabilities": ["bind"], "notes": "", "problems": [], "seconds": 1.0}
    return made | {"command": "repeat", "cells": [cell(row, words.get(row.id, ["PASS"])) for row in chosen]} | others


def result(words=None, names=("one",), chosen=ROWS, selection=None, **others):
    """A report in which every test passes but for those of `words`: {id: verdicts}."""
    columns = [column(chosen, words or {}, name, **others) for name in names]
    return report.build(columns, chosen, {**SELECTION, **(selection or {})}, "repeat all", 1.0)


COMMAND = commands.load(SUITE / "conformance")


@pytest.fixture
def conformance(capsys):
    """The command in this process, which is much faster; the result is like that of a process."""

    def run(*words):
        try:
            status = COMMAND.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, out, err)

    return run


def as_process(*words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run([SUITE / "conformance", *words], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def kept(folder, name, made):
    path = folder / name
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


@pytest.fixture
def compare(conformance, tmp_path):
    return lambda old, new, *words: conformance(
        "--diff", kept(tmp_path, "old.json", old), kept(tmp_path, "new.json", new), *words
    )


# The format


def test_a_report_is_as_its_schema_says_and_names_its_catalogue():
    made = result({"TP-SRC-01": ["FAIL", "PASS"]})
    assert not schema.problems(made, json.loads(saved.SCHEMA.read_text(encoding="utf-8")))
    assert made["catalogue"]["version"] and len(made["catalogue"]["requirements"]) == len(ROWS)
    assert made["catalogue"]["sha256"] in report.markdown(made)


def test_others_can_compute_the_hash_as_the_schema_says():
    """From a report of a whole run alone: an array without spaces, sorted, in UTF-8."""
    made = result()
    rows = sorted([row["id"], row["level"], row["profile"], row["text"]] for row in made["requirements"])
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    assert made["catalogue"]["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["id", "level", "profile", "text"])
def test_the_hash_differs_where_a_requirement_does(name):
    changed = [replace(ROWS[0], **{name: "other"}), *ROWS[1:]]
    assert requirements.digest(changed) != requirements.digest(ROWS)


def test_the_hash_is_the_same_where_rows_change_places_or_get_a_falsifier():
    moved = [*ROWS[5:], replace(ROWS[0], falsified_by=("another",)), *ROWS[1:5]]
    assert requirements.digest(moved) == requirements.digest(ROWS)


# The badge


def badge_of(made):
    found = badge.score(made, made["implementations"][0])
    return str(found), found.kind


def test_a_badge_is_green_only_where_every_must_passed():
    assert badge_of(result()) == (f"{len(MUSTS)} of {len(MUSTS)} MUSTs", "pass")


@pytest.mark.parametrize(
    "words, text, kind",
    [
        (["FAIL", "PASS"], "1 failed", "fail"),
        (["ERROR"], "1 without a verdict", "unclear"),
        (["BLOCKED"], "1 without a verdict", "unclear"),
        (["UNSUPPORTED"], "1 not asked", "partly"),
        (["UNSUPPORTED", "PASS"], "1 not asked", "partly"),
        (["ABSENT"], "1 not asked", "partly"),
        ([], "1 not asked", "partly"),
    ],
)
def test_what_did_not_pass_is_on_the_badge(words, text, kind):
    assert badge_of(result({MUSTS[3].id: words})) == (f"{len(MUSTS) - 1} of {len(MUSTS)} MUSTs, {text}", kind)


def test_what_was_not_chosen_counts_as_not_asked():
    made = result(chosen=MUSTS[:1], selection={"only": [MUSTS[0].id]})
    assert badge_of(made) == (f"1 of {len(MUSTS)} MUSTs, {len(MUSTS) - 1} not asked", "partly")


def test_a_profile_is_counted_by_itself_and_named():
    chosen = [row for row in ROWS if row.profile in ("binding", "source", "full")]
    number = sum(row.level == "MUST" for row in chosen)
    made = result(chosen=chosen, selection={"profiles": ["full"]})
    assert badge_of(made) == (f"{number} of {number} MUSTs", "pass")
    assert ">transparent proxy: full<" in badge.svg(made, made["implementations"][0])
    less = result(chosen=chosen[:2], selection={"profiles": ["full"], "only": [row.id for row in chosen[:2]]})
    assert badge_of(less)[1] == "partly"


@pytest.mark.parametrize(
    "selection, text", [({"family": 4}, "IPv4 only"), ({"recipe": "divert"}, "recipe divert only"), ({"sample_per": "family"}, "a sample")]
)
def test_a_run_of_a_part_of_the_variants_is_not_green_and_says_so(selection, text):
    assert badge_of(result(selection=selection)) == (f"{len(MUSTS)} of {len(MUSTS)} MUSTs, {text}", "partly")


def test_an_adapter_with_problems_has_no_green_badge():
    assert badge_of(result(problems=["interrupted"])) == (f"{len(MUSTS)} of {len(MUSTS)} MUSTs, the run has problems", "partly")


def test_a_row_without_a_proxy_is_not_counted():
    made = result()
    made["implementations"][0]["cells"][ROWS.index(MUSTS[0])] = cell(MUSTS[0], ["PASS"], proxies=0)
    assert badge_of(made) == (f"{len(MUSTS) - 1} of {len(MUSTS) - 1} MUSTs", "pass")


def test_the_badge_is_a_picture_that_says_in_words_what_it_shows(conformance, tmp_path):
    made, path = kept(tmp_path, "report.json", result({MUSTS[0].id: ["FAIL"]}, names=("a<b",))), tmp_path / "badge.svg"
    done = conformance("--from", made, "--badge", path)
    assert (done.returncode, done.stderr) == (0, "") and f"{len(MUSTS) - 1} of {len(MUSTS)} MUSTs, 1 failed" in done.stdout
    picture = xml.parse(path).getroot()
    assert picture.get("aria-label").startswith("a<b 1.0, transparent proxy: ") and "catalogue " in picture.get("aria-label")
    assert badge.COLOURS["fail"] in path.read_text(encoding="utf-8") and badge.COLOURS["pass"] not in path.read_text(encoding="utf-8")


def test_a_badge_of_several_implementations_has_to_be_chosen(conformance, tmp_path):
    made, path = kept(tmp_path, "report.json", result(names=("one", "two"))), tmp_path / "badge.svg"
    done = conformance("--from", tmp_path, "--badge", path)
    assert done.returncode == 2 and "--impl NAME; this report has: one, two" in done.stderr and not path.exists()
    assert conformance("--from", made, "--badge", path, "--impl", "three").returncode == 2
    assert conformance("--from", made, "--badge", path, "--impl", "two").returncode == 0
    assert 'aria-label="two 1.0' in path.read_text(encoding="utf-8")


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts))


@pytest.mark.parametrize("colour", [badge.LABEL, *badge.COLOURS.values()])
def test_white_text_can_be_read_on_every_colour(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


# The comparison


def test_the_same_result_twice_is_no_regression(compare):
    done = compare(result({"TP-SRC-01": ["FAIL"]}), result({"TP-SRC-01": ["FAIL"]}))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"No regression; {len(ROWS)} as before"


@pytest.mark.parametrize("word", [word for word in verdict.VERDICTS if word != "PASS"])
def test_a_pass_that_is_lost_is_a_regression(compare, word):
    done = compare(result(), result({"TP-SRC-01": [word]}))
    assert done.returncode == 1 and f"TP-SRC-01     MUST   PASS → {word}\n" in done.stdout
    assert f"it is {word}" in done.stdout and "repeat with: repeat TP-SRC-01" in done.stdout
    assert done.stdout.splitlines()[-1] == f"1 regression; {len(ROWS) - 1} as before"


def test_a_regression_within_a_requirement_that_fails_already_is_seen(compare):
    done = compare(result({"TP-SRC-01": ["FAIL", "PASS"]}), result({"TP-SRC-01": ["FAIL", "FAIL"]}))
    assert done.returncode == 1 and "PASS → FAIL  test_x.py::test_TP-SRC-01[1]" in done.stdout


def test_a_failure_by_a_new_test_is_marked(compare):
    done = compare(result(), result({"TP-SRC-01": ["PASS", "FAIL"]}))
    assert done.returncode == 1 and "by tests that the old run did not have" in done.stdout


@pytest.mark.parametrize(
    "before, now, status, head",
    [
        ("FAIL", "PASS", 0, "Passes now: 1"),
        ("UNSUPPORTED", "PASS", 0, "Passes now: 1"),
        ("FAIL", "UNSUPPORTED", 0, "Other changes: 1"),
        ("FAIL", "ERROR", 0, "Other changes: 1"),
        ("ABSENT", "UNSUPPORTED", 0, "Other changes: 1"),
        ("NOT RUN", "FAIL", 0, "Other changes: 1"),
        ("UNSUPPORTED", "FAIL", 1, "Regressions: 1"),
        ("ABSENT", "BLOCKED", 1, "Regressions: 1"),
    ],
)
def test_other_changes_are_listed_for_what_they_are(compare, before, now, status, head):
    done = compare(result({"TP-OPS-01": [before]}), result({"TP-OPS-01": [now]}))
    assert (done.returncode, done.stderr) == (status, "") and f"\n{head}\n" in done.stdout


def without(made, id):
    """The report as an earlier catalogue without this requirement would have made it."""
    made = copy.deepcopy(made)
    for place in (made["requirements"], made["catalogue"]["requirements"]):
        place[:] = [row for row in place if row["id"] != id]
    for each in made["implementations"]:
        each["cells"] = [one for one in each["cells"] if one["requirement"] != id]
    made["catalogue"] |= {"version": "0.0", "sha256": "0" * 64}
    return made


def test_what_is_new_in_the_catalogue_or_gone_from_it_is_listed(compare):
    whole = result({"TP-SRC-02": ["FAIL"]})
    done = compare(without(whole, "TP-SRC-02"), whole)
    assert done.returncode == 0 and "New in the catalogue: 1\n  ✗ TP-SRC-02" in done.stdout
    assert f"1 new, 0 gone, 0 changed. What both have is compared: {len(ROWS) - 1} requirements." in done.stdout
    done = compare(whole, without(whole, "TP-SRC-02"))
    assert done.returncode == 0 and "Gone from the catalogue: 1\n  TP-SRC-02" in done.stdout


def test_a_requirement_with_another_sentence_is_named_and_compared(compare):
    old, new = result(), result({"TP-SRC-02": ["FAIL"]})
    next(row for row in old["requirements"] if row["id"] == "TP-SRC-02")["text"] = "It was another one."
    old["catalogue"]["sha256"] = "0" * 64
    done = compare(old, new)
    assert done.returncode == 1 and "0 new, 0 gone, 1 changed (TP-SRC-02)" in done.stdout


def test_what_one_run_did_not_choose_is_no_regression(compare):
    done = compare(result(), result(chosen=ROWS[:3], selection={"only": [row.id for row in ROWS[:3]]}))
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith(f"{len(ROWS) - 3} chosen for one run only; 3 as before")
    assert f"--only: none → {' '.join(row.id for row in ROWS[:3])}\n" in done.stdout
    done = compare(result(), result({"TP-SRC-02": []}, selection={"family": 4}))
    assert done.returncode == 0 and "--family: none → 4\n" in done.stdout and "not compared: 1\n  TP-SRC-02\n" in done.stdout


def test_kernel_tools_and_claims_that_differ_are_named(compare):
    old, new = result(), result(capabilities=["udp"])
    new["environment"] |= {"kernel": "6.99", "tools": {**new["environment"]["tools"], "nft": None}}
    done = compare(old, new)
    assert f"kernel: {old['environment']['kernel']} → 6.99\n" in done.stdout and re.search("nft: .* → none\n", done.stdout)
    assert "no longer claims: bind\n" in done.stdout and "claims besides: udp\n" in done.stdout


def test_implementations_are_compared_by_name(compare):
    old, new = result(names=("one", "two")), result({"TP-SRC-01": ["FAIL"]}, names=("two", "three"))
    done = compare(old, new)
    assert done.returncode == 1 and "two 1.0 → two 1.0" in done.stdout
    assert "missing in the new report: one; only in the new report: three" in done.stdout.splitlines()[-1]
    assert compare(old, result(names=("two", "three")), "--impl", "two").returncode == 0
    assert compare(old, result(names=("two", "three")), "--impl", "one").returncode == 2
    assert compare(result(names=("before",)), result(names=("after",))).returncode == 0


def test_an_implementation_that_is_missing_is_a_regression(compare):
    """A run that was interrupted has no column for what it did not begin."""
    done = compare(result(names=("one", "two")), result(names=("one",)))
    assert done.returncode == 1 and "missing in the new report: two" in done.stdout.splitlines()[-1]


# Bad input


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "there is no such file; give the report.json of a run"),
        ("", "is not JSON"),
        ("[]", "is not a report of conformance"),
        ('{"format": 2}', "is not a report of conformance"),
        ('{"format": 1, "implementations": []}', "has format 1, and this version of conformance reads format 2"),
        ('{"format": 2, "implementations": []}', "is not as fixtures/schema/report.schema.json says: `$` has no field `created`"),
        ("\x80", "is not JSON"),
    ],
)
@pytest.mark.parametrize("place", ["old", "new", "badge"])
def test_a_file_that_is_no_report_is_named(conformance, tmp_path, text, words, place):
    good, bad, made = kept(tmp_path, "good.json", result(chosen=ROWS[:1])), tmp_path / "bad.json", tmp_path / "badge.svg"
    if text is not None:
        bad.write_text(text, encoding="latin-1")
    given = {"old": ["--diff", bad, good], "new": ["--diff", good, bad], "badge": ["--from", bad, "--badge", made]}[place]
    done = conformance(*given)
    assert (done.returncode, done.stdout) == (2, "") and not made.exists()
    assert done.stderr.startswith(f"conformance: {bad}: ") and words in done.stderr and "Traceback" not in done.stderr


def test_a_report_whose_cells_are_missing_is_not_used(compare):
    made = result()
    made["implementations"][0]["cells"].pop()
    done = compare(result(), made)
    assert done.returncode == 2 and "one does not have one cell for each requirement" in done.stderr


def test_runs_without_a_common_requirement_are_not_compared(compare):
    done = compare(result(chosen=ROWS[:1]), result(chosen=ROWS[1:2]))
    assert done.returncode == 2 and "no requirement in common" in done.stderr


@pytest.mark.parametrize(
    "words, text",
    [
        (["--diff", "one.json"], "expected 2 arguments"),
        (["--diff", "a", "b", "--profile", "udp"], "--diff reads what an earlier run wrote, and runs nothing; leave out --profile"),
        (["--diff", "a", "b", "-n", "2", "--out=c"], "leave out --out, -n"),
        (["--diff", "a", "b", "--badge", "c.svg"], "leave out --badge"),
        (["--from", "a"], "--from: give --badge FILE.svg, too"),
        (["--from", "a", "--badge", "b.svg", "--keep"], "leave out --keep"),
        (["--badge", "report.json"], "does not end with .svg; type --badge badge.svg"),
        (["--badge", "/nonexistent/badge.svg"], "cannot be written"),
        (["--badge", "badge.svg", "--impl", "tproxyd", "haproxy"], "give --impl one name"),
    ],
)
def test_wrong_arguments_are_reported_at_once(conformance, words, text):
    done = conformance(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("conformance: ") and text in done.stderr


# A real run


def test_a_run_writes_its_badge(tmp_path):
    made, words = tmp_path / "badge.svg", ("--impl", "falsifiers/correct", "--only", "TP-SRC-03", "-n", "0", "--out", tmp_path / "out")
    done = as_process(*words, "--badge", made)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"badge: {os.path.relpath(made, ROOT)}: 1 of {len(MUSTS)} MUSTs, {len(MUSTS) - 1} not asked\n" in done.stdout
    assert f"1 of {len(MUSTS)} MUSTs" in xml.parse(made).getroot().get("aria-label")
    done = as_process("--diff", tmp_path / "out", tmp_path / "out")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "No regression; 1 as before"), done.stdout + done.stderr
