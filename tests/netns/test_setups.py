"""HOST: the ways to divert packets to a proxy, and the places of a proxy in the network (see lab.setup.setups)."""

from lab.conformance.requirements import requirement
from lab.netns import hoststate, topology
from lab.netns.endpoint import Endpoint
from lab.setup.setups import (
    bridge_calls_rules,
    each_recipe,
    each_topology,
    local_client,
    local_route,
    on_a_bridge,
    same_subnet,
    two_proxies,
)
from lab.setup.variants import any_listener, both_families


def is_transparent(lab):
    """A new connection to the VIP works, and the server sees its source."""
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.client.address
    assert flow.source_on_the_wire.address == lab.client.address
    flow.exchange()


@requirement("TP-HOST-10")
@each_recipe
def test_every_recipe_works_with_every_firewall_tool(lab):
    lab.serve(source="clientip")
    is_transparent(lab)


@requirement("TP-HOST-11")
@each_topology
def test_it_works_wherever_answers_pass_the_proxy(lab):
    lab.serve(source="clientip")
    is_transparent(lab)


@requirement("TP-HOST-12")
@any_listener
@local_route
def test_a_local_route_alone_is_enough_for_binding(lab):
    lab.serve(source="none")
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.proxy.address
    flow.exchange()


@requirement("TP-HOST-13")
@same_subnet
def test_a_client_in_the_servers_subnet_needs_a_route_of_its_own(lab):
    lab.serve(source="clientip", **lab.short_connect())
    how, data = lab.client.try_connect(lab.vip)
    assert how in ("eof", "reset") and not data
    assert lab.server.no_connection_came()
    words = topology.placeholders(lab.family)
    lab.topology.server.ip(f"route add {lab.client.address}/{words['all']} via {words['server_gate']}")
    is_transparent(lab)


@requirement("TP-HOST-14")
@two_proxies
def test_two_proxies_serve_the_same_clients_side_by_side(lab):
    vips = [lab.vip, Endpoint(lab.vip_address(81), lab.vip.port)]
    for host, vip in zip(lab.proxy_hosts, vips):
        lab.server.serve(lab.server_endpoint)
        lab.start(source="clientip", listeners=[lab.listener(vip)], host=host).await_ready()
    flows = [lab.client.connect(vip) for vip in vips * 4]
    for flow in flows:
        assert flow.peer_seen_by_server.address == lab.client.address
        flow.exchange()


@requirement("TP-HOST-15")
@local_client
def test_a_client_on_the_proxys_host_is_served(lab):
    lab.serve(source="clientip")
    flow = lab.client.connect(lab.vip, Endpoint(lab.client.other_address, 0))
    assert flow.peer_seen_by_server.address == lab.client.other_address
    assert flow.source_on_the_wire.address == lab.client.other_address
    flow.exchange()


@requirement("TP-HOST-16")
@on_a_bridge
def test_a_bridge_that_passes_packets_to_iptables_disturbs_nothing(lab):
    bridge_calls_rules(lab.topology.proxy)
    if lab.serve().uses_clients_address:
        is_transparent(lab)
    else:
        lab.client.connect(lab.vip).exchange()


@requirement("TP-HOST-17")
@both_families
def test_a_proxy_changes_nothing_of_its_host(lab):
    before = hoststate.of(lab.proxy.namespace)
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    flow.close()
    assert not hoststate.changes(before, hoststate.of(lab.proxy.namespace))
    proxy.stop()
    assert not hoststate.changes(before, hoststate.of(lab.proxy.namespace))
