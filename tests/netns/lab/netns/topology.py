"""Hosts and links, made from a layout (see layouts).

    client ------- proxy ------- server      inline: the proxy forwards; both ends route by it

Client networks are 198.51.100.0/24 and 2001:db8:c::/64, server networks 203.0.113.0/24 and 2001:db8:5::/64. VIPs are
in 192.0.2.0/25 and 2001:db8:f::/64, which are on no link: the client reaches them because its default route leads to
the proxy. The proxy has no default route, so it drops packets that it neither serves nor forwards.

A new namespace copies some sysctls from the host. All sysctls that matter are set here, if the kernel has them. On a
kernel without IPv6, everything is made for IPv4 only.
"""

from dataclasses import dataclass, field

from lab import waiting
from lab.netns import drawn, firewall, kernel
from lab.netns.layouts import (
    ARM,
    ARM2,
    ARM2_GATE,
    ARM_GATE,
    ARM_NET,
    ARM2_NET,
    CLIENT_NET,
    DIRECT_CLIENT,
    DIRECT_NET,
    DIRECT_SERVER,
    LAYOUTS,
    PROXY_HOST,
    SERVER_NET,
    VIP_NET,
)
from lab.netns.namespace import Namespace

TOPOLOGIES = tuple(LAYOUTS)

VIPS = {4: "192.0.2.{}", 6: "2001:db8:f::{}"}
NOWHERE = {4: "192.0.2.{}", 6: "2001:db8:e::{}"}
FAMILIES = (4, 6)

_PER_LINK_4 = {"rp_filter": 0, "src_valid_mark": 0, "accept_local": 0, "send_redirects": 0}
_PER_LINK_6 = {"disable_ipv6": 0, "accept_dad": 0, "accept_ra": 0, "addr_gen_mode": 0}

# The kernel's defaults, except those that would cause delays (DAD, link-local).
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

FORWARDING = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}

# For a link that answers for other hosts' addresses: without the kernel's delay.
_ANSWERING = {
    "net.ipv4.neigh.{}.proxy_delay": 0,
    "net.ipv6.neigh.{}.proxy_delay": 0,
    "net.ipv6.conf.{}.proxy_ndp": 1,
}


def address(template, host):
    """The address without its prefix length."""
    return template.format(host).partition("/")[0]


def vip(family, number=80):
    return VIPS[family].format(drawn.in_use().vips[number])


def nowhere(family):
    """An address that is on no link, and is no VIP."""
    return NOWHERE[family].format(drawn.in_use().nowhere)


def _numbers(named):
    """The numbers of hosts in a layout, which may be drawn."""
    return getattr(drawn.in_use(), named) if isinstance(named, str) else named


def placeholders(family):
    """The texts for the braces in lines of a layout or of the necessity table."""
    here = {
        "family": family,
        "all": {4: 32, 6: 128}[family],
        "client": address(CLIENT_NET[family], drawn.in_use().clients[0]),
        "server": address(SERVER_NET[family], drawn.in_use().servers[0]),
        "client_net": _network(CLIENT_NET[family]),
        "server_net": _network(SERVER_NET[family]),
        "vip_net": VIP_NET[family],
        "vip": vip(family),
        "vip2": vip(family, 81),
    }
    gates = {"client_gate": (CLIENT_NET, PROXY_HOST), "server_gate": (SERVER_NET, PROXY_HOST)}
    arms = {"arm": (ARM_NET, ARM), "arm_gate": (ARM_NET, ARM_GATE)}
    arms2 = {"arm2": (ARM2_NET, ARM2), "arm2_gate": (ARM2_NET, ARM2_GATE)}
    for name, (net, number) in {**gates, **arms, **arms2}.items():
        here[name] = address(net[family], number)
    return here


@dataclass
class Topology:
    """Namespaces by role, and the names of their links."""

    name: str
    hosts: dict  # by role
    links: list = field(default_factory=list)  # (namespace, link)

    @property
    def layout(self):
        return LAYOUTS[self.name]

    @property
    def client(self):
        return self.hosts[self.layout.client]

    @property
    def proxy(self):
        return self.hosts["proxy"]

    @property
    def server(self):
        return self.hosts["server"]

    def proxies(self):
        """The hosts of proxies."""
        return [host for role, host in self.hosts.items() if role.startswith("proxy")]

    def namespaces(self):
        return tuple(self.hosts.values())

    def addresses(self, role):
        """{family: addresses} of a host; the proxy's are those that the server sees."""
        role = self.layout.client if role == "client" else role
        entries = self.layout.addresses[role]
        _, net, numbers = entries[-1 if role.startswith("proxy") and role != self.layout.client else 0]
        return {f: [address(net[f], number) for number in _numbers(numbers)] for f in FAMILIES}

    def front(self, family):
        """The proxy's own address that clients reach it by."""
        net, number = self.layout.front
        return address(net[family], number)

    def announce(self):
        """Make the proxy's host answer for the VIPs, if they are on the client's own link."""
        lines = self.layout.announce
        if lines:
            named = {name.format("client0"): value for name, value in _ANSWERING.items()}
            self.proxy.sysctl(named, where_known=True)
            self.proxy.ip(*(line.format(**placeholders(f)) for f in kernel.families() for line in lines))

    def close(self):
        for namespace in self.namespaces():
            namespace.close()


def build(name):
    """Make the namespaces and links of a topology; the proxy does not forward yet."""
    layout = LAYOUTS[name]
    made = Topology(name, {role: Namespace(role) for role in layout.addresses})
    for role, namespace in made.hosts.items():
        passes_on = role not in ("proxy", "proxy2", "client", "server")
        namespace.sysctl({**DEFAULTS, **FORWARDING} if passes_on else DEFAULTS, where_known=True)
    for role, namespace in made.hosts.items():
        # First the policy rules: a kernel without them fails here, and would mix up the route tables later.
        _policy(layout, role, namespace)
        namespace.ip(*_wire_lines(made, role), *_host_lines(layout, role))
    if name == "asymmetric":
        add_direct_link(made)
    for namespace, link in made.links:
        await_running(namespace, link)
    return made


def await_running(namespace, link):
    """Wait until the kernel has noticed that a link is up; before that, it drops packets."""
    waiting.until(lambda: namespace.running(link), f"{link} of {namespace.name} is up")


def add_direct_link(made):
    """Give the server a link to the client that does not pass the proxy."""
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
            for f in kernel.families()
        )
    )
    made.links.append((made.server, "direct0"))
    await_running(made.server, "direct0")


def link_line(link, peer_namespace, peer, index):
    """The line that makes a veth pair.

    Both ends get different numbers. If a link has the number of its peer, the kernel treats it as one without a
    peer, and needs up to a second to notice that it is up.
    """
    there = f"name {peer} index {index + 100} netns {peer_namespace.name}"
    return f"link add {link} index {index} type veth peer {there}"


def _network(template):
    return template.format(0) if "." in template else template.format("")


def _wire_lines(made, role):
    """The lines that make the links which start at a host."""
    lines = ["link set lo up"]
    for index, (here, link, there, peer) in enumerate(made.layout.wires, 3):
        if here == role:
            lines.append(link_line(link, made.hosts[there], peer, index))
            made.links += [(made.hosts[here], link), (made.hosts[there], peer)]
    return lines


def _host_lines(layout, role):
    lines = list(layout.links.get(role, ()))
    for link, net, numbers in layout.addresses[role]:
        lines += [*_address_lines(link, net, _numbers(numbers)), f"link set {link} up"]
    for family in kernel.families():
        lines += [line.format(**placeholders(family)) for line in layout.lines.get(role, ())]
    return lines


def _policy(layout, role, namespace):
    """Policy rules, which need a call a family, and packet rules."""
    rules = layout.rules.get(role)
    for family in kernel.families() if role in layout.policy else ():
        namespace.run("ip", f"-{family}", "-batch", "-", text="\n".join(layout.policy[role]) + "\n")
    for family in kernel.families() if rules else ():
        firewall.load_rules(namespace, "\n".join(["*mangle", *rules, "COMMIT", ""]), family, "iptables")


def _address_lines(link, net, hosts):
    """The first host's address is the source of connections, in both families."""
    return [
        f"addr add {net[f].format(host)} dev {link}{_SECONDARY[f] if host != hosts[0] else _PRIMARY[f]}"
        for f in kernel.families()
        for host in hosts
    ]


_PRIMARY = {4: "", 6: " nodad"}
_SECONDARY = {4: "", 6: " nodad preferred_lft 0"}  # or the kernel prefers the latest
