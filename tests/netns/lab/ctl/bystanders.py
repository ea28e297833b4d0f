"""What works on a proxy's host besides the proxy: forwarded connections and the host's own. A fix must not end it.

Each way is tried by a connection to a port that no program serves. A reset or an acceptance shows that packets pass in
both directions. An ICMP error, or a refusal of the host itself, shows nothing of that kind.
"""

import errno
import select
import socket
import time

from lab.netns.endpoint import Endpoint

PORT = 9  # discard (RFC 863); neither a client, a server nor a proxy of the lab serves it
PASSES = (0, errno.ECONNREFUSED)
TIME = 0.3  # seconds in which a way that works brings something back


def reached(trial):
    """The names of the ways that bring something back."""
    tries = {name: _begin(namespace, address) for name, (namespace, address) in _ways(trial).items()}
    waiting = {each.fileno(): name for name, each in tries.items() if each}
    found, deadline = set(), time.monotonic() + TIME
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            poll = select.poll()
            for descriptor in waiting:
                poll.register(descriptor, select.POLLOUT)
            for descriptor, _ in poll.poll(left * 1000):
                name = waiting.pop(descriptor)
                if tries[name].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in PASSES:
                    found.add(name)
    finally:
        for each in filter(None, tries.values()):
            each.close()
    return found


def _ways(trial):
    lab, family = trial.lab, trial.case.family
    server = lab.server.address
    client = lab.client.addresses[family][0]
    ways = {}
    if lab.topology.client is not lab.topology.proxy:
        ways["client to server, forwarded"] = (lab.topology.client, server)
        ways["client to the host"] = (lab.topology.client, lab.proxy_address_to_clients)
        ways["host to client"] = (lab.topology.proxy, client)
    ways["host to server"] = (lab.topology.proxy, server)
    return ways


def _begin(namespace, address):
    """A socket that connects; None where the host refuses that at once."""
    with namespace:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setblocking(False)
    if made.connect_ex(tuple(Endpoint(address, PORT))) in (*PASSES, errno.EINPROGRESS):
        return made
    made.close()
    return None
