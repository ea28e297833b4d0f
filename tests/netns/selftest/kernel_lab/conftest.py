"""A stand-in for Linux, and the kernel lab at work on it."""

import os
import subprocess
from pathlib import Path

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, MAKEFILE, commit, kernel_lab, program


@pytest.fixture
def linux(tmp_path, monkeypatch):
    """A tree under git whose kernel is the script `text`."""
    tree = tmp_path / "linux"
    tree.mkdir()
    (tree / "Makefile").write_text(MAKEFILE, encoding="ascii")
    (tree / "Kconfig").write_text("", encoding="ascii")
    (tree / "text").write_text("#!/bin/sh\necho '@up 6.1'; echo @end\n", encoding="ascii")
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, '#!/bin/sh\nfor last; do :; done\nexec cp "$last" "$2"\n', "strip")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    subprocess.run(["git", "-C", tree, "init", "-q"], check=True)
    commit(tree)
    return tree


@pytest.fixture
def stand_in(linux):
    """The tree of a kernel whose abilities follow from its configuration."""
    text = Path(__file__).with_name("stand_in_kernel.py").read_text(encoding="utf-8")
    makefile = MAKEFILE.replace("chmod 755", "cat $(CURDIR)/end $(O)/.config >>$(O)/linux; chmod 755")
    (linux / "Makefile").write_text(makefile, encoding="ascii")
    (linux / "text").write_text("#!/usr/bin/python3\n" + text, encoding="utf-8")
    (linux / "end").write_text("# --- configuration\n", encoding="ascii")
    commit(linux)
    return linux


@pytest.fixture
def work(stand_in, tmp_path, monkeypatch):
    """Runs the lab on it. The lab ignores its configuration, which is not that of a whole kernel."""
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))

    def run(*words, source=("--source", stand_in)):
        done = kernel_lab(*words, *source, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none")
        assert not done.stderr, done.stderr
        return done

    return run
