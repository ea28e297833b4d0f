"""tproxyd chooses servers as HAProxy does: the same configuration, the same clients, the same servers (lab.peers.side_by_side)."""

import re
import shutil
import socket
from collections import Counter

import pytest

from lab import waiting
from lab.netns import counters
from lab.peers.side_by_side import FIRST_SERVER, PORT, PROGRAMS, Proxy, end, has_ended, server

SERVERS = 4
HEAD = f"""\
global
  nbthread 1
defaults
  mode tcp
  retries 3
  timeout client 10m
  timeout server 10m
  timeout connect 1m
  timeout queue 100ms
listen l
  bind 198.51.100.200:{PORT}
"""


def template(words=""):
    return "".join(server(letter, words) for letter in "abcd")


def choices(proxy, sources, held):
    """The letters of the servers that clients of these addresses come to, one after the other."""
    found, kept = [], []
    for source in sources:
        client, accepted, letter = proxy.connect(source)
        found.append(letter)
        kept += [each for each in (client, accepted) if each]
        if not held:
            end(client, accepted)
    for each in kept:
        each.close()
    return found


def both(tmp_path, lines, sources, held=False, servers=SERVERS):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    found = {}
    for name in PROGRAMS:
        proxy = Proxy(tmp_path / name, name, HEAD + lines, servers)
        found[name] = choices(proxy, sources, held)
        proxy.close()
    return found["haproxy"], found["tproxyd"]


ONE = ["198.51.100.1"] * 24
MANY = [f"198.51.{100}.{number}" for number in range(1, 100)]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        "  balance roundrobin\n" + template(),
        "  balance static-rr\n" + template(),
        "  balance leastconn\n" + template(),
        "  balance first\n" + template("maxconn 7"),
        "  balance source\n" + template(),
        "  default-server weight 7\n" + template(),
        "  server-template s 4 127.0.0.1:6000\n",
        server("a", "backup") + server("b", "disabled") + server("c") + server("d", "weight 0"),
        server("a", "backup") + server("b", "disabled") + server("c", "backup"),
        "  option allbackups\n" + server("a", "backup") + server("b", "disabled") + server("c", "backup"),
        "  use-server d if { src 198.51.100.1 }\n" + server("a") + server("d", "disabled"),
        "  use-server d if { src 198.51.100.1 }\n" + server("a") + server("d", "weight 0"),
        "  use-server d if { src 198.51.100.1 }\n" + server("a") + server("d", "backup"),
        "  use-server d if { nbsrv(l) 1 }\n" + server("a") + server("b", "disabled") + server("c", "weight 0") + server("d", "backup"),
    ],
)
def test_both_choose_the_same_servers_in_the_same_order(tmp_path, lines, held):
    haproxy, tproxyd = both(tmp_path, lines, ONE, held)
    assert haproxy == tproxyd and None not in haproxy


def test_both_choose_the_same_servers_by_source(tmp_path):
    haproxy, tproxyd = both(tmp_path, "  balance source\n" + template(), MANY)
    assert haproxy == tproxyd and len(set(haproxy)) == SERVERS


@pytest.mark.parametrize("balance", ["roundrobin", "static-rr", "leastconn"])
def test_both_meet_weights(tmp_path, balance):
    lines = f"  balance {balance}\n" + server("a", "weight 30") + server("b", "weight 20") + server("c", "weight 10")
    counts = [Counter(each) for each in both(tmp_path, lines, ONE, held=True)]
    assert counts[0] == counts[1]


def test_limits_of_servers_are_kept_by_both(tmp_path):
    lines = server("a", "maxconn 1") + server("b", "maxconn 3") + server("c", "maxconn 2")
    haproxy, tproxyd = both(tmp_path, lines, ONE[:9], held=True)
    assert Counter(haproxy) == Counter(tproxyd) == {"a": 1, "b": 3, "c": 2, None: 3}


def test_both_try_another_server_where_one_refuses(tmp_path):
    lines = "  option redispatch\n" + template()
    haproxy, tproxyd = both(tmp_path, lines, ONE[:8], held=True, servers=2)
    assert set(haproxy) == set(tproxyd) == {"a", "b"}


CHANGES = re.compile(r"(?:Backup )?Server \w+/\w+ is \w+(?:, reason:| via) .*|(?:proxy|backend) \w+ has no server available!|.* D- .*")
CHECKED = """\
  log stderr format raw local0 debug
  default-server check inter 200ms rise 2 fall 2
  server a 127.0.0.1:6000
  server b 127.0.0.1:6001 backup
  server c 203.0.113.1:80
  server d 127.0.0.1:6003 disabled
"""


def changes(proxy):
    """What its log says of its servers so far; a time that was measured is N. HAProxy's own messages say it twice."""
    lines = [line for line in proxy.daemon.log().splitlines() if not line.startswith("[")]
    found = [CHANGES.match(line) for line in lines]
    return [re.sub(r"duration: \d+ms", "duration: Nms", each[0]) for each in found if each]


def of_server(lines, letter):
    """The part of the lines about one server that does not depend on when another one was found."""
    return [line.partition(", check duration")[0] for line in lines if f"Server l/{letter} " in line]


@pytest.mark.parametrize("name", PROGRAMS)
def test_changes_of_state_are_logged_in_the_same_words(tmp_path, name):
    """Refusal, silence and return, with the same reason; all lines have HAProxy's form."""
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    proxy = Proxy(tmp_path / name, name, HEAD + CHECKED, 2)
    proxy.namespace.ip("route add blackhole 203.0.113.0/24")
    waiting.until(lambda: of_server(changes(proxy), "c"), "the server without a route goes down")
    for listener in proxy.listeners:
        listener.close()
    waiting.until(lambda: "proxy l has no server available!" in changes(proxy), "no server is left")
    with proxy.namespace:
        proxy.listeners = [socket.create_server(("127.0.0.1", FIRST_SERVER))]
    waiting.until(lambda: len(of_server(changes(proxy), "a")) == 2, "the first server comes back")
    found = changes(proxy)
    proxy.close()
    refused = 'reason: Layer4 connection problem, info: "Connection refused"'
    assert of_server(found, "a") == [f"Server l/a is DOWN, {refused}", "Server l/a is UP, reason: Layer4 check passed"]
    assert of_server(found, "b") == [f"Backup Server l/b is DOWN, {refused}"]
    assert of_server(found, "c")[0].startswith("Server l/c is DOWN, reason: Layer4 ")
    assert of_server(found, "d") == []
    assert found[-1].endswith("check duration: Nms. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.")


FOLLOWED = """\
  log stderr format raw local0 debug
  option tcplog
  retries 0
  default-server inter 100ms rise 1 fall 1
  server a 127.0.0.1:6000 check port 6002 on-marked-down shutdown-sessions
  server b 127.0.0.1:6001 track a
  server c 127.0.0.1:6001 track m/x backup
backend m
  log stderr format raw local0 debug
  server x 127.0.0.1:6001 track l/a
"""


def both_logs(tmp_path, text, scene, servers):
    """What both say of their servers until the scene has ended."""
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    found = {}
    for name in PROGRAMS:
        proxy = Proxy(tmp_path / name, name, HEAD.replace("  timeout queue 100ms\n", "") + text, servers)
        scene(proxy)
        found[name] = [re.sub(r".* (l l/\w) \S+ \d+ D-", r"\1 D-", line) for line in changes(proxy)]
        proxy.close()
    assert found["haproxy"]
    return found["haproxy"], found["tproxyd"]


def goes_down_and_up(proxy):
    """A server that others follow, and which has a session."""
    checked = proxy.listeners.pop()
    client, accepted, letter = proxy.connect("198.51.100.1")
    assert letter == "a"
    checked.close()
    waiting.until(lambda: any(" D- " in line for line in changes(proxy)), "the session of the server that went down ends")
    assert has_ended(client)
    with proxy.namespace:
        proxy.listeners.append(socket.create_server(("127.0.0.1", 6002)))
    waiting.until(lambda: any("l/b is UP" in line for line in changes(proxy)), "the servers come up")
    for each in (client, accepted):
        each.close()


def test_servers_that_follow_others_change_with_them_in_the_same_words(tmp_path):
    logs = both_logs(tmp_path, FOLLOWED, goes_down_and_up, 3)
    haproxy, tproxyd = ([line for line in log if " D- " not in line] for log in logs)
    assert haproxy == tproxyd
    # The session has a line of its own, which another thread writes.
    assert [[line for line in log if " D- " in line] for log in logs] == [["l l/a D- 1/1/0/0/0 0/0"]] * 2


OBSERVED = """\
  log stderr format raw local0 debug
  retries 0
  server a 127.0.0.1:6009 check port 6000 inter 60s rise 1 fall 2 observe layer4 error-limit 3 on-error {action}
"""


@pytest.mark.parametrize("action, clients", [("mark-down", 3), ("fail-check", 6), ("sudden-death", 6)])
def test_errors_of_connections_take_a_server_down_after_as_many_clients(tmp_path, action, clients):
    def scene(proxy):
        checked = proxy.listeners.pop()
        waiting.until(lambda: counters.total(proxy.namespace, "TcpOutRsts"), "the first check has passed, and is reset")
        for number in range(clients):
            assert not changes(proxy), f"it is down after {number} clients"
            client, accepted, _ = proxy.connect("198.51.100.1")
            assert accepted is None
            if client:
                client.close()
        waiting.until(lambda: len(changes(proxy)) == 2, "it is down, and no server is left")
        checked.close()

    haproxy, tproxyd = both_logs(tmp_path, OBSERVED.format(action=action), scene, 1)
    sessions = re.compile(r"\d+ sessions active")
    assert [sessions.sub("", line) for line in haproxy] == [sessions.sub("", line) for line in tproxyd]
