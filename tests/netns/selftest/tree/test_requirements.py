"""Every requirement has a test, and every test has a requirement."""

import ast
import re

import pytest

from lab.conformance import requirements
from lab.paths import SUITE

pytestmark = pytest.mark.suite

FALSIFIERS = SUITE / "implementations" / "falsifiers"
ROWS = requirements.load()


def suite_tests():
    """(file and name, requirement ids) of every test of the suite."""
    for path in sorted(SUITE.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.name}::{node.name}", [id for d in node.decorator_list for id in _requirement(d)]


def _requirement(decorator):
    if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "requirement":
        return [argument.value for argument in decorator.args]
    return []


TESTS = list(suite_tests())


def test_every_requirement_has_a_test():
    tested = {id for _, ids in TESTS for id in ids}
    assert not [row.id for row in ROWS if not row.withdrawn and row.id not in tested]


@pytest.mark.parametrize("name, ids", TESTS, ids=[name for name, _ in TESTS])
def test_every_test_names_one_requirement(name, ids):
    known = {row.id for row in ROWS if not row.withdrawn}
    assert len(ids) == 1 and set(ids) <= known


def test_ids_are_unique():
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_row_is_well_formed(row):
    assert re.fullmatch(rf"TP-({'|'.join(requirements.GROUPS)})-\d\d", row.id)
    assert row.level in requirements.LEVELS
    assert row.profile in requirements.PROFILES
    assert row.text.endswith(".") and row.text.count(". ") == 0
    assert row.source


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_row_has_a_falsifier_or_says_why_not(row):
    assert row.withdrawn or bool(row.falsified_by) != bool(row.no_falsifier)


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_rows_falsifiers_exist(row):
    assert not [name for name in row.falsified_by if not (FALSIFIERS / name).is_file()]
