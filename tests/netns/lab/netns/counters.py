"""Counters of a host's kernel: they prove that the case of a test really happened."""

from lab.netns import kernel


def total(namespace, *names):
    """The sum of counters of /proc/net/snmp, netstat and snmp6, by their names there.

    Counters of IPv6 are 0 on a kernel without it.
    """
    names = [name for name in names if 6 in kernel.families() or not name.startswith(("Ip6", "Icmp6", "Udp6"))]
    found = {}
    with namespace:
        for file in ("snmp", "netstat"):
            lines = _lines(file)
            for titles, values in zip(lines[::2], lines[1::2]):
                group = titles[0].rstrip(":")
                found.update({f"{group}{name}": int(value) for name, value in zip(titles[1:], values[1:])})
        if 6 in kernel.families():
            found.update({name: int(value) for name, value in _lines("snmp6")})
    return sum(found[name] for name in names)


def _lines(name):
    with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
        return [line.split() for line in file]
