"""tproxyd and a service manager: signs of life, and sockets that the manager has bound. The test stands for the manager."""

import contextlib
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from lab import waiting
from lab.netns import kernel
from lab.paths import TPROXYD
from lab.peers.daemon import ADDRESS, PORT, SERVER, Daemon, accept, connect
from lab.peers.reloads import churned

from test_daemon import NOBODY, WITH_SERVER, configured, exchange, may_become_another_user
from test_names import helper, named
from test_reload import NOT_USED, reload, sockets_that_listen
from test_reload_datagrams import Socket

THREADS = 3
SILENT = "does not answer; until it does, the service manager gets no sign of life"


def becomes(*words):
    """A command that sets what is in `words`, where $$ is the process, and becomes tproxyd."""
    return ("sh", "-c", " ".join(("export", *words, '; exec "$@"')), "sh")


@pytest.fixture
def manager(namespace, folder):
    with namespace:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with made:
        made.bind(str(folder / "notify"))
        made.settimeout(waiting.seconds)
        yield made


def watched(manager, interval=40000, process="$$"):
    return becomes(f"NOTIFY_SOCKET={manager.getsockname()}", f"WATCHDOG_USEC={interval}", f"WATCHDOG_PID={process}")


def read_all(manager):
    """What is in its queue."""
    manager.setblocking(False)
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(manager.recv(4096))
    manager.settimeout(waiting.seconds)
    return messages


def await_message(manager, wanted):
    while manager.recv(4096) != wanted:
        pass


def turns(thread):
    """How often a thread has waited."""
    status = Path(f"/proc/{thread}/status").read_text(encoding="utf-8", errors="replace")
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def await_turns(daemon, count):
    """The main thread's timer goes on."""
    before = turns(daemon.pid)
    waiting.until(lambda: turns(daemon.pid) >= before + count, f"{count} turns of the main thread")


def gives_no_sign(daemon, manager):
    """In five turns of the main thread; the thread that was stopped may have answered just before."""
    read_all(manager)
    await_turns(daemon, 5)
    return not read_all(manager)


# Signs of life


def test_signs_of_life_come_as_long_as_it_runs(start, manager):
    daemon = start(configured(threads=THREADS), before=watched(manager))
    assert manager.recv(4096).startswith(b"READY=1\n")
    for _ in range(5):
        assert manager.recv(4096) == b"WATCHDOG=1"
    assert daemon.stop() == 0
    await_message(manager, b"STOPPING=1")


@pytest.mark.parametrize("thread", range(1, THREADS + 1))
def test_a_thread_that_hangs_keeps_them_back(start, manager, thread):
    daemon = start(configured(threads=THREADS), before=watched(manager))
    threads = sorted(int(number) for number in os.listdir(f"/proc/{daemon.pid}/task"))
    assert threads[0] == daemon.pid and len(threads) == THREADS + 1
    with kernel.stopped_thread(threads[thread]):
        waiting.until(lambda: gives_no_sign(daemon, manager), "the signs of life end")
        daemon.await_line(f"thread {thread - 1} {SILENT}")
    daemon.await_line(f"thread {thread - 1} answers again")
    await_message(manager, b"WATCHDOG=1")
    assert daemon.stop() == 0


def test_the_main_thread_that_hangs_keeps_them_back(namespace, start, server, manager):
    daemon = start(configured(threads=2), before=watched(manager))
    with kernel.stopped_thread(daemon.pid):
        read_all(manager)
        exchange(namespace, server)
        assert not read_all(manager)
    await_message(manager, b"WATCHDOG=1")
    assert daemon.stop() == 0


@pytest.mark.parametrize("process, interval", [("1", 40000), ("$$", 0), ("$$", "soon"), ("x", 40000)])
def test_without_its_own_number_and_an_interval_none_comes(start, manager, process, interval):
    daemon = start(configured(), before=watched(manager, interval, process))
    daemon.config.write_text(configured(), encoding="ascii")
    daemon.signal(signal.SIGHUP)
    daemon.await_line("is in force: ")
    assert daemon.stop() == 0
    names = [message.partition(b"=")[0] for message in read_all(manager)]
    assert names == [b"READY", b"RELOADING", b"READY", b"STOPPING"]


def test_they_come_while_a_reload_waits_for_names(start, manager):
    daemon = start(named(), before=watched(manager))
    resolver = helper(daemon)
    os.kill(resolver, signal.SIGSTOP)
    daemon.signal(signal.SIGHUP)
    while not manager.recv(4096).startswith(b"RELOADING=1\n"):
        pass
    assert [manager.recv(4096) for _ in range(5)] == [b"WATCHDOG=1"] * 5
    os.kill(resolver, signal.SIGCONT)
    await_message(manager, b"READY=1\nSTATUS=reloaded")


def test_in_the_background_the_process_that_was_started_counts(start, manager, folder):
    """Type=forking: the variable names the command, and the daemon is its child."""
    text = configured(f"daemon\npidfile {folder}/pid", threads=2)
    daemon = start(text, before=watched(manager))
    assert daemon.await_end() == 0
    for _ in range(3):
        await_message(manager, b"WATCHDOG=1")
    os.kill(int((folder / "pid").read_text(encoding="ascii")), signal.SIGTERM)
    await_message(manager, b"STOPPING=1")


# Sockets of the manager

VIP = "192.0.2.80"
IP_TRANSPARENT = 19
PASS_ON = """
import fcntl, os, sys
passed = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 100) for word in sys.argv[1].split()]
for number, descriptor in enumerate(passed):
    os.dup2(descriptor, 3 + number)
    os.close(descriptor)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)), LISTEN_FDNAMES=":".join(["web.socket"] * len(passed)))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def bound(namespace):
    """Makes sockets as a manager does."""
    with contextlib.ExitStack() as made:

        def make(address=ADDRESS, port=PORT, kind=socket.SOCK_STREAM, share=False, transparent=False):
            with namespace:
                one = made.enter_context(socket.socket(socket.AF_INET, kind))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
            one.setsockopt(socket.SOL_IP, IP_TRANSPARENT, transparent)
            one.bind((address, port))
            if kind == socket.SOCK_STREAM:
                one.listen(1024)
            return one

        yield make


def activated(*passed, before=()):
    """The words of start() for a tproxyd that is started with them."""
    numbers = " ".join(str(one.fileno()) for one in passed)
    return {"before": (*before, sys.executable, "-c", PASS_ON, numbers), "keep": tuple(one.fileno() for one in passed)}


def as_nobody():
    """Without any capability, as a unit with DynamicUser= and none of AmbientCapabilities=."""
    may_become_another_user()
    return ("setpriv", f"--reuid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")


@pytest.fixture
def everyones(folder):
    """A tproxyd that every user may run; the tree may lie where only root looks."""
    return shutil.copy(TPROXYD, folder)


def inode(one):
    return str(os.fstat(one.fileno()).st_ino)


@pytest.mark.parametrize("threads", [1, THREADS])
@pytest.mark.parametrize("share", [False, True], ids=["one queue", "a queue each"])
def test_clients_at_a_socket_of_the_manager_are_served(namespace, start, server, bound, threads, share):
    passed = bound(share=share)
    early = [connect(namespace) for _ in range(5)]
    daemon = start(configured(threads=threads), **activated(passed))
    for client in early:
        there = accept(server)
        there.send(b"late, and not lost")
        there.finish()
    assert [client.receive(18) for client in early] == [b"late, and not lost"] * 5
    for _ in range(20):
        exchange(namespace, server)
    listening = sockets_that_listen(daemon, PORT)
    assert inode(passed) in listening and len(listening) == (threads if share else 1)
    assert daemon.stop() == 0


@pytest.mark.parametrize("threads", [1, THREADS])
def test_a_client_that_waited_is_like_any_other(namespace, start, server, bound, threads):
    """The kernel copies options from the listener when a client comes, which is before tproxyd has set them."""
    passed = bound()
    clients = [connect(namespace) for _ in range(4)]
    start(configured(threads=threads), **activated(passed))
    for client in (*clients, connect(namespace)):
        client.socket.send(b"an urgent byte", socket.MSG_OOB)
    for _ in range(5):
        there = accept(server)
        assert there.receive(14) == b"an urgent byte"
        there.finish()


def test_in_the_background_it_has_them_too(namespace, start, server, bound, folder):
    daemon = start(configured(f"daemon\npidfile {folder}/pid", threads=2), **activated(bound()))
    assert daemon.await_end() == 0
    exchange(namespace, server)
    os.kill(int((folder / "pid").read_text(encoding="ascii")), signal.SIGTERM)
    daemon.await_line("tproxyd ended")


@pytest.mark.parametrize("threads", [1, THREADS])
def test_restarts_lose_no_client(namespace, start, bound, threads):
    """The queue stays while no tproxyd runs. SIGUSR1 lets the sessions of the one before end."""
    words = activated(bound())
    with churned(namespace) as clients:
        for _ in range(5):
            with contextlib.closing(connect(namespace)) as waits:
                daemon = start(configured(threads=threads), **words)
                waits.send(b"x")
                assert waits.receive(1) == b"x"
            assert clients.stdout.readline() == b"done 50\n"
            daemon.signal(signal.SIGUSR1)
            assert daemon.await_end() == 0
        start(configured(threads=threads), **words)
        clients.send_signal(signal.SIGTERM)
        assert not [line for line in clients.stdout if not line.startswith(b"done ")]


def test_without_the_manager_a_restart_refuses_clients(namespace, start):
    """What the test before would see."""
    start(configured()).stop()
    with pytest.raises(ConnectionRefusedError):
        connect(namespace)


def test_a_reload_keeps_it(namespace, start, server, bound):
    passed = bound()
    daemon = start(configured(threads=2), **activated(passed))
    for backlog in (5, 7):
        line = reload(daemon, configured(threads=2, proxy=WITH_SERVER.replace(f":{PORT}", f":{PORT} backlog {backlog}", 1)))
        assert "1 listeners, 1 of them kept" in line
        exchange(namespace, server)
    assert sockets_that_listen(daemon, PORT) == [inode(passed)]


def test_a_reload_without_its_line_is_refused(namespace, start, server, bound):
    daemon = start(configured(), **activated(bound()))
    other = WITH_SERVER.replace(f":{PORT}", f":{PORT + 1}", 1)
    reload(daemon, configured(proxy=other), outcome=NOT_USED)
    missing = f"no bind line for the socket {ADDRESS}:{PORT} (TCP, web.socket) of the service manager; write `bind {ADDRESS}:{PORT}`"
    assert daemon.lines(missing)
    exchange(namespace, server)


@pytest.fixture
def fails(namespace, folder):
    """Starts a tproxyd that cannot start; returns its log."""

    def run(text, **words):
        with contextlib.closing(Daemon(namespace, folder, text, **words)) as daemon:
            assert daemon.await_end() == 1
            return daemon.log()

    yield run


def test_a_socket_without_a_line_ends_the_start(fails, bound):
    log = fails(configured(), **activated(bound(), bound(port=PORT + 1)))
    assert f"no bind line for the socket {ADDRESS}:{PORT + 1} (TCP, web.socket) of the service manager" in log


def test_one_that_is_no_listener_ends_the_start(namespace, fails, bound):
    with namespace, socket.socketpair()[0] as pair, open("/dev/null", "rb") as file:
        log = fails(configured(), **activated(bound(), pair, file))
    assert "descriptor 4 (web.socket) of the service manager cannot be served: it is not a socket of TCP or UDP" in log
    assert "descriptor 5 (web.socket) of the service manager cannot be served: it is not a socket; remove OpenFile=" in log


# Options and privileges

TRANSPARENT = WITH_SERVER.replace(f"{ADDRESS}:{PORT}", f"{VIP}:{PORT} transparent", 1)


def test_a_transparent_socket_of_the_manager_needs_no_capability(namespace, start, server, bound, everyones):
    namespace.ip(f"route add local {VIP}/32 dev lo")
    passed = bound(VIP, transparent=True)
    daemon = start(configured(threads=2, proxy=TRANSPARENT), **activated(passed, before=as_nobody()), program=everyones)
    assert "keeps no capability;" in daemon.log()
    with contextlib.closing(connect(namespace, address=VIP)) as client:
        there = accept(server)
        client.send(b"question")
        assert there.receive(8) == b"question"
        there.finish()
    reload(daemon)
    assert passed.getsockopt(socket.SOL_IP, IP_TRANSPARENT) == 1


def test_one_that_is_not_transparent_is_made_so(namespace, start, bound):
    namespace.ip(f"route add local {VIP}/32 dev lo")
    passed = bound(VIP)
    start(configured(proxy=TRANSPARENT), **activated(passed))
    assert passed.getsockopt(socket.SOL_IP, IP_TRANSPARENT) == 1


def test_where_it_may_not_be_made_so_the_log_says_what_to_write(namespace, fails, bound, everyones):
    namespace.ip(f"route add local {VIP}/32 dev lo")
    log = fails(configured(proxy=TRANSPARENT), **activated(bound(VIP), before=as_nobody()), program=everyones)
    assert "`transparent` needs CAP_NET_RAW: write Transparent=yes in the .socket unit" in log


def test_a_socket_of_another_user_is_shared_by_all_threads(namespace, start, server, bound, everyones):
    """Each cannot have a queue of its own, as the manager allows: the addresses of a socket are its owner's."""
    passed = bound(share=True)
    daemon = start(configured(threads=THREADS), **activated(passed, before=as_nobody()), program=everyones)
    exchange(namespace, server)
    assert sockets_that_listen(daemon, PORT) == [inode(passed)]


# Datagrams


@pytest.fixture
def sockets(namespace):
    """Makes those of clients and servers."""
    with contextlib.ExitStack() as made:

        def make(port=0):
            one = Socket(namespace, port)
            made.callback(one.socket.close)
            return one

        yield make


def relaying(threads):
    return f"""global
  nbthread {threads}
  log stderr format raw local0 info
listen names
  mode udp
  log global
  bind {ADDRESS}:{PORT}
  server s {ADDRESS}:{SERVER}
  timeout client 10m
"""


@pytest.mark.parametrize("threads", [1, THREADS])
def test_datagrams_of_a_client_are_one_flow(namespace, start, sockets, bound, threads):
    passed = bound(kind=socket.SOCK_DGRAM)
    server, early, clients = sockets(SERVER), sockets(), [sockets() for _ in range(12)]
    early.send(b"early", PORT)
    daemon = start(relaying(threads), **activated(passed))
    assert server.receive()[0] == b"early"
    ports = {}
    for _ in range(3):
        for number, client in enumerate(clients):
            client.send(b"%d" % number, PORT)
            data, port = server.receive()
            assert (data, ports.setdefault(number, port)) == (b"%d" % number, port)
            server.send(b"reply", port)
            assert client.receive() == (b"reply", PORT)
    assert daemon.stop() == 0
    assert f"ended: {len(clients) + 1} sessions" in daemon.log()


def test_threads_that_cannot_have_their_own_say_so(namespace, fails, bound, everyones):
    log = fails(relaying(2), **activated(bound(kind=socket.SOCK_DGRAM), before=as_nobody()), program=everyones)
    assert "threads of another user cannot share its address: write `nbthread 1`, or start tproxyd as root" in log
