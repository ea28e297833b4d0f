"""OPS: which of several servers a client comes to."""

import secrets
from collections import Counter

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import sockets
from lab.netns.endpoint import Endpoint
from lab.peers.flow import Flow
from lab.peers.hosts import TOKEN
from lab.peers.nameserver import NameServer
from lab.setup.variants import both_families

SERVERS = 3


def serve_several(lab, server_fields=None, count=SERVERS, **rest):
    """So many servers behind one VIP; their endpoints."""
    first = lab.server_endpoint
    servers = [Endpoint(first.address, first.port + number) for number in range(count)]
    lab.serve(servers=servers, server_fields=server_fields, **lab.wished("threads", threads=1), **rest)
    return servers


def connect(lab, source=None):
    """A connection, and the port of the server that it came to."""
    flow = lab.client.connect(lab.vip, source and Endpoint(source, 0))
    return flow, flow.server.local.port


def await_end(lab, server):
    """Wait until the proxy has no connection to a server any more."""
    waiting.until(
        lambda: all(remote != server or state == "TIME_WAIT" for state, _, remote in sockets.read(lab.proxy.namespace, "tcp")),
        f"the proxy's connections to {server} end",
    )


@requirement("TP-OPS-47")
@both_families
def test_servers_get_connections_by_their_weights(lab):
    weights = [5, 3, 2]
    servers = serve_several(lab, [{"weight": weight} for weight in weights])
    counts = Counter()
    for _ in range(5 * sum(weights)):
        flow, port = connect(lab)
        counts[port] += 1
        flow.close()
    assert [counts[server.port] for server in servers] == [5 * weight for weight in weights]


@requirement("TP-OPS-48")
@both_families
def test_a_connection_goes_to_the_server_with_the_fewest(lab):
    servers = serve_several(lab, balance="leastconn")
    made = [connect(lab) for _ in range(3 * SERVERS)]
    assert set(Counter(port for _, port in made).values()) == {3}
    emptied = servers[1]
    for flow, port in made:
        if port == emptied.port:
            flow.close()
    await_end(lab, emptied)
    assert [connect(lab)[1] for _ in range(3)] == [emptied.port] * 3


def add_clients(lab, count):
    """Give the client's host so many further addresses."""
    base = lab.client.address.rpartition("." if lab.family == 4 else ":")[0]
    made = [f"{base}.{200 + number}" if lab.family == 4 else f"{base}:{0x200 + number:x}" for number in range(count)]
    bits = "24" if lab.family == 4 else "64"
    lab.client.namespace.ip(*(f"addr add {each}/{bits} dev eth0{'' if lab.family == 4 else ' nodad'}" for each in made))
    return made


def servers_of(lab, clients):
    """{address of a client: port of the server that it comes to}"""
    found = {}
    for client in clients:
        flow, found[client] = connect(lab, client)
        flow.close()
    return found


@requirement("TP-OPS-49")
@both_families
def test_all_connections_of_a_client_go_to_the_same_server(lab):
    serve_several(lab, balance="source")
    clients = add_clients(lab, 16)
    before = servers_of(lab, clients)
    assert servers_of(lab, reversed(clients)) == before
    assert len(set(before.values())) > 1, "all of 16 clients came to one server"


@requirement("TP-OPS-50")
@both_families
def test_only_the_clients_of_a_server_that_leaves_move(lab):
    first = lab.server_endpoint
    servers = [Endpoint(first.address, first.port + number) for number in range(SERVERS)]
    proxy = lab.serve(servers=servers, balance="source", reload=True)
    clients = add_clients(lab, 24)
    before = servers_of(lab, clients)
    left = before[clients[0]]
    rest = [each for each in servers if each.port != left]
    lab.reload(proxy, servers=rest, balance="source", reload=True)
    # Some proxies take the next scenario on a moment after their reload has ended.
    waiting.until(lambda: connect(lab, clients[0])[1] != left, "a client of the server that left comes to another one")
    after = servers_of(lab, clients)
    assert {client: port for client, port in after.items() if before[client] != left} == {
        client: port for client, port in before.items() if port != left
    }
    assert left not in after.values()


@requirement("TP-OPS-51")
@both_families
def test_a_backup_server_gets_no_connection_while_another_one_serves(lab):
    servers = serve_several(lab, [{}, {"backup": True}, {}])
    ports = {connect(lab)[1] for _ in range(2 * SERVERS)}
    assert ports == {servers[0].port, servers[2].port}


@requirement("TP-OPS-52")
@both_families
def test_a_server_has_no_more_connections_than_its_limit(lab):
    servers = serve_several(lab, [{"maxconn": 1}, {"maxconn": 2}, {}])
    made = [connect(lab) for _ in range(9)]
    counts = Counter(port for _, port in made)
    assert [counts[server.port] for server in servers] == [1, 2, 6]
    for flow, port in made:
        if port == servers[0].port:
            flow.close()
    await_end(lab, servers[0])
    assert servers[0].port in [connect(lab)[1] for _ in range(2 * SERVERS)], "the place that became free is not used"


@requirement("TP-OPS-53")
@both_families
def test_a_client_whose_server_refuses_is_served_by_another_one(lab):
    first = lab.server_endpoint
    refuses = Endpoint(first.address, first.port + 1)
    lab.server.serve(first)
    lab.start(servers=[refuses, first, refuses, first], redispatch=True).await_ready()
    for _ in range(4):
        flow, port = connect(lab)
        assert port == first.port
        flow.exchange()


def port_or_none(lab):
    """The port of the server that the next client comes to; None: it is ended without one."""
    try:
        flow, port = connect(lab)
    except ConnectionError:
        return None
    flow.close()
    return port


def await_servers(lab, *expected):
    """Wait until so many clients in a row come to these servers, and to no others."""
    wanted = {server.port for server in expected}
    waiting.until(lambda: {port_or_none(lab) for _ in range(2 * SERVERS)} == wanted, f"clients come to the servers at {wanted} alone")


@requirement("TP-OPS-54")
@both_families
def test_a_server_that_refuses_or_is_silent_gets_no_client_until_it_accepts(lab):
    """`source: none`, since checks come from the proxy's own address."""
    first = lab.server_endpoint
    servers = [Endpoint(first.address, first.port + number) for number in range(SERVERS)]
    for server in servers:
        lab.server.serve(server)
    fields = [{}, {}, {}, {"backup": True}]
    every = [lab.silent_server(), *servers]
    lab.start("none", servers=every, server_fields=fields, check=100, **lab.short_connect()).await_ready()
    await_servers(lab, *servers[:2])
    lab.server.listeners.pop(servers[0]).close()
    await_servers(lab, servers[1])
    lab.server.listeners.pop(servers[1]).close()
    await_servers(lab, servers[2])
    lab.server.serve(servers[0])
    await_servers(lab, servers[0])


LONG = 600_000  # ms


def begin(lab, source=None):
    """A client that may have to wait for a server: its connection, and the token that it has sent."""
    connection = lab.client.open(lab.vip, source)
    token = secrets.token_bytes(TOKEN)
    connection.send(token)
    return connection, token


def serve_one_at_a_time(lab, queue=LONG):
    """One server, which may have one connection; it has one, of the client that is returned. Others wait."""
    serve_several(lab, [{"maxconn": 1}], count=1, timeouts={"queue": queue})
    return lab.client.connect(lab.vip)


def assert_none_comes(lab, flow):
    """Pass data through a session a few times; no other one is at the server then."""
    for _ in range(4):
        flow.exchange()
    assert lab.server.no_byte_came(), "a server has more connections than it may"


def next_token(lab):
    return lab.server.accept().receive(TOKEN)


@requirement("TP-OPS-63")
@both_families
def test_a_client_waits_until_a_server_has_a_place(lab):
    first = serve_one_at_a_time(lab)
    connection, token = begin(lab)
    assert_none_comes(lab, first)
    first.close()
    lab.server.take(token, connection)


@requirement("TP-OPS-64")
@both_families
def test_clients_that_wait_are_served_in_their_order(lab):
    flow = serve_one_at_a_time(lab)
    waiters = [begin(lab) for _ in range(5)]
    assert_none_comes(lab, flow)
    for connection, token in waiters:
        flow.close()
        there = lab.server.accept()
        assert there.receive(TOKEN) == token, "another one has come before it"
        flow = Flow(lab, connection, there, token)


@requirement("TP-OPS-65")
@both_families
def test_a_client_is_ended_that_has_waited_as_long_as_configured(lab):
    first = serve_one_at_a_time(lab, queue=300)
    connection, _ = begin(lab)
    how, data = connection.ending()
    assert how in ("eof", "reset") and not data
    assert_none_comes(lab, first)


@requirement("TP-OPS-66")
@both_families
def test_a_client_that_leaves_the_queue_gets_no_server(lab):
    first = serve_one_at_a_time(lab)
    leaves, _ = begin(lab)
    _, token = begin(lab)
    assert_none_comes(lab, first)
    leaves.reset()
    assert_none_comes(lab, first)
    first.close()
    assert next_token(lab) == token


@requirement("TP-OPS-67")
@both_families
def test_a_client_that_waits_for_a_server_that_dies_is_served_by_another_one(lab):
    """`source: none`, since checks come from the proxy's own address."""
    first = lab.server_endpoint
    servers = [Endpoint(first.address, first.port + number) for number in range(2)]
    for server in servers:
        lab.server.serve(server)
    fields = {"balance": "source", "redispatch": True, "check": 100, "timeouts": {"queue": LONG}}
    lab.start("none", servers=servers, server_fields=[{"maxconn": 1}] * 2, **fields).await_ready()
    flow, port = connect(lab)
    connection, token = begin(lab)
    assert_none_comes(lab, flow)
    [dies] = [server for server in servers if server.port == port]
    lab.server.listeners.pop(dies).close()
    assert lab.server.take(token, connection).local.port != port


@requirement("TP-OPS-68")
@both_families
def test_the_sessions_of_a_server_that_dies_end(lab):
    server = lab.server_endpoint
    lab.server.serve(server)
    lab.start("none", servers=[server], check=100, ends_sessions=True).await_ready()
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    lab.server.listeners.pop(server).close()
    assert flow.client.ending()[0] in ("eof", "reset")


NAME, DNS = "server.example", 5353


@requirement("TP-OPS-69")
@both_families
def test_a_server_moves_with_its_name(lab):
    before = lab.server_endpoint
    after = Endpoint(lab.server.other_address, before.port)
    names = NameServer(lab.proxy.namespace, "127.0.0.1", DNS, {NAME: [before.address]})
    for server in (before, after):
        lab.server.serve(server)
    fields = {"server_fields": {"name": NAME}, "nameserver": {"address": "127.0.0.1", "port": DNS}}
    lab.start(servers=[before], **fields).await_ready()
    flow = lab.client.connect(lab.vip)
    assert flow.server.local == before
    names.answers[NAME] = [after.address]
    waiting.until(lambda: lab.client.connect(lab.vip).server.local == after, "clients come to the new address")
    assert lab.client.connect(lab.vip).server.local == after
    flow.exchange()
    names.close()
