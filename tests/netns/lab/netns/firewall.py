"""The firewall tools: load and save the rules of a namespace.

Rules are loaded in one call of iptables-restore or nft. Each host has a lock of its own for iptables, because the
default one is a file that all namespaces share.
"""

import shutil

from lab.paths import RUN

BACKENDS = ("iptables", "iptables-legacy", "nft")
IPTABLES = ("iptables", "iptables-legacy")


def available(backend):
    """Whether the programs of a firewall tool are installed."""
    return shutil.which("nft" if backend == "nft" else _restore(backend, 4)) is not None


def load_rules(namespace, rules, family, backend, *options):
    """Load a whole rule set of iptables in one call; `options` are iptables-restore's."""
    namespace.run(_restore(backend, family), *options, text=rules, environment=lock(namespace))


def save_rules(namespace, family, backend):
    """The rule set with its counters, as text."""
    if backend == "nft":
        return namespace.run("nft", "list", "ruleset", "ip" if family == 4 else "ip6")
    save = _restore(backend, family).replace("-restore", "-save")
    return namespace.run(save, "-c", environment=lock(namespace))


def lock(namespace):
    """The environment in which iptables uses the host's own lock."""
    return {"XTABLES_LOCKFILE": str(RUN / f"{namespace.name}.xtables.lock")}


def _restore(backend, family):
    program = backend if family == 4 else backend.replace("iptables", "ip6tables")
    return f"{program}-restore"
