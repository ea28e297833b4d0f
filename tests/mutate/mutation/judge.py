"""Judging a C mutant: compile the one object, compare it, run the unit tests that reach it.

Linking costs more than all the rest. So each test is linked once, to a shared library of all files that
are mutated; a mutant is a small library of its own that the loader puts before that one (LD_PRELOAD).

Tests run in network, mount and process namespaces of their own: a mutant may do anything, and what it
leaves behind ends with it.

The trap: a test program goes on after a failed test, and then often waits for what will not happen. So
its output is read as it comes, and the first failure ends it.
"""

import ctypes
import os
import re
import resource
import select
import shlex
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

FAILED = re.compile(rb"\[ *FAILED *\]|\[ *ERROR *\]")
# The shell is the namespace's first process: that one does not die of its own signals, as a test has to.
ISOLATED = ["unshare", "--net", "--mount", "--ipc", "--pid", "--mount-proc", "--fork", "--kill-child"]
ISOLATED += ["sh", "-c", 'ip link set lo up && LD_PRELOAD="$1" "$0"; exit $?']
PLAIN = ["sh", "-c", 'LD_PRELOAD="$1" "$0"; exit $?']
MEMORY = 4 << 30
CPU_SECONDS = 300
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


OPEN = "open"  # a verdict: it passed the first tests, and is judged on behind the others


class NotPossible(Exception):
    """The run cannot begin; the message says what to do."""


@dataclass
class Verdict:
    verdict: str  # killed, survived, equivalent, broken, open
    by: str = ""  # the test that killed it, or why it is broken
    seconds: float = 0.0


def run_command(words, cwd):
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)


def isolation():
    """The words that isolate a test, where this user can have that."""
    probe = subprocess.run([*ISOLATED, "true", ""], capture_output=True, check=False)
    return ISOLATED if probe.returncode == 0 else PLAIN


def limit():
    """Bound what a mutant may use, and end it with the tool: a tool that is killed ends nothing by itself."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run_test(words, cwd, seconds):
    """Empty where the test passed, or how it failed: at the first failure or after so many seconds it is ended."""
    test = subprocess.Popen(
        words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=limit,
    )
    output, until, open_ = b"", time.monotonic() + seconds, True
    try:
        while open_ or test.poll() is None:
            if time.monotonic() >= until:
                return f"hangs (more than {seconds:.0f} s)"
            if not open_:
                time.sleep(0.005)
            elif select.select([test.stdout], [], [], 0.2)[0]:
                part = os.read(test.stdout.fileno(), 65536)
                open_ = bool(part)
                output = output[-4096:] + part
                if FAILED.search(output):
                    return "fails"
            elif test.poll() is not None:
                break  # what it left behind holds the pipe
    finally:
        end_group(test)
    return "" if test.returncode == 0 else f"ends with status {test.returncode}"


def end_group(test):
    try:
        os.killpg(test.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    test.wait()
    test.stdout.close()


class Judge:
    """What is common to all mutants of a project; one worker's files are below `folder`."""

    def __init__(self, project):
        self.project = project
        self.isolated = isolation()
        self.compile_words = shlex.split(project.command("compile"))
        self.link_words = shlex.split(project.command("link"))
        self.libraries = shlex.split(project.command("libraries"))
        self.tests = {}  # name -> object
        for path in project.glob(project.tests):
            self.tests[path.stem] = path
        if not self.tests:
            raise NotPossible(f"no test matches {project.tests}: build them first (make all units)")
        parts = [part for path in project.glob([*project.rigs, project.archive]) for part in self.symbols(path)]
        self.reached = {name: closure(self.symbols(path), parts) for name, path in self.tests.items()}
        self.seconds = {}
        self.folder = self.project.build / "base"
        self.library = self.folder / "libmutated.so"
        self.lock = threading.Lock()

    def begin(self, sources, paths, workers):
        """Build what is common, and find the tests that reach each of the files to judge. `sources`: path -> text, of all."""
        self.sources = sources
        self.prepare(sources)
        self.originals, self.tests_of = {}, {}
        for path in paths:
            self.tests_of[path] = self.reaching(path, (self.folder / path).with_suffix(".o"))
            print(f"{path}: {' '.join(self.tests_of[path])}", flush=True)

    def end(self):
        """Nothing runs between two mutants."""

    def original(self, path, folder):
        """Compiled where the worker compiles its mutants: names of files stand in the object."""
        if (path, folder) not in self.originals:
            made, _ = self.compile(path, self.sources[path], folder)
            self.originals[path, folder] = made.read_bytes()
        return self.originals[path, folder]

    def prepare(self, sources):
        """Builds the library of all files as they are. `sources`: path -> text."""
        objects = []
        for path, source in sources.items():
            made, problem = self.compile(path, source, self.folder)
            if made is None:
                raise NotPossible(f"{path} does not compile as it is: {problem}")
            objects.append(made)
        self.share(self.library, *objects)
        for name in self.tests:
            (self.folder / name).unlink(missing_ok=True)

    def share(self, library, *objects):
        done = run_command([*self.link_words, "-shared", "-o", str(library), *map(str, objects)], self.project.root)
        if done.returncode != 0:
            raise NotPossible(f"{library.name} cannot be linked: {first_error(done.stderr)}")

    def program(self, name):
        """The test, linked to the library; made when it is first asked for."""
        program = self.folder / name
        with self.lock:
            if not program.exists():
                self.link(self.tests[name], self.library, program)
        return program

    def symbols(self, path):
        """(defined, undefined) of an object, or of each object in an archive."""
        done = run_command(["nm", "--extern-only", str(path)], self.project.root)
        if done.returncode != 0:
            raise NotPossible(f"{done.stderr.strip()}: build the tests first (make all units)")
        parts = [(set(), set())]
        for line in done.stdout.splitlines():
            if line.endswith(".o:"):
                parts.append((set(), set()))
            elif line.strip():
                parts[-1][line.split()[-2] in "Uw"].add(line.split()[-1])
        return parts

    def compile(self, path, source, folder):
        """The object of a text in the place of a source, or the compiler's message. Warnings do not count,
        but those that say that it is not C do."""
        text = folder / path
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(source, encoding="latin-1")
        made = text.with_suffix(".o")
        strict = [f"-Werror={name}" for name in ("int-conversion", "incompatible-pointer-types", "implicit-function-declaration")]
        words = [word for word in self.compile_words if not word.startswith(("-W", "-g")) and word not in ("-MMD", "-MP")]
        words += [*strict, "-fPIC", "-iquote", str(self.project.root / Path(path).parent), "-c", "-o", str(made), str(text)]
        done = run_command(words, self.project.root)
        return (made, "") if done.returncode == 0 else (None, first_error(done.stderr))

    def reaching(self, path, made):
        """The tests that use this object: its own first, those of its folder, then the others that are fast."""
        symbols = self.symbols(made)[0][0]
        source = Path(path)

        def rank(name):
            beside = self.tests[name].parent.name == source.parent.name
            return (name != f"test_{source.stem}", not beside, self.seconds[name], name)

        names = [name for name in self.tests if symbols & self.reached[name]]
        for name in names:
            if name not in self.seconds:
                self.measure(name)
        return sorted((name for name in names if self.seconds[name] is not None), key=rank)

    def measure(self, name):
        """How long a test takes on the program as it is. A test of no file that is mutated is not asked where it
        is slow, or fails when it is isolated."""
        needed = name.removeprefix("test_") in {Path(source).stem for source in self.project.files()}
        self.program(name)
        begin = time.monotonic()
        patience = 120 if needed else self.project.others_below
        trouble = self.run(name, "", patience)
        if trouble and needed:
            raise NotPossible(f"{name} {trouble} without any mutant: repair that first")
        self.seconds[name] = None if trouble else time.monotonic() - begin

    def run(self, name, library, seconds):
        return run_test([*self.isolated, str(self.program(name)), str(library)], self.project.root, seconds)

    def limit(self, name):
        return self.project.patience + 4 * self.seconds[name]

    def link(self, main, made, program):
        words = [*self.link_words, "-rdynamic", f"-Wl,-rpath,{self.folder}", "-o", str(program), str(main)]
        words += map(str, self.project.glob(self.project.rigs))
        done = run_command([*words, str(made), *map(str, self.project.glob(self.project.archive)), *self.libraries], self.project.root)
        if done.returncode != 0:
            raise NotPossible(f"{main.stem} cannot be linked: {first_error(done.stderr)}")

    def judge(self, mutant, number):
        begin = time.monotonic()
        verdict = self.verdict(mutant, self.project.build / f"worker-{number}")
        verdict.seconds = round(time.monotonic() - begin, 1)
        return verdict

    def verdict(self, mutant, folder):
        original = self.original(mutant.path, folder)
        made, problem = self.compile(mutant.path, mutant.apply(self.sources[mutant.path]), folder)
        if made is None:
            return Verdict("broken", problem)
        if made.read_bytes() == original:
            return Verdict("equivalent", "the same object code")
        library = folder / "mutant.so"
        self.share(library, made)
        for name in self.tests_of[mutant.path]:
            trouble = self.run(name, library, self.limit(name))
            if trouble:
                return Verdict("killed", f"{name} {trouble}")
        return Verdict("survived")

    def judge_by_suite(self, mutant, number):
        """A survivor of the unit tests, judged by the project's suite on a whole program."""
        folder = self.project.build / f"worker-{number}"
        made, _ = self.compile(mutant.path, mutant.apply(self.sources[mutant.path]), folder)
        program = folder / "program"
        self.link(self.project.root / self.project.suite_main, made, program)
        environment = {**os.environ, self.project.suite_variable: str(program)}
        words = shlex.split(self.project.suite_command)
        done = subprocess.run(words, cwd=self.project.root, env=environment, capture_output=True, check=False)
        if done.returncode not in (0, 1):
            raise NotPossible(f"{self.project.suite_command}: ended with status {done.returncode}")
        return Verdict("killed", "the suite") if done.returncode == 1 else Verdict("survived", "the suite, too")


def closure(parts, others):
    """The symbols that a linker would need for these parts, taking of the others only what is asked for."""
    home = {symbol: part for part in others for symbol in part[0]}
    needed, waiting = set(), list(parts)
    while waiting:
        for symbol in waiting.pop()[1]:
            if symbol not in needed:
                needed.add(symbol)
                if symbol in home:
                    waiting.append(home[symbol])
    return needed


def first_error(text):
    lines = [line for line in text.splitlines() if "error" in line or "undefined" in line]
    return (lines or text.splitlines() or ["no message"])[0].strip()
