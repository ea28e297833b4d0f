"""tproxyctl check --probe-udp: datagrams with the user's payload in place of connections."""

import json
import subprocess

import pytest

from lab import waiting
from lab.ctl import checklist, necessity
from lab.netns.endpoint import Endpoint
from lab.paths import TPROXYCTL
from lab.peers.datagrams import Peer
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

PAYLOAD, BYTES = r"ping\x00\\", b"ping\0\\"


@pytest.fixture
def trial(request):
    topology, family = request.param
    change = necessity.Change(
        "probed", "", "", "", recipes=("divert",), topology=topology, protocol="udp", implementation="falsifiers/correct",
        mangle=("-A PREROUTING -p udp -m socket --transparent -j DIVERT",),
    )  # fmt: skip
    case = necessity.Case(change, "divert", family, "iptables")
    implementation = adapter(change.implementation)
    lab = Lab(implementation, family, topology, "iptables", divert=False, recipe_name="divert")
    made = necessity.Trial(lab, case)
    made._set_up_hosts()
    made._serve()
    yield made
    lab.close()


def on(*topologies):
    return pytest.mark.parametrize("trial", [(each, family) for each in topologies for family in (4, 6)], indirect=True)


def probe(trial, answers=0):
    """(exit status, finding) of a probe; a server answers so many datagrams."""
    lab = trial.lab
    server = Peer(lab.server, lab.server_endpoint) if answers else None
    listen, to = (checklist._endpoint({"address": each.address, "port": each.port}) for each in (trial._vip(), lab.server_endpoint))
    words = [TPROXYCTL, "check", "--json", f"--listen={listen}/udp", f"--server={to}", "--client", trial._client()]
    with lab.proxies[0].host.namespace:
        process = subprocess.Popen([*words, "--probe-udp", PAYLOAD], stdout=subprocess.PIPE, text=True)
    for _ in range(answers):
        data, source = server.receive()
        assert data == BYTES
        server.send(b"pong", Endpoint(*source))
    out, _ = process.communicate(timeout=waiting.seconds)
    if server:
        server.close()
    item = next(each for each in json.loads(out)["items"] if each["id"] == "return-path")
    return process.returncode, item["findings"][0]


@on("inline", "one-arm", "lan")
def test_a_server_that_answers_datagrams_through_this_host(trial):
    status, found = probe(trial, answers=1)
    assert (status, found["state"]) == (0, "ok"), found
    assert found["subject"].endswith("/udp")


@on("asymmetric")
def test_a_way_back_that_leads_elsewhere(trial):
    status, found = probe(trial, answers=2)  # to the client, and to this host
    assert status == 4 and "does not answer" in found["read"] and found["commands"]


@on("inline")
def test_a_port_at_which_nothing_listens(trial):
    status, found = probe(trial)
    assert status == 4 and "refuse" in found["read"] and not found["commands"]


@on("inline")
def test_a_server_that_is_down(trial):
    trial.lab.topology.server.ip("link set eth0 down")
    status, found = probe(trial)
    assert status == 4 and "it answers this datagram neither" in found["read"] and not found["commands"]


@pytest.mark.parametrize("payload", ["", r"\x", r"\q", r"\xg0", "x" * 1025])
def test_a_wrong_payload_is_refused(payload):
    words = [TPROXYCTL, "check", "--server=203.0.113.20:53", "--listen=192.0.2.80:53/udp", "--probe-udp", payload]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--probe-udp: not 1 to 1024 bytes" in done.stderr and not done.stdout
