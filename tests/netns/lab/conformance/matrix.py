"""From outcomes of tests to the matrix of requirements and implementations, and to an exit status.

A cell is one requirement on one implementation. Its verdict is the worst verdict of its tests; all tests are kept. All
data here are plain dictionaries in the format of fixtures/schema/report.schema.json, so reports contain exactly
the data that decided the result.
"""

import shlex

from lab.conformance import deviations, verdict

FORMAT = 1


def row(event, command):
    """A test's outcome in the report's format, from its event."""
    names = ("test", "verdict", "message", "details", "parameters", "seconds", "evidence", "unclaimed")
    return {**{name: event[name] for name in names}, "command": command}


def cell(requirement, rows, recorded, command):
    word = verdict.worst(each["verdict"] for each in rows)
    known, remarks = deviations.compare(rows, word, recorded)
    unclaimed = sorted({name for each in rows for name in each["unclaimed"]})
    if unclaimed:
        remarks = [*remarks, f"served without a claim: {', '.join(unclaimed)}"]
    bad = next((each for each in rows if each["verdict"] == word and word != verdict.PASS), None)
    return {
        "requirement": requirement.id,
        "verdict": word,
        "passed": sum(each["verdict"] == verdict.PASS for each in rows),
        "message": bad["message"] if bad else "",
        "known": known,
        "deviates": any("recorded" in each for each in remarks),
        "remarks": remarks,
        "command": command,
        "tests": sorted(rows, key=lambda each: each["test"]),
    }


def cells(chosen, rows_by_requirement, recorded, command_of):
    """The column of one implementation; `recorded` are its deviations."""
    return [
        cell(
            requirement,
            rows_by_requirement.get(requirement.id, []),
            [each for each in recorded if each.requirement == requirement.id],
            command_of(requirement.id),
        )
        for requirement in chosen
    ]


def command_line(adapter, only=None, options=()):
    """What a reader types to repeat a column, or one cell of it."""
    words = ["tests/netns/conformance", "--impl", adapter, *(["--only", only] if only else []), *options]
    return " ".join(shlex.quote(str(word)) for word in words)


def counts(column):
    """{verdict: number of cells}, every verdict included."""
    return {word: sum(each["verdict"] == word for each in column) for word in verdict.VERDICTS}


def shown(each):
    """The verdict as people read it."""
    return "FAIL (known)" if each["known"] else each["verdict"]


def reasons(report):
    """Why the run did not succeed, one sentence each; none when every MUST passed."""
    selection = report["selection"]
    levels = {each["id"]: each["level"] for each in report["requirements"]}
    found = []
    for column in report["implementations"]:
        found += [f"{column['name']}: {problem}" for problem in column["problems"]]
        for each in column["cells"]:
            why = _reason(each, levels[each["requirement"]], selection)
            if why:
                found.append(f"{column['name']}: {each['requirement']}: {why}")
    return found


def success(report):
    """The last line of a run without such reasons; a known failure is still no pass."""
    musts = {each["id"] for each in report["requirements"] if each["level"] == "MUST"}
    cells = [each for column in report["implementations"] for each in column["cells"]]
    known = sum(bool(each["known"]) and each["requirement"] in musts for each in cells)
    return "Every MUST passed" + (f", except {known} known failure{'s' if known > 1 else ''}" if known else "")


def _reason(each, level, selection):
    if each["deviates"]:
        return each["remarks"][0]
    if level != "MUST":
        return ""
    word = each["verdict"]
    if word == verdict.FAIL and each["known"] and selection["known_ok"]:
        return ""
    if word == verdict.ABSENT and not selection["expect_env"]:
        return ""
    if word == verdict.NOT_RUN and (selection["family"] or selection["recipe"]):
        return ""
    return "" if word in (verdict.PASS, verdict.UNSUPPORTED) else shown(each)
