"""What a kernel can do, shown in the lab: a second opinion on the results of `tproxyctl prove`.

Each probe uses Python's own sockets and the host's tools, and looks at the result for a packet. A probe that raises
an error or has no effect shows nothing. The counters of a rule decide whether it matched, after a datagram has
reached its socket.
"""

import os
import re
import socket
import subprocess

from lab import waiting
from lab.netns import firewall, topology
from lab.netns.constants import IP_BIND_ADDRESS_NO_PORT, IP_LEVEL, IP_RECVORIGDSTADDR, IP_TRANSPARENT, SO_MARK
from lab.netns.endpoint import Endpoint
from lab.netns.namespace import CommandFailed, Namespace
from lab.peers.hosts import bound_transparently

PORT, DESTINATION_PORT = 8000, 84
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
NOT_SHOWN = (CommandFailed, OSError)

# What follows `-A PREROUTING` or nft's `add rule`; the last line's counter decides. {to} is TPROXY's port.
_XT = {
    "mangle": ["-p udp -j ACCEPT"],
    "socket": ["-p udp -m socket --transparent -j ACCEPT"],
    "mark": ["-p udp -j MARK --set-mark 1", "-p udp -m mark --mark 1 -j ACCEPT"],
    "tproxy": [f"-p udp --dport {DESTINATION_PORT} -j TPROXY --on-port {PORT} --tproxy-mark 1"],
}
_NFT = {
    "chain": ["meta l4proto udp counter"],
    "socket": ["meta l4proto udp socket transparent 1 counter"],
    "mark": ["meta l4proto udp meta mark set 1", "meta l4proto udp meta mark 1 counter"],
    "tproxy": [f"udp dport {DESTINATION_PORT} tproxy to :{PORT} meta mark set 1 counter"],
}
FEATURES = {"iptables": tuple(_XT), "iptables-legacy": tuple(_XT), "nft": tuple(_NFT)}


def why_not(lab, name, family):
    """None if the lab shows a capability (named without its family), otherwise the problem."""
    firewall_tool, _, feature = name.rpartition("-")
    try:
        if feature in FEATURES.get(firewall_tool, ()):
            seen = _rule(lab, firewall_tool, feature, family)
        else:
            seen = _ALONE[name](lab, family)
    except NOT_SHOWN as problem:
        return f"{type(problem).__name__}: {problem}"
    return None if seen else "it has no effect"


def _rule(lab, firewall_tool, feature, family):
    """Two datagrams come in, one of them for a transparent socket; the counter has to have seen what it is for."""
    host = lab.topology.proxy
    _load(host, firewall_tool, feature, family)
    _route_marked(host, family)
    plain = _receiver(lab, Endpoint(ANY[family], PORT + 1))
    wanted = _receiver(lab, Endpoint(lab.vip_address(family=family) if feature == "socket" else ANY[family], PORT), True)
    if feature == "socket":
        _ip(host, family, f"route add local {wanted.getsockname()[0]} dev lo")
    sender = lab.client.socket(LOOPBACK[family], socket.SOCK_DGRAM)
    own = topology.address(topology.CLIENT_NET[family], topology.PROXY_HOST)
    sender.sendto(b"plain", (own, PORT + 1))
    to = {"tproxy": (own, DESTINATION_PORT), "socket": wanted.getsockname()[:2]}.get(feature, (own, PORT))
    sender.sendto(b"wanted", to)
    return (_next(plain), _next(wanted)) == (b"plain", b"wanted") and _counted(host, firewall_tool, family) == (
        1 if feature in ("socket", "tproxy") else 2
    )


def _load(host, firewall_tool, feature, family):
    if firewall_tool != "nft":
        lines = [f"-A PREROUTING {rule}" for rule in _XT[feature]]
        firewall.load_rules(host, "\n".join(["*mangle", *lines, "COMMIT", ""]), family, firewall_tool)
        return
    ip = "ip" if family == 4 else "ip6"
    head = [f"add table {ip} shown", f"add chain {ip} shown c {{ type filter hook prerouting priority mangle; }}"]
    lines = [f"add rule {ip} shown c {rule}" for rule in _NFT[feature]]
    host.run("nft", "-f", "-", text="\n".join([*head, *lines, ""]))


def _counted(host, firewall_tool, family):
    """Packets of the last rule."""
    pattern = r"packets (\d+)" if firewall_tool == "nft" else r"^\[(\d+):\d+\] -A"
    found = re.findall(pattern, firewall.save_rules(host, family, firewall_tool), re.M)
    return int(found[-1]) if found else 0


def _route_marked(host, family):
    _ip(host, family, "rule add fwmark 1 lookup 100", f"route add local {EVERYWHERE[family]} dev lo table 100")


def _ip(host, family, *lines):
    host.run("ip", f"-{family}", "-batch", "-", text="\n".join(lines) + "\n")


def _receiver(lab, endpoint, transparent=False, host=None):
    made = (host or lab.proxy).socket(endpoint.address, socket.SOCK_DGRAM)
    if transparent:
        made.setsockopt(IP_LEVEL[endpoint.family], IP_TRANSPARENT[endpoint.family], 1)
    made.bind(tuple(endpoint))
    made.settimeout(waiting.seconds)
    return made


def _next(receiver):
    return receiver.recv(1024)


def _net_namespaces(*_):
    Namespace("shown").close()
    return True


def _user_namespaces(*_):
    return subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0


def _veth(*_):
    made = Namespace("shown")
    try:
        made.ip("link add here type veth peer there", "link set here up", "link set there up")
        waiting.until(lambda: made.running("here"), "the link is up")
    finally:
        made.close()
    return True


def _ipv6(lab, _):
    lab.proxy.socket("::1").bind(("::1", 0))
    return True


def _transparent(lab, family):
    bound_transparently(lab.proxy, Endpoint(lab.vip_address(family=family), 80))
    return lab.proxy.listens(Endpoint(lab.vip_address(family=family), 80))


def _so_mark(lab, _):
    made = lab.proxy.socket(LOOPBACK[4], socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_MARK, 7)
    return made.getsockopt(socket.SOL_SOCKET, SO_MARK) == 7


def _bind_no_port(lab, _):
    made = lab.proxy.socket(LOOPBACK[4])
    made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    made.bind((LOOPBACK[4], 0))
    return made.getsockname() == (LOOPBACK[4], 0)


def _splice(*_):
    """From one socket by a pipe to another."""
    (a, b), (c, d), (out, into) = _pair(), _pair(), os.pipe()
    with a, b, c, d, os.fdopen(out, "rb") as out_file, os.fdopen(into, "wb") as into_file:
        a.sendall(b"spliced")
        os.splice(b.fileno(), into_file.fileno(), 7)
        os.splice(out_file.fileno(), c.fileno(), 7)
        return d.recv(7) == b"spliced"


def _pair():
    with socket.create_server((LOOPBACK[4], 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        return there, listener.accept()[0]


def _policy_rule(lab, family):
    """A marked datagram reaches an address that no host has; one without a mark has no route to it."""
    _route_marked(lab.topology.proxy, family)
    receiver = _receiver(lab, Endpoint(ANY[family], PORT))
    _sender(lab, family, 1).sendto(b"marked", (lab.vip_address(family=family), PORT))
    try:
        _sender(lab, family, 0).sendto(b"plain", (lab.vip_address(family=family), PORT))
    except OSError:
        return _next(receiver) == b"marked"
    return False


def _local_route(lab, family):
    """The route of table 100 can be made; by one like it in the main table a datagram comes to a foreign address."""
    host, vip = lab.topology.proxy, lab.vip_address(family=family)
    _ip(host, family, f"route add local {EVERYWHERE[family]} dev lo table 100", f"route add local {vip} dev lo")
    receiver = _receiver(lab, Endpoint(ANY[family], PORT))
    _sender(lab, family, 0).sendto(b"local", (vip, PORT))
    return _next(receiver) == b"local" and "dev lo" in host.run("ip", f"-{family}", "route", "show", "table", "100", "type", "local")


def _sender(lab, family, mark):
    """With a source of its own: else the destination would be taken for one."""
    made = _receiver(lab, Endpoint(LOOPBACK[family], 0))
    made.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    return made


def _original_destination(lab, family):
    """By any tool that can: TPROXY moves a datagram to another port, and the socket gets its original destination."""
    _route_marked(lab.topology.proxy, family)
    for firewall_tool in firewall.FIREWALL_TOOLS:
        try:
            _load(lab.topology.proxy, firewall_tool, "tproxy", family)
        except NOT_SHOWN:
            continue
        return intercepted_datagram(lab, family)
    return False


def intercepted_datagram(lab, family, elsewhere=99):
    """A datagram to an address that no host has arrives with its destination and the client as source, and is answered."""
    listener = _receiver(lab, Endpoint(ANY[family], PORT), True)
    listener.setsockopt(IP_LEVEL[family], IP_RECVORIGDSTADDR[family], 1)
    destination = Endpoint(lab.vip_address(elsewhere, family), DESTINATION_PORT)
    client = _receiver(lab, Endpoint(lab.client.addresses[family][0], 0), host=lab.client)
    client.sendto(b"a question", tuple(destination))
    data, control, _, source = listener.recvmsg(1024, 256)
    if data != b"a question" or source[:2] != client.getsockname()[:2] or _destination(control, family) != destination:
        return False
    answering = _receiver(lab, destination, True)
    answering.sendto(b"an answer", source)
    return client.recvfrom(1024)[1][:2] == tuple(destination)


def _destination(control, family):
    for level, kind, data in control:
        if (level, kind) == (IP_LEVEL[family], IP_RECVORIGDSTADDR[family]):
            port = int.from_bytes(data[2:4], "big")
            raw = data[4:8] if family == 4 else data[8:24]
            return Endpoint(socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, raw), port)
    return None


def _nft_inet(lab, _):
    """One table sees a datagram of either family."""
    host = lab.topology.proxy
    lines = ["add table inet shown", "add chain inet shown c { type filter hook prerouting priority -150; }"]
    host.run("nft", "-f", "-", text="\n".join([*lines, "add rule inet shown c meta l4proto udp counter", ""]))
    for family in topology.FAMILIES:
        receiver = _receiver(lab, Endpoint(ANY[family], PORT + family))
        lab.client.socket(LOOPBACK[family], socket.SOCK_DGRAM).sendto(
            b"", (topology.address(topology.CLIENT_NET[family], topology.PROXY_HOST), PORT + family)
        )
        _next(receiver)
    return re.findall(r"packets (\d+)", host.run("nft", "list", "ruleset", "inet")) == ["2"]


def _nat(lab, _):
    """A connection to one port comes out at another."""
    lines = ["add table ip shown", "add chain ip shown c { type nat hook prerouting priority -100; }"]
    lines.append(f"add rule ip shown c tcp dport {DESTINATION_PORT} redirect to :{PORT}")
    lab.topology.proxy.run("nft", "-f", "-", text="\n".join(lines) + "\n")
    own = topology.address(topology.CLIENT_NET[4], topology.PROXY_HOST)
    listener = lab.proxy.listen(Endpoint(own, PORT))
    client = lab.client.socket(own)
    client.settimeout(waiting.seconds)
    client.connect((own, DESTINATION_PORT))
    accepted, peer = listener.accept()
    accepted.close()
    return peer == client.getsockname()


_ALONE = {
    "net-namespaces": _net_namespaces,
    "user-namespaces": _user_namespaces,
    "veth": _veth,
    "ipv6": _ipv6,
    "transparent": _transparent,
    "so-mark": _so_mark,
    "bind-address-no-port": _bind_no_port,
    "splice": _splice,
    "policy-rule": _policy_rule,
    "local-route": _local_route,
    "udp-original-destination": _original_destination,
    "nft-inet": _nft_inet,
    "nat": _nat,
}
WITHOUT_FAMILY = ("net-namespaces", "user-namespaces", "veth", "ipv6", "so-mark", "bind-address-no-port", "splice", "nft-inet", "nat")
NAMES = tuple(_ALONE) + tuple(f"{firewall_tool}-{feature}" for firewall_tool, features in FEATURES.items() for feature in features)
