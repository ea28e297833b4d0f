"""tproxyd under all kinds of traffic at once, on four workers, with signals.

Each kind of client has an exact outcome, so a session that is mixed up with another one fails the
test. Its main use is with sanitizers (`make asan`, `make tsan`): a report of theirs fails it, too.
"""

import fcntl
import re
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

from lab import waiting
from lab.netns.endpoint import Connection
from lab.paths import TPROXYD

LOOPBACK = "127.0.0.1"
SILENT = "198.51.100.9"
BULK = bytes(range(256)) * 600
ROUNDS = 12  # of every kind, by each of the threads
THREADS = 6

CONFIGURATION = """\
global
    nbthread 4
    maxconn 400
    log stdout format raw local0 debug
defaults
    log global
    mode tcp
    option tcplog
    timeout connect 1m
    timeout client 10m
    timeout server 10m
frontend ft
    bind 127.0.0.1:7080
    default_backend bk
backend bk
    source 0.0.0.0 usesrc clientip
    server s1 127.0.0.1:{server}
frontend ft_silent
    bind 127.0.0.1:7081
    default_backend bk_silent
backend bk_silent
    server s1 198.51.100.9:1
"""


class Server:
    """A server that acts by the first byte of each connection."""

    def __init__(self):
        self.listener = socket.create_server((LOOPBACK, 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.errors = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            threading.Thread(target=self._serve, args=self.listener.accept(), daemon=True).start()

    def _serve(self, accepted, peer):
        kinds = {b"e": echo, b"r": reset_after_bulk, b"h": finish_first, b"u": answer_urgently, b"a": await_reset}
        with accepted:
            try:
                connection = Connection(accepted, peer)
                kinds[connection.receive(1)](connection)
            except Exception as error:  # reported by the test, whichever it is
                self.errors.append(repr(error))


def echo(connection):
    connection.send(connection.receive_to_end())


def reset_after_bulk(connection):
    connection.send(BULK)
    connection.receive(1)  # the client has all of it
    connection.reset()


def finish_first(connection):
    connection.finish()
    assert connection.receive_to_end() == BULK


def answer_urgently(connection):
    assert connection.receive_to_end() == BULK + b"!" + BULK
    send_with_urgent_byte(connection)


def await_reset(connection):
    assert connection.ending() == ("reset", BULK)


def send_with_urgent_byte(connection):
    connection.send(BULK)
    connection.socket.send(b"!", socket.MSG_OOB)
    connection.send(BULK)


def client_echoes(connect):
    flow = connect(b"e")
    flow.send(BULK)
    flow.finish()
    assert flow.receive_to_end() == BULK


def client_is_reset(connect):
    flow = connect(b"r")
    assert flow.receive(len(BULK)) == BULK
    flow.send(b".")
    assert flow.ending() == ("reset", b"")


def client_sends_after_the_servers_end(connect):
    flow = connect(b"h")
    assert flow.receive_to_end() == b""
    flow.send(BULK)
    flow.finish()


def client_sends_urgent_data(connect):
    flow = connect(b"u")
    flow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    send_with_urgent_byte(flow)
    flow.finish()
    assert flow.receive_to_end() == BULK + b"!" + BULK


def client_resets(connect):
    flow = connect(b"a")
    flow.send(BULK)
    # A reset drops what is not sent yet: it has to be out of this kernel's queue.
    waiting.until(lambda: undelivered(flow.socket) == 0, "the proxy's host has acknowledged all")
    flow.reset()


def client_leaves_while_connecting(_):
    flow = connect_to(7081)
    flow.send(b"a question")
    flow.reset()


def undelivered(made):
    return struct.unpack("i", fcntl.ioctl(made, termios.TIOCOUTQ, b"\0" * 4))[0]


CLIENTS = (
    client_echoes,
    client_is_reset,
    client_sends_after_the_servers_end,
    client_sends_urgent_data,
    client_resets,
    client_leaves_while_connecting,
)


def connect_to(port):
    return Connection(socket.create_connection((LOOPBACK, port), waiting.seconds), (LOOPBACK, port))


def connect(kind):
    flow = connect_to(7080)
    flow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    flow.send(kind)
    return flow


def run_clients(order, namespace, failures):
    with namespace:
        for number in range(ROUNDS * len(CLIENTS)):
            client = CLIENTS[(number + order) % len(CLIENTS)]
            try:
                client(connect)
            except Exception as error:  # reported by the test, whichever it is
                failures.append(f"{client.__name__}: {error!r}")


@pytest.fixture
def namespace(host):
    # The silent server: its packets go out to a link whose other end has no such host.
    host.namespace.ip(f"neigh add {SILENT} lladdr 02:00:00:00:00:09 dev eth0", "link set eth1 up")
    return host.namespace


def test_every_kind_of_end_is_exact_while_signals_arrive(namespace, tmp_path):
    with namespace:
        server = Server()
        path = tmp_path / "tproxyd.cfg"
        path.write_text(CONFIGURATION.format(server=server.port), encoding="ascii")
        with open(tmp_path / "log", "wb") as log:
            proxy = subprocess.Popen([TPROXYD, "-f", path], stdout=log, stderr=log)
    try:
        log = tmp_path / "log"
        waiting.until(lambda: b"started" in log.read_bytes() or proxy.poll() is not None, "tproxyd starts")
        failures = run_all(proxy, namespace)
        assert not failures, "\n".join(failures[:10])
        proxy.send_signal(signal.SIGUSR1)
        assert proxy.wait(waiting.seconds) == 0
    finally:
        proxy.kill()
        proxy.wait()
    assert not server.errors, "\n".join(server.errors[:10])
    check_log(log.read_text(encoding="utf-8", errors="replace"))


def run_all(proxy, namespace):
    failures = []
    threads = [threading.Thread(target=run_clients, args=(i, namespace, failures)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        proxy.send_signal(signal.SIGHUP)
        threads[0].join(0.05)
        for thread in threads[1:]:
            thread.join(0)
    return failures


def check_log(log):
    report = re.search(r"Sanitizer|runtime error", log)
    assert report is None, log[report.start() - 200 : report.start() + 3000]
    ended = re.search(r"tproxyd ended: (\d+) sessions: ([^;]*)", log)
    counts = {name: int(count) for name, count in re.findall(r"([a-z-]+) (\d+)", ended[2])}
    each = ROUNDS * THREADS
    assert int(ended[1]) == len(CLIENTS) * each
    assert counts == {"done": 3 * each, "server-reset": each, "client-reset": 2 * each}
