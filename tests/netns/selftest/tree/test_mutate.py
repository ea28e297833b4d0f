"""tests/mutate/mutate on a C file of a few lines: what it changes, and what it says of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import waiting
from lab.paths import ROOT

MUTATE = ROOT / "tests" / "mutate" / "mutate"

pytestmark = [
    pytest.mark.suite,
    pytest.mark.skipif(not shutil.which("clang"), reason="absent: clang"),
]

# `spare` is not tested; `waits` never ends where its counter stays.
SMALL = """\
#include <unistd.h>
enum { LEFT, RIGHT };
#define TWICE(x) ((x) + (x)) /* if (x < 1) in a comment */
int below(int a, int b)
{
	if (a < b && b != 7)
		return 1;
	return 0;
}
int spare(int a)
{
	return a - 5;
}
int waits(int turns)
{
	int n = 0;
	while (n < turns)
		n += 1;
	return n;
}
int half(int *sides, int fd, unsigned flags)
{
	flags = flags | 4;
	if (fd == -1)
		return -1;
	close(fd);
	sides[fd - 98] = below(3, fd);
	return sides[LEFT] * TWICE(2);
}
"""
UNUSED = """\
int same(int a)
{
	int sum = 0;
	if (sum == 1)
		sum = 2;
	return a;
}
"""
TEST = """\
#include <stdio.h>
int below(int a, int b), waits(int turns), half(int *sides, int fd, unsigned flags);
int main(void)
{
	int sides[2] = {5, 0};
	int wrong = !below(1, 2) || below(2, 2) || below(1, 7) || waits(3) != 3;
	wrong |= half(sides, 99, 1) != 20 || sides[1] != 1 || half(sides, -1, 1) != -1;
	if (wrong)
		puts("[  FAILED  ] small");
	return wrong;
}
"""
PROJECT = """\
root = "."
sources = ["src/*.c"]
build = "out"
result = "result.json"
equivalent = "equivalent.toml"
tests = "made/test_*.o"
test_sources = ["test_*.c"]
archive = "made/all.a"
patience = 1
sides = [["LEFT", "RIGHT"]]
[commands]
compile = "gcc -O2"
link = "gcc"
"""
BUILD = """\
set -e
mkdir -p made
for each in small unused; do gcc -O2 -c -o made/$each.o src/$each.c; done
rm -f made/all.a; ar rcs made/all.a made/small.o made/unused.o
gcc -c -o made/test_small.o test_small.c
gcc -o made/test_small made/test_small.o made/all.a
"""


@pytest.fixture
def small(tmp_path):
    """The project with its test built, and a function that runs the tool on it."""
    (tmp_path / "src").mkdir()
    files = {"src/small.c": SMALL, "src/unused.c": UNUSED, "test_small.c": TEST, "project.toml": PROJECT}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    subprocess.run(["sh", "-c", BUILD], cwd=tmp_path, check=True)

    def mutate(*arguments):
        words = [sys.executable, str(MUTATE), "--project", str(tmp_path / "project.toml"), *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    mutate.folder = tmp_path
    return mutate


def find(listing, function, change):
    """The id of the only mutant whose changed line contains `change`."""
    lines = [line for line in listing.splitlines() if f":{function}:" in line and change in line.partition("  =>  ")[2]]
    assert len(lines) == 1, f"{change}: {lines}\n{listing}"
    return lines[0].split()[0]


CHANGES = {
    "delete-statement": ("waits", ";"),
    "forget-release": ("half", ";"),
    "negate": ("below", "a >= b &&"),
    "off-by-one": ("below", "a <= b &&"),
    "constant": ("spare", "(5 + 1)"),
    "drop-error-branch": ("half", "(fd == -1) && 0"),
    "swap-arguments": ("half", "below(fd, 3)"),
    "return-early": ("spare", "{ return 0;"),
    "other-side": ("half", "sides[RIGHT]"),
    "and-or": ("below", "a < b || b != 7"),
    "drop-flag": ("half", "flags = flags;"),
    "use-first": ("half", "sides[0] = below"),
}


def test_each_operator_makes_its_mutant(small):
    listing = small("--list")
    operators = {line.split()[0] for line in small("--operators").splitlines()}
    assert operators == set(CHANGES)
    for operator, (function, change) in CHANGES.items():
        lines = [line for line in listing.splitlines() if f":{function}:{operator}:" in line]
        assert any(change in line.partition("  =>  ")[2] for line in lines), f"{operator}: {lines}\n{listing}"


def test_comments_and_macros_are_left_alone(small):
    for line in small("--list").splitlines():
        assert "in a comment" not in line
        assert "TWICE(2)" in line.partition("  =>  ")[2] or "TWICE" not in line


def test_each_mutant_gets_its_verdict(small):
    """Killed, survived with its line, equivalent by its code, and one that hangs ends; all in one run."""
    listing = small("--list")
    killed = find(listing, "below", "a <= b &&")
    hangs = find(listing, "waits", "n += 0;")
    survivor = find(listing, "spare", "(5 + 1)")
    same = find(listing, "same", "sum = (2 + 1);")
    output = small("--only", killed, "--only", hangs, "--only", survivor, "--only", same, "-j", "4")
    verdicts = {line.split()[2]: line for line in output.splitlines() if line[0].isdigit() and "/" in line}
    assert "killed" in verdicts[killed] and "test_small fails" in verdicts[killed]
    assert "killed" in verdicts[hangs] and "hangs" in verdicts[hangs]
    assert "survived" in verdicts[survivor] and "line 12: return a - 5;  =>  return a - (5 + 1);" in verdicts[survivor]
    assert "equivalent" in verdicts[same]
    result = json.loads((small.folder / "result.json").read_text(encoding="utf-8"))
    assert [each["id"] for each in result["survivors"]] == [survivor]
    assert result["files"]["src/small.c"]["score"] == 66.7
    assert "-\treturn a - 5;\n+\treturn a - (5 + 1);" in small("--show", survivor)


def test_a_hanging_mutant_ends_with_a_tool_that_is_killed(small):
    project = small.folder / "project.toml"
    project.write_text(PROJECT.replace("patience = 1", "patience = 1000"), encoding="ascii")
    hangs = find(small("--list"), "waits", "n += 0;")
    tool = subprocess.Popen([sys.executable, str(MUTATE), "--project", str(project), "--only", hangs], stdout=subprocess.DEVNULL)
    try:
        waiting.until(lambda: spinning(small.folder), "the mutant runs")
    finally:
        tool.kill()
        tool.wait()
    waiting.until(lambda: not spinning(small.folder), "the mutant has ended")


def spinning(folder):
    """Processes that run a test of the project and have used processor time."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in os.readlink(each / "exe") and int((each / "stat").read_text().rsplit(")")[-1].split()[11]) > 20:
                found.append(each.name)
        except OSError:
            pass
    return found


def test_a_marked_survivor_is_equivalent(small):
    survivor = find(small("--list"), "spare", "(5 + 1)")
    marked = f'[[equivalent]]\nids = ["{survivor}"]\nwhy = "Nothing uses it."\n'
    (small.folder / "equivalent.toml").write_text(marked, encoding="ascii")
    small("--only", survivor)
    result = json.loads((small.folder / "result.json").read_text(encoding="utf-8"))
    assert result["survivors"] == [] and result["equivalent"] == 1


def test_a_run_goes_on_where_it_was(small):
    """What is judged is not judged again; survivors are, when a test has changed; edits elsewhere keep the ids."""
    first = small("--file", "src/unused.c")
    assert "0 to judge" not in first
    assert "0 to judge" in small("--file", "src/unused.c")
    unused = small.folder / "src" / "unused.c"
    unused.write_text("int other(void);\n\n" + UNUSED, encoding="ascii")
    assert "0 to judge" in small("--file", "src/unused.c")
    assert "current" in small("--score")
    (small.folder / "test_small.c").write_text(TEST + "\n", encoding="ascii")
    assert "0 to judge" not in small("--file", "src/unused.c")


def test_a_result_of_other_sources_is_stale(small):
    small("--only", find(small("--list"), "spare", "(5 + 1)"))
    assert "current" in small("--score")
    (small.folder / "src" / "small.c").write_text(SMALL + "\n", encoding="ascii")
    assert "STALE" in small("--score")


PYTHON = """\
def serve(sides, fd, flags):
    """ + '"""if a < b: in a docstring"""' + """
    flags = flags | 4  # a < b
    if fd is None or fd < 0:
        raise ValueError("a < b")
    try:
        fd.close()
    except (OSError,
            ValueError):
        return False
    sides[fd] = below(3, fd, LEFT)
    return [each for each in sides if each != 1]
"""
PYTHON_CHANGES = {
    "delete-statement": "pass",
    "forget-release": "pass",
    "negate": "if fd is not None or",
    "off-by-one": "or fd <= 0:",
    "constant": "return True",
    "drop-error-branch": "except ( ):",
    "swap-arguments": "below(fd, 3,",
    "return-early": "return None; ",
    "other-side": "RIGHT)",
    "and-or": "is None and fd",
    "drop-flag": "flags = flags #",
    "use-first": "sides[0] = ",
}


def test_the_same_operators_change_python():
    """Each mutant compiles, has as many lines, and leaves comments and strings alone."""
    sys.path.insert(0, str(MUTATE.parent))
    try:
        from mutation import core, front_python
    finally:
        sys.path.pop(0)
    mutants = core.mutants_of("serve.py", PYTHON, front_python.sites_of(PYTHON), core.PYTHON, [("LEFT", "RIGHT")])
    changes = {}
    for mutant in mutants:
        changed = mutant.apply(PYTHON)
        compile(changed, mutant.id, "exec")
        assert changed.count("\n") == PYTHON.count("\n"), mutant.id
        assert "a < b: in a docstring" in changed
        changes.setdefault(mutant.operator, []).append(mutant.change(PYTHON).partition("  =>  ")[2])
    assert set(changes) == set(PYTHON_CHANGES)
    for operator, change in PYTHON_CHANGES.items():
        assert any(change in each for each in changes[operator]), f"{operator}: {changes[operator]}"


def test_the_project_has_a_result():
    done = subprocess.run([MUTATE, "--score"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("mutation: "), done.stdout + done.stderr
    assert "no result" not in done.stdout
