"""tproxyd decides as HAProxy does: the same clients are rejected, and the others get the same server.

The rules are made up from a fixed seed: frontends with named and anonymous ACLs, of every test and operator, in conditions of
every form. Both proxies get the same file, each in a namespace of its own, where the documentation's addresses are local. A
server answers with its letter, and says whether a PROXY header came through to it.
"""

import contextlib
import random
import shutil
import socket
import threading

import pytest

from lab import waiting
from lab.netns.endpoint import RESETS, Endpoint
from lab.netns.namespace import Namespace
from lab.paths import TPROXYD
from lab.peers.daemon import Daemon
from lab.peers.proxy_protocol import write

FRONTENDS, CLIENTS = 100, 10
ANSWERS = 5  # different ones: a server or none, with a header or without
FIRST_PORT, FIRST_SERVER = 7000, 6000
SOURCES = ["198.51.100.1", "198.51.100.2", "198.51.100.130", "2001:db8:c::1", "2001:db8:c::2"]
DESTINATIONS = ["198.51.100.200", "198.51.100.72", "2001:db8:c::c8"]
NETWORKS = {
    "src": ["198.51.100.1", "198.51.100.0/25", "198.51.100.0/255.255.255.252", "198.51.100.128/25", "0.0.0.0/0", "2001:db8:c::2"]
    + ["2001:db8:c::/127", "::/0", "::ffff:198.51.100.0/121", "2001:db8::/32", "203.0.113.0/24"],
    "dst": ["198.51.100.200", "198.51.100.64/26", "198.51.100.0/24", "2001:db8:c::c8", "2001:db8:c::/64", "192.0.2.0/24"],
}
SERVERS = "abcd"

HEAD = """\
defaults
  mode tcp
  retries 0
  timeout client 10m
  timeout server 10m
  timeout connect 1m
"""


def sometimes(draw, text, share=0.5):
    return text if draw.random() < share else ""


def number(draw, port):
    low = draw.randrange(2000, 9000)
    return draw.choice([str(port), f"{low}:{low + 3000}", f":{low}", f"{low}:", "lt 5000", f"ge {low} le {low - 1000}", f"gt {port} eq {port}"])


def a_test(draw, port):
    """One test with its values."""
    kind = draw.choice(["src", "src", "dst", "src_port", "dst_port", "nbsrv", "always"])
    if kind in NETWORKS:
        values = " ".join(draw.sample(NETWORKS[kind], draw.choice([1, 1, 2, 3])))
        return f"{kind} {sometimes(draw, '-m ip ', 0.1)}{sometimes(draw, '-n -- ', 0.1)}{values}"
    if kind == "src_port":
        return f"src_port {number(draw, 5000)}"
    if kind == "dst_port":
        return f"dst_port {number(draw, port)}"
    if kind == "nbsrv":
        return f"nbsrv({draw.choice(['b0', 'b1'])}) {draw.choice(['gt 2', 'lt 2', 'eq 2', '1:2'])}"
    return draw.choice(["always_true", "always_false"])


def condition(draw, port, names):
    def term():
        name = draw.choice([*names, "TRUE", "FALSE", "LOCALHOST", *[f"{{ {a_test(draw, port)} }}"] * 3])
        return draw.choice(["", "", "!", "! "]) + name

    parts = [" ".join(term() for _ in range(draw.choice([1, 1, 2, 3]))) for _ in range(draw.choice([1, 1, 2, 3]))]
    return f"{draw.choice(['if', 'if', 'unless'])} {draw.choice([' or ', ' || ']).join(parts)}"


def frontend(draw, port):
    names = draw.sample(["one", "two", "Two"], draw.choice([1, 2, 3]))
    bind = f"0.0.0.0:{port},:::{port} v6only" if port % 2 else f":::{port} v4v6"
    lines = [f"frontend f{port}", f"  bind {bind}{sometimes(draw, ' accept-proxy', 0.2)}"]
    lines += [f"  acl {name} {a_test(draw, port)}" for name in [*names, *draw.choices(names, k=2)]]
    for _ in range(draw.choice([0, 1, 2, 3])):
        action = draw.choice(["accept", "reject", "reject", "expect-proxy layer4"])
        lines.append(f"  tcp-request connection {action} {condition(draw, port, names)}")
    for _ in range(draw.choice([0, 0, 1, 2])):
        lines.append(f"  tcp-request {draw.choice(['session', 'content'])} {draw.choice(['accept', 'reject'])} {condition(draw, port, names)}")
    for _ in range(draw.choice([0, 1, 2])):
        lines.append(f"  use_backend {draw.choice(['b0', 'b1'])} {condition(draw, port, names)}")
    return [*lines, *draw.choice([["  default_backend b0"], ["  default_backend b1"], []])]


def backend(draw, name, servers):
    lines = [f"backend {name}", f"  acl inner {a_test(draw, 7000)}"]
    lines += [f"  server {letter} 127.0.0.1:{FIRST_SERVER + SERVERS.index(letter)}" for letter in servers]
    lines += [f"  tcp-request content reject if {{ src 198.51.100.2 }} {{ {a_test(draw, 7000)} }}"]
    lines += [f"  use-server {servers[0]} if {{ src_port lt 4500 }}"]
    lines += [f"  use-server {draw.choice(servers)} {condition(draw, 7000, ['inner'])}"]
    return [*lines, f"  use-server {servers[1]} if TRUE"]


def configuration(draw):
    lines = [line for port in range(FIRST_PORT, FIRST_PORT + FRONTENDS) for line in frontend(draw, port)]
    return HEAD + "\n".join([*lines, *backend(draw, "b0", "ab"), *backend(draw, "b1", "cd")]) + "\n"


class Server(threading.Thread):
    """Answers each connection with its letter, and whether a header came first."""

    def __init__(self, namespace, letter):
        super().__init__(daemon=True)
        with namespace:
            self.listener = socket.create_server(("127.0.0.1", FIRST_SERVER + SERVERS.index(letter)))
        self.letter = letter
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, contextlib.suppress(OSError):
                data = b""
                while not data.endswith(b"."):
                    data += connection.recv(4096)
                connection.sendall((self.letter + (" and a header" if data.startswith(b"PROXY") else "")).encode())


def local_addresses(name):
    namespace = Namespace(name)
    namespace.ip("link set lo up", "route add local 198.51.100.0/24 dev lo", "route add local 2001:db8:c::/64 dev lo")
    namespace.sysctl({"net.ipv6.ip_nonlocal_bind": 1})
    return namespace


class Proxy:
    def __init__(self, folder, name, program, text):
        self.namespace = local_addresses(name)
        for letter in SERVERS:
            Server(self.namespace, letter)
        folder.mkdir()
        self.daemon = Daemon(self.namespace, folder, text, program=program)
        self.daemon.await_ready(FIRST_PORT + FRONTENDS - 1)

    def answer(self, source, destination, data):
        """What the client gets; None: its connection was ended without an answer."""
        family = socket.AF_INET6 if source.family == 6 else socket.AF_INET
        with self.namespace:
            client = socket.socket(family)
        with client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.settimeout(waiting.seconds)
            client.bind(tuple(source))
            try:
                client.connect(tuple(destination))
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)  # a proxy that waits for a header has to end
                return client.recv(64).decode() or None
            except OSError as problem:
                if problem.errno not in RESETS:
                    raise
                return None


def client(draw, number):
    family = draw.choice([4, 6])
    source, named = (draw.choice([each for each in SOURCES if (":" in each) == (family == 6)]) for _ in range(2))
    destination = draw.choice([each for each in DESTINATIONS if (":" in each) == (family == 6)])
    place = Endpoint(destination, FIRST_PORT + number // CLIENTS)
    data = b"the client's."
    if draw.random() < 0.5:
        data = write("v1", Endpoint(named, draw.randrange(2000, 9000)), Endpoint(destination, draw.choice([80, place.port]))) + data
    return Endpoint(source, 2000 + draw.randrange(4) * 2000 + number % 1500), place, data


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_decide_the_same(tmp_path, seed):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    draw = random.Random(seed)
    text = configuration(draw)
    programs = {"haproxy": "haproxy", "tproxyd": TPROXYD}
    proxies = {name: Proxy(tmp_path / name, name, program, text) for name, program in programs.items()}
    wrong, answers = [], set()
    for number in range(FRONTENDS * CLIENTS):
        asked = client(draw, number)
        found = {name: proxy.answer(*asked) for name, proxy in proxies.items()}
        answers.add(found["tproxyd"])
        if found["haproxy"] != found["tproxyd"]:
            wrong.append((asked, found, "\n".join(frontend_lines(text, asked[1].port))))
    for proxy in proxies.values():
        proxy.daemon.process.kill()
        proxy.daemon.process.wait()
        proxy.namespace.close()
    assert not wrong, "\n".join(f"{asked} {found}\n{lines}" for asked, found, lines in wrong)
    assert None in answers and len(answers) >= ANSWERS, answers


def frontend_lines(text, port):
    lines = text.splitlines()
    begin = lines.index(f"frontend f{port}")
    end = next(number for number in range(begin + 1, len(lines)) if not lines[number].startswith(" "))
    return lines[begin:end]
