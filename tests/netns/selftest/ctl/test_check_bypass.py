"""What becomes of intercepted connections while the proxy is down: check says it, and its command closes the way."""

import pytest

from lab.ctl import checklist, necessity
from lab.netns import firewall, topology
from lab.netns.endpoint import Endpoint
from lab.paths import RUN, TPROXYCTL
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

TPROXY = "-A PREROUTING -i client0 -p tcp -d {server} --dport 8080 -j TPROXY --on-port 3129 --tproxy-mark 1"
NFT = (
    "add rule {ip} transparent PREROUTING iifname client0 {ip} daddr {server} tcp dport 8080 "
    "tproxy to :3129 meta mark set 1 accept"
)
SOCKET = "-A PREROUTING -p tcp -m socket --transparent --nowildcard -j DIVERT"


def row(recipe, listener, **instead):
    return necessity.Change(
        change="intercepted",
        predicted="works",
        why="",
        group="",
        recipes=(recipe,),
        listener=listener,
        vip="{server} 8080",
        sysctls=("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"),
        instead=instead,
    )


ROWS = {
    "nft": row("nft", "any:3129", **{"tproxy rule": NFT}),
    "tproxy": row("tproxy", "any:3129", **{"tproxy rule": TPROXY}),
    "socket": row("divert", "any:8080", **{"divert rule": SOCKET}),
}
PASSES = ("nft", "socket")  # iptables' TPROXY drops what it finds no listener for
CASES = [(name, case) for name, each in ROWS.items() for case in necessity.cases([each])]


@pytest.fixture
def implementation(case):
    return adapter(case.row.implementation)


@pytest.fixture
def lab(implementation, case):
    made = Lab(implementation, case.family, case.row.topology, case.firewall_tool, divert=False, recipe_name=case.recipe)
    yield made
    made.close()


def state_of(trial):
    proxy = trial.lab.proxies[0]
    made = checklist.check(proxy.host, checklist.service_options(proxy.scenario, proxy.folder, trial._client()))
    return next(item for item in made["items"] if item["id"] == "bypass")


@pytest.mark.parametrize("name,case", CASES, ids=lambda each: getattr(each, "id", each))
def test_a_proxy_that_is_down_is_not_passed_by(lab, name, case):
    trial = necessity.Trial(lab, case)
    assert trial.run()[0] == "works"
    assert not trial.check()
    assert state_of(trial)["state"] == ("advice" if name in PASSES else "ok")
    lab.proxies[0].kill()
    if name not in PASSES:
        assert trial.observe() == "times out"
        assert state_of(trial)["state"] == "ok"
        return
    assert trial.observe() == "works", "the client reaches the server without the proxy"
    found = state_of(trial)
    assert found["state"] == "missing"
    trial.fix(checklist.commands({"bypass": found["findings"]}))
    assert state_of(trial)["state"] == "ok"
    assert trial.observe() == "works", "the proxy runs again"
    assert not trial.check()
    lab.proxies[0].kill()
    assert trial.observe() == "times out"


@pytest.mark.parametrize("open_", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
@pytest.mark.parametrize("family", topology.FAMILIES)
def test_apply_closes_it_unless_the_user_says_otherwise(family, firewall_tool, open_):
    case = necessity.Case(row("divert", "any:8080"), "divert", family, firewall_tool)
    lab = Lab(adapter("tproxyd"), family, "inline", firewall_tool, divert=False, recipe_name="divert")
    try:
        trial = necessity.Trial(lab, case)
        state = RUN / f"{firewall_tool}-{family}-{open_}.state"
        listen = {4: "0.0.0.0:8080", 6: "[::]:8080"}[family]
        words = [f"--listen={listen}", f"--server={Endpoint(lab.server.address, 8080)}", "--firewall-tool", firewall_tool]
        trial._set_up_proxy = lambda host: (
            host.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}),
            host.run(
                TPROXYCTL, "apply", *words, "--state", str(state), *(["--fail-open"] if open_ else []),
                environment=firewall.lock(host),
            ),
        )  # fmt: skip
        assert trial.run()[0] == "works"
        lab.proxies[0].kill()
        assert trial.observe() == ("works" if open_ else "times out")
        host = lab.topology.proxy
        host.run(TPROXYCTL, "revert", "--state", str(state), environment=firewall.lock(host))
        assert trial.observe() == "works", "nothing of ours is left"
    finally:
        lab.close()
