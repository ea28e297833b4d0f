"""DST: connections to any address are accepted and reach their destination."""

from lab.conformance.requirements import requirement
from lab.netns.endpoint import Endpoint
from lab.setup import steering
from lab.setup.variants import both_families

PORT = 3129
MANY = 1024  # descriptors: where maxconn is not offered, they end a loop
ANY = {4: "0.0.0.0", 6: "::"}


def intercept(lab, source=None, **rest):
    """Start the proxy on a wildcard address, and divert every connection of clients to it."""
    steering.intercept(lab, PORT)
    lab.start(source, [lab.listener(Endpoint(ANY[lab.family], PORT))], [], destination="original", **rest).await_ready()


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
