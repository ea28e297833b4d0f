"""Agents of servers, asked by the running daemon under its sandbox: what each thread sees of them, and what a reload keeps."""

import pytest

from lab import waiting
from lab.peers.daemon import ADDRESS, SERVER, accept, connect, listen
from lab.peers.played import Played, byte_by_byte, close, says

from test_daemon import THREADS
from test_health import checked, comes_to
from test_reload import OTHER, reload

AGENT = OTHER + 1
WORDS = f"agent-check agent-inter 50ms agent-port {AGENT}"
DOWN, UP = "Server web/other is DOWN", "Server web/other is UP"


class Agent(Played):
    def __init__(self):
        self.line = b"up\n"
        super().__init__(ADDRESS, AGENT, [lambda *rest: says(self.line, then=close)(*rest)])


@pytest.fixture
def agent(namespace):
    with namespace:
        made = Agent()
    yield made
    made.close()


def await_questions(agent, count=2):
    """Wait until it was asked so often again: its line is known then."""
    last = len(agent.asked) + count
    waiting.until(lambda: len(agent.asked) >= last, "the agent is asked")


def test_each_thread_sees_what_the_agent_said(namespace, start, server, agent):
    daemon = start(checked(WORDS))
    agent.line = b"down #by hand\n"
    assert 'info: "via agent : down (by hand)"' in daemon.await_line(DOWN)
    for _ in range(4 * THREADS):
        assert comes_to(namespace, server)
    with listen(namespace, OTHER) as other:
        agent.line = b"up\n"
        daemon.await_line(UP)
        for _ in range(4 * THREADS):
            assert comes_to(namespace, other)


def test_an_answer_may_come_byte_by_byte(namespace, start, server):
    """Within `agent-inter`."""
    with namespace:
        agent = Played(ADDRESS, AGENT, [byte_by_byte(b"down #slow\n", then=close)])
    daemon = start(checked(WORDS.replace("50ms", "15s")))
    assert 'info: "via agent : down (slow)"' in daemon.await_line(DOWN)
    agent.close()


@pytest.mark.parametrize("line, words", [(b"down\n", "is DOWN"), (b"drain\n", "enters drain state"), (b"maint\n", "for maintenance")])
def test_what_an_agent_said_holds_over_a_reload(namespace, start, server, agent, line, words):
    """Its first question after the reload comes too late to say it again."""
    daemon = start(checked(WORDS))
    agent.line = line
    daemon.await_line(words)
    with listen(namespace, OTHER):
        reload(daemon, checked(WORDS.replace("50ms", "1h")))
        for _ in range(4 * THREADS):
            assert comes_to(namespace, server)
    assert len(daemon.lines(words)) == 1


def test_a_reload_that_takes_the_agent_away_sets_its_server_free(namespace, start, server, agent):
    daemon = start(checked(WORDS))
    agent.line = b"down\n"
    daemon.await_line(DOWN)
    with listen(namespace, OTHER) as other:
        reload(daemon, checked(""))
        assert comes_to(namespace, other)


def test_a_client_waits_where_the_agent_says_that_its_server_is_full(namespace, start, server, agent):
    text = checked(WORDS).replace(f":{SERVER} ", f":{SERVER} disabled ")
    assert "disabled" in text
    daemon = start(text.replace("  timeout connect", "  timeout queue 20s\n  timeout connect", 1))
    with listen(namespace, OTHER) as other:
        agent.line = b"maxconn:1\n"
        await_questions(agent, 3)
        first = connect(namespace)
        served = accept(other)
        second = connect(namespace)
        await_questions(agent)
        assert not waiting.readable([other], 0)
        agent.line = b"maxconn:2\n"
        accept(other).finish()
        for each in (first, second):
            each.close()
        served.finish()
    assert daemon.process.poll() is None


def test_an_agent_may_be_given_by_name(namespace, start, server, agent):
    daemon = start(checked(f"{WORDS} agent-addr localhost").replace(f"{ADDRESS}:{OTHER}", "192.0.2.1:80"))
    agent.line = b"down\n"
    daemon.await_line(DOWN)
