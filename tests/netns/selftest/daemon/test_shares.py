"""A few hundred connections of what `tests/netns/shares` makes a hundred thousand of."""

import pytest

from lab.netns.namespace import Namespace
from lab.peers import shares


@pytest.fixture
def namespace():
    made = Namespace("shares")
    made.ip("link set lo up")
    yield made
    made.close()


both_counts = pytest.mark.parametrize("threads", [1, 4])


@both_counts
def test_weights_are_met(namespace, tmp_path, threads):
    _, worst = shares.by_weight(namespace, tmp_path, threads, 600)
    assert worst <= 0.01


@both_counts
def test_servers_differ_by_one_session_at_most(namespace, tmp_path, threads):
    _, worst = shares.by_sessions(namespace, tmp_path, threads, 600)
    assert worst <= 1


@both_counts
@pytest.mark.parametrize("how", ["reload", "health"])
def test_only_the_clients_of_a_server_that_leaves_move(namespace, tmp_path, threads, how):
    _, moved = shares.by_source(namespace, tmp_path, threads, 600, how)
    assert moved == 0


@both_counts
def test_no_client_that_waits_is_overtaken(namespace, tmp_path, threads):
    _, overtaken, most = shares.from_queue(namespace, tmp_path, threads, 600)
    assert overtaken == 0 and most <= 2
