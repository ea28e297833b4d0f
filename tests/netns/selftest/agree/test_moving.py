"""Servers that move with their names, as with HAProxy: the same configuration, the same answers, the same lines, and the clients follow."""

import re
import shutil
import signal
import socket

import pytest

from lab import waiting
from lab.peers.nameserver import NameServer
from lab.peers.side_by_side import PORT, PROGRAMS, Proxy, end

DNS = 5353
NAME, MANY = "moves.example", "many.example"
TEXT = f"""\
global
  nbthread {{threads}}
  log stderr format raw local0 notice
defaults
  mode tcp
  log global
  timeout client 10m
  timeout server 10m
  timeout connect 1m
resolvers dns
  nameserver ns1 127.0.0.1:{DNS}
  timeout resolve 50ms
  timeout retry 50ms
  resolve_retries 2
  hold valid 50ms
  hold nx 100ms
  hold timeout {{hold}}
listen l
  bind 198.51.100.200:{PORT}
"""
ONE = f"  server a {NAME}:6000 resolvers dns resolve-prefer ipv4 init-addr none\n"
SEVERAL = f"  server-template t 3 {MANY}:6000 resolvers dns resolve-prefer ipv4 init-addr none\n"
CHANGES = re.compile(r"(?:Server )?l/\w+ (?:changed|is going|\('|admin).*|proxy l has no server available!")


class Scene:
    """A proxy, its name server, and servers at 127.0.0.1 and so on."""

    def __init__(self, tmp_path, name, lines, threads=1, hold="100ms"):
        self.head = TEXT.format(threads=threads, hold=hold)
        self.proxy = Proxy(tmp_path / name, name, self.head + lines, 0)
        with self.proxy.namespace:
            self.proxy.listeners = [socket.create_server((f"127.0.0.{n}", 6000)) for n in range(1, 7)]
        self.answers = {}
        self.names = NameServer(self.proxy.namespace, "127.0.0.1", DNS, self.answers)

    def changes(self):
        lines = [line for line in self.proxy.daemon.log().splitlines() if not line.startswith("[")]
        return [each[0] for each in map(CHANGES.match, lines) if each]

    def await_changes(self, *wanted):
        """Wait until the log says something, after what it has said before."""
        seen = getattr(self, "seen", 0)
        text = waiting.until(
            lambda: (found := "\n".join(self.changes()[seen:])) and all(each in found for each in wanted) and found,
            f"{wanted} in the log:\n{self.proxy.daemon.log()}",
        )
        self.seen = seen + len(text.splitlines())
        return text.splitlines()

    def server_of_a_client(self):
        client, accepted, letter = self.proxy.connect("198.51.100.1")
        if accepted is None:
            return None
        end(client, accepted)
        return ord(letter) - ord("a") + 1

    def close(self):
        self.names.close()
        self.proxy.close()


def both(tmp_path, lines, play):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    found = {}
    for name in PROGRAMS:
        scene = Scene(tmp_path, name, lines)
        found[name] = play(scene)
        scene.close()
    return found["haproxy"], found["tproxyd"]


def moves(scene):
    said = []
    scene.answers[NAME] = ["127.0.0.1"]
    said += scene.await_changes("READY thanks")
    assert scene.server_of_a_client() == 1
    scene.answers[NAME] = ["127.0.0.3"]
    said += scene.await_changes("changed its IP")
    assert scene.server_of_a_client() == 3
    scene.answers[NAME] = ["127.0.0.5", "127.0.0.3"]  # its address is still there
    assert scene.server_of_a_client() == 3
    del scene.answers[NAME]
    said += scene.await_changes("DNS NX status", "no server available")
    scene.answers[NAME] = ["127.0.0.2"]
    said += scene.await_changes("READY thanks")
    scene.answers[NAME] = None
    said += scene.await_changes("DNS timeout status", "no server available")
    scene.answers[NAME] = ["127.0.0.4"]
    said += scene.await_changes("READY thanks")
    assert scene.server_of_a_client() == 4
    return said


def test_a_server_moves_with_its_name(tmp_path):
    haproxy, tproxyd = both(tmp_path, ONE, moves)
    assert haproxy == tproxyd
    assert tproxyd[0] == "l/a changed its IP from (none) to 127.0.0.1 by dns/ns1."


def share(scene):
    """The servers that clients come to, each time the answer has changed."""
    found = []
    for addresses in (["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.4", "127.0.0.5", "127.0.0.6"], ["127.0.0.6"]):
        scene.answers[MANY] = addresses
        wanted = {int(each[-1]) for each in addresses[:3]}
        if len(addresses) < 4:
            waiting.until(lambda: {scene.server_of_a_client() for _ in range(3)} == wanted, f"clients come to {wanted}")  # noqa: B023
        else:
            waiting.until(lambda: len({scene.server_of_a_client() for _ in range(3)}) == 3, "clients come to three servers")
        found.append(len({scene.server_of_a_client() for _ in range(3)}))
    return found


def test_the_servers_of_a_template_share_the_addresses_of_their_name(tmp_path):
    haproxy, tproxyd = both(tmp_path, SEVERAL, share)
    assert haproxy == tproxyd == [2, 3, 1]


def reload(scene, lines):
    before = len(scene.proxy.daemon.lines("is in force"))
    scene.proxy.daemon.config.write_text(scene.head + lines, encoding="ascii")
    scene.proxy.daemon.signal(signal.SIGHUP)
    waiting.until(lambda: len(scene.proxy.daemon.lines("is in force")) > before, "the reload is done")


@pytest.mark.parametrize("threads", [1, 4])
def test_a_server_keeps_its_address_over_a_reload_also_where_the_name_server_is_silent(tmp_path, threads):
    scene = Scene(tmp_path, "tproxyd", ONE, threads, hold="10m")
    scene.answers[NAME] = ["127.0.0.2"]
    scene.await_changes("READY thanks")
    for _ in range(5):
        scene.answers[NAME] = None
        reload(scene, ONE)
        assert scene.server_of_a_client() == 2
        scene.answers[NAME] = ["127.0.0.2"]
    reload(scene, ONE.replace("server a", "server b"))
    scene.await_changes("l/b changed its IP from (none) to 127.0.0.2 by dns/ns1.")
    assert scene.server_of_a_client() == 2
    assert scene.proxy.daemon.stop() == 0
    scene.close()


def test_a_server_that_has_no_address_yet_refuses_its_clients(tmp_path):
    scene = Scene(tmp_path, "tproxyd", ONE)
    scene.answers[NAME] = None
    client, accepted, _ = scene.proxy.connect("198.51.100.1")
    assert accepted is None
    if client:
        client.close()
    scene.close()
