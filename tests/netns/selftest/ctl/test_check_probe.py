"""tproxyctl check --probe: which of four things a server does, found by doing, with few packets."""

import json
import subprocess

import pytest

from lab.ctl import checklist, necessity
from lab.netns import firewall
from lab.netns.capture import ACK, RST, SYN
from lab.paths import TPROXYCTL
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

DROP = "add table inet f; add chain inet f in {{ type filter hook input priority 0; }}; add rule inet f in {} drop"
FIREWALLS = {
    "drops clients": "ip saddr 198.51.100.0/24",
    "drops clients of IPv6": "ip6 saddr 2001:db8:c::/64",
    "drops all": "tcp dport 8080",
}
FORWARDING = {True: ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"), False: ()}


def row(topology="inline", forwarding=True, **more):
    return necessity.Change(
        "probed", "", "", "", recipes=("divert",), topology=topology, sysctls=FORWARDING[forwarding], **more
    )


@pytest.fixture
def trial(request):
    """A set-up whose proxy runs, and to which no client has connected."""
    change, family, firewall_tool = request.param
    case = necessity.Case(change, "divert", family, firewall_tool)
    lab = Lab(adapter("tproxyd"), family, change.topology, firewall_tool, divert=False, recipe_name="divert")
    made = necessity.Trial(lab, case)
    made._set_up_hosts()
    made._serve()
    yield made
    lab.close()


def probe(trial, *more):
    """(exit status, finding about the way back, the whole report)."""
    proxy = trial.lab.proxies[0]
    needs = checklist.service_options(proxy.scenario, proxy.folder, trial._client())
    with proxy.host.namespace:
        done = subprocess.run(
            [TPROXYCTL, "check", "--json", "--probe", *needs, *more],
            capture_output=True, text=True, check=False, env=None,
        )  # fmt: skip
    assert done.returncode in (0, 1, 3, 4), done.stderr
    made = json.loads(done.stdout)
    item = next(each for each in made["items"] if each["id"] == "return-path")
    return done.returncode, item["findings"][0], made


def trials(*rows, tools=("iptables",)):
    cases = [(each, family, tool) for each in rows for family in (4, 6) for tool in tools]
    ids = [f"{each.topology}-IPv{family}-{tool}-{len(each.sysctls)}" for each, family, tool in cases]
    return pytest.mark.parametrize("trial", cases, ids=ids, indirect=True)


@trials(row(), row(forwarding=False), row("lan"), row("one-arm"), tools=firewall.FIREWALL_TOOLS)
def test_a_server_that_answers_through_this_host(trial):
    status, found, _ = probe(trial)
    assert (status, found["state"]) == (0, "ok")
    assert found["read"] == f"probed: it answers {trial._client()} through this host"


STRICT = {"server": ("net.ipv4.conf.all.rp_filter=1",)}  # it drops clients' packets that do not come by the way back


@trials(row("asymmetric"), row("asymmetric", forwarding=False), row("asymmetric", sysctls_on=STRICT))
def test_a_way_back_that_leads_elsewhere(trial):
    status, found, _ = probe(trial)
    assert (status, found["state"]) == (4, "harmful")
    assert "answers this host's own address, and does not answer" in found["read"]
    assert "Its way back to the client leads elsewhere" in found["read"]
    trial.fix(checklist.commands({"return-path": [found]}))
    assert probe(trial)[0] == 0
    assert trial.observe() == "works"


@trials(row("same-subnet"))
def test_a_client_in_the_servers_own_network(trial):
    status, found, _ = probe(trial)
    assert (status, found["state"]) == (4, "harmful")
    assert "The client is in the server's own network, so the server answers it directly" in found["read"]
    trial.fix(checklist.commands({"return-path": [found]}))
    assert probe(trial)[0] == 0


@trials(row("one-arm", on={"router": ("rule add pref 10 iif server0 lookup main",)}))
def test_a_router_that_sends_answers_past_this_host(trial):
    status, found, _ = probe(trial)
    assert (status, found["state"]) == (4, "harmful")
    trial.fix(checklist.commands({"return-path": [found]}))
    assert probe(trial)[0] == 0


@trials(row())
def test_a_firewall_that_drops_clients_or_all(trial):
    server = trial.lab.topology.server
    name = "drops clients" if trial.case.family == 4 else "drops clients of IPv6"
    server.run("nft", "-f", "-", text=DROP.format(FIREWALLS[name]))
    status, found, _ = probe(trial)
    assert status == 4 and "or it drops packets by their source" in found["read"]
    server.run("nft", "-f", "-", text="delete table inet f; " + DROP.format(FIREWALLS["drops all"]))
    status, found, _ = probe(trial)
    assert status == 4 and "it answers neither the client's address nor this host's own" in found["read"]
    assert not found["commands"]


@trials(row())
def test_a_port_at_which_nothing_listens(trial):
    needs = [f"--server={checklist._endpoint({'address': trial.lab.server.address, 'port': 8099})}"]
    proxy = trial.lab.proxies[0]
    listen = f"--listen={checklist._endpoint({'address': trial._vip().address, 'port': 80})}"
    with proxy.host.namespace:
        words = [TPROXYCTL, "check", "--json", "--probe", listen, *needs, "--client", trial._client()]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = next(each for each in json.loads(done.stdout)["items"] if each["id"] == "return-path")["findings"][0]
    assert done.returncode == 4 and f"it refuses {trial._client()}" in found["read"]


@trials(row())
def test_a_server_that_is_down(trial):
    trial.lab.topology.server.ip("link set eth0 down")
    status, found, _ = probe(trial)
    assert status == 4 and "it answers neither" in found["read"] and not found["commands"]


@trials(row(), row("asymmetric"))
def test_at_most_three_packets_are_sent_to_a_server_and_its_program_sees_none(trial):
    tap = trial.lab.taps_by_name["server-eth0"]
    tap.forget()
    probe(trial)
    # A client that gets an answer which it did not ask for sends a reset, without ACK.
    sent = [each for each in tap.segments() if each.destination.address == trial.lab.server.address and each.flags != RST]
    assert 1 <= len(sent) <= 3, sent
    assert all(each.flags in (SYN, RST | ACK) for each in sent), "no handshake is completed"


def test_without_a_server_of_the_users_nothing_is_sent():
    done = subprocess.run([TPROXYCTL, "check", "--probe"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no server can be probed" in done.stderr
