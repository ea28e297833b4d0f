"""DST: connections to any address are accepted and reach their destination."""

import ipaddress
import random
import secrets

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import counters, topology
from lab.netns.endpoint import Endpoint
from lab.peers import proxy_protocol
from lab.peers.controls import shown_before
from lab.peers.hosts import TOKEN
from lab.setup import steering
from lab.setup.variants import both_families

PORT = 3129
PROGRAM = 8022  # of a program on the proxy's host
TRIES = 9  # at most so many attempts are for one client, where a proxy tries again
MANY = 1024  # descriptors: where maxconn is not offered, they end a loop
ANY = {4: "0.0.0.0", 6: "::"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
# No server can have them: loopback, unspecified (to which Linux connects as to loopback), multicast, broadcast.
NOWHERE = {
    4: [LOOPBACK[4], "127.1.2.3", ANY[4], "224.0.0.9", "255.255.255.255", "203.0.113.255"],
    6: [LOOPBACK[6], ANY[6], "ff0e::9", "::ffff:127.0.0.1"],
}
# The widest network for documentation that the clients and servers of the lab leave free; IPv4 has none wider than /24.
WIDE = {4: "192.0.2.0/24", 6: "2001:db8:7::/64"}


def intercept(lab, source=None, fields=None, **rest):
    """Start the proxy on a wildcard address, and divert every connection of clients to it. `fields` are the listener's."""
    steering.intercept(lab, PORT)
    listener = lab.listener(Endpoint(ANY[lab.family], PORT), **(fields or {}))
    return lab.start(source, [listener], [], destination="original", **rest).await_ready()


def destinations(lab, *ports):
    """Ports on both addresses of the server; the server listens at each."""
    found = [Endpoint(address, port) for address in lab.server.addresses[lab.family] for port in ports]
    for each in found:
        lab.server.serve(each)
    return found


def went_through(lab, flow):
    """Whether the proxy has accepted a client's connection, so that it was not only forwarded."""
    return ("ESTABLISHED", flow.client.peer, flow.client.local) in lab.proxy.sockets()


@requirement("TP-DST-01")
@both_families
def test_a_connection_to_any_address_goes_to_that_address(lab):
    intercept(lab)
    for destination in destinations(lab, 8080):
        flow = lab.client.connect(destination)
        assert flow.server.local == destination
        assert went_through(lab, flow)
        flow.exchange()


@requirement("TP-DST-02")
@both_families
def test_the_destination_port_of_a_client_is_kept(lab):
    intercept(lab)
    for destination in destinations(lab, 25, 443, 40_000):
        flow = lab.client.connect(destination)
        assert flow.server.local == destination
        assert went_through(lab, flow)


@requirement("TP-DST-03")
@both_families
def test_connections_to_several_destinations_at_the_same_time_keep_apart(lab):
    intercept(lab)
    wanted = destinations(lab, 80, 8080)
    flows = [lab.client.connect(destination) for destination in wanted]
    assert [flow.server.local for flow in flows] == wanted
    for flow in flows:
        flow.exchange()


@requirement("TP-DST-04")
@both_families
def test_the_destination_sees_the_clients_address(lab):
    intercept(lab, source="clientip")
    flow = lab.client.connect(destinations(lab, 8080)[0])
    assert flow.peer_seen_by_server.address == lab.client.address
    assert flow.source_on_the_wire.address == lab.client.address
    assert went_through(lab, flow)


@requirement("TP-DST-05")
@both_families
def test_without_a_source_the_destination_sees_the_proxys_address(lab):
    intercept(lab, source="none")
    flow = lab.client.connect(destinations(lab, 8080)[0])
    assert flow.peer_seen_by_server.address == lab.proxy.address


@requirement("TP-DST-06")
@both_families
def test_client_side_and_server_side_can_have_the_same_addresses_and_ports(lab):
    intercept(lab, source="client")
    flow = lab.client.connect(destinations(lab, 8080)[0])
    assert (flow.peer_seen_by_server, flow.server.local) == (flow.client.local, flow.client.peer)
    assert went_through(lab, flow)
    flow.exchange(1 << 20)


@requirement("TP-DST-07")
@both_families
def test_a_destination_that_refuses_ends_the_clients_connection(lab):
    intercept(lab)
    refusing = Endpoint(lab.server.address, 8081)
    how, data = lab.client.try_connect(refusing)
    assert how in ("eof", "reset", "refused") and not data
    assert lab.sources_tried(refusing), "the proxy did not try to connect there"
    lab.client.connect(destinations(lab, 8080)[0]).exchange()


@requirement("TP-DST-08")
@both_families
def test_a_client_that_connects_to_the_proxy_itself_is_refused_and_others_are_served(lab):
    """Without this check, the proxy would connect to itself again and again."""
    intercept(lab, source="none", nofile=MANY, **lab.wished("maxconn", maxconn=40))
    own = Endpoint(lab.proxy_address_to_clients, PORT)
    how, data = lab.client.try_connect(own)
    assert how in ("eof", "reset", "refused") and not data
    assert not [1 for _, local, remote in lab.proxy.sockets() if PORT == remote.port and local.port != PORT]
    lab.client.connect(destinations(lab, 8080)[0]).exchange()


@requirement("TP-DST-09")
@both_families
def test_a_destination_to_which_there_is_no_route_ends_the_clients_connection(lab):
    intercept(lab)
    how, data = lab.client.try_connect(Endpoint(lab.vip_address(99), 8080))
    assert how in ("eof", "reset", "refused", "unreachable") and not data
    lab.client.connect(destinations(lab, 8080)[0]).exchange()


@requirement("TP-DST-11")
@both_families
def test_what_the_proxy_sends_is_refused_when_it_is_diverted_to_the_proxy_again(lab):
    again, other = destinations(lab, 8080, 8081)[:2]
    intercept(lab, source="none", nofile=MANY, **lab.wished("maxconn", maxconn=40))
    steering.intercept_own(lab, again, PORT)
    before = counters.total(lab.proxy.namespace, "TcpActiveOpens")
    how, data = lab.client.try_connect(again)
    tries = counters.total(lab.proxy.namespace, "TcpActiveOpens") - before
    assert how in ("eof", "reset", "refused") and not data
    assert 1 <= tries <= TRIES, f"the proxy connected {tries} times for one client"
    lab.client.connect(other).exchange()


@requirement("TP-DST-11")
@both_families
def test_a_listener_at_one_address_refuses_what_the_proxy_sends_too(lab):
    """The listener has to be a transparent one: packets are handed to no other."""
    listener = lab.listener(transparent=True)
    lab.serve("none", listeners=[listener], nofile=MANY, **lab.wished("maxconn", maxconn=40))
    lab.client.connect(lab.vip).exchange()
    steering.intercept_own(lab, lab.server_endpoint, lab.vip.port, address=lab.vip.address)
    before = counters.total(lab.proxy.namespace, "TcpActiveOpens")
    how, data = lab.client.try_connect(lab.vip)
    tries = counters.total(lab.proxy.namespace, "TcpActiveOpens") - before
    assert how in ("eof", "reset", "refused") and not data
    assert 1 <= tries <= TRIES, f"the proxy connected {tries} times for one client"


@requirement("TP-DST-15")
@both_families
@pytest.mark.parametrize("source", ["clientip", "client"])
def test_what_comes_back_with_the_clients_address_makes_no_further_connection(lab, source):
    """Its answers go to the client, who did not ask for them. So no connection is there that could be accepted."""
    again, other = destinations(lab, 8080, 8081)[:2]
    intercept(lab, source=source, nofile=MANY, **lab.wished("maxconn", maxconn=40), **lab.short_connect())
    steering.intercept_own(lab, again, PORT)
    before = counters.total(lab.proxy.namespace, "TcpActiveOpens")
    how, data = lab.client.try_connect(again)
    tries = counters.total(lab.proxy.namespace, "TcpActiveOpens") - before
    assert how in ("eof", "reset", "refused") and not data
    assert 1 <= tries <= TRIES, f"the proxy connected {tries} times for one client"
    lab.client.connect(other).exchange()


@requirement("TP-DST-12")
@both_families
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_no_connection_is_made_to_an_address_that_no_server_can_have(lab, version):
    """A PROXY header can name one; no packet with such a destination comes this far."""
    intercept(lab, source="none", fields={"proxy_protocol": version})
    usual, token = destinations(lab, 8080)[0], secrets.token_bytes(TOKEN)
    with shown_before("a client with another destination is served"):
        there = proxy_protocol.connect(lab, proxy_protocol.write(version, Endpoint(lab.client.address, 4001), usual), token)
        lab.server.take(token, there)
    program = lab.proxy.listen(Endpoint(LOOPBACK[lab.family], PROGRAM))
    client = Endpoint(lab.client.address, 4000)
    for address in NOWHERE[lab.family]:
        there = proxy_protocol.connect(lab, proxy_protocol.write(version, client, Endpoint(address, PROGRAM)), b"?")
        how, data = there.ending()
        assert how in ("eof", "reset") and not data, address
    assert not waiting.readable([program], 0), "the proxy connected to a program of its own host"


@requirement("TP-DST-13")
@both_families
def test_a_client_reaches_no_program_on_the_proxys_host(lab):
    """It would take the client for its own host, which it may trust. The rules leave out programs at one address alone."""
    intercept(lab, source="none")
    listener = lab.proxy.listen(Endpoint(ANY[lab.family], PROGRAM))
    how, data = lab.client.try_connect(Endpoint(lab.proxy_address_to_clients, PROGRAM))
    assert how in ("eof", "reset", "refused") and not data
    assert not waiting.readable([listener], 0), "the proxy connected to a program of its own host"
    lab.client.connect(destinations(lab, 8080)[0]).exchange()


@requirement("TP-DST-14")
@both_families
def test_one_listener_serves_each_address_of_a_wide_network(lab, pytestconfig):
    wide = ipaddress.ip_network(WIDE[lab.family])
    lab.topology.server.ip(f"route add local {wide} dev lo")
    lab.topology.server.sysctl({"net.ipv6.ip_nonlocal_bind": 1}, where_known=True)
    if lab.makes_vips_local:  # they have half of the IPv4 network, and no part in this
        lab.topology.proxy.ip(f"route del local {topology.VIP_NET[lab.family]} dev lo")
    lab.topology.proxy.ip(f"route add {wide} via {lab.server.address}")
    intercept(lab)
    numbers = random.Random(pytestconfig.option.seed)
    first, last = wide[1], wide[wide.num_addresses - 2]
    for address in (first, last, *(wide[numbers.randrange(2, wide.num_addresses - 2)] for _ in range(20))):
        destination = Endpoint(str(address), numbers.randrange(1024, 60_000))
        lab.server.serve(destination)
        flow = lab.client.connect(destination)
        assert flow.server.local == destination
        assert went_through(lab, flow)
        flow.exchange()


@requirement("TP-DST-14")
def test_one_listener_serves_both_families(lab):
    """Each client reaches an address of its own family."""
    steering.intercept(lab, PORT)
    listener = lab.listener(Endpoint("::", PORT), v6="v4v6")
    lab.start(None, [listener], [], destination="original").await_ready()
    for family in (4, 6):
        destination = Endpoint(lab.server.addresses[family][0], 8080)
        lab.server.serve(destination)
        flow = lab.client.connect(destination)
        assert flow.server.local == destination
        flow.exchange()


@requirement("TP-BIND-13")
@both_families
def test_a_wildcard_listener_serves_addresses_that_the_host_does_not_have(lab):
    """TPROXY names the listener. A `socket` match alone would not find a listener on a wildcard address."""
    steering.intercept(lab, PORT)
    lab.serve(source="none", listeners=[lab.listener(Endpoint(ANY[lab.family], PORT))])
    for vip in (lab.vip, Endpoint(lab.vip_address(81), 443)):
        flow = lab.client.connect(vip)
        assert went_through(lab, flow)
        flow.exchange()
