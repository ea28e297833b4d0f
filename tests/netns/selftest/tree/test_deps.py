"""`make demo` and `make check` first print what they will install."""

import os
import subprocess

import pytest

from lab.paths import ROOT

pytestmark = pytest.mark.suite

DEPS = ROOT / ".ci" / "deps"
DPKG_QUERY = """#!/bin/sh
for last; do :; done
case " $MISSING " in *" $last "*) exit 1 ;; *) echo install ok installed ;; esac
"""
NOTES = """#!/bin/sh
echo "$(basename "$0") $*"
"""


@pytest.fixture
def run(tmp_path):
    """Runs a command where packages are missing. A stand-in for the installer only reports that it ran."""
    programs = {"dpkg-query": DPKG_QUERY, "apt-get": NOTES, "dpkg": NOTES}
    for name, text in programs.items():
        (tmp_path / name).write_text(text, encoding="ascii")
        (tmp_path / name).chmod(0o755)

    def lines(*command, missing="", user="0"):
        (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n", encoding="ascii")
        (tmp_path / "id").chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MISSING": missing}
        # The policy file of services is written to a /usr/sbin of its own.
        words = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs /usr/sbin && exec "$@"', "sh", *map(str, command)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
        return done.stdout.splitlines(), done.stderr.splitlines(), done.returncode

    return lines


@pytest.mark.parametrize("command", [[DEPS, "build", "test"], ["make", "deps-test"]], ids=["deps", "make"])
def test_the_first_line_names_what_is_going_to_be_installed(run, command):
    output, errors, status = run(*command, missing="python3-pytest libmnl-dev")
    assert output[0] == "Packages: this installs, by apt-get: libmnl-dev python3-pytest "
    assert [line for line in output if line.startswith("apt-get install")] and status == 0, errors


@pytest.mark.parametrize("command", [[DEPS, "build", "test"], ["make", "deps-build"]], ids=["deps", "make"])
def test_the_first_line_says_that_nothing_is_missing(run, command):
    assert run(*command) == (["Packages: nothing is missing."], [], 0)


def test_without_root_nothing_is_installed_and_the_command_is_named(run):
    output, errors, status = run(DEPS, "build", missing="libmnl-dev", user="1000")
    assert (output, status) == ([], 1)
    assert errors[-1] == "  sudo apt-get install --no-install-recommends libmnl-dev "


@pytest.mark.parametrize("target, first", [("demo", "deps-build"), ("check", "deps-test")])
def test_what_installs_is_what_a_target_begins_with(target, first):
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    assert f"{target}: {first}" in rules
