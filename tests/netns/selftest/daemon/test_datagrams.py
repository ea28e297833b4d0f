"""What tproxyd does with datagrams beyond the rows of TP-UDP: any address, several threads, its log and its end."""

import ctypes
import errno
import os
import random
import re
import signal
import subprocess

import pytest

from lab import waiting
from lab.netns import counters, firewall, sockets, topology
from lab.netns.endpoint import Endpoint
from lab.paths import SUITE, TPROXYCTL
from lab.peers.daemon import Daemon
from lab.peers.datagrams import Peer
from lab.peers.proxy import adapter
from lab.setup import steering
from lab.setup.lab import Lab

pytestmark = pytest.mark.suite

FLOWS = SUITE / "flows"
PORT = 5353
ANY = {4: ":", 6: "[::]:"}
SOURCES = {"none": "0.0.0.0", "clientip": "0.0.0.0 usesrc clientip", "client": "0.0.0.0 usesrc client"}

by_each = pytest.mark.parametrize("firewall_tool, family", [(each, family) for each in firewall.FIREWALL_TOOLS for family in topology.FAMILIES])
by_iptables = pytest.mark.parametrize("firewall_tool, family", [("iptables", 4)])


@pytest.fixture
def lab(firewall_tool, family):
    made = Lab(adapter("tproxyd"), family, "inline", firewall_tool)
    yield made
    made.close()


@pytest.fixture
def start(lab, tmp_path):
    """Starts tproxyd with a listener and a server of datagrams."""
    started = []

    def run(bind, server, source="clientip", threads=1, more=""):
        text = f"""global
  nbthread {threads}
  log stderr format raw local0 info
listen datagrams
  mode udp
  log global
  bind {bind}
  source {SOURCES[source]}
  server s {server}
  timeout client 10m
{more}"""
        started.append(Daemon(lab.proxy.namespace, tmp_path, text))
        return started[-1].await_started()

    yield run
    for each in started:
        each.close()


def bracketed(endpoint):
    return f"[{endpoint.address}]:{endpoint.port}" if endpoint.family == 6 else str(endpoint)


@by_each
def test_on_the_wildcard_answers_come_from_where_the_client_sent_to(lab, start):
    steering.intercept_datagrams(lab, PORT, PORT)
    steering.divert_datagrams(lab)
    server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
    start(f"{ANY[lab.family]}{PORT} transparent", bracketed(lab.server_endpoint))
    for number in (80, 81):
        vip = Endpoint(lab.vip_address(number), PORT)
        client.send(b"question", vip)
        data, seen = server.receive()
        assert (data, seen.address) == (b"question", lab.client.address)
        server.send(b"answer", seen)
        assert client.receive() == (b"answer", vip)


@by_each
@pytest.mark.parametrize("source", SOURCES)
def test_intercepted_datagrams_go_where_the_client_sent_to(lab, start, source):
    steering.intercept_datagrams(lab, PORT, PORT)
    steering.divert_datagrams(lab)
    servers = [Peer(lab.server, Endpoint(address, PORT)) for address in lab.server.addresses[lab.family]]
    start(f"{ANY[lab.family]}{PORT} transparent", "0.0.0.0", source)
    for server, client in zip(servers, (Peer(lab.client), Peer(lab.client))):
        client.send(b"question", server.local)
        data, seen = server.receive()
        assert data == b"question"
        assert seen.address == (lab.proxy.address if source == "none" else lab.client.address)
        assert source != "client" or seen == client.local
        server.send(b"answer", seen)
        assert client.receive() == (b"answer", server.local)


@by_each
@pytest.mark.parametrize("source", ["none", "clientip"])
def test_a_server_that_answers_from_another_port_is_followed(lab, start, source):
    """As those of TFTP do: what the client sends next goes to that port. What another host sends is dropped."""
    steering.divert_datagrams(lab)
    server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
    transfer, stranger = Peer(lab.server), Peer(lab.server, Endpoint(lab.server.addresses[lab.family][1], 0))
    start(f"{bracketed(lab.vip)} transparent", f"{bracketed(lab.server_endpoint)} follow-port", source)
    client.send(b"read", lab.vip)
    data, seen = server.receive()
    assert data == b"read"
    for number in (b"1", b"2"):
        stranger.send(b"no block", seen)
        transfer.send(b"block " + number, seen)
        assert client.receive() == (b"block " + number, lab.vip)
        client.send(b"ack " + number, lab.vip)
        assert transfer.receive() == (b"ack " + number, seen)


@by_iptables
def test_a_server_that_answers_from_another_port_is_not_heard_without_the_word(lab, start):
    steering.divert_datagrams(lab)
    server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
    start(f"{lab.vip} transparent", str(lab.server_endpoint))
    client.send(b"read", lab.vip)
    _, seen = server.receive()
    Peer(lab.server).send(b"block 1", seen)
    server.send(b"answer", seen)
    assert client.receive() == (b"answer", lab.vip)


@by_iptables
def test_a_clients_second_flow_from_one_port_is_refused_where_the_port_is_kept(lab, start):
    """The server could not tell the two apart, and its answers could not be taken to the right address."""
    steering.intercept_datagrams(lab, PORT, PORT)
    steering.divert_datagrams(lab)
    server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
    daemon = start(f":{PORT} transparent", str(lab.server_endpoint), "client")
    client.send(b"question", Endpoint(lab.vip_address(80), PORT))
    assert server.receive() == (b"question", client.local)
    client.send(b"question", Endpoint(lab.vip_address(81), PORT))
    assert f"refused {client.local}: frontend datagrams, server datagrams/s" in daemon.await_line("(source-in-use)")
    assert daemon.lines(f"Datagrams from {client.local} (datagrams/UDP)")
    assert not waiting.readable([server.socket], 0)


@by_iptables
def test_a_datagram_for_another_port_is_refused(lab, start):
    """The listener has no port from which an answer could come."""
    steering.intercept_datagrams(lab, PORT + 1, PORT)
    server = Peer(lab.server, lab.server_endpoint)
    daemon = start(f":{PORT} transparent", str(lab.server_endpoint))
    Peer(lab.client).send(b"question", Endpoint(lab.vip_address(), PORT + 1))
    assert daemon.await_line("(destination-port)")
    assert not waiting.readable([server.socket], 0)


@by_iptables
def test_a_destination_on_the_proxys_host_is_refused(lab, start):
    steering.intercept_datagrams(lab, PORT, PORT)
    daemon = start(f":{PORT} transparent", "0.0.0.0")
    Peer(lab.client).send(b"question", Endpoint(lab.proxy.address, PORT))
    assert f"at {lab.proxy.address}:{PORT}" in daemon.await_line("(destination-own)")


@by_iptables
@pytest.mark.parametrize("threads", [1, 4])
def test_many_clients_of_many_destinations_are_never_mixed(lab, start, threads, pytestconfig):
    """Each datagram says whose it is and where it was sent. A client's flows stay with their thread: they keep their ports."""
    steering.intercept_datagrams(lab, PORT, PORT)
    steering.divert_datagrams(lab)
    start(f":{PORT} transparent", str(lab.server_endpoint), threads=threads)
    server = Peer(lab.server, lab.server_endpoint)
    clients = [Peer(lab.client, Endpoint(lab.client.addresses[4][number % 2], 0)) for number in range(50)]
    vips = [Endpoint(lab.vip_address(number), PORT) for number in (80, 81)]
    turns = [(number, vip) for number in range(len(clients)) for vip in (0, 1)] * 20
    random.Random(pytestconfig.option.seed).shuffle(turns)
    ports = {}
    for number, vip in turns:
        word = b"%d %d" % (number, vip)
        clients[number].send(word, vips[vip])
        data, seen = server.receive()
        assert (data, seen.address) == (word, clients[number].local.address)
        assert ports.setdefault(word, seen) == seen
        server.send(word, seen)
        assert clients[number].receive() == (word, vips[vip])
    assert len(set(ports.values())) == len(ports) == 100


def has_rings():
    """Whether the host allows rings (io_uring_setup(2)), and the kernel's need not report what succeeds (Linux 5.17)."""
    parameters = (ctypes.c_uint * 30)()
    ring = ctypes.CDLL(None).syscall(425, 1, parameters)
    if ring != -1:
        os.close(ring)
    return ring != -1 and bool(parameters[5] & 1 << 11)


@by_iptables
def test_each_thread_uses_a_ring_in_its_sandbox(lab, start):
    """Datagrams of several flows wait at once, and leave by one system call."""
    if not has_rings():
        pytest.skip("absent: io_uring")
    steering.intercept_datagrams(lab, PORT, PORT)
    steering.divert_datagrams(lab)
    daemon = start(f":{PORT} transparent", str(lab.server_endpoint), threads=2)
    assert "system calls are restricted" in daemon.log()
    assert daemon.links().count("anon_inode:[io_uring]") == 2
    server = Peer(lab.server, lab.server_endpoint)
    clients = [Peer(lab.client) for _ in range(8)]
    vip = Endpoint(lab.vip.address, PORT)
    os.kill(daemon.pid, signal.SIGSTOP)
    for number, client in enumerate(clients):
        client.send(b"%d" % number, vip)
    os.kill(daemon.pid, signal.SIGCONT)
    for _ in clients:
        data, seen = server.receive()
        assert seen.address == lab.client.address
        server.send(data, seen)
    for number, client in enumerate(clients):
        assert client.receive() == (b"%d" % number, vip)


LEAD_BACK = f"""*mangle
-A OUTPUT -p udp --dport {PORT} -j MARK --set-mark 1
-A PREROUTING -i lo -p udp --dport {PORT} -j TPROXY --on-port {PORT} --tproxy-mark 1
COMMIT
"""


@by_iptables
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("server", ["203.0.113.20:", "0.0.0.0:"], ids=["fixed", "original"])
def test_what_it_sends_is_dropped_in_one_step_when_it_comes_back(lab, start, server, source, threads):
    """With `client`, what comes back has the client's address and port and its destination: only the interface differs."""
    steering.intercept_datagrams(lab, PORT, PORT)
    firewall.load_rules(lab.proxy.namespace, LEAD_BACK, 4, "iptables", "--noflush")
    daemon = start(f":{PORT} transparent", f"{server}{PORT}", source, threads)
    client = Peer(lab.client)
    before = counters.total(lab.proxy.namespace, "UdpOutDatagrams")
    for number in range(1, 6):
        client.send(b"question", Endpoint(lab.server.address, PORT))
        waiting.until(lambda: refused(daemon, "diverted-again") == number, "each is refused once")
    assert daemon.stop() == 0
    assert counters.total(lab.proxy.namespace, "UdpOutDatagrams") - before == 5


@by_iptables
def test_flows_are_logged_and_end_with_it(lab, start):
    server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
    steering.divert_datagrams(lab)
    daemon = start(f"{bracketed(lab.vip)} transparent", str(lab.server_endpoint), more="  option tcplog\n")
    client.send(b"question", lab.vip)
    _, seen = server.receive()
    server.send(b"an answer", seen)
    client.receive()
    assert daemon.stop() == 0
    line = daemon.lines(f"{client.local.address}:{client.local.port} [")[0]
    assert re.search(r"\] datagrams datagrams/s 0/0/\d+ 9 K- 1/1/0/0/0 0/0$", line)
    assert daemon.lines("ended: 1 sessions: shutdown 1; 8 bytes to servers, 9 to clients")


@by_each
@pytest.mark.parametrize("source", ["clientip", "client"])
def test_a_server_learns_that_the_clients_port_is_unreachable(lab, start, source):
    """It gets the error of a client that has gone, and the replies to others arrive."""
    steering.divert_datagrams(lab)
    steering.divert_icmp(lab)
    server, other = Peer(lab.server, lab.server_endpoint, shared=True), Peer(lab.client)
    start(f"{bracketed(lab.vip)} transparent", bracketed(lab.server_endpoint), source)
    other.send(b"stays", lab.vip)
    _, stays = server.receive()
    for _ in range(3):
        client = Peer(lab.client)
        client.send(b"question", lab.vip)
        _, seen = server.receive()
        answering = Peer(lab.server, lab.server_endpoint, shared=True)
        client.close()
        answering.connect(seen)
        answering.send(b"the client has gone")
        assert answering.error() == errno.ECONNREFUSED
        answering.close()
        server.send(b"an answer", stays)
        assert other.receive() == (b"an answer", lab.vip)


@by_iptables
@pytest.mark.parametrize("threads", [1, 4])
def test_a_client_has_its_flows_and_takes_none_of_others(lab, start, threads):
    steering.divert_datagrams(lab)
    server = Peer(lab.server, lab.server_endpoint)
    daemon = start(f"{bracketed(lab.vip)} transparent", str(lab.server_endpoint), threads=threads, more="  client-flows 10\n")
    addresses = lab.client.addresses[4]
    for address in addresses:
        clients = [Peer(lab.client, Endpoint(address, 0)) for _ in range(15)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number, lab.vip)
        received = [server.receive() for _ in range(10)]
        assert {seen.address for _, seen in received} == {address}
        wanted = 5 * (addresses.index(address) + 1)
        waiting.until(lambda: refused(daemon, "client-flows") == wanted, "further flows are refused")
        for _, seen in received:
            server.send(b"an answer", seen)
        answered = waiting.readable([client.socket for client in clients], waiting.seconds)
        assert answered
        again = clients[int(received[0][0])]
        again.send(b"again", lab.vip)
        assert server.receive() == (b"again", received[0][1])


def refused(daemon, reason):
    """How many refusals the log has, of which it counts those that repeat."""
    lines = daemon.lines(f"({reason})")
    return sum(int(found[1]) if (found := re.search(r"(\d+) more", line)) else 1 for line in lines)


@by_iptables
def test_a_client_sends_so_many_datagrams_in_a_second(lab, start):
    steering.divert_datagrams(lab)
    server = Peer(lab.server, lab.server_endpoint)
    daemon = start(f"{bracketed(lab.vip)} transparent", str(lab.server_endpoint), more="  client-rate 20\n")
    client, other = Peer(lab.client), Peer(lab.client, Endpoint(lab.client.addresses[4][1], 0))
    daemon.signal(signal.SIGSTOP)
    for number in range(100):
        client.send(b"%d" % number, lab.vip)
    other.send(b"from another client", lab.vip)
    daemon.signal(signal.SIGCONT)  # it reads them at once; a new second may begin meanwhile, which has 20, too
    got = []
    while not got or got[-1] != b"from another client":
        got.append(server.receive()[0])
    assert 20 <= len(got) - 1 <= 40
    assert daemon.await_line("(client-rate)")


@by_each
def test_the_host_tool_sets_a_host_up_for_it(firewall_tool, family, tmp_path):
    """`check` judges what `apply` made by the same configuration, and traffic passes."""
    lab = Lab(adapter("tproxyd"), family, "inline", firewall_tool, divert=False)
    file = tmp_path / "cfg"
    text = f"""listen datagrams
  mode udp
  bind {bracketed(lab.vip)} transparent
  source 0.0.0.0 usesrc clientip
  server s {bracketed(lab.server_endpoint)}
  timeout client 10m
"""
    file.write_text(text, encoding="ascii")
    daemon, state = None, ("--state", str(tmp_path / "state.json"))
    try:
        lab.proxy.namespace.run(TPROXYCTL, "apply", "--config", str(file), "--firewall-tool", firewall_tool, *state)
        daemon = Daemon(lab.proxy.namespace, tmp_path, "global\n log stderr format raw local0\n" + text + " log global\n").await_started()
        server, client = Peer(lab.server, lab.server_endpoint), Peer(lab.client)
        client.send(b"question", lab.vip)
        data, seen = server.receive()
        assert (data, seen.address) == (b"question", lab.client.address)
        server.send(b"answer", seen)
        assert client.receive() == (b"answer", lab.vip)
        with lab.proxy.namespace:
            done = subprocess.run([TPROXYCTL, "check", "--config", file], capture_output=True, text=True, check=False)
        assert "Nothing is missing or harmful" in done.stdout, done.stdout
        lab.proxy.namespace.run(TPROXYCTL, "revert", *state)
    finally:
        if daemon:
            daemon.close()
        lab.close()


def open_sockets(lab):
    """How many sockets of datagrams the proxy's host has; each flow has one."""
    return len(sockets.read(lab.proxy.namespace, "udp"))


CLIENTS, LIVES = 20, 4
TURNS = -(-int(os.environ.get("DATAGRAMS", "96000")) // (2 * CLIENTS * LIVES))  # a million datagrams take 2 minutes


@by_iptables
@pytest.mark.long
def test_flows_that_begin_and_end_are_never_mixed(lab, start):
    """Clients speak to two servers at once, and begin anew from the same ports when their flows have ended."""
    steering.intercept_datagrams(lab, PORT, PORT)
    steering.divert_datagrams(lab)
    start(f":{PORT} transparent", "0.0.0.0", threads=4, more="  timeout server 2s\n")
    servers = [Peer(lab.server, Endpoint(address, PORT)) for address in lab.server.addresses[4]]
    ends = [Endpoint(lab.client.addresses[4][number % 2], 20_000 + number) for number in range(CLIENTS)]
    listening, relayed = open_sockets(lab), 0
    for life in range(LIVES):
        clients = [Peer(lab.client, end) for end in ends]
        for turn in range(TURNS):
            # Which server a client speaks to changes with each turn, and from life to life.
            chosen = [servers[(number + turn + life) % 2] for number in range(len(ends))]
            for number, (client, server) in enumerate(zip(clients, chosen)):
                client.send(b"%d %d %d" % (life, turn, number), server.local)
            for server in servers:
                for _ in range(chosen.count(server)):
                    data, seen = server.receive()
                    said = [int(word) for word in data.split()]
                    assert said[:2] == [life, turn] and chosen[said[2]] is server
                    assert seen.address == ends[said[2]].address
                    server.send(data, seen)
            for number, (client, server) in enumerate(zip(clients, chosen)):
                assert client.receive() == (b"%d %d %d" % (life, turn, number), server.local)
            relayed += 2 * len(ends)
        for client in clients:
            client.close()
        waiting.until(lambda: open_sockets(lab) == listening, "all flows have ended")
    assert relayed == LIVES * TURNS * 2 * len(ends)


def test_the_script_that_measures_flows_does_so():
    done = subprocess.run(
        [FLOWS, "--flows", "1,3", "--trips", "100", "--idle", "1,10", "--rounds", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^3 +\d+\.\d\d +\d+", done.stdout, re.M) and re.search(r"^10 +1 +\d+ +\d+\.\d\d +[+-]\d+\.\d%$", done.stdout, re.M)
