"""What makes a host hand packets to a transparent proxy.

The recipe `divert` is the walk-through's: packets for which a socket exists on the host get mark 1
in mangle PREROUTING, a policy rule sends mark 1 to table 100, and that table's only route delivers
locally. The commands are those of fixtures/walkthrough, turned into one call of iptables-restore
and one of ip -batch; for IPv6 the same with ip6tables and ip -6.
"""

import shutil

from . import walkthrough

BACKENDS = ("iptables", "iptables-legacy")

_SYSCTLS_6 = {
    "net.ipv4.ip_forward": "net.ipv6.conf.all.forwarding",
    "net.ipv4.ip_nonlocal_bind": "net.ipv6.ip_nonlocal_bind",
}


def available(backend):
    """Whether the programs of the backend are installed."""
    return shutil.which(_restore(backend, 4)) is not None


def divert_sysctls(family):
    """The walk-through's sysctls, or what does the same for IPv6."""
    names = walkthrough.sysctls()
    return {name if family == 4 else _SYSCTLS_6[name]: 1 for name in names}


def divert_rules():
    """The walk-through's iptables commands as input of iptables-restore."""
    tables = {}
    for command in walkthrough.iptables_commands():
        _, option, table, action, *rest = command.split()
        assert option == "-t", command
        line = f":{rest[0]} - [0:0]" if action == "-N" else " ".join([action, *rest])
        tables.setdefault(table, []).append(line)
    return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in tables.items())


def divert_routing(family):
    """The walk-through's `ip rule` and `ip route` commands as lines for ip -batch."""
    lines = [line.removeprefix("ip ") for line in walkthrough.ip_commands()]
    return lines if family == 4 else [line.replace("0.0.0.0/0", "::/0") for line in lines]


def load_rules(namespace, rules, family, backend):
    """Load a whole rule set in one call."""
    lock = f"/run/tproxy-lab/{namespace.name}.xtables.lock"
    namespace.run(_restore(backend, family), text=rules, environment={"XTABLES_LOCKFILE": lock})


def save_rules(namespace, family, backend):
    """The rule set with its counters, as text."""
    save = _restore(backend, family).replace("-restore", "-save")
    lock = f"/run/tproxy-lab/{namespace.name}.xtables.lock"
    return namespace.run(save, "-c", environment={"XTABLES_LOCKFILE": lock})


def apply_divert(namespace, families, backend, sysctls=None):
    """Apply the recipe for each family; `sysctls` overrides single values of it."""
    for family in families:
        namespace.sysctl({**divert_sysctls(family), **(sysctls or {})})
        namespace.run("ip", f"-{family}", "-batch", "-", text="\n".join(divert_routing(family)) + "\n")
        load_rules(namespace, divert_rules(), family, backend)


def _restore(backend, family):
    program = backend if family == 4 else backend.replace("iptables", "ip6tables")
    return f"{program}-restore"
