"""What more than one of these files uses."""

import pytest

from lab.box import Box
from lab.namespace import Namespace


@pytest.fixture
def box(tmp_path):
    namespace = Namespace("host")
    namespace.ip("link set lo up", "link add eth0 type veth peer eth1", "addr add 198.51.100.1/24 dev eth0", "link set eth0 up")
    yield Box(namespace, tmp_path)
    namespace.close()
