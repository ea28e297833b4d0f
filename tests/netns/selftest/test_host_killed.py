"""Killed at any moment, apply and revert leave enough to take everything back.

Between two calls of an outside tool a kill falls into the writing of the state file, or between two
sysctls. A library that kills at the N-th system call that changes something (kill_at.c) tries each of
those, one run for each N, until a run is not killed any more.
"""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from lab import recipe
from lab.box import arguments_for, differences

SOURCE = Path(__file__).with_name("kill_at.c")
MENDED = {"net.ipv4.conf.all.rp_filter": 1, "net.ipv4.tcp_fwmark_accept": 1}  # with wg-quick's and tcp_tw_reuse: four in a row

each_firewall_tool = pytest.mark.parametrize("firewall_tool", recipe.FIREWALL_TOOLS)
each_victim = pytest.mark.parametrize("victim", ["apply", "revert"])


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """kill_at.c, compiled."""
    made = tmp_path_factory.mktemp("kill") / "kill_at.so"
    words = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-o", str(made), str(SOURCE)]
    subprocess.run(words, check=True)
    return str(made)


def kill(box, library, victim, arguments, way, at):
    """Run it with a limit to its life; whether it was killed."""
    # The library has to come first; AddressSanitizer's would complain of that.
    sanitizer = {"ASAN_OPTIONS": "verify_asan_link_order=0"}
    done = box.ctl(victim, *arguments, environment={"LD_PRELOAD": library, way: str(at), **sanitizer})
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


def try_kills(box, library, firewall_tool, victim, way):
    """Kill it at every place and revert; returns how many places there are."""
    arguments = arguments_for(firewall_tool, family=4)
    box.furnish("wg-quick", firewall_tool)
    box.namespace.sysctl(MENDED)
    box.well("apply", *arguments)  # registers what iptables-legacy registers
    assert box.state.read_text(encoding="utf-8").count('"kind": "sysctl"') == 4
    box.well("revert")
    before, at = box.snapshot(), 1
    while True:
        if victim == "revert":
            box.well("apply", *arguments)
        killed = kill(box, library, victim, arguments if victim == "apply" else (), way, at)
        if killed and at % 2:
            box.well("apply", *arguments)
            box.well("status")
        box.well("revert")
        assert not differences(before, box.snapshot()), f"{way} {at}"
        assert not list(box.folder.glob("state*")), f"{way} {at}"
        if not killed:
            return at - 1
        at += 1


@pytest.mark.long
@pytest.mark.kills
@each_victim
@each_firewall_tool
@pytest.mark.parametrize("way, least", [("KILL_AT", 30), ("CUT_WRITE", 8)])
def test_killed_at_any_system_call_it_can_be_reverted(box, library, firewall_tool, victim, way, least):
    assert try_kills(box, library, firewall_tool, victim, way) >= least


@pytest.mark.kills
@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
@pytest.mark.parametrize("victim", ["apply", "revert"])
@each_firewall_tool
def test_killed_at_any_call_it_can_be_reverted(box, firewall_tool, victim, when):
    box.furnish("wg-quick", firewall_tool)
    arguments = arguments_for(firewall_tool)
    box.well("apply", *arguments)  # registers what iptables-legacy registers
    box.well("revert")
    before = box.snapshot()
    at, killed = 1, True
    while killed:
        if victim == "revert":
            box.well("apply", *arguments)
        done = box.ctl(victim, *(arguments if victim == "apply" else ()), path=box.killer(at, when))
        killed = done.returncode == -signal.SIGKILL
        box.well("revert")
        assert not differences(before, box.snapshot()), f"killed {when} call {at}"
        at += 1
    assert at > 10, "the tools were called"
    box.well("apply", *arguments)
    box.well("revert")
    assert not differences(before, box.snapshot())


@each_firewall_tool
def test_after_a_kill_apply_recovers_and_status_reports_it(box, firewall_tool):
    arguments = arguments_for(firewall_tool)
    before = box.snapshot()
    at, interrupted, killed = 1, 0, True
    while killed:
        killed = box.ctl("apply", *arguments, path=box.killer(at, "after")).returncode == -signal.SIGKILL
        if killed and box.state.exists():
            status = box.ctl("status", "--json")
            assert status.returncode == 1 and json.loads(status.stdout)["interrupted"], status.stdout
            interrupted += 1
        box.well("apply", *arguments)
        box.well("status")
        box.well("revert")
        assert not differences(before, box.snapshot()), f"killed after call {at}"
        at += 1
    assert interrupted > 3


