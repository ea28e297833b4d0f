"""What more than one of these files uses."""

import shutil
import tempfile
from pathlib import Path

import pytest

from lab.box import TPROXYCTL, Box
from lab.namespace import Namespace


@pytest.fixture
def box(tmp_path):
    namespace = Namespace("host")
    namespace.ip("link set lo up", "link add eth0 type veth peer eth1", "addr add 198.51.100.1/24 dev eth0", "link set eth0 up")
    yield Box(namespace, tmp_path)
    namespace.close()


@pytest.fixture
def for_everybody():
    """tproxyctl where any user may start it."""
    folder = Path(tempfile.mkdtemp(dir="/run/tproxy-lab"))
    folder.chmod(0o755)
    yield shutil.copy(TPROXYCTL, folder)
    shutil.rmtree(folder)
