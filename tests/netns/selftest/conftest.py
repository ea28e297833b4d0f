"""Fixtures that several of these folders use."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest

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
