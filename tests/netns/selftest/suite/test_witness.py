"""The witness fails wrong proxies on tests that are about something else, and names the requirement that is broken."""

import socket
from fnmatch import fnmatch
from types import SimpleNamespace

import pytest
from test_fair import run

from lab.conformance import verdict
from lab.netns.endpoint import Endpoint, RecordedSocket
from lab.peers import http, proxy_protocol
from lab.setup import witness

pytestmark = pytest.mark.suite

OWN, NAMED, VIP = Endpoint("198.51.100.10", 1), Endpoint("198.51.100.77", 4000), Endpoint("192.0.2.80", 80)


@pytest.mark.parametrize(
    "falsifier, requirement, message",
    [
        ("no-spoofing", "TP-BIND-01", "TP-SRC-01: the server saw 203.0.113.1:"),
        ("no-spoofing", "TP-DST-01", "TP-DST-04: the server saw 203.0.113.1:"),
        ("no-spoofing", "TP-STREAM-09", "TP-SRC-01: a connection to 203.0.113.*:* was tried from 203.0.113.1:"),
        ("no-spoofing", "TP-UDP-05", "TP-UDP-01: a datagram to 203.0.113.*:* came from 203.0.113.1:"),
        ("always-spoofing", "TP-BIND-13", "TP-SRC-07: the server saw 198.51.100.*:* (the client)"),
        ("ignores-the-header", "TP-PP-04", "TP-PP-01: the server saw 198.51.100.*:* (the client)"),
        ("switches-a-sysctl-on", "TP-BIND-03", "TP-HOST-17: the proxy changed its host: sysctl net.ipv4.ip_nonlocal_bind"),
        ("says-something-first", "TP-BIND-03", "TP-STREAM-01: the client got 11 bytes, and 0 were sent"),
        ("shuts-down-and-does-not-close", "TP-BIND-01", "TP-OPS-09: all sessions have ended, and the proxy holds"),
    ],
)
def test_a_wrong_proxy_fails_where_the_test_looks_at_something_else(falsifier, requirement, message, tmp_path):
    found = run(f"falsifiers/{falsifier}", {requirement}, tmp_path, "--family", "4", "--patience", "3")[requirement]
    assert found and all(word == verdict.FAIL and fnmatch(text, f"{message}*") for word, text in found), found


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_client_of_a_header_is_the_one_that_it_names(version, family):
    named = NAMED if family == 4 else Endpoint("2001:db8:c::77", 4000)
    vip = VIP if family == 4 else Endpoint("2001:db8:f::80", 80)
    assert witness.named_client(flow(proxy_protocol.write(version, named, vip) + b"token")) == named


@pytest.mark.parametrize("sent", [b"", b"a token", *(proxy_protocol.good(name)[0].data for name in ("v1-unknown", "v2-local"))])
def test_without_addresses_in_a_header_the_client_is_the_one_that_connected(sent):
    assert witness.named_client(flow(sent)) == OWN


def test_the_client_of_http_is_the_one_that_connected():
    with socket.socket() as unused:
        end = http.NoStream(unused)
    assert witness.named_client(SimpleNamespace(client=SimpleNamespace(local=OWN, socket=end))) == OWN


def flow(sent):
    end = RecordedSocket()
    end.sent[:] = sent
    return SimpleNamespace(client=SimpleNamespace(local=OWN, socket=end))


@pytest.mark.parametrize(
    "sent, received, fails",
    [
        (b"token and more", b"token and more", ""),
        (b"token and more", b"token and", ""),
        (b"PROXY UNKNOWN\r\ntoken and more", b"token and more", ""),
        (b"token and more", b"token amd more", "byte 7 that the server got is not the one that was sent"),
        (b"token and more", b"token and more.", "the server got 15 bytes, and 14 were sent"),
        (b"token and more", b"and more", "byte 0 that the server got"),
    ],
)
def test_bytes_are_the_beginning_of_what_was_sent(sent, received, fails):
    sender, receiver = RecordedSocket(), RecordedSocket()
    sender.sent[:], receiver.received[:] = sent, received
    sender.totals[0], receiver.totals[1] = len(sent), len(received)
    try:
        witness.judge_bytes(SimpleNamespace(token=b"token"), sender, receiver, "the server")
    except AssertionError as problem:
        assert fails and str(problem).startswith(f"TP-STREAM-01: {fails}")
    else:
        assert not fails
