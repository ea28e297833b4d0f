"""The case that `check-usesrc` is for, with tproxyd and an ordinary check beside it: what clients see, and what the log says."""

import pytest

from lab import waiting
from lab.peers.proxy import adapter
from lab.setup.lab import Lab
from lab.setup.variants import both_families

from test_checks import await_addresses, comes_to, free_client, lead_away, lead_back, serve_two_ways

BACK = "its way back does not lead through this host"


@pytest.fixture
def lab(family):
    made = Lab(adapter("tproxyd"), family)
    yield made
    made.close()


def changes(proxy, server):
    """What the log says of the state of the server of that number."""
    return [line.partition("Server ")[2] for line in proxy.log().splitlines() if f"Server bk_application/s{server} is" in line]


@both_families
def test_an_ordinary_check_leaves_half_of_the_clients_without_an_answer(lab):
    servers, _ = serve_two_ways(lab)
    proxy = lab.proxies[-1]
    await_addresses(lab, *servers)
    lead_away(lab, servers[1])
    found = [comes_to(lab) for _ in range(8)]
    assert found.count(None) == found.count(servers[0].address) == 4
    assert not changes(proxy, 2)


@both_families
def test_a_check_from_a_clients_address_keeps_clients_from_it(lab):
    servers, _ = serve_two_ways(lab, check_source=free_client(lab))
    proxy = lab.proxies[-1]
    lead_away(lab, servers[1])
    waiting.until(lambda: changes(proxy, 2), "the second server goes down")
    assert [comes_to(lab) for _ in range(8)] == [servers[0].address] * 8
    lead_back(lab, servers[1])
    await_addresses(lab, *servers)
    down, up = changes(proxy, 2)
    assert f'is DOWN, reason: Layer4 timeout, info: "answers this host, but not client {free_client(lab)}: {BACK}"' in down
    assert "is UP, reason: Layer4 check passed" in up
    assert not changes(proxy, 1)


@both_families
def test_a_server_that_refuses_or_is_silent_for_all_is_told_apart(lab):
    servers, played = serve_two_ways(lab, check_source=free_client(lab))
    proxy = lab.proxies[-1]
    await_addresses(lab, *servers)
    played[1].close()
    waiting.until(lambda: changes(proxy, 2), "the second server goes down")
    assert 'reason: Layer4 connection problem, info: "Connection refused"' in changes(proxy, 2)[0]
    link = lab.server.namespace
    link.run("ip", f"-{lab.family}", "rule", "add", "from", servers[0].address, "blackhole")
    waiting.until(lambda: changes(proxy, 1), "the first server goes down")
    assert "reason: Layer4 timeout, check duration" in changes(proxy, 1)[0]
