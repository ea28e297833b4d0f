"""Who is who: clients that come at the same time, or that differ in one thing only, are kept apart.

A proxy that is stopped (SIGSTOP) while clients connect finds all of them in its listener's queue. So it accepts them in
one turn of its loop, where what it keeps of one client can be taken for that of another.
"""

import secrets

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns.endpoint import Endpoint
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
