"""How hosts are connected, as data: one layout a topology.

    inline       client --- proxy --- server       the proxy forwards; both ends route by it
    asymmetric   the same, and the server has a link of its own to the client
    hop          client --- proxy --- router --- server
    bridge       inline; the proxy's link to the client is a port of a bridge on the proxy's host
    one-arm      client --- router --- server, the proxy on a third link of the router's, which
                 sends it the VIPs and whatever comes from the server
    two-proxies  the same with two of them, each for VIPs of its own; the router remembers by which
                 of them a connection came, and sends the server's answers back there
    same-subnet  client, proxy and server on one switch, client and server in one subnet
    lan          inline; VIPs are in a subnet of the client's own link, so the proxy's host has to
                 answer for them when the client asks for their link-layer address
    local-client proxy --- server; the client is on the proxy's host

A link is named by what is behind it, from the end of a host's only link: eth0. `lines` are input of
`ip -batch`, once a family; what is in braces is of that family (see topology.placeholders). A host is laid
out after those that have its links at their other ends.
"""

from dataclasses import dataclass, field

CLIENT_NET = {4: "198.51.100.{}/24", 6: "2001:db8:c::{}/64"}
SERVER_NET = {4: "203.0.113.{}/24", 6: "2001:db8:5::{}/64"}
DIRECT_NET = {4: "192.0.2.{}/25", 6: "2001:db8:d::{}/64"}
ARM_NET = {4: "192.0.2.{}/26", 6: "2001:db8:a::{}/64"}
ARM2_NET = {4: "192.0.2.{}/26", 6: "2001:db8:b::{}/64"}

VIP_NET = {4: "192.0.2.0/25", 6: "2001:db8:f::/64"}

PROXY_HOST = 1
CLIENT_HOSTS, SERVER_HOSTS = "clients", "servers"  # numbers that a test may draw (drawn.Numbers)
DIRECT_CLIENT, DIRECT_SERVER = 129, 130
ARM_GATE, ARM = 129, 130
ARM2_GATE, ARM2 = 193, 194


@dataclass(frozen=True)
class Layout:
    wires: tuple  # (host, its link, host, its link)
    addresses: dict  # host: ((link, net, numbers or the name of such), …)
    lines: dict = field(default_factory=dict)  # host: lines, {} of each family
    policy: dict = field(default_factory=dict)  # host: policy rules, the same
    links: dict = field(default_factory=dict)  # host: lines that come before its addresses
    rules: dict = field(default_factory=dict)  # host: lines of iptables' table mangle
    announce: tuple = ()  # the proxy's lines that answer for the VIPs
    front: tuple = (CLIENT_NET, PROXY_HOST)  # the proxy's own address, for clients
    client: str = "client"  # the host that the client is on


_CLIENT = (("eth0", CLIENT_NET, CLIENT_HOSTS),)
_SERVER = (("eth0", SERVER_NET, SERVER_HOSTS),)
_DEFAULTS = {
    "client": ("route add default via {client_gate}",),
    "server": ("route add default via {server_gate}",),
}
_ONE_ROUTER = {
    **_DEFAULTS,
    "proxy": ("route add {client_net} via {arm_gate}", "route add {server_net} via {arm_gate}"),
}


def _inline(**rest):
    return Layout(
        **{
            "wires": (("proxy", "client0", "client", "eth0"), ("proxy", "server0", "server", "eth0")),
            "addresses": {
                "proxy": (("client0", CLIENT_NET, (PROXY_HOST,)), ("server0", SERVER_NET, (PROXY_HOST,))),
                "client": _CLIENT,
                "server": _SERVER,
            },
            "lines": _DEFAULTS,
            **rest,
        }
    )


LAYOUTS = {
    "inline": _inline(),
    "asymmetric": _inline(),
    "hop": Layout(
        wires=(
            ("router", "proxy0", "proxy", "server0"),
            ("router", "server0", "server", "eth0"),
            ("proxy", "client0", "client", "eth0"),
        ),
        addresses={
            "router": (("proxy0", ARM_NET, (ARM_GATE,)), ("server0", SERVER_NET, (PROXY_HOST,))),
            "proxy": (("client0", CLIENT_NET, (PROXY_HOST,)), ("server0", ARM_NET, (ARM,))),
            "client": _CLIENT,
            "server": _SERVER,
        },
        lines={
            **_DEFAULTS,
            "router": ("route add default via {arm}",),
            "proxy": ("route add {server_net} via {arm_gate}",),
        },
    ),
    "bridge": _inline(
        links={
            "proxy": (
                "link add br0 type bridge stp_state 0 mcast_snooping 0",
                "link set client0 master br0",
                "link set client0 up",
            )
        },
        addresses={
            "proxy": (("br0", CLIENT_NET, (PROXY_HOST,)), ("server0", SERVER_NET, (PROXY_HOST,))),
            "client": _CLIENT,
            "server": _SERVER,
        },
    ),
    "one-arm": Layout(
        wires=(
            ("router", "client0", "client", "eth0"),
            ("router", "server0", "server", "eth0"),
            ("router", "proxy0", "proxy", "router0"),
        ),
        addresses={
            "router": (
                ("client0", CLIENT_NET, (PROXY_HOST,)),
                ("server0", SERVER_NET, (PROXY_HOST,)),
                ("proxy0", ARM_NET, (ARM_GATE,)),
            ),
            "proxy": (("router0", ARM_NET, (ARM,)),),
            "client": _CLIENT,
            "server": _SERVER,
        },
        lines={
            **_ONE_ROUTER,
            "router": (
                "route add {vip_net} via {arm}",
                "route add default via {arm} table 200",
            ),
        },
        policy={"router": ("rule add iif server0 lookup 200",)},
        front=(ARM_NET, ARM),
    ),
    "two-proxies": Layout(
        wires=(
            ("router", "client0", "client", "eth0"),
            ("router", "server0", "server", "eth0"),
            ("router", "proxy0", "proxy", "router0"),
            ("router", "proxy1", "proxy2", "router0"),
        ),
        addresses={
            "router": (
                ("client0", CLIENT_NET, (PROXY_HOST,)),
                ("server0", SERVER_NET, (PROXY_HOST,)),
                ("proxy0", ARM_NET, (ARM_GATE,)),
                ("proxy1", ARM2_NET, (ARM2_GATE,)),
            ),
            "proxy": (("router0", ARM_NET, (ARM,)),),
            "proxy2": (("router0", ARM2_NET, (ARM2,)),),
            "client": _CLIENT,
            "server": _SERVER,
        },
        lines={
            **_ONE_ROUTER,
            "proxy2": ("route add {client_net} via {arm2_gate}", "route add {server_net} via {arm2_gate}"),
            "router": (
                "route add {vip_net} via {arm}",
                "route add {vip2}/{all} via {arm2}",
                "route add default via {arm} table 201",
                "route add default via {arm2} table 202",
            ),
        },
        policy={
            "router": (
                "rule add fwmark 1 iif server0 lookup 201",
                "rule add fwmark 2 iif server0 lookup 202",
            )
        },
        rules={
            "router": (
                "-A PREROUTING -i proxy0 -j CONNMARK --set-mark 1",
                "-A PREROUTING -i proxy1 -j CONNMARK --set-mark 2",
                "-A PREROUTING -i server0 -j CONNMARK --restore-mark",
            )
        },
        front=(ARM_NET, ARM),
    ),
    "same-subnet": Layout(
        wires=(
            ("switch", "client0", "client", "eth0"),
            ("switch", "proxy0", "proxy", "server0"),
            ("switch", "server0", "server", "eth0"),
        ),
        links={
            "switch": (
                "link add br0 type bridge stp_state 0 mcast_snooping 0",
                *(f"link set {link} master br0 up" for link in ("client0", "proxy0", "server0")),
                "link set br0 up",
            )
        },
        addresses={
            "switch": (),
            "proxy": (("server0", SERVER_NET, (PROXY_HOST,)),),
            "client": (("eth0", SERVER_NET, CLIENT_HOSTS),),
            "server": _SERVER,
        },
        lines={host: ("route add default via {server_gate}",) for host in ("client", "server")},
        front=(SERVER_NET, PROXY_HOST),
    ),
    "lan": _inline(
        lines={**_DEFAULTS, "client": (*_DEFAULTS["client"], "route add {vip_net} dev eth0")},
        announce=("neigh add proxy {vip} dev client0", "route add {vip_net} dev server0"),
    ),
    "local-client": Layout(
        wires=(("proxy", "server0", "server", "eth0"),),
        addresses={"proxy": (("server0", SERVER_NET, (PROXY_HOST, PROXY_HOST + 1)),), "server": _SERVER},
        lines={"server": _DEFAULTS["server"]},
        front=(SERVER_NET, PROXY_HOST),
        client="proxy",
    ),
}
