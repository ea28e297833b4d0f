"""`tproxyctl prove` and the lab agree about the running kernel, for each capability.

What prove says works is what the lab shows by doing it, and what it says does not is what the lab does
not: in both directions, for every capability and every connection that prove reports. The lab's
connections are made by whole proxies, each as the suite's own tests make it.
"""

import json
import os
import shutil
import subprocess

import pytest

from lab.ctl import capability_probes
from lab.exceptions import Unsupported
from lab.netns import firewall, topology
from lab.netns.endpoint import Endpoint
from lab.netns.namespace import CommandFailed
from lab.paths import TPROXYCTL
from lab.peers import datagrams
from lab.peers.proxy import adapter
from lab.setup import steering
from lab.setup.lab import Lab

PORT = 3129
NOT_CONNECTED = (AssertionError, CommandFailed, OSError, Unsupported)
REFUSES = """#!/bin/sh
rules=$(cat)
case $rules in
*{word}*) echo 'missing kernel module?' >&2; exit 2 ;;
esac
printf '%s\\n' "$rules" | exec {real}
"""

CAPABILITIES = [
    pytest.param(name, family, id=name if family is None else f"{name}-{family}")
    for name in capability_probes.NAMES
    for family in ([None] if name in capability_probes.WITHOUT_FAMILY else topology.FAMILIES)
]
CONNECTIONS = [("local-route", "none")]
CONNECTIONS += [("tproxy", firewall_tool) for firewall_tool in firewall.IPTABLES] + [("nft", "nft")]
CONNECTIONS += [(name, each) for each in firewall.FIREWALL_TOOLS for name in ("divert", "intercept", "udp", "udp-intercept")]


def prove():
    done = subprocess.run([TPROXYCTL, "prove", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def proof():
    return prove()


def says(proof, name, family):
    row = next(e for e in proof["capabilities"] if e["id"] == (name if family is None else f"{name}-{family}"))
    return row["state"] == "works"


@pytest.fixture
def hosts():
    """Makes labs without a set-up; `implementation` runs on the proxy's host."""
    made = []

    def make(implementation=None, family=4, firewall_tool="iptables", **rest):
        made.append(Lab(implementation and adapter(implementation), family, "inline", firewall_tool, **rest))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_everything_that_prove_reports_is_compared(proof):
    assert {each["id"] for each in proof["capabilities"]} == {each.id for each in CAPABILITIES}
    reported = {(each["recipe"], each["firewall_tool"] or "none", each["family"]) for each in proof["connections"]}
    assert reported == {(*each, family) for each in CONNECTIONS for family in topology.FAMILIES}


@pytest.mark.parametrize("name, family", CAPABILITIES)
def test_a_capability_works_in_the_lab_where_prove_says_so(proof, hosts, name, family):
    problem = capability_probes.why_not(hosts(divert=False), name, family)
    assert (problem is None) == says(proof, name, family), problem


@pytest.mark.parametrize("family", topology.FAMILIES)
@pytest.mark.parametrize("name, firewall_tool", CONNECTIONS)
def test_a_connection_works_in_the_lab_where_prove_says_so(proof, hosts, name, firewall_tool, family):
    of_it = next(
        each
        for each in proof["connections"]
        if (each["recipe"], each["firewall_tool"] or "none", each["family"]) == (name, firewall_tool, family)
    )
    problem = why_not_connected(hosts, name, firewall_tool, family)
    assert (problem is None) == (of_it["state"] == "works"), problem


def why_not_connected(hosts, name, firewall_tool, family):
    """None if the lab makes the same connection, otherwise the problem."""
    way = {"udp": _datagrams, "udp-intercept": _any_datagram, "intercept": _intercepted}.get(name, _plain)
    try:
        return None if way(hosts, name, firewall_tool, family) else "it is not transparent"
    except NOT_CONNECTED as problem:
        return f"{type(problem).__name__}: {problem}"


def _plain(hosts, name, firewall_tool, family):
    alone = name == "local-route"
    lab = hosts("tproxyd", family, "iptables" if alone else firewall_tool, recipe_name=name)
    lab.serve(source="none" if alone else "clientip")
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    return flow.peer_seen_by_server.address == (lab.proxy if alone else lab.client).address


def _intercepted(hosts, _, firewall_tool, family):
    lab = hosts("falsifiers/correct", family, firewall_tool)
    steering.intercept(lab, PORT)
    wildcard = lab.listener(Endpoint(capability_probes.ANY[family], PORT))
    lab.server.serve(lab.server_endpoint)
    lab.start("clientip", [wildcard], [], destination="original").await_ready()
    flow = lab.client.connect(lab.server_endpoint)
    flow.exchange()
    went_through = ("ESTABLISHED", flow.client.peer, flow.client.local) in lab.proxy.sockets()
    return went_through and flow.peer_seen_by_server.address == lab.client.address


def _datagrams(hosts, _, firewall_tool, family):
    lab = hosts("falsifiers/correct", family, firewall_tool)
    server = steering.serve_datagrams(lab, source="client")
    client = datagrams.Peer(lab.client)
    return datagrams.exchange(lab, server, client, b"a question") == client.local


def _any_datagram(hosts, _, firewall_tool, family):
    lab = hosts(None, family, firewall_tool)
    steering.divert_datagrams(lab)
    steering.intercept_datagrams(lab, capability_probes.DESTINATION_PORT, capability_probes.PORT)
    return capability_probes.intercepted_datagram(lab, family)


@pytest.mark.parametrize("word, lost", [("TPROXY", "tproxy"), ("socket", "socket"), ("MARK", "mark")])
def test_what_a_tool_refuses_is_shown_by_neither(tmp_path, monkeypatch, hosts, word, lost):
    """The comparison can have two outcomes: here both report the feature as missing, and all others as working."""
    real = shutil.which("iptables-restore") or pytest.skip("absent: iptables-restore")
    before = prove()
    (tmp_path / "iptables-restore").write_text(REFUSES.format(word=word, real=real), encoding="utf-8")
    (tmp_path / "iptables-restore").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = prove()
    for feature in capability_probes.FEATURES["iptables"]:
        name = f"iptables-{feature}"
        expected = feature != lost and says(before, name, 4)
        problem = capability_probes.why_not(hosts(divert=False), name, 4)
        assert (says(made, name, 4), problem is None) == (expected, expected), f"{name}: {problem}"
