"""A flow as HTTP messages, for a proxy that relays only HTTP.

The client's bytes become the body of a POST, the server's bytes the body of its response. The path of a request is
the flow's token. So the server finds a flow's next request on any connection that the proxy chose, and a source address
of another client's connection is noticed. The lab's server never sends an error response; one comes from the proxy
and counts as the end of the connection.

HTTP cannot express half-close, resets and a server that sends first. A test that needs them ends as UNSUPPORTED,
because the capability `stream` is missing.
"""

import contextlib
import secrets
import socket
import time

from lab import waiting
from lab.exceptions import Unsupported
from lab.netns.endpoint import RESETS, Connection, Endpoint
from lab.peers.proxy_protocol import SIGNATURE

TOKEN = 16
ONLY_HTTP = "a proxy that relays only HTTP"


def request(path, destination, body=b""):
    """The bytes of a request whose path is a flow's token."""
    head = f"POST /{path} HTTP/1.1\r\nHost: {destination}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def unsupported(what, needs=("stream",)):
    return Unsupported(f"{ONLY_HTTP} has no {what}", needs)


class NoStream:
    """Stands for a socket: a test can wait for it and close it."""

    def __init__(self, connected):
        self.fileno, self.close, self.settimeout = connected.fileno, connected.close, connected.settimeout

    def __getattr__(self, name):
        raise unsupported(f"byte stream ({name})")


class _Messages:
    """Messages that arrive on a socket: (first line, body)."""

    def __init__(self, connected, peer):
        self.socket, self.peer = connected, peer
        self.header = None  # the PROXY header before the first message, b"" if there is none
        self._buffer = b""

    def next(self):
        """The next message, or None at the end of the connection between two of them."""
        if not self._buffer and not self._more():
            return None
        if self.header is None:
            self.header = self._proxy_header()
        head = self._upto(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return first, self._chunks()
        return first, self._exactly(int(fields.get("content-length", 0)))

    def _proxy_header(self):
        """Its bytes, of either version. A message is longer than the shortest header of version 2."""
        fixed = self._exactly(len(SIGNATURE) + 4)
        if fixed.startswith(SIGNATURE):
            return fixed + self._exactly(int.from_bytes(fixed[-2:], "big"))
        self._buffer = fixed + self._buffer
        return self._upto(b"\r\n") + b"\r\n" if fixed.startswith(b"PROXY ") else b""

    def _more(self):
        data = self.socket.recv(1 << 16)
        self._buffer += data
        return bool(data)

    def _upto(self, mark):
        while mark not in self._buffer:
            if not self._more():
                raise ConnectionError("the connection ended within a message")
        found, self._buffer = self._buffer.split(mark, 1)
        return found

    def _exactly(self, size):
        while len(self._buffer) < size:
            if not self._more():
                raise ConnectionError("the connection ended within a message")
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _chunks(self):
        parts = []
        while size := int(self._upto(b"\r\n").split(b";")[0], 16):
            parts.append(self._exactly(size))
            self._upto(b"\r\n")
        self._upto(b"\r\n")
        return b"".join(parts)


class _End:
    """The common part of both ends of a flow."""

    def finish(self):
        raise unsupported("half-close")

    def reset(self):
        raise unsupported("reset that means something")

    def receive_to_end(self):
        raise unsupported("end of a stream")

    def unacknowledged(self):
        raise unsupported("byte stream (unacknowledged)")

    def receive(self, size):
        while len(self._received) < size:
            self._receive_more()
        data, self._received = self._received[:size], self._received[size:]
        return data


class HttpClient(_End):
    """The client's end. Its next request waits for the response to the one before."""

    def __init__(self, connected, destination):
        connected.settimeout(waiting.seconds)
        self.socket = NoStream(connected)
        self.local = Endpoint(*connected.getsockname()[:2])
        self.peer = destination
        self.partner = None  # the server's end, once it is known
        self._connected, self._messages = connected, _Messages(connected, destination)
        self._path = secrets.token_hex(TOKEN)
        self._outstanding = 0
        self._received = b""
        self.asked = False
        self.refusal = ""  # the proxy's own error response, that it ended with

    def begin(self, token):
        self._path = token.hex()
        self.send(b"")

    def has_begun(self, token):
        """The request that names this token is sent already, behind something that is no HTTP (a PROXY header)."""
        self._path = token.hex()
        self._outstanding, self.asked = 1, True

    def hang_up(self):
        """End the connection's direction to the proxy. In HTTP this says only that no request follows."""
        self._connected.shutdown(socket.SHUT_WR)

    def send(self, data):
        while self._outstanding:
            if self.partner:
                self.partner.settle()
            self._receive_more()
        self._connected.sendall(request(self._path, self.peer, data))
        self._outstanding += 1
        self.asked = True

    def _receive_more(self):
        if not self._outstanding:
            raise unsupported("server that speaks unasked")
        message = self._messages.next()
        if message is None:
            raise ConnectionError("the proxy ended the connection in the place of a response")
        status = message[0].split()[1]
        if status != "200":
            raise ConnectionError(f"the proxy answered {message[0]}")
        self._outstanding -= 1
        self._received += message[1]

    def ending(self):
        """As for a plain connection; an error response of the proxy is an end, too."""
        if self.partner and self.partner.closed:
            raise unsupported("end of one side that ends the other")
        data, self._received = self._received, b""
        try:
            while message := self._messages.next():
                if message[0].split()[1] != "200":
                    self.refusal = message[0]
                    break
                data += message[1]
        except TimeoutError:
            raise TimeoutError(f"{self.local} waited for an end from {self.peer} and got none") from None
        except OSError as error:
            if error.errno not in RESETS:
                raise
            return "reset", data
        return "eof", data

    def close(self):
        self._connected.close()


class HttpServer(_End):
    """The server's end of one flow, on whichever connections its requests come."""

    def __init__(self, hub, path):
        self.hub, self.path = hub, path
        self.messages = None
        self._received = b""
        self._unanswered = self.closed = False

    @property
    def socket(self):
        return NoStream(self.messages.socket)

    @property
    def peer(self):
        return self.messages.peer

    @property
    def local(self):
        return Endpoint(*self.messages.socket.getsockname()[:2])

    def take(self, messages, body):
        """A request. A PROXY header before it is part of what the server has received, as on a plain connection."""
        if messages is not self.messages:
            self._received += messages.header
        self.messages = messages
        self._received += body
        self._unanswered = True

    def _receive_more(self):
        self.settle()
        self.hub.until(lambda: self._unanswered, None)

    def send(self, data):
        if not self._unanswered:
            raise unsupported("server that speaks unasked")
        self._unanswered = False
        if self.messages.socket.fileno() == -1:
            raise ConnectionError("the proxy ended the connection to the server before the response")
        self.messages.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    def settle(self):
        """Answer the last request, unless it is answered."""
        if self._unanswered:
            self.send(b"")

    def ending(self):
        return Connection(self.messages.socket, self.messages.peer).ending()

    def close(self):
        """End it and wait until the proxy has ended it, so that the next client's request does not race with this one.

        A proxy may send a request on a kept connection until it has seen its end (RFC 9112, 9.5).
        """
        self.closed = True
        self.hub.end(self.messages)


class Hub:
    """All connections to the server, and the flows that their requests belong to."""

    def __init__(self, server):
        self.server = server
        self._connections = []
        self._flows = {}
        self._unclaimed = []

    def accept(self, hurry=None):
        """The next flow that no test has taken yet."""
        if hurry and not hurry.asked:
            raise unsupported("server that hears of a client before that has asked")
        return self.until(lambda: self._unclaimed and self._unclaimed.pop(0), hurry)

    def take(self, token, client):
        found = self.until(lambda: self._flows.get(token.hex()), client)
        self._unclaimed.remove(found)
        return found

    def take_in(self):
        while ready := waiting.readable(self.server.listeners.values(), 0):
            for listener in ready:
                self._accept(listener)

    def no_connection_came(self):
        """Whether no connection waits, and no request came on an earlier one."""
        by_socket = {messages.socket: messages for messages in self._connections}
        for made in waiting.readable(by_socket, 0):
            self._request(by_socket[made])
        return not self._unclaimed and not waiting.readable(self.server.listeners.values(), 0)

    def until(self, condition, hurry):
        """Read requests until condition() is true; an end of `hurry` ends the wait."""
        end = waiting.deadline()
        while not (found := condition()):
            by_socket = {messages.socket: messages for messages in self._connections}
            watched = [*self.server.listeners.values(), *by_socket] + ([hurry.socket] if hurry else [])
            ready = waiting.readable(watched, end - time.monotonic())
            if not ready:
                raise TimeoutError(f"no request came to {[str(e) for e in self.server.listeners]}")
            if ready == [hurry.socket if hurry else None]:
                how, data = hurry.ending()
                raise ConnectionError(f"the proxy ended the client's connection ({hurry.refusal or how}, {data!r})")
            for made in ready:
                if made in by_socket:
                    self._request(by_socket[made])
                elif not hurry or made is not hurry.socket:
                    self._accept(made)
        return found

    def _accept(self, listener):
        connection = self.server.accepted(listener)
        self._connections.append(_Messages(connection.socket, connection.peer))

    def _request(self, messages):
        try:
            message = messages.next()
        except ConnectionError:
            message = None
        if message is None:
            self.drop(messages)
            return
        path = message[0].split()[1].rpartition("/")[2]
        if path not in self._flows:
            self._flows[path] = HttpServer(self, path)
            self._unclaimed.append(self._flows[path])
        self._flows[path].take(messages, message[1])

    def end(self, messages):
        """End a connection and wait, `waiting.seconds` at most, until the proxy has ended it, too."""
        made = messages.socket
        if messages in self._connections:
            with contextlib.suppress(OSError):  # the proxy has reset it
                made.shutdown(socket.SHUT_WR)
                while waiting.readable([made], waiting.seconds) and made.recv(1 << 16):
                    pass
        self.drop(messages)

    def drop(self, messages):
        if messages in self._connections:
            self._connections.remove(messages)
        messages.socket.close()
