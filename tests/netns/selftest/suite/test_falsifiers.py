"""The suite fails every proxy that is wrong on purpose, and passes the correct one.

Each falsifier is run on the requirements that name it, one variant of each test, in a pytest of its
own inside this run's isolation. A requirement that its falsifier passes proves nothing. Where this
run may not do what a requirement's tests need, its falsifier is neither detected nor missed: absent.
"""

import json

import pytest

from lab.conformance import inner_run, requirements, verdict
from lab.exceptions import Absent
from lab.paths import SUITE

FOLDER = SUITE / "implementations" / "falsifiers"
SHARE = "8"  # soak tests run with 1/8 of their load, which is enough here
PATIENCE = "2"  # tests often wait for something that a wrong proxy never does

ALL = {row.id for row in requirements.load()}
NAMED = {}
for row in requirements.load():
    for name in row.falsified_by:
        NAMED.setdefault(name, set()).add(row.id)

pytestmark = pytest.mark.falsify


def verdicts(name, wanted, tmp_path, patience=PATIENCE, variants=("--sample",)):
    """{requirement: verdicts} of the wanted requirements' tests for a falsifier; `variants` are the options that choose them."""
    report = tmp_path / "events"
    words = ("--impl", f"falsifiers/{name}", *variants, "--share", SHARE, "--patience", patience, "--events", report)
    printed = inner_run.run(wanted, *words)
    assert report.exists(), printed
    found = {}
    for event in map(json.loads, report.read_text(encoding="utf-8").splitlines()):
        assert event["event"] != "broken", event["message"]
        if event["event"] == "ended":
            found.setdefault(event["requirement"], set()).add(event["verdict"])
            print(event["requirement"], event["verdict"], event["message"])  # pytest shows it where this test fails
    return found


@pytest.mark.parametrize("name", sorted(NAMED))
def test_the_suite_fails(name, tmp_path):
    found = verdicts(name, NAMED[name], tmp_path)
    shown = [each for each in sorted(NAMED[name]) if found.get(each) != {verdict.ABSENT}]
    for identifier in shown:
        seen = found.get(identifier)
        assert seen == {verdict.FAIL}, f"{identifier} does not fail {name}: {seen}"
    if len(shown) < len(NAMED[name]):
        raise Absent(f"what {', '.join(sorted(NAMED[name] - set(shown)))} needs")


def test_an_ipv6_listener_that_is_not_transparent_fails(tmp_path):
    """IPv6 answers from any address, so it is the rule that tells the sockets apart; the walk-through's does not."""
    found = verdicts("listens-without-transparency", {"TP-BIND-01"}, tmp_path, variants=("-k", "ipv6 and transparent_socket"))
    assert found == {"TP-BIND-01": {verdict.FAIL}}


# Rows that no client's connection to a server stands behind: about listeners, the start, the stop, checks, and the host alone.
WITHOUT_A_SERVER = {
    *("TP-BIND-07", "TP-BIND-08", "TP-HOST-01", "TP-HOST-04"),
    *("TP-OPS-05", "TP-OPS-23", "TP-OPS-24", "TP-OPS-60"),
}


each_group = pytest.mark.parametrize("group", requirements.GROUPS)  # at the same time, where there is more than one worker


def of_group(group, wanted):
    return {row.id for row in requirements.load() if row.group == group and not row.withdrawn} & wanted


@pytest.mark.long(40)
@each_group
def test_a_proxy_that_never_connects_passes_no_row_about_servers(group, tmp_path):
    """It ends every client at once, as it should where a server refuses: so such a row has to see the attempt first."""
    wanted = of_group(group, ALL - WITHOUT_A_SERVER)
    found = verdicts("never-connects", wanted, tmp_path, patience="4")
    assert set(found) == wanted
    assert not [each for each, seen in sorted(found.items()) if verdict.PASS in seen]


@pytest.mark.long(30)
@each_group
def test_the_suite_passes_the_one_without_a_defect(group, tmp_path):
    wanted = of_group(group, set().union(*NAMED.values()))
    found = verdicts("correct", wanted, tmp_path, patience="10")
    assert set(found) == wanted
    assert not {each: seen for each, seen in found.items() if seen - {verdict.PASS, verdict.ABSENT}}


def test_every_falsifier_is_named_by_a_requirement():
    files = {path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix == ""}
    assert files - {"correct"} == set(NAMED)
