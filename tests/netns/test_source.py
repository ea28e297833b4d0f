"""SRC: which address the server sees."""

import re

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import topology
from lab.netns.endpoint import Endpoint
from lab.peers.controls import shown_before
from lab.peers.hosts import bound_transparently
from lab.setup.variants import asymmetric, both_families, each_firewall_tool

CLIENT_PORT = 40_000
SHORT_RANGE = {"net.ipv4.ip_local_port_range": "50000 50009"}


@requirement("TP-SRC-01")
@both_families
@each_firewall_tool
def test_server_sees_the_clients_address(lab):
    lab.serve(source="clientip")
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.client.address
    assert flow.source_on_the_wire.address == lab.client.address


@requirement("TP-SRC-02")
@both_families
def test_server_sees_the_clients_port_too(lab):
    lab.serve(source="client")
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server == flow.client.local
    assert flow.source_on_the_wire == flow.client.local


@requirement("TP-SRC-03")
def test_an_ipv4_client_of_an_ipv6_listener_is_spoofed_as_ipv4(lab):
    lab.serve(source="clientip", listeners=[lab.listener(Endpoint("::", 8000), v6="v4v6")])
    flow = lab.client.connect(Endpoint(lab.proxy_address_to_clients, 8000))
    assert flow.peer_seen_by_server.address == lab.client.address


@requirement("TP-SRC-04")
@both_families
def test_a_client_port_in_use_is_refused_and_not_replaced(lab):
    """One client port, two VIPs, one server: both connections would have the same addresses and ports."""
    vips = [Endpoint(lab.vip_address(number), lab.vip.port) for number in (80, 81)]
    lab.serve(source="client", listeners=[lab.listener(vip) for vip in vips])
    source = Endpoint(lab.client.address, CLIENT_PORT)
    first = lab.client.connect(vips[0], source)
    how, data = lab.client.try_connect(vips[1], source)
    assert how in ("eof", "reset") and not data
    assert lab.server.no_connection_came()
    assert lab.sources_tried() == {lab.client.address}
    first.exchange()


@requirement("TP-SRC-05")
def test_a_client_port_in_use_has_its_own_reason_in_the_log(lab):
    """Each refusal is done three times: a word that differs from time to time, a random id say, is no reason."""
    proxy = lab.serve(source="client")
    clients = [Endpoint(lab.client.address, CLIENT_PORT + number) for number in range(6)]
    for taken in clients[:3]:
        lab.keep(bound_transparently(lab.proxy, taken))
    conflicts = [refusal_in_the_log(lab, proxy, taken) for taken in clients[:3]]
    lab.server.refuse()
    refused = [refusal_in_the_log(lab, proxy, free) for free in clients[3:]]
    reasons = common_words(conflicts), common_words(refused)
    assert reasons[0] != reasons[1], f"both have the same words in the log: {' '.join(sorted(reasons[0]))}"


def refusal_in_the_log(lab, proxy, client):
    """What a proxy logs about a client that is not served."""
    already = len(proxy.log())
    lab.client.try_connect(lab.vip, client)
    waiting.until(lambda: re.search(rf":{client.port}\b.*\n", proxy.log()[already:]), f"a log line with {client}")
    return proxy.log()[already:]


def common_words(texts):
    """Words that are in all of the texts and have no digit."""
    return set.intersection(*({word for word in re.findall(r"[\w.-]+", text) if not re.search(r"\d", word)} for text in texts))


@requirement("TP-SRC-06")
@both_families
def test_a_fixed_foreign_address_is_what_the_server_sees(lab):
    foreign = lab.vip_address(77)
    lab.serve(source={"mode": "foreign", "address": foreign})
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == foreign
    assert flow.source_on_the_wire.address == foreign


@requirement("TP-SRC-07")
@both_families
def test_without_a_source_the_server_sees_the_proxys_address(lab):
    lab.serve(source="none")
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.proxy.address
    assert flow.source_on_the_wire.address == lab.proxy.address


@requirement("TP-SRC-08")
@both_families
def test_a_fixed_address_of_the_host_is_what_the_server_sees(lab):
    own = lab.proxy_address_to_clients
    lab.serve(source={"mode": "address", "address": own})
    assert lab.client.connect(lab.vip).peer_seen_by_server.address == own


@requirement("TP-SRC-09")
@both_families
def test_a_server_of_the_other_family_gets_no_connection_at_all(lab):
    other = Endpoint(lab.server.addresses[10 - lab.family][0], lab.server_endpoint.port)
    proxy = lab.serve(source="clientip")
    with shown_before("a client of the server's own family is served"):
        lab.client.connect(lab.vip).close()
    proxy.stop()
    again = Endpoint(lab.vip.address, lab.vip.port + 1)  # whether the same port can be used at once is another requirement's
    lab.serve(source="clientip", listeners=[lab.listener(again)], servers=[other], **lab.short_connect())
    for _ in range(2):  # the second is refused by a proxy that has survived the first
        how, data = lab.client.try_connect(again)
        assert how in ("eof", "reset") and not data, f"{how} {data!r}"
    assert lab.server.no_connection_came()
    assert not lab.sources_tried(other)


@requirement("TP-SRC-10")
@both_families
def test_one_client_has_a_whole_port_range_for_each_server(lab):
    servers = [Endpoint(lab.server.address, port) for port in (lab.server_endpoint.port, lab.server_endpoint.port + 1)]
    lab.topology.proxy.sysctl(SHORT_RANGE)
    lab.serve(source="clientip", servers=servers)
    flows = [lab.client.connect(lab.vip) for _ in range(20)]
    assert {flow.peer_seen_by_server.address for flow in flows} == {lab.client.address}
    for flow in flows:
        flow.exchange()


@requirement("TP-SRC-11")
@both_families
def test_when_its_ports_are_used_up_a_client_is_refused(lab):
    lab.topology.proxy.sysctl(SHORT_RANGE)
    lab.serve(source="clientip", **lab.short_connect())
    flows = [lab.client.connect(lab.vip) for _ in range(10)]
    how, data = lab.client.try_connect(lab.vip)
    assert how in ("eof", "reset") and not data
    assert lab.server.no_connection_came()
    assert lab.sources_tried() == {lab.client.address}
    for flow in flows:
        flow.exchange()


@requirement("TP-SRC-12")
@both_families
def test_two_clients_at_the_same_time_keep_their_own_addresses(lab):
    lab.serve(source="clientip")
    addresses = [lab.client.address, lab.client.other_address] * 4
    flows = [lab.client.connect(lab.vip, Endpoint(address, 0)) for address in addresses]
    for flow, address in zip(flows, addresses):
        assert flow.peer_seen_by_server.address == address
        flow.exchange()


@requirement("TP-SRC-13")
@both_families
def test_another_client_is_served_while_one_has_used_its_ports_up(lab):
    lab.topology.proxy.sysctl(SHORT_RANGE)
    lab.serve(source="clientip")
    flows = [lab.client.connect(lab.vip) for _ in range(10)]
    other = lab.client.connect(lab.vip, Endpoint(lab.client.other_address, 0))
    assert other.peer_seen_by_server.address == lab.client.other_address
    assert len(flows) == 10


@requirement("TP-SRC-14")
@both_families
def test_a_clients_port_may_be_used_again_at_once(lab):
    """The client closes and connects again from the same port, like NAT devices."""
    lab.serve(source="client")
    source = Endpoint(lab.client.address, CLIENT_PORT)
    for _ in range(5):
        flow = lab.client.connect(lab.vip, source)
        assert flow.peer_seen_by_server == source
        flow.client.reset()
        assert flow.server.ending()[0] in ("eof", "reset")
        flow.server.close()


@requirement("TP-SRC-15")
@both_families
def test_client_side_and_server_side_can_have_the_same_addresses_and_ports(lab):
    """The proxy listens at the server's own address: client side and server side differ only in direction."""
    lab.serve(source="client", listeners=[lab.listener(lab.server_endpoint)])
    flow = lab.client.connect(lab.server_endpoint)
    assert (flow.peer_seen_by_server, flow.server.local) == (flow.client.local, flow.client.peer)
    assert ("ESTABLISHED", lab.server_endpoint, flow.client.local) in lab.proxy.sockets()
    flow.exchange(1 << 20)


@requirement("TP-SRC-16")
@both_families
def test_a_connection_to_the_server_is_never_used_for_another_client(lab):
    """The server's ends stay open, so no port of the proxy's host is used again."""
    proxy, used = lab.serve(), set()
    for address in (lab.client.address, lab.client.other_address, lab.client.address):
        flow = lab.client.connect(lab.vip, Endpoint(address, 0))
        if proxy.uses_clients_address:
            assert flow.peer_seen_by_server.address == address
        assert flow.peer_seen_by_server not in used
        used.add(flow.peer_seen_by_server)
        flow.exchange()
        flow.client.close()


@requirement("TP-HOST-05")
@asymmetric
@both_families
def test_a_server_that_answers_past_the_proxy_gets_no_connection(lab):
    lab.serve(source="clientip", **lab.short_connect())
    how, data = lab.client.try_connect(lab.vip)
    assert how in ("eof", "reset") and not data
    assert lab.server.no_connection_came()
    lab.must_have_tried()
    assert lab.sources_tried() == {lab.client.address}
    went_past = lab.taps_by_name["server-direct0"].segments()
    client, server = lab.client.address, lab.server_endpoint
    assert any(s.source == server and s.destination.address == client for s in went_past)


@requirement("TP-HOST-06")
@asymmetric
@both_families
def test_that_server_works_when_the_proxy_uses_its_own_address(lab):
    lab.serve(source="none")
    assert lab.client.connect(lab.vip).peer_seen_by_server.address == lab.proxy.address


@requirement("TP-HOST-07")
@both_families
def test_a_host_route_through_the_proxy_fixes_it(lab):
    """As when the server is in the client's own subnet and has a direct route."""
    topology.add_direct_link(lab.topology)
    lab.serve(source="clientip", **lab.short_connect())
    assert not lab.client.try_connect(lab.vip)[1]
    length = 32 if lab.family == 4 else 128
    gateway = topology.address(topology.SERVER_NET[lab.family], topology.PROXY_HOST)
    lab.topology.server.ip(f"route add {lab.client.address}/{length} via {gateway}")
    assert lab.client.connect(lab.vip).peer_seen_by_server.address == lab.client.address


@requirement("TP-SRC-19")
@both_families
def test_a_client_port_that_is_taken_on_the_proxys_host_is_refused(lab):
    """Another program there listens at the client's address and port, so no other socket can be bound to them."""
    lab.serve(source="client")
    taken = Endpoint(lab.client.address, CLIENT_PORT)
    lab.keep(bound_transparently(lab.proxy, taken))
    how, data = lab.client.try_connect(lab.vip, taken)
    assert how in ("eof", "reset") and not data
    assert lab.server.no_connection_came(), "the proxy connected to the server, although the client's port was taken"
    assert lab.sources_tried() <= {lab.client.address}
    free = Endpoint(lab.client.address, CLIENT_PORT + 1)
    assert lab.client.connect(lab.vip, free).peer_seen_by_server == free
