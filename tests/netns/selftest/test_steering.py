"""What rules for sockets leave alone."""

import pytest

from lab import datagrams, steering, topology
from lab.lab import Lab
from lab.proxy import Implementation
from lab.recipe import BACKENDS

pytestmark = pytest.mark.suite

LARGE = bytes(range(256)) * 20  # more than a packet holds
SMALL = b"behind it"


@pytest.fixture(params=[(backend, family) for backend in BACKENDS for family in topology.FAMILIES], ids=str)
def lab(request):
    """A proxy whose rules for datagrams are those for sockets alone."""
    backend, family = request.param
    made = Lab(Implementation("falsifiers/correct"), family, "inline", backend)
    steering.divert_whole_datagrams(made)
    made.start("clientip", protocol="udp").await_ready()
    yield made
    made.close()


def test_fragments_are_put_together_by_iptables_socket_match_and_not_by_nfts(lab):
    """Nothing gets lost on these links: what does not come before the next datagram does not come."""
    server, client = datagrams.Peer(lab.server, lab.backend_server), datagrams.Peer(lab.client)
    for data in (LARGE, SMALL):
        client.send(data, lab.vip)
    arrive = [SMALL] if lab.backend == "nft" else [LARGE, SMALL]
    assert [server.receive()[0] for _ in arrive] == arrive
    steering.divert_datagrams(lab)  # adds nft's tproxy
    client.send(LARGE, lab.vip)
    assert server.receive()[0] == LARGE
