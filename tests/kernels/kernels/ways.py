"""Which profiles a configuration promises, from the capabilities that it allows.

What each way to connect is built on is said here once more, in the lab's own words, and held against what
tproxyctl proves: were one of them wrong, a kernel would show it.
"""

ON, OFF, UNKNOWN = "on", "off", "unknown"
PROGRAMS = {"iptables": "iptables-mangle", "iptables-legacy": "iptables-legacy-mangle", "nft": "nft-chain"}
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6")


def _rules(program, family, *features):
    names = [PROGRAMS[program], *(f"{program}-{each}" for each in features)]
    return [f"{name}-{family}" for name in [*names, "policy-rule", "local-route"]]


def _ways(profile):
    """The capabilities of each way that shows a profile."""
    family = 6 if profile == "ipv6" else 4
    common = ["veth", f"transparent-{family}"] + ["ipv6"] * (family == 6)
    if profile == "binding":
        return [common]
    tcp = [] if profile == "udp" else ["bind-address-no-port"]
    ways = []
    for program in PROGRAMS:
        # nft's `socket` leaves datagrams in fragments alone, unless there is a `tproxy`.
        names_it = profile == "intercept" or (profile, program) == ("udp", "nft")
        features = ("socket", "mark", "tproxy") if names_it else ("socket", "mark")
        ways.append([*common, *tcp, *_rules(program, family, *features)])
    return ways


def capabilities():
    """Names of all that any way to have any profile is built on."""
    return {name for profile in PROFILES for way in _ways(profile) for name in way}


def promised(states, profile):
    """on when a way has all it needs, off when none can, unknown otherwise; from {capability: state}."""
    found = {_joined(states.get(name, UNKNOWN) for name in way) for way in _ways(profile)}
    return ON if ON in found else UNKNOWN if UNKNOWN in found else OFF


def _joined(states):
    states = set(states)
    return OFF if OFF in states else UNKNOWN if UNKNOWN in states else ON
