"""What is mutated and how it is judged (a TOML file), results as they come, and the committed result."""

import fnmatch
import hashlib
import json
import subprocess
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python before 3.11
    import tomli as tomllib

from .judge import OPEN

FORMAT = 1
COUNTED = ("killed", "survived", "equivalent", "broken", OPEN, "not judged")


class Project:
    """A project file. Paths in it are relative to its `root`, which is relative to the file."""

    def __init__(self, path):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        self.root = (path.parent / values["root"]).resolve()
        self.sources = values["sources"]
        self.sides = [tuple(pair) for pair in values.get("sides", ())]
        self.without = values.get("without", [])  # functions that are left as they are
        self.language = values.get("language", "c")
        self.commands = values.get("commands", {})
        self.tests, self.rigs, self.archive = values.get("tests"), values.get("rigs", []), values.get("archive")
        self.test_sources = values["test_sources"]
        self.build, self.result = self.root / values["build"], self.root / values["result"]
        self.equivalent = self.root / values["equivalent"]
        self.patience = values.get("patience", 4)  # seconds beside four times what a test takes
        self.others_below = values.get("others_below", 2)  # seconds that a test of other folders may take
        suite = values.get("suite", {})
        self.suite_command, self.suite_main = suite.get("command"), suite.get("main")
        self.suite_variable = suite.get("variable")
        # Of a Python project: the adapter's text, by the source that it is for.
        self.interpreter, self.adapters = values.get("interpreter"), values.get("adapters", {})

    def glob(self, patterns):
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return [path for pattern in patterns for path in sorted(self.root.glob(pattern))]

    def files(self):
        return [str(path.relative_to(self.root)) for path in self.glob(self.sources)]

    def owns(self, path):
        """Whether this project changes files of this name."""
        patterns = [self.sources] if isinstance(self.sources, str) else self.sources
        return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)

    def command(self, name):
        """The words of a command: as they are, or where they begin with `$`, what that command prints."""
        words = self.commands.get(name, "")
        if not words.startswith("$"):
            return words
        return subprocess.run(words[1:], shell=True, cwd=self.root, capture_output=True, text=True, check=True).stdout.strip()

    def fingerprint(self, patterns):
        whole = hashlib.sha256()
        for path in sorted(set(self.glob(patterns))):
            whole.update(f"{path.relative_to(self.root)}\0".encode() + path.read_bytes() + b"\0")
        return whole.hexdigest()[:12]

    def marked(self):
        """Mutants that a person looked at and found to change nothing: id -> why."""
        if not self.equivalent.exists():
            return {}
        rows = tomllib.loads(self.equivalent.read_text(encoding="utf-8")).get("equivalent", [])
        return {name: row["why"] for row in rows for name in row["ids"]}


class Results:
    """Verdicts, one JSON object a line; the last line of an id counts. A killed run loses one line at most."""

    def __init__(self, path):
        self.path, self.rows = path, {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                    self.rows[row["id"]] = row
                except (ValueError, KeyError):
                    continue  # the line that was being written

    def add(self, mutant, verdict, tests):
        row = {"id": mutant.id, "verdict": verdict.verdict, "by": verdict.by, "seconds": verdict.seconds, "tests": tests}
        self.rows[mutant.id] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def has(self, mutant, tests):
        """Judged already. A survivor is judged again when the tests have changed."""
        row = self.rows.get(mutant.id)
        return row is not None and row["verdict"] != OPEN and (row["verdict"] != "survived" or row["tests"] == tests)


def summary(mutants, sources, results, marked, fingerprint):
    """The committed result. `sources`: path -> text."""
    files, survivors = {}, []
    for mutant in mutants:
        row = results.rows.get(mutant.id)
        verdict = row["verdict"] if row else "not judged"
        if verdict == "survived" and mutant.id in marked:
            verdict = "equivalent"
        counts = files.setdefault(mutant.path, dict.fromkeys(COUNTED, 0))
        counts[verdict] += 1
        if verdict == "survived":
            change = mutant.change(sources[mutant.path])
            survivors.append({"id": mutant.id, "line": mutant.line, "change": change})
    for counts in files.values():
        counts["score"] = score(counts)
    total = {name: sum(counts[name] for counts in files.values()) for name in COUNTED}
    return {
        "format": FORMAT,
        "sources": fingerprint,
        "score": score(total),
        **total,
        "files": files,
        "survivors": survivors,
    }


def score(counts):
    """Per cent of the mutants that change something, or None while none of them is judged."""
    judged = counts["killed"] + counts["survived"]
    return round(100 * counts["killed"] / judged, 1) if judged else None


def score_line(project):
    """The committed result in one line, and whether it is that of the sources as they are."""
    try:
        result = json.loads(project.result.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        return f"mutation: no result ({problem}); make mutate"
    now = project.fingerprint(project.sources)
    state = "current" if now == result["sources"] else f"STALE: they are {now} now; make mutate"
    places = " and ".join(sorted({str(Path(pattern).parent) for pattern in project.sources}))
    unjudged = f", {result[OPEN]} passed the first tests and are not judged on" if result.get(OPEN) else ""
    unjudged += f", {result['not judged']} not judged" if result["not judged"] else ""
    return (
        f"mutation: {result['score']} % of {result['killed'] + result['survived']} mutants of {places} are killed, "
        f"{result['survived']} survive{unjudged} (sources {result['sources']}, {state})"
    )
