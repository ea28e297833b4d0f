"""The fate of new connections, from their ends and from the packets on the links.

    works         bytes pass in both directions, and the server sees the client's address
    wrong source  bytes pass, and the server sees another address
    refused       the connection fails at once, or the proxy ends it before a byte has come back
    times out     nothing comes back: packets are retransmitted and get no answer
    stalls        the connection works first, then bytes no longer get through
    intermittent  of several connections some work and some do not

Nothing is timed. Packets show that a connection will time out: an end without an answer sends
again. What was sent twice counts only as long as no end of the connection gets on.

All connections are attempted at the same time, so that many that time out cost no more than one.
No kernel retransmits datagrams, so the lab does it, a few times.
"""

import errno
import select
import secrets
import time
from collections import Counter

from lab import waiting
from lab.netns import sockets
from lab.netns.capture import ACK, RST, SYN
from lab.peers.flow import WitnessesDisagree

SYMPTOMS = ("works", "wrong source", "refused", "times out", "stalls", "intermittent")

TOKEN = 16
TURN = 0.05  # seconds after which the links are looked at, when no socket has anything
SYNS_ALIKE = 2
DATAGRAMS = 4
GRACE = 1.0  # seconds in which a datagram is there, if it is not lost
BYTES_ALIKE = 4  # one may be lost, and a size that is too large is sent again in smaller parts


class Attempt:
    """One connection: how far it got."""

    def __init__(self, lab, destination, expected, source=None):
        self.lab = lab
        self.expected = expected
        self.token = secrets.token_bytes(TOKEN)
        self.symptom = ""
        self.connected = False
        self.server = None
        self._back = b""
        self.client = lab.client.socket(destination.address)
        self.client.setblocking(False)
        if source:
            self.client.bind(tuple(source))
        if self.client.connect_ex(tuple(destination)) not in (0, errno.EINPROGRESS):
            self.symptom = "refused"

    def end(self):
        self.client.close()
        if self.server:
            self.server.close()

    def events(self):
        return select.POLLIN if self.connected else select.POLLOUT

    def proceed(self):
        """Handle an answer or an end at the client's socket."""
        try:
            complete = self._read() if self.connected else self._connect()
        except OSError:
            self.symptom = "refused"
        else:
            if complete:
                self.symptom = self._source()

    def _connect(self):
        """Send the token; nothing is complete by that."""
        self.client.getpeername()  # or the error; SO_ERROR also reports errors that an established connection survives
        self.connected = True
        self.client.send(self.token)

    def answer(self, connection):
        """The server has read the token: answer it."""
        self.server = connection
        self.server.send(self.token[::-1])

    def _read(self):
        """Whether the whole answer has come."""
        data = self.client.recv(TOKEN)
        if not data:
            raise ConnectionError("the proxy ended it")
        self._back += data
        return self._back == self.token[::-1]

    def _source(self):
        seen, wire = self.server.peer, self.lab.source_of(self.token)
        if seen != wire:
            raise WitnessesDisagree(f"the server's socket says {seen}, its link says {wire}")
        return "works" if seen.address == self.expected else "wrong source"


def observe(lab, attempts, earlier, upload=0):
    """The symptom of new connections. If they work, the first one uploads `upload` bytes. `earlier` is what forget() returned."""
    unread = {}  # accepted connections: what came of their tokens
    deadline, last_look = waiting.deadline(), False
    while pending := [each for each in attempts if not each.symptom]:
        moved = _turn(lab, pending, unread)
        no_progress = not moved and stuck(lab, earlier) >= len(pending)
        if no_progress and last_look:
            for each in pending:
                each.symptom = "times out"
        last_look = no_progress
        if time.monotonic() > deadline:
            raise TimeoutError("a connection neither works nor fails, and no packet is retransmitted")
    found = {each.symptom for each in attempts}
    symptom = found.pop() if len(found) == 1 else "intermittent"
    return _stalls(lab, attempts[0], upload) if upload and symptom == "works" else symptom


def forget(lab):
    """Ignore earlier packets, and return the earlier connections that are half open: they go on sending theirs."""
    hosts = [lab.server, *(each.host for each in lab.proxies)]
    earlier = set().union(*(sockets.half_open(each.namespace) for each in hosts))
    for tap in lab.taps:
        tap.forget()
    return earlier


def _turn(lab, pending, unread):
    """Handle every ready socket; return whether there was one."""
    by_number = {each.client.fileno(): each for each in pending}
    poll = select.poll()
    for number, each in by_number.items():
        poll.register(number, each.events())
    listeners = {made.fileno(): made for made in lab.server.listeners.values()}
    accepted = {connection.socket.fileno(): connection for connection in unread}
    for number in [*listeners, *accepted]:
        poll.register(number, select.POLLIN)
    ready = [number for number, _ in poll.poll(TURN * 1000)]
    for number in ready:
        if number in accepted:
            _read_token(accepted[number], pending, unread)
        elif number in listeners:
            unread[lab.server.accepted(listeners[number])] = b""
    for number in ready:
        if number in by_number:
            by_number[number].proceed()
    return bool(ready)


def _read_token(connection, pending, unread):
    try:
        data = connection.socket.recv(TOKEN - len(unread[connection]))
    except OSError:
        data = b""
    token = unread.pop(connection) + data
    if data and len(token) < TOKEN:
        unread[connection] = token
    for each in pending:
        if each.token == token:
            each.answer(connection)


def stuck(lab, earlier):
    """How many connections get no answer: the largest number that a link or a proxy's sockets show.

    What a proxy sends to itself passes no link.
    """
    on_links = [_sent_again(lab, tap) for tap in _witnesses(lab)]
    at_proxies = [sockets.unanswered(each.host.namespace) for each in lab.proxies]
    return max(len(found - earlier) for found in on_links + at_proxies)


def _witnesses(lab):
    """Links on which a packet is seen once: the ends', and the proxies' own."""
    names = ("client", "server", "proxy", "proxy2")
    return [tap for tap in lab.taps if tap.name.partition("-")[0] in names]


def _sent_again(lab, tap):
    """The retransmitted packets on a link: pairs of ends, or (asker, address) of address requests."""
    at_end = tap.name in ("client-eth0", "server-eth0")
    seen = Counter()
    for segment in tap.segments():
        ends = frozenset((segment.source, segment.destination))
        if segment.flags & (SYN | ACK) == SYN or (segment.flags & SYN and at_end):
            seen[ends, segment.flags, segment.sequence, SYNS_ALIKE] += 1
        elif segment.payload and at_end:
            seen[ends, segment.source, segment.sequence, BYTES_ALIKE] += 1
    if at_end:
        seen.update((query, "asked for", 0, SYNS_ALIKE) for query in tap.queries())
    return {key[0] for key, times in seen.items() if times >= key[3]}


def _stalls(lab, attempt, size):
    """Send so many bytes to the server: `works` when they come, `stalls` when they do not get on."""
    missing = remaining = size
    end = waiting.deadline()
    while missing:
        poll = select.poll()
        poll.register(attempt.server.socket.fileno(), select.POLLIN)
        if remaining:
            poll.register(attempt.client.fileno(), select.POLLOUT)
        ready = [number for number, _ in poll.poll(TURN * 1000)]
        if attempt.client.fileno() in ready:
            remaining -= attempt.client.send(bytes(min(remaining, 1 << 16)))
        if attempt.server.socket.fileno() in ready:
            missing -= len(attempt.server.socket.recv(1 << 18))
        elif not ready and _bytes_sent_again(lab):
            return "stalls"
        if time.monotonic() > end:
            raise TimeoutError(f"{missing} bytes of {size} are missing, and no packet is retransmitted")
    return "works"


def _bytes_sent_again(lab):
    """Whether the proxy has retransmitted bytes to the server several times."""
    proxies = [tap for tap in lab.taps if tap.name in ("proxy-server0", "proxy-router0")]
    seen = Counter(
        (segment.source, segment.sequence)
        for tap in proxies
        for segment in tap.segments()
        if segment.payload and segment.destination in lab.server.listeners
    )
    return any(times >= BYTES_ALIKE for times in seen.values())


def observe_datagrams(server, client, destination, expected, size):
    """The symptom of a question to the proxy that the server answers; both are sockets for datagrams."""
    for _ in range(DATAGRAMS):
        question = secrets.token_bytes(size)
        client.send(question, destination)
        if not waiting.readable([server.socket], GRACE):
            continue
        data, seen = server.receive()
        server.send(data[::-1], seen)
        if waiting.readable([client.socket], GRACE):
            client.receive()
            return "works" if seen.address == expected else "wrong source"
    return "times out"


def answers_past_the_proxy(lab):
    """Packets that the client got from the server past the proxy, and that belong to no connection of it."""
    (link,) = [tap for tap in lab.taps if tap.name == "client-eth0"]
    return [segment for segment in link.segments() if segment.source in lab.server.listeners]


def client_reset_them(lab):
    """Whether the client answered those by a reset."""
    (link,) = [tap for tap in lab.taps if tap.name == "client-eth0"]
    return any(s.flags & RST and s.destination in lab.server.listeners for s in link.segments())
