"""The suite's connections work on set-ups that `tproxyctl apply` makes, in every topology.

Every row of lab.setup.setups that works on the lab's own recipes works on what apply makes in their stead;
`tproxyctl check` finds nothing missing or harmful there, and revert takes all of it back.
"""

import re

import pytest

from lab.ctl import checklist
from lab.netns import firewall, topology
from lab.netns.endpoint import Endpoint
from lab.peers.proxy import adapter
from lab.setup import by_apply
from lab.setup.lab import Lab
from lab.setup.setups import (
    bridge_calls_rules,
    each_recipe,
    each_topology,
    local_client,
    local_route,
    on_a_bridge,
    two_proxies,
)


@pytest.fixture
def lab(topology_name, recipe, firewall_tool, family):
    made = Lab(adapter("tproxyd"), family, topology_name, firewall_tool, recipe_name=recipe, set_up_by="apply")
    yield made
    made.close()


def is_transparent(lab, source=None, vip=None):
    """A new connection works, and the server sees its source; returns the client's address."""
    client_address = source or lab.client.address
    flow = lab.client.connect(vip or lab.vip, Endpoint(source, 0) if source else None)
    flow.exchange()
    assert flow.peer_seen_by_server.address == flow.source_on_the_wire.address == client_address
    return client_address


def nothing_is_wrong(lab, client, vip=None):
    """`check` on every proxy's host, while the client connects."""

    def call():
        made = lab.client.socket(client)
        made.bind((client, 0))
        made.setblocking(False)
        made.connect_ex(tuple(vip or lab.vip))
        return made

    for proxy in lab.proxies:
        made = checklist.check(proxy.host, checklist.service_options(proxy.scenario, proxy.folder, client), call)
        assert not checklist.wrong(made)


def rules(lab):
    """Rules and routes of tproxyctl on the proxies' hosts."""
    text = ""
    for host in lab.topology.proxies():
        for family in topology.FAMILIES:
            text += firewall.save_rules(host, family, lab.firewall_tool)
            text += host.run("ip", f"-{family}", "rule") + host.run("ip", f"-{family}", "route", "show", "table", "all")
    return re.findall("tproxyctl|proto 197", text, re.I)


@each_recipe
def test_connections_work_on_what_apply_made(lab):
    assert rules(lab)
    lab.serve(source="clientip")
    nothing_is_wrong(lab, is_transparent(lab))
    by_apply.revert(lab.topology.proxy)
    assert not rules(lab) and not by_apply.state(lab.topology.proxy).exists()


@each_topology
def test_they_work_wherever_answers_pass_the_proxy(lab):
    lab.serve(source="clientip")
    nothing_is_wrong(lab, is_transparent(lab))


@local_route
def test_a_local_route_alone_is_enough_for_binding(lab):
    lab.serve(source="none")
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    assert flow.peer_seen_by_server.address == lab.proxy.address
    nothing_is_wrong(lab, lab.client.address)


@two_proxies
def test_two_proxies_serve_the_same_clients_side_by_side(lab):
    lab.server.serve(lab.server_endpoint)
    for number, host in enumerate(lab.proxy_hosts):
        vip = Endpoint(lab.vip_address(80 + number), lab.vip.port)
        lab.start(source="clientip", listeners=[lab.listener(vip)], host=host).await_ready()
        is_transparent(lab, vip=vip)


@local_client
def test_a_client_on_the_proxys_host_is_served(lab):
    lab.serve(source="clientip")
    is_transparent(lab, lab.client.other_address)


@on_a_bridge
def test_a_bridge_that_passes_packets_to_iptables_disturbs_nothing(lab):
    bridge_calls_rules(lab.topology.proxy)
    lab.serve(source="clientip")
    nothing_is_wrong(lab, is_transparent(lab))
