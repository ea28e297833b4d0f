"""Probes of servers in random set-ups: `tproxyctl check --probe` has to say which of four things a server does.

A probe depends on its number alone: the topology, forwarding on or off, what the server does, and whether clients connect
meanwhile. What it has to say follows from these.
"""

import contextlib
import json
import random
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from lab import waiting
from lab.ctl import checklist, necessity
from lab.netns import firewall
from lab.paths import TPROXYCTL
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

TOPOLOGIES = ("inline", "asymmetric", "one-arm", "same-subnet", "lan")
SERVERS = ("answers", "answers", "refuses", "drops clients", "drops all")
AWAY = ("asymmetric", "same-subnet")  # the server's way back does not lead through the proxy's host
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
DROP = "add table inet f; add chain inet f in {{ type filter hook input priority 0; }}; add rule inet f in {} drop"

ANSWERS = "probed: it answers {client} through this host"
REFUSES = "probed: it refuses {client}"
HOST_ALONE = "probed: it {verb} this host's own address, and does not answer {client}"
SILENT = "probed: it answers neither the client's address nor this host's own"

# Connects again and again, whatever becomes of it; ends with its standard input.
CLIENTS = """
import select, socket, sys
family, address, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
made = []
while not select.select([sys.stdin], [], [], 0.01)[0]:
    made.append(socket.socket(family))
    made[-1].setblocking(False)
    made[-1].connect_ex((address, port))
    if len(made) > 20:
        made.pop(0).close()
"""


@dataclass(frozen=True)
class Probe:
    number: int
    topology: str
    forwarding: bool
    server: str
    traffic: bool
    family: int
    firewall_tool: str

    def expected(self):
        """(state, start of what has to be said)."""
        if self.server == "drops all":
            return "harmful", SILENT
        if self.topology in AWAY or self.server == "drops clients":
            verb = "refuses" if self.server == "refuses" else "answers"
            return "harmful", HOST_ALONE.replace("{verb}", verb)
        return ("harmful", REFUSES) if self.server == "refuses" else ("ok", ANSWERS)


def make(number):
    chance = random.Random(number)
    return Probe(
        number, chance.choice(TOPOLOGIES), chance.random() < 0.5, chance.choice(SERVERS), chance.random() < 0.5,
        chance.choice((4, 6)), chance.choice(firewall.FIREWALL_TOOLS),
    )  # fmt: skip


@contextmanager
def accepting(server):
    """The server takes what comes, or its queue would fill and it would not answer any more."""
    ended = threading.Event()

    def accept():
        while not ended.is_set():
            for each in waiting.readable(server.listeners.values(), 0.05):
                with contextlib.suppress(BlockingIOError):
                    each.accept()[0].close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def clients(trial, busy):
    """Clients that connect meanwhile, if BUSY."""
    if not busy:
        yield
        return
    vip, family = trial._vip(), 10 if trial.case.family == 6 else 2
    with trial.lab.client.namespace:
        process = subprocess.Popen([sys.executable, "-c", CLIENTS, str(family), vip.address, str(vip.port)], stdin=subprocess.PIPE)
    try:
        with accepting(trial.lab.server):
            yield
    finally:
        process.communicate(b"")


def _drop(trial, what):
    client = trial._client()
    match = "tcp dport 8080" if what == "drops all" else f"{'ip6' if ':' in client else 'ip'} saddr {client}"
    trial.lab.topology.server.run("nft", "-f", "-", text=DROP.format(match))


def try_out(probe):
    """What was said: the finding about the server's way back."""
    row = necessity.Change(
        "probed", "", "", "", recipes=("divert",), topology=probe.topology,
        sysctls=tuple(f"{name}={int(probe.forwarding)}" for name in FORWARDING),
    )  # fmt: skip
    lab = Lab(adapter("tproxyd"), probe.family, probe.topology, probe.firewall_tool, divert=False, recipe_name="divert")
    try:
        trial = necessity.Trial(lab, necessity.Case(row, "divert", probe.family, probe.firewall_tool))
        trial._set_up_hosts()
        trial._serve()
        if probe.server == "refuses":
            lab.server.refuse()
        elif probe.server != "answers":
            _drop(trial, probe.server)
        with clients(trial, probe.traffic):
            return _run(trial), trial._client()
    finally:
        lab.close()


def _run(trial):
    proxy = trial.lab.proxies[0]
    needs = checklist.service_options(proxy.scenario, proxy.folder, trial._client())
    with proxy.host.namespace:
        done = subprocess.run([TPROXYCTL, "check", "--json", "--probe", *needs], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3, 4), done.stderr
    item = next(each for each in json.loads(done.stdout)["items"] if each["id"] == "return-path")
    return item["findings"]
