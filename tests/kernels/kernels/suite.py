"""What of the suite runs in a guest.

Starting a program costs fifty times what it costs on the host, and every test starts a dozen, so a test
takes about a second. A kernel's options change families, recipes and firewall programs: of each test
one variant for each combination of those is run; other topologies and ways to relay add nothing. Left
out altogether is volume.
"""

CORE = ("binding", "source", "full")
PROFILES = ("core", *CORE, "intercept", "udp", "ipv6", "proxy-protocol", "operations", "all")
VOLUME = ("TP-STREAM-16", "TP-OPS-09", "TP-OPS-10", "TP-OPS-23", "TP-OPS-24")
PATIENCE = 8  # seconds, on the host
OUT = "/mnt/out/conformance"
# A kernel is judged by tproxyd, and where that offers nothing by the suite's own proxy without a defect.
PROXY = "tproxyd"
STAND_IN = "falsifiers/correct"
NOT_OFFERED = ("intercept", "udp", "proxy-protocol", "all")


def proxy_for(profile):
    return STAND_IN if profile in NOT_OFFERED else PROXY


def chosen(profile, rows):
    """The requirements of a profile: rows of the catalogue that a guest is to judge."""
    wanted = {"core": CORE, "full": CORE, "all": None}.get(profile, (profile,))
    return [
        row
        for row in rows
        if not row.withdrawn and row.id not in VOLUME and (wanted is None or row.profile in wanted)
    ]


def confirming(profile, rows):
    """Those that a kernel with a profile has to pass: for IPv6 they are the core's in that family, and more."""
    return [row for each in (("core", profile) if profile == "ipv6" else (profile,)) for row in chosen(each, rows)]


def words(rows, implementation=PROXY, pace=1, rules_by="iptables"):
    """The command that judges them, to be run by Python in the staged tree; nothing for no rows."""
    if not rows:
        return []
    return [
        *("tests/netns/conformance", "--impl", implementation, "--only", *(row.id for row in rows)),
        *("--rules-by", rules_by, "--sample-per", "family,recipe,backend", "-n", "0", "--seed", "1"),
        *("--patience", str(PATIENCE * pace), "--out", OUT),
    ]
