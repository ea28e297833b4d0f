"""What sessions leave behind: nothing. Errors are tried as well as orderly ends, because each has its own way out."""

import contextlib

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.peers import proxy_protocol, stream
from lab.peers.controls import must_serve_header
from lab.peers.proxy_protocol import good
from lab.setup.variants import each_end

FEW = 10  # sessions after which a proxy has what it keeps for good
MANY = 60  # sessions of a round; each may leave a descriptor
SMALL = 64 << 10  # bytes: the most that a socket buffer holds


@requirement("TP-OPS-27")
def test_refused_connections_leave_no_descriptor_behind(lab):
    proxy = lab.start().await_ready()

    def refusals(count):
        before = lab.attempts_seen()
        for _ in range(count):
            # The proxy's reset may come before connect() has returned.
            with contextlib.suppress(ConnectionError), contextlib.closing(lab.client.open(lab.vip)) as client:
                client.send(b"request")
                client.ending()
        lab.must_have_tried(before)

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


@requirement("TP-PP-21")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("how", ["finish", "reset"])
def test_clients_that_leave_within_their_header_leave_no_descriptor_behind(lab, version, how):
    proxy = lab.serve(None, [lab.listener(proxy_protocol=version)])
    must_serve_header(lab, version)
    header = good(f"{version}-tcp4")[0]

    def leave(count):
        for _ in range(count):
            client = proxy_protocol.connect(lab, header.data[:20])
            with contextlib.suppress(OSError):  # a proxy may end a client at once whose header is not whole
                getattr(client, how)()
            if how == "finish":
                assert client.ending()[1] == b""
                client.close()

    assert_no_descriptor_is_left(proxy, leave)


def assert_no_descriptor_is_left(proxy, run):
    run(FEW)
    proxy.await_rest()  # a worker that has not started yet has not opened its own
    proxy.must_keep_its_descriptors(lambda: run(MANY))


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


@requirement("TP-OPS-34")
@pytest.mark.parametrize("what", ["a server", "a server, after its end", "bytes", "a reader"])
def test_a_session_that_waits_costs_no_processor_time(lab, what):
    lab.limit_socket_buffers(SMALL)
    if what.startswith("a server"):
        proxy = lab.start(servers=[lab.silent_server()], **lab.long_connect).await_ready()
        client = lab.client.open(lab.vip)
        client.send(b"request")
        if what.endswith("end"):
            client.finish()
        waiting.until(lambda: lab.proxy.attempts() and not client.unacknowledged(), "the proxy tries to connect")
    else:
        proxy = lab.serve()
        flow = lab.client.connect(lab.vip)
        flow.exchange()
        client = flow.client
        if what == "a reader":
            stream.push_until_stuck(client, lab.client.connect(lab.vip).exchange, times=30)
    assert proxy.busy_share([client]) < 0.5
