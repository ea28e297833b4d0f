"""Decorators that repeat a test for each variant.

The ways to relay are asked of an implementation that claims them. "auto" is the implementation's own choice: the only
variant of `each_relay` for one that claims no way to relay.
"""

import pytest

both_families = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
each_firewall_tool = pytest.mark.parametrize("firewall_tool", ["iptables", "iptables-legacy"])
each_relay = pytest.mark.parametrize("relay", [pytest.param("auto", marks=pytest.mark.no_relay_claimed), "splice", "copy"])
every_relay = pytest.mark.parametrize("relay", ["auto", "splice", "copy"])
any_listener = pytest.mark.any_listener
asymmetric = pytest.mark.parametrize("topology_name", ["asymmetric"])
each_end = pytest.mark.parametrize("closer, reader", [("client", "server"), ("server", "client")])


def with_sysctls(**values):
    """Override single sysctls of the recipe; dots of the names are written as double underscores."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return pytest.mark.parametrize("sysctls", [named], ids=["sysctls"])
