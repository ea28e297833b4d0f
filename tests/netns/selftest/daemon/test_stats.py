"""The command sockets of a running tproxyd: how they are made, what a reload does to them, and who may not disturb it."""

import contextlib
import os
import resource
import signal
import socket
import stat as modes
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import waiting
from lab.peers.commands import ask, converse, info, sessions, stat
from lab.peers.daemon import ADDRESS, PORT, SERVER, Daemon, accept, connect

from test_daemon import LOG, PROXY, THREADS, WITH_SERVER, configured, exchange
from test_reload import NOT_USED, reload

MANY = 4000


def with_socket(path, words="level admin", threads=THREADS, proxy=WITH_SERVER, more=""):
    return configured(f"stats socket {path} {words}\n{more}", threads=threads, log=LOG, proxy=proxy)


def mode_of(path):
    return modes.S_IMODE(os.stat(path).st_mode)


# The socket


def test_a_socket_has_its_mode_and_owner_and_goes_with_the_process(start, path):
    daemon = start(with_socket(path, "mode 640 user nobody gid 7 level user"))
    found = os.stat(path)
    assert mode_of(path) == 0o640 and found.st_gid == 7 and found.st_uid != 0
    assert info(path)["Pid"] != "0" and info(path)["Nbthread"] == str(THREADS)
    assert not list(path.parent.glob("*.tmp"))
    assert daemon.stop() == 0
    assert not path.exists()


def test_a_name_that_is_left_over_is_used_again(start, path):
    first = start(with_socket(path))
    first.close()
    assert path.exists()
    start(with_socket(path).replace(f":{PORT}", f":{PORT + 1}"))
    assert ask(path, "show cli level") == "admin\n"


def test_a_name_that_another_instance_has_taken_stays_its(start, path):
    first = start(with_socket(path))
    second = start(with_socket(path).replace(f":{PORT}", f":{PORT + 1}"))
    assert first.stop() == 0
    assert info(path)["Pid"] == str(second.pid)


@pytest.mark.parametrize(
    "words, said",
    [
        ("user nosuchuser", "cannot find its user; write the name of one that exists"),
        ("group nosuchgroup", "cannot find its group; write the name of one that exists"),
    ],
)
def test_an_owner_that_does_not_exist_is_named(namespace, folder, path, words, said):
    place = folder / "daemon"
    place.mkdir()
    with contextlib.closing(Daemon(namespace, place, with_socket(path, words))) as daemon:
        assert daemon.await_end() == 1
        assert f"daemon.cfg:4: stats socket {path}: {said}" in daemon.log()


def test_a_folder_that_does_not_exist_is_named(namespace, folder):
    place = folder / "daemon"
    place.mkdir()
    with contextlib.closing(Daemon(namespace, place, with_socket(folder / "none" / "s"))) as daemon:
        assert daemon.await_end() == 1
        assert "cannot bind it: No such file or directory; its folder must exist" in daemon.log()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_stays_at_its_path(namespace, folder, path, kind):
    """A path that is wrong by a slip costs no file."""
    place, other = folder / "daemon", folder / "other"
    place.mkdir()
    other.write_text("precious", encoding="ascii")
    if kind == "file":
        path.write_text("precious", encoding="ascii")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
    with contextlib.closing(Daemon(namespace, place, with_socket(path))) as daemon:
        assert daemon.await_end() == 1
        assert f"daemon.cfg:4: stats socket {path}: cannot take its path: File exists; no socket is there" in daemon.log()
    assert path.is_dir() or path.read_text(encoding="ascii") == "precious"


# A reload


def test_a_reload_keeps_the_socket_and_a_conversation(start, path):
    daemon = start(with_socket(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(waiting.seconds)
        client.connect(str(path))
        client.sendall(b"prompt\n")
        assert client.recv(100) == b"\n> "
        inode = os.stat(path).st_ino
        reload(daemon)
        client.sendall(b"show cli level\n")
        assert client.recv(100).startswith(b"admin\n")
        assert os.stat(path).st_ino == inode
    assert ask(path, "show cli level") == "admin\n"


def test_no_command_is_lost_while_it_reloads(start, path):
    daemon = start(with_socket(path))
    stop = time.monotonic() + 2
    with ThreadPoolExecutor(1) as pool:

        def commands():
            count = 0
            while time.monotonic() < stop:
                assert ask(path, "show cli level") == "admin\n"
                count += 1
            return count

        found = pool.submit(commands)
        for number in range(10):
            reload(daemon, with_socket(path, f"level admin mode 6{number % 8}0"))
        assert found.result() > 20
    assert mode_of(path) == 0o610


def test_a_reload_moves_and_removes_sockets(start, path):
    daemon = start(with_socket(path))
    other = path.with_name("other")
    reload(daemon, with_socket(other, "level operator"))
    assert not path.exists() and ask(other, "show cli level") == "operator\n"
    reload(daemon, configured(threads=THREADS))
    assert not other.exists()


def test_a_reload_with_a_socket_that_cannot_be_made_changes_nothing(start, path):
    daemon = start(with_socket(path))
    reload(daemon, with_socket(path.parent / "none" / "s"), NOT_USED)
    assert daemon.lines("cannot bind it: No such file or directory")
    assert ask(path, "show cli level") == "admin\n"


def test_a_first_socket_takes_a_restart(start, path):
    daemon = start(configured(threads=THREADS))
    reload(daemon, with_socket(path), NOT_USED)
    assert daemon.lines("started without a `stats socket`")


def test_counters_and_settings_stay_over_a_reload(namespace, start, server, path):
    more = f"  server t {ADDRESS}:{SERVER} weight 5\n"
    daemon = start(with_socket(path, proxy=WITH_SERVER + more))
    assert ask(path, "set server web/t state drain") == ""
    for _ in range(3):
        exchange(namespace, server)
    assert ask(path, "set weight web/s 7") == ""
    reload(daemon)
    rows = waiting.until(lambda: stat(path)["web", "s"]["stot"] == "3" and stat(path), "three sessions are counted")
    assert rows["web", "t"]["status"] == "DRAIN" and rows["web", "t"]["stot"] == "0"
    assert ask(path, "get weight web/s") == "7 (initial 1)\n"
    exchange(namespace, server)
    waiting.until(lambda: stat(path)["web", "FRONTEND"]["stot"] == "4", "the fourth session is counted")
    reload(daemon, with_socket(path, proxy=WITH_SERVER.rstrip() + " weight 3\n" + more))
    assert ask(path, "get weight web/s") == "3 (initial 3)\n"


# Sessions


def test_a_session_is_shown_with_both_legs(namespace, start, server, path):
    start(with_socket(path))
    client = connect(namespace)
    client.send(b"question")
    there = accept(server)
    assert there.receive(8) == b"question"
    found = waiting.until(lambda: [each for each in sessions(path) if each["in"] == "8"], "the bytes are shown")[0]
    assert found["src"] == f"{ADDRESS}:{client.local.port}" and found["dst"] == f"{ADDRESS}:{PORT}"
    assert found["from"] == f"{ADDRESS}:{there.peer.port}" and found["to"] == f"{ADDRESS}:{SERVER}"
    assert found["state"] == "relaying" and found["out"] == "0"
    assert ask(path, f"show sess {found['id']}").startswith(f"{found['id']}: proto=tcpv4 ")
    client.close()
    there.finish()


def test_an_operator_ends_a_session_and_those_of_a_server(namespace, start, server, path):
    daemon = start(with_socket(path))
    pairs = [(connect(namespace), accept(server)) for _ in range(5)]
    found = sessions(path)
    assert len(found) == 5
    assert ask(path, f"shutdown session {found[0]['id']}") == ""
    waiting.until(lambda: len(sessions(path)) == 4, "one session is gone")
    assert ask(path, f"shutdown session {found[0]['id']}") == "No such session (use 'show sess').\n"
    assert ask(path, "shutdown sessions server web/s") == ""
    waiting.until(lambda: not sessions(path), "all sessions are gone")
    for each in pairs:
        assert [one.ending()[0] for one in each] == ["reset", "reset"]
    assert ask(path, "show reasons").splitlines()[1] == "web,FRONTEND,killed,ended,5"
    assert daemon.stop() == 0 and "killed 5" in daemon.log()


def test_sessions_of_older_configurations_are_shown_and_ended(namespace, start, server, path):
    daemon = start(with_socket(path))
    before, there = connect(namespace), accept(server)
    reload(daemon)
    after, here = connect(namespace), accept(server)
    found = sessions(path)
    assert sorted(each["src"] for each in found) == sorted(f"{ADDRESS}:{each.local.port}" for each in (before, after))
    for each in found:
        assert ask(path, f"shutdown session {each['id']}") == ""
    waiting.until(lambda: not sessions(path), "all sessions are gone")
    for each in (before, there, after, here):
        assert each.ending()[0] == "reset"


def allow_descriptors():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if limit < 3 * MANY:
        pytest.skip(f"absent: {3 * MANY} descriptors; the hard limit is {limit}")


def test_of_many_sessions_that_come_and_go_those_that_stay_are_shown_once(namespace, start, server, path):
    """While others come and go, each of 4,000 that stay is in every list, and no session is there twice."""
    allow_descriptors()
    start(with_socket(path))
    held = [(connect(namespace), accept(server)) for _ in range(MANY)]
    stay = {f"{ADDRESS}:{client.local.port}" for client, _ in held}
    stop = []
    with ThreadPoolExecutor(1) as pool:

        def churn():
            count = 0
            while not stop:
                exchange(namespace, server)
                count += 1
            return count

        churned = pool.submit(churn)
        for _ in range(10):
            found = sessions(path)
            assert len({each["id"] for each in found}) == len(found)
            shown = [each["src"] for each in found]
            assert stay <= set(shown) and len(shown) <= MANY + 10
            assert {each["state"] for each in found if each["src"] in stay} == {"relaying"}
        stop.append(True)
        assert churned.result() > 10
    for client, there in held:
        client.close()
        there.finish()
    waiting.until(lambda: not sessions(path), "all sessions are gone")
    assert int(stat(path)["web", "FRONTEND"]["smax"]) >= MANY


# Clients that do harm


def open_client(path, text=b""):
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(waiting.seconds)
    made.connect(str(path))
    made.sendall(text)
    return made


def memory_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_who_takes_nothing_costs_a_bounded_buffer_and_is_closed(start, path):
    servers = "".join(f"  server s{number} {ADDRESS}:{SERVER}\n" for number in range(500))
    daemon = start(with_socket(path, more="stats timeout 1s\n", proxy=PROXY + servers))
    before = memory_of(daemon.pid)
    with open_client(path, b"prompt\n" + b"show stat\n" * 300) as greedy:
        assert ask(path, "show cli level") == "admin\n"
        assert memory_of(daemon.pid) - before < 4096  # kB; 300 answers have 40 MB
        waiting.until(lambda: has_been_closed(greedy), "it is closed")


def has_been_closed(client):
    """Whether the other end is gone, with what it has sent still unread."""
    try:
        client.send(b"\n")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_who_says_nothing_is_closed(start, path):
    start(with_socket(path, more="stats timeout 200ms\n"))
    with open_client(path) as silent, open_client(path, b"show st") as slow:
        assert silent.recv(10) == b"" and slow.recv(10) == b""


def test_a_line_that_is_too_long_is_said(start, path):
    start(with_socket(path))
    answer = converse(path, "x" * 9000 + "\nshow info\n", ends=False)
    assert answer == "The line is too long: it can have 4095 bytes.\n"


def test_no_more_clients_than_maxconn_and_the_others_wait(start, path):
    daemon = start(with_socket(path, more="stats maxconn 3\n"))
    held = [open_client(path, b"prompt\n") for _ in range(3)]
    for each in held:
        assert each.recv(10) == b"\n> "
    with open_client(path, b"show cli level\n") as fourth:
        fourth.settimeout(0.2)
        with pytest.raises(TimeoutError):
            fourth.recv(100)
        held.pop().close()
        fourth.settimeout(waiting.seconds)
        assert fourth.recv(100) == b"admin\n\n"
    for each in held:
        each.close()
    assert daemon.stop() == 0


def test_made_up_bytes_do_no_harm(start, path):
    daemon = start(with_socket(path))
    for text in (b"\0\0\0\n", b"\xff" * 4000 + b"\n", b";;;;\n", b"show stat " + b"a " * 1000 + b"\n", b"\n" * 1000):
        with open_client(path, text) as client, contextlib.suppress(ConnectionResetError):
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert ask(path, "show cli level") == "admin\n"
    assert daemon.stop() == 0


def test_it_can_end_while_a_conversation_goes_on(namespace, start, server, path):
    daemon = start(with_socket(path))
    pairs = [(connect(namespace), accept(server)) for _ in range(50)]
    with open_client(path, b"prompt\nshow sess\n"):
        daemon.signal(signal.SIGTERM)
        assert daemon.await_end() == 0
    for each in pairs:
        assert [one.ending()[0] for one in each] == ["reset", "reset"]


# Datagrams


def test_flows_of_datagrams_are_counted_shown_and_ended(namespace, start, path):
    text = with_socket(path, proxy=WITH_SERVER.replace("mode tcp", "mode udp"))
    with namespace:
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    there.bind((ADDRESS, SERVER))
    there.settimeout(waiting.seconds)
    client.settimeout(waiting.seconds)
    start(text)
    client.connect((ADDRESS, PORT))
    client.send(b"question")
    data, source = there.recvfrom(100)
    there.sendto(b"answer", source)
    assert client.recv(100) == b"answer"
    found = sessions(path)
    assert len(found) == 1 and found[0]["proto"] == "udpv4" and found[0]["in"] == "8" and found[0]["out"] == "6"
    assert found[0]["src"] == f"{ADDRESS}:{client.getsockname()[1]}" and found[0]["from"] == f"{ADDRESS}:{source[1]}"
    assert stat(path)["web", "s"]["scur"] == "1"
    assert ask(path, f"shutdown session {found[0]['id']}") == ""
    waiting.until(lambda: not sessions(path), "the flow is gone")
    row = stat(path)["web", "BACKEND"]
    assert (row["stot"], row["scur"], row["bin"], row["bout"]) == ("1", "0", "8", "6")
    client.close()
    there.close()


def test_a_server_that_refuses_is_counted_by_its_reason(namespace, start, server, path):
    start(with_socket(path, proxy=WITH_SERVER.replace(f":{SERVER}", f":{SERVER + 5}")))
    with contextlib.suppress(ConnectionError), contextlib.closing(connect(namespace)) as client:
        client.ending()
    waiting.until(lambda: "web,FRONTEND,connect-refused,refused,1" in ask(path, "show reasons"), "the refusal is counted")
    row = stat(path)["web", "s"]
    assert (row["econ"], row["stot"], row["status"]) == ("1", "1", "no check")
