"""Who is who: clients that come at the same time, or that differ in one thing only, are kept apart.

A proxy that is stopped (SIGSTOP) while clients connect finds all of them in its listener's queue. So it accepts them in
one turn of its loop, where what it keeps of one client can be taken for that of another.
"""

import secrets

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import topology
from lab.netns.endpoint import Endpoint
from lab.peers import proxy_protocol
from lab.peers.datagrams import Peer
from lab.peers.flow import Flow
from lab.peers.hosts import TOKEN
from lab.setup import steering
from lab.setup.variants import both_families

PORT = 3129
ANY = {4: "0.0.0.0", 6: "::"}
CLIENT_PORT = 40_000
ORDER = (0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1)  # moved by any number of places, it is another order


def connect_at_once(lab, proxy, wanted):
    """A flow for each (client's address, destination), all of which wait when the proxy begins to accept."""
    with proxy.paused():
        sockets = [waiting_client(lab, address, destination) for address, destination in wanted]
    clients = [lab.client_end(each, destination) for each, (_, destination) in zip(sockets, wanted)]
    tokens = [secrets.token_bytes(TOKEN) for _ in clients]
    for client, token in zip(clients, tokens):
        client.begin(token) if hasattr(client, "begin") else client.send(token)
    return [Flow(lab, client, lab.server.take(token, client), token) for client, token in zip(clients, tokens)]


def waiting_client(lab, address, destination):
    made = lab.client.socket(address)
    made.bind((address, 0))
    made.settimeout(waiting.seconds)
    made.connect(tuple(destination))
    return made


@requirement("TP-SRC-17")
@both_families
@pytest.mark.parametrize("source", ["clientip", "client"])
def test_clients_that_are_accepted_at_once_keep_their_own_addresses(lab, source):
    proxy = lab.serve(source=source)
    addresses = [lab.client.addresses[lab.family][number] for number in ORDER]
    for flow in connect_at_once(lab, proxy, [(address, lab.vip) for address in addresses]):
        seen, own = flow.peer_seen_by_server, flow.client.local
        assert seen.address == own.address, f"the server saw {seen} for the client {own}"
        assert source == "clientip" or seen == own, f"the server saw {seen} for the client {own}"
        flow.exchange()


@requirement("TP-SRC-18")
@both_families
@pytest.mark.parametrize("source", ["clientip", "client"])
def test_two_clients_with_the_same_port_keep_their_own_addresses(lab, source):
    lab.serve(source=source)
    own = [Endpoint(address, CLIENT_PORT) for address in lab.client.addresses[lab.family]]
    flows = [lab.client.connect(lab.vip, each) for each in own]
    for flow, client in zip(flows, own):
        seen = flow.peer_seen_by_server
        assert seen.address == client.address, f"the server saw {seen} for the client {client}"
        assert source == "clientip" or seen == client, f"the server saw {seen} for the client {client}"
    for flow in [*flows, *flows]:
        flow.exchange()


@requirement("TP-DST-10")
@both_families
def test_clients_that_are_accepted_at_once_reach_their_own_destinations(lab):
    steering.intercept(lab, PORT)
    proxy = lab.start(None, [lab.listener(Endpoint(ANY[lab.family], PORT))], [], destination="original").await_ready()
    destinations = [Endpoint(lab.server.addresses[lab.family][0], 8080), Endpoint(lab.server.addresses[lab.family][1], 443)]
    for each in destinations:
        lab.server.serve(each)
    wanted = [(lab.client.address, destinations[number]) for number in ORDER]
    for flow in connect_at_once(lab, proxy, wanted):
        assert flow.server.local == flow.client.peer, f"a client of {flow.client.peer} reached {flow.server.local}"
        flow.exchange()


@requirement("TP-PP-20")
@both_families
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_clients_whose_headers_arrive_at_once_keep_their_own_addresses(lab, version):
    """Their connections are accepted before: a later client has been served."""
    proxy = lab.serve("clientip", [lab.listener(proxy_protocol=version)])
    first, *named = [Endpoint(topology.address(topology.CLIENT_NET[lab.family], 99 + number), 4000) for number in range(len(ORDER) + 1)]
    headers = [proxy_protocol.write(version, each, lab.vip) for each in named]
    tokens = [secrets.token_bytes(TOKEN) for _ in named]
    clients = [proxy_protocol.connect(lab, b"") for _ in named]
    token = secrets.token_bytes(TOKEN)
    latest = proxy_protocol.connect(lab, proxy_protocol.write(version, first, lab.vip), token)
    Flow(lab, latest, lab.server.take(token, latest), token).exchange()
    with proxy.paused():
        for client, header, token in zip(clients, headers, tokens):
            client.send(header + token)
    for client, own, token in zip(clients, named, tokens):
        flow = Flow(lab, client, lab.server.take(token, client), token)
        seen = flow.peer_seen_by_server
        assert seen.address == own.address, f"the server saw {seen} for a client whose header names {own}"
        flow.exchange()


@requirement("TP-UDP-14")
@both_families
def test_clients_whose_datagrams_wait_at_once_keep_their_own_addresses_and_answers(lab):
    server = Peer(lab.server, lab.server_endpoint)
    proxy = steering.start_for_datagrams(lab)
    clients = [Peer(lab.client, Endpoint(lab.client.addresses[lab.family][number], 0)) for number in ORDER]
    with proxy.paused():
        for number, client in enumerate(clients):
            client.send(b"%d" % number, lab.vip)
    for _ in clients:
        data, seen = server.receive()
        own = clients[int(data)].local
        assert not proxy.uses_clients_address or seen.address == own.address, f"the server saw {seen} for the client {own}"
        server.send(b"answer " + data, seen)
    for number, client in enumerate(clients):
        assert client.receive() == (b"answer %d" % number, lab.vip)
