"""After apply or revert is killed at any moment, everything can be reverted.

A kill between two runs of a tool hits while the state file is written, or between two sysctls. The library
kill_at.c kills at the N-th system call that changes something: N grows until a run survives.

A run tries every fourth place, from one that its seed chooses. `KILL_EVERY=1 tests/netns/run -m kills` tries them all.
"""

import itertools
import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from lab.ctl.ctl_host import arguments_for, differences, furnish
from lab.netns import firewall

SOURCE = Path(__file__).with_name("kill_at.c")
FIXED = {"net.ipv4.conf.all.rp_filter": 1, "net.ipv4.tcp_fwmark_accept": 1}  # with wg-quick's and tcp_tw_reuse: four in a row
EVERY = int(os.environ.get("KILL_EVERY", "4"))

each_firewall_tool = pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
each_victim = pytest.mark.parametrize("victim", ["apply", "revert"])


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """kill_at.c, compiled."""
    made = tmp_path_factory.mktemp("kill") / "kill_at.so"
    words = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-o", str(made), str(SOURCE)]
    subprocess.run(words, check=True)
    return str(made)


@pytest.fixture
def places(request):
    """Numbers of the places at which to kill, without end."""
    seed = f"{request.config.option.seed} {request.node.nodeid}"
    return itertools.count(random.Random(seed).randint(1, EVERY), EVERY)


def kill(host, library, victim, arguments, way, at):
    """Run it until it is killed at a limit; return whether it was killed."""
    # The library has to come first; AddressSanitizer's would complain of that.
    sanitizer = {"ASAN_OPTIONS": "verify_asan_link_order=0"}
    done = host.ctl(victim, *arguments, environment={"LD_PRELOAD": library, way: str(at), **sanitizer})
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


def try_kills(host, library, firewall_tool, victim, way, places):
    """Kill it at each place and revert; returns the last place that it reached."""
    arguments = arguments_for(firewall_tool, family=4)
    furnish(host, "wg-quick", firewall_tool)
    host.namespace.sysctl(FIXED)
    host.well("apply", *arguments)  # registers what iptables-legacy registers
    assert host.state.read_text(encoding="utf-8").count('"kind": "sysctl"') == 4
    host.well("revert")
    before = host.snapshot()
    for tried, at in enumerate(places):
        if victim == "revert":
            host.well("apply", *arguments)
        killed = kill(host, library, victim, arguments if victim == "apply" else (), way, at)
        if killed and tried % 2:
            host.well("apply", *arguments)
            host.well("status")
        host.well("revert")
        assert not differences(before, host.snapshot()), f"{way} {at}"
        assert not list(host.folder.glob("state*")), f"{way} {at}"
        if not killed:
            return at - EVERY


@pytest.mark.long(30)
@pytest.mark.kills
@each_victim
@each_firewall_tool
@pytest.mark.parametrize("way, least", [("KILL_AT", 30), ("CUT_WRITE", 8)])
def test_apply_that_is_killed_at_any_system_call_is_reverted(host, library, firewall_tool, victim, way, least, places):
    assert try_kills(host, library, firewall_tool, victim, way, places) >= least


@pytest.mark.kills
@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
@pytest.mark.parametrize("victim", ["apply", "revert"])
@each_firewall_tool
def test_apply_that_is_killed_at_any_command_is_reverted(host, firewall_tool, victim, when, places):
    furnish(host, "wg-quick", firewall_tool)
    arguments = arguments_for(firewall_tool)
    host.well("apply", *arguments)  # registers what iptables-legacy registers
    host.well("revert")
    before = host.snapshot()
    for at in places:
        if victim == "revert":
            host.well("apply", *arguments)
        done = host.ctl(victim, *(arguments if victim == "apply" else ()), path=host.killer(at, when))
        killed = done.returncode == -signal.SIGKILL
        host.well("revert")
        assert not differences(before, host.snapshot()), f"killed {when} call {at}"
        if not killed:
            break
    assert at - EVERY >= 9, "the tools ran"
    host.well("apply", *arguments)
    host.well("revert")
    assert not differences(before, host.snapshot())


@pytest.mark.kills
@each_firewall_tool
def test_after_a_kill_status_reports_it_and_apply_continues(host, firewall_tool):
    arguments = arguments_for(firewall_tool)
    before = host.snapshot()
    at, interrupted, killed = 1, 0, True
    while killed:
        killed = host.ctl("apply", *arguments, path=host.killer(at, "after")).returncode == -signal.SIGKILL
        if killed and host.state.exists():
            status = host.ctl("status", "--json")
            assert status.returncode == 1 and json.loads(status.stdout)["interrupted"], status.stdout
            interrupted += 1
        host.well("apply", *arguments)
        host.well("status")
        host.well("revert")
        assert not differences(before, host.snapshot()), f"killed after call {at}"
        at += 1
    assert interrupted > 3


