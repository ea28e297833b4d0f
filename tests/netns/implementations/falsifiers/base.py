"""A small transparent proxy that is right, made to be wrong in one point at a time.

A falsifier is a class that overrides one method and so has one defect; the suite must fail it. The
base has none and must pass. One thread, one selector; what it waits for is computed from the state of
each session (session.py, datagrams.py).
"""

import collections
import contextlib
import errno
import functools
import ipaddress
import json
import os
import resource
import selectors
import shutil
import signal
import socket
import struct
import sys
import time

import balancing
import datagrams
import destinations
import names
import privileges
import rules
from addresses import family_of, plain
from checks import Checks
from datagrams import LARGEST, Flow
from session import Refused, Session  # noqa: F401

UNSUPPORTED = 78

IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
IP_BIND_ADDRESS_NO_PORT = 24
RESERVED = 24  # descriptors that are not sessions'

FIELDS = {
    *("listeners", "destination", "servers", "source", "protocol", "timeouts", "relay", "threads", "maxconn"),
    *("user", "reload", "log", "rules", "balance", "redispatch", "check", "ends_sessions", "nameserver"),
    *("check_steps", "check_http", "check_source", "agent"),
}
LISTENER_FIELDS = {"address", "port", "port_last", "transparent", "v6", "proxy_protocol", "server"}
SERVER_FIELDS = {"address", "port", "proxy_protocol", "weight", "backup", "maxconn", "check_port", "agent_port", "name"}
CLAIMS = [
    *("bind", "port-range", "v6only", "ipv6", "stream", "listeners", "balance"),
    *("source-none", "source", "plain-listener", "source-range", "source-port", "source-address", "source-foreign"),
    *("relay-splice", "relay-copy", "timeout-connect", "timeouts", "timeouts-fin", "threads", "maxconn", "tcplog"),
    *("drain", "intercept", "udp", "udp-errors", "udp-headers", "proxy-v1-in", "proxy-v2-in", "proxy-v1-out", "proxy-v2-out", "user", "reload"),
    *("log-default", "listener-server", "rules", "rules-destination", "rules-server", "rules-header"),
    *("balance-weight", "balance-leastconn", "balance-source", "backup", "server-maxconn", "redispatch", "check"),
    *("queue", "ends-sessions", "names", "check-port", "check-steps", "check-http", "check-source", "agent-check"),
]


class Proxy(Checks):
    session_class = Session
    flow_class = Flow
    balance_class = balancing.Balance

    def __init__(self, scenario, folder):
        self.scenario, self.folder = scenario, folder
        self.kind = socket.SOCK_DGRAM if scenario["protocol"] == "udp" else socket.SOCK_STREAM
        self.timeouts = {"connect": 10_000, "queue": 10_000, "client": 600_000, "server": 600_000}
        self.timeouts.update(scenario.get("timeouts", {}))
        for side in ("client", "server"):
            self.timeouts.setdefault(f"{side}_fin", self.timeouts[side])
        self.timeouts = {name: value / 1000 for name, value in self.timeouts.items()}
        self.selector = selectors.DefaultSelector()
        self.sessions = set()
        self.queue = []  # of them, those that wait for a server, in their order
        self.listeners = []
        self.fields = {}  # {listening socket: the scenario's listener}
        self.accepting = False
        self.draining = False
        self.reloading = False
        self.balance = self.balance_class(scenario)

    @functools.cached_property
    def pipe(self):
        """What bytes are spliced through; it is empty between two turns of the loop."""
        return os.pipe()

    # Listening

    def endpoints(self):
        for listener in self.scenario["listeners"]:
            for port in range(listener["port"], listener.get("port_last", listener["port"]) + 1):
                yield listener, listener["address"], port

    def listen(self, listener, address, port):
        made = socket.socket(family_of(address), self.kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, self.kind == socket.SOCK_STREAM)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.v6only(listener))
        if self.transparent(listener):
            self.make_transparent(made)
        made.bind((address, port))
        if self.kind == socket.SOCK_STREAM:
            made.listen(1024)
        elif self.intercepts:
            destinations.ask(made)
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

    def socket_to_server(self, session, kind):
        """A socket that is bound to what the session's server is to see."""
        if self.leads_back(session.server_address):
            raise Refused("the client connected to the proxy itself")
        if self.senseless(session.server_address):
            raise Refused("no server can have the address that the client connected to")
        where = self.source_for(session)
        made = socket.socket(family_of(session.server_address[0]), kind)
        session.server = made
        made.setblocking(False)
        if where:
            self.bind_source(made, where)
        return made

    def bind_source(self, made, where):
        if family_of(where[0]) != made.family:
            raise Refused("source: the server is of the other family")
        self.make_transparent(made)
        # One client's port may be used for two servers. A port that the kernel chooses would then be another flow's, with datagrams.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, bool(where[1]) or self.kind == socket.SOCK_STREAM)
        if not where[1]:
            self.late_port(made)
        try:
            made.bind(where)
        except OSError as error:
            raise Refused(f"source: {errno.errorcode[error.errno]}") from None

    def late_port(self, made):
        made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)

    # The destination

    def destination(self, listener, destination, client):
        """The server's address for a client's address that a listener accepted and that connected to `destination`."""
        if self.scenario["destination"] == "original":
            return destination[0].removeprefix("::ffff:"), destination[1]
        if "server" in self.fields[listener]:
            return balancing.place(self.scenario["servers"][self.fields[listener]["server"]])
        return self.balanced(client)

    def balanced(self, client, avoid=None):
        """The address of the server that is chosen for a client's address; None: all are full."""
        self.follow_names()
        self.check()
        connections = collections.Counter(session.server_address for session in self.sessions)
        server = self.balance.choose(client, connections, avoid)
        if not server and self.balance.is_full(connections):
            return None
        return balancing.place(server or self.scenario["servers"][0])

    def follow_names(self):
        """Ask where servers are. That happens when a client comes, which is often enough for a wrong proxy."""
        for server in self.scenario["servers"]:
            if "name" in server:
                server["address"] = names.address(self.scenario["nameserver"], server["name"], family_of(server["address"]))

    def serve_queue(self):
        for session in self.in_line():
            if session not in self.sessions:
                self.queue.remove(session)
                continue
            session.server_address = self.next_server(session)
            if session.server_address:
                self.queue.remove(session)
                self.begin(session)

    def in_line(self):
        return list(self.queue)

    def next_server(self, session):
        return self.balanced(session.address[0])

    def end_sessions_of_dead_servers(self):
        self.check()
        for session in [each for each in self.sessions if each.server_address in self.balance.down]:
            session.close(reset=True, reason="D-")

    def another_server(self, session):
        """Where to try next for a session whose server refuses, or None."""
        if not self.scenario.get("redispatch") or session.tries >= len(self.scenario["servers"]):
            return None
        return self.balanced(session.address[0], session.server_address)

    def after_header(self, session):
        """The server's address for a session whose header names another destination."""
        return plain(session.destination) if self.scenario["destination"] == "original" else session.server_address

    def leads_back(self, address):
        """Whether a server's address is where the proxy itself listens, or where clients choose, any address of its host."""
        own = {own_address for _, own_address, port in self.endpoints() if port == address[1]}
        if self.scenario["destination"] == "servers" and not own & {address[0], "0.0.0.0", "::"}:
            return False
        with socket.socket(family_of(address[0]), self.kind) as probe:
            try:
                probe.bind((address[0], 0))
            except OSError:
                return False
        return True

    def senseless(self, address):
        """Whether no server can have an address that a client chose."""
        chosen = ipaddress.ip_address(address[0].removeprefix("::ffff:"))
        nowhere = chosen.is_loopback or chosen.is_unspecified or chosen.is_multicast or str(chosen) == "255.255.255.255"
        return self.scenario["destination"] == "original" and nowhere

    def is_own(self, address, destination):
        """Whether a client is this proxy itself, whose connection to a server was diverted to it."""
        ends = plain(address), plain(destination)
        servers = (each for each in self.sessions if each.server)
        return any((plain(each.server.getsockname()), plain(each.server_address)) == ends for each in servers)

    def header_version(self, address):
        """The version of the PROXY protocol that a server wants, or None."""
        wanted = {(s["address"], s["port"]): s.get("proxy_protocol") for s in self.scenario["servers"]}
        return wanted.get(address)

    # Sessions

    def accept(self, listener):
        if self.kind == socket.SOCK_DGRAM:
            self.datagram(listener)
            return
        try:
            client, address = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        destination = client.getsockname()[:2]
        if not self.admits(address, destination):
            self.reject(client)
            return
        expected = bool(self.fields[listener].get("proxy_protocol")) or self.expects_header(address, destination)
        server = self.destination(listener, destination, address[0])
        session = self.session_class(self, client, address, server, expected)
        own = self.is_own(address, client.getsockname())
        self.sessions.add(session)
        if own:
            self.refused(session, "the client is this proxy itself")
        elif not expected:
            self.begin(session)

    # Rules

    @functools.cached_property
    def rules(self):
        return [rules.Rule(fields) for fields in self.scenario.get("rules", ())]

    def admits(self, address, destination):
        return rules.admits(self.rules, address, destination)

    def reject(self, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        self.log("rejected by a rule")

    def expects_header(self, address, destination):
        return rules.first(self.rules, ("header",), address, destination) is not None

    def server_by_rule(self, address, destination):
        """The address of the server that a rule chooses for a client, or None."""
        rule = rules.first(self.rules, ("server",), address, destination)
        return rule and tuple(self.scenario["servers"][rule.server][name] for name in ("address", "port"))

    def datagram(self, listener):
        try:
            data, address = self.receive(listener)
            data, self.named = self.take_header(listener, data)
            flow = self.flow_of(listener, address)
            if flow in self.sessions:
                flow.forward(data)
        except OSError as problem:
            self.log(f"a datagram is lost: {problem}")

    def take_header(self, listener, data):
        return datagrams.take_header(data) if self.fields[listener].get("proxy_protocol") else (data, None)

    @property
    def intercepts(self):
        return self.scenario["destination"] == "original"

    def receive(self, listener):
        """A datagram and its source; `asked` is where it was sent to."""
        if self.intercepts:
            data, address, self.asked = destinations.receive(listener, LARGEST)
            return data, address
        self.asked = listener.getsockname()[:2]
        return listener.recvfrom(LARGEST)

    def flow_of(self, listener, address):
        for each in self.sessions:
            if (each.listener, each.sender, each.destination, each.named) == (listener, address, self.asked, self.named):
                return each
        server = self.destination(listener, self.asked, address[0])
        own = self.is_own(address, server)
        flow = self.flow_class(self, listener, address, server, self.named)
        flow.destination = self.asked
        self.sessions.add(flow)
        if own:
            self.refused(flow, "the client is this proxy itself")
        else:
            self.begin(flow)
        return flow

    def begin(self, session):
        if session.server_address is None:
            self.wait_for_server(session)
            return
        try:
            session.connect()
        except Refused as reason:
            self.refused(session, str(reason))

    def wait_for_server(self, session):
        self.queue.append(session)

    def refused(self, session, reason):
        session.close(reset=True, reason=reason)

    def forget(self, session):
        self.sessions.discard(session)
        for made in session.events:
            self.selector.unregister(made)
        session.events = {}

    # The log

    def log(self, text):
        """A line, or nothing where the log takes no more: no client waits for it."""
        with contextlib.suppress(BlockingIOError):
            os.write(2, f"{text}\n".encode())

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
                self.add_listener(listener, address, port)
            except OSError as error:
                sys.exit(f"cannot listen at {address} port {port}: {error}")
        if "user" in self.scenario:
            self.give_up_privileges()
        self.handle_signals()
        os.set_blocking(2, False)

    def add_listener(self, listener, address, port):
        made = self.listen(listener, address, port)
        self.listeners.append(made)
        self.fields[made] = listener

    def give_up_privileges(self):
        privileges.become(self.scenario["user"])

    def handle_signals(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGUSR1, lambda *_: self.drain())
        signal.signal(signal.SIGHUP, lambda *_: setattr(self, "reloading", True))
        wake, awake = socket.socketpair()
        for end in (wake, awake):
            end.setblocking(False)
        signal.set_wakeup_fd(awake.fileno())
        self.wake = wake, awake
        self.selector.register(wake, selectors.EVENT_READ)

    def drain(self):
        self.draining = True

    def reload(self):
        """Take on the next scenario: what was listened at already stays as it is, and so do sessions."""
        with open(f"{self.folder}/next.json", encoding="utf-8") as file:
            scenario = json.load(file)
        self.stop_accepting()
        before, self.scenario = self.scenario, scenario
        self.balance = self.balance_class(scenario)
        there = {made.getsockname()[:2]: made for made in self.listeners}
        wanted = {(address, port): listener for listener, address, port in self.endpoints()}
        try:
            for place in wanted.keys() - there.keys():
                self.add_listener(wanted[place], *place)
        except OSError as problem:
            self.scenario = before
            self.close_listeners(set(self.listeners) - set(there.values()))
            self.reload_failed(problem)
        else:
            self.close_listeners({there[place] for place in there.keys() - wanted.keys()})

    def close_listeners(self, gone):
        for made in gone:
            self.listeners.remove(made)
            made.close()

    def reload_failed(self, problem):
        """A listener of the next scenario cannot be bound; nothing has changed."""
        self.log(f"the reload fails: {problem}")

    def stop_accepting(self):
        if self.accepting:
            self.accepting = False
            for listener in self.listeners:
                self.selector.unregister(listener)

    def full(self):
        """Whether there is no descriptor for a further session. Runs in every turn of the loop."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED
        return len(self.sessions) >= min(self.scenario.get("maxconn", descriptors), descriptors // 2)

    def arrange_accepting(self):
        wanted = not self.full() and not self.draining
        if wanted and not self.accepting:
            self.accepting = True
            for listener in self.listeners:
                self.selector.register(listener, selectors.EVENT_READ)
        elif not wanted:
            self.stop_accepting()
        if self.draining:
            while self.listeners:
                self.listeners.pop().close()

    def arrange(self, session):
        """Register the events that a session waits for."""
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
        """How long to sleep for events. That a client leaves while its server is silent is found by looking."""
        if not all(session.connected for session in self.sessions):
            return 0.005
        return 0.05 if self.sessions else None

    def run(self):
        self.start()
        while not (self.draining and not self.sessions):
            if self.reloading:
                self.reloading = False
                self.reload()
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
        if self.queue:
            self.serve_queue()
        if self.scenario.get("ends_sessions"):
            self.end_sessions_of_dead_servers()
        for session in list(self.sessions):
            session.tick()
            if session in self.sessions and session.late(now):
                self.timed_out(session)
            if session in self.sessions and not session.events:
                self.arrange(session)

    def timed_out(self, session):
        session.close(reason="cD" if session.connected else "timeout: connect")


def understood(scenario):
    """Whether there is no field in a scenario, and no value, that would be ignored."""
    return (
        not set(scenario) - FIELDS
        and scenario["protocol"] in ("tcp", "udp")
        and scenario["destination"] in ("servers", "original")
        and not any(set(each) - LISTENER_FIELDS for each in scenario["listeners"])
        and not any(set(each) - SERVER_FIELDS for each in scenario["servers"])
    )


def adapter(proxy_class):
    """The main function of every falsifier."""
    if sys.argv[1:] == ["describe"]:
        name = sys.argv[0].rpartition("/")[2]
        print(json.dumps({"name": name, "version": "1", "capabilities": CLAIMS, "notes": proxy_class.__doc__ or ""}))
    elif len(sys.argv) == 4 and sys.argv[1] == "run":
        with open(sys.argv[2], encoding="utf-8") as file:
            scenario = json.load(file)
        if not understood(scenario):
            sys.exit(UNSUPPORTED)
        proxy_class(scenario, sys.argv[3]).run()
    elif len(sys.argv) == 5 and sys.argv[1] == "reload":
        shutil.copy(sys.argv[2], f"{sys.argv[3]}/next.json")
        os.kill(int(sys.argv[4]), signal.SIGHUP)
    else:
        sys.exit(f"usage: {sys.argv[0]} describe | run SCENARIO.json RUNDIR | reload SCENARIO.json RUNDIR PID")
