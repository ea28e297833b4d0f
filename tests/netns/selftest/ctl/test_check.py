"""tproxyctl check on hosts with one fault each: it names the fault, and the printed commands fix it.

What a recipe lacks is the necessity table's (test_necessity.py). Here the recipe is whole, and something
else on the host is in its way: other rules, other programs, other software's firewalls.
"""

import itertools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab import waiting
from lab.ctl import checklist
from lab.ctl.ctl_host import furnish
from lab.exceptions import Absent
from lab.netns import firewall, topology
from lab.netns.namespace import Namespace
from lab.paths import RUN
from lab.setup import recipe

VIP, SERVER, CLIENT = "192.0.2.80", "203.0.113.20", "198.51.100.10"
VIP6 = "2001:db8:f::80"
NEEDS_OF = {
    4: (f"--listen={VIP}:80", f"--server={SERVER}:8080", f"--client={CLIENT}"),
    6: (f"--listen=[{VIP6}]:80", "--server=[2001:db8:5::20]:8080", "--client=2001:db8:c::10"),
}
NEEDS = NEEDS_OF[4]


# Software whose rules let the proxy's packets pass.
QUIET = (
    "docker", "wg-quick", "mangle", "tailscale", "kube-proxy", "kube-proxy-nft", "cilium", "libvirt", "fail2ban",
    "keepalived", "fw4", "sing-box", "istio", "mihomo",
)  # fmt: skip


# Software whose rules lose clients' packets, and the item that names it.
LOSING = {"firewalld": "filter", "calico": "rule-order"}


# Software that is started after our rules are there, and puts its own before them.
LATER = ("istio", "mihomo")


@dataclass(frozen=True)
class Fault:
    name: str
    lines: tuple  # commands on the host; {iptables} is the firewall tool of the recipe
    named: tuple
    fixed: bool = True  # by the printed commands, as far as check can see


FAULTS = (
    Fault("nothing", (), ()),
    Fault(
        "an ACCEPT before the rule for sockets",
        ("{iptables} -t mangle -I PREROUTING -p tcp -j ACCEPT",),
        ("rule-order",),
    ),
    Fault(
        "a DNAT of the VIP",
        (f"{{iptables}} -t nat -A PREROUTING -p tcp -d {VIP} --dport 80 -j DNAT --to-destination 198.51.100.99",),
        ("nat-destination",),
    ),
    Fault("a firewall that lets nothing in", ("{iptables} -P INPUT DROP",), ("filter",)),
    Fault(
        "a firewall that knows nothing of the VIP",
        ("{iptables} -A INPUT -p tcp --dport 22 -j ACCEPT", "{iptables} -A INPUT -j REJECT"),
        ("filter",),
    ),
    Fault("a firewall that lets nothing out", ("{iptables} -A OUTPUT -p tcp --dport 8080 -j DROP",), ("filter",)),
    Fault(
        "SNAT towards the server",
        ("{iptables} -t nat -A POSTROUTING -o server0 -j SNAT --to-source 203.0.113.1",),
        ("nat-source",),
    ),
    Fault("a policy rule that comes first", (f"ip rule add pref 10 to {VIP} blackhole",), ("ip-rule",)),
    Fault(
        "the mark is everybody's",
        ("{iptables} -t mangle -I PREROUTING -i client0 -j MARK --set-mark 1",),
        ("mark-shared",),
        fixed=False,
    ),
    Fault("no way to the server", ("ip route del 203.0.113.0/24",), ("server-route",), fixed=False),
    Fault(
        "the host answers for the VIP and does not forward",
        (f"ip neigh add proxy {VIP} dev client0", "sysctl -qw net.ipv4.ip_forward=0"),
        ("ip_forward",),
    ),
    Fault(
        "rp_filter is strict where the mark counts",
        ("sysctl -qw net.ipv4.conf.all.src_valid_mark=1 net.ipv4.conf.all.accept_local=1 net.ipv4.conf.all.rp_filter=1",),
        ("rp_filter",),
    ),
    Fault("answers bear the mark", ("sysctl -qw net.ipv4.tcp_fwmark_accept=1",), ("tcp_fwmark_accept",)),
    Fault(
        "a rule of another program marks what the proxy sends",
        ("{iptables} -t mangle -A OUTPUT -p tcp --dport 8080 -j MARK --set-mark 1",),
        ("mark-shared",),
    ),
    Fault(
        "policy rules in the manner of wg-quick",
        (
            "ip route add default dev client0 table 51820",
            "ip rule add pref 5 not fwmark 0xca6c lookup 51820",
            "ip rule add pref 4 lookup main suppress_prefixlength 0",
            "sysctl -qw net.ipv4.conf.all.src_valid_mark=1",
        ),
        ("ip-rule", "src_valid_mark"),
    ),
    Fault("the VIP is in the network of a link", ("ip addr add 192.0.2.1/24 dev client0",), ("announce",)),
)


class Host:
    """A proxy's host with a link to clients and one to the server, and the walk-through's recipe."""

    def __init__(self, namespace):
        self.namespace = namespace

    def run(self, line, text=None):
        return self.namespace.run("sh", "-c", line, text=text, environment=firewall.lock(self.namespace))

    def set_up(self, firewall_tool):
        recipe.apply_items(self.namespace, recipe.items("divert", 4, firewall_tool), 4, firewall_tool)

    def fix(self, named):
        """Run what check printed, twice: the second time nothing fails and nothing changes."""
        listings = []
        for _ in range(2):
            for command in checklist.commands(named):
                assert command.place == "this host"
                self.run(command.run)
            sysctls = self.run("sysctl -a 2>/dev/null | grep -E '^net[.](ipv4|ipv6)[.]'")
            listings.append((checklist.made_on(self.namespace), sysctls))
        assert listings[0] == listings[1]

    def wrong(self, *needs):
        return checklist.wrong(checklist.check(self, needs or NEEDS))


@pytest.fixture
def host():
    namespace = Namespace("host")
    # Addresses are there at once: no route appears later, while the host is compared with what it was.
    namespace.sysctl({f"net.ipv6.conf.{scope}.accept_dad": 0 for scope in ("all", "default")})
    namespace.ip(
        "link set lo up",
        *(f"link add {name} type veth peer name {name}-far" for name in ("client0", "server0")),
        *(f"link set {end} up" for name in ("client0", "server0") for end in (name, f"{name}-far")),
        "addr add 198.51.100.1/24 dev client0",
        "addr add 203.0.113.1/24 dev server0",
        "addr add 2001:db8:c::1/64 dev client0",
        "addr add 2001:db8:5::1/64 dev server0",
    )
    scopes, keys = ("all", "client0", "server0"), ("rp_filter", "src_valid_mark", "accept_local")
    namespace.sysctl({f"net.ipv4.conf.{scope}.{key}": 0 for scope in scopes for key in keys})
    yield Host(namespace)
    namespace.close()


@pytest.mark.parametrize("firewall_tool", firewall.IPTABLES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_named_and_fixed(host, fault, firewall_tool):
    host.set_up(firewall_tool)
    for line in fault.lines:
        host.run(line.format(iptables=firewall_tool))
    named = host.wrong()
    assert set(named) == set(fault.named), named
    host.fix(named)
    assert bool(host.wrong()) == (bool(fault.named) and not fault.fixed), host.wrong()


@pytest.mark.parametrize("firewall_tool", firewall.IPTABLES)
@pytest.mark.parametrize("member, dropped", [(f"{CLIENT}/32", True), ("198.51.100.99/32", False)], ids=["in", "out"])
def test_a_rule_that_asks_a_set(host, firewall_tool, member, dropped):
    """ipset's: a large one of networks, as blocklists are."""
    if not shutil.which("ipset"):
        pytest.skip("absent: ipset is not installed")
    others = "\n".join(f"add bad 10.{number // 256}.{number % 256}.0/24" for number in range(50_000))
    host.namespace.run("ipset", "restore", text=f"create bad hash:net\n{others}\nadd bad {member}\n")
    host.set_up(firewall_tool)
    host.run(f"{firewall_tool} -A INPUT -m set --match-set bad src -j DROP")
    made = checklist.check(host, NEEDS)
    assert set(checklist.wrong(made)) == ({"filter"} if dropped else set())
    unknown = [each["read"] for item in made["items"] for each in item["findings"] if each["state"] == "unknown"]
    assert not [each for each in unknown if "might apply" in each], unknown
    host.fix(checklist.wrong(made))
    assert not host.wrong()


@pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
def test_a_rule_behind_the_one_that_drops_is_moved_before_it(host, firewall_tool):
    """The command ran before, and then another rule was put first. A command that only tests for the rule would do nothing."""
    host.set_up(firewall_tool)
    drop = "iptables -I INPUT -j DROP" if firewall_tool != "iptables-legacy" else "iptables-legacy -I INPUT -j DROP"
    if firewall_tool == "nft":
        host.run("nft add table inet f")
        host.run("nft 'add chain inet f input { type filter hook input priority 0; }'")
        drop = "nft insert rule inet f input drop"
    for _ in range(2):
        host.run(drop)
        named = host.wrong()
        assert set(named) == {"filter"}, named
        host.fix(named)
        assert not host.wrong()


def test_another_proxys_configuration_gets_a_message_with_the_options_to_use(host, tmp_path):
    (tmp_path / "haproxy.cfg").write_text("frontend f\n  mode http\n  http-request deny\n", encoding="ascii")
    done = subprocess.run(
        [checklist.TPROXYCTL, "check", "--config", tmp_path / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "haproxy.cfg:3" in done.stderr and "--listen and --server" in done.stderr


def test_two_firewalls_at_once_are_advice(host):
    """Packets pass the rules of both; what drops them is named by itself."""
    host.set_up("iptables")
    host.run("iptables-legacy -A INPUT -i lo -j ACCEPT")
    made = checklist.check(host, NEEDS)
    assert not checklist.wrong(made)
    assert state_of(made, "backends") == "advice"
    host.run("iptables-legacy -A INPUT -j DROP")
    named = host.wrong()
    assert set(named) == {"filter"}
    host.fix(named)
    assert not host.wrong()


@pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
@pytest.mark.parametrize("software, family", [*itertools.product(QUIET, topology.FAMILIES), ("ufw", 6)])
def test_rules_of_other_software_are_no_finding(host, software, family, firewall_tool):
    steps = [lambda: furnish(host, software, firewall_tool), lambda: applied(host, firewall_tool, family)]
    for step in reversed(steps) if software in LATER else steps:
        step()
    with program(host, "proxy", address=VIP if family == 4 else VIP6):
        made = checklist.check(host, NEEDS_OF[family])
    assert not checklist.wrong(made)
    unknown = [each["read"] for item in made["items"] for each in item["findings"] if each["state"] == "unknown"]
    assert not [each for each in unknown if "might apply" in each], unknown


@pytest.mark.parametrize(
    "software, family, item",
    [("ufw", 4, "filter"), *((name, family, item) for name, item in LOSING.items() for family in topology.FAMILIES)],
)
def test_rules_that_lose_clients_packets_are_named_and_fixed(host, software, family, item):
    furnish(host, software)
    applied(host, "nft" if software == "firewalld" else "iptables", family)
    found = set()
    for _ in range(3):
        named = host.wrong(*NEEDS_OF[family])
        found |= set(named)
        host.fix(named)
    assert found == {item} and not host.wrong(*NEEDS_OF[family])


def state_of(made, item):
    return next(each["state"] for each in made["items"] if each["id"] == item)


def applied(host, firewall_tool, family):
    free = "--mark 0x1000 --table 140"
    folder = RUN / f"{host.namespace.name}.state"  # tproxyctl locks it
    folder.mkdir()
    host.run(f"{checklist.TPROXYCTL} apply {' '.join(NEEDS_OF[family])} --firewall-tool {firewall_tool} {free} --state {folder}/state.json")


LISTENS = """\
import ctypes, socket, struct, sys
ipv6, transparent = ":" in sys.argv[2], sys.argv[3] == "transparent"
made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
level, options = (socket.IPPROTO_IPV6, (75, 78)) if ipv6 else (socket.IPPROTO_IP, (19, 15))
made.setsockopt(level, options[0] if transparent else options[1], 1)
made.bind((sys.argv[2], 80))
made.listen(int(sys.argv[4]))
if sys.argv[5] == "deaf":  # a filter of one instruction, which takes no byte of any packet
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    made.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 1, ctypes.addressof(code)))
open("/proc/self/comm", "w").write(sys.argv[1])
print("there", flush=True)
sys.stdin.read()
"""


@contextmanager
def program(host, name, transparent=True, backlog=100, hears=True, address=VIP):
    """A program with its own name that listens at the VIP; without IP_TRANSPARENT by IP_FREEBIND."""
    with host.namespace:
        made = subprocess.Popen(
            [sys.executable, "-c", LISTENS, name, address, "transparent" if transparent else "free", str(backlog), "hears" if hears else "deaf"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
    assert made.stdout.readline() == "there\n"
    yield made
    made.communicate("")


def test_another_program_at_the_same_address(host):
    host.set_up("iptables")
    with program(host, "proxy"):
        assert not host.wrong()
        with program(host, "web"):
            named = host.wrong()
    assert set(named) == {"other-listener"}
    assert "proxy" in named["other-listener"][0]["read"] and "web" in named["other-listener"][0]["read"]


@pytest.mark.parametrize("scope", ["all", "server0"])
def test_packets_that_come_by_another_link_than_the_way_back(host, scope):
    """A strict reverse path filter drops them before all rules; the packet socket still sees them."""
    host.set_up("iptables")
    host.namespace.sysctl({f"net.ipv4.conf.{scope}.rp_filter": 1})
    made = checklist.check(host, NEEDS, client=lambda: try_connect(host))
    assert set(checklist.wrong(made)) == {"rp_filter"}


def test_a_listener_that_was_left_over(host):
    """It is not transparent; both have the same name."""
    host.set_up("iptables")
    with program(host, "proxy"), program(host, "proxy", transparent=False):
        for _ in range(4):
            named = host.wrong()
            assert set(named) == {"other-listener"}
            assert "listens there transparently" in named["other-listener"][0]["read"]


def test_without_a_packet_the_fault_lies_before_this_host(host):
    host.set_up("iptables")
    words = [checklist.TPROXYCTL, "check", *NEEDS, "--watch", "1"]
    with host.namespace:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = " ".join(done.stdout.split())
    assert "no packet for it arrived in 1 s" in said
    assert "look at the clients' routes, and at routers and switches before this host" in said


@pytest.fixture
def wrap(tmp_path, monkeypatch):
    """Has a script run in place of tproxyctl."""

    def put(script):
        made = tmp_path / "wrapper"
        made.write_text(f"#!/bin/sh\n{script}", encoding="ascii")
        made.chmod(0o755)
        monkeypatch.setattr(checklist, "TPROXYCTL", str(made))

    return put


def test_packets_that_came_too_fast_to_be_read_are_no_proof(host, tmp_path, wrap):
    """Check is stopped while its queue fills up, and then the client's packet comes."""
    wrap(f'echo $$ > {tmp_path}/pid\nexec {checklist.TPROXYCTL} "$@"\n')
    host.set_up("iptables")
    tries = []

    def flood():
        if tries:  # later ones would be seen
            return tries[0]
        with host.namespace:
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender, stopped(int((tmp_path / "pid").read_text(encoding="ascii"))):
            for _ in range(20_000):
                sender.sendto(b"?", ("127.0.0.1", 9))
            tries.append(try_connect(host, "client0"))
        return tries[0]

    with program(host, "proxy"):
        made = checklist.check(host, NEEDS, client=flood)
    (found,) = (item for item in made["items"] if item["id"] == "announce")
    said = " ".join(each["read"] for each in found["findings"])
    assert "packets came faster than they could be read" in said and "before this host" not in said
    assert "announce" in made["not_judged"]


@contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_packets_that_the_kernel_drops_are_reported_with_its_counters(host):
    """The queue of requests is full, and no rule or route is to blame."""
    host.set_up("iptables")
    host.namespace.sysctl({"net.ipv4.tcp_syncookies": 0})
    with program(host, "proxy", backlog=0), try_connect(host, "client0", port=40001):
        made = checklist.check(host, NEEDS, client=lambda: try_connect(host, "client0"))
    (found,) = checklist.wrong(made)["listener"]
    assert re.search(r"for it came in by client0 \(\d+\), and none was answered", found["read"])
    assert "TCPReqQFullDrop" in found["read"]


ETH_P_ALL, SO_RCVBUFFORCE = 3, 33
MANY = 4000  # drops: more than buffers of 64 KiB have room for
ACKNOWLEDGEMENT = struct.pack("!HHIIBBHHH", 9, 9, 1, 1, 5 << 4, 0x10, 1024, 0xBAD, 0)

TRACES = """exec unshare --mount sh -c 'mount -t tracefs tracefs /sys/kernel/tracing && exec "$0" "$@"' {} "$@"
"""


@pytest.fixture
def traces(wrap):
    """The kernel's traces are there for `check`, in its own mounts."""
    wrap(TRACES.format(checklist.TPROXYCTL))
    if subprocess.run([checklist.TPROXYCTL, "check", "--help"], capture_output=True, check=False).returncode != 0:
        raise Absent("tracefs cannot be mounted")


def test_the_kernels_reason_for_a_drop_is_reported(host, traces):
    """A filter at the listener's socket: no rule, no route and no counter shows it."""
    host.set_up("iptables")
    with program(host, "proxy", hears=False):
        made = checklist.check(host, NEEDS, client=lambda: try_connect(host, "client0"))
    (found,) = checklist.wrong(made)["listener"]
    assert "SOCKET_FILTER" in found["read"]


def test_the_reason_is_found_among_many_drops_of_others(host, traces):
    """Segments with a wrong checksum, which a capture does not see; and what a sniffer still has of them when it ends."""
    host.set_up("iptables")

    def disturb():
        with host.namespace:
            sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        with sniffer, sender:
            sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            for _ in range(MANY):
                sender.sendto(ACKNOWLEDGEMENT, ("127.0.0.1", 0))
        return try_connect(host, "client0")

    with program(host, "proxy", hears=False):
        made = checklist.check(host, NEEDS, client=disturb)
    (found,) = checklist.wrong(made)["listener"]
    assert "SOCKET_FILTER" in found["read"] and "QUEUE_PURGE" not in found["read"]
    counted = re.findall(r"TCP_CSUM (\d+)|(\d+) more", found["read"])
    assert sum(int(number) for pair in counted for number in pair if number) >= MANY, found["read"]


def test_a_client_tries_once_while_check_looks(host, wrap):
    """Earlier attempts would leave entries on the host that check finds, however long it takes to start."""
    wrap(f'sleep 1.5\nexec {checklist.TPROXYCTL} "$@"\n')
    host.set_up("iptables")
    tries = []
    checklist.check(host, NEEDS, client=lambda: tries.append(try_connect(host)) or tries[-1])
    assert len(tries) == 1


def try_connect(host, link="server0", port=40000):
    """A SYN for the VIP that arrives by a link, from a client whose route back is by client0."""
    with host.namespace:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    made.bind((f"{link}-far", 0))
    to = bytes.fromhex(host.run(f"ip -br link show {link}").split()[2].replace(":", ""))  # TCP takes no broadcasts
    made.send(to + b"\x02\0\0\0\0\x09" + b"\x08\0" + syn(port))
    return made


def checksum(data):
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")


def syn(port):
    """The IPv4 packet: header, then TCP's, each with its checksum."""
    ends = socket.inet_aton(CLIENT) + socket.inet_aton(VIP)
    ip = bytes.fromhex("45000028000040004006") + b"\0\0" + ends
    tcp = port.to_bytes(2, "big") + bytes.fromhex("0050000000010000000050027210") + b"\0" * 4
    tcp = tcp[:16] + checksum(ends + b"\0\x06\0\x14" + tcp) + tcp[18:]
    return ip[:10] + checksum(ip) + ip[12:] + tcp


@pytest.mark.parametrize(
    "family,item,why", [("arp", "announce", "rules for ARP drop packets"), ("bridge", "filter", "rules for bridges drop packets")]
)
def test_tables_that_are_not_followed_are_not_ok(host, family, item, why):
    """Of ARP and of bridges, check knows that something is dropped, and says so."""
    host.set_up("iptables")
    host.run("sysctl -qw net.ipv4.ip_forward=1")
    host.run("ip link add br0 type bridge; ip link set br0 up; ip link set client0 master br0")
    host.run("ip addr flush dev client0; ip addr add 198.51.100.1/24 dev br0")
    host.run(f"ip neigh add proxy {VIP} dev br0")
    host.run(f"nft 'add table {family} f; add chain {family} f in {{ type filter hook input priority 0; }}'")
    assert state_of(checklist.check(host, NEEDS), item) == "ok"
    host.run(f"nft add rule {family} f in drop")
    made = checklist.check(host, NEEDS)
    assert state_of(made, item) == "unknown" and item in made["not_judged"]
    assert any(why in each["read"] for row in made["items"] if row["id"] == item for each in row["findings"])


# dockerd with all of its files in memory. Its rules are those of the namespace that it is started in.
DOCKERD = """set -e
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
exec dockerd --data-root /run/data --exec-root /run/exec --pidfile /run/pid -H unix:///run/docker.sock --storage-driver vfs
"""


@contextmanager
def docker(host, log):
    with host.namespace, open(log, "wb") as out:
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", DOCKERD]
        process = subprocess.Popen(words, stdout=out, stderr=out)
    try:
        waiting.until(lambda: b"API listen on" in log.read_bytes() or process.poll() is not None, "dockerd listens, or has ended")
        if process.poll() is not None:
            raise Absent(f"dockerd does not run here: {log.read_bytes()[-200:]}")
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
def test_a_restart_of_docker_deletes_nothing(host, firewall_tool, tmp_path):
    if not shutil.which("dockerd"):
        raise Absent("dockerd is not installed")
    host.set_up(firewall_tool)
    before = set(checklist.made_on(host.namespace).splitlines())
    for _ in range(2):
        with docker(host, tmp_path / "log"):
            after = checklist.made_on(host.namespace)
            assert "docker0" in after and not before - set(after.splitlines())
            assert not host.wrong()
        assert not before - set(checklist.made_on(host.namespace).splitlines())
        assert not host.wrong()
