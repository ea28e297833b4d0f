"""Finds the options that each profile needs, by leaving options out.

    1  Leave out at once all options that are probably not needed. If everything still works, none of them is
       needed. If not, try each half, then halves of halves.
    2  Leave out each remaining option alone. A way that is lost needs this option. Then leave out together all
       options that no way needed alone. If a way is lost now, two options can replace each other: keep one.
    3  Leave out all options that are not on the list of one way. The way must still work. If it does not, an
       option that only another way needs had replaced a missing one. Add the first option that helps.

A way is a pair (profile, firewall tool). If a profile works with nft but no more with iptables, then the way
with iptables is lost. So one kernel tests all ways.
"""

from dataclasses import dataclass

from . import configuration, variants, ways
from lab import toml

PUBLISHED = variants.FOLDER.parent / "kernel-options.toml"  # the list that docs/KERNELS.md shows

# Never left out: a network between namespaces needs them, or the suite reads through them.
ALWAYS_ON = (
    "NET", "PACKET", "UNIX", "UNIX_DIAG", "INET", "INET_DIAG", "INET_TCP_DIAG", "INET_UDP_DIAG",
    "NETDEVICES", "NET_CORE", "VETH",
)  # fmt: skip
NETWORK = "# The network"  # options above this line of parts/common.config are never left out


def candidates():
    """{option: y}: the options that a profile may need, from parts/common.config."""
    text = variants.part("common").partition(NETWORK)[2]
    return {name: value for name, value in configuration.parse(text).items() if name not in ALWAYS_ON}


def suspected(off):
    """Options that the capabilities of some way need. `off` is the result of check for a configuration without any."""
    missing = [off[name]["options"] for name in ways.capabilities() if name in off]
    named = {option.removeprefix("CONFIG_") for options in missing for option in options}
    return [name for name in candidates() if name in named]


def ways_of(prove):
    """{(profile, firewall tool)}: the ways that work, by the result of prove."""
    return {(profile, tool) for profile, pairs in prove["ways"].items() for _, tool in pairs}


def irrelevant(names, goal, test):
    """The names that can all be left out while each way of `goal` still works. Searches by halves.

    `test(left_out)` returns the ways that work without these options.
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
    """{way: the options without which it is lost}.

    If two options can replace each other, no way is lost when only one of them is left out. So all options
    without a visible effect are left out together, as far as possible. The rest are then tried again.
    """
    found = {way: set() for way in sorted(goal)}
    dropped, unclear = list(dropped), list(names)
    while unclear:
        for name in unclear:
            for way in goal - test([*dropped, name]):
                found[way].add(name)
        unclear = [name for name in unclear if not any(name in options for options in found.values())]
        unneeded = irrelevant(unclear, goal, lambda more: test([*dropped, *more]))
        dropped += unneeded
        unclear = [name for name in unclear if name not in unneeded]
    return {way: [name for name in names if name in options] for way, options in found.items()}


def completed(needed, names, test):
    """The lists; an option is added to a list if its way does not work without it when all others are left out."""
    complete = {}
    for way, options in needed.items():
        others = [name for name in reversed(names) if name not in options]
        unneeded = irrelevant(others, {way}, test)
        complete[way] = [name for name in names if name not in unneeded]
    return complete


# The list as a file


class BadList(Exception):
    """A file is not a list of needed options. The message says why."""


@dataclass(frozen=True)
class Found:
    """The lists for a version of Linux: {way: options}."""

    version: str
    needed: dict


def load(path):
    """The lists in a needed.toml; raises BadList."""
    try:
        data = toml.read(path)
        needed = {(each["profile"], each["program"]): each["options"] for each in data["needed"]}
        return Found(data["version"], needed)
    except OSError as problem:
        raise BadList(f"cannot read {path}: {problem.strerror}") from None
    except ValueError as problem:
        raise BadList(f"{path} is not a TOML file: {problem}") from None
    except (KeyError, TypeError) as problem:
        raise BadList(f"{path} is not a list of needed options ({problem}); use the format of {PUBLISHED}") from None


def markdown(found):
    """The table for docs/KERNELS.md. Profiles with the same options share a row."""
    rows = {}
    for profile in ways.PROFILES:
        for program in (program for of, program in found.needed if of == profile):
            rows.setdefault((program, tuple(found.needed[profile, program])), []).append(profile)
    lines = ["| profiles | firewall tool | options |", "|---|---|---|"]
    for (program, names), profiles in rows.items():
        options = " ".join(f"`{name}`" for name in names) or "none of the options that were tried"
        lines.append(f"| {', '.join(profiles)} | {program} | {options} |")
    return "\n".join([*lines, "", f"Found on Linux {found.version}.", ""])


def as_toml(found):
    lines = [f'version = "{found.version}"', ""]
    for (profile, program), names in found.needed.items():
        lines += ["[[needed]]", f'profile = "{profile}"', f'program = "{program}"']
        lines += [f"options = [{', '.join(chr(34) + name + chr(34) for name in names)}]", ""]
    return "\n".join(lines)
