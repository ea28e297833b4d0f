"""Rules beyond the walk-through's, added to the applied recipe on the proxy's host.

The walk-through diverts only TCP, and only packets that have a socket: a connection, or a listener at exactly that
address. Further rules that tests need are added here, for both families, by the recipe's firewall tool.
"""

from lab.netns import firewall
from lab.peers.datagrams import Peer
from lab.setup import recipe


def intercept(lab, port):
    """Divert every connection from the clients' link, to any destination, to the listener on a port."""
    lab.steered = True
    _add(
        lab,
        f"-A PREROUTING -i client0 -p tcp -j TPROXY --on-port {port} --tproxy-mark 1",
        f"iifname client0 meta l4proto tcp tproxy to :{port} meta mark set 1 accept",
    )


def intercept_own(lab, destination, port, protocol="tcp", address=None):
    """Divert what the proxy's host itself sends to a destination, too: it is marked, so that it comes in again by lo.

    It goes to the listener on the port, at `address` or at all addresses.
    """
    on = f"--on-port {port}" + (f" --on-ip {address}" if address else "")
    listener = f":{port}" if not address else f"{address}:{port}" if destination.family == 4 else f"[{address}]:{port}"
    to = f"-p {protocol} -d {destination.address} --dport {destination.port}"
    ip = "ip" if destination.family == 4 else "ip6"
    match = f"{ip} daddr {destination.address} {protocol} dport {destination.port}"
    if lab.firewall_tool == "nft":
        lines = [
            f"add chain {ip} {_TABLE[lab.set_up_by]} own {{ type route hook output priority mangle; }}",
            f"add rule {ip} {_TABLE[lab.set_up_by]} own {match} meta mark set 1",
        ]
        lab.topology.proxy.run("nft", "-f", "-", text="\n".join(lines) + "\n")
    mark = f"-A OUTPUT {to} -j MARK --set-mark 1"
    _add(
        lab,
        f"{mark}\n-A PREROUTING -i lo {to} -j TPROXY {on} --tproxy-mark 1",
        f"iifname lo {match} tproxy to {listener} meta mark set 1 accept",
        (destination.family,),
    )


def intercept_datagrams(lab, destination_port, port):
    """Divert every datagram to a port, to any address, to the socket on another port."""
    _add(
        lab,
        f"-A PREROUTING -p udp --dport {destination_port} -j TPROXY --on-port {port} --tproxy-mark 1",
        f"udp dport {destination_port} tproxy to :{port} meta mark set 1 accept",
    )


def divert_datagrams(lab):
    """Divert datagrams that have a transparent socket on the host.

    With iptables' match `socket` the kernel reassembles fragments first. With nft's it does not, and they would not match;
    with nft's `tproxy` it does, for all rules of the host.
    """
    divert_whole_datagrams(lab)
    if lab.firewall_tool == "nft":
        _add(lab, None, "{tproxy}")


def divert_whole_datagrams(lab):
    """The same, by nft only of those that are not in fragments."""
    _add(lab, "-A PREROUTING -p udp -m socket --transparent -j {divert}", "meta l4proto udp socket transparent 1 meta mark set 1 accept")


def divert_icmp(lab):
    """Divert ICMP errors about packets of such a socket."""
    _add(
        lab,
        "-A PREROUTING -p {icmp} -m socket --transparent -j {divert}",
        "meta l4proto {icmp} socket transparent 1 meta mark set 1 accept",
    )


def serve_datagrams(lab, source=None, **rest):
    """Start the proxy for datagrams; the server's socket."""
    server = Peer(lab.server, lab.server_endpoint)
    start_for_datagrams(lab, source, **rest)
    return server


def start_for_datagrams(lab, source=None, **rest):
    """Start the proxy for datagrams, and wait until it is ready."""
    divert_datagrams(lab)
    divert_icmp(lab)
    return lab.start(source, protocol="udp", **rest).await_ready()


# Where rules for sockets jump to, and nft's chain, by who has set the host up.
_DIVERT = {"recipe": "DIVERT", "apply": "TPROXYCTL"}
_TABLE = {"recipe": "transparent", "apply": "tproxyctl"}
_CHAIN = {"recipe": "transparent PREROUTING", "apply": "tproxyctl divert"}


def _add(lab, mangle, nft, families=None):
    for family in families or lab.families:
        icmp, ip = ("icmp", "ip") if family == 4 else ("ipv6-icmp", "ip6")
        if lab.firewall_tool == "nft":
            rule = nft.format(icmp=icmp, tproxy=recipe.nft_tproxy(family, "udp"))
            text = f"add rule {ip} {_CHAIN[lab.set_up_by]} {rule}\n"
            lab.topology.proxy.run("nft", "-f", "-", text=text)
        else:
            text = f"*mangle\n{mangle.format(icmp=icmp, divert=_DIVERT[lab.set_up_by])}\nCOMMIT\n"
            firewall.load_rules(lab.topology.proxy, text, family, lab.firewall_tool, "--noflush")
