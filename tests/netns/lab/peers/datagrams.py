"""Datagrams through the proxy: a socket for each client and one for the server.

A datagram that does not come is lost, not late: on these links nothing gets lost by itself.
"""

import socket

from lab import waiting
from lab.netns.endpoint import Endpoint

LARGEST = 1 << 16


class Peer:
    """A datagram socket of a host."""

    def __init__(self, host, local=None, shared=False):
        """SHARED: with other sockets that are, and that are connected elsewhere."""
        local = local or Endpoint(host.address, 0)
        self.host, self.remote = host, None
        self.socket = host.socket(local.address, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shared)
        self.socket.bind(tuple(local))
        self.socket.settimeout(waiting.seconds)
        self.local = Endpoint(*self.socket.getsockname()[:2])

    def connect(self, to):
        """Sends there from then on, and gets the errors that the network reports about that."""
        self.socket.connect(tuple(to))
        self.remote = to
        self.local = Endpoint(*self.socket.getsockname()[:2])

    def send(self, data, to=None):
        """A client sends in the proxy's dialect."""
        lab = self.host.lab
        self.send_bare(lab.datagram(data, self.local, to or self.remote) if self.host is lab.client else data, to)

    def send_bare(self, data, to=None):
        if to is None:
            self.socket.send(data)
        else:
            self.socket.sendto(data, tuple(to))

    def error(self):
        """The number of the next error of the socket."""
        try:
            data = self.socket.recv(LARGEST)
        except TimeoutError:
            raise TimeoutError(f"no error came to {self.local}") from None
        except OSError as reported:
            return reported.errno
        raise AssertionError(f"{self.local} got {data[:80]!r} in place of an error")

    def receive(self):
        """The next datagram and its source."""
        try:
            data, source = self.socket.recvfrom(LARGEST)
        except TimeoutError:
            raise TimeoutError(f"no datagram came to {self.local}") from None
        return data, Endpoint(*source[:2])

    def close(self):
        self.socket.close()


def exchange(lab, server, client, message):
    """Send a datagram and its answer; return the source that the server saw."""
    client.send(message, lab.vip)
    data, seen = server.receive()
    assert data == message, f"the server got {len(data)} of {len(message)} bytes, {data[:20]!r}"
    server.send(message[::-1], seen)
    data, source = client.receive()
    assert (data, source) == (message[::-1], lab.vip), f"the client got {data[:80]!r} from {source}"
    return seen
