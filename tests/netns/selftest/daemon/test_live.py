"""tproxyctl sessions and top, of a tproxyd whose sessions come and go."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import waiting
from lab.paths import TPROXYCTL
from lab.peers.daemon import ADDRESS, PORT, SERVER, accept, connect

from test_daemon import exchange
from test_stats import MANY, allow_descriptors, with_socket

CLEAR = re.compile(rb"\x1b\[[0-9?]*[A-Za-z]")


def ctl(*words):
    return subprocess.run([TPROXYCTL, *map(str, words)], capture_output=True, text=True, check=False, timeout=2 * waiting.seconds)


def listed(path):
    done = ctl("sessions", "--socket", path, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["sessions"]


def test_sessions_are_listed_with_both_legs(namespace, start, server, path):
    daemon = start(with_socket(path))
    client = connect(namespace)
    client.send(b"question")
    there = accept(server)
    assert there.receive(8) == b"question"
    found = waiting.until(lambda: [each for each in listed(path) if each["bytes_in"] == 8], "the bytes are shown")[0]
    assert found["age_ms"] >= 0 and found["idle_ms"] >= 0
    assert {key: found[key] for key in found if key not in ("id", "age_ms", "idle_ms")} == {
        "protocol": "tcpv4",
        "client": f"{ADDRESS}:{client.local.port}",
        "destination": f"{ADDRESS}:{PORT}",
        "frontend": "web",
        "backend": "web",
        "server": "s",
        "source": f"{ADDRESS}:{there.peer.port}",
        "target": f"{ADDRESS}:{SERVER}",
        "state": "relaying",
        "bytes_in": 8,
        "bytes_out": 0,
    }
    done = ctl("sessions", "-f", daemon.config)
    assert done.returncode == 0 and f"{ADDRESS}:{client.local.port}" in done.stdout and "web/web/s" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 session"
    client.close()
    there.finish()


def test_of_4000_sessions_that_come_and_go_those_that_stay_are_listed(namespace, start, server, path):
    """What tproxyctl lists is what there is: compared with the sockets of the test itself, while others come and go."""
    allow_descriptors()
    start(with_socket(path))
    held = [(connect(namespace), accept(server)) for _ in range(MANY)]
    stay = {(f"{ADDRESS}:{client.local.port}", f"{ADDRESS}:{there.peer.port}") for client, there in held}
    stop = []
    with ThreadPoolExecutor(1) as pool:

        def churn():
            while not stop:
                exchange(namespace, server)

        churned = pool.submit(churn)
        for _ in range(3):
            found = [(each["client"], each["source"]) for each in listed(path)]
            assert stay <= set(found) and len(found) <= MANY + 10 and len(set(found)) == len(found)
        done = ctl("top", "--socket", path)
        assert done.returncode == 0
        number = int(re.match(r"tproxyd \d+: (\d+) sessions", done.stdout)[1])
        assert MANY <= number <= MANY + 10 and len(done.stdout.splitlines()) == number + 3
        stop.append(True)
        churned.result()
    for client, there in held:
        client.close()
        there.finish()
    waiting.until(lambda: not listed(path), "all sessions are gone")


@contextlib.contextmanager
def terminal(*words):
    """tproxyctl at a terminal of 20 lines; yields its process and the terminal."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "rows", "20", "cols", "100"], stdin=slave, check=True)
    with subprocess.Popen([TPROXYCTL, *map(str, words)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        try:
            yield process, master
        finally:
            process.kill()
            os.close(master)


def read_until(master, words, seconds=waiting.seconds):
    """What is written until all the words are there; b"" for them: until the other end is closed."""
    text, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.1)[0]:
            continue
        try:
            text += os.read(master, 65536)
        except OSError:
            return text
        if words and words in text:
            return text
    raise TimeoutError(f"{words!r} is not in {text!r}")


@pytest.mark.parametrize("how", ["q", "interrupt"])
def test_top_refreshes_and_leaves_the_terminal_as_it_was(namespace, start, server, path, how):
    start(with_socket(path))
    pairs = [(connect(namespace), accept(server)) for _ in range(30)]
    with terminal("top", "--socket", path) as (process, master):
        first = read_until(master, b"\x1b[J")
        assert first.startswith(b"\x1b[?1049h\x1b[?25l")
        lines = CLEAR.sub(b"", first).splitlines()
        assert b": 30 sessions of" in lines[0] and len(lines) == 19  # the last line stays free
        pairs[7][0].send(b"x" * 5000)
        assert pairs[7][1].receive(5000)
        moved = f"{ADDRESS}:{pairs[7][0].local.port}".encode()
        later = read_until(master, b"5.0k")
        assert moved in next(line for line in CLEAR.sub(b"", later).splitlines() if b"5.0k" in line)
        if how == "q":
            os.write(master, b"q")
        else:
            process.send_signal(signal.SIGINT)
        assert read_until(master, b"\x1b[?25h\x1b[?1049l")
        assert process.wait(waiting.seconds) == 0
    for client, there in pairs:
        client.close()
        there.finish()


def test_top_ends_where_tproxyd_does(start, path):
    daemon = start(with_socket(path))
    with terminal("top", "--socket", path) as (process, master):
        read_until(master, b"\x1b[J")
        assert daemon.stop() == 0
        assert b"tproxyd does not answer any more" in read_until(master, b"any more")
        assert process.wait(waiting.seconds) == 1


def test_what_is_wrong_is_said(start, path, tmp_path):
    start(with_socket(path, "level user"))
    nothing = tmp_path / "nothing.cfg"
    nothing.write_text(with_socket(path, "level user"), encoding="ascii")
    for words, status, said in (
        (("--socket", path), 1, "Permission denied; its `stats socket` needs `level operator`"),
        (("--socket", tmp_path / "none"), 1, "No such file or directory; is tproxyd running"),
        (("-f", nothing), 2, "has no `stats socket` of level operator or admin"),
        (("-f", tmp_path / "no.cfg"), 2, "No such file"),
        ((), 2, "Write --socket PATH"),
        (("--odd",), 2, "lists the options"),
        (("more",), 2, "takes options only, not 'more'"),
    ):
        for name in ("sessions", "top"):
            done = ctl(name, *words)
            assert done.returncode == status and said in done.stderr and not done.stdout, (name, words, done)
    assert ctl("top", "--socket", path, "--delay", "0").returncode == 2
    for name in ("sessions", "top"):
        assert ctl(name, "--help").stdout.startswith(f"usage: tproxyctl {name} ")
