"""Random hosts on which check has to say what the kernel does (see lab.ctl.differ).

tests/netns/differ runs many of them. Here is a fixed handful.
"""

import json
import os

import pytest

from lab.ctl import bystanders, differ, necessity
from lab.paths import BUILD
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

FIRST = int(os.environ.get("DIFFER_SEED", "1"))
COUNT = int(os.environ.get("DIFFER_HOSTS", "16"))
TALLY = BUILD / "differ"


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_check_says_what_the_kernel_does(seed):
    host = differ.make(seed)
    verdict, seen = differ.try_out(host, fixes="DIFFER_FIXES" in os.environ)
    if verdict == differ.DISAGREED:
        host, seen = differ.shrink(host, seen)
    TALLY.mkdir(parents=True, exist_ok=True)
    made = {"verdict": verdict, "host": str(host), "seen": seen}
    kept = TALLY / f"{seed}.json"
    kept.with_suffix(".new").write_text(json.dumps(made, indent=1), encoding="utf-8")
    kept.with_suffix(".new").rename(kept)  # a reader during the run finds it whole
    assert verdict != differ.DISAGREED, f"{host}\n{seen}"


def test_a_seed_makes_the_same_host_again():
    assert [str(differ.make(seed)) for seed in range(50)] == [str(differ.make(seed)) for seed in range(50)]


def test_what_the_host_itself_refuses_does_not_work():
    """Neither a refusal at once nor an ICMP error: a fix that ends them ends nothing."""
    lab = Lab(adapter("tproxyd"), 4, "inline", "iptables", divert=False)
    try:
        trial = necessity.Trial(lab, necessity.Case(necessity.Change("ways", "", "", ""), "divert", 4, "iptables"))
        every = {"client to server, forwarded", "client to the host", "host to client", "host to server"}
        assert bystanders.reached(trial) == every
        lab.topology.proxy.ip(f"rule add pref 5 iif lo to {lab.client.address} unreachable")
        lab.topology.proxy.ip("rule add pref 6 iif client0 unreachable")
        assert bystanders.reached(trial) == {"host to server"}
    finally:
        lab.close()
