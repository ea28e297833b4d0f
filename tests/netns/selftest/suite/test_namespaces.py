"""Namespaces of the lab: quick to look into, and otherwise like any other."""

import socket
from pathlib import Path

import pytest

from lab.netns import hoststate, kernel
from lab.netns.endpoint import socket_family
from lab.netns.isolation import CONNECTION_CHAINS
from lab.netns.namespace import Namespace
from lab.netns.topology import await_running

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


@pytest.mark.parametrize("family, net, silent", [(4, "198.51.100.1/24", "198.51.100.9"), (6, "2001:db8:c::1/64", "2001:db8:c::9")])
def test_a_question_for_an_address_that_has_no_answer_yet_is_seen(namespace, family, net, silent):
    if family not in kernel.families():
        pytest.skip(f"absent: IPv{family}")
    namespace.ip("link add one type veth peer two", "link set two up", "link set one up", f"addr add {net} dev one{' nodad' if family == 6 else ''}")
    await_running(namespace, "one")
    assert not hoststate.asks_for_addresses(namespace)
    with namespace, socket.socket(socket_family(silent), socket.SOCK_DGRAM) as asking:
        asking.sendto(b"?", (silent, 9))
    assert hoststate.asks_for_addresses(namespace)
