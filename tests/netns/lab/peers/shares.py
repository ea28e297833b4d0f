"""How tproxyd's servers share many connections: by weight, by fewest sessions, by address, and one after the other from a queue.

Clients and servers are sockets of this process. What the proxy has done is read from its log, so nothing is guessed: a session
has given its place back when its line is there.
"""

import contextlib
import random
import select
import signal
import socket
import struct
import time
from collections import Counter, deque

from lab import waiting
from lab.peers.daemon import ADDRESS, PORT, Daemon

FIRST, HEALTH = 7100, 7200  # ports of servers, and where their health is asked
BATCH = 100  # connections at the same time
RESET = struct.pack("ii", 1, 0)
HEAD = """\
global
  nbthread {threads}
  maxconn 4000
  log stderr format raw local0 {level}
defaults
  mode tcp
  log global
  option tcplog
  timeout connect 60s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
listen l
  bind {address}:{port}
{lines}"""


def server_line(number, words=""):
    return f"  server s{number} {ADDRESS}:{FIRST + number} {words}\n"


class Shares:
    """A proxy with so many threads and servers, for a while; use it as `with Shares(...) as shares`."""

    def __init__(self, namespace, folder, threads, servers, lines, level="info"):
        self.namespace, self.threads, self.level = namespace, threads, level
        self.ended = self.wanted = 0  # sessions
        self.listeners = [self.listener(FIRST + number) for number in range(servers)]
        self.by_number = {each.fileno(): number for number, each in enumerate(self.listeners)}
        self.poll = select.poll()
        for each in self.listeners:
            self.poll.register(each.fileno(), select.POLLIN)
        self.daemon = Daemon(namespace, folder, self.text(lines))
        self.daemon.await_started()
        self.log = open(folder / "stderr", encoding="ascii")  # noqa: SIM115
        self.rest = ""

    def text(self, lines):
        return HEAD.format(threads=self.threads, level=self.level, address=ADDRESS, port=PORT, lines=lines)

    def listener(self, port):
        with self.namespace:
            made = socket.create_server((ADDRESS, port), backlog=2 * BATCH)
        made.setblocking(False)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.process.kill()
        self.daemon.process.wait()
        close(*self.listeners, self.log)

    def lines(self):
        """What is new in the log."""
        *lines, self.rest = (self.rest + self.log.read()).split("\n")
        self.ended += sum(" l l/" in line for line in lines)
        return lines

    def connect(self, source=None):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if source:
            client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            client.bind((source, 0))
        client.connect((ADDRESS, PORT))
        self.wanted += 1
        return client

    def accept(self, count):
        """The next connections to servers: [(server's number, connection)]."""
        made, end = [], waiting.deadline()
        while len(made) < count:
            ready = self.poll.poll(max(0, end - time.monotonic()) * 1000)
            assert ready, f"{count - len(made)} of {count} clients have no server"
            for number, _ in ready:
                server = self.by_number[number]
                with contextlib.suppress(BlockingIOError):
                    while True:
                        made.append((server, self.listeners[server].accept()[0]))
        return made

    def batch(self, count=BATCH):
        with self.namespace:
            clients = [self.connect() for _ in range(count)]
        return clients, self.accept(count)

    def close(self, *connections):
        """Close them; the proxy has forgotten them when this returns."""
        close(*connections)
        waiting.until(lambda: self.lines() is None or self.ended >= self.wanted, "all sessions have ended", pause=0.0002)

    def reload(self, lines):
        self.daemon.config.write_text(self.text(lines), encoding="ascii")
        self.daemon.signal(signal.SIGHUP)
        self.daemon.await_line("is in force")


def by_weight(namespace, folder, threads, connections, weights=(50, 30, 15, 5)):
    """The largest difference of a server's share from what its weight says, in parts of that."""
    lines = "".join(server_line(number, f"weight {weight}") for number, weight in enumerate(weights))
    counts = Counter()
    with Shares(namespace, folder, threads, len(weights), lines) as shares:
        while shares.wanted < connections:
            clients, servers = shares.batch()
            counts.update(number for number, _ in servers)
            shares.close(*clients, *(each for _, each in servers))
        total = shares.wanted
    wanted = [total * weight / sum(weights) for weight in weights]
    return total, max(abs(counts[number] - each) / each for number, each in enumerate(wanted))


def by_sessions(namespace, folder, threads, connections, servers=4, seed=1):
    """The largest difference of open sessions between two servers, each time all of a batch are open. Random ones are exchanged."""
    lines, draw, worst = "  balance leastconn\n" + "".join(map(server_line, range(servers))), random.Random(seed), 0
    with Shares(namespace, folder, threads, servers, lines) as shares:
        clients, open_ones = shares.batch()
        pairs = pair(clients, open_ones)
        kept = BATCH
        while True:
            counts = Counter(number for number, _, _ in pairs)
            worst = max(worst, max(counts[n] for n in range(servers)) - min(counts[n] for n in range(servers)))
            if shares.wanted >= connections:
                break
            draw.shuffle(pairs)
            leave, pairs = pairs[: BATCH // 3], pairs[BATCH // 3 :]
            for _, *ends in leave:
                close(*ends)
            kept = shares.wanted - len(pairs)
            waiting.until(lambda: shares.lines() is None or shares.ended >= kept, "they have ended", pause=0.0002)  # noqa: B023
            pairs += pair(*shares.batch(len(leave)))
        shares.close(*(each for _, *ends in pairs for each in ends))
        return shares.wanted, worst


def pair(clients, servers):
    """[(server's number, client, the server's end of it)]: each client says its number."""
    for number, client in enumerate(clients):
        client.sendall(struct.pack("!I", number))
    made = []
    for server, accepted in servers:
        accepted.setblocking(True)
        made.append((server, clients[struct.unpack("!I", accepted.recv(4, socket.MSG_WAITALL))[0]], accepted))
    return made


def servers_of(shares, clients):
    """{client's address: server's number}"""
    found, left = {}, deque(clients)
    while left:
        addresses = [left.popleft() for _ in range(min(BATCH, len(left)))]
        with shares.namespace:
            made = {shares.connect(address): address for address in addresses}
        pairs = pair(list(made), shares.accept(len(made)))
        found.update({made[client]: server for server, client, _ in pairs})
        shares.close(*(each for _, *ends in pairs for each in ends))
    return found


def by_source(namespace, folder, threads, connections, how="reload", servers=5):
    """How many clients of servers that stay move when one leaves: by a `reload`, or by its `health`."""
    clients = [f"127.{1 + n // 62500}.{n // 250 % 250}.{1 + n % 250}" for n in range(connections // 2)]
    hashes = {"reload": "  hash-type consistent\n", "health": ""}[how]
    lines = [server_line(number) for number in range(servers)]
    if how == "health":
        lines[2] = server_line(2, f"check port {HEALTH} inter 50ms rise 1 fall 1")
    with contextlib.ExitStack() as stack:
        if how == "health":
            with namespace:
                health = stack.enter_context(socket.create_server((ADDRESS, HEALTH), backlog=4096))
        shares = stack.enter_context(Shares(namespace, folder, threads, servers, "  balance source\n" + hashes + "".join(lines)))
        before = servers_of(shares, clients)
        if how == "health":
            health.close()
            shares.daemon.await_line("Server l/s2 is DOWN")
        else:
            shares.reload("  balance source\n" + hashes + "".join(lines[:2] + lines[3:]))
        after = servers_of(shares, clients)
        total = shares.wanted
    assert set(before.values()) == set(range(servers)) and 2 not in after.values()
    return total, sum(after[client] != server for client, server in before.items() if server != 2)


def from_queue(namespace, folder, threads, connections, places=2, waiters=50):
    """How many clients came before one that had waited longer; and the most connections that a server had."""
    lines = server_line(0, f"maxconn {places}")
    overtaken, most = 0, 0
    with Shares(namespace, folder, threads, 1, lines, level="debug") as shares:
        while shares.wanted < connections:
            served, clients, held = [], [], deque()
            for number in range(places + waiters):
                with namespace:
                    clients.append(shares.connect())
                clients[-1].sendall(struct.pack("!I", number))
                await_place(shares)
            while len(served) < len(clients):
                for _, accepted in shares.accept(1):
                    accepted.setblocking(True)
                    served.append(struct.unpack("!I", accepted.recv(4, socket.MSG_WAITALL))[0])
                    held.append((clients[served[-1]], accepted))
                most = max(most, len(held))
                if len(held) >= places:
                    close(*held.popleft())
            overtaken += sum(later < before for before, later in zip(served[places - 1 :], served[places:]))
            shares.close(*clients, *(accepted for _, accepted in held))
        return shares.wanted, overtaken, most


def close(*connections):
    for each in connections:
        each.close()


def await_place(shares):
    """Until the client that came last waits, or has a server."""
    words = ("accepted -> waiting", "accepted -> connecting")
    waiting.until(lambda: any(word in line for line in shares.lines() for word in words), "it has its place", pause=0.0001)
