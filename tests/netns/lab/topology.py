"""Hosts and links.

    inline       client ------- proxy ------- server      the proxy forwards; both ends route by it

    asymmetric   client ------- proxy ------- server      the same, but the server's route to the
                    \\________________________/            client is a link of its own

Client networks are 198.51.100.0/24 and 2001:db8:c::/64, server networks 203.0.113.0/24 and
2001:db8:5::/64. VIPs are taken from 192.0.2.0/25 and 2001:db8:f::/64, which are on no link: the
client reaches them because its default route leads to the proxy. The proxy has no default route, so
what it neither serves nor forwards ends there.

Sysctls of a fresh namespace are partly copied from the host's. Whatever matters is set here.
"""

from dataclasses import dataclass, field

from . import patience
from .namespace import Namespace

TOPOLOGIES = ("inline", "asymmetric")

CLIENT_NET = {4: "198.51.100.{}/24", 6: "2001:db8:c::{}/64"}
SERVER_NET = {4: "203.0.113.{}/24", 6: "2001:db8:5::{}/64"}
DIRECT_NET = {4: "192.0.2.{}/25", 6: "2001:db8:d::{}/64"}
VIPS = {4: "192.0.2.{}", 6: "2001:db8:f::{}"}
VIP_NET = {4: "192.0.2.0/25", 6: "2001:db8:f::/64"}

PROXY_HOST = 1
CLIENT_HOSTS = (10, 11)
SERVER_HOSTS = (20, 21)
DIRECT_CLIENT, DIRECT_SERVER = 129, 130
FAMILIES = (4, 6)

_PER_LINK_4 = {"rp_filter": 0, "src_valid_mark": 0, "accept_local": 0, "send_redirects": 0}
_PER_LINK_6 = {"disable_ipv6": 0, "accept_dad": 0, "accept_ra": 0, "addr_gen_mode": 0}

# What the kernel starts with, but for those that would need time to settle (DAD, link-local).
DEFAULTS = {
    "net.ipv4.ip_forward": 0,
    "net.ipv4.ip_nonlocal_bind": 0,
    "net.ipv4.ip_early_demux": 1,
    "net.ipv4.tcp_early_demux": 1,
    "net.ipv4.fwmark_reflect": 0,
    "net.ipv4.tcp_fwmark_accept": 0,
    "net.ipv4.tcp_syncookies": 1,
    "net.ipv4.tcp_max_syn_backlog": 4096,
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.ipv4.ip_unprivileged_port_start": 1024,
    "net.core.somaxconn": 4096,
    "net.ipv6.ip_nonlocal_bind": 0,
    "net.ipv6.bindv6only": 0,
    "net.ipv6.conf.all.forwarding": 0,
    **{f"net.ipv4.conf.{scope}.{key}": value
       for scope in ("all", "default") for key, value in _PER_LINK_4.items()},
    **{f"net.ipv6.conf.default.{key}": value for key, value in _PER_LINK_6.items()},
}  # fmt: skip

# What a failure's evidence lists.
TELLING = tuple(DEFAULTS)


def address(template, host):
    """The address without its prefix length."""
    return template.format(host).partition("/")[0]


def vip(family, number=80):
    return VIPS[family].format(number)


@dataclass
class Topology:
    """Namespaces by role, and the names of their links."""

    name: str
    client: Namespace
    proxy: Namespace
    server: Namespace
    links: list = field(default_factory=list)  # (namespace, link)

    def namespaces(self):
        return (self.client, self.proxy, self.server)

    def close(self):
        for namespace in self.namespaces():
            namespace.close()


def build(name):
    """Make the namespaces and links of a topology; the proxy does not forward yet."""
    assert name in TOPOLOGIES, name
    made = Topology(name, Namespace("client"), Namespace("proxy"), Namespace("server"))
    for namespace in made.namespaces():
        namespace.sysctl(DEFAULTS)
    made.proxy.ip(*_proxy_lines(made))
    made.client.ip(*_end_lines(CLIENT_NET, CLIENT_HOSTS))
    made.server.ip(*_end_lines(SERVER_NET, SERVER_HOSTS))
    made.links = [(made.client, "eth0"), (made.proxy, "client0"), (made.proxy, "server0"), (made.server, "eth0")]
    if name == "asymmetric":
        add_direct_link(made)
    for namespace, link in made.links:
        await_running(namespace, link)
    return made


def await_running(namespace, link):
    """Wait until the kernel has noticed that a link is up; before, it drops what is sent."""
    patience.until(lambda: namespace.running(link), f"{link} of {namespace.name} is up")


def add_direct_link(made):
    """Give the server a way to the client that does not pass the proxy."""
    made.server.ip(
        link_line("direct0", made.client, "direct0", 5),
        *_address_lines("direct0", DIRECT_NET, (DIRECT_SERVER,)),
        "link set direct0 up",
    )
    made.client.ip(
        *_address_lines("direct0", DIRECT_NET, (DIRECT_CLIENT,)),
        "link set direct0 up",
    )
    made.server.ip(
        *(
            f"route add {_network(CLIENT_NET[f])} via {address(DIRECT_NET[f], DIRECT_CLIENT)}"
            for f in FAMILIES
        )
    )
    made.links.append((made.server, "direct0"))
    await_running(made.server, "direct0")


def link_line(link, peer_namespace, peer, index):
    """The line that makes a veth pair.

    Both ends are numbered, and differently: the kernel takes a link whose number is its peer's for
    one without a peer and lets up to a second pass before it notices that the link is up.
    """
    there = f"name {peer} index {index + 100} netns {peer_namespace.name}"
    return f"link add {link} index {index} type veth peer {there}"


def _network(template):
    return template.format(0) if "." in template else template.format("")


def _proxy_lines(made):
    lines = [
        "link set lo up",
        link_line("client0", made.client, "eth0", 3),
        link_line("server0", made.server, "eth0", 4),
    ]
    for link, net in (("client0", CLIENT_NET), ("server0", SERVER_NET)):
        lines += _address_lines(link, net, (PROXY_HOST,))
        lines.append(f"link set {link} up")
    return lines


def _end_lines(net, hosts):
    return [
        "link set lo up",
        *_address_lines("eth0", net, hosts),
        "link set eth0 up",
        *(f"route add default via {address(net[f], PROXY_HOST)}" for f in FAMILIES),
    ]


def _address_lines(link, net, hosts):
    """The first host's address is the one that connections are made from, in both families."""
    return [
        f"addr add {net[f].format(host)} dev {link}{_SECONDARY[f] if host != hosts[0] else _PRIMARY[f]}"
        for f in FAMILIES
        for host in hosts
    ]


_PRIMARY = {4: "", 6: " nodad"}
_SECONDARY = {4: "", 6: " nodad preferred_lft 0"}  # or the kernel prefers the latest
