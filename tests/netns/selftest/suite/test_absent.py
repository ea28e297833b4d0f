"""A feature that a kernel lacks is ABSENT for tests that need it, and for no others."""

import os
import shutil

import pytest

from lab.conformance.verdict import ABSENT, ERROR, of_exception
from lab.exceptions import Absent
from lab.netns import counters, kernel, topology
from lab.netns.namespace import CommandFailed, Namespace, Refused, is_refusal
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

REFUSAL = "Warning: Extension socket revision 0 not supported, missing kernel module?"
REFUSES = f"""#!/bin/sh
cat >/dev/null
echo '{REFUSAL}' >&2
exit 2
"""


@pytest.fixture
def make(request):
    """Makes labs, and closes them."""
    made = []

    def lab(family=4, **rest):
        made.append(Lab(adapter("tproxyd"), family, **rest))
        return made[-1]

    yield lab
    for each in made:
        each.close()


@pytest.fixture
def ipv4_only(monkeypatch):
    monkeypatch.setattr(kernel, "families", lambda: (4,))


@pytest.fixture
def refusing(tmp_path, monkeypatch):
    """Programs with the messages of tools when the kernel lacks a match."""

    def stand_in(name):
        shutil.which(name) or pytest.skip(f"absent: {name}")
        path = tmp_path / name
        path.write_text(REFUSES, encoding="ascii")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return stand_in


@pytest.mark.parametrize(
    "words",
    [
        REFUSAL,
        "iptables-restore: line 3 failed: No chain/target/match by that name.",
        "can't initialize iptables table `mangle': Table does not exist (do you need to insmod?)",
        "iptables-legacy-restore v1.8.9 (legacy): iptables-legacy-restore: unable to initialize table 'mangle'",
        "Error: Could not process rule: No such file or directory",
        "mnl.c:60: Unable to initialize Netlink socket: Protocol not supported",
        "Error: Rule family not supported.",
        "Error: Unknown device type.",
        "RTNETLINK answers: Operation not supported",
    ],
)
def test_the_kernels_refusals_are_known(words):
    assert is_refusal(words)


@pytest.mark.parametrize(
    "words",
    [
        "iptables-restore: unable to open 'x': No such file or directory",
        "RTNETLINK answers: File exists",
        "RTNETLINK answers: Operation not permitted",
        "syntax error, unexpected newline",
    ],
)
def test_other_failures_are_the_suites_own(words):
    assert not is_refusal(words)


def test_a_refusal_is_absent_and_any_other_failure_an_error():
    assert of_exception(Refused("x"), "setup") == ABSENT
    assert of_exception(CommandFailed("x"), "setup") == ERROR


def test_a_sysctl_that_the_kernel_lacks_is_absent():
    namespace = Namespace("proxy")
    try:
        both = {"net.ipv4.no_such": 1, "net.ipv4.ip_forward": 1}
        namespace.sysctl(both, where_known=True)
        assert namespace.read_sysctl("net.ipv4.ip_forward") == ["1"]
        assert [name for name in both if namespace.has_sysctl(name)] == ["net.ipv4.ip_forward"]
        with pytest.raises(Absent, match="net.ipv4.no_such"):
            namespace.sysctl({"net.ipv4.no_such": 1})
    finally:
        namespace.close()


def test_without_ipv6_the_rest_goes_on(make, ipv4_only):
    lab = make(sysctls={"net.ipv6.conf.all.forwarding": 0})
    lab.serve()
    assert lab.proxy.listens(lab.vip)
    assert counters.total(lab.proxy.namespace, "TcpActiveOpens", "Icmp6InMsgs") >= 0
    lab.client.connect(lab.vip).exchange()
    assert lab.families == (4,)
    for ask in (lambda: lab.vip_address(family=6), lambda: lab.client.socket("::1"), lambda: make(6)):
        with pytest.raises(Absent, match="IPv6"):
            ask()


@pytest.mark.parametrize("program, family", [("iptables-restore", 4), ("ip6tables-restore", 6)])
def test_what_the_other_family_lacks_is_absent_when_it_is_asked_for(make, refusing, program, family):
    other = {4: 6, 6: 4}[family]
    refusing(program)
    lab = make(other)
    lab.serve()
    lab.client.connect(lab.vip).exchange()
    assert lab.families == (other,)
    with pytest.raises(Absent, match="missing kernel module"):
        lab.vip_address(family=family)
    with pytest.raises(Absent, match="missing kernel module"):
        make(family)


def test_where_nothing_lacks_both_families_are_there(make):
    assert make().families == topology.FAMILIES
