"""A server on the proxy's own host: its answers to the client's address have to come back by lo."""

import socket

import pytest

from lab import waiting
from lab.ctl import checklist
from lab.netns.endpoint import Endpoint
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

SERVERS = {4: Endpoint("127.0.0.1", 8080), 6: Endpoint("::1", 8080)}
MMPROXY = {4: "ip rule add from 127.0.0.1/8 iif lo lookup 100", 6: "ip -6 rule add from ::1/128 iif lo lookup 100"}


@pytest.fixture(params=[4, 6])
def lab(request):
    made = Lab(adapter("tproxyd"), request.param, "inline", "iptables", recipe_name="divert")
    yield made
    made.close()


LOOPS = "{program} -w -t mangle -I PREROUTING -p tcp --dport 8080 -j TPROXY --on-ip {vip} --on-port 80 --tproxy-mark 1"


@pytest.fixture
def server(lab):
    server = SERVERS[lab.family]
    with lab.topology.proxy:
        made = socket.create_server(tuple(server), family=socket.AF_INET6 if server.family == 6 else socket.AF_INET)
    made.setblocking(False)
    yield made
    made.close()


def connect(lab, server):
    """The address that the server sees, or None: the proxy sends its request to the server again and again."""
    earlier = repeated(lab)  # the proxy may still try for a client before this one
    client = lab.client.socket(lab.vip.address)
    client.setblocking(False)
    client.connect_ex(tuple(lab.vip))
    try:
        waiting.until(lambda: is_readable(server) or repeated(lab) - earlier, "the server has the connection, or gets no further")
        return server.accept()[1][0] if is_readable(server) else None
    finally:
        client.close()


def is_readable(server):
    return bool(waiting.readable([server], 0))


def repeated(lab):
    """Sources of the proxy's requests to the server that were sent again: `ss` prints how often behind the timer."""
    listed = lab.topology.proxy.run("ss", "-Htno", "state", "syn-sent", "dport", "= :8080")
    return {line.split()[2] for line in listed.splitlines() if "timer:(on" in line and not line.rstrip().endswith(",0)")}


def wrong(lab):
    proxy = lab.proxies[0]
    needs = checklist.service_options(proxy.scenario, proxy.folder, lab.client.address)
    return checklist.wrong(checklist.check(proxy.host, needs))


def start(lab):
    listener = {"address": lab.vip.address, "port": lab.vip.port, "transparent": True}
    lab.start("clientip", [listener], [SERVERS[lab.family]]).await_ready()


def test_its_answers_are_led_back(lab, server):
    start(lab)
    assert connect(lab, server) is None
    named = wrong(lab)
    assert set(named) == {"return-path"}
    for _ in range(2):
        for command in checklist.commands(named):
            lab.topology.proxy.run("sh", "-c", command.run)
    assert connect(lab, server) == lab.client.address
    assert not wrong(lab)


def test_the_published_rule_is_in_order(lab, server):
    start(lab)
    lab.topology.proxy.run(*MMPROXY[lab.family].split())
    assert connect(lab, server) == lab.client.address
    assert not wrong(lab)


def test_a_rule_that_intercepts_the_proxys_own_requests_is_named_and_fixed(lab, server):
    """The request passes lo, so PREROUTING leads it to the proxy again. A client would take all of its descriptors."""
    start(lab)
    lab.topology.proxy.run(*MMPROXY[lab.family].split())
    lab.topology.proxy.run(*LOOPS.format(program={4: "iptables", 6: "ip6tables"}[lab.family], vip=lab.vip.address).split())
    named = wrong(lab)
    assert set(named) == {"rule-order"}
    assert "connects to itself again and again" in named["rule-order"][0]["read"]
    for _ in range(2):
        for command in checklist.commands(named):
            lab.topology.proxy.run("sh", "-c", command.run)
    assert connect(lab, server) == lab.client.address
    assert not wrong(lab)
