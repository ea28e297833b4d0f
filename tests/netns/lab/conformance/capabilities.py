"""What an implementation can claim, and which claims a scenario needs.

Each capability has one row: its name in an adapter's `describe`, the promise of a claim, and the function that
says whether a scenario needs it. UNSUPPORTED is checked against the claims. An adapter fails if it refuses a scenario
although it claims all capabilities that the scenario needs. A scenario that is served without a claim is reported. Where
`needs` is None, no field of a scenario shows the need; a test then asks for the capability itself.
"""

from dataclasses import dataclass
from typing import Callable, Optional


@dataclass(frozen=True)
class Capability:
    name: str
    promise: str
    needs: Optional[Callable] = None


def _source(*modes):
    return lambda scenario: scenario.get("source", {}).get("mode", "none") in modes


def _listener(condition):
    return lambda scenario: any(condition(listener) for listener in scenario.get("listeners", ()))


def _relay(kind):
    return lambda scenario: scenario.get("relay") == kind


def _header_in(version):
    return _listener(lambda one: one.get("proxy_protocol") == version)


def _header_out(version):
    return lambda scenario: any(one.get("proxy_protocol") == version for one in scenario.get("servers", ()))


def _rule(condition):
    return lambda scenario: any(condition(rule) for rule in scenario.get("rules", ()))


def _rules_beside_headers(scenario):
    headers = any("proxy_protocol" in listener for listener in scenario.get("listeners", ()))
    return any(rule["action"] == "header" or headers for rule in scenario.get("rules", ()))


def _in_turn(scenario):
    chosen = all("server" in listener for listener in scenario.get("listeners", ()))
    return len(scenario.get("servers", ())) > 1 and not chosen


def _server(field):
    return lambda scenario: any(field in server for server in scenario.get("servers", ()))


def _balance(value):
    return lambda scenario: scenario.get("balance") == value


def _has_ipv6(scenario):
    places = [*scenario.get("listeners", ()), *scenario.get("servers", ()), scenario.get("source", {})]
    return any(":" in place.get("address", "") for place in places)


_FIN = {"client_fin", "server_fin"}

CAPABILITIES = (
    Capability(
        "bind", "listens at addresses that the host does not have", _listener(lambda one: one.get("transparent"))
    ),
    Capability("stream", "relays bytes of any protocol; either side may send first; half-close and resets are relayed"),
    Capability(
        "port-range",
        "one listener serves a range of ports",
        _listener(lambda one: one.get("port_last", one["port"]) != one["port"]),
    ),
    Capability(
        "v6only",
        "a listener on :: serves IPv4 clients, or does not, as the scenario says",
        _listener(lambda one: one.get("v6", "default") != "default"),
    ),
    Capability("ipv6", "all other claims hold for IPv6, too", _has_ipv6),
    Capability("source-none", "connects to the server from the address that its host chooses", _source("none")),
    Capability("source", "connects to the server from the client's address", _source("clientip")),
    Capability(
        "plain-listener",
        "uses the client's address also if the listener is not transparent",
        lambda s: _source("clientip", "client")(s) and _listener(lambda one: not one.get("transparent"))(s),
    ),
    Capability("source-range", "with `source`, uses ports of the host's range, not the client's"),
    Capability("source-port", "connects to the server from the client's address and port", _source("client")),
    Capability("source-address", "connects to the server from a configured address of the host", _source("address")),
    Capability("source-foreign", "connects to the server from a configured address that the host does not have", _source("foreign")),
    Capability("listeners", "has several listeners", lambda s: len(s.get("listeners", ())) > 1),
    Capability("balance", "uses several servers in turn", _in_turn),
    Capability("balance-weight", "uses servers by their weights", _server("weight")),
    Capability("balance-leastconn", "uses the server with the fewest connections", _balance("leastconn")),
    Capability("balance-source", "uses the same server for a client's address, also when another one leaves", _balance("source")),
    Capability("backup", "uses backup servers only where no other one is usable", _server("backup")),
    Capability("server-maxconn", "limits the connections to a server; others get those beyond it", _server("maxconn")),
    Capability("check", "connects to servers again and again, and uses those that accept", lambda s: "check" in s),
    Capability(
        "queue", "lets clients wait for servers that are full, for a time", lambda s: "queue" in s.get("timeouts", {})
    ),
    Capability("names", "asks for the names of servers again and again, and follows the answers", _server("name")),
    Capability("ends-sessions", "ends the sessions of a server that goes down", lambda s: s.get("ends_sessions", False)),
    Capability("check-port", "checks another port than the one that clients come to", _server("check_port")),
    Capability("check-steps", "asks servers in a check, and uses those that answer as expected", lambda s: "check_steps" in s),
    Capability("check-http", "asks servers by HTTP in a check, and uses those that answer with the expected status", lambda s: "check_http" in s),
    Capability("check-source", "checks servers from the address of a client", lambda s: "check_source" in s),
    Capability("agent-check", "asks a program of each server how it is, and does what it says", _server("agent_port")),
    Capability("redispatch", "tries another server where one refuses", lambda s: s.get("redispatch", False)),
    Capability(
        "listener-server", "connects the clients of a listener to one server", _listener(lambda one: "server" in one)
    ),
    Capability("rules", "refuses clients by their address, by rules of which the first one that applies decides", _rule(bool)),
    Capability(
        "rules-destination",
        "its rules know the address and the port that a client connected to",
        _rule(lambda rule: "destinations" in rule or "ports" in rule),
    ),
    Capability("rules-server", "chooses the server of a client by rules", _rule(lambda rule: rule["action"] == "server")),
    Capability(
        "rules-header",
        "reads a PROXY protocol header from clients of some networks alone, and rejects by the address of the connection",
        _rules_beside_headers,
    ),
    Capability("intercept", "serves any address that a client connects to", lambda s: s.get("destination") == "original"),
    Capability("udp", "relays datagrams", lambda s: s.get("protocol") == "udp"),
    Capability("udp-errors", "passes on to clients what the network reports about their datagrams"),
    Capability(
        "udp-headers",
        "reads a PROXY protocol header from each datagram of its clients",
        lambda s: s.get("protocol") == "udp" and any("proxy_protocol" in each for each in s["listeners"]),
    ),
    Capability("proxy-v1-in", "reads a PROXY protocol header of version 1 from clients", _header_in("v1")),
    Capability("proxy-v2-in", "reads a PROXY protocol header of version 2 from clients", _header_in("v2")),
    Capability("proxy-v1-out", "writes a PROXY protocol header of version 1 to servers", _header_out("v1")),
    Capability("proxy-v2-out", "writes a PROXY protocol header of version 2 to servers", _header_out("v2")),
    Capability("relay-splice", "relays by splice(2)", _relay("splice")),
    Capability("relay-copy", "relays without splice(2)", _relay("copy")),
    Capability(
        "timeout-connect",
        "ends a client whose server does not answer within a configured time",
        lambda s: "connect" in s.get("timeouts", ()),
    ),
    Capability(
        "timeouts",
        "ends a session that is silent for longer than a configured time",
        lambda s: bool(set(s.get("timeouts", ())) - {"connect", "queue", *_FIN}),
    ),
    Capability(
        "timeouts-fin",
        "has other timeouts for sessions of which one direction has ended",
        lambda s: bool(_FIN & set(s.get("timeouts", ()))),
    ),
    Capability("threads", "runs with the configured number of threads", lambda s: "threads" in s),
    Capability("maxconn", "holds no more sessions than configured", lambda s: "maxconn" in s),
    Capability("user", "becomes the configured user", lambda s: "user" in s),
    Capability("log-default", "runs with a configuration without log settings", lambda s: s.get("log") == "default"),
    Capability("tcplog", "logs each session with the fields of HAProxy's `option tcplog`"),
    Capability("drain", "on SIGUSR1 closes its listeners, finishes its sessions and exits with status 0"),
    Capability("reload", "applies a new configuration and loses no connection", lambda s: bool(s.get("reload"))),
)

NAMES = tuple(row.name for row in CAPABILITIES)


_USUAL = {"listener.address", "listener.port", "server.address", "server.port", "source.mode", "destination", "protocol"}


def unusual(scenario):
    """The fields of a scenario that a plain one does not have, as `timeouts.client`, sorted."""
    lists, objects = {"listeners": "listener", "servers": "server", "rules": "rule"}, ("source", "timeouts")
    found = set()
    for name, value in scenario.items():
        parts = value if name in lists else [value] if name in objects else []
        found |= {f"{lists.get(name, name)}.{field}" for part in parts for field in part}
        found |= set() if name in lists or name in objects else {name}
    return sorted(found - _USUAL)


def needed(scenario):
    """Names of the capabilities that a scenario needs."""
    return [row.name for row in CAPABILITIES if row.needs and row.needs(scenario)]
