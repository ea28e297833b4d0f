"""From outcomes of tests to the matrix of requirements and implementations, and to an exit status.

A cell is one requirement on one implementation. Its verdict is the worst verdict of its tests; all tests are kept. All
data here are plain dictionaries in the format of fixtures/schema/report.schema.json, so reports contain exactly
the data that decided the result.
"""

import re
import shlex
from collections import Counter

from lab import waiting
from lab.conformance import deviations, verdict, wording
from lab.peers.http import ONLY_HTTP

FORMAT = 2
PARTLY = "◐"  # the sign of a cell that passed where it was asked
SHARED = 5  # cells with one cause, from which on a summary names it
_WAITED = re.compile(r"\bwaited (\d[\d.]*) s\b")
_NUMBER = re.compile(r"[0-9a-f]*[0-9][0-9a-f.:]*")
NAMED = 5  # capabilities that a sentence of the summary names; reports list all


def row(event, command):
    """A test's outcome in the report's format, from its event."""
    names = ("test", "verdict", "message", "details", "parameters", "seconds", "evidence", "unclaimed", "lacking", "proxies")
    return {**{name: event[name] for name in names}, "command": command}


def cell(requirement, rows, recorded, command):
    word = verdict.worst(each["verdict"] for each in rows)
    known, remarks = deviations.compare(rows, word, recorded)
    unclaimed = sorted({name for each in rows for name in each["unclaimed"]})
    if unclaimed:
        remarks = [*remarks, f"served without a claim: {', '.join(unclaimed)}"]
    bad = min((each for each in rows if each["verdict"] == word != verdict.PASS), key=_generality, default=None)
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


def _generality(each):
    """How little the message of a test says: 0 where it names the dialect, 2 where it only lists missing claims.

    A cell shows the first of its worst tests whose message says most.
    """
    message = each["message"]
    return 0 if message.startswith(ONLY_HTTP) else 2 if message.startswith("not claimed:") else 1


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


def is_partly_asked(each):
    """Whether some tests of a cell passed, and the others were not asked because a claim is missing."""
    return each["verdict"] == verdict.UNSUPPORTED and each["passed"] > 0


def symbol(each):
    return PARTLY if is_partly_asked(each) else verdict.SYMBOLS[each["verdict"]]


def tally(column):
    """[(verdict, symbol, number of cells)] of a column, from good to bad, with a row of their own for those asked in part."""
    found = Counter((each["verdict"], symbol(each)) for each in column)
    order = [(word, sign) for word in verdict.VERDICTS for sign in (PARTLY, verdict.SYMBOLS[word])]
    return [(word, sign, found[word, sign]) for word, sign in order if found[word, sign]]


LEGEND = {PARTLY: "passed where it was asked", **{sign: word for word, sign in verdict.SYMBOLS.items()}}


def causes(report):
    """One sentence for each message that at least SHARED cells of an implementation have in common."""
    for column in report["implementations"]:
        bad = [each["message"] for each in column["cells"] if each["verdict"] in (verdict.FAIL, verdict.BLOCKED) and each["message"]]
        by_cause = {}
        for message in bad:
            by_cause.setdefault(_NUMBER.sub("#", _cause(message)), []).append(_cause(message))
        for same in sorted(by_cause.values(), key=len, reverse=True):
            if len(same) >= SHARED:
                yield f"{column['name']}: {len(same)} rows: {same[0]}"


def _cause(message):
    """What a message may share with others: that the proxy tried no connection, with its last words, or its first line."""
    first = one_line(message)
    return first[first.index(wording.UNTRIED) :].rstrip("]") if wording.UNTRIED in first else first


def ended_waits(report):
    """What to type about rows that failed because a wait ended: a proxy that is too late, or a machine that is too busy."""
    for column in report["implementations"]:
        rows = [each["requirement"] for each in column["cells"] if each["verdict"] == verdict.FAIL and _is_ended_wait(each["message"])]
        if rows:
            amount = f"{len(rows)} row{'s' if len(rows) > 1 else ''} failed because a wait ended, as it can on a busy machine"
            again = f"--patience {waiting.DEFAULT:g} --only {' '.join(rows)}"
            yield f"{column['name']}: {amount}. Ask {'them' if len(rows) > 1 else 'it'} again: {again}"


def _is_ended_wait(message):
    found = _WAITED.search(message)
    return found is not None and float(found[1]) < waiting.DEFAULT


def is_host_alone(each):
    """Whether a cell passed without a proxy: its tests are about the host, so it is no pass of the implementation."""
    return each["verdict"] == verdict.PASS and not any(test["proxies"] for test in each["tests"])


def lacking(each):
    """Names of the capabilities for lack of which tests of a cell were not asked, sorted."""
    return sorted({name for test in each["tests"] for name in test["lacking"]})


def reasons(report):
    """Why the run did not succeed, one sentence each; empty if no MUST failed and at least one was tested."""
    levels = {each["id"]: each["level"] for each in report["requirements"]}
    found = []
    for column in report["implementations"]:
        said = [*column["problems"]]
        for each in column["cells"]:
            why = _reason(each, levels[each["requirement"]], report["selection"])
            said += [f"{each['requirement']}: {why}"] if why else []
        musts = [each for each in column["cells"] if levels[each["requirement"]] == "MUST"]
        if not said and musts and not any(map(_is_tested, musts)):
            said.append("nothing was tested: no MUST was asked and passed; docs/ADAPTERS.md says what to claim")
        found += [f"{column['name']}: {each}" for each in said]
    return found


def _is_tested(each):
    return each["verdict"] == verdict.FAIL or each["verdict"] == verdict.PASS and not is_host_alone(each)


def one_line(message):
    """What a table has room for: a message's first line, and if that is about a log, the log's last."""
    first, _, rest = message.strip().partition("\n")
    return f"{first} … {rest.splitlines()[-1].strip()}" if first.endswith("its log:") and rest else first


def summary(report):
    """One sentence for each implementation: how many MUSTs passed, and why others were not asked.

    "Every MUST passed" is said only where all chosen MUSTs were asked in full and passed. Known failures are named.
    """
    musts = {each["id"] for each in report["requirements"] if each["level"] == "MUST"}
    columns = report["implementations"]
    limited = f" ({', '.join(limits(report['selection']))})" if any(limits(report["selection"])) else ""
    texts = [_sentence([each for each in column["cells"] if each["requirement"] in musts], limited) for column in columns]
    return texts if len(columns) == 1 else [f"{column['name']}: {text}" for column, text in zip(columns, texts)]


def limits(selection):
    """Which tests of the chosen requirements the options of the run leave out."""
    if selection["family"]:
        yield f"IPv{selection['family']} only"
    if selection["recipe"]:
        yield f"recipe {selection['recipe']} only"
    if selection["sample_per"]:
        yield "a sample"


def _sentence(musts, limited):
    cells = [each for each in musts if not is_host_alone(each)]
    host = len(musts) - len(cells)
    if not cells:
        return (f"No MUST was tested: {host} {_be(host)} about the host alone" if host else "No MUST was chosen") + limited
    passed = sum(each["verdict"] == verdict.PASS for each in cells)
    known = sum(bool(each["known"]) for each in cells)
    if passed + known == len(cells) and passed:
        return "Every MUST passed" + (f", except {known} known failure{'s' if known > 1 else ''}" if known else "") + limited
    parts = [f"{passed} of {len(cells)} MUSTs passed{limited}", *_not_passed(cells)]
    return "; ".join(parts + ([f"{host} more {_be(host)} about the host alone, and not counted"] if host else []))


def _not_passed(cells):
    """Parts of a sentence on cells without a pass."""
    unasked = [each for each in cells if each["verdict"] == verdict.UNSUPPORTED]
    partly = [each for each in unasked if each["passed"]]
    yield from _unasked([each for each in unasked if not each["passed"]], "not asked")
    yield from _unasked(partly, "asked only in part")
    found = counts(cells)
    if number := found[verdict.FAIL]:
        known = sum(bool(each["known"]) for each in cells)
        yield f"{number} failed" + (f" ({known} known)" if known else "")
    if number := found[verdict.BLOCKED] + found[verdict.ERROR]:
        yield f"{number} {'has' if number == 1 else 'have'} no verdict (BLOCKED or ERROR)"
    if number := found[verdict.ABSENT]:
        yield f"{number} could not be tried here (ABSENT)"
    if number := found[verdict.NOT_RUN]:
        yield f"{number} {_be(number, past=True)} not run"


def _unasked(cells, how):
    """Why they were not asked. Each cell is counted once, so that the numbers add up."""
    if not cells:
        return
    missing = [_fewest(each) for each in cells]
    alone = Counter(names[0] for names in missing if len(names) == 1)
    several, other = sum(len(names) > 1 for names in missing), missing.count([])
    why = []
    if alone:
        why.append(f"for want of one claim ({_listed(alone)})")
    if several:
        why.append(f"of several ({several})" if alone else "for want of several claims each")
    text = " or ".join(why)
    if other:
        text += (" or " if text else "") + f"for a reason that the row names ({other})"
    yield f"{len(cells)} {_be(len(cells), past=True)} {how}, {text}"


def _fewest(each):
    """The smallest set of claims that is missing for a test of the cell; empty where no claim is."""
    missing = [sorted(test["lacking"]) for test in each["tests"] if test["verdict"] == verdict.UNSUPPORTED]
    return min(missing, key=lambda names: (len(names), names))


def _listed(alone):
    most = sorted(alone.items(), key=lambda one: (-one[1], one[0]))
    words = [f"{name} {number}" for name, number in most[:NAMED]]
    if rest := most[NAMED:]:
        words.append(f"{len(rest)} other claims {sum(number for _, number in rest)}")
    return ", ".join(words)


def _be(number, past=False):
    return ("was" if past else "is") if number == 1 else ("were" if past else "are")


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
