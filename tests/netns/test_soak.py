"""Long loads: much data, many connections one after another, many at the same time."""

import resource

import pytest

from lab import patience, stream
from lab.requirements import requirement
from lab.variants import each_relay

GIGABYTE = 1 << 30
STALL_EVERY = GIGABYTE // 8 // stream.PIECE * stream.PIECE

pytestmark = pytest.mark.soak


@requirement("TP-STREAM-16")
@each_relay
def test_a_gigabyte_each_way_arrives_exact_past_readers_that_stall(lab, relay):
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    stream.together(
        lambda: stream.feed(flow.client, GIGABYTE, seed=1),
        lambda: stream.check(flow.server, GIGABYTE, stall_for(flow.client)),
        lambda: stream.feed(flow.server, GIGABYTE, seed=2),
        lambda: stream.check(flow.client, GIGABYTE, stall_for(flow.server)),
    )
    flow.exchange()


def stall_for(sender):
    """A reader's pause: every now and then it reads nothing until its sender is stuck."""

    def pause(position):
        if position % STALL_EVERY == 0 and position < GIGABYTE - STALL_EVERY:
            patience.until(lambda: not patience.writable(sender.socket), "the sender gets stuck")

    return pause


@requirement("TP-OPS-09")
def test_ten_thousand_connections_in_turn_leave_no_descriptor_behind(lab):
    proxy = lab.serve()
    lab.client.connect(lab.vip).close()
    before = settled(proxy)
    for _ in range(10_000):
        flow = lab.client.connect(lab.vip)
        flow.exchange(16)
        flow.close()
    patience.until(lambda: proxy.descriptors() <= before, f"{before} descriptors again")


@requirement("TP-OPS-10")
def test_four_thousand_connections_at_the_same_time_all_work(lab):
    count, batch = 4_000, 500
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * count + 500:
        pytest.skip(f"absent: {2 * count + 500} descriptors for a process (ulimit -Hn)")
    proxy = lab.serve(maxconn=count + 500)
    lab.client.connect(lab.vip).close()
    before = settled(proxy)
    flows = []
    while len(flows) < count:
        flows += [lab.client.connect(lab.vip) for _ in range(batch)]
    for flow in flows:
        flow.exchange(16)
    for flow in flows:
        flow.close()
    patience.until(lambda: proxy.descriptors() <= before, f"{before} descriptors again")


def settled(proxy):
    """The descriptors of a proxy that has no session: the least that it is seen to hold."""
    patience.until(lambda: not proxy.host.sockets("ESTABLISHED"), "the first session has ended")
    counts = []
    patience.until(lambda: counts.append(proxy.descriptors()) or len(counts) > 10, "ten counts")
    return min(counts)
