"""The client and the server, as a test sees them.

Each is a namespace with addresses. The test's own process opens sockets in the namespace, so one test holds both ends
of every connection and needs no helper programs or threads.

The server must recognise a connection through a proxy without its source address. So a client's first bytes are
a token that no other connection has, and the server keeps accepted connections by the token that it read.
"""

import errno
import secrets
import socket
import time

from lab import waiting
from lab.netns import sockets
from lab.netns.constants import IP_LEVEL, IP_TRANSPARENT
from lab.netns.endpoint import RESETS, Connection, RecordedSocket, socket_family
from lab.peers.flow import Flow
from lab.peers.http import Hub

TOKEN = 16


class Host:
    def __init__(self, lab, namespace, addresses):
        self.lab = lab
        self.namespace = namespace
        self.addresses = addresses  # {family: [address, …]}

    @property
    def address(self):
        """Its address in the family of the test."""
        return self.addresses[self.lab.family][0]

    @property
    def other_address(self):
        """A second address of the same host."""
        return self.addresses[self.lab.family][1]

    def socket(self, address, kind=socket.SOCK_STREAM, protocol=0):
        family = socket_family(address)
        self.lab.must_have(6 if family == socket.AF_INET6 else 4)
        with self.namespace:
            made = (RecordedSocket if kind == socket.SOCK_STREAM else socket.socket)(family, kind, protocol)
        self.lab.keep(made)
        return made

    def listen(self, endpoint, backlog=1024):
        """A listening socket at an address of the host."""
        listener = self.socket(endpoint.address)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.family == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(tuple(endpoint))
        listener.listen(backlog)
        return listener

    def open(self, destination, source=None):
        """A new connection, in the proxy's dialect if it goes to the proxy; raises the kernel's error if it fails."""
        made = self.socket(destination.address)
        if source is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(tuple(source))
        made.settimeout(waiting.seconds)
        made.connect(tuple(destination))
        return self.lab.client_end(made, destination)


class Client(Host):
    def connect(self, destination, source=None):
        """A new connection through the proxy; returns when the server has read its token."""
        connection = self.open(destination, source)
        token = secrets.token_bytes(TOKEN)
        if hasattr(connection, "begin"):
            connection.begin(token)
        else:
            connection.send(token)
        return Flow(self.lab, connection, self.lab.server.take(token, connection), token)

    def try_connect(self, destination, source=None):
        """Try to connect where that must fail; return how the connection ended, and the bytes before that.

        "refused" or "unreachable": there was no connection. "eof" or "reset": there was one, and the proxy ended it.
        """
        try:
            connection = self.open(destination, source)
            connection.send(secrets.token_bytes(TOKEN))
        except ConnectionRefusedError:
            return "refused", b""
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                return "unreachable", b""
            if error.errno not in RESETS:
                raise
            return "reset", b""
        return connection.ending()


class Server(Host):
    def __init__(self, lab, namespace, addresses):
        super().__init__(lab, namespace, addresses)
        self.listeners = {}
        self._unclaimed = {}
        self._hub = Hub(self) if lab.dialect.http else None

    def serve(self, endpoint):
        """Listen at the endpoint, unless it listens there already."""
        if endpoint not in self.listeners:
            self.listeners[endpoint] = self.listen(endpoint)
            self.listeners[endpoint].setblocking(False)

    def refuse(self):
        """Stop to listen: later connections are refused."""
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()

    def accept(self, hurry=None):
        """The next connection from the proxy; no byte of it is read.

        If the client's connection `hurry` ends first, the wait ends with a ConnectionError.
        """
        if self._hub:
            return self._hub.accept(hurry)
        end = waiting.deadline()
        while True:
            watched = [*self.listeners.values()] + ([hurry.socket] if hurry else [])
            ready = waiting.readable(watched, end - time.monotonic())
            for listener in ready:
                if hurry is None or listener is not hurry.socket:
                    return self.accepted(listener)
            if hurry and hurry.socket in ready and hurry.has_input():
                how, data = hurry.ending()
                raise ConnectionError(f"the proxy ended the client's connection ({how}, {data!r})")
            if not ready:
                raise TimeoutError(f"no connection came to {[str(e) for e in self.listeners]}")

    def take(self, token, client):
        """The connection whose first bytes are the token."""
        if self._hub:
            return self._hub.take(token, client)
        while token not in self._unclaimed:
            connection = self.accept(client)
            self._unclaimed[connection.receive(TOKEN)] = connection
        return self._unclaimed.pop(token)

    def take_in(self):
        """Accept the waiting connections. Only a hub sees from the bytes whether a client is behind one."""
        if self._hub:
            self._hub.take_in()

    def no_connection_came(self):
        """Whether no connection waits to be accepted."""
        if self._hub:
            return self._hub.no_connection_came()
        return not waiting.readable(self.listeners.values(), 0)

    def accepted(self, listener):
        """The next connection of a listener that is ready."""
        accepted, peer = listener.accept()
        made = RecordedSocket(fileno=accepted.detach())
        self.lab.keep(made)
        return Connection(made, peer)


class ProxyHost(Host):
    """The host that the proxy runs on."""

    def sockets(self, state=None, families=None):
        """TCP sockets as (state, local, remote), from /proc; all, or those in a state of lab.netns.sockets."""
        return [entry for entry in sockets.read(self.namespace, "tcp", families) if state in (None, entry[0])]

    def datagram_sockets(self):
        """UDP sockets in the same form."""
        return sockets.read(self.namespace, "udp")

    def unread(self):
        """Remote addresses of TCP connections with bytes that no program has read yet."""
        return sockets.unread(self.namespace)

    def attempts(self):
        """Local addresses of connections to servers that have not answered yet."""
        return {local for _, local, _ in self.sockets("SYN_SENT", {self.lab.family})}

    def listens(self, endpoint):
        """Whether a listening socket serves the endpoint."""
        return any(sockets.serves(local, endpoint) for _, local, _ in self.sockets("LISTEN", {endpoint.family}))


def bound_transparently(host, endpoint):
    """A socket that listens at an address that the host does not have."""
    made = host.socket(endpoint.address)
    made.setsockopt(IP_LEVEL[endpoint.family], IP_TRANSPARENT[endpoint.family], 1)
    made.bind(tuple(endpoint))
    made.listen(1)
    return made
