"""Helpers for the tests of the kernel lab: its command, tproxyctl's capabilities, stand-ins for programs and Linux."""

import json
import os
import subprocess
import sys

from lab.paths import ROOT, TPROXYCTL

sys.path.insert(0, str(ROOT / "tests" / "kernels"))

from kernels import build, source  # noqa: E402

KNOWS_NO_CHECK = "#!/bin/sh\necho unknown >&2\nexit 2\n"

# The Makefile of a stand-in for Linux. Its kernel is a copy of the file `text`.
MAKEFILE = """
O ?= .
allnoconfig:
	cp $(KCONFIG_ALLCONFIG) $(O)/.config
linux:
	grep -v BROKEN $(CURDIR)/text >/dev/null || { echo 'error: broken'; exit 1; }
	cp $(CURDIR)/text $(O)/linux; chmod 755 $(O)/linux; echo x >>$(O)/built
"""


def capabilities():
    """The names of all capabilities of `tproxyctl prove`."""
    done = subprocess.run([TPROXYCTL, "prove", "--json"], capture_output=True, text=True, check=False)
    return [each["id"] for each in json.loads(done.stdout)["capabilities"]]


def all_on(**rest):
    """{capability: state}: all on, except those given."""
    return {**dict.fromkeys(capabilities(), "on"), **rest}


def program(folder, text, name="program"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def commit(tree):
    for arguments in (["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", tree, *arguments], check=True)


def kernel_of(linux, cache, **fragment):
    return build.Kernel(source.find(linux), "uml", fragment or {"A": "y"}, cache)


def kernel_lab(*arguments, without=""):
    """Runs tests/kernels/lab. `without`: an environment variable to leave out."""
    environment = {name: value for name, value in os.environ.items() if name != without}
    command = [ROOT / "tests/kernels/lab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
