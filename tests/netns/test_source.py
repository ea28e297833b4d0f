"""SRC: where the connection to the server comes from."""

import pytest

from lab.requirements import requirement

both_families = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
each_backend = pytest.mark.parametrize("backend", ["iptables", "iptables-legacy"])


@requirement("TP-SRC-01")
@both_families
@each_backend
def test_server_sees_the_clients_address(lab):
    lab.serve(source="clientip")
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.client.address
    assert flow.source_on_the_wire.address == lab.client.address
