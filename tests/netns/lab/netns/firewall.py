"""The firewall tools: load and save the rules of a namespace.

Rules are loaded by one run of iptables-restore or nft. Each host has a lock of its own for iptables, because the
default one is a file that all namespaces share.
"""

import shutil

from lab.paths import RUN

FIREWALL_TOOLS = ("iptables", "iptables-legacy", "nft")
IPTABLES = ("iptables", "iptables-legacy")


def available(firewall_tool):
    """Whether the programs of a firewall tool are installed."""
    return shutil.which("nft" if firewall_tool == "nft" else _restore(firewall_tool, 4)) is not None


def load_rules(namespace, rules, family, firewall_tool, *options):
    """Load a whole rule set of iptables in one call; `options` are iptables-restore's."""
    namespace.run(_restore(firewall_tool, family), *options, text=rules, environment=lock(namespace))


def save_rules(namespace, family, firewall_tool):
    """The rule set with its counters, as text."""
    if firewall_tool == "nft":
        return namespace.run("nft", "list", "ruleset", "ip" if family == 4 else "ip6")
    save = _restore(firewall_tool, family).replace("-restore", "-save")
    return namespace.run(save, "-c", environment=lock(namespace))


def lock(namespace):
    """The environment in which iptables uses the host's own lock."""
    return {"XTABLES_LOCKFILE": str(RUN / f"{namespace.name}.xtables.lock")}


def _restore(firewall_tool, family):
    program = firewall_tool if family == 4 else firewall_tool.replace("iptables", "ip6tables")
    return f"{program}-restore"
