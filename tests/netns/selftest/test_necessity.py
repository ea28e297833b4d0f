"""Every part of a set-up is good for what the necessity table says, and for nothing else.

This is about the host and not about the implementation under test: the proxy is tproxyd, or the wrong
proxy that a row names.
"""

from pathlib import Path

import pytest

from lab import necessity
from lab.lab import Lab
from lab.proxy import Implementation

ROWS = necessity.load()
CASES = necessity.cases(ROWS)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "NECESSITY.md"


@pytest.fixture
def implementation(case):
    return Implementation(case.row.implementation)


@pytest.fixture
def lab(implementation, case):
    backend = necessity.backend(case)
    made = Lab(implementation, case.family, case.row.topology, backend, divert=False, recipe_name=case.recipe)
    yield made
    made.close()


@pytest.mark.necessity
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_table_is_right(lab, case):
    observed, also = necessity.Trial(lab, case).run()
    necessity.keep(case, observed, also)
    assert observed == case.row.predicted, also
    assert case.row.answers in ("", also)


def test_no_change_is_there_twice():
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)


def test_the_page_is_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == necessity.render(ROWS), "tests/netns/necessity --docs >docs/NECESSITY.md"
