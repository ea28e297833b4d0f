"""A server on the proxy's own host: its answers to the client's address have to come back by lo."""

import socket

import pytest

from lab import waiting
from lab.ctl import checklist
from lab.netns.endpoint import Endpoint
from lab.peers.proxy import Implementation
from lab.setup.lab import Lab

SERVER = Endpoint("127.0.0.1", 8080)
MMPROXY = "ip rule add from 127.0.0.1/8 iif lo lookup 100"


@pytest.fixture
def lab():
    made = Lab(Implementation("tproxyd"), 4, "inline", "iptables", recipe_name="divert")
    yield made
    made.close()


LOOPS = "iptables -w -t mangle -I PREROUTING -p tcp --dport 8080 -j TPROXY --on-ip {vip} --on-port 80 --tproxy-mark 1"


@pytest.fixture
def server(lab):
    with lab.topology.proxy:
        made = socket.create_server(tuple(SERVER))
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
    listed = lab.topology.proxy.run("ss", "-Htno", "state", "syn-sent", "dport", f"= {SERVER.port}")
    return {line.split()[2] for line in listed.splitlines() if "timer:(on" in line and not line.rstrip().endswith(",0)")}


def wrong(lab):
    proxy = lab.proxies[0]
    needs = checklist.service_options(proxy.scenario, proxy.folder, lab.client.address)
    return checklist.wrong(checklist.check(proxy.host, needs))


def start(lab):
    listener = {"address": lab.vip.address, "port": lab.vip.port, "transparent": True}
    lab.start("clientip", [listener], [SERVER]).await_ready()


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
    lab.topology.proxy.run(*MMPROXY.split())
    assert connect(lab, server) == lab.client.address
    assert not wrong(lab)


def test_a_rule_that_intercepts_the_proxys_own_requests_is_named_and_fixed(lab, server):
    """The request passes lo, so PREROUTING leads it to the proxy again. A client would take all of its descriptors."""
    start(lab)
    lab.topology.proxy.run(*MMPROXY.split())
    lab.topology.proxy.run(*LOOPS.format(vip=lab.vip.address).split())
    named = wrong(lab)
    assert set(named) == {"rule-order"}
    assert "connects to itself again and again" in named["rule-order"][0]["read"]
    for _ in range(2):
        for command in checklist.commands(named):
            lab.topology.proxy.run("sh", "-c", command.run)
    assert connect(lab, server) == lab.client.address
    assert not wrong(lab)
