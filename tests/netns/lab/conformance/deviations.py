"""Failures of an implementation that are known: fixtures/deviations/NAME.toml.

    [[deviation]]
    requirement = "TP-SRC-04"
    pattern = "peer_seen_by_server"             regular expression, found in the failure's text
    versions = ["2.6.*", "2.8.*"]               wildcards; every version when left out
    reference = "https://example.org/issue/1"   where it is known from

A known failure stays a failure, but reports mark it as known. A requirement with a deviation that
passes, or fails in another way, is reported: then the record is wrong.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lab import toml
from lab.conformance import verdict
from lab.paths import FIXTURES

FOLDER = FIXTURES / "deviations"
FIELDS = {"requirement", "pattern", "versions", "reference"}


class Malformed(Exception):
    """A file that can't be used; the text names file and row."""


@dataclass(frozen=True)
class Deviation:
    requirement: str
    pattern: str
    reference: str
    versions: tuple = ("*",)

    def holds_for(self, version):
        return any(fnmatchcase(version, wildcard) for wildcard in self.versions)

    def explains(self, row):
        """Whether a failed test's text is the failure that is recorded."""
        return re.search(self.pattern, row["message"] + "\n" + row["details"]) is not None


def load(name, version, folder=FOLDER):
    """Deviations of an implementation that hold for its version."""
    path = folder / f"{name}.toml"
    if not path.is_file():
        return []
    try:
        rows = toml.read(path).get("deviation", [])
    except toml.Malformed as problem:
        raise Malformed(f"{path.name}: {problem}") from None
    known = [_deviation(row, f"{path.name}, deviation {number}") for number, row in enumerate(rows, 1)]
    return [each for each in known if each.holds_for(version)]


def _deviation(row, where):
    if set(row) - FIELDS or not FIELDS - {"versions"} <= set(row):
        raise Malformed(f"{where}: needs requirement, pattern and reference, and may have versions")
    try:
        re.compile(row["pattern"])
    except re.error as problem:
        raise Malformed(f"{where}: pattern: {problem}") from None
    return Deviation(row["requirement"], row["pattern"], row["reference"], tuple(row.get("versions", ["*"])))


def compare(rows, word, recorded):
    """(reference when all failures are known or "", remarks) on one requirement's tests."""
    if not recorded:
        return "", []
    failed = [row for row in rows if row["verdict"] == verdict.FAIL]
    references = sorted({each.reference for each in recorded})
    if word == verdict.PASS:
        return "", [f"passes, although a deviation is recorded: {', '.join(references)}"]
    if not failed:
        return "", []
    new = [row["test"] for row in failed if not any(each.explains(row) for each in recorded)]
    if new:
        return "", [f"fails in another way than recorded: {test}" for test in new]
    return ", ".join(references), []
