"""PROXY protocol headers as files, and clients that send them.

fixtures/proxy-protocol has one header in each file: bytes in hexadecimal, comments after #. Headers in good/ must be
accepted; `source:` gives the address and port that they name (`real`: those of the connection). Headers in bad/
must end the connection.
"""

import contextlib
import fcntl
import socket
import struct
import termios
import time
from typing import NamedTuple, Optional

from lab import paths, waiting
from lab.netns.endpoint import Connection, Endpoint

FOLDER = paths.FIXTURES / "proxy-protocol"
MOMENT = 0.15  # seconds in which a proxy is likely to look at a part, unless it ends the connection
LONGEST = 1.5  # seconds for a proxy that leaves it unread
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Header(NamedTuple):
    name: str
    data: bytes
    source: Optional[Endpoint]  # None: the connection's own


def read(path):
    lines = path.read_text(encoding="ascii").splitlines()
    data = bytes.fromhex("".join(line.partition("#")[0] for line in lines))
    named = [line.partition("# source:")[2].split() for line in lines if "# source:" in line]
    real = not named or named[0] == ["real"]
    return Header(path.stem, data, None if real else Endpoint(named[0][0], int(named[0][1])))


def good(prefix="", family=None):
    """Valid headers whose name begins with a prefix and whose addresses are of a family."""
    found = _folder("good", prefix)
    return [each for each in found if family is None or (each.source and each.source.family == family)]


def bad(prefix=""):
    return _folder("bad", prefix)


def _folder(name, prefix):
    return sorted(read(path) for path in (FOLDER / name).glob(f"{prefix}*.hex"))


def write(version, source, destination):
    """A header in the format of the specification."""
    if version == "v1":
        kind = 6 if source.family == 6 else 4
        return f"PROXY TCP{kind} {source.address} {destination.address} {source.port} {destination.port}\r\n".encode()
    kind = socket.AF_INET6 if source.family == 6 else socket.AF_INET
    body = b"".join(socket.inet_pton(kind, each.address) for each in (source, destination))
    body += struct.pack("!HH", source.port, destination.port)
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x21 if source.family == 6 else 0x11, len(body)) + body


def connect(lab, *parts):
    """A client's connection whose first bytes are sent in separate segments."""
    connection = _open(lab)
    for part in parts:
        connection.send(part)
        if part is not parts[-1]:
            waiting.until(lambda: _acknowledged(connection.socket), "the segment is acknowledged")
            waiting.readable([connection.socket], MOMENT)
    return connection


def connect_all(lab, pairs):
    """Clients' connections at the same time; the first bytes of each are the two parts of its pair, in two segments."""
    connections = [_open(lab) for _ in pairs]
    for connection, (first, _) in zip(connections, pairs):
        connection.send(first)
    for connection in connections:
        waiting.until(lambda: _acknowledged(connection.socket), "the segment is acknowledged")
    _await_reading(lab.proxy, connections)
    for connection, (_, second) in zip(connections, pairs):
        with contextlib.suppress(ConnectionError):  # the proxy may have ended it
            connection.send(second)
    return connections


def end(lab, flow):
    """End a session from the server's side, and wait until its port on the proxy's host is free.

    Several headers name the same client and port, and a proxy may use both towards the server. The side that ends first
    keeps the pair of addresses for a while (TIME-WAIT), so that has to be the server.
    """
    used = flow.server.peer
    flow.server.close()
    flow.client.ending()
    flow.client.close()
    waiting.until(lambda: used not in {local for _, local, _ in lab.proxy.sockets()}, f"the proxy has closed {used}")


def _open(lab):
    made = lab.client.socket(lab.vip.address)
    made.settimeout(waiting.seconds)
    made.connect(tuple(lab.vip))
    return Connection(made, lab.vip)


def _await_reading(host, connections):
    """Wait until the proxy has read what the connections sent, or LONGEST: a proxy may look at bytes and leave them."""
    begun, clients = time.monotonic(), {connection.local for connection in connections}
    while time.monotonic() < begun + MOMENT or time.monotonic() < begun + LONGEST and host.unread() & clients:
        time.sleep(MOMENT / 5)


def _acknowledged(made):
    """Whether the other host has acknowledged all bytes."""
    return struct.unpack("i", fcntl.ioctl(made, termios.TIOCOUTQ, b"\0" * 4))[0] == 0
