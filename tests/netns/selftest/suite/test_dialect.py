"""A proxy that takes clients from PROXY headers alone gets them, before a connection's bytes and in each datagram."""

from pathlib import Path

import pytest

from lab.peers import datagrams
from lab.peers.datagrams import Peer
from lab.peers.proxy import adapter
from lab.setup import steering
from lab.setup.lab import Lab
from lab.setup.variants import both_families

pytestmark = pytest.mark.suite


@pytest.fixture
def lab(family):
    made = Lab(adapter(str(Path(__file__).with_name("header-proxy"))), family)
    yield made
    made.close()


@both_families
def test_a_connection_begins_with_a_header(lab):
    lab.serve("clientip")
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    assert flow.peer_seen_by_server.address == lab.client.address


@both_families
def test_each_datagram_begins_with_a_header(lab):
    server, client = steering.serve_datagrams(lab, source="client"), Peer(lab.client)
    for question in (b"one", b"two"):
        assert datagrams.exchange(lab, server, client, question) == client.local


@both_families
def test_what_is_not_for_the_proxy_has_none(lab):
    server, client = Peer(lab.server), Peer(lab.client)
    client.send(b"past the proxy", server.local)
    assert server.receive()[0] == b"past the proxy"
