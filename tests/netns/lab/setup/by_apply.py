"""The proxy's host, set up by `tproxyctl apply` instead of one of the lab's recipes.

Each recipe of the lab has a counterpart: `nft` is apply's recipe `tproxy` by nft, and `local-route+divert` is apply's
`local-route` for a proxy that uses the client's address. The state file is in the run's private /run, in one folder for
each host.
"""

import os
import subprocess

from lab.netns import drawn, firewall, topology
from lab.netns.namespace import CommandFailed
from lab.paths import RUN, TPROXYCTL

WAYS = ("recipe", "apply")  # who sets the proxy's host up

_NAMES = {"nft": "tproxy", "local-route+divert": "local-route"}


def apply_options(name, firewall_tool, datagrams=False):
    """The options of apply for a recipe of the lab: the VIPs, and the servers if their answers must be diverted."""
    suffix = "/udp" if datagrams else ""
    options = [f"--listen={_endpoint(topology.vip(family))}{suffix}" for family in topology.FAMILIES]
    if name != "local-route":
        options += [f"--server={topology.placeholders(family)['server']}" for family in topology.FAMILIES]
    return [*options, "--recipe", _NAMES.get(name, name), "--firewall-tool", firewall_tool]


def _endpoint(address):
    port = drawn.in_use().port
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def apply(namespace, name, firewall_tool, sysctls=None, datagrams=False):
    namespace.sysctl(sysctls or {})
    state(namespace).parent.mkdir(exist_ok=True)
    _ctl(namespace, "apply", *apply_options(name, firewall_tool, datagrams))


def revert(namespace):
    _ctl(namespace, "revert")


def state(namespace):
    """The file that keeps what was done to a host."""
    return RUN / f"{namespace.name}.applied/state.json"


def _ctl(namespace, *arguments):
    command = [TPROXYCTL, *arguments, "--state", str(state(namespace))]
    with namespace:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **firewall.lock(namespace)}, check=False
        )
    if done.returncode != 0:
        raise CommandFailed(f"in {namespace.name}: {' '.join(command)}\nstatus {done.returncode}: {done.stdout}{done.stderr}")
