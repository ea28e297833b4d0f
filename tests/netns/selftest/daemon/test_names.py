"""Servers that are given by name: looked up at the start and at a reload, by a process that can do nothing else."""

import os
import signal
from pathlib import Path

from lab import waiting
from lab.netns import kernel
from lab.peers.daemon import SERVER, accept, connect

from test_daemon import THREADS, configured
from test_reload import IN_FORCE, NOT_USED, reload

NAMED = "ipv4@localhost"  # /etc/hosts has it everywhere
NOWHERE = "nowhere.invalid"  # RFC 6761, section 6.4


def named(name=NAMED, **rest):
    return configured(threads=THREADS, **rest).replace(f"127.0.0.1:{SERVER}", f"{name}:{SERVER}")


def helper(daemon):
    """The process that looks names up."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text(encoding="ascii").split()
    assert len(children) <= 1, children
    return int(children[0]) if children else None


def is_served(namespace, server):
    client = connect(namespace)
    there = accept(server)
    client.close()
    there.finish()
    return True


def test_a_name_is_looked_up_at_the_start_and_at_a_reload(namespace, start, server):
    daemon = start(named())
    assert is_served(namespace, server)
    reload(daemon)
    assert is_served(namespace, server)


def test_a_name_that_is_not_found_fails_the_reload_and_nothing_changes(namespace, start, server):
    daemon = start(named())
    reload(daemon, named(NOWHERE), NOT_USED)
    assert daemon.lines(f"'{NOWHERE}': cannot be looked up: ")
    assert is_served(namespace, server)
    reload(daemon, named(), IN_FORCE)


def test_a_daemon_that_started_without_names_says_what_to_do(namespace, start, server):
    daemon = start(configured(threads=THREADS))
    assert helper(daemon) is None
    reload(daemon, named(), NOT_USED)
    assert daemon.lines("cannot be looked up: tproxyd started without names")
    assert is_served(namespace, server)


def test_the_process_for_names_has_no_capability_and_nothing_of_the_daemons(start):
    """It gives them up at its start, while the daemon goes on with its own."""
    child = helper(start(named()))

    def is_alone():
        status = Path(f"/proc/{child}/status").read_text(encoding="ascii")
        without = "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
        return without and len(os.listdir(f"/proc/{child}/fd")) == 4

    waiting.until(is_alone, "the process for names has no capability and four descriptors")


def test_it_ends_with_the_daemon_however_that_ends(start):
    for number in (signal.SIGTERM, signal.SIGKILL):
        daemon = start(named())
        child = helper(daemon)
        daemon.signal(number)
        daemon.await_end()
        waiting.until(lambda child=child: kernel.has_ended(child), "it ends")


def test_without_it_a_reload_with_names_fails_and_says_so(namespace, start, server):
    daemon = start(named())
    os.kill(helper(daemon), signal.SIGKILL)
    reload(daemon, named(), NOT_USED)
    assert daemon.lines("tproxyd's process for names has ended; restart tproxyd")
    assert is_served(namespace, server)


def test_the_signals_of_a_reload_do_not_end_it(start):
    daemon = start(named())
    os.kill(helper(daemon), signal.SIGHUP)
    os.kill(helper(daemon), signal.SIGUSR1)
    reload(daemon)
