"""Which profiles a configuration allows, computed from its capabilities.

A way is a recipe with a firewall tool. The capabilities that each way needs are listed here a second time, apart
from tproxyctl. They are compared with the results of `tproxyctl prove`, so a mistake in either list shows up.
"""

ON, OFF, UNKNOWN = "on", "off", "unknown"
PROGRAMS = {"iptables": "iptables-mangle", "iptables-legacy": "iptables-legacy-mangle", "nft": "nft-chain"}
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6")


def _ways(profile):
    """For each way that gives a profile, the list of capabilities that it needs."""
    family = 6 if profile == "ipv6" else 4
    common = ["veth", f"transparent-{family}"] + ["ipv6"] * (family == 6)
    if profile == "binding":
        return [common]
    tcp = [] if profile == "udp" else ["bind-address-no-port"]
    ways = []
    for program, chain in PROGRAMS.items():
        # nft's `socket` does not match fragmented datagrams unless some rule has `tproxy`.
        needs_tproxy = profile == "intercept" or (profile, program) == ("udp", "nft")
        features = ("socket", "mark", "tproxy") if needs_tproxy else ("socket", "mark")
        rules = [chain, *(f"{program}-{each}" for each in features), "policy-rule", "local-route"]
        ways.append([*common, *tcp, *(f"{name}-{family}" for name in rules)])
    return ways


def capabilities():
    """The names of all capabilities that some way needs."""
    return {name for profile in PROFILES for way in _ways(profile) for name in way}


def allowed(states, profile):
    """ON if a way has all its capabilities, OFF if no way can, else UNKNOWN. `states` is {capability: state}."""
    found = {_combined(states.get(name, UNKNOWN) for name in way) for way in _ways(profile)}
    return ON if ON in found else UNKNOWN if UNKNOWN in found else OFF


def _combined(states):
    states = set(states)
    return OFF if OFF in states else UNKNOWN if UNKNOWN in states else ON
