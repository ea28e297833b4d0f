"""What makes a host divert packets to a transparent proxy.

A recipe is a list of items. Each has its name in the necessity table, the tool that applies it, and one line of input
for that tool. To find the purpose of an item, leave it out (`edited`); the other items stay as they are.

    divert       the walk-through's: packets for which a socket exists on the host get mark 1 in mangle
                 PREROUTING, a policy rule sends mark 1 to table 100, and that table's only route
                 delivers locally. Its commands are those of fixtures/walkthrough, and by nft the same
                 in nftables' own language
    tproxy       the same for packets of established connections, and the target TPROXY for packets that begin
                 one: it names the listener, so the listener may be bound to any address
    nft          `tproxy` in nftables' own language
    local-route  a local route for the VIPs and no marks: enough for binding. Where the client's
                 address is used, the server's answers must be diverted as well

A plus joins two recipes: local-route+divert. Rules are loaded by one run of iptables-restore or nft, routes by one run
of ip -batch.
"""

from dataclasses import dataclass
from typing import Callable, NamedTuple

from lab.netns import drawn, topology
from lab.netns.firewall import FIREWALL_TOOLS, IPTABLES, load_rules
from lab.netns.layouts import VIP_NET
from lab.setup import walkthrough

_SYSCTLS_6 = {
    "net.ipv4.ip_forward": "net.ipv6.conf.all.forwarding",
    "net.ipv4.ip_nonlocal_bind": "net.ipv6.ip_nonlocal_bind",
}
_RULES = {"-N": "chain", "DIVERT": "divert rule", "MARK": "mark", "ACCEPT": "accept"}


class Item(NamedTuple):
    name: str
    tool: str  # sysctl (NAME=VALUE), ip, mangle (iptables), nft
    text: str


@dataclass(frozen=True)
class Recipe:
    name: str
    firewall_tools: tuple
    items: Callable  # family, firewall_tool -> list of Item
    profile: str = "full"


def _walkthrough(family, firewall_tool):
    rules = _nft_chain(family) if firewall_tool == "nft" else _chain()
    return [*_sysctls(family), *rules, *_routing(family)]


def _sysctls(family):
    """The walk-through's sysctls, or what does the same for IPv6."""
    for name in walkthrough.sysctls():
        yield Item(name.rpartition(".")[2], "sysctl", f"{name if family == 4 else _SYSCTLS_6[name]}=1")


def _chain():
    """The walk-through's iptables commands, without the program and the table."""
    for command in walkthrough.iptables_commands():
        _, option, table, *words = command.split()
        assert (option, table) == ("-t", "mangle"), command
        target = words[words.index("-j") + 1] if "-j" in words else "-N"
        yield Item(_RULES[target], "mangle", f":{words[1]} - [0:0]" if target == "-N" else " ".join(words))


def _routing(family):
    """The walk-through's `ip rule` and `ip route`."""
    for command in walkthrough.ip_commands():
        text = command if family == 4 else command.replace("0.0.0.0/0", "::/0")
        yield Item(" ".join(command.split()[:2]), "ip", text.removeprefix("ip "))


def _tproxy(family, _):
    vip, port = topology.vip(family), drawn.in_use().port
    target = f"-p tcp -d {vip} --dport {port} -j TPROXY --on-ip {vip} --on-port {port} --tproxy-mark 1"
    return [*_chain(), Item("tproxy rule", "mangle", f"-A PREROUTING {target}"), *_routing(family)]


def _nft_chain(family):
    """`_chain` in nftables' language."""
    ip = "ip" if family == 4 else "ip6"
    rule = f"add rule {ip} transparent"
    lines = [
        ("table", f"add table {ip} transparent"),
        ("chain", f"add chain {ip} transparent DIVERT"),
        ("hook", f"add chain {ip} transparent PREROUTING {{ type filter hook prerouting priority mangle; }}"),
        ("divert rule", f"{rule} PREROUTING meta l4proto tcp socket transparent 1 jump DIVERT"),
        ("mark", f"{rule} DIVERT meta mark set 1"),
        ("accept", f"{rule} DIVERT accept"),
    ]
    return [Item(name, "nft", text) for name, text in lines]


def _nft(family, _):
    rule = f"add rule {'ip' if family == 4 else 'ip6'} transparent PREROUTING {nft_tproxy(family, 'tcp')}"
    return [*_nft_chain(family), Item("tproxy rule", "nft", rule), *_routing(family)]


def nft_tproxy(family, protocol):
    """nft's rule that hands what is sent to the VIP to the listener there."""
    vip, port = topology.vip(family), drawn.in_use().port
    ip, to = ("ip", f"{vip}:{port}") if family == 4 else ("ip6", f"[{vip}]:{port}")
    return f"{ip} daddr {vip} {protocol} dport {port} tproxy to {to} meta mark set 1 accept"


def _local_route(family, _):
    return [Item("local route", "ip", f"route add local {VIP_NET[family]} dev lo")]


RECIPES = {
    each.name: each
    for each in (
        Recipe("divert", FIREWALL_TOOLS, _walkthrough),
        Recipe("tproxy", IPTABLES, _tproxy),
        Recipe("nft", ("nft",), _nft),
        Recipe("local-route", IPTABLES, _local_route, "binding"),
    )
}


def items(name, family, firewall_tool):
    """The items of a recipe, or of several joined by a plus."""
    return [item for each in name.split("+") for item in RECIPES[each].items(family, firewall_tool)]


def edited(whole, without=(), instead=None):
    """The items with some left out and the text of some replaced; all of those names must be there."""
    instead = instead or {}
    unknown = {*without, *instead} - {item.name for item in whole}
    assert not unknown, f"no item {', '.join(sorted(unknown))}"
    kept = [item for item in whole if item.name not in without]
    return [item._replace(text=instead.get(item.name, item.text)) for item in kept]


def sysctls_of(chosen):
    return dict(item.text.split("=") for item in chosen if item.tool == "sysctl")


def apply_items(namespace, chosen, family, firewall_tool, sysctls=None):
    """Apply items; `sysctls` overrides or adds to what they set."""
    namespace.sysctl({**sysctls_of(chosen), **(sysctls or {})})
    routing = [item.text for item in chosen if item.tool == "ip"]
    if routing:
        namespace.run("ip", f"-{family}", "-batch", "-", text="\n".join(routing) + "\n")
    mangle = [item.text for item in chosen if item.tool == "mangle"]
    if mangle:
        load_rules(namespace, "\n".join(["*mangle", *mangle, "COMMIT", ""]), family, firewall_tool)
    nft = [item.text for item in chosen if item.tool == "nft"]
    if nft:
        namespace.run("nft", "-f", "-", text="\n".join(nft) + "\n")


def apply(namespace, name, families, firewall_tool, sysctls=None):
    """Apply a recipe for each family."""
    for family in families:
        apply_items(namespace, items(name, family, firewall_tool), family, firewall_tool, sysctls)
