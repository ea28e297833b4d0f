"""tproxyd and a service manager: signs of life. The test stands for the manager."""

import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from lab import waiting
from lab.netns import kernel

from test_daemon import configured, exchange

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


# Signs of life


def test_signs_of_life_come_as_long_as_it_runs(start, manager):
    daemon = start(configured(threads=THREADS), before=watched(manager))
    assert manager.recv(4096).startswith(b"READY=1\n")
    for _ in range(5):
        assert manager.recv(4096) == b"WATCHDOG=1"
    assert daemon.stop() == 0
    await_message(manager, b"STOPPING=1")
    assert SILENT not in daemon.log()


@pytest.mark.parametrize("thread", range(1, THREADS + 1))
def test_a_thread_that_hangs_keeps_them_back(start, manager, thread):
    daemon = start(configured(threads=THREADS), before=watched(manager))
    threads = sorted(int(number) for number in os.listdir(f"/proc/{daemon.pid}/task"))
    assert threads[0] == daemon.pid and len(threads) == THREADS + 1
    with kernel.stopped_thread(threads[thread]):
        daemon.await_line(f"thread {thread - 1} {SILENT}")
        read_all(manager)
        await_turns(daemon, 5)
        assert not read_all(manager)
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


def test_in_the_background_the_process_that_was_started_counts(start, manager, folder):
    """Type=forking: the variable names the command, and the daemon is its child."""
    text = configured(f"daemon\npidfile {folder}/pid", threads=2)
    daemon = start(text, before=watched(manager))
    assert daemon.await_end() == 0
    for _ in range(3):
        await_message(manager, b"WATCHDOG=1")
    os.kill(int((folder / "pid").read_text(encoding="ascii")), signal.SIGTERM)
    await_message(manager, b"STOPPING=1")
