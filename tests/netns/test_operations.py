"""OPS: start, stop, limits and logs."""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
from concurrent import futures

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.exceptions import Absent, GuardFailed
from lab.netns import counters, topology
from lab.netns.endpoint import Endpoint
from lab.peers import stream
from lab.peers.controls import shown_before
from lab.peers.flood import Flood
from lab.peers.flow import Flow
from lab.peers.hosts import TOKEN, bound_transparently
from lab.peers.proxy import ProxyEnded
from lab.setup.variants import both_families

GONE = ("refused", "unreachable")
FEW = 256  # descriptors of the proxy
NOBODY = "nobody"
NEEDED = 1 << 10 | 1 << 12 | 1 << 13  # net_bind_service, net_admin, net_raw
CROWD = FEW // 2 + 2  # clients: more sessions than these descriptors suffice for
HELD = 8  # sessions that it can always hold with them
REFUSALS = 600  # each writes a line to the log
AT_ONCE = 20  # of them
TIME_TO_STOP = 1.0  # seconds of processor time; proxies need 0.02 to 0.13 on a quiet machine, and several times that on a loaded one
QUEUE = 1024  # clients that can wait at a listener: so many that a slow proxy does not empty the queue by chance
IN_QUEUE = 4  # clients that wait at a listener together with one more: listen(2) with 5 has room for 6
LEAVING = 60  # clients: more than the few slots that an adapter may add to the configured one
PLACES = 20  # sessions at the same time
RELOADED = 3  # clients after a reload
RELOADS = 3  # twice so many reloads: each may leave a descriptor
TOO_MANY = 200  # clients, far more than there are places
TURNS = 10  # messages of each session, in which a proxy without a limit accepts all that wait


@requirement("TP-OPS-01")
def test_sigterm_stops_at_once(lab):
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    proxy.signal(signal.SIGTERM)
    proxy.await_end()
    for side in ("client", "server"):
        assert ends_by_a_signal(proxy, getattr(flow, side), side)
    assert lab.client.try_connect(lab.vip)[0] in GONE


def ends_by_a_signal(proxy, end, side):
    try:
        return end.ending()[0] in ("eof", "reset")
    except TimeoutError:
        running = len(proxy.processes())
        raise TimeoutError(
            f"waited {waiting.seconds:g} s after SIGTERM, and the {side}'s connection did not end; "
            f"{running} process{'es' if running != 1 else ''} of the proxy still run{'s' if running == 1 else ''}"
        ) from None


@requirement("TP-OPS-02")
def test_after_sigusr1_new_clients_are_refused_and_sessions_finish(lab):
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    proxy.signal(signal.SIGUSR1)
    waiting.until(lambda: not lab.proxy.listens(lab.vip), "the proxy closes its listener")
    assert lab.client.try_connect(lab.vip)[0] in GONE
    flow.exchange()
    flow.client.finish()
    assert flow.server.receive_to_end() == b""
    flow.server.finish()
    assert flow.client.ending() == ("eof", b"")
    assert proxy.await_end() == 0


@requirement("TP-OPS-03")
def test_without_descriptors_left_sessions_go_on_and_later_clients_are_served(lab):
    lab.serve(nofile=FEW, **lab.wished("threads", threads=1))
    serve_a_crowd(lab)


@requirement("TP-OPS-20")
def test_a_sudden_lack_of_descriptors_loses_no_client(lab):
    proxy = lab.serve(**lab.wished("threads", threads=1))
    proxy.allow_descriptors(FEW)
    serve_a_crowd(lab)


def serve_a_crowd(lab):
    """Some sessions while all descriptors are in use, then every client that had to wait."""
    clients = lab.client.connect_all(lab.vip, CROWD)
    held = [next_of(lab, clients) for _ in range(HELD)]
    must_keep_clients_waiting(lab)
    for flow in held:
        flow.exchange()
        flow.close()
    while clients:
        flow = next_of(lab, clients)
        flow.exchange()
        flow.close()


def must_keep_clients_waiting(lab):
    """End the test as unsupported where every client has a connection to the server, so that no descriptor was lacking.

    A limit of descriptors is one process's. A proxy with a process for each session, or with many of them, does not get there.
    """
    proxy = lab.proxies[-1]

    def all_served():
        proxy.check()
        return sum(remote == lab.server_endpoint for _, _, remote in lab.proxy.sockets("ESTABLISHED", {lab.family})) >= CROWD

    with contextlib.suppress(TimeoutError):  # one that spins has no rest; then it is judged
        proxy.await_rest(unless=all_served)
    if all_served():
        pytest.skip(f"unsupported: no process ran out of {FEW} descriptors, because {CROWD} sessions have several processes")


def next_of(lab, clients):
    """The next client that reaches the server."""
    try:
        server = lab.server.accept()
    except TimeoutError:
        lab.proxies[-1].check()  # it may have ended
        raise
    token = server.receive(TOKEN)
    return Flow(lab, clients.pop(token).result(waiting.seconds), server, token)


@requirement("TP-OPS-04")
def test_a_second_instance_on_the_same_port_is_refused(lab):
    first = lab.serve()
    second = lab.start()
    assert second.await_end() != 0
    second.must_name(lab.vip.address, first, lab.vip.address)
    lab.client.connect(lab.vip).exchange()


@requirement("TP-OPS-05")
@both_families
def test_a_missing_capability_is_reported_at_the_start(lab):
    usual = lab.serve()
    usual.stop()
    proxy = lab.start(without=("net_raw", "net_admin"))
    assert proxy.await_end() != 0
    proxy.must_name(lab.vip.address, usual, lab.vip.address)


@requirement("TP-OPS-06")
@both_families
def test_each_session_leaves_a_line_in_the_log(lab):
    proxy = lab.serve()
    client = session_of(lab, 4321)
    waiting.until(lambda: names_all(proxy.log(), client, 4321), f"a line of the log has {client} and the number of bytes, 4321")


def names_all(log, client, size):
    """Whether a line of a log has a client's address and port and a number, in whatever order and form."""
    wanted = (rf"(?<![\w.:]){re.escape(client.address)}(?![\w.])", rf"(?<![\w.]){client.port}(?![\w.])", rf"(?<![\w.]){size}(?![\w.])")
    return any(all(re.search(each, line) for each in wanted) for line in log.splitlines())


def session_of(lab, size):
    """Run a whole session with `size` bytes from the server; return the client's end."""
    flow = lab.client.connect(lab.vip)
    flow.client.finish()
    flow.server.send(bytes(size))
    flow.server.finish()
    flow.client.receive_to_end()
    return flow.client.local


def line_of(proxy, client):
    """The log's line that starts with a client's address and port."""
    pattern = re.compile(f"^{re.escape(client.address)}:{client.port} .*", re.M)
    return waiting.until(lambda: pattern.search(proxy.log()), f"a line of the log for {client}")[0]


@requirement("TP-OPS-07")
def test_waiting_clients_do_not_make_a_full_proxy_spin(lab):
    """A proxy that polls without a pause always runs or waits for a processor; one that waits for events does neither."""
    proxy = lab.serve(nofile=FEW, **lab.wished("threads", threads=1))
    clients = lab.client.connect_all(lab.vip, CROWD)
    held = [next_of(lab, clients) for _ in range(HELD)]
    must_keep_clients_waiting(lab)
    assert proxy.busy_share([flow.client for flow in held]) < 0.5
    proxy.check()


@requirement("TP-OPS-11")
def test_a_graceful_stop_in_the_middle_of_transfers_loses_no_byte(lab):
    lab.limit_socket_buffers(1 << 20)  # so that no kernel can buffer all remaining bytes
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    size, middle = 8 << 20, 4 << 20

    def stop(position):
        if position == middle:
            proxy.signal(signal.SIGUSR1)

    stream.together(
        lambda: stream.feed(flow.client, size, seed=1),
        lambda: stream.check(flow.server, size, stop),
        lambda: stream.feed(flow.server, size, seed=2),
        lambda: stream.check(flow.client, size),
    )
    flow.client.finish()
    assert flow.server.ending() == ("eof", b"")
    flow.server.finish()
    assert flow.client.ending() == ("eof", b"")
    assert proxy.await_end() == 0


@requirement("TP-OPS-12")
def test_a_reload_takes_on_one_more_listener_and_loses_no_connection(lab):
    more = Endpoint(lab.vip_address(81), lab.vip.port)
    proxy = lab.serve(reload=True)
    flow = lab.client.connect(lab.vip)

    def still_served():
        lab.client.connect(lab.vip).exchange()
        return lab.proxy.listens(more)

    lab.reload(proxy, listeners=[lab.listener(), lab.listener(more)], reload=True)
    waiting.until(still_served, "the proxy listens at the new address, too")
    lab.client.connect(more).exchange()
    flow.exchange(1 << 20)


@requirement("TP-OPS-13")
def test_a_listener_that_a_reload_removes_keeps_its_sessions(lab):
    gone = Endpoint(lab.vip_address(81), lab.vip.port)
    proxy = lab.serve(listeners=[lab.listener(), lab.listener(gone)], reload=True)
    flow = lab.client.connect(gone)
    lab.reload(proxy, reload=True)
    waiting.until(lambda: not lab.proxy.listens(gone), "the proxy listens there no more")
    assert lab.client.try_connect(gone)[0] in GONE
    flow.exchange(1 << 20)
    lab.client.connect(lab.vip).exchange()


@requirement("TP-OPS-14")
@both_families
def test_as_an_ordinary_user_it_keeps_no_capability_that_it_does_not_need(lab):
    if subprocess.run(["setpriv", f"--reuid={NOBODY}", "--clear-groups", "true"], check=False).returncode:
        raise Absent("this run's root may not become another user")
    with supplementary_group_of_root():
        proxy = lab.serve(source="clientip", user=NOBODY)
    waiting.until(lambda: all(0 not in ids for ids, _ in proxy.privileges()), "the proxy has left root, its groups included")
    for _, held in proxy.privileges():
        assert not held & ~NEEDED, f"capabilities {held:#x}"
    flow = lab.client.connect(lab.vip)
    assert flow.peer_seen_by_server.address == lab.client.address


@contextlib.contextmanager
def supplementary_group_of_root():
    """What is started meanwhile has the group root as a supplementary one, as what an init system starts."""
    before = os.getgroups()
    os.setgroups([0])
    try:
        yield
    finally:
        os.setgroups(before)


@requirement("TP-OPS-08")
def test_the_sessions_line_is_haproxys_tcplog(lab):
    line = line_of(lab.serve(), session_of(lab, 4321))
    when = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d\.\d{3}\]"
    assert re.search(rf"^\S+ {when} \S+ \S+/\S+ \d+/\d+/\d+ 4321 -- (\d+/){{4}}\d+ \d+/\d+$", line), line


@requirement("TP-OPS-21")
def test_the_place_of_a_client_that_resets_while_its_server_is_silent_is_free(lab):
    """There is one connection slot, and an attempt to connect does not end by itself."""
    lab.start(servers=[lab.silent_server()], maxconn=1, **lab.long_connect).await_ready()
    before = set()
    for number in range(LEAVING):
        client = lab.client.open(lab.vip)
        waiting.until(lambda: lab.proxy.attempts() - before, f"the proxy tries to connect for client {number + 1}")
        before = lab.proxy.attempts()
        client.reset()


@requirement("TP-OPS-22")
@pytest.mark.parametrize("log", ["sessions", "default"])
def test_a_full_log_that_is_never_read_delays_neither_clients_nor_the_stop(lab, log):
    """With `default` the configuration has no log settings; otherwise it is the adapter's usual one."""
    fields = {} if log == "sessions" else {"log": log}
    with shown_before("with a log that is read, clients are refused and served"):
        usual = lab.serve(**fields)
        serve_after_refusals(lab, lab.vip, AT_ONCE)
        usual.stop()
    again = Endpoint(lab.vip.address, lab.vip.port + 1)  # whether the same port can be used at once is another requirement's
    with unread_pipe() as (pipe, fill):
        proxy = lab.serve(listeners=[lab.listener(again)], output=pipe, **fields)
        with named_as_a_full_log(proxy):
            serve_after_refusals(lab, again, REFUSALS, fill)
            proxy.signal(signal.SIGTERM)
            proxy.await_end()


@contextlib.contextmanager
def named_as_a_full_log(proxy):
    """What fails within fails because of the log: it worked with a log that was read."""
    try:
        yield
    except (ConnectionError, TimeoutError) as problem:
        where = "the proxy is blocked in a write to it" if proxy.writes_to_a_full_pipe() else "a log that is read delays nothing"
        raise type(problem)(f"standard error is full, and {where}: {problem}") from None


def serve_after_refusals(lab, vip, count, before=lambda: None):
    """Many clients are refused, some at a time: a proxy may try a server again and again before it refuses one. Then one is served."""
    lab.server.refuse()
    before()
    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(count // AT_ONCE):
            for how, data in pool.map(lambda _: lab.client.try_connect(vip), range(AT_ONCE)):
                assert how in ("eof", "reset") and not data
    lab.server.serve(lab.server_endpoint)
    lab.client.connect(vip).exchange()


@contextlib.contextmanager
def unread_pipe():
    """The write end of a pipe that is full and never read."""
    reader, writer = os.pipe()

    def fill():
        filler = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(filler, bytes(1))
        os.close(filler)

    try:
        yield writer, fill
    finally:
        os.close(reader)
        os.close(writer)


@requirement("TP-OPS-23")
def test_sigterm_stops_while_clients_keep_coming(lab):
    stop_in_a_flood(lab, signal.SIGTERM)


@requirement("TP-OPS-24")
def test_a_graceful_stop_is_carried_out_while_clients_keep_coming(lab):
    assert stop_in_a_flood(lab, signal.SIGUSR1) == 0


def stop_in_a_flood(lab, number):
    """Stop the proxy in a flood: a client must be refused while the flood goes on. Return the proxy's exit status.

    The queue of clients that wait is full when the signal comes. It stays full: proxy and flood share one processor, and
    the proxy gets the much smaller part of it. There is no route to the server, so no session lasts. The proxy has
    processor time to stop in, not seconds: one part in thirty is its own, so the wait is long; the flood lasts longer.
    """
    lab.topology.proxy.sysctl({"net.core.somaxconn": QUEUE, "net.ipv4.icmp_ratelimit": 0})
    proxy = lab.start(servers=[Endpoint(topology.nowhere(lab.family), lab.server_endpoint.port)]).await_ready()
    with Flood(lab.client, lab.vip) as flood:
        with proxy.paused():
            proxy.stand_back(flood.processor)  # in a pause, for a process that gets little time stops late
            full = overflows(lab)
            waiting.until(lambda: overflows(lab) > full, "more clients come than can wait")
            proxy.signal(number)
            before = proxy.processor_seconds()
        waiting.until(
            lambda: flood.was_refused() or proxy.processor_seconds() - before > TIME_TO_STOP,
            f"a client is refused, or the proxy has used {TIME_TO_STOP} s of processor time after the signal",
            times=10,
        )
        assert flood.was_refused(), f"{TIME_TO_STOP} s of processor time after the signal, the proxy still accepts clients"
    return proxy.await_end()


def overflows(lab):
    return counters.total(lab.topology.proxy, "TcpExtListenOverflows")


@requirement("TP-OPS-25")
def test_a_listener_that_is_its_own_server_takes_no_places_from_another(lab):
    """One client starts the loop, which would continue until no slot is left. A proxy may also refuse to start.

    The verdict is on what stays: a proxy that ends the loop itself, at the latest when no slot is left, passes.
    """
    own = Endpoint(lab.proxy_address_to_clients, 8000)
    lab.server.serve(lab.server_endpoint)
    listeners = [lab.listener(server=0), lab.listener(own, server=1, transparent=False)]
    proxy = lab.start("none", listeners, [lab.server_endpoint, own], maxconn=PLACES)
    try:
        proxy.await_ready()
    except ProxyEnded:
        assert proxy.await_end() != 0 and own.address in proxy.log()
        return
    with contextlib.suppress(ConnectionError):  # a proxy that finds the loop resets at once
        loop = lab.client.open(own)
        loop.send(b"request")
        proxy.await_rest(unless=lambda: waiting.readable([loop.socket], 0))
    for _ in range(5 * PLACES):
        flow = lab.client.connect(lab.vip)
        flow.exchange()
        flow.close()


@requirement("TP-OPS-26")
@both_families
@pytest.mark.parametrize("before, after", [("clientip", "clientip"), ("none", "clientip"), ("clientip", "none")])
def test_after_a_reload_the_server_sees_the_source_of_the_new_configuration(lab, before, after):
    more = Endpoint(lab.vip_address(81), lab.vip.port)
    addresses = {"clientip": lab.client.address, "none": lab.proxy.address}
    proxy = lab.serve(before, reload=True)
    assert lab.client.connect(lab.vip).peer_seen_by_server.address == addresses[before]
    lab.reload(proxy, after, listeners=[lab.listener(), lab.listener(more)], reload=True)
    waiting.until(lambda: lab.proxy.listens(more), "the proxy listens at the new address, too")
    for _ in range(RELOADED):
        seen = lab.client.connect(more).peer_seen_by_server.address
        assert seen == addresses[after], f"after the reload the server saw {seen}, not {addresses[after]}"


@requirement("TP-OPS-31")
def test_no_more_sessions_exist_than_configured(lab):
    """The first clients are held while the others wait, or are refused. How many may wait is up to the implementation."""
    lab.serve(maxconn=PLACES)
    held = [lab.client.connect(lab.vip) for _ in range(PLACES)]
    for _ in range(TOO_MANY):
        open_in_background(lab)
    for _ in range(TURNS):
        for flow in held:
            flow.exchange()
    further = 0
    while not lab.server.no_connection_came():
        lab.server.accept()
        further += 1
    assert further <= LEAVING, f"{PLACES + further} sessions exist, and maxconn is {PLACES}"


def open_in_background(lab):
    """Begin to connect to the proxy; the queue of those that wait may be full."""
    made = lab.client.socket(lab.vip.address)
    made.setblocking(False)
    made.connect_ex(tuple(lab.vip))


@requirement("TP-OPS-35")
def test_a_session_that_waits_costs_no_processor_time_after_sigusr1(lab):
    """A signal wakes a loop. What woke it has to be taken away, or it wakes the loop for ever."""
    proxy = lab.serve()
    flow = lab.client.connect(lab.vip)
    proxy.signal(signal.SIGUSR1)
    waiting.until(lambda: not lab.proxy.listens(lab.vip), "the proxy closes its listener")
    assert proxy.busy_share([flow.client, flow.server]) < 0.5
    flow.exchange()


@requirement("TP-OPS-36")
def test_a_session_that_waits_costs_no_processor_time_after_a_reload(lab):
    more = Endpoint(lab.vip_address(81), lab.vip.port)
    proxy = lab.serve(reload=True)
    flow = lab.client.connect(lab.vip)
    lab.reload(proxy, listeners=[lab.listener(), lab.listener(more)], reload=True)
    waiting.until(lambda: lab.proxy.listens(more), "the proxy listens at the new address, too")
    assert proxy.busy_share([flow.client, flow.server]) < 0.5
    flow.exchange()


@requirement("TP-OPS-38")
def test_a_client_that_waits_at_a_listener_is_served_after_a_reload(lab):
    """There is one place at first, and it is taken; the next configuration has more. A queue for one place may be short."""
    proxy = lab.serve(maxconn=1, reload=True)
    flow = lab.client.connect(lab.vip)
    waits = lab.client.open(lab.vip)
    flow.exchange()
    lab.reload(proxy, maxconn=PLACES, reload=True)
    assert_served(lab, waits)
    flow.exchange()


@requirement("TP-OPS-39")
def test_reloads_leave_no_descriptor_behind(lab):
    """A runtime may keep a few for later, so the number only has to come back to what it was after the first reloads."""
    more = Endpoint(lab.vip_address(81), lab.vip.port)
    proxy = lab.serve(reload=True)

    def reload_twice():
        lab.reload(proxy, listeners=[lab.listener(), lab.listener(more)], reload=True)
        waiting.until(lambda: lab.proxy.listens(more), "the proxy listens at the new address, too")
        lab.reload(proxy, reload=True)
        waiting.until(lambda: not lab.proxy.listens(more), "the proxy listens there no more")
        flow = lab.client.connect(lab.vip)
        flow.exchange()
        flow.close()

    reload_twice()
    proxy.await_rest()  # a process that a reload started has not opened its own yet
    before = proxy.descriptors_without_sessions()
    for _ in range(RELOADS):
        reload_twice()
    waiting.until(lambda: proxy.descriptors_without_sessions() <= before, f"the proxy has {before} descriptors again")


@requirement("TP-OPS-37")
@both_families
def test_a_proxy_that_is_started_again_serves_at_once(lab):
    """Its kernel still keeps the old connections, because the proxy ended them first: in FIN-WAIT-2 or in TIME-WAIT."""
    first = lab.serve()
    flow = lab.client.connect(lab.vip)
    flow.exchange()
    first.stop()
    lab.start().await_ready()
    lab.client.connect(lab.vip).exchange()
    flow.close()


@requirement("TP-OPS-32")
@both_families
def test_clients_that_reset_before_they_are_accepted_disturb_no_other(lab):
    """All of them wait at the listener when the proxy begins to accept, and some have left by then."""
    proxy = lab.serve()
    before = lab.client.connect(lab.vip)
    with proxy.paused():
        *leaving, stays = wait_at_the_listener(lab, IN_QUEUE + 1)
        for number, client in enumerate(leaving):
            client.send(b"request" if number % 2 else b"")
            client.reset()
    before.exchange()
    assert_served(lab, stays)
    assert_served(lab, lab.client.open(lab.vip))
    proxy.check()


def wait_at_the_listener(lab, count):
    """So many clients that a proxy which stands still has not accepted."""
    try:
        return [lab.client.open(lab.vip) for _ in range(count)]
    except TimeoutError:
        raise GuardFailed(f"the queue of the proxy's listener has no room for {count} clients: its backlog is too small") from None


def assert_served(lab, client):
    token = secrets.token_bytes(TOKEN)
    client.send(token)
    Flow(lab, client, server_of(lab, token), token).exchange()


def server_of(lab, token):
    """The server's end of a client, past those of clients that have left; these are not kept."""
    came = []

    def begins_with_it(server):
        with contextlib.suppress(OSError):
            return server.socket.recv(TOKEN, socket.MSG_PEEK | socket.MSG_DONTWAIT) == token

    def found():
        if not lab.server.no_connection_came():
            came.append(lab.server.accept())
        return next(filter(begins_with_it, came), None)

    server = waiting.until(found, "the bytes of the client that stays arrive at the server")
    server.receive(TOKEN)
    return server


@requirement("TP-OPS-33")
def test_a_reload_that_fails_changes_nothing_and_the_next_one_works(lab):
    """The adapter may say that the reload has failed. What shows that it is over is that a later one is carried out."""
    taken, more = (Endpoint(lab.vip_address(number), lab.vip.port) for number in (81, 82))
    proxy = lab.serve(reload=True)
    flow = lab.client.connect(lab.vip)
    neighbour = bound_transparently(lab.proxy, taken)
    with contextlib.suppress(AssertionError):
        lab.reload(proxy, listeners=[lab.listener(), lab.listener(taken)], reload=True)
    flow.exchange()
    lab.client.connect(lab.vip).exchange()
    neighbour.close()

    def still_served():
        lab.client.connect(lab.vip).exchange()
        return lab.proxy.listens(more)

    lab.reload(proxy, listeners=[lab.listener(), lab.listener(more)], reload=True)
    waiting.until(still_served, "the proxy listens at the address of the second reload")
    lab.client.connect(more).exchange()
    flow.exchange(1 << 20)
