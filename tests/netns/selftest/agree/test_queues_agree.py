"""Clients wait for servers as they do with HAProxy: the same order, the same ends, the same fields in the log."""

import re
import shutil
import signal
import socket
import struct

import pytest

from lab import waiting
from lab.peers.side_by_side import PORT, PROGRAMS, Proxy, end, has_ended, server

HEAD = f"""\
global
  nbthread 1
defaults
  mode tcp
  timeout client 10m
  timeout server 10m
  timeout connect 1m
  timeout queue 10m
listen l
  bind 198.51.100.200:{PORT}
  log stderr format raw local0 info
  option tcplog
"""
SHORT = "  timeout queue 200ms\n"
LINE = re.compile(r"l/(\S+) (-?\d+)/(-?\d+)/\d+ \d+ (\S\S) \d+/\d+/(\d+)/(\d+)/(\S+ \S+)$")


def log_lines(proxy):
    """Of each session in the order of their ends: server, whether it came to a queue and to a server, state, counts, retries and queues."""
    found = [LINE.search(line) for line in proxy.daemon.log().splitlines()]
    return [(m[1], m[2] != "-1", m[3] != "-1", *m.groups()[3:]) for m in found if m]


def await_lines(proxy, count):
    return waiting.until(lambda: len(log_lines(proxy)) >= count and log_lines(proxy), f"{count} lines in the log:\n{proxy.daemon.log()}")


def begin(proxy, count):
    """So many clients, one after the other: each has come to the proxy before the next one."""
    made = []
    for _ in range(count):
        try:
            made.append(proxy.begin())
            proxy.await_accepted()
        except ConnectionResetError:  # it is refused so soon that connect() sees it
            made.append(None)
    return made


def both(tmp_path, lines, scene, servers=1):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    found = {}
    for name in PROGRAMS:
        proxy = Proxy(tmp_path / name, name, HEAD + lines, servers)
        found[name] = scene(proxy)
        proxy.close()
    print(*(f"{name}: {each}" for name, each in found.items()), sep="\n")
    return found["haproxy"], found["tproxyd"]


ONE_PLACE = [
    server("a", "maxconn 1"),
    "  balance leastconn\n" + server("a", "maxconn 1"),
    "  balance first\n" + server("a", "maxconn 1"),
    "  balance source\n" + server("a", "maxconn 1"),
    "  use-server a if { src 198.51.100.1 }\n" + server("a", "maxconn 1"),
    "  balance leastconn\n" + server("a", "maxconn 1 maxqueue 9"),
    server("a", "maxconn 1 backup"),
    server("a", "maxconn 1 maxqueue 2"),
]


def assert_no_other_is_served(proxy):
    assert not waiting.readable(proxy.listeners, 0.05), "a server has more than its maxconn"


def four_in_turn(proxy):
    clients = begin(proxy, 4)
    for number, client in enumerate(clients, 1):
        accepted, _ = proxy.accept()
        client.sendall(b"%d" % number)
        assert accepted.recv(1) == b"%d" % number, "they are not served in the order in which they came"
        assert_no_other_is_served(proxy)
        end(client, accepted)
    return await_lines(proxy, 4)


@pytest.mark.parametrize("lines", ONE_PLACE)
def test_clients_are_served_in_the_order_in_which_they_came(tmp_path, lines):
    haproxy, tproxyd = both(tmp_path, lines, four_in_turn)
    assert haproxy == tproxyd


def none_is_served(proxy):
    first, *rest = begin(proxy, 3)
    accepted, _ = proxy.accept()
    lines = await_lines(proxy, 2)
    assert all(has_ended(client) for client in rest)
    end(first, accepted)
    return lines


@pytest.mark.parametrize("lines", ONE_PLACE)
def test_a_client_is_refused_after_timeout_queue(tmp_path, lines):
    haproxy, tproxyd = both(tmp_path, SHORT + lines, none_is_served)
    assert haproxy == tproxyd
    assert {each[3] for each in tproxyd} == {"sQ"}


def second_leaves(proxy, how):
    first, second, third = begin(proxy, 3)
    accepted, _ = proxy.accept()
    assert_no_other_is_served(proxy)
    how(second)
    await_lines(proxy, 1)
    end(first, accepted)
    accepted, _ = proxy.accept()
    end(third, accepted)
    return await_lines(proxy, 3)


def leave_with_a_reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("how", [socket.socket.close, leave_with_a_reset])
@pytest.mark.parametrize("lines", [ONE_PLACE[0], ONE_PLACE[3]])
def test_a_client_that_leaves_gives_its_place_in_the_queue_up(tmp_path, lines, how):
    haproxy, tproxyd = both(tmp_path, lines, lambda proxy: second_leaves(proxy, how))
    if haproxy[0][1:4] == (False, False, "--"):  # HAProxy 2.6 does not say more of a client that leaves a server's own queue
        haproxy[0] = (haproxy[0][0], True, False, "CQ", "2", *haproxy[0][5:])
    assert haproxy == tproxyd


def second_has_sent_all(proxy):
    first, second = begin(proxy, 2)
    accepted, _ = proxy.accept()
    second.sendall(b"question")
    second.shutdown(socket.SHUT_WR)
    end(first, accepted)
    accepted, _ = proxy.accept()
    assert accepted.recv(9) == b"question" and accepted.recv(1) == b""
    accepted.sendall(b"answer")
    accepted.close()
    assert second.recv(9) == b"answer"
    return await_lines(proxy, 2)


def test_a_client_that_has_sent_all_it_has_to_say_still_waits(tmp_path):
    haproxy, tproxyd = both(tmp_path, ONE_PLACE[0], second_has_sent_all)
    assert haproxy == tproxyd


def three_for_a_queue_of_one(proxy):
    first, second, third = begin(proxy, 3)
    accepted, _ = proxy.accept()
    assert has_ended(third)
    await_lines(proxy, 1)
    end(first, accepted)
    accepted, _ = proxy.accept()
    end(second, accepted)
    return await_lines(proxy, 3)


def test_a_queue_is_no_longer_than_maxqueue(tmp_path):
    lines = "  balance source\n" + server("a", "maxconn 1 maxqueue 1")
    haproxy, tproxyd = both(tmp_path, lines, three_for_a_queue_of_one)
    assert haproxy == tproxyd


BY_RULE = "  use-server a if { src 198.51.100.1 }\n" + server("a", "maxconn 1 maxqueue 1") + server("b")


def letters_of_three(proxy):
    clients = begin(proxy, 3)
    made = [proxy.accept(clients[2]) for _ in range(2 if "redispatch" in proxy.daemon.config.read_text() else 1)]
    return [letter for _, letter in made]


def test_beyond_maxqueue_option_redispatch_leads_to_another_server(tmp_path):
    haproxy, tproxyd = both(tmp_path, "  option redispatch\n" + BY_RULE, letters_of_three, 2)
    assert haproxy == tproxyd == ["a", "b"]


# The last listener is for checks of server a alone: what is accepted at the others is a client's.
CHECKED = "maxconn 1 check port 6002 inter 100ms fall 1 rise 1"
CHANGE = re.compile(r"Server l/a is DOWN, reason: .* (\d+ active and \d+ backup servers left\. .*)")


def server_dies(proxy):
    """A client at server a, and two that wait for it alone; then a listens no more."""
    checked = proxy.listeners.pop()
    clients = begin(proxy, 3)
    accepted, letter = proxy.accept()
    assert letter == "a"
    checked.close()
    down = waiting.until(lambda: CHANGE.search(proxy.daemon.log()), "a is down")[1]
    return down, clients, accepted


def its_clients_go_to_the_other(proxy):
    down, clients, accepted = server_dies(proxy)
    other, letter = proxy.accept()
    end(clients[1], other)
    other, second = proxy.accept()
    end(clients[2], other)
    end(clients[0], accepted)
    return down, letter, second, await_lines(proxy, 3)


USE_A = "  use-server a if { src 198.51.100.1 }\n"


def test_the_queue_of_a_server_that_dies_is_shared_out_with_option_redispatch(tmp_path):
    lines = "  option redispatch\n" + USE_A + server("a", CHECKED) + server("b", "maxconn 1")
    haproxy, tproxyd = both(tmp_path, lines, its_clients_go_to_the_other, 3)
    assert haproxy == tproxyd


def come_back(proxy):
    down, clients, accepted = server_dies(proxy)
    with proxy.namespace:
        proxy.listeners.append(socket.create_server(("127.0.0.1", 6002)))
    up = waiting.until(lambda: re.search(r"Server l/a is UP, .*ms\. (.*)", proxy.daemon.log()), "a is up")[1]
    return down, up


def test_both_say_the_same_of_queues_when_a_server_comes_back(tmp_path):
    haproxy, tproxyd = both(tmp_path, server("a", CHECKED), come_back, 3)
    assert haproxy == tproxyd


def begin_to_wait(proxy, count):
    """A client that waits for a server, the COUNT-th one: the log of tproxyd says so."""
    client = proxy.begin()
    waiting.until(lambda: len(proxy.daemon.lines("-> waiting")) == count, f"{count} clients wait")
    return client


@pytest.mark.parametrize("threads", [1, 4])
def test_those_who_wait_are_served_in_their_order_over_a_reload_by_the_new_limit(tmp_path, threads):
    """A client waits under a limit of 1, the next one comes after a reload that raises it to 2: both have a place then, and in their order."""
    text = HEAD.replace("nbthread 1", f"nbthread {threads}").replace("raw local0 info", "raw local0 debug")
    text = text.replace("defaults\n", "  log stderr format raw local0 notice\ndefaults\n")
    proxy = Proxy(tmp_path / "tproxyd", "tproxyd", text + server("a", "maxconn 1"), 1)
    first = proxy.begin()
    held, _ = proxy.accept()
    second = begin_to_wait(proxy, 1)
    assert_no_other_is_served(proxy)
    proxy.daemon.config.write_text(text + server("a", "maxconn 2"), encoding="ascii")
    proxy.daemon.signal(signal.SIGHUP)
    proxy.daemon.await_line("is in force")
    second.sendall(b"2")
    served, _ = proxy.accept()
    assert served.recv(1) == b"2"
    third = begin_to_wait(proxy, 2)
    fourth = begin_to_wait(proxy, 3)
    assert_no_other_is_served(proxy)
    end(first, held)
    third.sendall(b"3")
    held, _ = proxy.accept()
    assert held.recv(1) == b"3"
    for each in (fourth, third, held, second, served):
        each.close()
    proxy.close()
