"""OPS: what a check asks of a server, and what follows from the answer.

Servers are checked at ports of their own, where threads play their part; clients come to the servers themselves.
"""

import threading
import time

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import drawn, topology
from lab.netns.endpoint import Endpoint
from lab.peers.played import Played, byte_by_byte, close, ends, hold, reset, says, without_end
from lab.setup.variants import both_families

from test_balance import await_servers, connect, port_or_none

EVERY = 500  # ms between two checks; so long a server may take to answer
STEPS = [{"send": "ping"}, {"expect": "pong"}]
PAUSE = 0.01  # s between two pieces of an answer, so that they are read one by one
RIGHT = says(b"xpongx", after=b"ping")


def serve_checked(lab, *parts, clients_from=None, **rest):
    """A server for each list of parts, which it plays to its checks; the servers, and what plays."""
    first = lab.server_endpoint
    servers = [Endpoint(first.address, first.port + number) for number in range(len(parts))]
    ports = [first.port + len(parts) + number for number in range(len(parts))]
    with lab.server.namespace:
        played = [Played(first.address, port, each) for port, each in zip(ports, parts)]
    for each in played:
        lab.keep(each)
    fields = [{"check_port": port} for port in ports]
    lab.serve(clients_from, servers=servers, server_fields=fields, **{"check": EVERY, **lab.short_connect(), **rest})
    return servers, played


@requirement("TP-OPS-55")
@both_families
def test_a_server_that_does_not_answer_as_expected_gets_no_client(lab):
    wrong = [says(b"xpingx", after=b"ping", then=close)], [says(b"xpingx", after=b"ping")], [hold], [ends], [reset]
    servers, _ = serve_checked(lab, [RIGHT], *wrong, check_steps=STEPS)
    await_servers(lab, servers[0])


@requirement("TP-OPS-55")
@both_families
def test_a_server_gets_clients_as_long_as_it_answers_as_expected(lab):
    answers = threading.Event()

    def or_else(part):
        return [lambda connection, asked: (RIGHT if answers.is_set() else part)(connection, asked)]

    wrong = says(b"xpingx", after=b"ping", then=close)
    servers, _ = serve_checked(lab, [RIGHT], or_else(hold), or_else(wrong), check_steps=STEPS)
    await_servers(lab, servers[0])
    answers.set()
    await_servers(lab, *servers)
    answers.clear()
    await_servers(lab, servers[0])


@requirement("TP-OPS-56")
@both_families
def test_an_answer_may_come_in_any_pieces(lab):
    wrong, right = (byte_by_byte(answer, after=b"ping", pause=PAUSE) for answer in (b"xxpingxx", b"xxpongxx"))
    servers, _ = serve_checked(lab, [wrong], [right], [says(b"po", b"ng", after=b"ping", pause=PAUSE)], check_steps=STEPS)
    await_servers(lab, servers[1], servers[2])


@requirement("TP-OPS-57")
@both_families
def test_a_server_that_answers_without_end_gets_no_client(lab):
    servers, _ = serve_checked(lab, [RIGHT], [without_end(b"x")], check_steps=STEPS)
    await_servers(lab, servers[0])


@requirement("TP-OPS-58")
@both_families
def test_a_server_with_another_status_gets_no_client(lab):
    def answers(status):
        return [says(f"HTTP/1.0 {status} Reason\r\n\r\n".encode(), after=b"\r\n\r\n", then=close)]

    servers, played = serve_checked(lab, answers(200), answers(503), answers(204), [close], check_http={"path": "/health", "status": 200})
    await_servers(lab, servers[0])
    for each in played[:3]:
        asked = [request for request in each.asked if request]  # the time of a check may be up before it has asked
        assert asked and all(request.startswith(b"GET /health HTTP/1.") for request in asked)


# --- the way back ---


def free_client(lab):
    """An address of the clients' network that no host has."""
    return topology.address(topology.CLIENT_NET[lab.family], drawn.in_use().silent)


def serve_two_ways(lab, **rest):
    """Two servers, which accept at other ports, too, to be checked there; the second one has an address of its own."""
    second = Endpoint(topology.address(topology.SERVER_NET[lab.family], drawn.in_use().servers[1]), lab.server_endpoint.port)
    servers = [lab.server_endpoint, second]
    with lab.server.namespace:
        played = [Played(each.address, each.port + 1, [hold]) for each in servers]
    for each in played:
        lab.keep(each)
    fields = {"check_port": second.port + 1}
    lab.serve(servers=servers, server_fields=fields, check=EVERY, **{**lab.short_connect(), **rest})
    return servers, played


def lead_away(lab, server):
    """The server's answers to clients go to another router, which forwards none; those to its own network arrive."""
    network = topology.placeholders(lab.family)["server_net"]
    router = topology.address(topology.SERVER_NET[lab.family], drawn.in_use().silent)
    for line in (
        f"neigh replace {router} lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
        f"route add {network} dev eth0 table 77",
        f"route add default via {router} dev eth0 table 77",
        f"rule add from {server.address} lookup 77",
    ):
        lab.server.namespace.run("ip", f"-{lab.family}", *line.split())


def lead_back(lab, server):
    lab.server.namespace.run("ip", f"-{lab.family}", "rule", "del", "from", server.address, "lookup", "77")


def comes_to(lab):
    """The address of the server that the next client comes to; None: it is ended without one."""
    try:
        flow, _ = connect(lab)
    except ConnectionError:
        return None
    address = flow.server.local.address
    flow.close()
    return address


def await_addresses(lab, *servers):
    """Wait until so many clients in a row come to these servers, and to no others."""
    wanted = {each.address for each in servers}
    waiting.until(lambda: {comes_to(lab) for _ in range(6)} == wanted, f"clients come to {wanted} alone")


@requirement("TP-OPS-59")
@both_families
def test_a_server_whose_answers_do_not_come_back_gets_no_client(lab):
    servers, _ = serve_two_ways(lab, check_source=free_client(lab))
    await_addresses(lab, *servers)
    lead_away(lab, servers[1])
    await_addresses(lab, servers[0])
    lead_back(lab, servers[1])
    await_addresses(lab, *servers)


@requirement("TP-OPS-60")
@both_families
def test_a_check_from_a_clients_address_comes_from_there(lab):
    client = free_client(lab)
    servers, _ = serve_two_ways(lab, check_source=client)
    checked = [Endpoint(each.address, each.port + 1) for each in servers]

    def counts():
        comes_to(lab)  # some ask a server when a client comes
        tried = [(source, destination) for source, destination in lab.connections_tried() if destination in checked]
        return {each: sum(destination == each for _, destination in tried) for each in checked}

    waiting.until(lambda: min(counts().values()) > 2, "each server is checked three times")
    assert {address for each in checked for address in lab.sources_tried(each)} == {client}


# --- what others notice ---


@requirement("TP-OPS-61")
@both_families
def test_no_session_of_another_server_notices_one_that_comes_and_goes(lab):
    """It is right, wrong, silent, reset and slow in turn."""
    parts = [RIGHT, says(b"xpingx", after=b"ping", then=close), RIGHT, reset, RIGHT, ends, hold, RIGHT, byte_by_byte(b"ping")]
    servers, played = serve_checked(lab, [RIGHT], parts * 3 + [hold], check_steps=STEPS, check=100)
    flows = [connect(lab)[0] for _ in range(4)]
    flows = [flow for flow in flows if flow.server.local.port == servers[0].port]
    while len(played[1].asked) < 3 * len(parts):
        made = port_or_none(lab)
        assert made is None or made in [each.port for each in servers]
        for flow in flows:
            flow.exchange()
    await_servers(lab, servers[0])
    for flow in flows:
        flow.exchange()


@requirement("TP-OPS-62")
@both_families
def test_a_server_that_answers_late_but_in_time_keeps_its_clients(lab):
    def late(connection, asked):
        time.sleep(0.4 * EVERY / 1000)  # the time is what the test is about
        RIGHT(connection, asked)

    servers, _ = serve_checked(lab, [hold], [late], check_steps=STEPS)
    await_servers(lab, servers[1])
