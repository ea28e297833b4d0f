"""A proxy that does little is asked what it does, and passes if it does it right.

`modest-proxy` has no defect. It listens by IPv6 sockets alone, connects from its own address and claims few capabilities.
"""

import json
from pathlib import Path

import pytest

from lab.conformance import inner_run, requirements, verdict
from lab.netns import sockets
from lab.netns.endpoint import Endpoint

MODEST = Path(__file__).with_name("modest-proxy")
TIMED = {"TP-STREAM-08", "TP-STREAM-11", "TP-STREAM-15", "TP-STREAM-27", "TP-UDP-08", "TP-PP-09"}  # about timeouts
SPOOFED = {  # about the client's address
    *("TP-UDP-01", "TP-UDP-02", "TP-UDP-04", "TP-UDP-21", "TP-UDP-22", "TP-PP-01", "TP-PP-02", "TP-PP-03", "TP-PP-20", "TP-DST-04", "TP-DST-06", "TP-DST-15"),
}
LIMITED = {  # about reload, user, maxconn, queues, splice, and headers of datagrams
    "TP-UDP-23",
    *("TP-OPS-63", "TP-OPS-64", "TP-OPS-65", "TP-OPS-66", "TP-OPS-67"),
    *("TP-OPS-12", "TP-OPS-13", "TP-OPS-14", "TP-OPS-21", "TP-OPS-25", "TP-OPS-26", "TP-OPS-31", "TP-OPS-33"),
    *("TP-OPS-36", "TP-OPS-38", "TP-OPS-39", "TP-OPS-50"),
    "TP-STREAM-30",
}
MAY_BE_ABSENT = {"TP-OPS-20"}  # descriptors of another user's process
SOURCES = {"TP-SRC-07", "TP-HOST-06", "TP-HOST-12"}  # that speak of the proxy's own address
HOST = {"TP-HOST-01", "TP-HOST-03", "TP-HOST-04", "TP-HOST-17"}


def asked():
    """The requirements that the modest proxy has to pass."""
    rows = [row for row in requirements.load() if not row.withdrawn]
    groups = {row.id for row in rows if row.group in ("BIND", "DST", "STREAM", "UDP", "PP", "OPS")}
    return (groups | SOURCES | HOST) - TIMED - SPOOFED - LIMITED


def run(adapter, wanted, folder, *options):
    """{requirement: {(verdict, message)}} of one variant of each test for each family and way to relay."""
    events = folder / "events"
    words = ("--impl", adapter, "--sample-per", "family,relay", "--share", "8", "--patience", "10", "--events", events, *options)
    printed = inner_run.run(wanted, *words)
    assert events.exists(), printed
    found = {}
    for event in map(json.loads, events.read_text(encoding="utf-8").splitlines()):
        assert event["event"] != "broken", event["message"]
        if event["event"] == "ended":
            found.setdefault(event["requirement"], set()).add((event["verdict"], event["message"]))
    return found


@pytest.mark.long(60)
@pytest.mark.suite
@pytest.mark.parametrize("group", requirements.GROUPS)
def test_a_proxy_that_offers_little_passes_what_needs_no_more(group, tmp_path):
    wanted = {each for each in asked() if each.split("-")[1] == group}
    found = run(MODEST, wanted, tmp_path)
    assert set(found) == wanted
    others = {each: seen for each, seen in found.items() if {word for word, _ in seen} - {verdict.PASS, verdict.ABSENT}}
    assert not others


@pytest.mark.suite
@pytest.mark.parametrize(
    "bound, endpoint, answer",
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("0.0.0.0", "192.0.2.1", True),
        ("::", "192.0.2.1", True),
        ("::", "0.0.0.0", True),
        ("::", "2001:db8::1", True),
        ("0.0.0.0", "2001:db8::1", False),
        ("0.0.0.0", "::", False),
        ("192.0.2.2", "192.0.2.1", False),
        ("192.0.2.1", "0.0.0.0", False),
    ],
)
def test_a_socket_is_found_by_what_it_serves(bound, endpoint, answer):
    assert sockets.serves(Endpoint(bound, 80), Endpoint(endpoint, 80)) is answer
    assert not sockets.serves(Endpoint(bound, 80), Endpoint(endpoint, 81))
