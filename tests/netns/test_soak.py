"""Long loads: much data, many connections one after another, many at the same time.

With --share N a load is an N-th of what its requirement says, which proves no requirement: it is for
proxies that are wrong on purpose.
"""

import resource

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns.endpoint import Endpoint
from lab.peers import stream
from lab.setup.variants import each_relay

GIGABYTE = 1 << 30
STALLS = 8
BUFFER = 4 << 20  # bytes, of a socket: a stream has four, and they must not hold all bytes after the last stall
FIRST_PORT = 20_000
SESSIONS = 800  # for the memory: at 6 KiB a session, they take 4.7 MiB
A_SESSIONS_SHARE = 6 << 10  # bytes that stay of each session, at most

pytestmark = pytest.mark.soak


@requirement("TP-STREAM-16")
@each_relay
def test_a_gigabyte_each_way_arrives_exact_past_readers_that_stall(lab, relay, share):
    total = GIGABYTE // share
    lab.limit_socket_buffers(BUFFER)
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    stream.together(
        lambda: stream.feed(flow.client, total, seed=1),
        lambda: stream.check(flow.server, total, stall_for(flow.client, total)),
        lambda: stream.feed(flow.server, total, seed=2),
        lambda: stream.check(flow.client, total, stall_for(flow.server, total)),
    )
    flow.exchange()


def stall_for(sender, total):
    """A reader that sometimes stops until its sender cannot send."""
    every = total // STALLS // stream.PIECE * stream.PIECE

    def pause(position):
        if position % every == 0 and position < total - every:
            waiting.until(lambda: not waiting.writable(sender.socket), "the sender gets stuck")

    return pause


@requirement("TP-OPS-09")
def test_ten_thousand_connections_in_turn_leave_no_descriptor_behind(lab, share):
    count = 10_000 // share
    proxy = lab.serve()
    run_in_turn(lab, count // 10)
    proxy.must_keep_its_descriptors(lambda: run_in_turn(lab, count - count // 10), rounds=2)  # a third finds no free port


def run_in_turn(lab, count):
    for _ in range(count):
        flow = lab.client.connect(lab.vip)
        flow.exchange(16)
        flow.close()


@requirement("TP-OPS-10")
def test_four_thousand_connections_at_the_same_time_all_work(lab, share):
    count, batch = 4_000 // share, 500 // share
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * count + 500:
        pytest.skip(f"absent: {2 * count + 500} descriptors for a process (ulimit -Hn)")
    proxy = lab.serve(**lab.wished("maxconn", maxconn=count + 500))
    lab.client.connect(lab.vip).close()
    before = proxy.descriptors_without_sessions()
    flows = []
    while len(flows) < count:
        flows += [lab.client.connect(lab.vip) for _ in range(batch)]
    for flow in flows:
        flow.exchange(16)
    for flow in flows:
        flow.close()
    proxy.await_descriptors(before)


@requirement("TP-OPS-29")
def test_sessions_that_have_ended_keep_no_memory(lab):
    """One session after another, so that a proxy never needs the memory of more than a few."""
    proxy = lab.serve()
    run_sessions(lab, range(SESSIONS // 4))
    before = proxy.resident()
    run_sessions(lab, range(SESSIONS // 4, SESSIONS // 4 + SESSIONS))
    share = (proxy.resident() - before) / SESSIONS
    assert share < A_SESSIONS_SHARE, f"{share / 1024:.1f} KiB of memory stay of each session that has ended"


def run_sessions(lab, numbers):
    """Each from a port of its own: after a reset the kernel would choose the same port again, which is TP-SRC-14's matter."""
    for number in numbers:
        flow = lab.client.connect(lab.vip, Endpoint(lab.client.address, FIRST_PORT + number))
        flow.exchange()
        if number % 4 == 0:
            flow.client.reset()
            flow.server.ending()
        flow.close()
