"""Chooses the part of the suite that runs in a guest.

In a guest, starting a program takes fifty times as long as on the host. Each test starts about a dozen, so a test
takes about a second. Kernel options affect address families, recipes and firewall tools. So each test runs once
for each combination of these three; more topologies or relay modes show nothing new. Tests that transfer large
volumes are left out.
"""

CORE = ("binding", "source", "full")
PROFILES = ("core", *CORE, "intercept", "udp", "ipv6", "proxy-protocol", "operations", "all")
VOLUME = ("TP-STREAM-16", "TP-OPS-09", "TP-OPS-10", "TP-OPS-23", "TP-OPS-24")
WAIT = 8  # seconds that a test waits for an event, on the host
OUT = "/mnt/out/conformance"
# tproxyd is the proxy. For profiles that it lacks, the suite's own proxy without a defect takes its place.
PROXY = "tproxyd"
STAND_IN = "falsifiers/correct"
NOT_OFFERED = ("intercept", "udp", "proxy-protocol", "all")


def proxy_for(profile):
    return STAND_IN if profile in NOT_OFFERED else PROXY


def chosen(profile, rows):
    """The requirements of a profile that are tested in a guest."""
    wanted = {"core": CORE, "full": CORE, "all": None}.get(profile, (profile,))
    return [
        row
        for row in rows
        if not row.withdrawn and row.id not in VOLUME and (wanted is None or row.profile in wanted)
    ]


def confirming(profile, rows):
    """The requirements that confirm a profile. IPv6 needs those of the core, too."""
    return [row for each in (("core", profile) if profile == "ipv6" else (profile,)) for row in chosen(each, rows)]


def command(rows, implementation=PROXY, slowdown=1, rules_by="iptables"):
    """The arguments of python3 that test these rows, in a copy of the tree; an empty list for no rows."""
    if not rows:
        return []
    return [
        *("tests/netns/conformance", "--impl", implementation, "--only", *(row.id for row in rows)),
        *("--rules-by", rules_by, "--sample-per", "family,recipe,firewall_tool", "-n", "0", "--seed", "1"),
        *("--patience", str(WAIT * slowdown), "--out", OUT),
    ]
