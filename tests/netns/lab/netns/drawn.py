"""The numbers in the lab's addresses, and its ports: the walk-through's, or drawn for one test.

A test of the catalogue draws them from the run's seed and its own name. So an adapter cannot know a test by the addresses in
its scenario, and a proxy that serves or uses a fixed address fails. All else has the walk-through's numbers, which printed
commands and expected messages contain.

The numbers in use are the process's: `use` changes them before a lab is made, and everything reads them by `in_use`. Trap: a
value that a module keeps at import is the walk-through's for ever.
"""

import random
from dataclasses import dataclass

GUARD_PORT = 7  # of the server, for the lab's own guard
LAST_VIP = 126
_NEAR, _FAR = range(3, 99), range(195, 255)  # numbers of hosts that no layout and no test names itself


@dataclass(frozen=True)
class Numbers:
    clients: tuple = (10, 11)
    servers: tuple = (20, 21)
    silent: int = 99  # in the servers' network; never answers
    nowhere: int = 250  # on no link, and not a VIP
    vips: tuple = tuple(range(LAST_VIP + 1))  # by the number that a test uses
    port: int = 80  # of the VIPs; only a privileged program may listen there
    server_port: int = 8080


WALKTHROUGH = Numbers()
_in_use = WALKTHROUGH


def in_use():
    return _in_use


def use(numbers):
    global _in_use
    _in_use = numbers


def draw(seed, name):
    """Other numbers for each seed and name, the same ones each time."""
    choose = random.Random(f"{seed} {name}")
    client, client2, server, server2, silent = choose.sample(_NEAR, 5)
    ports = [port for port in range(20, 1024) if port != GUARD_PORT]
    return Numbers(
        clients=(client, client2),
        servers=(server, server2),
        silent=silent,
        nowhere=choose.choice(_FAR),
        vips=(0, *choose.sample(range(1, LAST_VIP + 1), LAST_VIP)),
        port=choose.choice(ports),
        server_port=choose.randrange(10_000, 30_000),
    )
