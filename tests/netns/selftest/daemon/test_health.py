"""Health checks of the running daemon, under its sandbox: what a reload keeps, and what threads see of it."""

import signal

from lab import waiting
from lab.peers.daemon import SERVER, accept, connect, listen

from test_daemon import THREADS, configured
from test_reload import OTHER, reload

DOWN, UP = "Server web/other is DOWN", "Server web/other is UP"


def checked(words="check inter 50ms rise 1", **rest):
    """A server that is not checked, and another one that is and has all clients as long as it is up."""
    text = configured(threads=THREADS, **rest)
    line = next(line for line in text.splitlines() if f":{SERVER}" in line)
    section = next(line.split()[1] for line in text.splitlines() if line.startswith(("listen", "backend")))
    return text.replace(line, f"{line} backup\n  server other 127.0.0.1:{OTHER} {words}").replace(f" {section}\n", " web\n")


def comes_to(namespace, listener):
    client = connect(namespace)
    there = accept(listener)
    client.close()
    there.finish()
    return True


def test_each_thread_sees_what_the_checks_found(namespace, start, server):
    daemon = start(checked())
    daemon.await_line(DOWN)
    for _ in range(4 * THREADS):
        assert comes_to(namespace, server)
    other = listen(namespace, OTHER)
    daemon.await_line(UP)
    for _ in range(4 * THREADS):
        client = connect(namespace)
        token = waiting.until(lambda: waiting.readable([other], waiting.seconds), "a check or the client comes")
        assert token and not waiting.readable([server], 0)
        client.close()
    other.close()


def test_a_server_that_is_down_stays_down_over_a_reload(namespace, start, server):
    daemon = start(checked())
    daemon.await_line(DOWN)
    reload(daemon, checked("check inter 1h rise 5"))
    assert comes_to(namespace, server)
    assert len(daemon.lines("is DOWN")) == 1


def test_checks_can_begin_and_end_with_a_reload(namespace, start, server):
    daemon = start(checked(""))
    reload(daemon, checked())
    daemon.await_line(DOWN)
    reload(daemon, checked("disabled"))
    assert comes_to(namespace, server)


def test_a_reload_that_fails_leaves_the_checks_in_place(namespace, start, server):
    daemon = start(checked())
    daemon.await_line(DOWN)
    reload(daemon, "nonsense\n", "is not used")
    with listen(namespace, OTHER):
        daemon.await_line(UP)


def test_it_ends_while_a_check_is_under_way(start):
    daemon = start(checked("check inter 1h").replace(f"127.0.0.1:{OTHER}", "192.0.2.1:80"))
    daemon.signal(signal.SIGTERM)
    assert daemon.await_end() == 0
