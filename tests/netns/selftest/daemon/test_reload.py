"""What tproxyd does at SIGHUP beside what the catalogue asks of every proxy: messages, privileges, logs, nothing left."""

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from lab import waiting
from lab.peers.daemon import ADDRESS, PORT, SERVER, accept, connect, listen
from lab.peers.reloads import reload_under_load

from test_daemon import LOG, NOBODY, THREADS, WITH_SERVER, configured, exchange, held, may_become_another_user

OTHER = SERVER + 1  # a server that only a second configuration knows
MORE = PORT + 1  # a listener of that kind
IN_FORCE = "daemon.cfg is in force: "
NOT_USED = "daemon.cfg is not used, and the configuration before stays in force"
ROUNDS = 5  # what the C library keeps in reserve grows once, and is little beside them
RELOADS = 20
NET_BIND_SERVICE = 1 << 10


def reload(daemon, text=None, outcome=IN_FORCE):
    """Make it read another configuration; returns the line that says what became of that."""
    before = len(daemon.lines(outcome))
    if text is not None:
        daemon.config.write_text(text, encoding="utf-8")
    daemon.signal(signal.SIGHUP)
    return waiting.until(lambda: daemon.lines(outcome)[before:], f"{outcome!r} in the log:\n{daemon.log()}")[-1]


def end(client, there):
    client.close()
    assert there.ending()[0] == "eof"
    there.finish()


def refused(namespace, port):
    with contextlib.suppress(ConnectionRefusedError):
        connect(namespace, port).close()
        return False
    return True


def sockets_that_listen(daemon, port):
    """The inodes of its sockets that listen at a port."""
    lines = Path(f"/proc/{daemon.pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    return sorted(each[9] for each in fields if each[1].endswith(f":{port:04X}") and each[3] == "0A")


# What is in force


def test_sessions_go_on_with_the_server_that_they_began_with(namespace, start, server, other):
    daemon = start(configured(threads=THREADS))
    client = connect(namespace)
    there = accept(server)
    reload(daemon, configured(threads=THREADS).replace(f":{SERVER}", f":{OTHER}"))
    exchange(namespace, other)
    client.send(b"still")
    assert there.receive(5) == b"still"
    end(client, there)
    assert not waiting.readable([server], 0)
    assert daemon.stop() == 0
    assert "ended: 2 sessions: done 2;" in daemon.log()


def test_a_bad_file_changes_nothing_and_each_of_its_errors_is_logged(namespace, start, server):
    daemon = start(configured(threads=2))
    bad = configured(threads=2).replace(f":{PORT}", f":{MORE}") + "  frobnicate\n  retries many\n"
    reload(daemon, bad, NOT_USED)
    number = len(bad.splitlines())
    assert daemon.lines(f"SIGHUP: {daemon.config}:{number - 1}: error: 'frobnicate': unknown keyword")
    assert daemon.lines(f"SIGHUP: {daemon.config}:{number}: error: 'many': ")
    exchange(namespace, server)
    assert refused(namespace, MORE)
    daemon.config.unlink()
    reload(daemon, outcome=NOT_USED)
    assert daemon.lines("cannot be read: No such file or directory")
    exchange(namespace, server)
    reload(daemon, configured(threads=2))
    exchange(namespace, server)


def test_a_listener_that_cannot_be_bound_is_named_and_nothing_changes(namespace, start, server):
    daemon = start(configured(threads=THREADS))
    more = f"  bind {ADDRESS}:{MORE + 1}\n  bind {ADDRESS}:{MORE}\n"
    with contextlib.closing(listen(namespace, MORE)):
        reload(daemon, configured(threads=THREADS, proxy=WITH_SERVER + more), NOT_USED)
        line = daemon.lines("cannot listen on")[0]
        assert f"frontend web cannot listen on {ADDRESS}:{MORE}: Address already in use; another process" in line
        assert refused(namespace, MORE + 1)
        exchange(namespace, server)
    assert "3 listeners, 1 of them kept" in reload(daemon)
    connect(namespace, MORE).close()


def test_a_listener_that_stays_keeps_its_sockets(start):
    where = f"bind {ADDRESS}:{PORT}"
    text = configured(threads=THREADS).replace(where, f"{where} transparent")
    daemon = start(text)
    before = sockets_that_listen(daemon, PORT)
    assert len(before) == THREADS
    for words in ("", " transparent accept-proxy backlog 7", " name other"):
        reload(daemon, text.replace(f"{where} transparent", where + words))
        assert sockets_that_listen(daemon, PORT) == before


def test_clients_that_wait_at_a_listener_are_served_after_a_reload(namespace, start, server):
    """One place is taken, so they wait in the queue; the newer configuration has places for them."""
    text = configured("maxconn 1")
    daemon = start(text)
    first = connect(namespace)
    there = accept(server)
    waits = [connect(namespace) for _ in range(5)]
    reload(daemon, text)
    assert not waiting.readable([server], 0)
    reload(daemon, text.replace("maxconn 1", "maxconn 10"))
    for client in waits:
        end(client, accept(server))
    end(first, there)


def test_a_maxconn_counts_the_sessions_of_both_configurations(namespace, start, server):
    text = configured(threads=2) + "  maxconn 2\n"
    daemon = start(text)
    sessions = [(connect(namespace), accept(server)) for _ in range(2)]
    reload(daemon, text)
    waits = connect(namespace)
    waits.send(b"waits")
    for client, there in sessions:
        client.send(b"goes on")
        assert there.receive(7) == b"goes on"
    assert not waiting.readable([server], 0)
    end(*sessions[0])
    there = accept(server)
    assert there.receive(5) == b"waits"
    end(waits, there)
    end(*sessions[1])


def test_clients_that_wait_at_a_listener_that_goes_are_served(namespace, start, server):
    """The process does not run while they come, so that they are in its queue when it reloads."""
    both = configured(proxy=f"{WITH_SERVER}  bind {ADDRESS}:{MORE}\n")
    daemon = start(both)
    daemon.signal(signal.SIGSTOP)
    clients = [connect(namespace, MORE) for _ in range(20)]
    daemon.config.write_text(configured(), encoding="ascii")
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGCONT)
    for client in clients:
        end(client, accept(server))
    waiting.until(lambda: refused(namespace, MORE), "no client is accepted there any more")


@pytest.mark.parametrize("user", ["", f"user {NOBODY}"], ids=["root", NOBODY])
def test_a_wildcard_takes_the_place_of_an_address_and_gives_it_back(namespace, start, server, user):
    if user:
        may_become_another_user()
    address = configured(user, threads=THREADS)
    daemon = start(address)
    client = connect(namespace)
    there = accept(server)
    for text in (address.replace(f"bind {ADDRESS}:", "bind :"), address):
        reload(daemon, text)
        exchange(namespace, server)
    end(client, there)
    assert len(sockets_that_listen(daemon, PORT)) == THREADS


def test_many_signals_end_with_the_newest_file(namespace, start, server, other):
    """The files are large, so that a signal can come while an older one is read."""
    older = large(8000)
    newer = f"{older}  bind {ADDRESS}:{MORE}\n".replace(f":{SERVER}", f":{OTHER}")
    daemon = start(older)
    for text, count in [(newer, 52), (older, 51)] * 4 + [(newer, 52)]:
        for _ in range(200):
            daemon.signal(signal.SIGHUP)
        daemon.config.write_text(text, encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        waiting.until(lambda: f" {count} listeners" in "".join(daemon.lines(IN_FORCE)[-1:]), "the newest file is in force")
    exchange(namespace, other)


def test_a_pipe_is_not_waited_for(namespace, start, server):
    daemon = start(configured())
    daemon.config.unlink()
    os.mkfifo(daemon.config)
    reload(daemon, outcome=NOT_USED)
    assert daemon.lines("daemon.cfg is not a regular file, so it cannot be read again")
    exchange(namespace, server)
    assert daemon.stop() == 0


# What cannot change


def test_words_that_come_too_late_are_warned_of(start, folder):
    may_become_another_user()
    daemon = start(configured(f"pidfile {folder}/pid", threads=2))
    reload(daemon, configured(f"pidfile {folder}/other\nuser {NOBODY}", threads=3))
    for word, stays in (("nbthread", "2 stays; restart tproxyd for 3"), ("user", f"none stays; restart tproxyd for {NOBODY}")):
        assert daemon.lines(f"warning: '{word}': cannot change in a running process: {stays}"), daemon.log()
    assert daemon.lines(f"'pidfile': cannot change in a running process: {folder}/pid stays")
    assert not daemon.lines("warning: 'group'")
    assert daemon.stop() == 0
    assert not (folder / "pid").exists() and not (folder / "other").exists()


def test_a_privilege_that_was_dropped_is_missed(namespace, start, server):
    daemon = start(configured())
    reload(daemon, configured(proxy=f"{WITH_SERVER}  source 0.0.0.0 usesrc clientip\n"), NOT_USED)
    line = daemon.lines("CAP_NET_RAW is missing")[0]
    assert line.endswith("A reload cannot get it back, since tproxyd dropped what it did not need: restart it")
    exchange(namespace, server)


@pytest.mark.parametrize("user", ["", f"user {NOBODY}"], ids=["root", NOBODY])
def test_a_low_port_is_added_where_there_was_one_at_the_start(namespace, start, server, user):
    if user:
        may_become_another_user()
    text = configured(user).replace(f":{PORT}", ":80")
    daemon = start(text)
    assert held(daemon) == {NET_BIND_SERVICE}
    reload(daemon, f"{text}  bind {ADDRESS}:443\n")
    for port in (80, 443):
        client = connect(namespace, port)
        end(client, accept(server))


@pytest.mark.parametrize("source", [f"source {ADDRESS}:25", "source 0.0.0.0 usesrc client"])
def test_a_privilege_that_was_kept_is_not_missed(namespace, start, server, source):
    text = configured(proxy=f"{WITH_SERVER}  {source}\n")
    daemon = start(text)
    reload(daemon, text)
    assert not daemon.lines("is missing")
    assert exchange(namespace, server, source=99).peer.port in (25, 99)


def test_a_low_port_is_refused_where_there_was_none_at_the_start(namespace, start, server):
    daemon = start(configured())
    reload(daemon, f"{configured()}  bind {ADDRESS}:443\n", NOT_USED)
    line = daemon.lines(f"cannot listen on {ADDRESS}:443: Permission denied; this port needs CAP_NET_BIND_SERVICE")[0]
    assert line.endswith("restart it, or write a higher port")
    exchange(namespace, server)


def test_a_file_that_its_user_may_not_read_is_named(namespace, start, server):
    may_become_another_user()
    daemon = start(configured(f"user {NOBODY}"))
    daemon.config.chmod(0o600)
    reload(daemon, outcome=NOT_USED)
    assert f"{daemon.config}: error: cannot be read: Permission denied" in daemon.log()
    exchange(namespace, server)
    daemon.config.chmod(0o644)
    reload(daemon)


def test_the_hosts_own_addresses_are_refused_also_where_headers_are_new(namespace, start, server):
    """Whether an address is the host's own is asked by a system call that only such a configuration needs."""
    own = "192.0.2.9"
    namespace.ip(f"addr add {own}/32 dev lo")
    spoofs = configured(proxy=f"{WITH_SERVER}  source 0.0.0.0 usesrc clientip\n")
    daemon = start(spoofs)
    reload(daemon, spoofs.replace(f"bind {ADDRESS}:{PORT}", f"bind {ADDRESS}:{PORT} accept-proxy"))
    client = connect(namespace)
    client.send(f"PROXY TCP4 {own} 192.0.2.80 1000 80\r\n".encode())
    assert client.ending() == ("reset", b"")
    assert daemon.await_line("(header-address)") and not waiting.readable([server], 0)


# Logs


def test_logs_are_opened_and_closed_as_the_file_says(namespace, start, server, folder):
    """All with system calls restricted: a file, a syslog socket, stdout."""
    stderr, file = "log stderr format raw local0 info", folder / "log"
    text = configured(log=f"  {stderr}\n")
    daemon = start(text)
    before = daemon.descriptors()
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as syslog:
        syslog.bind(str(folder / "syslog"))
        syslog.settimeout(waiting.seconds)
        more = f"{stderr}\n  log file@{file} format raw local0 info\n  log {folder}/syslog local0 info\n  log stdout local0"
        reload(daemon, text.replace(stderr, more))
        assert daemon.descriptors() == before + 3
        assert IN_FORCE in syslog.recv(4096).decode()
        exchange(namespace, server)
        assert b"Connect from" in syslog.recv(4096)
    assert file.read_text().count("Connect from") == 1
    file.rename(folder / "log.1")
    reload(daemon)
    assert file.read_text().startswith(f"SIGHUP: reopened the log file {file}\n")
    reload(daemon, text)
    waiting.until(lambda: daemon.descriptors() == before, "the logs are closed")


def test_a_syslog_socket_that_is_missing_is_reported(start, folder):
    daemon = start(configured())
    reload(daemon, configured(log=f"{LOG}  log {folder}/none local0\n"))
    assert f"warning: the log {folder}/none cannot be reached: No such file or directory" in daemon.log()


def test_a_log_that_cannot_be_opened_leaves_all_as_it_was(namespace, start, server, folder):
    daemon = start(configured())
    reload(daemon, configured(log=f"{LOG}  log file@{folder}/none/log local0\n"), NOT_USED)
    assert f"cannot open the log {folder}/none/log: No such file or directory" in daemon.log()
    exchange(namespace, server)


# Nothing is left


def resident(daemon):
    """Its memory in KiB, without pages of files."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii"))[1])


GLOBALS = "global\n  nbthread 2\n  log stderr format raw local0 notice\n"
SECTIONS = "".join(f"backend b{number}\n  mode tcp\n  timeout server 10m\n  timeout connect 5s\n" for number in range(400))


def large(first):
    """A configuration of some 100 KiB of memory, with 50 more listeners."""
    return f"{GLOBALS}{SECTIONS}{WITH_SERVER}  bind {ADDRESS}:{first}-{first + 49}\n  log global\n"


def reload_often(namespace, daemon, server):
    for number in range(RELOADS):
        reload(daemon, large(8000 + 20 * (number % 2)))
        end(connect(namespace), accept(server))


def still_passes(client, there):
    client.send(b"still")
    assert there.receive(5) == b"still"


def test_reloads_leave_no_descriptor(namespace, start, server):
    """A session that is open all the time holds the oldest configuration, and no other."""
    daemon = start(large(8020))
    before = daemon.descriptors()
    client = connect(namespace)
    there = accept(server)
    reload_often(namespace, daemon, server)
    still_passes(client, there)
    end(client, there)
    waiting.until(lambda: daemon.descriptors() == before, f"it has {before} descriptors again")


@pytest.mark.soak  # left out with sanitizers, which keep memory that was freed
def test_reloads_leave_no_memory(namespace, start, server):
    daemon = start(large(8020))
    client = connect(namespace)
    there = accept(server)

    def most():
        """What it has after a round goes up and down with the allocator's pages; the most of some rounds stays."""
        found = []
        for _ in range(ROUNDS):
            reload_often(namespace, daemon, server)
            still_passes(client, there)  # so that it never waits for as long as its timeouts say
            found.append(resident(daemon))
        return max(found)

    before = most()
    assert most() - before < ROUNDS * RELOADS * 5, "of a configuration of 100 KiB, 5 KiB are left at each reload"
    end(client, there)


def test_a_reload_that_fails_leaves_no_descriptor(namespace, start):
    daemon = start(configured(threads=THREADS))
    before = daemon.descriptors()
    more = "".join(f"  bind {ADDRESS}:{port}\n" for port in (MORE + 1, MORE))
    with contextlib.closing(listen(namespace, MORE)):
        reload(daemon, configured(threads=THREADS, proxy=WITH_SERVER + more), NOT_USED)
    reload(daemon, f"{configured()}  frobnicate\n", NOT_USED)
    assert daemon.descriptors() == before


def test_without_descriptors_a_reload_fails_and_a_later_one_works(namespace, start, server):
    daemon = start(configured())
    limit = daemon.allow_no_descriptor_more()
    reload(daemon, f"{configured()}  bind {ADDRESS}:{MORE}\n", NOT_USED)
    assert "cannot be read: Too many open files" in daemon.log()
    daemon.allow_descriptors(limit)
    reload(daemon)
    exchange(namespace, server)


# Under load


@pytest.mark.parametrize("relay, threads", [("splice", THREADS), ("copy", 1), ("auto", 2)])
def test_reloads_during_many_connections_lose_none(namespace, folder, relay, threads):
    """A short run of what tests/netns/reloads does."""
    outcome = reload_under_load(namespace, folder, threads, relay, reloads=12, pace=50)
    assert not outcome.failures
    assert outcome.bad == 1 and outcome.reloads == 14
    assert outcome.descriptors == 0


# The end


def test_after_sigusr1_the_file_is_not_read_again(namespace, start, server):
    daemon = start(configured())
    client = connect(namespace)
    there = accept(server)
    reload(daemon)
    daemon.signal(signal.SIGUSR1)
    daemon.await_line("SIGUSR1: ")
    reload(daemon, outcome="is not read again, since tproxyd accepts no more clients")
    end(client, there)
    assert daemon.await_end() == 0


def test_sigterm_resets_the_sessions_of_all_configurations(namespace, start, server):
    daemon = start(configured(threads=THREADS))
    clients = []
    for _ in range(3):
        clients.append((connect(namespace), accept(server)))
        reload(daemon)
    daemon.signal(signal.SIGHUP)
    assert daemon.stop() == 0
    for client, there in clients:
        assert client.ending()[0] == there.ending()[0] == "reset"
    assert "ended: 3 sessions: shutdown 3;" in daemon.log()


# The service manager


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_service_manager_is_told_of_each_step(namespace, start, folder, abstract):
    name = "\0tproxyd-notify" if abstract else str(folder / "notify")
    with namespace:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with manager:
        manager.bind(name)
        manager.settimeout(waiting.seconds)
        before = ("env", f"NOTIFY_SOCKET={name.replace(chr(0), '@')}")
        daemon = start(configured(threads=2), before=before)
        assert manager.recv(4096) == b"READY=1\nSTATUS=serves"
        for text, status in ((configured(threads=2), "reloaded"), ("frobnicate\n", "the reload failed: ")):
            earliest = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.config.write_text(text, encoding="ascii")
            daemon.signal(signal.SIGHUP)
            told = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.recv(4096).decode())
            assert manager.recv(4096).decode().startswith(f"READY=1\nSTATUS={status}")
            assert earliest <= int(told[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert daemon.stop() == 0
        assert manager.recv(4096) == b"STOPPING=1"


def test_a_service_manager_that_has_gone_disturbs_nothing(namespace, start, server, folder):
    daemon = start(configured(), before=("env", f"NOTIFY_SOCKET={folder}/none"))
    reload(daemon)
    exchange(namespace, server)
    assert daemon.stop() == 0
