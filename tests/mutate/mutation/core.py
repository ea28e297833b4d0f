"""Sites, operators and mutants.

A front end (front_c.py, front_python.py) reads one file and yields sites: places that some operator can change. An
operator turns a site into changes of the text. What depends on the language are the site's ranges and
the few spellings in `Language`; so another front end needs no operators of its own.

The invariant: one mutant is one change at one place, and the change keeps the number of lines, so that
a mutant's line numbers, and what a compiler makes of them, are those of the original.

The trap: an id has to survive edits elsewhere. It counts only among equal lines of its function: file,
function, operator, hash of the line, ordinal among those that are equal in all of these.
"""

import collections
import difflib
import hashlib
from dataclasses import dataclass

OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
OPPOSITE |= {"is": "is not", "is not": "is", "in": "not in", "not in": "in"}
OFF_BY_ONE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


@dataclass(frozen=True)
class Site:
    """A place that operators can change: [begin, end) in the text, and what the operators need of it."""

    kind: str
    begin: int
    end: int
    function: str
    text: str = ""
    parts: tuple = ()  # further ranges, (begin, end) each


@dataclass(frozen=True)
class Language:
    """How a language spells what operators write."""

    negated: str  # {0} is a condition
    never: str
    nothing: str  # instead of a statement
    logic: tuple  # pairs of operators that replace each other
    early: str  # a statement put in front of others; {0} is `return` and its value
    never_handled: str = ""  # instead of the exception that a branch is for


C = Language("!({0})", "({0}) && 0", "", (("&&", "||"), ("||", "&&")), "{0}; ")
PYTHON = Language("not ({0})", "({0}) and False", "pass", (("and", "or"), ("or", "and")), "{0}; ", "()")


@dataclass(frozen=True)
class Mutant:
    id: str
    path: str  # relative to the project's root
    function: str
    operator: str
    line: int
    begin: int
    end: int
    replacement: str

    def apply(self, source):
        return source[: self.begin] + self.replacement + source[self.end :]

    def diff(self, source):
        old, new = source.splitlines(keepends=True), self.apply(source).splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, self.path, self.path, n=2))

    def change(self, source):
        """The change in one line: what was there, and what is there now."""
        first = source.rfind("\n", 0, self.begin) + 1
        last = source.find("\n", self.end)
        last = len(source) if last == -1 else last
        new = source[first : self.begin] + self.replacement + source[self.end : last]
        return f"{' '.join(source[first:last].split())}  =>  {' '.join(new.split())}"


# --- operators: each yields (begin, end, replacement) for a site of its kind ---


def delete(site, source, language, sides):
    yield site.begin, site.end, language.nothing


def negate(site, source, language, sides):
    if site.kind == "comparison":
        yield site.begin, site.end, OPPOSITE[site.text]
    else:
        yield site.begin, site.end, language.negated.format(source[site.begin : site.end])


def boundary(site, source, language, sides):
    if site.text in OFF_BY_ONE:
        yield site.begin, site.end, OFF_BY_ONE[site.text]


def constant(site, source, language, sides):
    """The neighbour of a number; of a truth value the other one."""
    truth = {"true": "false", "false": "true", "True": "False", "False": "True", "1": "0"}
    yield site.begin, site.end, truth.get(site.text, f"({site.text} + 1)")


def drop_error_branch(site, source, language, sides):
    never = language.never_handled if site.kind == "handler" else language.never
    yield site.begin, site.end, never.format(source[site.begin : site.end])


def swap_arguments(site, source, language, sides):
    (a, b), (c, d) = site.parts
    if source[a:b] != source[c:d]:
        yield a, d, source[c:d] + source[b:c] + source[a:b]


def return_early(site, source, language, sides):
    """site.text: `return` and its value."""
    yield site.begin, site.begin, language.early.format(site.text)


def other_side(site, source, language, sides):
    for pair in sides:
        if site.text in pair:
            yield site.begin, site.end, pair[1 - pair.index(site.text)]


def other_logic(site, source, language, sides):
    yield site.begin, site.end, dict(language.logic)[site.text]


def drop_flag(site, source, language, sides):
    for begin, end in site.parts:
        yield site.begin, site.end, source[begin:end]


def use_first(site, source, language, sides):
    yield site.begin, site.end, "0"


OPERATORS = {
    "delete-statement": (("statement",), delete, "delete a statement"),
    "forget-release": (("release",), delete, "forget to close or free"),
    "negate": (("condition", "comparison"), negate, "negate a condition"),
    "off-by-one": (("comparison",), boundary, "< becomes <=, > becomes >=, and back"),
    "constant": (("number",), constant, "another constant: 1 more, 1 becomes 0, true becomes false"),
    "drop-error-branch": (("error", "handler"), drop_error_branch, "never take the branch of an error"),
    "swap-arguments": (("call",), swap_arguments, "swap two arguments of one type"),
    "return-early": (("early",), return_early, "return at once, or before the last statement"),
    "other-side": (("name",), other_side, "use the other side's variable or member"),
    "and-or": (("logic",), other_logic, "&& becomes ||, and back"),
    "drop-flag": (("flags",), drop_flag, "drop a flag of a | b"),
    "use-first": (("index",), use_first, "use the first element instead of the own one"),
}


def keep_lines(old, new):
    """The new text with as many lines as the old one; Python has them within parentheses only."""
    lines = "\n" * (old.count("\n") - new.count("\n"))
    return f"{new[:-1]}{lines})" if new.endswith(")") else new + lines


def mutants_of(path, source, sites, language, sides=()):
    """All mutants of a file, in the order of its text."""
    found = {}
    for site in sites:
        for operator, (kinds, change, _) in OPERATORS.items():
            if site.kind not in kinds:
                continue
            for begin, end, replacement in change(site, source, language, sides):
                replacement = keep_lines(source[begin:end], replacement)
                found.setdefault((begin, end, replacement), (operator, site.function))
    seen = collections.Counter()
    mutants = []
    for (begin, end, replacement), (operator, function) in sorted(found.items()):
        line = source.count("\n", 0, begin) + 1
        text = source.splitlines()[line - 1].strip()
        stem = f"{path}:{function}:{operator}:{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        seen[stem] += 1
        mutants.append(Mutant(f"{stem}:{seen[stem]}", path, function, operator, line, begin, end, replacement))
    return mutants
