"""OPS: what agents say of servers, and what follows for clients.

Agents are at ports of their own, where threads answer for them.
"""

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns.endpoint import Endpoint
from lab.peers.played import Played, close, hold, reset, says
from lab.setup.variants import both_families

from test_balance import await_servers, connect

EVERY = 100  # ms between two questions


class Agent(Played):
    """Plays one part to every question, until it is given another one."""

    def __init__(self, address, port):
        self.part = says(b"up\n", then=close)
        super().__init__(address, port, [lambda connection, asked: self.part(connection, asked)])

    def say(self, text):
        self.part = says(text.encode() + b"\n", then=close)


def serve_with_agents(lab, fields=({}, {})):
    """Servers, each with these fields and an agent; the servers, and the agents."""
    first = lab.server_endpoint
    servers = [Endpoint(first.address, first.port + number) for number in range(len(fields))]
    with lab.server.namespace:
        agents = [Agent(first.address, first.port + len(fields) + number) for number in range(len(fields))]
    for each in agents:
        lab.keep(each)
    ports = [{**each, "agent_port": first.port + len(fields) + number} for number, each in enumerate(fields)]
    lab.serve(servers=servers, server_fields=ports, agent=EVERY, **lab.wished("threads", threads=1))
    return servers, agents


@requirement("TP-OPS-70")
@both_families
def test_a_server_whose_agent_says_down_gets_no_client_until_it_says_up(lab):
    servers, agents = serve_with_agents(lab)
    await_servers(lab, *servers)
    for word in ("down", "fail # out of disk", "ready,\tstopped"):
        agents[1].say(word)
        await_servers(lab, servers[0])
        agents[1].say("up")
        await_servers(lab, *servers)


def serves_alone(lab, server, agent):
    """Whether every client comes to the server, while the agent of another one is asked twice."""
    last = len(agent.asked) + 2
    while len(agent.asked) < last:
        flow, port = connect(lab)
        flow.close()
        if port != server.port:
            return False
    return True


@requirement("TP-OPS-71")
@both_families
def test_only_up_ends_what_down_began(lab):
    servers, agents = serve_with_agents(lab)
    agents[1].say("down")
    await_servers(lab, servers[0])
    for part in (says(b"\n"), says(b"ready 100%\n"), says(b"hello\n"), says(b"up"), says(b"up", then=close), close, reset, hold):
        agents[1].part = part
        assert serves_alone(lab, servers[0], agents[1])
    agents[1].say("up")
    await_servers(lab, *servers)


@requirement("TP-OPS-71")
@both_families
def test_an_agent_that_cannot_be_reached_changes_nothing(lab):
    servers, agents = serve_with_agents(lab)
    agents[1].say("down")
    await_servers(lab, servers[0])
    agents[0].close()
    agents[1].close()
    for _ in range(20):
        flow, port = connect(lab)
        flow.close()
        assert port == servers[0].port


WEIGHT, CLIENTS = 8, 50


def share(lab, server):
    """How many of so many clients come to the server."""
    made = [connect(lab) for _ in range(CLIENTS)]
    for flow, _ in made:
        flow.close()
    return sum(port == server.port for _, port in made)


@requirement("TP-OPS-72")
@both_families
def test_a_server_has_the_share_that_its_agent_says(lab):
    servers, agents = serve_with_agents(lab, [{"weight": WEIGHT}, {"weight": WEIGHT}])
    for text, wanted in {"25%": CLIENTS / 5, "0%": 0, "100%": CLIENTS / 2}.items():
        agents[1].say(text)
        waiting.until(lambda: abs(share(lab, servers[1]) - wanted) <= CLIENTS / 25, f"with {text}, {wanted} of {CLIENTS} clients come to the server")
