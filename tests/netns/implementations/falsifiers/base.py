"""A small transparent proxy that is right, made to be wrong in one point at a time.

A falsifier is a class that overrides one method and so has one defect; the suite must fail it. The
base has none and must pass. One thread, one selector; a session is two sockets and two directions,
and a direction reads only when it holds nothing, so that a slow reader holds its sender back.
"""

import errno
import json
import resource
import selectors
import signal
import socket
import struct
import sys
import time

UNSUPPORTED = 78
CHUNK = 1 << 16

IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
IP_BIND_ADDRESS_NO_PORT = 24
RESERVED = 24  # descriptors that are not sessions'

FIELDS = {"listeners", "destination", "servers", "source", "protocol", "timeouts", "relay", "threads", "maxconn"}
LISTENER_FIELDS = {"address", "port", "port_last", "transparent", "v6"}
CLAIMS = [
    *("bind", "port-range", "v6only", "ipv6", "source", "source-port", "source-address", "source-foreign"),
    *("relay-splice", "relay-copy", "timeouts", "threads", "maxconn", "tcplog"),
]


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Refused(Exception):
    """The session can't be served; the text is the reason that is logged."""


class Direction:
    """From one socket to another."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.held = b""
        self.ended = self.shut = False
        self.total = 0


class Session:
    def __init__(self, proxy, client, address, server_address):
        self.proxy = proxy
        self.client, self.address = client, address
        self.server_address = server_address
        self.server = None
        self.connected = False
        self.directions = []
        self.started = self.client_active = self.server_active = time.monotonic()
        self.reason = "--"
        self.events = {}

    # Connecting

    def connect(self):
        where = self.proxy.source_for(self)
        self.server = socket.socket(family_of(self.server_address[0]), socket.SOCK_STREAM)
        self.server.setblocking(False)
        if where:
            self.proxy.bind_source(self.server, where)
        error = self.server.connect_ex(self.server_address)
        if error not in (0, errno.EINPROGRESS):
            raise Refused(f"connect: {errno.errorcode[error]}")
        self.directions = [Direction(self.client, self.server), Direction(self.server, self.client)]

    def connect_done(self):
        error = self.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise Refused(f"server: {errno.errorcode[error]}")
        self.connected = True
        self.touch(self.server)

    # Relaying

    def touch(self, side):
        """Traffic keeps the whole session alive, whichever side it comes from."""
        self.client_active = self.server_active = time.monotonic()

    def read(self, way):
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return
        self.touch(way.source)
        if data:
            way.held += self.passed(way, data)
            way.total += len(data)
        else:
            way.ended = True
        self.write(way)

    def passed(self, way, data):
        """What becomes of the bytes."""
        return data

    def write(self, way):
        if way.held:
            try:
                sent = self.sink_of(way).send(way.held)
            except BlockingIOError:
                return
            way.held = way.held[sent:]
            self.touch(way.sink)
        if way.ended and not way.held and not way.shut:
            way.shut = True
            self.end(way)

    def sink_of(self, way):
        return way.sink

    def end(self, way):
        way.sink.shutdown(socket.SHUT_WR)
        if all(each.shut for each in self.directions):
            self.close()

    def wants_read(self, way):
        return not way.ended and not way.held

    def wants(self):
        """{socket: events}, computed from the state."""
        if not self.connected:
            return {self.server: selectors.EVENT_WRITE} if self.server else {}
        events = {self.client: 0, self.server: 0}
        for way in self.directions:
            if self.wants_read(way):
                events[way.source] |= selectors.EVENT_READ
            if way.held:
                events[way.sink] |= selectors.EVENT_WRITE
        return events

    def ready(self, made, mask):
        try:
            if not self.connected:
                self.connect_done()
                return
            for way in self.directions:
                if way.source is made and mask & selectors.EVENT_READ and self.wants_read(way):
                    self.read(way)
                elif way.sink is made and mask & selectors.EVENT_WRITE:
                    self.write(way)
        except Refused as reason:
            self.proxy.refused(self, str(reason))
        except OSError:
            self.broken()

    def broken(self):
        self.close(reset=True, reason="SD")

    def late(self, now):
        limits = self.proxy.timeouts
        if not self.connected:
            return now - self.started > limits["connect"]
        client, server = now - self.client_active, now - self.server_active
        return client > limits["client"] or server > limits["server"]

    def close(self, reset=False, reason="--"):
        if self in self.proxy.sessions:
            self.proxy.forget(self)
            self.reason = reason
            for made in (self.client, self.server):
                if made is not None:
                    close(made, reset)
            self.proxy.log_session(self)


def close(made, reset):
    if reset:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()


class Proxy:
    session_class = Session

    def __init__(self, scenario):
        self.scenario = scenario
        self.timeouts = {"connect": 10_000, "client": 60_000, "server": 60_000}
        self.timeouts.update(scenario.get("timeouts", {}))
        self.timeouts = {name: value / 1000 for name, value in self.timeouts.items()}
        self.selector = selectors.DefaultSelector()
        self.sessions = set()
        self.listeners = []
        self.accepting = False
        self.draining = False
        self.turn = 0
        self.capacity = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED) // 2

    # Listening

    def endpoints(self):
        for listener in self.scenario["listeners"]:
            for port in range(listener["port"], listener.get("port_last", listener["port"]) + 1):
                yield listener, listener["address"], port

    def listen(self, listener, address, port):
        made = socket.socket(family_of(address), socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.v6only(listener))
        if self.transparent(listener):
            self.make_transparent(made)
        made.bind((address, port))
        made.listen(1024)
        made.setblocking(False)
        return made

    def v6only(self, listener):
        return listener.get("v6") == "v6only"

    def transparent(self, listener):
        return listener.get("transparent", False)

    def make_transparent(self, made):
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)

    # The source

    def source_for(self, session):
        """The address and port to connect from, None for the host's own choice."""
        source = self.scenario["source"]
        address, port = session.address[0].removeprefix("::ffff:"), session.address[1]
        chosen = {
            "none": None,
            "clientip": (address, 0),
            "client": (address, port),
        }
        if source["mode"] in chosen:
            return chosen[source["mode"]]
        return source["address"], source.get("port", 0)

    def bind_source(self, made, where):
        if family_of(where[0]) != made.family:
            raise Refused("source: the server is of the other family")
        self.make_transparent(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not where[1]:
            self.late_port(made)
        try:
            made.bind(where)
        except OSError as error:
            raise Refused(f"source: {errno.errorcode[error.errno]}") from None

    def late_port(self, made):
        made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)

    # Sessions

    def accept(self, listener):
        try:
            client, address = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        servers = self.scenario["servers"]
        server = servers[self.turn % len(servers)]
        self.turn += 1
        session = self.session_class(self, client, address, (server["address"], server["port"]))
        self.sessions.add(session)
        self.begin(session)

    def begin(self, session):
        try:
            session.connect()
        except Refused as reason:
            self.refused(session, str(reason))

    def refused(self, session, reason):
        session.close(reset=True, reason=reason)

    def forget(self, session):
        self.sessions.discard(session)
        for made in session.events:
            self.selector.unregister(made)
        session.events = {}

    # The log

    def log(self, text):
        print(text, file=sys.stderr, flush=True)

    def log_session(self, session):
        now = time.time()
        when = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}"
        count = session.directions[1].total if session.directions else 0
        self.log(
            f"{session.address[0]}:{session.address[1]} [{when}] front back/s1 0/0/0 {count} "
            f"{session.reason} 0/0/0/0/0 0/0"
        )

    # The loop

    def start(self):
        for listener, address, port in self.endpoints():
            try:
                self.listeners.append(self.listen(listener, address, port))
            except OSError as error:
                sys.exit(f"cannot listen at {address} port {port}: {error}")
        self.handle_signals()

    def handle_signals(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGUSR1, lambda *_: self.drain())
        wake, awake = socket.socketpair()
        for end in (wake, awake):
            end.setblocking(False)
        signal.set_wakeup_fd(awake.fileno())
        self.wake = wake, awake
        self.selector.register(wake, selectors.EVENT_READ)

    def drain(self):
        self.draining = True

    def full(self):
        """Called in every turn of the loop: whether there are descriptors for no further session."""
        return len(self.sessions) >= self.capacity

    def arrange_accepting(self):
        wanted = not self.full() and not self.draining
        if wanted != self.accepting:
            self.accepting = wanted
            for listener in self.listeners:
                if wanted:
                    self.selector.register(listener, selectors.EVENT_READ)
                else:
                    self.selector.unregister(listener)
        if self.draining:
            while self.listeners:
                self.listeners.pop().close()

    def arrange(self, session):
        """Tell the selector what a session waits for."""
        wanted = {made: events for made, events in session.wants().items() if events}
        for made in [made for made in session.events if made not in wanted]:
            self.selector.unregister(made)
        for made, events in wanted.items():
            if made not in session.events:
                self.selector.register(made, events, session)
            elif session.events[made] != events:
                self.selector.modify(made, events, session)
        session.events = wanted

    def wait(self):
        """How long to sleep for events."""
        return 0.05 if self.sessions else None

    def run(self):
        self.start()
        while not (self.draining and not self.sessions):
            self.arrange_accepting()
            for key, mask in self.selector.select(self.wait()):
                if key.fileobj in self.listeners:
                    self.accept(key.fileobj)
                elif key.data in self.sessions:
                    key.data.ready(key.fileobj, mask)
                elif key.data is None and key.fileobj is self.wake[0]:
                    self.wake[0].recv(64)
                if key.data in self.sessions:
                    self.arrange(key.data)
            self.tend()

    def tend(self):
        now = time.monotonic()
        for session in list(self.sessions):
            if session.late(now):
                self.timed_out(session)
            if session in self.sessions and not session.events:
                self.arrange(session)

    def timed_out(self, session):
        session.close(reason="cD" if session.connected else "timeout: connect")


def adapter(proxy_class):
    """What every falsifier's executable calls."""
    if sys.argv[1:] == ["describe"]:
        name = sys.argv[0].rpartition("/")[2]
        print(json.dumps({"name": name, "version": "1", "capabilities": CLAIMS, "notes": proxy_class.__doc__}))
    elif len(sys.argv) == 4 and sys.argv[1] == "run":
        with open(sys.argv[2], encoding="utf-8") as file:
            scenario = json.load(file)
        if set(scenario) - FIELDS or scenario["protocol"] != "tcp" or scenario["destination"] != "servers":
            sys.exit(UNSUPPORTED)
        if any(set(listener) - LISTENER_FIELDS for listener in scenario["listeners"]):
            sys.exit(UNSUPPORTED)
        proxy_class(scenario).run()
    else:
        sys.exit(f"usage: {sys.argv[0]} describe | run SCENARIO.json RUNDIR")
