"""OPS: rules that say which clients are served, and by which server."""

import ipaddress
import secrets

from lab.conformance.requirements import requirement
from lab.netns import topology
from lab.netns.endpoint import Endpoint
from lab.peers import proxy_protocol
from lab.peers.flow import Flow
from lab.peers.hosts import TOKEN
from lab.setup.variants import both_families

ENDED = ("eof", "reset")
MANY = 20_000  # networks of one rule
NAMED = {4: "198.51.100.150", 6: "2001:db8:c::c8"}  # a client that a PROXY header names; it is on no host
ALL = ["0.0.0.0/0", "::/0"]


def accept(*networks):
    return {"action": "accept", "sources": list(networks)}


def reject(*networks):
    return {"action": "reject", "sources": list(networks)}


def alone(address):
    """The network of one address."""
    return str(ipaddress.ip_network(address))


def is_served(lab, address, destination=None):
    """Whether a client at one of its host's addresses reaches a server; if not, it is ended without one."""
    source, destination = Endpoint(address, 0), destination or lab.vip
    try:
        lab.client.connect(destination, source).close()
    except ConnectionError:
        assert lab.server.no_byte_came()
        return False
    return True


@requirement("TP-OPS-41")
@both_families
def test_a_client_that_a_rule_rejects_is_ended_and_others_are_served(lab):
    elsewhere = [reject(alone(topology.vip(lab.family))), reject(alone(lab.server.address))]
    lab.serve(rules=[*elsewhere, reject(alone(lab.client.address))])
    for _ in range(2):
        assert lab.client.try_connect(lab.vip, Endpoint(lab.client.address, 0)) in [(how, b"") for how in ENDED]
        assert lab.server.no_connection_came()
        lab.client.connect(lab.vip, Endpoint(lab.client.other_address, 0)).exchange()


@requirement("TP-OPS-42")
@both_families
def test_the_first_rule_that_applies_decides(lab):
    first, second = lab.client.address, lab.client.other_address
    lab.serve(rules=[accept(alone(first)), reject(alone(second)), accept(*ALL), reject(*ALL)])
    assert is_served(lab, first)
    assert not is_served(lab, second)


@requirement("TP-OPS-42")
def test_a_rule_for_all_comes_after_the_ones_before_it(lab):
    lab.serve(rules=[accept(alone(lab.client.other_address)), reject(*ALL), accept(*ALL)])
    assert not is_served(lab, lab.client.address)
    assert is_served(lab, lab.client.other_address)


@requirement("TP-OPS-43")
@both_families
def test_a_network_contains_its_first_and_last_address_and_none_beside_them(lab):
    """Each is part of the clients' own network, and stands behind thousands of others."""
    networks = [within(lab, host, bits) for host, bits in [(100, 0), (106, 1), (112, 3), (128, 5), (176, 4)]]
    lab.serve(rules=[reject(*other_networks(), *map(str, networks))])
    inside = {address: True for network in networks for address in (network[0], network[-1])}
    outside = {address: False for network in networks for address in (network[0] - 1, network[-1] + 1)}
    add_addresses(lab, {**inside, **outside})
    for address, rejected in {**inside, **outside}.items():
        assert is_served(lab, str(address)) is not rejected, f"{address} and {networks}"


def within(lab, host, bits):
    """The network of 2 to the power of `bits` addresses that begins with that host of the clients' own.

    The hosts from 99 to 194 are those that no test draws; of IPv6, whose numbers are read as hexadecimal, 4096 is added.
    """
    network = ipaddress.ip_network(topology.address(topology.CLIENT_NET[lab.family], 0))
    first = network[0] + host + (0 if lab.family == 4 else 0x1000)
    return ipaddress.ip_network(f"{first}/{first.max_prefixlen - bits}")


def other_networks():
    """Thousands of networks of both families, none of which has a host of the lab."""
    made = (f"203.{n >> 8}.{n & 255}.{n % 251}/32" if n % 2 else f"2001:db8:{n:x}::/48" for n in range(16, MANY))
    return [network for network in made if not network.startswith("203.0.113.")]


def add_addresses(lab, addresses):
    """Give the client's host further addresses of its network."""
    bits = topology.CLIENT_NET[lab.family].rpartition("/")[2]
    usable = " nodad" if lab.family == 6 else ""
    lab.client.namespace.ip(*(f"addr add {address}/{bits} dev eth0{usable}" for address in addresses))


def serve_two(lab, *rules, listeners=None, **rest):
    """Two servers; clients that no rule sends to the second one come to the first."""
    servers = [lab.server_endpoint, Endpoint(lab.server.address, lab.server_endpoint.port + 1)]
    lab.serve(listeners=listeners or [lab.listener(server=0)], servers=servers, rules=list(rules), **rest)
    return servers


@requirement("TP-OPS-44")
@both_families
def test_a_rule_chooses_the_server_of_some_clients(lab):
    other_vip = Endpoint(lab.vip_address(81), lab.vip.port)
    other_port = Endpoint(lab.vip.address, lab.vip.port + 1)
    first, second = serve_two(
        lab,
        {"action": "server", "sources": [alone(lab.client.other_address)], "server": 1},
        {"action": "server", "destinations": [alone(other_vip.address)], "server": 1},
        {"action": "server", "ports": [other_port.port], "server": 1},
        listeners=[lab.listener(each, server=0) for each in (lab.vip, other_vip, other_port)],
    )
    here, there = Endpoint(lab.client.address, 0), Endpoint(lab.client.other_address, 0)
    expected = [(lab.vip, here, first), (lab.vip, there, second), (other_vip, here, second), (other_port, here, second)]
    for destination, source, server in expected * 2:
        assert lab.client.connect(destination, source).server.local.port == server.port, (destination, source)


def begin(lab, address, header):
    """A client's connection from an address that begins with a header and a token; and the token."""
    token = secrets.token_bytes(TOKEN)
    client = lab.client.open(lab.vip, Endpoint(address, 0))
    client.send(header + token)
    return client, token


def header_of(lab, address):
    return proxy_protocol.write("v1", Endpoint(address, 4711), lab.vip)


@requirement("TP-OPS-45")
@both_families
def test_clients_of_some_networks_are_served_with_a_header_and_others_without(lab):
    lab.serve(rules=[{"action": "header", "sources": [alone(lab.client.address)]}], source="none")
    header = header_of(lab, NAMED[lab.family])
    client, token = begin(lab, lab.client.address, header)
    Flow(lab, client, lab.server.take(token, client), token).exchange()
    client, _ = begin(lab, lab.client.address, b"")
    assert not lab.server.gets_bytes(client)
    client = lab.client.open(lab.vip, Endpoint(lab.client.other_address, 0))
    client.send(header)
    assert lab.server.accept(client).receive(len(header)) == header


@requirement("TP-OPS-46")
@both_families
def test_rules_that_reject_see_the_connection_and_rules_that_choose_a_server_its_header(lab):
    """So the address that the header names is not rejected, but chooses."""
    named = NAMED[lab.family]
    rules = [reject(alone(named)), reject(alone(lab.client.other_address))]
    rules += [{"action": "server", "sources": [alone(named)], "server": 1}]
    first, second = serve_two(lab, *rules, listeners=[lab.listener(proxy_protocol="v1", server=0)])
    for address, server in [(named, second), (lab.client.other_address, first)]:
        client, token = begin(lab, lab.client.address, header_of(lab, address))
        assert lab.server.take(token, client).local.port == server.port
    assert lab.client.try_connect(lab.vip, Endpoint(lab.client.other_address, 0))[0] in ENDED
