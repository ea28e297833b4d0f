"""BIND: an address that is on no interface is served."""

import errno

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.exceptions import GuardFailed
from lab.netns import counters, topology
from lab.netns.endpoint import Endpoint
from lab.peers.controls import shown_before
from lab.peers.ping import echoes
from lab.setup.variants import any_listener, both_families, each_firewall_tool, with_sysctls


@requirement("TP-BIND-01")
@both_families
@each_firewall_tool
def test_an_address_on_no_interface_is_served(lab):
    lab.serve()
    lab.client.connect(lab.vip).exchange()


@requirement("TP-BIND-01")
@both_families
@pytest.mark.parametrize("recipe, firewall_tool", [("nft", "nft")])
def test_rules_that_ask_for_a_transparent_socket_find_the_listener(lab):
    """The walk-through's rule matches any socket, and IPv6 answers from any address: so it does not tell them apart."""
    lab.serve()
    lab.client.connect(lab.vip).exchange()


@requirement("TP-BIND-02")
@both_families
def test_a_transparently_bound_address_cannot_be_pinged_yet_serves(lab):
    lab.serve()
    own = topology.address(topology.CLIENT_NET[lab.family], topology.PROXY_HOST)
    assert echoes(lab.client, [lab.vip.address, own]) == [own]
    lab.client.connect(lab.vip).exchange()


@requirement("TP-BIND-03")
@any_listener
@both_families
def test_the_accepted_sockets_own_address_is_the_vip(lab):
    lab.serve()
    flow = lab.client.connect(lab.vip)
    assert ("ESTABLISHED", lab.vip, flow.client.local) in lab.proxy.sockets()


@requirement("TP-BIND-04")
@both_families
def test_several_vips_are_served_at_the_same_time(lab):
    vips = [Endpoint(lab.vip_address(number), lab.vip.port) for number in (80, 81, 82)]
    lab.serve(listeners=[lab.listener(vip) for vip in vips])
    flows = [lab.client.connect(vip) for vip in vips]
    for flow in flows:
        flow.exchange()


@requirement("TP-BIND-05")
@any_listener
@both_families
def test_every_port_of_a_range_is_served(lab):
    ports = range(8000, 8008)
    lab.serve(listeners=[lab.listener(Endpoint(lab.vip_address(), ports[0]), port_last=ports[-1])])
    for port in ports:
        lab.client.connect(Endpoint(lab.vip_address(), port)).exchange()


@requirement("TP-BIND-06")
@both_families
def test_another_programs_listener_on_the_same_port_goes_on(lab):
    neighbour = Endpoint(lab.proxy_address_to_clients, lab.vip.port)
    listener = lab.proxy.listen(neighbour)
    lab.serve()
    lab.client.connect(lab.vip).exchange()
    lab.client.open(neighbour)
    assert listener.accept()[1][0] == lab.client.address


@requirement("TP-BIND-07")
@both_families
def test_without_transparent_the_start_fails_and_says_why(lab):
    """What a start at an address of the host logs does not count: it may name each address, too."""
    own = Endpoint(lab.proxy_address_to_clients, lab.vip.port)
    usual = lab.serve(listeners=[lab.listener(own, transparent=False)])
    usual.stop()
    proxy = lab.start(listeners=[lab.listener(transparent=False)])
    assert proxy.await_end() != 0
    proxy.must_name(lab.vip.address, usual, own.address)


@requirement("TP-BIND-08")
@any_listener
@both_families
def test_nothing_but_the_vip_is_listened_at(lab):
    lab.serve()
    listening = {local for _, local, _ in lab.proxy.sockets("LISTEN")}
    assert listening == {lab.vip}
    for elsewhere in (lab.proxy_address_to_clients, lab.proxy.address):
        assert lab.client.try_connect(Endpoint(elsewhere, lab.vip.port))[0] == "refused"


@requirement("TP-BIND-09")
@both_families
def test_an_address_of_the_host_is_served_too(lab):
    own = Endpoint(lab.proxy_address_to_clients, 8000)
    lab.serve(listeners=[lab.listener(), lab.listener(own)])
    lab.client.connect(own).exchange()
    lab.client.connect(lab.vip).exchange()


@requirement("TP-BIND-10")
@any_listener
def test_v4v6_serves_clients_of_both_families(lab):
    lab.serve(source="none", listeners=[lab.listener(Endpoint("::", 8000), v6="v4v6")])
    for family in topology.FAMILIES:
        own = topology.address(topology.CLIENT_NET[family], topology.PROXY_HOST)
        lab.client.connect(Endpoint(own, 8000)).exchange()


@requirement("TP-BIND-11")
@any_listener
def test_v6only_leaves_ipv4_alone(lab):
    lab.serve(source="none", listeners=[lab.listener(Endpoint("::", 8000), v6="v6only")])
    own = {f: topology.address(topology.CLIENT_NET[f], topology.PROXY_HOST) for f in topology.FAMILIES}
    lab.client.connect(Endpoint(own[6], 8000)).exchange()
    assert lab.client.try_connect(Endpoint(own[4], 8000))[0] == "refused"


@requirement("TP-BIND-12")
@both_families
def test_a_plain_and_a_transparent_listener_share_a_port_on_their_own_addresses(lab):
    own = Endpoint(lab.proxy_address_to_clients, lab.vip.port)
    lab.serve(listeners=[lab.listener(own, transparent=False), lab.listener()])
    for served in (own, lab.vip):
        lab.client.connect(served).exchange()


@requirement("TP-BIND-14")
@both_families
def test_a_listener_that_answers_with_syn_cookies_serves(lab):
    """The proxy's host keeps no state of a new connection until the client's ACK arrives."""
    lab.proxy.namespace.sysctl({"net.ipv4.tcp_syncookies": 2})
    lab.serve()
    lab.client.connect(lab.vip).exchange()
    if not counters.total(lab.proxy.namespace, "TcpExtSyncookiesRecv"):
        raise GuardFailed("no SYN cookie came back")


@requirement("TP-BIND-15")
@any_listener
@both_families
def test_a_client_that_comes_again_while_its_old_connection_is_in_time_wait_is_served(lab):
    lab.serve()
    source = Endpoint(lab.client.address, 40_000)
    for _ in range(2):
        flow = lab.client.connect(lab.vip, source)
        flow.exchange()
        flow.server.close()
        assert flow.client.ending() == ("eof", b"")
        flow.client.close()
        at_the_proxy = ("TIME_WAIT", lab.vip, source)
        with shown_before("the proxy's end is the one in TIME-WAIT"):
            waiting.until(lambda: at_the_proxy in lab.proxy.sockets(), "the proxy's end is in TIME-WAIT")


@requirement("TP-HOST-01")
@pytest.mark.parametrize("family", [4], ids=["ipv4"])
@with_sysctls(net__ipv4__ip_nonlocal_bind=1)
def test_nonlocal_bind_lets_a_listener_without_transparent_start(lab):
    lab.serve(listeners=[lab.listener(transparent=False)])
    assert lab.proxy.listens(lab.vip)


@requirement("TP-HOST-02")
@with_sysctls(net__ipv4__ip_nonlocal_bind=1)
def test_the_set_up_exactly_as_printed_works(lab):
    lab.serve(source="clientip")
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.client.address


@requirement("TP-HOST-03")
@both_families
def test_neither_forwarding_nor_nonlocal_bind_is_needed_for_proxied_traffic(lab):
    lab.forward(False)
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    assert not proxy.uses_clients_address or flow.peer_seen_by_server.address == lab.client.address
    flow.exchange()


@requirement("TP-HOST-04")
@both_families
def test_an_ordinary_program_may_not_bind_to_the_vip(lab):
    with lab.proxy.socket(lab.vip.address) as probe, pytest.raises(OSError) as refused:
        probe.bind((lab.vip.address, 0))
    assert refused.value.errno == errno.EADDRNOTAVAIL
