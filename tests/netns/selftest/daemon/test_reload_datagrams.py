"""What tproxyd does with flows of datagrams at SIGHUP and SIGUSR1: none is lost, and none changes."""

import contextlib
import signal
import socket
from pathlib import Path

import pytest

from lab import waiting
from lab.peers.daemon import ADDRESS, PORT, SERVER, accept, connect, listen

from test_daemon import NOBODY, THREADS, may_become_another_user
from test_reload import IN_FORCE, MORE, NOT_USED, OTHER, end, reload

CLIENTS = 30
RELOADS = 20
SHORT = "2s"


class Socket:
    """A datagram socket on loopback."""

    def __init__(self, namespace, port=0, address=ADDRESS):
        with namespace:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(waiting.seconds)
        self.port = self.socket.getsockname()[1]

    def send(self, data, to, address=ADDRESS):
        self.socket.sendto(data, (address, to))

    def receive(self):
        """The next datagram, and the port that it came from."""
        data, source = self.socket.recvfrom(1 << 16)
        return data, source[1]

    def is_silent(self):
        return not waiting.readable([self.socket], 0)


@pytest.fixture
def sockets(namespace):
    """Makes sockets, which are closed after the test."""
    with contextlib.ExitStack() as made:

        def make(port=0, address=ADDRESS):
            one = Socket(namespace, port, address)
            made.callback(one.socket.close)
            return one

        yield make


def relaying(server=SERVER, bind=f"{ADDRESS}:{PORT}", threads=THREADS, timeout="1m", words="", mode="udp"):
    """A configuration; `words` are further lines of its section."""
    return f"""global
  nbthread {threads}
  log stderr format raw local0 info
listen relays
  mode {mode}
  log global
  bind {bind}
  server s {ADDRESS}:{server}
  timeout connect 5s
  timeout client {timeout}
  timeout server {timeout}
{words}"""


def exchange(client, server, word, port=PORT, address=ADDRESS):
    """A datagram there and back; returns the flow's port."""
    client.send(word, port, address)
    data, flow = server.receive()
    assert data == word
    server.send(word[::-1], flow)
    assert client.receive() == (word[::-1], port)
    return flow


def receivers(daemon, port=PORT):
    """The inodes of its datagram sockets at a port."""
    lines = Path(f"/proc/{daemon.pid}/net/udp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    return sorted(each[9] for each in fields if each[1].endswith(f":{port:04X}"))


# A listener that stays


def test_flows_go_on_with_the_server_and_the_port_that_they_began_with(start, sockets):
    daemon, server, other = start(relaying()), sockets(SERVER), sockets(OTHER)
    clients = [sockets() for _ in range(CLIENTS)]
    flows = [exchange(each, server, b"before") for each in clients]
    before = receivers(daemon)
    assert len(before) == THREADS
    for text in (relaying(OTHER), relaying(OTHER, words="  option tcplog\n"), relaying(OTHER)):
        reload(daemon, text)
        assert [exchange(each, server, b"after") for each in clients] == flows
        exchange(sockets(), other, b"new")
        assert receivers(daemon) == before
    assert server.is_silent()


def test_the_reload_reports_the_listeners_that_it_kept(start):
    daemon = start(relaying())
    assert "2 listeners, 1 of them kept" in reload(daemon, relaying(words=f"  bind {ADDRESS}:{MORE}\n"))


def test_datagrams_that_wait_at_a_listener_are_relayed_after_a_reload(start, sockets):
    """The process does not run while they come, so that they are in its queues when it reloads."""
    daemon, server = start(relaying()), sockets(SERVER)
    clients = [sockets() for _ in range(CLIENTS)]
    old = {exchange(each, server, b"before") for each in clients[::2]}
    daemon.signal(signal.SIGSTOP)
    for number, client in enumerate(clients):
        client.send(b"%d" % number, PORT)
    daemon.config.write_text(relaying(words="  option tcplog\n"), encoding="ascii")
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGCONT)
    received = [server.receive() for _ in clients]
    assert sorted(int(data) for data, _ in received) == list(range(CLIENTS))
    assert {flow for data, flow in received if int(data) % 2 == 0} == old
    daemon.await_line(IN_FORCE)


def test_many_reloads_lose_no_datagram_and_change_no_flow(start, sockets):
    daemon, server = start(relaying()), sockets(SERVER)
    clients = [sockets() for _ in range(CLIENTS)]
    flows = [exchange(each, server, b"before") for each in clients]
    for number in range(RELOADS):
        done = len(daemon.lines(IN_FORCE))
        daemon.signal(signal.SIGHUP)
        while len(daemon.lines(IN_FORCE)) == done:
            assert [exchange(each, server, b"%d" % number) for each in clients] == flows
    assert daemon.stop() == 0
    assert f"ended: {CLIENTS} sessions: shutdown {CLIENTS};" in daemon.log()


def test_a_maxconn_counts_the_flows_of_both_configurations(start, sockets):
    text = relaying(words="  maxconn 2\n")
    daemon, server = start(text), sockets(SERVER)
    clients = [sockets() for _ in range(2)]
    for client in clients:
        exchange(client, server, b"before")
    reload(daemon, text)
    sockets().send(b"too many", PORT)
    daemon.await_line("(flows-full)")
    for client in clients:
        exchange(client, server, b"after")


def test_older_flows_end_when_they_are_silent_and_leave_nothing(start, sockets):
    daemon, server = start(relaying(timeout=SHORT)), sockets(SERVER)
    before = daemon.descriptors()
    for number in range(RELOADS):
        exchange(sockets(), server, b"%d" % number)
        reload(daemon, relaying(timeout=SHORT, bind=f"{ADDRESS}:{PORT},{ADDRESS}:{MORE + number % 2}"))
    reload(daemon, relaying(timeout=SHORT))
    waiting.until(lambda: daemon.descriptors() == before, "its flows and their receivers are closed")
    exchange(sockets(), server, b"still")


# A listener that goes


def test_a_listener_that_goes_begins_no_flow_and_its_flows_go_on_until_they_are_silent(start, sockets):
    """Its sockets stay in all threads, or its clients would move from one to another."""
    logged = "  option tcplog\n"
    daemon, server = start(relaying(timeout=SHORT, words=logged)), sockets(SERVER)
    clients = [sockets() for _ in range(CLIENTS)]
    flows = [exchange(each, server, b"before") for each in clients]
    reload(daemon, relaying(bind=f"{ADDRESS}:{MORE}", timeout=SHORT, words=logged))
    late = sockets()
    late.send(b"late", PORT)
    assert [exchange(each, server, b"after") for each in clients] == flows
    exchange(late, server, b"there", MORE)
    waiting.until(
        lambda: exchange(clients[0], server, b"alone") == flows[0] and len(daemon.lines(" -- ")) == CLIENTS,
        "all others have ended, with the late one's",
    )
    assert len(receivers(daemon)) == THREADS
    waiting.until(lambda: not receivers(daemon), "its sockets are closed")
    exchange(late, server, b"still", MORE)


def test_a_listener_that_comes_back_has_its_sockets_and_its_flows_again(start, sockets):
    daemon, server, other = start(relaying()), sockets(SERVER), sockets(OTHER)
    clients = [sockets() for _ in range(CLIENTS)]
    flows = [exchange(each, server, b"before") for each in clients]
    before = receivers(daemon)
    for _ in range(2):
        reload(daemon, relaying(bind=f"{ADDRESS}:{MORE}"))
        reload(daemon, relaying(bind=f"{ADDRESS}:{MORE + 1}"))
        assert [exchange(each, server, b"meanwhile") for each in clients] == flows
        assert "1 listeners, 1 of them kept" in reload(daemon, relaying(OTHER))
        assert receivers(daemon) == before
        assert [exchange(each, server, b"after") for each in clients] == flows
        exchange(sockets(), other, b"new")


@pytest.mark.parametrize("user", ["", f"  user {NOBODY}\n"], ids=["root", NOBODY])
def test_a_wildcard_takes_the_place_of_an_address_and_gives_it_back(start, sockets, user):
    if user:
        may_become_another_user()

    def configured(*args, **rest):
        return relaying(*args, **rest).replace("global\n", "global\n" + user, 1)

    daemon, server, other = start(configured()), sockets(SERVER), sockets(OTHER)
    clients = [sockets() for _ in range(CLIENTS)]
    flows = [exchange(each, server, b"before") for each in clients]
    for bind in (f":{PORT}", f"{ADDRESS}:{PORT}"):
        reload(daemon, configured(OTHER, bind))
        assert [exchange(each, server, b"after") for each in clients] == flows
        late = [sockets() for _ in range(CLIENTS)]
        begun = [exchange(each, other, b"new") for each in late]
        assert [exchange(each, other, b"again") for each in late] == begun
    elsewhere = sockets()
    elsewhere.send(b"to the wildcard", PORT, "127.0.0.2")
    exchange(sockets(), other, b"last")
    assert other.is_silent()


def test_a_reload_that_fails_leaves_flows_and_sockets_as_they_are(start, sockets):
    daemon, server = start(relaying()), sockets(SERVER)
    client, before = sockets(), receivers(daemon)
    flow = exchange(client, server, b"before")
    descriptors = daemon.descriptors()
    taken = sockets(MORE)
    reload(daemon, relaying(words=f"  bind {ADDRESS}:{MORE + 1}\n  bind {ADDRESS}:{MORE}\n"), NOT_USED)
    assert f"cannot listen on {ADDRESS}:{MORE}: Address already in use" in daemon.log()
    assert receivers(daemon) == before and not receivers(daemon, MORE + 1)
    assert daemon.descriptors() == descriptors
    assert exchange(client, server, b"after") == flow
    assert taken.is_silent()


def test_a_section_changes_its_mode_and_changes_it_back(namespace, start, sockets):
    """At once with system calls restricted. Ports of TCP and of UDP are apart."""
    daemon, server, client = start(relaying(mode="tcp", threads=2)), sockets(SERVER), sockets()
    with contextlib.closing(listen(namespace)) as listener:
        session = connect(namespace)
        there = accept(listener)
        assert "1 listeners, 0 of them kept" in reload(daemon, relaying(threads=2))
        flow = exchange(client, server, b"udp")
        session.send(b"still")
        assert there.receive(5) == b"still"
        assert "1 listeners, 0 of them kept" in reload(daemon, relaying(mode="tcp", threads=2))
        end(connect(namespace), accept(listener))
        assert exchange(client, server, b"still") == flow
        end(session, there)
    assert daemon.stop() == 0
    assert "ended: 3 sessions: done 2, shutdown 1;" in daemon.log()


# The end


def test_it_drains_until_the_last_flow_is_silent(start, sockets):
    daemon, server = start(relaying(timeout=SHORT)), sockets(SERVER)
    clients = [sockets() for _ in range(CLIENTS)]
    flows = [exchange(each, server, b"before") for each in clients[:10]]
    reload(daemon)
    flows += [exchange(each, server, b"before") for each in clients[10:]]
    daemon.signal(signal.SIGUSR1)
    daemon.await_line("SIGUSR1: ")
    assert [exchange(each, server, b"drains") for each in clients] == flows
    late = sockets()
    late.send(b"late", PORT)
    assert [exchange(each, server, b"drains") for each in clients] == flows
    assert daemon.await_end() == 0
    assert server.is_silent()
    assert f"ended: {CLIENTS} sessions: flow-idle {CLIENTS};" in daemon.log()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_without_a_flow_it_ends_at_once(start, name):
    daemon = start(relaying(timeout="24d"))
    daemon.signal(signal.Signals[name])
    assert daemon.await_end() == 0


def test_ordered_to_stop_it_ends_the_flows_of_all_configurations(start, sockets):
    daemon, server = start(relaying()), sockets(SERVER)
    exchange(sockets(), server, b"before")
    reload(daemon)
    exchange(sockets(), server, b"after")
    assert daemon.stop() == 0
    assert "ended: 2 sessions: shutdown 2;" in daemon.log()
