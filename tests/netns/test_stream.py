"""STREAM: all bytes that one side sends reach the other side, ends included."""

import contextlib

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.exceptions import GuardFailed
from lab.netns import counters, topology
from lab.netns.capture import FIN, RST
from lab.netns.endpoint import Endpoint
from lab.peers import stream
from lab.setup import steering
from lab.setup.variants import both_families, each_end, each_relay, every_relay

MEGABYTE = 1 << 20
LONG = 40 * MEGABYTE  # bytes of a stream
BULK = 32 << 10  # bytes: enough for splice, and every kernel can buffer them before the program reads a byte
LATEST = bytes(stream.expected(0, BULK))
URGENT = b"!"
SMALL = 700  # bytes of a message
MOST_SMALL = 4 * MEGABYTE  # bytes: far more than all buffers of a session


def ends(flow, *names):
    return [getattr(flow, name) for name in names]


@requirement("TP-STREAM-01")
@both_families
@each_relay
def test_bytes_arrive_exact_in_both_directions_at_the_same_time(lab, relay):
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    stream.together(
        lambda: stream.feed(flow.client, 8 * MEGABYTE, seed=1),
        lambda: stream.check(flow.server, 8 * MEGABYTE),
        lambda: stream.feed(flow.server, 8 * MEGABYTE, seed=2),
        lambda: stream.check(flow.client, 8 * MEGABYTE),
    )


@requirement("TP-STREAM-02")
@each_relay
@each_end
def test_what_is_sent_right_before_the_end_arrives(lab, relay, closer, reader):
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    sender, receiver = ends(flow, closer, reader)
    size = MEGABYTE + 7

    def send():
        stream.feed(sender, size, seed=3)
        sender.finish()

    stream.together(send, lambda: stream.check(receiver, size))
    assert receiver.ending() == ("eof", b"")


@requirement("TP-STREAM-03")
@both_families
@each_relay
def test_after_the_clients_end_the_server_can_still_send(lab, relay):
    lab.serve(relay=relay)
    half_close(lab.client.connect(lab.vip), "client", "server")


@requirement("TP-STREAM-04")
@both_families
@each_relay
def test_after_the_servers_end_the_client_can_still_send(lab, relay):
    lab.serve(relay=relay)
    half_close(lab.client.connect(lab.vip), "server", "client")


def half_close(flow, first, second):
    done, going_on = ends(flow, first, second)
    done.send(b"the last of it")
    done.finish()
    assert going_on.receive_to_end() == b"the last of it"
    for _ in range(3):
        going_on.send(b"more" * 5000)
        assert done.receive(20_000) == b"more" * 5000
    going_on.finish()
    assert done.ending() == ("eof", b"")


@requirement("TP-STREAM-05")
@each_relay
@each_end
def test_a_reset_arrives_as_a_reset(lab, relay, closer, reader):
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    breaker, other = ends(flow, closer, reader)
    breaker.reset()
    assert_reset(other, reader)


def assert_reset(end, name):
    """A connection ends by a reset, without a byte before it; `name` says whose it is."""
    how, data = end.ending()
    assert how == "reset", f"the reset arrived as {how} at the {name}, expected a reset"
    assert not data, f"{len(data)} bytes came to the {name} that the other side did not send"


@requirement("TP-STREAM-06")
@each_relay
@each_end
def test_an_orderly_end_never_becomes_a_reset(lab, relay, closer, reader):
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    first, last = ends(flow, closer, reader)
    first.finish()
    assert last.ending() == ("eof", b"")
    last.finish()
    assert first.ending() == ("eof", b"")
    client_link, client_port = lab.taps_by_name["client-eth0"], flow.client.local.port
    # TLS ends a stream before its connection ends.
    waiting.until(lambda: FIN in flags_on(client_link, client_port), "the client's connection ends")
    assert RST not in flags_on(client_link, client_port)
    assert RST not in flags_on(lab.server_link, flow.server.peer.port)


def flags_on(tap, port):
    """Which of FIN and RST were seen on a link for connections of a port."""
    found = [s.flags for s in tap.segments() if port in (s.source.port, s.destination.port)]
    return {flag for flag in (FIN, RST) if any(flags & flag for flags in found)}


@requirement("TP-STREAM-07")
@both_families
def test_when_the_server_refuses_the_clients_connection_ends(lab):
    lab.start(**lab.wished("timeout-connect", timeouts={"connect": 5_000})).await_ready()
    for _ in range(2):  # the second time by a proxy that has survived the first
        how, data = lab.client.try_connect(lab.vip)
        assert how in ("eof", "reset") and not data, f"{how} {data!r}"
    lab.must_have_tried()


@requirement("TP-STREAM-08")
@both_families
def test_when_the_server_does_not_answer_the_clients_connection_ends(lab):
    lab.start(servers=[lab.silent_server()], timeouts={"connect": 500}).await_ready()
    how, data = lab.client.try_connect(lab.vip)
    assert how in ("eof", "reset") and not data
    lab.must_have_tried()


@requirement("TP-STREAM-09")
@both_families
@each_relay
def test_the_server_may_speak_first(lab, relay):
    lab.serve(relay=relay)
    client = lab.client.open(lab.vip)
    server = lab.server.accept(client)
    server.send(b"220 ready\r\n")
    assert client.receive(11) == b"220 ready\r\n"
    client.send(b"QUIT\r\n")
    assert server.receive(6) == b"QUIT\r\n"


@requirement("TP-STREAM-10")
@each_relay
@each_end
def test_a_reader_that_stops_holds_back_only_its_own_session(lab, relay, closer, reader):
    lab.limit_socket_buffers(MEGABYTE)
    lab.serve(relay=relay, **lab.wished("threads", threads=1))
    stuck, other = lab.client.connect(lab.vip), lab.client.connect(lab.vip)
    sender, receiver = ends(stuck, closer, reader)
    pushed = stream.push_until_stuck(sender, other.exchange, times=100)
    # In TLS the end is bytes, too, for which the socket has no room before the receiver reads.
    stream.together(sender.finish, lambda: stream.check(receiver, pushed))
    assert receiver.ending() == ("eof", b"")


@requirement("TP-STREAM-11")
@pytest.mark.parametrize("silent, waiting", [("client", "server"), ("server", "client")])
def test_a_session_whose_one_side_is_silent_for_too_long_is_ended(lab, silent, waiting):
    """The waiting side ends at once; the silent one ends when the waiting side has ended, at the latest."""
    lab.serve(timeouts={silent: 300})
    flow = lab.client.connect(lab.vip)
    silent_end, waiting_end = ends(flow, silent, waiting)
    assert waiting_end.ending()[0] in ("eof", "reset")
    waiting_end.close()
    assert silent_end.ending()[0] in ("eof", "reset")


@requirement("TP-STREAM-12")
@each_relay
def test_a_request_with_its_end_right_behind_it_is_served(lab, relay):
    """Like `printf … | nc`: the client's end arrives before the server has accepted.

    It is done many times, because a loss depends on timing.
    """
    lab.serve(relay=relay)
    for _ in range(30):
        client = lab.client.open(lab.vip)
        client.send(b"request")
        client.finish()
        server = lab.server.accept()
        assert server.receive_to_end() == b"request"
        server.send(b"answer")
        server.finish()
        assert client.receive_to_end() == b"answer"


@requirement("TP-STREAM-13")
@each_relay
def test_small_messages_are_passed_on_at_once(lab, relay):
    lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    for size in (1, 2, 3, 100, 1447, 1448, 1449, 16_384, 16_385, 65_536, 65_537, 1):
        flow.client.send(bytes(size))
        assert flow.server.receive(size) == bytes(size)
        flow.server.send(bytes(size))
        assert flow.client.receive(size) == bytes(size)


@requirement("TP-STREAM-14")
def test_sessions_do_not_mix(lab):
    lab.serve()
    flows = [lab.client.connect(lab.vip) for _ in range(50)]
    for number, flow in enumerate(flows):
        flow.client.send(b"%050d" % number)
    for number, flow in enumerate(flows):
        flow.server.send(flow.server.receive(50))
        assert flow.client.receive(50) == b"%050d" % number


@requirement("TP-STREAM-15")
@each_end
def test_traffic_in_one_direction_keeps_a_session_alive(lab, closer, reader):
    lab.serve(timeouts={"client": 1_200, "server": 1_200})
    flow = lab.client.connect(lab.vip)
    sender, receiver = ends(flow, closer, reader)
    for _ in range(18):
        sender.send(b"tick")
        assert receiver.receive(4) == b"tick"
        waiting.readable([sender.socket, receiver.socket], 0.1)
    flow.exchange()


@requirement("TP-STREAM-17")
@both_families
def test_when_there_is_no_route_to_the_server_the_clients_connection_ends(lab):
    lab.start(servers=[Endpoint(topology.nowhere(lab.family), lab.server_endpoint.port)]).await_ready()
    before = unroutable(lab)
    for _ in range(2):  # the second time by a proxy that has survived the first
        how, data = lab.client.try_connect(lab.vip)
        assert how in ("eof", "reset", "unreachable") and not data, f"{how} {data!r}"
    if unroutable(lab) == before:
        raise GuardFailed("the proxy did not try to connect: the kernel of its host was asked for no route")


def unroutable(lab):
    """How often the kernel of the proxy's host has found no route for what a program there sends."""
    return counters.total(lab.topology.proxy, "IpOutNoRoutes", "Ip6OutNoRoutes")


@requirement("TP-STREAM-18")
@both_families
@pytest.mark.parametrize("topology_name", ["hop"])
def test_a_large_transfer_passes_a_narrow_link_on_the_way_to_the_server(lab):
    """A router sends its error to the source of a packet that is too large: the client's address, if the proxy uses it."""
    narrow(lab, "server0")
    lab.serve()
    flow = lab.client.connect(lab.vip)
    large_transfer(lab, flow.client, flow.server)


@requirement("TP-STREAM-19")
@both_families
@pytest.mark.parametrize("topology_name", ["one-arm"])
def test_a_large_transfer_passes_a_narrow_link_on_the_way_to_the_client(lab):
    """Here the router sends its error to the VIP, an address that the proxy's host does not have."""
    narrow(lab, "client0")
    lab.serve()
    flow = lab.client.connect(lab.vip)
    large_transfer(lab, flow.server, flow.client)


def narrow(lab, link):
    """Give the router's link a smaller MTU, and divert its errors to the proxy."""
    lab.topology.hosts["router"].ip(f"link set {link} mtu 1300")
    steering.divert_icmp(lab)


def large_transfer(lab, sender, receiver):
    stream.together(
        lambda: stream.feed(sender, 2 * MEGABYTE, seed=1),
        lambda: stream.check(receiver, 2 * MEGABYTE),
    )
    if not counters.total(lab.topology.hosts["router"], "IcmpOutDestUnreachs", "Icmp6OutPktTooBigs"):
        raise GuardFailed("no packet was too large for the narrow link")


@requirement("TP-STREAM-20")
@every_relay
@each_end
@pytest.mark.parametrize("behind", [BULK // 2, 0], ids=["more", "end"])
def test_urgent_data_keeps_no_other_byte_from_its_place(lab, relay, closer, reader, behind):
    """The urgent byte itself may arrive in its place, or not at all.

    First the bytes from it on are sent separately, when all earlier bytes have been relayed. Then all are sent at once.
    """
    proxy = lab.serve(relay=relay)
    before, rest = bytes(stream.expected(0, BULK)), bytes(stream.expected(BULK, behind))
    sender, receiver = ends(lab.client.connect(lab.vip), closer, reader)
    sender.send(before)
    assert receiver.receive(BULK) == before
    send_urgent(sender, rest)
    check_urgent(receiver, b"", rest)

    sender, receiver = ends(lab.client.connect(lab.vip), closer, reader)
    with proxy.paused():
        sender.send(before)
        send_urgent(sender, rest)
        waiting.until(lambda: not sender.unacknowledged(), "all of it waits at the proxy's host")
    check_urgent(receiver, before, rest)


def send_urgent(sender, rest):
    sender.send_urgent(URGENT)
    sender.send(rest)
    sender.finish()


def check_urgent(receiver, before, rest):
    how, received = receiver.ending()
    assert how == "eof", f"a reset after {len(received)} of {len(before + rest)} bytes"
    seen = f"{len(received)} bytes arrived of {len(before)} before the urgent one and {len(rest)} behind it"
    assert len(received) - len(before + rest) in (0, len(URGENT)), seen
    assert received in (before + rest, before + URGENT + rest), f"{seen}, not in their order"


@requirement("TP-STREAM-21")
@every_relay
@each_end
def test_urgent_data_costs_no_processor_time(lab, relay, closer, reader):
    proxy = lab.serve(relay=relay)
    sender, receiver = ends(lab.client.connect(lab.vip), closer, reader)
    sender.send(bytes(BULK))
    assert receiver.receive(BULK) == bytes(BULK)
    sender.send_urgent(URGENT)
    sender.send(b"more")
    assert proxy.busy_share([sender]) < 0.5
    receiver.send(b"answer")
    assert sender.receive(6) == b"answer"


@requirement("TP-STREAM-22")
@both_families
@pytest.mark.parametrize("last_words", [b"", b"request"], ids=["silent", "asking"])
def test_a_session_ends_when_its_client_resets_while_the_server_is_silent(lab, last_words):
    """An earlier client that stays shows that the attempt did not end by itself.

    The client's last bytes and its reset arrive together, so the proxy does not read the bytes before the reset.
    """
    proxy = lab.start(servers=[lab.silent_server()], **lab.long_connect).await_ready()
    lab.client.open(lab.vip).send(b"hello")
    earlier = waiting.until(lab.proxy.attempts, "the proxy tries to connect for the client that stays")
    leaves = lab.client.open(lab.vip)
    leaves.send(b"hello")
    waiting.until(lambda: lab.proxy.attempts() > earlier, "the proxy tries to connect for the client that leaves, too")
    with proxy.paused():
        leaves.send(last_words)
        leaves.reset()
    waiting.until(lambda: lab.proxy.attempts() == earlier, "its attempt for the client that has reset ends")


@requirement("TP-STREAM-23")
@each_relay
@each_end
@pytest.mark.parametrize("reset", ["alone", "with the bytes", "with an answer", "behind an answer"])
def test_what_was_sent_before_a_reset_reaches_a_slow_reader(lab, relay, closer, reader, reset):
    """The reader's kernel buffers few bytes, so the proxy holds the rest when the reset arrives.

    The reset may arrive after the bytes, together with them, or together with them and with bytes that the reader has
    sent. Where these came first, the proxy notices the reset when it writes them.
    """
    hosts = {"client": lab.client, "server": lab.server}
    hosts[reader].namespace.sysctl({"net.ipv4.tcp_rmem": "4096 4096 4096"})
    proxy = lab.serve(relay=relay)
    breaker, slow = ends(lab.client.connect(lab.vip), closer, reader)
    with contextlib.nullcontext() if reset == "alone" else proxy.paused():
        if reset == "behind an answer":
            slow.send(b"an answer")
            waiting.until(lambda: not slow.unacknowledged(), "the answer has reached the proxy's host")
        breaker.send(LATEST)
        waiting.until(lambda: not breaker.unacknowledged(), "all of it has reached the proxy's host")
        if reset == "alone":
            assert waiting.readable([slow.socket], waiting.seconds), "no byte comes"
        if reset == "with an answer":
            slow.send(b"an answer")
        breaker.reset()
    waiting.ended(slow.socket, 0.3)  # a wrong proxy has relayed the reset by then
    how, received = slow.ending(len(LATEST))
    assert received == LATEST, f"{how} after {len(received)} of {len(LATEST)} bytes"


@requirement("TP-STREAM-24")
@both_families
def test_a_client_that_ends_its_direction_before_its_server_answers_gets_its_answer(lab):
    """The server answers only the second request."""
    lab.start(**lab.long_connect).await_ready()
    lab.server.serve(lab.server_endpoint)
    neighbour = f"{lab.server.address} dev server0"
    lab.topology.proxy.ip(f"neigh replace {neighbour} lladdr 02:00:00:00:00:99 nud permanent")
    client = lab.client.open(lab.vip)
    client.send(b"request")
    client.finish()
    waiting.until(lambda: not client.unacknowledged(), "the client's end has reached the proxy's host")
    waiting.until(lab.proxy.attempts, "the proxy tries to connect")
    lab.topology.proxy.ip(f"neigh del {neighbour}")
    server = lab.server.accept(client)
    assert server.receive_to_end() == b"request"
    server.send(b"answer")
    server.finish()
    assert client.receive_to_end() == b"answer"


@requirement("TP-STREAM-27")
@each_end
def test_a_half_closed_session_has_timeouts_of_its_own(lab, closer, reader):
    """Those of whole sessions are ten minutes here. A session that is not half-closed goes on."""
    lab.serve(timeouts={"client": 600_000, "server": 600_000, "client_fin": 300, "server_fin": 300})
    whole = lab.client.connect(lab.vip)
    first, last = ends(lab.client.connect(lab.vip), closer, reader)
    first.finish()
    assert last.ending() == ("eof", b"")
    assert first.ending()[0] in ("eof", "reset")
    whole.exchange()


@requirement("TP-STREAM-28")
@each_relay
@each_end
@pytest.mark.parametrize("sent", [b"", b"the first half of an answer"], ids=["silent", "after bytes"])
def test_a_reset_after_the_other_sides_end_arrives_as_a_reset(lab, relay, closer, reader, sent):
    """As when a server fails in the middle of its answer: the client must not take what it has for the whole."""
    lab.serve(relay=relay)
    waits, fails = ends(lab.client.connect(lab.vip), closer, reader)
    waits.finish()
    assert fails.ending() == ("eof", b"")
    fails.send(sent)
    assert waits.receive(len(sent)) == sent
    fails.reset()
    assert_reset(waits, closer)


@requirement("TP-STREAM-29")
def test_long_streams_arrive_exact_however_the_proxy_relays_by_itself(lab):
    """The scenario does not say how to relay."""
    lab.serve()
    flow = lab.client.connect(lab.vip)
    stream.together(
        lambda: stream.feed(flow.client, LONG, seed=1),
        lambda: stream.check(flow.server, LONG),
        lambda: stream.feed(flow.server, LONG, seed=2),
        lambda: stream.check(flow.client, LONG),
    )


@requirement("TP-STREAM-30")
@each_end
def test_a_proxy_that_is_to_splice_moves_bytes_through_a_pipe(lab, closer, reader):
    """splice(2) needs a pipe. A proxy that copies has none while bytes flow that it has not without them."""
    proxy = lab.serve(relay="splice")
    before, during = proxy.pipes(), set()
    sender, receiver = ends(lab.client.connect(lab.vip), closer, reader)

    def look(position):
        if position % MEGABYTE == 0:
            during.update(proxy.pipes() - before)

    stream.together(
        lambda: stream.feed(sender, 8 * MEGABYTE, seed=1),
        lambda: stream.check(receiver, 8 * MEGABYTE, look),
    )
    assert during, "the proxy is to relay by splice, and has no pipe while bytes flow"


@requirement("TP-STREAM-05")
@each_relay
@each_end
def test_a_reset_that_meets_bytes_arrives_as_a_reset(lab, relay, closer, reader):
    """The proxy finds both at once. When it sends the bytes, send() reports the reset; after that, recv() reports an end."""
    proxy = lab.serve(relay=relay)
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    breaker, other = ends(flow, closer, reader)
    with proxy.paused():
        other.send(b"bytes for a side that is gone")
        waiting.until(lambda: not other.unacknowledged(), "the bytes are at the proxy's host")
        reset_while_paused(lab, flow, breaker)
    assert_reset(other, reader)


@requirement("TP-STREAM-05")
@each_relay
@each_end
def test_a_reset_that_meets_the_other_sides_end_arrives_as_a_reset(lab, relay, closer, reader):
    """The proxy finds both at once. When it passes the end on, shutdown() fails, and that must end no other session."""
    proxy = lab.serve(relay=relay)
    flow, bystander = lab.client.connect(lab.vip), lab.client.connect(lab.vip)
    flow.exchange()
    waits, fails = ends(flow, closer, reader)
    with proxy.paused():
        waits.finish()
        waiting.until(lambda: not waits.unacknowledged(), "the end is at the proxy's host")
        reset_while_paused(lab, flow, fails)
    assert_reset(waits, closer)
    bystander.exchange()


def reset_while_paused(lab, flow, end):
    """Reset an end of a flow, and wait until its link carries the reset."""
    of_client = end is flow.client
    link = lab.taps_by_name["client-eth0"] if of_client else lab.server_link
    port = flow.client.local.port if of_client else flow.server.peer.port
    end.reset()
    waiting.until(lambda: RST in flags_on(link, port), "the reset is on its way to the proxy")


@requirement("TP-STREAM-05")
@each_relay
@each_end
def test_a_reset_behind_bytes_reaches_a_slow_reader(lab, relay, closer, reader):
    """The proxy has to wait until the reader's host has the bytes, and no event tells it that they are acknowledged."""
    hosts = {"client": lab.client, "server": lab.server}
    hosts[reader].namespace.sysctl({"net.ipv4.tcp_rmem": "4096 4096 4096"})
    lab.serve(relay=relay)
    breaker, slow = ends(lab.client.connect(lab.vip), closer, reader)
    breaker.send(LATEST)
    waiting.until(lambda: not breaker.unacknowledged(), "all of it has reached the proxy's host")
    breaker.reset()
    how, _ = slow.ending()  # whether all bytes come is another requirement's
    assert how == "reset", f"the reset arrived as {how} at the {reader}, expected a reset"


@requirement("TP-STREAM-10")
@each_relay
@each_end
def test_small_messages_for_a_reader_that_stops_wait_until_it_reads(lab, relay, closer, reader):
    """Each message fits into the socket as a whole, until the proxy has one more for a socket that is full."""
    lab.limit_socket_buffers(BULK)
    lab.serve(relay=relay)
    other = lab.client.connect(lab.vip)
    sender, slow = ends(lab.client.connect(lab.vip), closer, reader)
    sent = 0
    while waiting.writable(sender.socket) and sent < MOST_SMALL:
        sent += sender.socket.send(stream.expected(sent, SMALL))
        other.exchange()
    assert sent < MOST_SMALL, "the proxy reads without limit, although the other side does not read"
    stream.check(slow, sent)


@requirement("TP-STREAM-31")
@both_families
def test_a_client_whose_server_does_not_answer_has_to_wait(lab):
    """It is stuck when its socket takes no more while the proxy begins to connect for one further client after another."""
    lab.limit_socket_buffers(64 << 10)
    lab.start(servers=[lab.silent_server()], **lab.long_connect).await_ready()
    stream.push_until_stuck(lab.client.open(lab.vip), lambda: await_another_attempt(lab), times=30)


def await_another_attempt(lab):
    """One more client, and the proxy tries to connect for it."""
    before = lab.proxy.attempts()
    lab.client.open(lab.vip).send(b"request")
    waiting.until(lambda: lab.proxy.attempts() - before, "the proxy tries to connect for a further client")
