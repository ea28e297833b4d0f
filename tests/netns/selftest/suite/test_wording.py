"""Messages of failed tests: they say who saw what, who waited for what, and nothing about pytest."""

import socket
import struct

import pytest

from lab import waiting
from lab.conformance import wording
from lab.netns.endpoint import Connection, Endpoint
from lab.peers import log_lines, stream
from lab.peers.proxy import ProxyEnded, about_log

pytestmark = pytest.mark.suite

ROLES = {"198.51.100.10": "the client", "203.0.113.1": "the proxy", "203.0.113.20": "the server"}


@pytest.mark.parametrize(
    "text, statement, sentence",
    [
        (
            "assert '203.0.113.1' == '198.51.100.10'\n  - 198.51.100.10\n  + 203.0.113.1",
            "assert flow.peer_seen_by_server.address == lab.client.address",
            "the server saw 203.0.113.1 (the proxy), expected 198.51.100.10 (the client)",
        ),
        (
            "assert '203.0.113.1' == '198.51.100.10'",
            "assert flow.source_on_the_wire.address == lab.client.address",
            "the packets to the server came from 203.0.113.1 (the proxy), expected 198.51.100.10 (the client)",
        ),
        (
            "AssertionError: assert 203.0.113.1:7 == 198.51.100.10:8",
            "assert flow.peer_seen_by_server == flow.client.local",
            "the server saw 203.0.113.1:7 (the proxy), expected 198.51.100.10:8 (the client)",
        ),
        ("assert 'eof' == 'reset'", "assert how == 'reset'", "got 'eof', expected 'reset'"),
        ("assert ('eof', b'') == ('reset', b'')\n  x", "assert flow.ending() == x", "got ('eof', b''), expected ('reset', b'')"),
        ("assert 1 < 0", "assert a < b", "assert 1 < 0"),
        ("assert (1 == 2 == 3)", "assert a == b == c", "assert (1 == 2 == 3)"),
        (
            "assert {'203.0.113.1'} == {'198.51.100.10'}",
            "assert lab.sources_tried() == {lab.client.address}",
            "got {'203.0.113.1' (the proxy)}, expected {'198.51.100.10' (the client)}",
        ),
        ("assert '2001:db8::9' == '198.51.100.10'", "assert a == b", "got 2001:db8::9, expected 198.51.100.10 (the client)"),
    ],
)
def test_an_address_is_named_by_its_host(text, statement, sentence):
    assert wording.of_assertion(text, statement, ROLES).partition("\n")[0] == sentence


@pytest.mark.parametrize("proxy, client", [("203.0.113.1", "198.51.100.10"), ("2001:db8:5::1", "2001:db8:c::10")])
def test_both_endpoints_of_a_failed_comparison_are_shown_whole(proxy, client):
    """pytest shortens what is long: an endpoint has to be short."""
    with pytest.raises(AssertionError) as problem:
        assert Endpoint(proxy, 41362) == Endpoint(client, 50262)
    statement, roles = "assert flow.peer_seen_by_server == flow.client.local", {proxy: "the proxy", client: "the client"}
    first = wording.of_assertion(str(problem.value), statement, roles).partition("\n")[0]
    seen, expected = Endpoint(proxy, 41362), Endpoint(client, 50262)
    assert first == f"the server saw {seen} (the proxy), expected {expected} (the client)"


def test_an_error_of_the_kernel_says_where_it_came():
    with pytest.raises(OSError) as problem:
        raise ConnectionResetError(104, "Connection reset by peer")
    text = wording.of_error(problem)
    assert text == 'Connection reset by peer, at: raise ConnectionResetError(104, "Connection reset by peer")'
    with pytest.raises(ConnectionError) as problem:
        raise ConnectionError("the stream ended 3 bytes short of 4")
    assert wording.of_error(problem) == "the stream ended 3 bytes short of 4"


def test_hints_of_pytest_are_left_out():
    text = "assert 1 == 2\n  Use -v to get more diff\n  ...Full output truncated (3 lines hidden), use '-vv' to show\n  end"
    assert wording.without_hints(text) == "assert 1 == 2\n  end"
    assert wording.without_hints("E     \nE     Use -v to get the full diff\nE   x") == "E     \nE   x"
    assert wording.without_hints("assert (1 == 2\n  Use -v to get more diff)") == "assert (1 == 2)"


@pytest.fixture
def pair(monkeypatch):
    """Both ends of a connection; no wait on them is longer than a moment."""
    monkeypatch.setattr(waiting, "seconds", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        ends = Connection(one, listener.getsockname()), Connection(*listener.accept())
    yield ends
    for end in ends:
        end.close()


def test_a_connection_that_is_reset_at_once_keeps_its_addresses():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        with listener.accept()[0] as accepted:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        waiting.until(lambda: waiting.ended(client, 0), "the reset has come")
        connection = Connection(client, listener.getsockname())
        assert connection.peer == listener.getsockname()
        assert connection.ending() == ("reset", b"")
        connection.close()


def test_who_cannot_send_says_to_whom(pair):
    with pytest.raises(TimeoutError) as problem:
        pair[0].send(bytes(1 << 26))
    assert str(problem.value) == f"{pair[0].local} could not send to {pair[0].peer}: timed out after 0.2 s"


def test_who_waits_for_bytes_says_from_whom(pair):
    with pytest.raises(TimeoutError) as problem:
        stream.check(pair[0], 1000)
    assert f"{pair[0].local} waited 0.2 s for byte 0 of a stream from {pair[0].peer}: timed out" in str(problem.value)
    with pytest.raises(TimeoutError) as problem:
        stream.feed(pair[0], 1 << 27, 1)
    assert f"{pair[0].local} could not send byte " in str(problem.value)


def test_a_bare_timeout_says_what_was_waited_for(pair):
    destination = Endpoint(*pair[0].peer)
    with pytest.raises(TimeoutError) as problem:
        assert destination and pair[0].socket.recv(1)
    sentence = wording.of_timeout(problem, {})
    assert "timed out after 0.2 s" in sentence and "pair[0].socket.recv(1)" in sentence
    assert f"destination {destination}" in sentence


@pytest.mark.parametrize(
    "scenario, end",
    [
        ({"timeouts": {"connect": 700, "client": 900}}, " (timeouts of the scenario: connect 700 ms, client 900 ms)"),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_wait_names_the_timeouts_of_the_scenario(scenario, end):
    assert wording.with_timeouts("waited 8 s\nmore", scenario) == f"waited 8 s{end}\nmore"


def test_an_empty_log_is_said_to_be_empty():
    assert about_log("") == "its log is empty"
    assert about_log("one\n") == "its log:\none\n"
    assert issubclass(ProxyEnded, AssertionError)


@pytest.mark.parametrize(
    "tried, log, end",
    [
        (True, "", ""),
        (False, "", f" [{wording.UNTRIED}]"),
        (False, "start\nbind: no such address\n\n", f" [{wording.UNTRIED}; its log ends with: bind: no such address]"),
        (True, "x" * 300, f" [its log ends with: {'x' * wording.LONGEST_LINE}]"),
    ],
)
def test_a_message_ends_with_the_last_words_of_the_proxy(tried, log, end):
    assert wording.with_context("the client was reset\nmore", tried, log) == f"the client was reset{end}\nmore"


def test_a_message_that_shows_the_log_does_not_repeat_it():
    assert wording.with_context("it ended; its log:\na", True, "a") == "it ended; its log:\na"


@pytest.mark.parametrize(
    "text, named",
    [
        ("203.0.113.20:80 waited 8 s for a byte from 198.51.100.10:7", "203.0.113.20:80 (the server) waited 8 s for a byte from 198.51.100.10:7"),
        ("[2001:db8::1]:80 waited", "[2001:db8::1]:80 waited"),
        ("no connection came", "no connection came"),
    ],
)
def test_who_waited_is_named_by_its_host(text, named):
    assert wording.naming_the_first(text, ROLES) == named


def test_an_end_of_a_closed_connection_says_who_closed_it(pair):
    one, other = pair
    other.reset()
    waiting.until(lambda: waiting.ended(one.socket, 0), "the reset has come")
    with pytest.raises(ConnectionError, match="could not end its direction: the proxy had closed the connection before"):
        one.finish()


def test_a_stream_that_is_too_short_says_how_much_came(pair):
    pair[1].send(b"123")
    pair[1].finish()
    with pytest.raises(ConnectionError, match="1 bytes short of 4: .* got 3 of 4 from the proxy, and then its end"):
        pair[0].receive(4)


@pytest.mark.parametrize(
    "log, named",
    [
        ("listening on 192.0.2.9:81\nbind: no such address\n", False),  # as always, and nothing about the address
        ("listening on 192.0.2.9:81\ncannot bind 192.0.2.9:81\n", True),
        ("cannot bind 192.0.2.7\n", False),
        ("[77] listening on 192.0.2.9:81\n", False),  # another process's number
    ],
)
def test_a_line_that_a_start_writes_anyway_is_no_message_of_a_failure(log, named):
    usual = "listening on 198.51.100.1:82\n[12] listening on 198.51.100.1:82\n"
    assert bool(log_lines.of_failure(log, "192.0.2.9", usual, "198.51.100.1")) == named
