"""Namespaces of the lab: quick to look into, and otherwise like any other."""

from pathlib import Path

import pytest

from lab.netns.isolation import CONNECTION_CHAINS
from lab.netns.namespace import Namespace

pytestmark = pytest.mark.suite

OWN_TABLE = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")


@pytest.fixture
def namespace():
    made = Namespace("looked-into")
    yield made
    made.close()


@pytest.mark.skipif(not OWN_TABLE.exists(), reason="Linux before 6.1 has one table of connections for all namespaces")
def test_a_namespace_has_a_table_of_connections_of_its_own(namespace):
    assert namespace.read_sysctl("net.ipv4.tcp_ehash_entries") == [str(CONNECTION_CHAINS)]


@pytest.mark.parametrize("limit", ["tcp_max_tw_buckets", "tcp_max_syn_backlog"])
def test_a_small_table_does_not_make_the_limits_small(namespace, limit):
    name = f"net.ipv4.{limit}"
    assert namespace.read_sysctl(name) == Path(f"/proc/sys/net/ipv4/{limit}").read_text().split()
