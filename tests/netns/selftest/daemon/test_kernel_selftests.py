"""The set-ups of the kernel's own tests of nft's TPROXY, with tproxyd as the proxy.

tools/testing/selftests/net/netfilter/nft_tproxy_tcp.sh and nft_tproxy_udp.sh divert what is for one address and port of two,
of forwarded traffic alone, or of the router's own, too. Their proxy answers by itself, and so does each server: the answer
shows which of them it was. Here the proxy's server has a port of its own, and shows it in the same way. docs/KERNELS.md has
a row for each case; CASES are these rows.

What differs from the suite's recipes: one table of both families, the type `filter` at priority 0, a local route for one
address alone, and a rule that names the destination.
"""

import re
import socket

import pytest

from lab import waiting
from lab.netns.endpoint import Endpoint
from lab.paths import ROOT
from lab.peers.daemon import Daemon
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

pytestmark = pytest.mark.suite

LISTENER, ASKED, PROXIED = 12345, 8080, 8081
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
PROXY, FIRST, SECOND = "the proxy's server", "the first server", "the second server"

# (whose traffic the rules divert, who asks, whom): who answers
CASES = {
    ("forward", "client", 0): PROXY,
    ("forward", "client", 1): SECOND,
    ("forward", "router", 0): FIRST,
    ("forward", "router", 1): SECOND,
    ("local", "client", 0): PROXY,
    ("local", "client", 1): SECOND,
    ("local", "router", 0): PROXY,
    ("local", "router", 1): SECOND,
}
SCRIPTS = {"tcp": ("forward", "local"), "udp": ("forward",)}
RULES = """table inet filter {{
  chain divert {{
    type filter hook prerouting priority 0; policy accept;
    {what} tproxy {ip} to :{listener} meta mark set 1 accept
  }}
  {own}
}}
"""
OWN = """chain output {{
    type route hook output priority 0; policy accept;
    {what} meta mark set 1 accept
  }}"""


def bracketed(address):
    return f"[{address}]" if ":" in address else address


@pytest.fixture
def lab(family):
    made = Lab(adapter("tproxyd"), family, "inline", divert=False)
    yield made
    made.close()


@pytest.fixture
def daemon(lab, protocol, tmp_path):
    """Its source is the host's, as the kernel's tests have no rules for the way back from a server."""
    text = f"""global
  log stderr format raw local0 info
listen all
  mode {protocol}
  log global
  bind {":" if lab.family == 4 else "[::]:"}{LISTENER} transparent
  server s {bracketed(lab.server.address)}:{PROXIED}
  timeout connect 5s
  timeout client 10m
  timeout server 10m
"""
    # TPROXY gives a socket the port that the datagram was for, and tproxyd answers from the port that it is bound to.
    text = text if protocol == "tcp" else text.replace(str(LISTENER), str(ASKED))
    started = Daemon(lab.proxy.namespace, tmp_path, text).await_started()
    yield started
    started.close()


def divert(lab, protocol, origin):
    address, ip = lab.server.address, "ip" if lab.family == 4 else "ip6"
    what = f"{ip} daddr {address} {protocol} dport {ASKED}"
    listener = LISTENER if protocol == "tcp" else ASKED
    own = OWN.format(what=what) if origin == "local" else ""
    lab.proxy.namespace.run("nft", "-f", "-", text=RULES.format(what=what, ip=ip, listener=listener, own=own))
    flag = f"-{lab.family}"
    lab.proxy.namespace.run("ip", flag, "rule", "add", "fwmark", "1", "lookup", "100")
    lab.proxy.namespace.run("ip", flag, "route", "add", "local", address, "dev", "lo", "table", "100")


def opened(lab, host, endpoint, kind):
    made = host.socket(endpoint.address, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(tuple(endpoint))
    made.settimeout(waiting.seconds)
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def read(server, kind):
    """What came to a server, and how to answer it."""
    if kind == socket.SOCK_DGRAM:
        data, peer = server.recvfrom(100)
        return data, lambda text: server.sendto(text, peer)
    accepted, _ = server.accept()
    accepted.settimeout(waiting.seconds)
    return accepted.recv(100), accepted.sendall


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("origin", ["forward", "local"])
@pytest.mark.parametrize("protocol", KINDS)
def test_what_the_rules_name_is_proxied_and_nothing_else(lab, daemon, protocol, origin):
    kind, addresses = KINDS[protocol], lab.server.addresses[lab.family]
    divert(lab, protocol, origin)
    servers = {
        PROXY: opened(lab, lab.server, Endpoint(addresses[0], PROXIED), kind),
        FIRST: opened(lab, lab.server, Endpoint(addresses[0], ASKED), kind),
        SECOND: opened(lab, lab.server, Endpoint(addresses[1], ASKED), kind),
    }
    for (_, asks, asked), expected in {case: who for case, who in CASES.items() if case[0] == origin}.items():
        host = lab.client if asks == "client" else lab.proxy
        client = host.socket(addresses[asked], kind)
        client.settimeout(waiting.seconds)
        client.connect((addresses[asked], ASKED))
        client.send(b"question")
        ready = waiting.readable(list(servers.values()), waiting.seconds)
        assert [name for name, each in servers.items() if each in ready] == [expected], (asks, asked)
        data, answer = read(servers[expected], kind)
        assert data == b"question"
        answer(b"an answer")
        assert client.recv(100) == b"an answer", (asks, asked)
        client.close()
    proxied = [who for (rules, _, _), who in CASES.items() if rules == origin].count(PROXY)
    assert len(daemon.lines("Connect from" if protocol == "tcp" else "Datagrams from")) == proxied


def test_the_manual_has_a_row_for_each_case():
    text = (ROOT / "docs" / "KERNELS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `nft_tproxy_(tcp|udp)\.sh` \| (forward|local) \| (ip, ip6) \| (client|router) \| (first|second) \| ([^|]+?) \|", text, re.M)
    found = {(script, origin, who, ("first", "second").index(asked)): answers for script, origin, _, who, asked, answers in rows}
    wanted = {(script, *case): who for script, origins in SCRIPTS.items() for case, who in CASES.items() if case[0] in origins}
    assert found == wanted
