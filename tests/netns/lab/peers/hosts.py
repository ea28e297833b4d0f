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
from concurrent import futures

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
        return self.lab.client_end(self._connected(destination, source), destination)

    def _connected(self, destination, source=None):
        made = self.socket(destination.address)
        if source is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(tuple(source))
        made.settimeout(waiting.seconds)
        made.connect(tuple(destination))
        return made


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

    def connect_all(self, destination, count):
        """So many connections at the same time, each sends its token: {token: future of the client's end}.

        Each begins in a thread of its own: a handshake of the dialect waits as long as the proxy does not accept it.
        """
        pool = futures.ThreadPoolExecutor(count)
        made = {secrets.token_bytes(TOKEN): self._connected(destination) for _ in range(count)}
        begun = {token: pool.submit(self._begin, connected, destination, token) for token, connected in made.items()}
        pool.shutdown(wait=False)
        return begun

    def _begin(self, connected, destination, token):
        connection = self.lab.client_end(connected, destination)
        connection.send(token)
        return connection

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
        self._silent = []  # accepted connections that have sent no byte yet
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
            ends = [hurry.socket] if hurry else []  # bytes alone are no end: a proxy may speak first
            ready = waiting.readable(self.listeners.values(), end - time.monotonic(), ends)
            for listener in ready:
                if hurry is None or listener is not hurry.socket:
                    return self.accepted(listener)
            if hurry and hurry.socket in ready:
                how, data = hurry.ending()
                raise ConnectionError(f"the proxy ended the client's connection ({how}, {data!r})")
            if not ready:
                raise TimeoutError(f"no connection came to {[str(e) for e in self.listeners]}")

    def take(self, token, client):
        """The connection whose first bytes are the token. Others, of which no byte has come yet, do not delay it."""
        if self._hub:
            return self._hub.take(token, client)
        while token not in self._unclaimed:
            for connection in self._with_bytes(client):
                self._unclaimed[connection.receive(TOKEN)] = connection
        return self._unclaimed.pop(token)

    def gets_bytes(self, client):
        """Whether a byte comes on a new connection before the client's connection ends; that connection is closed then."""
        try:
            if self._hub:
                self._hub.accept(client).close()
            else:
                for connection in self._with_bytes(client):
                    connection.close()
        except ConnectionError:
            return not self.no_byte_came()
        return True

    def _with_bytes(self, client):
        """Wait until a byte comes on new connections, and return these; ConnectionError if the client's ends first."""
        end = waiting.deadline()
        while True:
            by_socket = {connection.socket: connection for connection in self._silent}
            watched = [*self.listeners.values(), *by_socket]
            ready = waiting.readable(watched, end - time.monotonic(), [client.socket])
            if found := self._sort(by_socket, ready):
                return found
            if ready == [client.socket]:
                how, data = client.ending()
                raise ConnectionError(f"the proxy ended the client's connection ({how}, {data!r})")
            if not ready:
                silent = f", and {len(by_socket)} without a byte" if by_socket else ""
                raise TimeoutError(f"no connection with bytes came to {[str(e) for e in self.listeners]}{silent}")

    def _sort(self, by_socket, ready):
        """Accept from listeners that are ready; forget silent connections that have ended, and return those with bytes."""
        found = []
        for made in ready:
            if made in by_socket:
                self._silent.remove(by_socket[made])
                found += [by_socket[made]] if has_bytes(made) else []
            elif made in self.listeners.values():
                self._silent.append(self.accepted(made))
        return found

    def no_byte_came(self):
        """Whether no connection that no test has taken brought a byte; one without a byte serves no client."""
        if self._hub:
            return self._hub.no_connection_came()
        self._silent += [self.accepted(listener) for listener in waiting.readable(self.listeners.values(), 0)]
        return not any(map(has_bytes, waiting.readable([each.socket for each in self._silent], 0)))

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


def has_bytes(made):
    """Whether bytes wait in a socket that is readable, rather than its end."""
    try:
        return bool(made.recv(1, socket.MSG_PEEK))
    except OSError as error:
        if error.errno not in RESETS:
            raise
        return False


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
