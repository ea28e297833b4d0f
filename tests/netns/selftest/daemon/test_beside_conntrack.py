"""The fully transparent proxy beside conntrack: both sides have the same addresses and ports, so they share an entry.

Their sequence numbers differ, so conntrack takes packets of one side for invalid now and then. That is no harm as long as no
rule drops such packets. Where one does, as in many firewalls, the client's link needs a zone of its own. A rule counts what
conntrack knows, so that a host without conntrack does not pass.
"""

import pytest

from lab.exceptions import Absent
from lab.netns import firewall, topology
from lab.netns.endpoint import Endpoint
from lab.peers.proxy import adapter
from lab.setup import steering
from lab.setup.lab import Lab

pytestmark = pytest.mark.suite

PORT = 3129
ANY = {4: "0.0.0.0", 6: "::"}

IPTABLES = """*filter
-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
COMMIT
"""
IPTABLES_ZONES_AND_DROPS = """*raw
-A PREROUTING -i client0 -j CT --zone 1
-A OUTPUT -o client0 -j CT --zone 1
COMMIT
*mangle
-I PREROUTING -m conntrack --ctstate INVALID -j DROP
COMMIT
*filter
-I INPUT -m conntrack --ctstate INVALID -j DROP
-I OUTPUT -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
NFT = """table inet filter {
  chain input { type filter hook input priority filter; ct state established counter accept; }
}
"""
NFT_ZONES_AND_DROPS = """table inet zones {
  chain from { type filter hook prerouting priority raw; iifname client0 ct zone set 1; }
  chain to { type filter hook output priority raw; oifname client0 ct zone set 1; }
}
table inet drops {
  chain before { type filter hook prerouting priority mangle - 1; ct state invalid drop; }
  chain input { type filter hook input priority filter - 1; ct state invalid drop; }
  chain output { type filter hook output priority filter - 1; ct state invalid drop; }
}
"""


@pytest.fixture
def lab(firewall_tool, family):
    made = Lab(adapter("tproxyd"), family, "inline", firewall_tool)
    yield made
    made.close()


def track(lab, zones):
    """Load rules that use conntrack; with zones, they drop what it takes for invalid, too."""
    host = lab.proxy.namespace
    if lab.firewall_tool == "nft":
        host.run("nft", "-f", "-", text=NFT + (NFT_ZONES_AND_DROPS if zones else ""))
    else:
        rules = IPTABLES + (IPTABLES_ZONES_AND_DROPS if zones else "")
        firewall.load_rules(host, rules, lab.family, lab.firewall_tool, "--noflush")


def tracked(lab, zones):
    """The entries of connections that a client's zone, or the only one, has."""
    try:
        with lab.proxy.namespace, open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as file:
            return [line for line in file if "dport=8080" in line and ("zone=1" in line) == zones]
    except FileNotFoundError:
        raise Absent("the kernel does not show conntrack's entries") from None


@pytest.mark.parametrize("zones", [False, True], ids=["one zone", "two zones and drops"])
@pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
@pytest.mark.parametrize("family", topology.FAMILIES)
def test_both_sides_of_a_session_have_the_same_addresses_and_ports(lab, zones):
    track(lab, zones)
    steering.intercept(lab, PORT)
    lab.start("client", [lab.listener(Endpoint(ANY[lab.family], PORT))], [], destination="original").await_ready()
    lab.server.serve(lab.server_endpoint)
    flow = lab.client.connect(lab.server_endpoint)
    assert (flow.server.peer, flow.server.local) == (flow.client.local, flow.client.peer)
    assert ("ESTABLISHED", flow.client.peer, flow.client.local) in lab.proxy.sockets()
    flow.exchange(1 << 20)
    assert tracked(lab, zones)
    flow.client.close()
    assert flow.server.ending()[0] == "eof"
