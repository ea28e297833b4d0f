"""Which recipes, firewall tools and topologies run together: the only place that says so.

Every recipe meets every firewall tool that it is written for on the plainest topology, where nothing but the
rules differs. Every other topology meets one recipe of each kind (marks for sockets, the target
TPROXY, nftables): what a topology changes is routes, and those are the same for all of a kind.
Left out: combinations that differ only in the program that loads the same rules.

`asymmetric` and `same-subnet` are in no row: there the server's answers do not pass the proxy, and
tests of their own show that. So are two-proxies and local-client, whose tests need more than one
proxy, or a client elsewhere. Every row is run for IPv4 and IPv6.
"""

import pytest

from lab.netns import topology

RECIPES = (
    ("divert", "iptables"),
    ("divert", "iptables-legacy"),
    ("divert", "nft"),
    ("tproxy", "iptables"),
    ("tproxy", "iptables-legacy"),
    ("nft", "nft"),
    ("local-route+divert", "iptables"),
)
KINDS = (("divert", "iptables"), ("tproxy", "iptables"), ("nft", "nft"))
ELSEWHERE = ("hop", "bridge", "one-arm", "lan")


def _variants(topologies, recipes):
    return [
        pytest.param(where, recipe, firewall_tool, family, id=f"{where}-{recipe}-{firewall_tool}-ipv{family}")
        for where in topologies
        for recipe, firewall_tool in recipes
        for family in topology.FAMILIES
    ]


def _decorator(topologies, recipes):
    return pytest.mark.parametrize("topology_name, recipe, firewall_tool, family", _variants(topologies, recipes))


each_recipe = _decorator(("inline",), RECIPES)
each_topology = _decorator(ELSEWHERE, KINDS)
same_subnet = _decorator(("same-subnet",), KINDS)
two_proxies = _decorator(("two-proxies",), KINDS)
local_client = _decorator(("local-client",), (("local-route+divert", "iptables"),))
local_route = _decorator(("inline", "one-arm", "lan"), (("local-route", "iptables"),))
on_a_bridge = _decorator(("bridge",), KINDS)


def bridge_calls_rules(namespace, value=1):
    """Set whether packets that enter by a bridge's port pass the rules of iptables on the bridge."""
    namespace.sysctl({f"net.bridge.bridge-nf-call-{each}": value for each in ("iptables", "ip6tables")})
