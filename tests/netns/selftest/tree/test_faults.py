"""docs/FAULTS.md has no empty cell, and names only requirements that the catalogue has."""

import re

import pytest

from lab.conformance import requirements
from lab.paths import ROOT

pytestmark = pytest.mark.suite

PAGE = (ROOT / "docs" / "FAULTS.md").read_text(encoding="utf-8")
ROWS = {row.id: row for row in requirements.load()}
ID = re.compile(r"TP-[A-Z]+-\d\d")
CELL = re.compile(r"TP-[A-Z]+-\d\d(?: TP-[A-Z]+-\d\d)*|none: [a-z]")
REASONS = re.findall(r"^- \*\*([a-z])\*\*: \S.*\.$", PAGE, re.M)


def cells():
    """(what happens, phase, text) of every cell."""
    phases = []
    for line in PAGE.splitlines():
        if line.startswith("|---"):
            continue
        words = [word.strip() for word in line.strip("|").split("|")] if line.startswith("|") else []
        if not words:
            phases = []
        elif not phases:
            phases = words[1:]
        else:
            assert len(words) == 1 + len(phases), line
            yield from ((words[0], phase, text) for phase, text in zip(phases, words[1:]))


CELLS = list(cells())


def test_the_page_has_cells():
    assert len(CELLS) > 100
    assert len({(happens, phase) for happens, phase, _ in CELLS}) == len(CELLS)


@pytest.mark.parametrize("happens, phase, text", CELLS, ids=[f"{happens}, {phase}" for happens, phase, _ in CELLS])
def test_a_cell_names_requirements_or_a_reason(happens, phase, text):
    assert CELL.fullmatch(text), f"{happens}, {phase}: {text!r}"
    assert not [each for each in ID.findall(text) if each not in ROWS or ROWS[each].withdrawn]


def test_each_reason_is_used_and_given():
    used = {text.partition("none: ")[2] for _, _, text in CELLS if text.startswith("none: ")}
    assert sorted(used) == REASONS
    assert not [each for each in ID.findall(PAGE) if each not in ROWS]
