"""Rules for sockets by nft do not match datagrams in fragments."""

import pytest

from lab.netns import firewall, topology
from lab.peers import datagrams
from lab.peers.proxy import adapter
from lab.setup import by_apply, recipe, steering
from lab.setup.lab import Lab

pytestmark = pytest.mark.suite

LARGE = bytes(range(256)) * 20  # more than a packet holds
SMALL = b"behind it"

by_each = pytest.mark.parametrize("firewall_tool, family", [(each, family) for each in firewall.FIREWALL_TOOLS for family in topology.FAMILIES])


@pytest.fixture
def lab(firewall_tool, family):
    """A proxy for datagrams on a host that is not set up."""
    made = Lab(adapter("falsifiers/correct"), family, "inline", firewall_tool, divert=False)
    made.topology.announce()
    made.start("clientip", protocol="udp").await_ready()
    yield made
    made.close()


@by_each
def test_fragments_are_put_together_by_iptables_socket_match_and_not_by_nfts(lab):
    """No packet gets lost on these links: a datagram that has not arrived before the next one never arrives."""
    recipe.apply(lab.proxy.namespace, "divert", lab.families, lab.firewall_tool)
    steering.divert_whole_datagrams(lab)
    server, client = datagrams.Peer(lab.server, lab.server_endpoint), datagrams.Peer(lab.client)
    for data in (LARGE, SMALL):
        client.send(data, lab.vip)
    arrive = [SMALL] if lab.firewall_tool == "nft" else [LARGE, SMALL]
    assert [server.receive()[0] for _ in arrive] == arrive
    steering.divert_datagrams(lab)  # adds nft's tproxy
    client.send(LARGE, lab.vip)
    assert server.receive()[0] == LARGE


@by_each
def test_fragments_pass_in_both_directions_where_apply_has_set_the_host_up(lab):
    by_apply.apply(lab.proxy.namespace, "divert", lab.firewall_tool, datagrams=True)
    server, client = datagrams.Peer(lab.server, lab.server_endpoint), datagrams.Peer(lab.client)
    assert datagrams.exchange(lab, server, client, LARGE).address == lab.client.address
