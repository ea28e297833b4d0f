"""Which recipes, firewall tools and topologies run together: the only place that says so.

Every recipe runs by every firewall tool that it is written for, on the simplest topology. Every other topology runs
with one recipe of each kind (marks for sockets, the target TPROXY, nftables): a topology changes routes, and these are
the same for all recipes of a kind. Combinations that differ only in the program that loads the same rules are left out.

`asymmetric` and `same-subnet` are in no row: there the server's answers do not pass the proxy, and other tests show
that. two-proxies and local-client are in no row either: their tests need several proxies, or a client elsewhere. Every
row runs for IPv4 and IPv6.
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
