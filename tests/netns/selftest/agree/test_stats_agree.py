"""`show stat` and the rest of the commands say what HAProxy says: the same configuration, the same traffic."""

import re
import shutil
import socket
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from lab import waiting
from lab.paths import RUN
from lab.peers.commands import ask, converse, info, sessions, stat
from lab.peers.side_by_side import PORT, PROGRAMS, Proxy, end, server

DEFAULTS = """\
defaults
  mode tcp
  timeout client 10m
  timeout server 10m
  timeout connect 500ms
  timeout queue 10m
"""
SERVERS = 3
# Equal where both mean the same. Times are compared by hand, and rates are of other moments.
SAME = (
    "qcur qmax scur smax stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act bck chkfail chkdown downtime"
    " qlimit pid iid sid throttle lbtot tracked type check_status check_code cli_abrt srv_abrt check_desc check_rise check_fall"
    " check_health addr mode algo conn_tot dcon dses connect last_chk uweight comp_in req_tot"
).split()


class Both:
    """HAProxy and tproxyd, each with command sockets of all levels."""

    def __init__(self, text, servers=SERVERS):
        if not shutil.which("haproxy"):
            pytest.skip("absent: haproxy")
        self.folder = Path(tempfile.mkdtemp(prefix="s", dir=RUN))
        self.proxies = {}
        for name in PROGRAMS:
            head = "global\n  nbthread 1\n  maxconn 100\n" + "".join(
                f"  stats socket {self.path(name, level)} level {level}\n" for level in ("admin", "operator", "user")
            )
            self.proxies[name] = Proxy(self.folder / name, name, head + DEFAULTS + text, servers)

    def path(self, name, level="admin"):
        return self.folder / f"{name}-{level}"

    def do(self, action):
        for proxy in self.proxies.values():
            action(proxy)

    def answers(self, text, level="admin", how=converse):
        """What each of the two answers."""
        return [how(self.path(name, level), text) for name in PROGRAMS]

    def rows(self):
        return [stat(self.path(name)) for name in PROGRAMS]

    def close(self):
        self.do(Proxy.close)
        shutil.rmtree(self.folder)


@pytest.fixture
def both():
    made = []

    def run(text, servers=SERVERS):
        made.append(Both(text, servers))
        return made[-1]

    yield run
    for each in made:
        each.close()


def listen(words=""):
    return f"listen l\n  bind 198.51.100.200:{PORT}\n{words}"


def columns(row):
    return {name: row[name] for name in SAME}


def compare(both):
    """Every column of SAME of every row, once the proxies have counted what ended."""
    last = None

    def agrees():
        nonlocal last
        haproxy, tproxyd = both.rows()
        assert list(haproxy) == list(tproxyd)
        last = {key: (columns(haproxy[key]), columns(tproxyd[key])) for key in haproxy}
        return all(left == right for left, right in last.values())

    with suppress(TimeoutError):
        waiting.until(agrees, "both say the same")
    for key, (haproxy, tproxyd) in last.items():
        differ = {name: (haproxy[name], tproxyd[name]) for name in SAME if haproxy[name] != tproxyd[name]}
        assert not differ, f"{key}: (haproxy, tproxyd) {differ}"


def whole_session(proxy, source="198.51.100.1"):
    client, accepted, _ = proxy.connect(source)
    end(client, accepted)


def reset(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def test_the_header_has_haproxys_columns_in_its_order(both):
    haproxy, tproxyd = (answer.splitlines()[0] for answer in both(listen(server("a"))).answers("show stat\n"))
    ours = tproxyd.rstrip(",").split(",")
    assert haproxy.split(",")[: len(ours)] == ours and len(ours) == 103


def test_both_count_sessions_and_bytes(both):
    made = both(listen(server("a") + server("b", "weight 3") + server("c", "backup")))
    for _ in range(8):
        made.do(whole_session)
    compare(made)


def test_both_count_sessions_that_are_open(both):
    made, held = both(listen(server("a", "maxconn 2") + server("b"))), []
    made.do(lambda proxy: held.extend(proxy.connect("198.51.100.1") for _ in range(3)))
    compare(made)
    for client, accepted, _ in held:
        end(client, accepted)
    compare(made)


def test_both_count_those_that_wait(both):
    made, held, waits = both(listen(server("a", "maxconn 1"))), [], []
    made.do(lambda proxy: held.append(proxy.connect("198.51.100.1")))
    made.do(lambda proxy: waits.append((proxy, proxy.begin())))
    compare(made)
    for (client, accepted, _), (proxy, waiting_client) in zip(held, waits):
        end(client, accepted)
        end(waiting_client, proxy.accept()[0])
    compare(made)


def test_both_count_attempts_that_fail(both):
    made = both(listen("  retries 2\n" + server("a")), servers=0)

    def refused(proxy):
        client = proxy.begin()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""

    made.do(refused)
    compare(made)


def test_both_count_redispatches(both):
    made = both(listen("  option redispatch\n  retries 1\n" + server("b").replace("6001", "6009") + server("a")))
    made.do(whole_session)
    made.do(whole_session)
    compare(made)


@pytest.mark.parametrize("side", ["client", "server"])
def test_both_count_who_breaks_a_session(both, side):
    made = both(listen(server("a")))

    def broken(proxy):
        client, accepted, _ = proxy.connect("198.51.100.1")
        client.sendall(b"question")
        assert accepted.recv(8) == b"question"
        one, other = (client, accepted) if side == "client" else (accepted, client)
        reset(one)
        with suppress(ConnectionResetError):
            assert other.recv(1) == b""
        other.close()

    made.do(broken)
    compare(made)


@pytest.mark.parametrize("stage", ["connection", "session", "content"])
def test_both_count_who_is_rejected(both, stage):
    made = both(listen(f"  tcp-request {stage} reject if {{ src 198.51.100.9 }}\n" + server("a")))

    def rejected(proxy):
        with suppress(ConnectionError):
            client = proxy.begin("198.51.100.9")
            assert client.recv(1) == b""

    made.do(rejected)
    made.do(whole_session)
    compare(made)


def test_both_count_in_frontends_and_backends(both):
    made = both(
        f"frontend f\n  bind 198.51.100.200:{PORT}\n  use_backend one if {{ src 198.51.100.1 }}\n  default_backend two\n"
        "backend one\n  balance leastconn\n" + server("a") + "backend two\n  balance source\n" + server("b") + server("c", "disabled")
    )
    made.do(whole_session)
    made.do(lambda proxy: whole_session(proxy, "198.51.100.2"))
    compare(made)


# Changes


CHANGES = (
    "set server l/a state drain",
    "set server l/a state maint",
    "set server l/a state ready",
    "set server l/a weight 0",
    "set server l/a weight 7",
    "set server l/a weight 50%",
    "set weight l/b 100%",
    "get weight l/a",
    "disable server l/b",
    "enable server l/b",
    "enable server l/c",
    "clear counters",
    "clear counters all",
)


def same_states(made):
    """A server that comes back is sure to be up with its next check, which is soon."""
    names = ("status", "weight", "uweight", "act", "bck")
    haproxy, tproxyd = ([[row[name] for name in names] for row in rows.values()] for rows in made.rows())
    return haproxy == tproxyd


def test_both_change_servers_in_the_same_way(both):
    made = both(listen(server("a", "weight 10 track b") + server("b", "check inter 100ms") + server("c", "disabled")))
    for name in PROGRAMS:
        waiting.until(lambda path=made.path(name): stat(path)["l", "b"]["check_status"] == "L4OK", f"{name} has checked")
    for command in CHANGES:
        haproxy, tproxyd = made.answers(f"{command}\n")
        assert haproxy == tproxyd, command
        waiting.until(lambda: same_states(made), f"after {command!r} both say the same, and not {made.rows()}")


def test_both_send_clients_by_the_weights_that_were_set(both):
    made, found = both(listen(server("a") + server("b") + server("c"))), {}
    for command in ("set server l/a weight 2", "set server l/b state drain"):
        made.answers(f"{command}\n")
    for name, proxy in made.proxies.items():
        letters = []
        for _ in range(12):
            client, accepted, letter = proxy.connect("198.51.100.1")
            letters.append(letter)
            end(client, accepted)
        found[name] = sorted(letters)
    assert found["haproxy"] == found["tproxyd"] == list("aaaaaaaacccc")


# What is said


def test_messages_are_haproxys(both):
    made = both(listen(server("a") + server("b")) + f"backend s\n  balance source\n{server('a')}")
    for command in (
        "set server l/a state odd",
        "set server l/x state drain",
        "set server x/a state drain",
        "set server l",
        "set server l/a weight 257",
        "set server l/a weight -1",
        "set server l/a weight",
        "set weight l/a",
        "set server s/a weight 3",
        "set server s/a weight 0",
        "get weight",
        "get weight l/x",
        "disable server",
        "disable server l",
        "shutdown session 0x1",
        "shutdown session",
        "shutdown session here",
        "set timeout cli",
        "set timeout cli 1m",
        "set timeout cli 500ms",
        "set timeout cli 5x",
        "shutdown sessions server l",
        "shutdown sessions server l/a",
        "show servers state x",
        "show servers state",
        "show sess 0x12",
        "show cli level",
        "user;show cli level;clear counters",
        "get weight l/a;get weight l/b",
        "  get   weight  l/a  ",
        "get weight l/a\nget weight l/b",
        "prompt\nget weight l/a;get weight l/b\nget weight l/b\nquit\nget weight l/a",
        "prompt\nprompt\nget weight l/a",
        "clear counters",
    ):
        haproxy, tproxyd = made.answers(f"{command}\n")
        # The column that says since when has the seconds of another start.
        seconds = re.compile(r"^((?:\S+ ){9})\d+", re.M)
        assert seconds.sub(r"\1N", haproxy) == seconds.sub(r"\1N", tproxyd), command


@pytest.mark.parametrize("level", ["user", "operator", "admin"])
def test_levels_allow_the_same_commands(both, level):
    made = both(listen(server("a")))
    for command in (
        "show info",
        "show stat",
        "show sess",
        "show errors",
        "show servers state",
        "show servers conn",
        "get weight l/a",
        "clear counters",
        "clear counters all",
        "set weight l/a 1",
        "set server l/a state ready",
        "disable server l/a",
        "enable server l/a",
        "shutdown session 0x12",
        "shutdown sessions server l/a",
        "set timeout cli 5",
        "operator",
        "user",
    ):
        haproxy, tproxyd = ("Permission denied" in answer for answer in made.answers(f"{command}\n", level))
        assert haproxy == tproxyd, command
    if level == "user":
        addresses = [answer.splitlines()[2].split(",")[73] for answer in made.answers("show stat\n", level)]
        assert addresses == ["", ""]


def test_show_info_has_haproxys_names(both):
    made, held = both(listen(server("a"))), []
    made.do(whole_session)
    made.do(lambda proxy: held.append(proxy.connect("198.51.100.1")))
    haproxy, tproxyd = made.answers("", how=lambda path, _: info(path))
    assert set(tproxyd) <= set(haproxy)
    names = [name for name in haproxy if name in tproxyd]
    assert names == list(tproxyd)
    for name in ("Nbthread", "Nbproc", "Process_num", "Maxconn", "node", "Stopping", "DroppedLogs"):
        assert haproxy[name] == tproxyd[name], name
    assert tproxyd["CurrConns"] == "1" and tproxyd["CumConns"] == "2"  # HAProxy counts this conversation, too


def test_both_show_their_sessions(both):
    made = both(listen(server("a")))
    clients = {}
    for name, proxy in made.proxies.items():
        client, accepted, _ = proxy.connect("198.51.100.1")
        clients[name] = client.getsockname()
        haproxy_or_not = sessions(made.path(name))
        assert len(haproxy_or_not) == 1
        found = haproxy_or_not[0]
        assert (found["proto"], found["fe"], found["be"], found["srv"]) == ("tcpv4", "l", "l", "a")
        assert found["src"] == f"198.51.100.1:{clients[name][1]}"
        assert ask(made.path(name), f"shutdown session {found['id']}") == ""
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
        waiting.until(lambda path=made.path(name): not sessions(path), "the session has ended")
        accepted.close()
