"""Judging a mutant of the Python base proxy: the suite's tests that run the changed line, until one of them fails.

Which lines a test runs is recorded once, with a copy of the sources that writes them down (record_lines.py). A mutant
is a copy of the sources in a folder of its own, with an adapter. Each worker has one pytest process that has
collected the suite (serve_tests.py) and runs tests on the adapter that it is given.

A mutant is killed by a test with the verdict FAIL, and only where the original passes that test right after: a test
that fails because the machine is loaded kills nothing. A mutant with a name that nothing makes is broken, like one in C
that does not compile. So is one whose `describe` fails: no suite begins with it.

The trap: Python takes a compiled file for current by its time and size, and two mutants may have both in common. So
no two mutants share a folder.
"""

import ast
import collections
import hashlib
import json
import os
import resource
import select
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import front_python, record_lines
from .judge import MEMORY, OPEN, NotPossible, Verdict

HERE = Path(__file__).resolve().parent
COLLECTING = 600  # seconds within which pytest has collected the tests, on a loaded machine, too
HANGING = 60  # seconds without an answer, beside ten times the patience and the time that the test took when recorded
FIRST = 20  # tests that are asked at first; a mutant that passes them is judged after the others
REFUSED = "its describe fails"
RETRY = 4  # times the patience, for tests that failed for the original, too


class Hangs(Exception):
    """A worker does not answer within its time."""


class Worker:
    """A pytest process that runs tests when asked."""

    def __init__(self, project, log):
        """Start it; `log` is the file for what it prints."""
        own, its = socket.socketpair()
        paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "MUTATION_SOCKET": str(its.fileno()), "PYTHONPATH": paths}
        words = [*project.suite_command.split(), "-n", "0", "-p", "mutation.serve_tests", "--patience", str(project.patience)]
        words += [str(path.relative_to(project.root)) for path in project.glob(project.test_sources)]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out, its:
            self.process = subprocess.Popen(
                words, cwd=project.root, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                pass_fds=[its.fileno()], preexec_fn=bound_memory,
            )
        self.channel, self.unread, self.log = own, b"", log
        try:
            self.tests = self.receive(COLLECTING)["tests"]
        except Hangs:
            self.end()
            raise NotPossible(f"the tests were not collected within {COLLECTING} s; {log} says more") from None

    def receive(self, seconds):
        """The next answer; Hangs where there is none within so many seconds."""
        until = time.monotonic() + seconds
        while b"\n" not in self.unread:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.channel], [], [], left)[0]:
                raise Hangs
            part = self.channel.recv(1 << 16)
            if not part:
                raise NotPossible(f"the tests' process has ended; {self.log} says why")
            self.unread += part
        line, _, self.unread = self.unread.partition(b"\n")
        return json.loads(line)

    def run(self, adapter, tests, patience, original=None, seconds=None):
        """The answer for each test that ran; `seconds`: how long each of them may take, by its id.

        `found_all` of Hangs has those that came before.
        """
        job = {"adapter": str(adapter), "tests": tests, "patience": patience, "original": original and str(original)}
        self.channel.sendall(json.dumps(job).encode() + b"\n")
        found_all = []
        while True:
            longest = max((seconds or {}).values(), default=0)
            try:
                found = self.receive(HANGING + 10 * patience + 10 * longest)
            except Hangs as problem:
                problem.found_all = found_all
                raise
            if found.get("end"):
                break
            found_all.append(found)
        if found["status"] != 0 or not found_all:
            raise NotPossible(f"a job of the tests' process ended with status {found['status']}; {self.log} says why")
        return found_all

    def end(self):
        self.process.kill()
        self.process.wait()
        self.channel.close()


def bound_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Judge:
    def __init__(self, project):
        self.project = project
        self.folder = project.build
        self.workers = {}
        self.asked = {}  # mutant's id -> tests that it passed
        self.kills = collections.defaultdict(collections.Counter)  # function -> test -> mutants that it killed
        self.lock = threading.Lock()

    # Copies

    def place(self, folder, source_name, changed=None, recorded=False):
        """A copy of the sources, with an adapter for those who change `source_name`; returns the adapter.

        `changed` is the text of that source. `recorded`: the copy writes down which lines run.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path, text in self.sources.items():
            (folder / Path(path).name).write_text(text, encoding="utf-8")
        if changed is not None:
            (folder / source_name).write_text(changed, encoding="utf-8")
        first = ""
        if recorded:
            (folder / "lines").mkdir()
            shutil.copy(HERE / "record_lines.py", folder)
            first = "import record_lines\n\nrecord_lines.record()\n"
        adapter = folder / self.adapter_name(source_name)
        adapter.write_text(f"#!{self.project.interpreter}\n{first}{self.adapter_text(source_name)}", encoding="utf-8")
        adapter.chmod(0o755)
        return adapter

    def adapter_name(self, source_name):
        return f"adapter-{Path(source_name).stem}" if source_name in self.project.adapters else "adapter"

    def adapter_text(self, source_name):
        return self.project.adapters.get(source_name, self.project.adapters["default"])

    # Before judging

    def begin(self, sources, paths, workers):
        """Record what is not recorded yet. `sources`: path -> text, of all; `paths`: the files to judge."""
        self.sources = sources
        self.statements = {path: statements(text) for path, text in sources.items()}
        for number in range(workers):
            self.worker(number)
        kinds = sorted({self.adapter_name(Path(path).name): Path(path).name for path in paths}.items())
        self.originals, self.reach = {}, {}
        for adapter_name, source_name in kinds:
            self.originals[adapter_name] = self.place(self.folder / "original" / adapter_name, source_name)
            self.record(adapter_name, source_name, workers)

    def record(self, adapter_name, source_name, workers):
        """Run every test with an adapter that writes down its lines, and keep them in a file."""
        kept = Reach(self.folder / f"reach-{adapter_name}.jsonl", self.project)
        left = [test for test in self.worker(0).tests if test not in kept.rows]
        print(f"{adapter_name}: {len(left)} tests to record, {len(kept.rows)} are recorded", flush=True)

        def work(number):
            adapter = self.place(self.folder / f"recorded-{number}", source_name, recorded=True)
            for test in left[number::workers]:
                found = self.ask(number, adapter, [test], self.project.patience * RETRY)
                lines = read_lines(adapter.parent / record_lines.file_of(test))
                with self.lock:
                    kept.add(test, found, lines)
                    print(f"  {found['verdict']:5} {found['seconds']:6.1f} s  {len(lines):4} lines  {test}", flush=True)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not kept.passed:
            raise NotPossible("no test passes without any mutant: repair that first")
        self.reach[adapter_name] = kept

    def ask(self, number, adapter, tests, patience):
        """The answer for a single test that runs in this worker."""
        try:
            return self.worker(number).run(adapter, tests, patience)[0]
        except Hangs:
            self.forget(number)
            return {"verdict": "hangs", "seconds": 0}

    def worker(self, number):
        """A worker's process. It ends with the thread that started it, so another thread may have to start it again."""
        if number in self.workers and self.workers[number].process.poll() is not None:
            self.forget(number)
        if number not in self.workers:
            self.workers[number] = Worker(self.project, self.folder / f"worker-{number}.log")
        return self.workers[number]

    def forget(self, number):
        self.workers.pop(number).end()

    def end(self):
        for number in list(self.workers):
            self.forget(number)

    # Judging

    def reaching(self, mutant):
        """The tests that run the mutant's statement: those first that killed others of this function, then quick ones.

        Further variants of a test come behind all first ones.
        """
        name = Path(mutant.path).name
        kept = self.reach[self.adapter_name(name)]
        begin, end = enclosing(self.statements[mutant.path], mutant.line)
        places = {f"{name}:{line}" for line in range(begin, end + 1)}
        kills = self.kills[mutant.path, mutant.function]
        found = [test for test, row in kept.passed.items() if places & row["lines"]]
        seconds = {test: kept.passed[test]["seconds"] for test in found}
        variants = collections.Counter()
        number = {}
        for test in sorted(found, key=seconds.get):
            number[test] = variants[test.partition("[")[0]]
            variants[test.partition("[")[0]] += 1
        return sorted(found, key=lambda test: (-kills[test], number[test], seconds[test]))

    def judge(self, mutant, number):
        begin = time.monotonic()
        verdict = self.verdict(mutant, number)
        verdict.seconds = round(time.monotonic() - begin, 1)
        return verdict

    def verdict(self, mutant, number):
        name = Path(mutant.path).name
        changed = mutant.apply(self.sources[mutant.path])
        unknown = front_python.unknown_names(changed)
        if unknown:
            return Verdict("broken", f"nothing makes {', '.join(sorted(unknown))}")
        folder = self.folder / f"mutants-{number}" / hashlib.sha256(mutant.id.encode()).hexdigest()[:12]
        adapter = self.place(folder, name, changed)
        try:
            original = self.originals[self.adapter_name(name)]
            tests = self.reaching(mutant)
            if not tests:
                return Verdict("survived", "no test runs it")
            first = mutant.id not in self.asked
            passed = self.asked.setdefault(mutant.id, set())
            left = [test for test in tests if test not in passed][: FIRST if first else None]
            unsure = []
            killer = left and self.killer(mutant, adapter, original, left, self.project.patience, number, unsure)
            if not killer and unsure:
                killer = self.killer(mutant, adapter, original, unsure, self.project.patience * RETRY, number, [])
            if killer:
                return Verdict("broken" if killer == REFUSED else "killed", killer)
            passed |= set(left)
            return Verdict(OPEN if first and len(left) < len(tests) else "survived", f"{len(passed)} tests pass")
        finally:
            shutil.rmtree(folder)

    def killer(self, mutant, adapter, original, tests, patience, number, unsure):
        """The first test that fails, with its message, or None. Tests that fail for the original go to `unsure`."""
        kept = self.reach[self.adapter_name(Path(mutant.path).name)]
        seconds = {test: kept.passed[test]["seconds"] for test in tests}
        hanging = ""
        try:
            found_all = self.worker(number).run(adapter, tests, patience, original, seconds)
        except Hangs as problem:
            self.forget(number)
            found_all = problem.found_all
            hanging = f"{short(tests[len(found_all)])}: hangs"
        for found in found_all:
            if found["verdict"] == "ERROR" and "AdapterFailed" in found["message"]:
                return REFUSED
            if found["verdict"] == "FAIL" and found["original"] == "PASS":
                self.kills[mutant.path, mutant.function][found["test"]] += 1
                return f"{short(found['test'])}: {first_line(found['message'])}"
            if found["verdict"] == "FAIL":
                unsure.append(found["test"])
        return hanging or None


class Reach:
    """What was recorded: a line of JSON for each test, with a mark that says for which sources and tests."""

    def __init__(self, path, project):
        self.path, self.project = path, project
        self.sources = project.fingerprint(project.sources)
        self.rows = {}
        self.marks = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # the line that was being written
                if row["mark"] == self.mark(row["test"]):
                    self.rows[row["test"]] = {**row, "lines": set(row["lines"])}

    def mark(self, test):
        """The sources, and the file of the test."""
        file = test.partition("::")[0]
        if file not in self.marks:
            self.marks[file] = f"{self.sources}-{self.project.fingerprint([file])}"
        return self.marks[file]

    def add(self, test, found, lines):
        row = {"test": test, "mark": self.mark(test), "verdict": found["verdict"], "seconds": found["seconds"]}
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({**row, "lines": sorted(lines)}) + "\n")
        self.rows[test] = {**row, "lines": set(lines)}

    @property
    def passed(self):
        return {test: row for test, row in self.rows.items() if row["verdict"] == "PASS"}


def read_lines(path):
    return set(path.read_text(encoding="ascii").split()) if path.exists() else set()


def statements(text):
    """(first line, last line) of each statement of a text; of a compound one, of its head."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.stmt, ast.ExceptHandler)) and not is_docstring(node):
            body = getattr(node, "body", None)
            found.append((node.lineno, max(node.lineno, body[0].lineno - 1) if body else node.end_lineno))
        if isinstance(node, ast.FunctionDef) and is_docstring(node.body[0]) and len(node.body) > 1:
            found.append((node.body[0].lineno, node.body[1].lineno))  # a docstring does not run, what is behind it does
    return found


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def enclosing(found, line):
    """The smallest of these ranges that has the line."""
    return min((each for each in found if each[0] <= line <= each[1]), key=lambda each: each[1] - each[0], default=(line, line))


def short(test):
    """A test's id without its folder."""
    return test.rpartition("tests/netns/")[2]


def first_line(text):
    return next(iter(text.splitlines()), "")[:160]
