"""Compares two reports: what an implementation, or the kernel below it, lost and gained from one run to the other.

A regression is a verdict that got worse: a pass is lost, whatever took its place, or what was not asked before does not
pass now. It counts for a requirement and for each of its tests, because a requirement that fails in one of its tests may
fail in ten of them later. Where the catalogues differ, what both have is compared. What one run did not choose is listed and
is no regression.
"""

from dataclasses import dataclass, field

from lab.conformance import matrix, verdict
from lab.conformance.saved import Unusable

PASSED, UNASKED, BAD = range(3)
_CLASS = {verdict.PASS: PASSED, verdict.FAIL: BAD, verdict.ERROR: BAD, verdict.BLOCKED: BAD}
SHOWN_TESTS = 3
SELECTING = ("only", "family", "recipe", "sample_per", "rules_by")


@dataclass(frozen=True)
class Change:
    """One requirement of which a verdict, or that of a test, is another one."""

    requirement: dict
    before: dict  # cells
    now: dict
    tests: list  # (name, verdict before, verdict now) of those that both runs had and that differ

    @property
    def is_regression(self):
        pairs = [(self.before["verdict"], self.now["verdict"]), *((before, now) for _, before, now in self.tests)]
        return any(is_worse(before, now) for before, now in pairs)

    @property
    def passes_now(self):
        return not self.is_regression and self.now["verdict"] == verdict.PASS


@dataclass
class Comparison:
    """One implementation in two reports; each list has what its name says."""

    before: dict  # columns
    now: dict
    changes: list = field(default_factory=list)
    alike: int = 0
    new: list = field(default_factory=list)  # (requirement, cell), not in the old catalogue
    gone: list = field(default_factory=list)  # ids, not in the new catalogue
    unchosen: list = field(default_factory=list)  # ids that only one of the runs chose

    @property
    def compared(self):
        return len(self.changes) + self.alike

    @property
    def regressions(self):
        return [each for each in self.changes if each.is_regression]

    @property
    def passing(self):
        return [each for each in self.changes if each.passes_now]

    @property
    def others(self):
        return [each for each in self.changes if not each.is_regression and not each.passes_now]


def is_worse(before, now):
    """Whether a verdict got worse; after NOT RUN nothing is, because nothing was known."""
    return before != verdict.NOT_RUN and _CLASS.get(before, UNASKED) < _CLASS.get(now, UNASKED)


def pairs(old, new, names=()):
    """([(old column, new column)], names only in old, names only in new); raises Unusable where there is no pair.

    Two reports of one implementation each are about the same one, whatever its name. Otherwise names decide, and of several
    with one name the order does. `names` restricts this.
    """
    before, now = _by_name(old, names), _by_name(new, names)
    unknown = sorted(set(names) - {name for name, _ in [*before, *now]})
    if unknown:
        raise Unusable(f"--impl: neither report has {', '.join(unknown)}: {_both(old, new)}")
    if not names and len(before) == len(now) == 1:
        return [(*before.values(), *now.values())], [], []
    both = [key for key in before if key in now]
    if not both:
        raise Unusable(
            f"no implementation{' of --impl' if names else ''} is in both reports: {_both(old, new)}; "
            f"make both reports with the same --impl"
        )
    lost = [key[0] for key in before if key not in now]
    return [(before[key], now[key]) for key in both], lost, [key[0] for key in now if key not in before]


def _by_name(report, names):
    found = {}
    for column in report["implementations"]:
        if not names or column["name"] in names:
            found[column["name"], sum(name == column["name"] for name, _ in found)] = column
    return found


def _both(old, new):
    names = (", ".join(column["name"] for column in report["implementations"]) or "none" for report in (old, new))
    return "the old one has {}, the new one has {}".format(*names)


def compare(old, new, before, now):
    """The Comparison of two columns of two reports."""
    made = Comparison(before, now)
    rows = {row["id"]: row for row in [*old["requirements"], *new["requirements"]]}
    old_cells, new_cells = _chosen(old, before), _chosen(new, now)
    catalogues = [{row["id"] for row in report["catalogue"]["requirements"]} for report in (old, new)]
    for id, row in rows.items():
        if id in old_cells and id in new_cells:
            change = Change(row, old_cells[id], new_cells[id], _tests(old_cells[id], new_cells[id]))
            if change.before["verdict"] == change.now["verdict"] and not change.tests:
                made.alike += 1
            else:
                made.changes.append(change)
        elif id not in catalogues[0]:
            made.new.append((row, new_cells.get(id)))
        elif id not in catalogues[1]:
            made.gone.append(id)
        else:
            made.unchosen.append(id)
    return made


def _chosen(report, column):
    """{id: cell} of what the run chose: without what --family or --recipe left no test of."""
    narrow = report["selection"]["family"] or report["selection"]["recipe"]
    cells = {cell["requirement"]: cell for cell in column["cells"]}
    return {id: cell for id, cell in cells.items() if not (narrow and cell["verdict"] == verdict.NOT_RUN)}


def _tests(before, now):
    words = {test["test"]: test["verdict"] for test in before["tests"]}
    found = ((test["test"], words.get(test["test"]), test["verdict"]) for test in now["tests"])
    return [(test.rpartition("/")[2], old, new) for test, old, new in found if old not in (None, new)]


# Text for people


def catalogues(old, new):
    """How the catalogues of two reports differ, in a sentence; "" where they do not."""
    one, two = old["catalogue"], new["catalogue"]
    if one["sha256"] == two["sha256"]:
        return ""
    before, now = _rows(old), _rows(new)
    both = [id for id in before if id in now]
    changed = [id for id in both if _is_another(before[id], now[id])]
    counts = f"{len(now) - len(both)} new, {len(before) - len(both)} gone, {len(changed)} changed"
    named = f" ({', '.join(changed)})" if changed else ""
    versions = f"{one['version']} ({one['sha256'][:12]}) → {two['version']} ({two['sha256'][:12]})"
    return f"The catalogues differ: {versions}: {counts}{named}. What both have is compared: {len(both)} requirements."


def _rows(report):
    """{id: (level, profile, sentence)} of a catalogue; the sentence is None where the run did not choose it."""
    texts = {row["id"]: row["text"] for row in report["requirements"]}
    return {row["id"]: (row["level"], row["profile"], texts.get(row["id"])) for row in report["catalogue"]["requirements"]}


def _is_another(before, now):
    return before[:2] != now[:2] or None not in (before[2], now[2]) and before[2] != now[2]


def surroundings(old, new):
    """What else differs between two runs: (name, before, now)."""
    for before, now in (map(_places, (old, new)), map(_choices, (old, new))):
        for name in dict.fromkeys([*before, *now]):
            if before.get(name) != now.get(name):
                yield name, before.get(name) or "none", now.get(name) or "none"


def _places(report):
    return {"kernel": report["environment"]["kernel"], **report["environment"]["tools"]}


def _choices(report):
    """{option: its value as text} of what decides which tests run."""
    options = {"--profile": "profiles", **{f"--{name.replace('_', '-')}": name for name in SELECTING}}
    values = {option: report["selection"][name] for option, name in options.items()}
    return {option: " ".join(map(str, value)) if isinstance(value, list) else value and str(value) for option, value in values.items()}


def text(made):
    """The comparison of one implementation, a line each."""
    yield f"{_title(made.before)} → {_title(made.now)}"
    yield from (f"  {line}" for line in _claims(made))
    yield from (f"  the new run has a problem: {problem}" for problem in made.now["problems"])
    for head, changes in (("Regressions", made.regressions), ("Passes now", made.passing), ("Other changes", made.others)):
        if changes:
            yield from ("", f"{head}: {len(changes)}", *(line for each in changes for line in _change(each)))
    if made.new:
        yield from ("", f"New in the catalogue: {len(made.new)}", *(_new(row, cell) for row, cell in made.new))
    if made.gone:
        yield from ("", f"Gone from the catalogue: {len(made.gone)}", f"  {', '.join(made.gone)}")
    if made.unchosen:
        yield from ("", f"Chosen for one run only, and not compared: {len(made.unchosen)}", f"  {', '.join(made.unchosen)}")
    yield ""


def _title(column):
    return f"{column['name']} {column['version']}".strip()


def _claims(made):
    before, now = set(made.before["capabilities"]), set(made.now["capabilities"])
    if lost := sorted(before - now):
        yield f"no longer claims: {', '.join(lost)}"
    if more := sorted(now - before):
        yield f"claims besides: {', '.join(more)}"


def _change(each):
    word, row = each.now["verdict"], each.requirement
    verdicts = f"{matrix.shown(each.before)} → {matrix.shown(each.now)}"
    yield f"  {verdict.SYMBOLS[word]} {row['id']:13} {row['level']:6} {verdicts}"
    yield f"      {row['text']}"
    if message := matrix.one_line(each.now["message"]):
        yield f"      {message}"
    worst = sorted(each.tests, key=lambda one: not is_worse(*one[1:]))
    yield from (f"      {before} → {now}  {test}" for test, before, now in worst[:SHOWN_TESTS])
    if not worst:
        yield "      by tests that the old run did not have"
    if len(worst) > SHOWN_TESTS:
        yield f"      … and {len(worst) - SHOWN_TESTS} more of its tests have another verdict"
    if each.is_regression:
        yield f"      repeat with: {each.now['command']}"


def _new(row, cell):
    word = cell["verdict"] if cell else verdict.NOT_RUN
    return f"  {verdict.SYMBOLS[word]} {row['id']:13} {row['level']:6} {word}\n      {row['text']}"


def last_line(comparisons, lost, more):
    """The result in a line; `lost` and `more` are implementations of one report only."""
    regressions = sum(len(made.regressions) for made in comparisons)
    parts = [f"{regressions} regression{'' if regressions == 1 else 's'}" if regressions else "No regression"]
    parts += [f"missing in the new report: {', '.join(lost)}"] if lost else []
    parts += [f"only in the new report: {', '.join(more)}"] if more else []
    for number, what in (
        (sum(len(made.passing) for made in comparisons), "passing now"),
        (sum(len(made.others) for made in comparisons), "changed otherwise"),
        (sum(len(made.new) for made in comparisons), "new in the catalogue"),
        (sum(len(made.gone) for made in comparisons), "gone from it"),
        (sum(len(made.unchosen) for made in comparisons), "chosen for one run only"),
        (sum(made.alike for made in comparisons), "as before"),
    ):
        parts += [f"{number} {what}"] if number else []
    return "; ".join(parts)
