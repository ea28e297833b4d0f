"""Reads a report that an earlier run wrote: report.json, held to its schema before anything is made of it.

A badge or a comparison made from half a report would be wrong without anything to show it. So every problem of a file
is an error, and its text says what to type.
"""

import json
from pathlib import Path

from lab import schema
from lab.conformance import matrix
from lab.paths import FIXTURES

SCHEMA = FIXTURES / "schema" / "report.schema.json"
NAME = "report.json"


class Unusable(Exception):
    """A file that is no report, or not one that this version reads; the text names it, and says what to do."""


def load(path):
    """The report of a file, or of the folder of --out that has it; raises Unusable."""
    path = Path(path)
    if path.is_dir():
        path = path / NAME
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unusable(f"{path}: there is no such file; give the {NAME} of a run, or the folder of its --out") from None
    except OSError as problem:
        raise Unusable(f"{path}: cannot be read: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:
        raise Unusable(f"{path}: is not JSON ({problem}); give the {NAME} of a run") from None
    _check(path, report)
    return report


def _check(path, report):
    if not isinstance(report, dict) or "implementations" not in report:
        raise Unusable(f"{path}: is not a report of conformance; give the {NAME} of a run")
    if report.get("format") != matrix.FORMAT:
        raise Unusable(
            f"{path}: has format {report.get('format')!r}, and this version of conformance reads format {matrix.FORMAT}; "
            f"make the report again with this version, or use the version that made it"
        )
    wrong = schema.problems(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    wrong = wrong or _strays(report)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise Unusable(f"{path}: is not as fixtures/schema/{SCHEMA.name} says: {wrong[0]}{more}; make the report again")


def _strays(report):
    """What no schema can say: cells are about requirements of the report, and those are in the catalogue."""
    known = {each["id"] for each in report["catalogue"]["requirements"]}
    chosen = [each["id"] for each in report["requirements"]]
    found = [f"{id} is not in the catalogue" for id in chosen if id not in known]
    for column in report["implementations"]:
        cells = [cell["requirement"] for cell in column["cells"]]
        if sorted(cells) != sorted(set(chosen)):
            found.append(f"{column['name']} does not have one cell for each requirement")
    return found


def column_of(report, names, where):
    """The one implementation that is meant: the only one of the report, or the one that is named; raises Unusable."""
    there = [column["name"] for column in report["implementations"]]
    chosen = [column for column in report["implementations"] if not names or column["name"] in names]
    if len(chosen) == 1 and len(names) < 2:
        return chosen[0]
    listed = ", ".join(there) or "none"
    raise Unusable(f"{where}: a badge is about one implementation; choose it with --impl NAME; this report has: {listed}")
