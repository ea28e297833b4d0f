"""Which options each profile really needs: found by leaving them out, and confirmed by leaving out the rest.

    1  Everything that is not suspected of being needed is left out at once. What still works then owes
       it nothing; what does not sends the search back to that half, and to its halves.
    2  Of what remains each option is left out by itself. What is lost then needs it. What nobody misses
       so is left out together; what stands in for another shows then.
    3  A kernel with just those options, for one profile and one firewall program, has to have it. Where it
       has not, one option stood in for another that only other profiles need; of those the first is taken.

What is lost is told by program: a profile that nft can still show is lost all the same for iptables. So
one kernel answers for all of them, and `needed` is by (profile, program).
"""

from dataclasses import dataclass

from . import configuration, variants, ways

PUBLISHED = variants.FOLDER.parent / "kernel-options.toml"  # the list that docs/KERNELS.md shows

# What is not asked about: a system, a network between namespaces, and what the suite looks through.
SURROUNDINGS = (
    "NET", "PACKET", "UNIX", "UNIX_DIAG", "INET", "INET_DIAG", "INET_TCP_DIAG", "INET_UDP_DIAG",
    "NETDEVICES", "NET_CORE", "VETH",
)  # fmt: skip
NETWORK = "# The network"  # the line of parts/common.config behind which options are asked about


def candidates():
    """{option: y} that a profile may need, from the fragment that all kernels have in common."""
    text = variants.part("common").partition(NETWORK)[2]
    return {name: value for name, value in configuration.parse(text).items() if name not in SURROUNDINGS}


def suspected(off):
    """Names of options that ways to connect depend on: those that their capabilities lack where there are none."""
    lacking = [off[name]["options"] for name in ways.capabilities() if name in off]
    named = {option.removeprefix("CONFIG_") for options in lacking for option in options}
    return [name for name in candidates() if name in named]


def without(names):
    """A fragment that leaves options out."""
    return "".join(configuration.line(name, configuration.OFF) + "\n" for name in names)


def ways_of(prove):
    """{(profile, program)} that could be had."""
    return {(profile, backend) for profile, those in prove["ways"].items() for _, backend in those}


def irrelevant(names, goal, test):
    """Those of the names that may all be left out without losing any of the goal: by halves.

    `test(left out)` returns what can be had then.
    """
    names = list(names)
    if not names or goal <= test(names):
        return names
    if len(names) == 1:
        return []
    half = len(names) // 2
    kept = irrelevant(names[:half], goal, test)
    return kept + irrelevant(names[half:], goal, lambda more: test(kept + list(more)))


def needed(names, dropped, goal, test):
    """{(profile, program): options} that it is lost without.

    Two options that stand in for each other are not missed by themselves. So what nobody missed is left
    out together, as far as that goes, and the rest is then tried again.
    """
    found = {way: set() for way in sorted(goal)}
    dropped, untold = list(dropped), list(names)
    while untold:
        for name in untold:
            for way in goal - test([*dropped, name]):
                found[way].add(name)
        untold = [name for name in untold if not any(name in those for those in found.values())]
        idle = irrelevant(untold, goal, lambda more: test([*dropped, *more]))
        dropped += idle
        untold = [name for name in untold if name not in idle]
    return {way: [name for name in names if name in those] for way, those in found.items()}


def completed(needed, names, test):
    """The lists, each with what it lacks to be enough when all other names are left out."""
    return {way: _completed(way, options, names, test) for way, options in needed.items()}


def _completed(way, options, names, test):
    others = [name for name in reversed(names) if name not in options]
    idle = irrelevant(others, {way}, test)
    return [name for name in names if name not in idle]


# The list as it is kept and told


class NoList(Exception):
    """A file that is no list of needed options; says why."""


@dataclass(frozen=True)
class Found:
    """What was found on a version of Linux: {(profile, program): options}."""

    version: str
    needed: dict


def load(path):
    try:
        said = variants.tomllib.loads(path.read_text(encoding="utf-8"))
        needed = {(each["profile"], each["program"]): each["options"] for each in said["needed"]}
        return Found(said["version"], needed)
    except (OSError, variants.tomllib.TOMLDecodeError) as problem:
        raise NoList(f"{path}: {problem}") from None
    except (KeyError, TypeError) as problem:
        raise NoList(f"{path}: no list as needed.toml is: {problem}") from None


def markdown(found):
    """As it is published: profiles that need the same are one row."""
    rows = {}
    for profile in ways.PROFILES:
        for program in (program for of, program in found.needed if of == profile):
            rows.setdefault((program, tuple(found.needed[profile, program])), []).append(profile)
    lines = ["| profiles | rules by | options |", "|---|---|---|"]
    for (program, names), profiles in rows.items():
        options = " ".join(f"`{name}`" for name in names) or "none of those that were tried"
        lines.append(f"| {', '.join(profiles)} | {program} | {options} |")
    return "\n".join([*lines, "", f"Found on Linux {found.version}.", ""])


def toml(found):
    lines = [f'version = "{found.version}"', ""]
    for (profile, program), names in found.needed.items():
        lines += ["[[needed]]", f'profile = "{profile}"', f'program = "{program}"']
        lines += [f"options = [{', '.join(chr(34) + name + chr(34) for name in names)}]", ""]
    return "\n".join(lines)
