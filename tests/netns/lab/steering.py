"""Rules beyond the walk-through's, added to the recipe that is in force on the proxy's host.

The walk-through diverts TCP only, and only what has a socket already: a connection, or a listener at
the very address. What else a test needs to reach the proxy is added here, for both families.
"""

from . import recipe, topology


def intercept(lab, port):
    """Every connection from the clients' link, whatever it calls, goes to the listener on a port."""
    lab.steered = True
    _add(lab, f"-A PREROUTING -i client0 -p tcp -j TPROXY --on-port {port} --tproxy-mark 1")


def divert_datagrams(lab):
    """Datagrams for which there is a transparent socket are the host's own."""
    _add(lab, "-A PREROUTING -p udp -m socket --transparent -j DIVERT")


def divert_icmp(lab):
    """So are errors of ICMP about packets of such a socket."""
    _add(lab, "-A PREROUTING -p {icmp} -m socket --transparent -j DIVERT")


def _add(lab, rule):
    for family in lab.families:
        text = rule.format(icmp="icmp" if family == 4 else "ipv6-icmp")
        recipe.load_rules(lab.topology.proxy, f"*mangle\n{text}\nCOMMIT\n", family, lab.backend, "--noflush")
