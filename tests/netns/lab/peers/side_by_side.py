"""tproxyd and Debian's haproxy with the same configuration, each in a namespace of its own, where the documentation's addresses are local.

This process holds the clients' ends and the servers' ends, so it sees at once which server each client came to.
"""

import socket

from lab import waiting
from lab.netns import sockets
from lab.netns.namespace import Namespace
from lab.paths import TPROXYD
from lab.peers.daemon import Daemon

PORT, FIRST_SERVER = 7000, 6000
PROGRAMS = {"haproxy": "haproxy", "tproxyd": TPROXYD}


def server(letter, words=""):
    """A line for the server of this letter, from a on."""
    return f"  server {letter} 127.0.0.1:{FIRST_SERVER + ord(letter) - ord('a')} {words}\n"


class Proxy:
    """One of PROGRAMS that serves 198.51.100.200:PORT, and so many servers."""

    def __init__(self, folder, name, text, servers):
        self.namespace = Namespace(name)
        self.namespace.ip("link set lo up", "route add local 198.51.100.0/24 dev lo")
        with self.namespace:
            self.listeners = [socket.create_server(("127.0.0.1", FIRST_SERVER + n)) for n in range(servers)]
        folder.mkdir()
        self.daemon = Daemon(self.namespace, folder, text, program=PROGRAMS[name])
        self.daemon.await_ready(PORT)

    def begin(self, source="198.51.100.1"):
        """A client's connection, which may have no server yet."""
        with self.namespace:
            return socket.create_connection(("198.51.100.200", PORT), waiting.seconds, (source, 0))

    def await_accepted(self):
        """Wait until it has accepted all clients and sleeps: each has a server, waits for one, or was refused."""

        def done():
            return not sockets.not_accepted(self.namespace, PORT) and self.daemon.sleeps()

        waiting.until(done, "the proxy has accepted its clients")

    def accept(self, client=None):
        """The next connection to a server, and its letter; None and None: the client is ended instead."""
        ready = waiting.readable([*self.listeners, *([client] if client else [])], waiting.seconds)
        assert ready, "no server and no end"
        if client in ready:
            return None, None
        accepted, _ = ready[0].accept()
        return accepted, chr(ord("a") + self.listeners.index(ready[0]))

    def connect(self, source):
        """A client's connection, that of its server, and the server's letter; None: it is ended without one."""
        try:
            client = self.begin(source)
        except ConnectionError:  # it is refused so soon that connect() sees it
            return None, None, None
        return client, *self.accept(client)

    def close(self):
        self.daemon.process.kill()
        self.daemon.process.wait()
        for listener in self.listeners:
            listener.close()
        self.namespace.close()


def end(client, accepted):
    """Both ends have seen the other's, so the proxy's session has ended when the client reads its end."""
    client.sendall(b"x")
    client.shutdown(socket.SHUT_WR)
    assert accepted.recv(2) == b"x" and accepted.recv(1) == b""
    accepted.close()
    assert client.recv(1) == b""
    client.close()


def has_ended(client):
    """HAProxy ends the connection of a client that it refuses, and tproxyd resets it."""
    try:
        return client is None or client.recv(1) == b""
    except ConnectionResetError:
        return True
