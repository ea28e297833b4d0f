"""What sessions leave behind: nothing. Errors are tried as well as orderly ends, because each has its own way out."""

import contextlib

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.setup.variants import each_end

FEW = 10  # sessions after which a proxy has what it keeps for good
MANY = 60  # sessions that follow; each may leave a descriptor


@requirement("TP-OPS-27")
def test_refused_connections_leave_no_descriptor_behind(lab):
    proxy = lab.start().await_ready()

    def refusals(count):
        for _ in range(count):
            # The proxy's reset may come before connect() has returned.
            with contextlib.suppress(ConnectionError), contextlib.closing(lab.client.open(lab.vip)) as client:
                client.send(b"request")
                client.ending()

    assert_no_descriptor_is_left(proxy, refusals)


@requirement("TP-OPS-28")
@each_end
@pytest.mark.parametrize("moment", ["while silent", "with bytes"])
def test_resets_leave_no_descriptor_behind(lab, closer, reader, moment):
    proxy = lab.serve()

    def resets(count):
        for _ in range(count):
            flow = lab.client.connect(lab.vip)
            getattr(flow, closer).send(b"" if moment == "while silent" else b"some bytes")
            getattr(flow, closer).reset()
            getattr(flow, reader).ending()
            getattr(flow, reader).close()

    assert_no_descriptor_is_left(proxy, resets)


def assert_no_descriptor_is_left(proxy, run):
    run(FEW)
    before = proxy.descriptors_without_sessions()
    run(MANY)
    waiting.until(lambda: proxy.descriptors() <= before, f"the proxy has {before} descriptors again")


@requirement("TP-OPS-30")
@each_end
def test_a_half_closed_session_costs_no_processor_time(lab, closer, reader):
    """That it stays half-closed is what TP-STREAM-03 and TP-STREAM-04 say."""
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    first, last = getattr(flow, closer), getattr(flow, reader)
    first.finish()
    assert last.ending() == ("eof", b"")
    assert proxy.busy_share([first]) < 0.5
