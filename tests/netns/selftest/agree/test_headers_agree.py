"""tproxyd reads PROXY headers as HAProxy does: each of a thousand is accepted by both, as the same addresses, or by neither.

The headers are made up from a fixed seed: valid ones, and valid ones with a byte changed, left out, put in, or with
the rest cut off. What a proxy read is what its server gets by `send-proxy`. The client ends its direction behind the
header, so a header that is cut off is one that never becomes whole.

difference() says where they differ on purpose, with the sentence of the specification (proxy-protocol.txt).
"""

import contextlib
import ipaddress
import random
import re
import shutil
import socket
import struct
import threading

import pytest

from lab import waiting
from lab.netns.namespace import Namespace
from lab.paths import TPROXYD
from lab.peers.daemon import Daemon
from lab.peers.proxy_protocol import SIGNATURE

HEADERS, CUT = 1_000, 20
LOOPBACK = "127.0.0.1"
TOKEN = b"<the client's own bytes>"
PORTS = {"haproxy": (7100, 7101), "tproxyd": (7110, 7111)}  # listener and server of each

CONFIGURATION = """\
defaults
  mode tcp
  retries 0
  timeout client 10m
  timeout server 10m
  timeout connect 1m
listen a
  bind {loopback}:{port} accept-proxy
  server s {loopback}:{server} send-proxy
"""


class Server(threading.Thread):
    """Reads each connection to its end, and then ends it; `received` is what the latest one brought."""

    def __init__(self, namespace, port):
        super().__init__(daemon=True)
        with namespace:
            self.listener = socket.create_server((LOOPBACK, port))
        self.received = None
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                data = b""
                while part := connection.recv(1 << 16):
                    data += part
                self.received = data


class Proxy:
    def __init__(self, namespace, folder, name, program):
        self.namespace, (self.port, server) = namespace, PORTS[name]
        self.server = Server(namespace, server)
        text = CONFIGURATION.format(loopback=LOOPBACK, port=self.port, server=server)
        folder.mkdir()
        self.daemon = Daemon(namespace, folder, text, program=program)
        self.daemon.await_ready(self.port)

    def read(self, data):
        """(the addresses or "own", the bytes behind the header) as the server got them, or None: refused."""
        self.server.received = None
        with self.namespace:
            client = socket.create_connection((LOOPBACK, self.port), waiting.seconds)
        with client:
            own = client.getsockname()
            with contextlib.suppress(OSError):  # a proxy that refuses it resets
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass
        if self.server.received is None:
            return None
        line, end, rest = self.server.received.partition(b"\r\n")
        assert end, (data, self.server.received)
        named = line.decode("ascii").split(" ")[1:]
        return "own" if named[1] == own[0] and named[3] == str(own[1]) else " ".join(named), rest


@pytest.fixture
def proxies(tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    namespace = Namespace("headers")
    namespace.ip("link set lo up")
    programs = {"haproxy": "haproxy", "tproxyd": TPROXYD}
    made = {name: Proxy(namespace, tmp_path / name, name, program) for name, program in programs.items()}
    yield made
    for proxy in made.values():
        proxy.daemon.process.kill()
        proxy.daemon.process.wait()
    namespace.close()


def address(draw, family):
    kind, size = (socket.AF_INET, 4) if family == 4 else (socket.AF_INET6, 16)
    return socket.inet_ntop(kind, bytes([draw.randrange(1, 200), *draw.randbytes(size - 1)]))


def line(draw):
    family = draw.choice([4, 6])
    ports = [draw.choice([0, 1, 80, 65535, draw.randrange(65536)]) for _ in range(2)]
    kinds = [f"TCP{family} {address(draw, family)} {address(draw, family)} {ports[0]} {ports[1]}"] * 5
    return f"PROXY {draw.choice([*kinds, 'UNKNOWN', 'UNKNOWN and more'])}\r\n".encode()


def binary(draw):
    family, protocol = draw.choice([(1, 1)] * 3 + [(2, 1)] * 3 + [(0, 0), (3, 1), (1, 2), (2, 2)])
    size = {0: 0, 1: 4, 2: 16, 3: 108}[family]
    block = b"".join(bytes([draw.randrange(1, 200), *draw.randbytes(size - 1)]) if size else b"" for _ in range(2))
    block += draw.randbytes(4) if family in (1, 2) else b""
    for _ in range(draw.choice([0, 0, 1, 2])):
        value = draw.randbytes(draw.randrange(40))
        block += struct.pack("!BH", draw.choice([0x04, 0x05, 0xE0]), len(value)) + value
    command = draw.choice([0x21] * 5 + [0x20])
    return SIGNATURE + struct.pack("!BBH", command, family << 4 | protocol, len(block)) + block


def spoiled(draw, header):
    at = draw.randrange(len(header))
    ways = [
        header[:at] + bytes([header[at] ^ 1 << draw.randrange(8)]) + header[at + 1 :],
        header[:at] + header[at + 1 :],
        header[:at] + draw.choice([b" ", b"0", b"\r", b"\n", b"\0", draw.randbytes(1)]) + header[at:],
        header[:at],
    ]
    return draw.choice(ways)


def made_up(draw):
    header = draw.choice([line, binary])(draw)
    return header if draw.random() < 0.3 else spoiled(draw, header)


def difference(header, haproxy, tproxyd):
    """The sentence by which tproxyd is right where the two differ; None: there is none."""
    text = (header + TOKEN).partition(b"\r\n")[0].decode("latin-1")
    if haproxy is None and text.startswith("PROXY UNKNOWN ") and tproxyd[0] == "own":
        return 'section 2.1: after UNKNOWN, "the receiver must ignore anything presented before the CRLF is found"'
    if tproxyd is None and text.startswith("PROXY TCP") and not is_line(text):
        return "section 2.1: addresses in their usual form, ports up to 65535, and exactly one space between fields"
    return None


def is_line(text):
    """Whether a line has the form of section 2.1, its end left out."""
    fields = text.split(" ")
    kinds = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}
    if len(fields) != 6 or fields[1] not in kinds:
        return False
    try:
        addresses = [kinds[fields[1]](field) for field in fields[2:4]]
    except ValueError:
        return False
    ports = [re.fullmatch("0|[1-9][0-9]{0,4}", field) and int(field) for field in fields[4:]]
    return all(addresses) and all(port is not None and port <= 65535 for port in ports)


@pytest.mark.long
def test_both_accept_the_same_headers_as_the_same_addresses(proxies):
    draw = random.Random(1)
    wrong = []
    accepted = 0
    for _ in range(HEADERS):
        header = made_up(draw)
        found = {name: proxy.read(header + TOKEN) for name, proxy in proxies.items()}
        accepted += found["tproxyd"] is not None
        if found["haproxy"] != found["tproxyd"] and not difference(header, **found):
            wrong.append((header, found))
    assert not wrong, "\n".join(map(str, wrong))
    assert HEADERS * 0.2 < accepted < HEADERS * 0.8


@pytest.mark.long
def test_neither_accepts_a_header_that_is_cut_at_any_byte(proxies):
    draw = random.Random(2)
    for _ in range(CUT):
        header = draw.choice([line, binary])(draw)
        for cut in range(len(header)):
            for name, proxy in proxies.items():
                assert proxy.read(header[:cut]) is None, (name, header, cut)
