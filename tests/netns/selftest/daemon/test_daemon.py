"""What only tproxyd does: its arguments, logs, privileges, pidfile and limits."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import termios
from pathlib import Path

import pytest

from lab import waiting
from lab.netns.endpoint import RESETS
from lab.netns.firewall import load_rules
from lab.paths import TPROXYD
from lab.peers.daemon import ADDRESS, PORT, SERVER, Daemon, accept, connect, listen

NET_BIND_SERVICE, NET_RAW = 1 << 10, 1 << 13
NOBODY = "nobody"
THREADS = 4
REFUSED = "(connect-refused)"

GLOBAL = "global\n  nbthread {threads}\n"
LOG = "  log stderr format raw local0 info\n"
PROXY = f"""
listen web
  mode tcp
  bind {ADDRESS}:{PORT}
  retries 0
  timeout connect 5s
  timeout client 10m
  timeout server 10m
"""
WITH_SERVER = f"{PROXY}  server s {ADDRESS}:{SERVER}\n"


def configured(words="", threads=1, log=LOG, proxy=WITH_SERVER):
    """A configuration; `words` are further lines of `global`, `proxy` ends in the section whose log it is."""
    more = "".join(f"  {line}\n" for line in words.splitlines())
    return GLOBAL.format(threads=threads) + log + more + proxy + ("  log global\n" if log else "")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "tproxyd: no configuration; type `tproxyd -f FILE`\nusage: "),
        (["-c", "-f", "a.cfg", "b.cfg"], "tproxyd: unexpected argument 'b.cfg'\nusage: "),
        (["-z"], "type `tproxyd --help` for the options\n"),
    ],
    ids=["none", "another", "unknown"],
)
def test_wrong_arguments_are_named(arguments, message):
    done = subprocess.run([TPROXYD, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr and not done.stdout


def test_a_user_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "user.cfg"
    path.write_text(configured("user nosuchuser"), encoding="ascii")
    done = subprocess.run([TPROXYD, "-c", "-f", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: 'nosuchuser': no such user on this host; create it, or write another one\n" in done.stderr


@pytest.fixture
def start(namespace, tmp_path):
    """Starts tproxyd on a configuration; it ends with the test."""
    if not os.access(TPROXYD, os.X_OK):
        pytest.skip("absent: build/tproxyd; `make` builds it")
    with contextlib.ExitStack() as started:

        def run(text, **rest):
            place = tmp_path / f"daemon-{len(list(tmp_path.glob('daemon-*')))}"
            place.mkdir()
            return started.enter_context(contextlib.closing(Daemon(namespace, place, text, **rest)))

        yield run


@pytest.fixture
def server(namespace):
    with contextlib.closing(listen(namespace)) as made:
        yield made


def exchange(namespace, server, source=None):
    """Run a whole session; return the server's end."""
    client = connect(namespace, source=source)
    client.send(b"question")
    there = accept(server)
    assert there.receive(8) == b"question"
    there.send(b"answer")
    assert client.receive(6) == b"answer"
    client.close()
    assert there.ending()[0] == "eof"
    there.finish()
    return there


def refuse(namespace, times, source=None):
    """Clients that connect while no server listens. Each connection ends, maybe at once, without a byte."""
    for _ in range(times):
        try:
            with contextlib.closing(connect(namespace, source=source)) as client:
                assert client.ending()[1] == b""
        except OSError as error:
            assert error.errno in RESETS


def may_become_another_user():
    if subprocess.run(["setpriv", f"--reuid={NOBODY}", "--clear-groups", "true"], check=False).returncode:
        pytest.skip("absent: this run's root may not become another user")


# A log that no process reads


def fill(descriptor):
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x")
    os.set_blocking(descriptor, True)


@contextlib.contextmanager
def full_pipe():
    reader, writer = os.pipe()
    fill(writer)
    yield writer
    os.close(reader)
    os.close(writer)


@contextlib.contextmanager
def full_socket():
    """A stream to a journal, as from a service manager."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with reader, writer:
        fill(writer.fileno())
        yield writer


@contextlib.contextmanager
def stopped_terminal():
    master, terminal = os.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    yield terminal
    os.close(terminal)
    os.close(master)


@contextlib.contextmanager
def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("log", ["", LOG], ids=["no-log-line", "log-stderr"])
@pytest.mark.parametrize("place", [full_pipe, full_socket, stopped_terminal, closed_pipe])
def test_a_log_that_no_process_reads_holds_up_neither_sessions_nor_the_end(namespace, start, place, log):
    with place() as stderr:
        daemon = start(configured(threads=THREADS, log=log), stderr=stderr).await_ready()
        refuse(namespace, 50)
        with contextlib.closing(listen(namespace)) as server:
            for _ in range(10):
                exchange(namespace, server)
        assert daemon.stop() == 0


def test_a_reader_that_was_stopped_gets_a_line_about_what_it_missed(namespace, start, server):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    fill(writer)
    daemon = start(configured(), stderr=writer).await_ready()
    exchange(namespace, server)
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        while os.read(reader, 1 << 16):
            pass
    exchange(namespace, server)
    text = waiting.until(lambda: read_some(reader), "a line")
    assert re.match(r"log lines lost here: \d+ \(Resource temporarily unavailable\)\nConnect from ", text), text
    os.close(reader)
    os.close(writer)
    assert daemon.stop() == 0


def read_some(descriptor):
    with contextlib.suppress(BlockingIOError):
        return os.read(descriptor, 1 << 16).decode()
    return ""


def test_a_stderr_that_is_closed_is_no_clients_connection(namespace, start):
    daemon = start(configured(log=""), before=("sh", "-c", 'exec "$@" 2>&-', "sh")).await_ready()
    assert os.readlink(f"/proc/{daemon.pid}/fd/2") == "/dev/null"
    refuse(namespace, 1)


# What is logged


@pytest.mark.parametrize("level, lines", [("", 1), (" info", 1), (" debug", 5)])
def test_without_a_level_a_connection_leaves_one_line(namespace, start, server, level, lines):
    daemon = start(configured(log=f"  log stderr format raw local0{level}\n", proxy=f"{WITH_SERVER}  option tcplog\n"))
    daemon.await_ready()
    exchange(namespace, server)
    assert daemon.stop() == 0
    assert len(daemon.lines(ADDRESS)) == lines, daemon.log()


COUNTS = re.compile(r" (\d+/\d+/\d+/\d+/\d+) 0/0$", re.M)


def counts_of_three_sessions(namespace, daemon, server):
    """The counts of three simultaneous sessions that end one after another, and of a refused one."""
    clients, there = [], []
    for _ in range(3):  # one after another, so that the two ends are of one session
        clients.append(connect(namespace))
        there.append(accept(server))
    for number, (client, end) in enumerate(zip(clients, there), 1):
        client.close()
        assert end.ending()[0] == "eof"
        end.close()
        waiting.until(lambda n=number: len(COUNTS.findall(daemon.log())) == n, f"line {number}")
    server.close()
    refuse(namespace, 1)
    waiting.until(lambda: len(COUNTS.findall(daemon.log())) == 4, "the last line")
    return COUNTS.findall(daemon.log())


@pytest.mark.parametrize("retries", [0, 1])
def test_the_counts_of_a_line_are_haproxys(namespace, start, retries):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    proxy = WITH_SERVER.replace("retries 0", f"retries {retries}") + "  option tcplog\n"
    found = []
    for program in (TPROXYD, shutil.which("haproxy")):
        daemon = start(configured(proxy=proxy), program=program).await_ready()
        with contextlib.closing(listen(namespace)) as server:
            found.append(counts_of_three_sessions(namespace, daemon, server))
        daemon.close()
    assert found[0] == found[1]
    assert found[0] == ["3/3/2/2/0", "2/2/1/1/0", "1/1/0/0/0", f"1/1/0/0/{retries}"]


def test_a_flood_of_refusals_is_counted_by_few_lines(namespace, start):
    daemon = start(configured()).await_ready()
    refuse(namespace, 500)
    assert daemon.stop() == 0
    lines = daemon.lines(REFUSED)
    single = [line for line in lines if line.startswith(f"refused {ADDRESS}:")]
    counting = [int(line.split()[1]) for line in lines if " more: frontend web: " in line]
    assert len(single) + sum(counting) == 500
    assert len(single) + len(counting) == len(lines) < 250, daemon.log()
    assert "connect-refused 500" in daemon.log()


def test_missing_descriptors_are_reported_after_a_pause_at_maxconn(namespace, start, server):
    daemon = start(configured("maxconn 4")).await_ready()
    held = [connect(namespace) for _ in range(2)]
    there = [accept(server) for _ in range(2)]
    of_two = daemon.descriptors()
    held += [connect(namespace) for _ in range(4)]
    there += [accept(server) for _ in range(2)]
    for each in held[:4]:
        each.close()
    for each in there:
        assert each.ending()[0] == "eof"
        each.close()
    there = [accept(server) for _ in range(2)]
    waiting.until(lambda: daemon.descriptors() <= of_two, "the sessions that have ended have no descriptor any more")
    daemon.allow_no_descriptor_more()
    held.append(connect(namespace))
    line = daemon.await_line("accepting pauses until a session ends: Too many open files")
    assert "ulimit -n" in line


# Log files and syslog


def test_a_missing_syslog_socket_is_reported_at_the_start(start, folder):
    daemon = start(configured(log=f"  log {folder}/socket local0\n")).await_ready()
    line = daemon.await_line("cannot be reached")
    assert f"warning: the log {folder}/socket cannot be reached: No such file or directory" in line


def test_sighup_opens_a_renamed_log_file_again(namespace, start, server, folder):
    file, old = folder / "log", folder / "log.1"
    daemon = start(configured(threads=THREADS, log=f"  log file@{file} format raw local0 info\n")).await_ready()
    exchange(namespace, server)
    file.rename(old)
    daemon.signal(signal.SIGHUP)
    waiting.until(lambda: file.exists() and "is in force" in file.read_text(), "a new log file with lines")
    exchange(namespace, server)
    assert daemon.stop() == 0
    assert old.read_text().count("Connect from") == 1
    new = file.read_text()
    assert new.startswith(f"SIGHUP: reopened the log file {file}\nSIGHUP: {daemon.config} is in force")
    assert new.count("Connect from") == 1


def test_another_user_goes_on_with_the_old_file_until_it_may_have_a_new_one(namespace, start, server, folder):
    may_become_another_user()
    file, old = folder / "log", folder / "log.1"
    daemon = start(configured(f"user {NOBODY}", log=f"  log file@{file} format raw local0 info\n")).await_ready()
    assert file.owner() == NOBODY
    file.rename(old)
    daemon.signal(signal.SIGHUP)
    waiting.until(lambda: f"cannot reopen the log file {file}: Permission denied" in old.read_text(), "the reason")
    exchange(namespace, server)
    assert old.read_text().count("Connect from") == 1
    file.touch()  # as logrotate's `create` does
    shutil.chown(file, NOBODY)
    daemon.signal(signal.SIGHUP)
    waiting.until(lambda: "opened the log file" in file.read_text(), "lines in the new file")
    assert daemon.stop() == 0


# The PROXY protocol


OWN = "192.0.2.9"


def test_a_header_that_names_an_address_of_the_host_is_refused(namespace, start, server):
    """The kernel would connect from it: it is the proxy's own. With its system calls restricted, too."""
    namespace.ip(f"addr add {OWN}/32 dev lo")
    proxy = f"{WITH_SERVER}  source 0.0.0.0 usesrc clientip\n".replace(f"bind {ADDRESS}:{PORT}", f"bind {ADDRESS}:{PORT} accept-proxy")
    assert "accept-proxy" in proxy
    daemon = start(configured(proxy=proxy)).await_started()
    client = connect(namespace)
    client.send(f"PROXY TCP4 {OWN} 192.0.2.80 1000 80\r\n".encode())
    assert client.ending() == ("reset", b"")
    assert daemon.await_line("(header-address)") and not waiting.readable([server], 0)


# Servers where the client connected to


ANYWHERE = PROXY.replace(f"bind {ADDRESS}:{PORT}", f"bind :{PORT} transparent")
TO_ANYWHERE = {"server": "server s 0.0.0.0", "option": "option transparent"}


def assert_reset(namespace, **destination):
    """A client's connection is reset, maybe before connect() returns."""
    try:
        assert connect(namespace, **destination).ending() == ("reset", b"")
    except ConnectionResetError:
        pass


@pytest.mark.parametrize("words", TO_ANYWHERE.values(), ids=TO_ANYWHERE)
def test_a_refused_destination_is_named(namespace, start, words):
    """Its system calls are restricted, and it still finds out which addresses are its host's."""
    namespace.ip(f"addr add {OWN}/24 brd + dev lo")
    daemon = start(configured(proxy=f"{ANYWHERE}  {words}\n")).await_started()
    name = "s" if words.startswith("server") else "<NOSRV>"
    for address, reason in ((ADDRESS, "destination-address"), (OWN, "destination-own")):
        assert_reset(namespace, address=address)
        line = daemon.await_line(f"({reason})")
        assert f"frontend web, server web/{name} at {address}:{PORT}: " in line


def test_another_port_of_the_hosts_addresses_is_reached_from_this_host(namespace, start):
    namespace.ip(f"addr add {OWN}/32 dev lo")
    daemon = start(configured(proxy=f"{ANYWHERE}  server s *:{SERVER}\n")).await_started()
    with contextlib.closing(listen(namespace, address=OWN)) as server:
        client = connect(namespace, address=OWN)
        client.send(b"question")
        assert accept(server).receive(8) == b"question"
    assert daemon.stop() == 0


LEAD_BACK = f"""*mangle
-A OUTPUT -p tcp --dport {SERVER} -j MARK --set-mark 1
-A PREROUTING -i lo -p tcp --dport {SERVER} -j TPROXY --on-port {PORT} --tproxy-mark 1
COMMIT
"""


@pytest.mark.parametrize("threads", [1, THREADS])
@pytest.mark.parametrize("server", ["192.0.2.80:", "*:"], ids=["fixed", "original"])
def test_what_it_sends_is_refused_in_one_step_when_it_comes_back(namespace, start, server, threads):
    """Whichever thread accepts it, the client ends and nothing more is sent."""
    namespace.ip("link add own type veth peer name other", f"addr add {OWN}/24 dev own", "link set own up", "link set other up")
    namespace.ip("rule add fwmark 1 lookup 100", "route add local default dev lo table 100")
    load_rules(namespace, LEAD_BACK, 4, "iptables")
    daemon = start(configured(threads=threads, proxy=f"{ANYWHERE}  server s {server}{SERVER}\n")).await_started()
    destination = {"port": SERVER, "address": "192.0.2.80"} if server == "*:" else {}
    for number in range(1, 6):
        assert_reset(namespace, **destination)
        waiting.until(lambda: len(daemon.lines("(diverted-again)")) == number, "each is refused once")
    assert daemon.stop() == 0
    assert daemon.lines("ended: 10 sessions"), daemon.log()


# Privileges


def held(daemon):
    """The capabilities of all of its threads, each set."""
    return {int(status[name], 16) for status in daemon.statuses() for name in ("CapPrm", "CapEff")}


@pytest.mark.parametrize("user", ["", f"user {NOBODY}"], ids=["root", NOBODY])
def test_a_low_source_port_is_used_and_its_capability_kept(namespace, start, server, user):
    if user:
        may_become_another_user()
    daemon = start(configured(user, proxy=f"{WITH_SERVER}  source {ADDRESS}:25\n")).await_started()
    assert "keeps CAP_NET_BIND_SERVICE;" in daemon.log()
    assert held(daemon) == {NET_BIND_SERVICE}
    assert exchange(namespace, server).peer.port == 25


def test_a_low_port_of_a_client_is_used(namespace, start, server):
    daemon = start(configured(proxy=f"{WITH_SERVER}  source 0.0.0.0 usesrc client\n")).await_started()
    assert held(daemon) == {NET_BIND_SERVICE | NET_RAW}
    assert exchange(namespace, server, source=99).peer.port == 99


@pytest.mark.parametrize("source", ["", f"  source {ADDRESS}\n", f"  source {ADDRESS}:2500\n"])
def test_no_capability_is_kept_without_need(start, source):
    assert held(start(configured(proxy=WITH_SERVER + source)).await_started()) == {0}


WITHOUT = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")


def test_a_low_source_port_without_its_capability_is_an_error_at_the_start(start):
    daemon = start(configured(proxy=f"{WITH_SERVER}  source {ADDRESS}:25\n"), before=WITHOUT)
    assert daemon.await_end() == 1
    number = next(n for n, line in enumerate(daemon.config.read_text().splitlines(), 1) if "server s" in line)
    line = daemon.await_line("CAP_NET_BIND_SERVICE is missing")
    assert f"daemon.cfg:{number}: " in line and f"{ADDRESS}:25" in line and "AmbientCapabilities=" in line


def test_a_clients_port_without_its_capability_is_warned_of(namespace, start, server):
    daemon = start(configured(proxy=f"{WITH_SERVER}  source 0.0.0.0 usesrc client\n"), before=WITHOUT).await_started()
    assert "warning: CAP_NET_BIND_SERVICE is missing: with `usesrc client`" in daemon.log()
    refuse(namespace, 1, source=99)
    daemon.await_line("(source-denied)")
    exchange(namespace, server)


@pytest.mark.parametrize("source, printed", [("source 127.0.0.1:25", True), ("source 127.0.0.1:2500", False)])
def test_the_check_prints_which_capability_a_source_port_needs(tmp_path, source, printed):
    path = tmp_path / "low.cfg"
    path.write_text(f"{WITH_SERVER}  {source}\n", encoding="ascii")
    done = subprocess.run([TPROXYD, "-c", "-f", path], capture_output=True, text=True, check=True)
    assert ("needs the capability CAP_NET_BIND_SERVICE for source ports below 1024" in done.stdout) == printed


@pytest.mark.parametrize("user", ["", f"user {NOBODY}"], ids=["root", NOBODY])
def test_groups_and_bounding_set_are_dropped_and_system_calls_restricted(start, user):
    may_become_another_user()
    before = ("setpriv", "--groups=0,1,2")
    daemon = start(configured(user, threads=THREADS), before=before).await_started()
    statuses = list(daemon.statuses())
    # ThreadSanitizer has a thread of its own, which is there before main().
    restricted = len(statuses) - (b"__tsan_init" in Path(TPROXYD).read_bytes())
    assert restricted >= THREADS + 1
    for status in statuses:
        assert status["Groups"] == ""
        assert int(status["CapBnd"], 16) == int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    assert [status["Seccomp"] for status in statuses].count("2") == restricted
    assert "system calls are restricted" in daemon.log()


# Descriptors


@pytest.mark.parametrize("listeners", [1, 3])
def test_each_thread_takes_the_descriptors_that_are_planned_for_it(start, listeners):
    more = "".join(f"  bind {ADDRESS}:{PORT + each}\n" for each in range(1, listeners))
    taken = []
    for threads in (1, 3):
        daemon = start(configured(threads=threads, proxy=WITH_SERVER + more)).await_started()
        taken.append(daemon.descriptors())
        daemon.stop()
    assert taken[1] - taken[0] == 2 * (5 + listeners)


def test_a_low_descriptor_limit_is_warned_of_and_used_to_the_full(namespace, start, server):
    few = ("prlimit", "--nofile=64:64", "setpriv", "--bounding-set=-sys_resource")
    daemon = start(configured(), before=few).await_started()
    assert "warning: the descriptor limit of 64 has room for" in daemon.log()
    maxconn = int(re.search(r"maxconn (\d+)", daemon.log())[1])
    assert maxconn > 10
    clients = [connect(namespace) for _ in range(maxconn)]
    there = [accept(server) for _ in clients]
    for number, client in enumerate(clients):
        client.send(bytes([number]))
    assert sorted(each.receive(1)[0] for each in there) == list(range(maxconn))
    assert not daemon.lines("accepting pauses")


def test_a_descriptor_limit_without_room_for_a_session_is_an_error_that_names_one_with(start):
    def limited(number):
        few = ("prlimit", f"--nofile={number}:{number}", "setpriv", "--bounding-set=-sys_resource")
        return start(configured(threads=20), before=few)

    daemon = limited(64)
    assert daemon.await_end() == 1
    line = daemon.await_line("the descriptor limit of 64 is too low: 20 threads")
    named = int(re.search(r"ulimit -n (\d+), LimitNOFILE=\1\)", line)[1])
    assert limited(named - 1).await_end() == 1
    limited(named).await_started()


# The pidfile


def test_the_pidfile_has_its_number_and_is_gone_at_the_end(start, folder):
    pidfile = folder / "pid"
    daemon = start(configured(f"pidfile {pidfile}")).await_started()
    assert pidfile.read_text() == f"{daemon.pid}\n"
    assert daemon.stop() == 0
    assert not pidfile.exists()


def test_a_second_instance_does_not_touch_the_pidfile_of_the_first(start, folder):
    pidfile = folder / "pid"
    daemon = start(configured(f"pidfile {pidfile}")).await_started()
    second = start(configured(f"pidfile {pidfile}").replace(f":{PORT}", f":{PORT + 1}"))
    assert second.await_end() == 1
    assert f"cannot write the pidfile {pidfile}" in second.log() and "another tproxyd runs with it" in second.log()
    assert "ended: " not in second.log()
    assert pidfile.read_text() == f"{daemon.pid}\n"


def test_another_user_leaves_the_pidfile_empty_where_it_may_not_remove_it(start, folder):
    may_become_another_user()
    pidfile = folder / "pid"
    daemon = start(configured(f"pidfile {pidfile}\nuser {NOBODY}")).await_started()
    assert pidfile.read_text() == f"{daemon.pid}\n"
    assert daemon.stop() == 0
    assert pidfile.read_text() == ""
    again = start(configured(f"pidfile {pidfile}\nuser {NOBODY}")).await_started()
    assert pidfile.read_text() == f"{again.pid}\n"


def test_a_symbolic_link_is_no_pidfile(start, folder):
    pidfile, other = folder / "pid", folder / "other"
    other.write_text("not for us\n")
    pidfile.symlink_to(other)
    daemon = start(configured(f"pidfile {pidfile}"))
    assert daemon.await_end() == 1
    assert "symbolic link" in daemon.log()
    assert other.read_text() == "not for us\n"


@pytest.mark.parametrize("threads", [1, 3])
def test_a_start_that_fails_late_ends_no_sessions(start, threads):
    daemon = start(configured("pidfile /proc/none/pid", threads=threads))
    assert daemon.await_end() == 1
    assert "cannot write the pidfile /proc/none/pid: No such file or directory" in daemon.log()
    assert "ended: " not in daemon.log()
