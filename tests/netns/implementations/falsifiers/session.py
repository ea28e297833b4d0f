"""One connection through the base: two sockets and two directions.

A direction reads only when it holds nothing, so that a slow reader holds its sender back. When a side
fails, what it sent before is passed on to its end, and then the other side is reset: a reset makes the
kernel drop what the other side has not acknowledged, so that is awaited.
"""

import contextlib
import errno
import fcntl
import os
import selectors
import socket
import struct
import termios
import time

import header

CHUNK = 1 << 16


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
    def __init__(self, proxy, client, address, server_address, header_expected=False):
        self.proxy = proxy
        self.client, self.address = client, address
        self.destination = client.getsockname()[:2]
        self.server_address = server_address
        self.tries = 0
        self.connecting = 0  # since when; 0: not yet
        self.header = b"" if header_expected else None  # what has come of it
        self.server = None
        self.connected = False
        self.failed = None  # the socket of the side that has reset
        self.directions = []
        self.started = self.client_active = self.server_active = time.monotonic()
        self.reason = "--"
        self.events = {}

    # The PROXY protocol's header

    def read_header(self):
        try:
            self.header += self.client.recv(CHUNK)
            found = self.parse_header(self.header)
        except header.Malformed as problem:
            raise Refused(f"header: {problem}") from None
        if found:
            self.header_done(*found)
        elif not self.header or self.header_cut_off():
            raise Refused("header: the end came first")

    def header_cut_off(self):
        """Whether the client has ended within its header."""
        try:
            return not self.client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False

    def parse_header(self, data):
        return header.parse(data)

    def header_done(self, size, source, destination):
        rest, self.header = self.header[size:], None
        if source:
            self.address, self.destination = source, destination
            self.server_address = self.proxy.after_header(self)
        self.connect(rest)

    def greeting(self):
        """The header that the server gets before the client's first byte."""
        version = self.proxy.header_version(self.server_address)
        if not version:
            return b""
        names = [(address.removeprefix("::ffff:"), port) for address, port in (self.address[:2], self.destination)]
        return header.write(version, *names)

    # Connecting

    def connect(self, first=b""):
        """Connect to the server; `first` is the bytes that the client has sent already."""
        self.first = first
        self.tries += 1
        self.connecting = self.connecting or time.monotonic()
        self.server_address = self.proxy.server_by_rule(self.address, self.destination) or self.server_address
        self.server = self.proxy.socket_to_server(self, socket.SOCK_STREAM)
        error = self.server.connect_ex(self.server_address)
        if error not in (0, errno.EINPROGRESS):
            raise Refused(f"connect: {errno.errorcode[error]}")
        self.directions = [Direction(self.client, self.server), Direction(self.server, self.client)]
        self.directions[0].held = self.greeting() + self.passed(self.directions[0], first)

    def connect_done(self):
        error = self.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.try_another(f"server: {errno.errorcode[error]}")
            return
        self.connected = True
        self.touch(self.server)

    def try_another(self, problem):
        self.server_address = self.proxy.another_server(self)
        if not self.server_address:
            raise Refused(problem)
        self.server.close()
        self.connect(self.first)

    # Relaying

    def touch(self, side):
        """Traffic keeps the whole session alive, whichever side it comes from."""
        self.client_active = self.server_active = time.monotonic()

    def read(self, way):
        try:
            data = self.receive(way)
        except BlockingIOError:
            return
        except OSError:
            way.ended = True
            self.fail(way.source)
            return
        self.touch(way.source)
        if data:
            way.held += self.passed(way, data)
            way.total += len(data)
        else:
            way.ended = True
        self.write(way)

    def receive(self, way):
        """Bytes that have come, b"" for the end. splice(2) says 0 or EAGAIN of urgent data, too, so then recv() is asked."""
        if self.proxy.scenario.get("relay") == "splice":
            with contextlib.suppress(BlockingIOError):
                if size := os.splice(way.source.fileno(), self.proxy.pipe[1], CHUNK):
                    return os.read(self.proxy.pipe[0], size)
        return way.source.recv(CHUNK)

    def passed(self, way, data):
        """What becomes of the bytes."""
        return data

    def write(self, way):
        if way.held:
            try:
                sent = self.sink_of(way).send(way.held)
            except BlockingIOError:
                return
            except OSError:
                self.fail(way.sink)
                return
            way.held = way.held[sent:]
            self.touch(way.sink)
        if self.failed:
            self.finish_failed()
        elif way.ended and not way.held and not way.shut:
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
        if self.header is not None:
            return {self.client: selectors.EVENT_READ}
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
            if self.header is not None:
                self.read_header()
                return
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

    # Failing

    def tick(self):
        """What no event reports."""
        if self.server_address is None:
            if self.has_left_the_queue():
                self.close(reason="CQ")
        elif self.server and not self.connected:
            if self.client_has_gone():
                self.close(reason="CC")
        elif self.failed:
            self.finish_failed()

    def client_has_gone(self):
        """Whether the client has reset; its bytes may still wait to be read. An end alone is no reason to give it up."""
        return has_reset(self.client)

    def has_left_the_queue(self):
        return self.client_has_gone()

    def fail(self, side):
        """A side has reset: nothing more can be sent to it, but what came from it is passed on."""
        self.failed = side
        for way in self.directions:
            if way.sink is side:
                way.ended = way.shut = True
                way.held = b""
        self.finish_failed()

    def finish_failed(self):
        for way in self.directions:
            if way.source is self.failed and way.ended and not way.held and settled(way.sink):
                self.broken()

    def broken(self):
        self.close(reset=True, reason="SD")

    def late(self, now):
        limits = self.proxy.timeouts
        if self.header is not None:
            return now - self.started > limits["client"]
        if self.server_address is None:
            return self.has_waited_enough(now - self.started)
        if not self.connected:
            return now - self.connecting > limits["connect"]
        client, server = now - self.client_active, now - self.server_active
        fin = "_fin" if self.half_closed() else ""
        return client > limits[f"client{fin}"] or server > limits[f"server{fin}"]

    def has_waited_enough(self, seconds):
        return seconds > self.proxy.timeouts["queue"]

    def half_closed(self):
        return any(way.ended for way in self.directions)

    def close(self, reset=False, reason="--"):
        if self in self.proxy.sessions:
            self.proxy.forget(self)
            self.reason = reason
            for made in (self.client, self.server):
                if made is not None:
                    close(made, reset)
            self.proxy.log_session(self)


def has_reset(made):
    return made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def settled(made):
    """Whether a socket has delivered all its bytes, or never will."""
    return fcntl.ioctl(made, termios.TIOCOUTQ, bytes(4)) == bytes(4) or has_reset(made)


def close(made, reset):
    if reset:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()
