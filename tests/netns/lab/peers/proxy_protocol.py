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


def write(version, source, destination, transport=1):
    """A header in the format of the specification; in version 2 for connections, or with transport 2 for datagrams."""
    if version == "v1":
        kind = 6 if source.family == 6 else 4
        return f"PROXY TCP{kind} {source.address} {destination.address} {source.port} {destination.port}\r\n".encode()
    kind = socket.AF_INET6 if source.family == 6 else socket.AF_INET
    body = b"".join(socket.inet_pton(kind, each.address) for each in (source, destination))
    body += struct.pack("!HH", source.port, destination.port)
    return SIGNATURE + struct.pack("!BBH", 0x21, (0x20 if source.family == 6 else 0x10) | transport, len(body)) + body


def connect(lab, header, token=None):
    """A client's connection that begins with a header. Behind it, in the same segment, is the token if there is one."""
    made = _open(lab)
    if token is None:
        made.sendall(header)
        return Connection(made, lab.vip)
    made.sendall(header + lab.dialect.first_bytes(token, lab.vip))
    return lab.dialect.begun(made, lab.vip, token)


def connect_in_parts(lab, header, tokens):
    """A client for each cut of the header and each token, all at the same time. Each sends the header in two segments,
    cut behind byte 1, 2 and so on, with its token behind the second part."""
    sockets = [_open(lab) for _ in tokens]
    for cut, made in enumerate(sockets, 1):
        made.sendall(header[:cut])
    for made in sockets:
        waiting.until(lambda made=made: _acknowledged(made), "the segment is acknowledged")
    _await_reading(lab.proxy, {Endpoint(*made.getsockname()[:2]) for made in sockets})
    for cut, (made, token) in enumerate(zip(sockets, tokens), 1):
        with contextlib.suppress(ConnectionError):  # the proxy may have ended it
            made.sendall(header[cut:] + lab.dialect.first_bytes(token, lab.vip))
    return [lab.dialect.begun(made, lab.vip, token) for made, token in zip(sockets, tokens)]


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
    return made


def _await_reading(host, clients):
    """Wait until the proxy has read what these clients sent, or LONGEST: a proxy may look at bytes and leave them."""
    begun = time.monotonic()
    while time.monotonic() < begun + MOMENT or time.monotonic() < begun + LONGEST and host.unread() & clients:
        time.sleep(MOMENT / 5)


def _acknowledged(made):
    """Whether the other host has acknowledged all bytes."""
    return struct.unpack("i", fcntl.ioctl(made, termios.TIOCOUTQ, b"\0" * 4))[0] == 0
