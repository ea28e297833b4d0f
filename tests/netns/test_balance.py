"""OPS: which of several servers a client comes to."""

from collections import Counter

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns import sockets
from lab.netns.endpoint import Endpoint
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
