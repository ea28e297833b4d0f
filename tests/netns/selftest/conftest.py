"""Fixtures that several of these files use."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, MAKEFILE, commit, kernel_lab, program
from lab.ctl.ctl_host import CtlHost
from lab.netns.namespace import Namespace
from lab.paths import RUN, TPROXYCTL
from lab.peers.daemon import SERVER, Daemon, listen


@pytest.fixture
def host(tmp_path):
    namespace = Namespace("host")
    namespace.ip("link set lo up", "link add eth0 type veth peer eth1", "addr add 198.51.100.1/24 dev eth0", "link set eth0 up")
    yield CtlHost(namespace, tmp_path)
    namespace.close()


@pytest.fixture
def for_everybody():
    """A copy of tproxyctl that any user may start."""
    folder = Path(tempfile.mkdtemp(dir=RUN))
    folder.chmod(0o755)
    yield shutil.copy(TPROXYCTL, folder)
    shutil.rmtree(folder)


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


@pytest.fixture
def namespace():
    """A host with a loopback interface alone."""
    made = Namespace("daemon")
    made.ip("link set lo up")
    yield made
    made.close()


@pytest.fixture
def folder():
    """A folder that every user may read, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="daemon-", dir=RUN))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def path(folder):
    """Where tests have their `stats socket`."""
    return folder / "commands"


@pytest.fixture
def start(namespace, folder):
    """Starts tproxyd on a configuration; it ends with the test."""
    with contextlib.ExitStack() as started:

        def run(text, **rest):
            place = folder / f"daemon-{len(list(folder.glob('daemon-*')))}"
            place.mkdir()
            daemon = started.enter_context(contextlib.closing(Daemon(namespace, place, text, **rest)))
            return daemon.await_started()

        yield run


@pytest.fixture
def server(namespace):
    """What listens where configurations have their server."""
    with contextlib.closing(listen(namespace)) as made:
        yield made


@pytest.fixture
def other(namespace):
    """The same for a second one."""
    with contextlib.closing(listen(namespace, SERVER + 1)) as made:
        yield made
