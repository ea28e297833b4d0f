"""UDP: datagrams reach the server from the client's address, and answers reach the client from the VIP."""

import errno
import itertools

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import counters, topology
from lab.netns.endpoint import Endpoint
from lab.peers import datagrams, proxy_protocol
from lab.peers.datagrams import Peer
from lab.setup import steering
from lab.setup.variants import both_families


@requirement("TP-UDP-01")
@both_families
def test_a_datagram_reaches_the_server_from_the_clients_address(lab):
    server = steering.serve_datagrams(lab, source="clientip")
    seen = datagrams.exchange(lab, server, Peer(lab.client), b"a question")
    assert seen.address == lab.client.address
    assert (seen, lab.server_endpoint, b"a question") in lab.server_link.datagrams()


@requirement("TP-UDP-02")
@both_families
def test_the_clients_port_is_kept_with_it(lab):
    server = steering.serve_datagrams(lab, source="client")
    client = Peer(lab.client)
    assert datagrams.exchange(lab, server, client, b"a question") == client.local
    assert (client.local, lab.server_endpoint, b"a question") in lab.server_link.datagrams()


@requirement("TP-UDP-03")
@both_families
def test_answers_come_from_the_address_and_port_that_the_client_sent_to(lab):
    server, client = steering.serve_datagrams(lab), Peer(lab.client)
    client.send(b"a question", lab.vip)
    _, seen = server.receive()
    for answer in (b"one", b"two", b"three"):
        server.send(answer, seen)
        assert client.receive() == (answer, lab.vip)
    assert (lab.vip, client.local, b"one") in lab.taps_by_name["client-eth0"].datagrams()


@requirement("TP-UDP-04")
@both_families
def test_clients_at_the_same_time_get_their_own_answers_and_no_others(lab):
    server = steering.serve_datagrams(lab, source="clientip")
    clients = [Peer(lab.client, Endpoint(address, 0)) for address in lab.client.addresses[lab.family] * 2]
    seen = []
    for number, client in enumerate(clients):
        client.send(b"question %d" % number, lab.vip)
        data, source = server.receive()
        assert (data, source.address) == (b"question %d" % number, client.local.address)
        seen.append(source)
    for number in (2, 0, 3, 1):
        server.send(b"answer %d" % number, seen[number])
    for number, client in enumerate(clients):
        assert client.receive() == (b"answer %d" % number, lab.vip)


@requirement("TP-UDP-05")
@both_families
def test_every_datagram_stays_one_datagram(lab):
    server, client = steering.serve_datagrams(lab), Peer(lab.client)
    sent = [bytes([number]) * size for number, size in enumerate((1, 3, 500, 1, 1400, 2))]
    for data in sent:
        client.send(data, lab.vip)
    received = [server.receive() for _ in sent]
    assert sorted(data for data, _ in received) == sorted(sent)
    for data in sent:
        server.send(data, received[0][1])
    assert sorted(client.receive()[0] for _ in sent) == sorted(sent)


@requirement("TP-UDP-06")
@both_families
def test_an_empty_datagram_is_passed_on_in_both_directions(lab):
    server, client = steering.serve_datagrams(lab), Peer(lab.client)
    client.send(b"", lab.vip)
    client.send(b"behind it", lab.vip)
    (first, seen), (second, _) = server.receive(), server.receive()
    assert (first, second) == (b"", b"behind it")
    server.send(b"", seen)
    server.send(b"behind it", seen)
    assert [client.receive()[0] for _ in range(2)] == [b"", b"behind it"]


@requirement("TP-UDP-07")
@both_families
def test_a_datagram_larger_than_the_links_packets_arrives_whole(lab):
    server, client = steering.serve_datagrams(lab), Peer(lab.client)
    large = bytes(range(256)) * 200
    datagrams.exchange(lab, server, client, large)


@requirement("TP-UDP-08")
@both_families
def test_a_silent_flow_is_forgotten_and_a_new_one_begins(lab):
    """Each flow has a socket. When all flows have been silent, the proxy has only the sockets of its listeners."""
    server = steering.serve_datagrams(lab, timeouts={"client": 300, "server": 300})
    idle = len(lab.proxy.datagram_sockets())
    client = Peer(lab.client)
    datagrams.exchange(lab, server, client, b"a question")
    waiting.until(lambda: len(lab.proxy.datagram_sockets()) == idle, "the flow's socket is closed")
    datagrams.exchange(lab, server, client, b"another")


@requirement("TP-UDP-09")
@both_families
def test_an_unreachable_port_ends_neither_the_proxy_nor_later_datagrams(lab):
    proxy, client = unheard(lab)
    server = Peer(lab.server, lab.server_endpoint)
    client.send(b"a question", lab.vip)
    data, seen = server.receive()
    assert data == b"a question"
    server.send(b"an answer", seen)
    while client.receive() != (b"an answer", lab.vip):
        pass
    proxy.check()


@requirement("TP-UDP-12")
@both_families
def test_a_client_gets_nothing_that_its_server_did_not_send(lab):
    _, client = unheard(lab)
    server = Peer(lab.server, lab.server_endpoint)
    datagrams.exchange(lab, server, client, b"a question")


@requirement("TP-UDP-20")
@both_families
@pytest.mark.parametrize("source", ["none", "clientip", "client"])
def test_intercepted_datagrams_reach_where_they_were_sent_to(lab, source):
    """One socket of a client sends to two servers in turn; two clients send at the same time."""
    port = lab.server_endpoint.port
    servers = [Peer(lab.server, Endpoint(address, port)) for address in lab.server.addresses[lab.family]]
    steering.intercept_datagrams(lab, port, port)
    listener = lab.listener(Endpoint("0.0.0.0" if lab.family == 4 else "::", port), transparent=True)
    steering.start_for_datagrams(lab, source, listeners=[listener], servers=[], destination="original")
    clients = [Peer(lab.client), Peer(lab.client)]
    seen = {}
    for number, (client, server) in enumerate(itertools.product([*clients, *clients], servers)):
        client.send(b"question %d" % number, server.local)
        data, seen[client, server] = server.receive()
        assert data == b"question %d" % number
        assert seen[client, server].address == (lab.proxy.address if source == "none" else lab.client.address)
        assert source != "client" or seen[client, server] == client.local
    for (client, server), address in seen.items():
        server.send(b"an answer", address)
        assert client.receive() == (b"an answer", server.local)


@requirement("TP-UDP-19")
@both_families
def test_what_the_proxy_sends_is_dropped_when_it_is_diverted_to_the_proxy_again(lab):
    """Each exchange of another client is behind what goes round, so that goes round as often at least."""
    port, exchanges = lab.server_endpoint.port, 20
    again = Endpoint(lab.server.other_address, port)
    wildcard = lab.listener(Endpoint("0.0.0.0" if lab.family == 4 else "::", port), transparent=True, server=1)
    servers = [lab.server_endpoint, again]
    steering.intercept_datagrams(lab, port, port)
    server = steering.serve_datagrams(lab, source="none", listeners=[lab.listener(server=0), wildcard], servers=servers)
    steering.intercept_own(lab, again, port, "udp")
    before = counters.total(lab.proxy.namespace, "UdpOutDatagrams", "Udp6OutDatagrams")

    def sent():
        return counters.total(lab.proxy.namespace, "UdpOutDatagrams", "Udp6OutDatagrams") - before

    Peer(lab.client).send(b"round and round", Endpoint(lab.vip_address(81), port))
    waiting.until(lambda: sent() >= 1, "the proxy sends the datagram to the server")
    client = Peer(lab.client)
    for _ in range(exchanges):
        datagrams.exchange(lab, server, client, b"a question")
    times = sent() - 2 * exchanges
    assert times == 1, f"the proxy sent one datagram {times} times"


@requirement("TP-UDP-17")
@both_families
def test_each_datagram_has_a_proxy_header_of_its_own(lab):
    server, client = steering.serve_datagrams(lab, server_fields={"proxy_protocol": "v2"}), Peer(lab.client)
    header = proxy_protocol.write("v2", client.local, lab.vip, transport=2)
    for text in (b"one", b"two", b"", b"four"):
        client.send(text, lab.vip)
        data, seen = server.receive()
        assert data == header + text
        server.send(b"an answer", seen)
        assert client.receive() == (b"an answer", lab.vip)


@requirement("TP-UDP-18")
@both_families
def test_a_client_learns_that_the_servers_port_is_unreachable(lab):
    """Its socket is connected to the VIP, so its kernel reports errors about datagrams to the VIP and no others."""
    steering.start_for_datagrams(lab)
    for _ in range(2):
        client = Peer(lab.client)
        client.connect(lab.vip)
        client.send(b"no socket gets it")
        assert client.error() == errno.ECONNREFUSED
        client.close()
    server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
    datagrams.exchange(lab, server, client, b"and then one does")


def unheard(lab):
    """A proxy, and a client with a datagram that arrived at a port where no socket listens."""
    proxy = steering.start_for_datagrams(lab)
    client = Peer(lab.client)
    client.send(b"no socket gets it", lab.vip)
    waiting.until(
        lambda: counters.total(lab.server.namespace, "IcmpOutDestUnreachs", "Icmp6OutDestUnreachs"),
        "the server's host reports that the port is unreachable",
    )
    proxy.check()
    return proxy, client


@requirement("TP-UDP-10")
@both_families
def test_without_a_source_the_server_sees_the_proxys_address(lab):
    server = steering.serve_datagrams(lab, source="none")
    assert datagrams.exchange(lab, server, Peer(lab.client), b"a question").address == lab.proxy.address


@requirement("TP-UDP-11")
@both_families
def test_a_client_keeps_its_flow_as_long_as_it_is_used(lab):
    server, client = steering.serve_datagrams(lab), Peer(lab.client)
    seen = {datagrams.exchange(lab, server, client, b"question %d" % number) for number in range(5)}
    assert len(seen) == 1


@requirement("TP-UDP-13")
@both_families
def test_one_client_of_two_addresses_gets_each_answer_from_the_address_it_asked(lab):
    """One socket of the client sends to both addresses in turn, so only its destination tells the two flows apart."""
    vips = [lab.vip, Endpoint(lab.vip_address(81), lab.vip.port)]
    server = steering.serve_datagrams(lab, listeners=[lab.listener(vip) for vip in vips])
    client = Peer(lab.client)
    seen = {}
    for number, vip in enumerate([*vips, *vips]):
        client.send(b"question %d" % number, vip)
        data, seen[vip] = server.receive()
        assert data == b"question %d" % number
    for number, vip in enumerate(reversed(vips)):
        server.send(b"answer %d" % number, seen[vip])
        data, source = client.receive()
        assert data == b"answer %d" % number
        assert source == vip, f"the answer to a question to {vip} came from {source}"


@requirement("TP-UDP-15")
@both_families
def test_a_server_to_which_there_is_no_route_disturbs_no_other_clients(lab):
    nowhere = Endpoint(lab.vip_address(81), lab.vip.port)
    listeners = [lab.listener(server=0), lab.listener(nowhere, server=1)]
    servers = [lab.server_endpoint, Endpoint(topology.nowhere(lab.family), lab.server_endpoint.port)]
    server = Peer(lab.server, lab.server_endpoint)
    proxy = steering.start_for_datagrams(lab, listeners=listeners, servers=servers)
    other, client = Peer(lab.client), Peer(lab.client)
    for _ in range(3):
        other.send(b"no route leads there", nowhere)
        datagrams.exchange(lab, server, client, b"a question")
    proxy.check()


@requirement("TP-UDP-16")
@both_families
def test_a_second_instance_for_datagrams_on_the_same_port_does_not_start(lab):
    server = steering.serve_datagrams(lab)
    second = lab.start(protocol="udp")
    assert second.await_end() != 0
    datagrams.exchange(lab, server, Peer(lab.client), b"a question")


class Proxied(Peer):
    """A proxy in front of the one under test: its datagrams name a client by their header."""

    def send_for(self, client, asked, data):
        self.send_bare(proxy_protocol.write("v2", client, asked, transport=2) + data)


def serve_headers(lab, source="clientip", **rest):
    """A server, and a sender whose datagrams have headers; replies to it have none."""
    server = steering.serve_datagrams(lab, source, listeners=[lab.listener(proxy_protocol="v2")], **rest)
    sender = Proxied(lab.client)
    sender.connect(lab.vip)
    return server, sender


def named_clients(lab, count):
    """So many clients that only a header names: their host answers for all of them."""
    addresses = lab.client.addresses[lab.family]
    return [Endpoint(addresses[number % len(addresses)], 50_000 + number) for number in range(count)]


@requirement("TP-UDP-21")
@both_families
def test_a_datagrams_header_names_the_client_that_the_server_sees(lab):
    server, sender = serve_headers(lab)
    client, asked = named_clients(lab, 2)[1], Endpoint(lab.vip_address(81), 5_000)
    assert client.address != sender.local.address
    for data in (b"one", b"", b"three"):
        sender.send_for(client, asked, data)
        received, seen = server.receive()
        assert (received, seen.address) == (data, client.address)
        server.send(b"an answer", seen)
        assert sender.receive() == (b"an answer", lab.vip)


@requirement("TP-UDP-21")
@both_families
def test_a_datagrams_header_is_written_anew_for_the_server(lab):
    """The server sees what the first proxy saw: the client, and where that sent to."""
    server, sender = serve_headers(lab, server_fields={"proxy_protocol": "v2"})
    client, asked = named_clients(lab, 2)[1], Endpoint(lab.vip_address(81), 5_000)
    sender.send_for(client, asked, b"a question")
    assert server.receive()[0] == proxy_protocol.write("v2", client, asked, transport=2) + b"a question"


@requirement("TP-UDP-22")
@both_families
def test_clients_that_one_sender_names_have_a_flow_each(lab):
    server, sender = serve_headers(lab)
    clients = named_clients(lab, 6)
    seen = {}
    for number, client in enumerate([*clients, *reversed(clients)]):
        sender.send_for(client, lab.vip, b"%d" % number)
        data, source = server.receive()
        assert (data, source.address) == (b"%d" % number, client.address)
        assert seen.setdefault(client, source) == source
    assert len(set(seen.values())) == len(clients)


@requirement("TP-UDP-23")
@both_families
def test_a_datagram_without_a_whole_header_is_dropped(lab):
    server, sender = serve_headers(lab, source=None)
    client = named_clients(lab, 1)[0]
    header = proxy_protocol.write("v2", client, lab.vip, transport=2)
    connection = proxy_protocol.write("v2", client, lab.vip)
    text = proxy_protocol.write("v1", client, lab.vip)
    for wrong in (b"", b"a question", header[:-1], header[:14], header[1:] + b"\0", text + b"a question", connection + b"a question"):
        sender.send_bare(wrong)
    sender.send_for(client, lab.vip, b"the first that arrives")
    assert server.receive()[0] == b"the first that arrives"
