"""Files for all kinds of services: tproxyd and HAProxy agree about each, and do the same with those that can be run.

The head of a file says what its servers play (`played`), by their names and, where it is another one, the port that is
checked; a server that plays nothing refuses. `down` are those that checks take down. A file that is refused says so.
"""

import re
import shutil
import socket
import struct
import subprocess
from collections import Counter

import pytest

from lab import waiting
from lab.netns import sockets
from lab.netns.endpoint import Endpoint
from lab.netns.namespace import Namespace
from lab.paths import ROOT, TPROXYD
from lab.peers.daemon import Daemon
from lab.peers.played import Played, close, hold, says
from lab.peers.side_by_side import PROGRAMS

CLIENTS = [f"198.51.100.{number}" for number in range(1, 13)]
FILES = sorted((ROOT / "fixtures" / "config" / "services").glob("*.cfg"))


def mysql(payload, number=0):
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


GREETING = mysql(b"\x0a5.5.5-10.11-MariaDB\0\1\0\0\0saltsalt\0" + bytes(20))
QUIT = b"\1\0\0\0\1"  # of MySQL, behind a login
BLANK = b"\r\n\r\n"
PING, INFO = b"PING\r\n", b"replication\r\n"


def smtp(connection, asked):
    connection.sendall(b"220 mail ESMTP\r\n")
    while data := connection.recv(4096):
        asked += data
        for line in data.splitlines():
            connection.sendall(b"221 bye\r\n" if line == b"QUIT" else b"250 mail\r\n")


PARTS = {
    "hold": hold,
    "close": close,
    "mysql": says(GREETING),
    "mysql-user": says(GREETING, mysql(b"\0\0\0\2\0\0\0", 2), after=[b"", QUIT]),
    "mysql-denies": says(GREETING, mysql(b"\xff\x15\x04#28000Access denied", 2), after=[b"", QUIT], then=close),
    "mysql-blocks": says(mysql(b"\xff\x69\x04Host is blocked"), then=close),
    "postgres": says(b"R\0\0\0\x08\0\0\0\5", after=b"\0\0"),
    "postgres-refuses": says(b"E\0\0\0\x60SFATAL\0C28000\0\0", after=b"haproxy\0\0", then=close),
    "redis": says(b"+PONG\r\n", after=PING),
    "redis-loads": says(b"-LOADING\r\n", after=PING, then=close),
    "redis-primary": says(b"+PONG\r\n", b"$11\r\nrole:master\r\n", b"+OK\r\n", after=[PING, INFO, b"QUIT\r\n"]),
    "redis-replica": says(b"+PONG\r\n", b"$10\r\nrole:slave\r\n", after=[PING, INFO]),
    "redis-auth": says(b"+OK\r\n", b"+PONG\r\n", after=[b"AUTH secret\r\n", PING]),
    "redis-denies": says(b"-WRONGPASS\r\n", after=b"AUTH secret\r\n", then=close),
    "tls": says(b"\x16\x03\0\0\x4a\x02", after=b"HAPROXYSSLCHK"),
    "tls-alert": says(b"\x15\x03\x01\0\2\x02\x46", after=b"HAPROXYSSLCHK"),
    "smtp": smtp,
    "smtp-refuses": says(b"554 no service\r\n"),
    "imap": says(b"* OK IMAP4 ready\r\n"),
    "imap-bye": says(b"* BYE\r\n", then=close),
    "pop": says(b"+OK POP3 ready\r\n"),
    "ssh": says(b"SSH-2.0-OpenSSH\r\n"),
    "mqtt": says(b"\x20\x02\0\0", after=b"chec"),
    "cql": says(b"\x84\0\0\0\x06\0\0\0\0", after=b"\5"),
    "zookeeper": says(b"imok", after=b"ruok"),
    "memcached": says(b"VERSION 1.6\r\n", after=b"version"),
    **{f"http-{code}": says(f"HTTP/1.0 {code} Reason\r\n\r\n".encode(), after=BLANK, then=close) for code in (200, 401, 404, 500, 503)},
}


def head(text, word):
    """The words behind `# word:`; None where there is none."""
    match = re.search(rf"^# {word}:(.*)", text, re.M)
    return None if match is None else match[1].split()


def accepted(program, path):
    return subprocess.run([program, "-c", "-f", path], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_agree_about_the_file(path):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    assert accepted("haproxy", path)
    assert accepted(TPROXYD, path) == (head(path.read_text(encoding="utf-8"), "refused") is None)


# --- what they do ---


def runnable(text):
    """The same file with a log that can be read, faster checks, and without what belongs to a host."""
    text = text.replace("log 127.0.0.1 local0", "log stderr format raw local0 debug")
    text = re.sub(r"^ *(daemon|user|group|maxconn 4096).*\n", "", text, flags=re.M)
    text = re.sub(r"\binter \d+m?s?", "inter 2s", text)  # which a busy server needs for its answer, too
    text = text.replace("defaults\n", "defaults\n    default-server inter 2s fastinter 100ms\n")
    return re.sub(r"timeout check \d+m?s?", "timeout check 3s", text)


def addresses(text):
    """{name of a server: its address and port}"""
    found = re.findall(r"^ *server(?:-template)? (\S+)(?: 1-\d)? (?:ipv4@)?([\w.]+)(?::(\d+))?", text, re.M)
    return {name: (address.replace("localhost", "127.0.0.1"), int(port or 0)) for name, address, port in found}


def play(text):
    """{name: what plays the server to clients}, and all that plays."""
    of_clients, every = {}, []
    for word in head(text, "played"):
        who, part = word.split("=")
        name, _, port = who.partition(":")
        address, usual = addresses(text)[name]
        made = Played(address, int(port or usual), [PARTS[part]])
        every.append(made)
        if not port or not usual:
            of_clients.setdefault(name, []).append(made)
    return of_clients, every


CHANGE = re.compile(r"(?:Backup )?Server (\S+) is (DOWN|UP), reason: (.*?), check duration")


def changes(daemon):
    return [match.groups() for match in filter(None, map(CHANGE.match, daemon.log().splitlines()))]


def chosen(kept, of_clients, listener, source, token):
    """The server that a client comes to; None: none. The client stays, and is kept."""
    try:
        client = socket.create_connection((listener.address, listener.port), waiting.seconds, (source, 0))
    except ConnectionError:
        return None
    kept.append(client)

    def finder():
        for name, players in of_clients.items():
            if any(token in asked for player in players for asked in list(player.asked)):
                return name
        return "none" if waiting.readable([client], 0) and not still_open(client) else None

    try:
        client.sendall(token)
        found = waiting.until(finder, "the client comes to a server, or its connection ends")
    except ConnectionError:
        return None
    return None if found == "none" else found


def still_open(client):
    """Whether it can be read without being at its end: a server may speak first."""
    return client.recv(1, socket.MSG_PEEK) != b""


def await_listening(namespace, daemon, listeners):
    """Servers may have the same ports."""

    def all_listen():
        assert daemon.process.poll() is None, daemon.log()
        return {local for state, local, _ in sockets.read(namespace, "tcp") if state == "LISTEN"} >= set(listeners)

    waiting.until(all_listen, f"it listens at {listeners}")


def run(folder, name, text):
    """The states that were found, and how often each server was chosen at each listener."""
    namespace = Namespace(name)
    namespace.ip("link set lo up", "route add local 198.51.100.0/24 dev lo", "route add local 203.0.113.0/24 dev lo")
    with namespace:
        of_clients, every = play(text)
    daemon = Daemon(namespace, folder, runnable(text), program=PROGRAMS[name])
    listeners = [Endpoint(address, int(port)) for address, port in re.findall(r"bind (198[\d.]+):(\d+)", text)]
    await_listening(namespace, daemon, listeners)
    down, kept = set(head(text, "down")), []
    try:
        waiting.until(lambda: {who for who, state, _ in changes(daemon) if state == "DOWN"} >= down, f"{down} go down")
        counts = {}
        for listener in listeners:
            tokens = [(source, f"<{listener.port} {source}>".encode()) for source in CLIENTS]
            with namespace:
                counts[listener.port] = Counter(chosen(kept, of_clients, listener, source, token) for source, token in tokens)
        return sorted(changes(daemon)), counts
    finally:
        daemon.process.kill()
        daemon.process.wait()
        for each in [*kept, *every]:
            each.close()
        namespace.close()


RUN = [path for path in FILES if head(path.read_text(encoding="utf-8"), "played")]


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_both_do_the_same_with_it(path, tmp_path):
    """The same servers are down for the same reasons, and clients come to the same ones.

    Where a server is missing, or with `hash-type consistent`, `balance source` spreads clients by a hash of tproxyd's own.
    """
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    found = {}
    for name in PROGRAMS:
        (tmp_path / name).mkdir()
        found[name] = run(tmp_path / name, name, path.read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    if "balance source" in text and (head(text, "down") or "hash-type consistent" in text):
        found = {name: (states, {port: set(counts) for port, counts in servers.items()}) for name, (states, servers) in found.items()}
    assert found["tproxyd"] == found["haproxy"]
    assert {who for who, _, _ in found["haproxy"][0]} == set(head(text, "down"))
