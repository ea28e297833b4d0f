"""The gate: folders that point up or make a circle fail it, and so do tests that were not built."""

import shutil
import subprocess

import pytest

from lab.paths import ROOT

pytestmark = pytest.mark.suite

ARROWS = ROOT / ".ci" / "arrows"


@pytest.fixture
def tree(tmp_path):
    """Writes sources below src/, compiles them, and returns the completed process of the gate."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "include" / "tproxy").mkdir(parents=True)
    shutil.copy(ARROWS, tmp_path / ".ci")

    def judge(sources):
        for name, text in sources.items():
            path = tmp_path / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
            if path.suffix == ".c":
                made = tmp_path / "build" / "src" / path.parent.name / f"{path.stem}.o"
                made.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["gcc", "-I", tmp_path / "src", "-c", "-o", made, path], check=True)
        return subprocess.run([tmp_path / ".ci" / "arrows"], capture_output=True, text=True, check=False)

    return judge


def test_arrows_that_point_down_pass(tree):
    done = tree({"util/text.c": "int text(void) { return 0; }\n", "check/flows.c": "int text(void);\nint flows(void) { return text(); }\n"})
    assert (done.returncode, done.stdout) == (0, "")


def test_an_include_that_points_up_fails(tree):
    done = tree({"check/flows.h": "", "check/flows.c": "", "util/text.c": '#include "check/flows.h"\n'})
    assert done.returncode == 1
    assert "src/util/text.c includes check/flows.h: util must not use check" in done.stdout


def test_a_call_that_points_up_fails(tree):
    done = tree({"check/flows.c": "int flows(void) { return 0; }\n", "util/text.c": "int flows(void);\nint text(void) { return flows(); }\n"})
    assert done.returncode == 1
    assert "util/text.c uses flows() of check/flows.c: util must not use check" in done.stdout


def test_the_hosts_side_and_the_proxys_side_do_not_know_each_other(tree):
    done = tree({"check/flows.c": "int flows(void) { return 0; }\n", "process/log.c": "int flows(void);\nint line(void) { return flows(); }\n"})
    assert done.returncode == 1
    assert "process must not use check" in done.stdout


def test_a_circle_that_a_shared_header_hides_fails(tree):
    shared = "int one(int n);\nint two(int n);\n"
    one = '#include "shared.h"\nint one(int n) { return n ? two(n - 1) : 0; }\n'
    two = '#include "shared.h"\nint two(int n) { return n ? one(n - 1) : 0; }\n'
    done = tree({"check/shared.h": shared, "check/one.c": one, "check/two.c": two})
    assert done.returncode == 1
    assert "a circle: check/one, check/two" in done.stdout


@pytest.fixture
def lab_tree(tmp_path):
    """Writes modules below tests/netns/lab, and returns the completed process of the gate."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ARROWS.with_name("arrows-lab"), tmp_path / ".ci")

    def judge(modules):
        for name, text in modules.items():
            path = tmp_path / "tests" / "netns" / "lab" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        return subprocess.run([tmp_path / ".ci" / "arrows-lab"], capture_output=True, text=True, check=False)

    return judge


PATHS = {"paths.py": "", "netns/kernel.py": "from lab import paths\n", "peers/hosts.py": "from lab.netns import kernel\n"}


def test_imports_of_the_lab_that_point_down_pass(lab_tree):
    done = lab_tree(PATHS)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("line", ["from lab.peers import hosts", "from lab.peers.hosts import Host", "import lab.peers.hosts"])
def test_an_import_of_the_lab_that_points_up_fails(lab_tree, line):
    done = lab_tree({**PATHS, "netns/capture.py": f"{line}\n"})
    assert done.returncode == 1
    assert done.stdout == "tests/netns/lab/netns/capture.py:1: netns must not import peers.hosts\n"


def test_modules_of_the_lab_that_import_each_other_in_a_circle_fail(lab_tree):
    done = lab_tree({"netns/one.py": "from lab.netns import two\n", "netns/two.py": "from lab.netns import one\n"})
    assert done.returncode == 1
    assert done.stdout == "a circle: netns.one, netns.two\n"


def test_a_folder_of_the_lab_that_the_order_does_not_name_fails(lab_tree):
    done = lab_tree({"elsewhere/one.py": ""})
    assert done.returncode == 1
    assert "not in the ORDER" in done.stdout


def test_without_object_files_the_gate_fails(tree):
    done = tree({"check/shared.h": ""})
    assert done.returncode == 1
    assert "run make first" in done.stderr


def test_only_programs_with_a_source_count_as_unit_tests(tmp_path):
    """A program that an earlier tree left in the build folder is not run; one that is missing is a failure."""
    left = tmp_path / "tests" / "unit" / "proxy" / "test_of_an_earlier_tree"
    left.parent.mkdir(parents=True)
    left.write_text("#!/bin/sh\ntouch ran\n", encoding="ascii")
    left.chmod(0o755)
    done = subprocess.run([ROOT / "tests" / "check", "--build", tmp_path, "unit"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "ran").exists()
    assert "test_session was not built: run `make units`" in done.stdout + done.stderr
