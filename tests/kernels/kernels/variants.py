"""The kernels that the lab knows: fixtures/kernels, a fragment and its prediction each.

    NAME.config    what differs from the base, as a fragment
    NAME.toml      what is then to be expected:

        name = "no socket match"          what a user would say
        about = "…"                       a sentence
        missing = ["iptables-socket-*"]   capabilities of `tproxyctl prove` that do not work
        lost = ["full"]                   profiles that can't be had
        [suite]                           verdicts of requirements that are not what base has, the
        PASS = ["TP-HOST-12/*"]           first that matches; a requirement and a family
        ABSENT = ["TP-*/6"]
        [sysctls]                         set in the guest before anything else (optional)
        "net.ipv4.conf.all.rp_filter" = "1"

Names of capabilities and requirements may be patterns, and each has to match something. The fragments in
parts/ are what all kernels have in common, and what each engine needs.
"""

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

from . import configuration

try:
    import tomllib
except ImportError:  # Python 3.10: the package python3-tomli
    import tomli as tomllib

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "kernels"
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6")
VERDICTS = ("PASS", "ABSENT", "FAIL", "BLOCKED", "UNSUPPORTED")
_KEYS = {"name", "about", "missing", "lost", "suite", "sysctls"}
BASE = "base"


class Wrong(Exception):
    """A fixture that is not of the form, or is not there; says which and how."""


@dataclass(frozen=True)
class Variant:
    id: str
    name: str
    about: str
    fragment: str = ""
    missing: tuple = ()
    lost: tuple = ()
    suite: dict = field(default_factory=dict)  # {verdict: patterns}
    sysctls: dict = field(default_factory=dict)

    def lacks(self, capability):
        return _matches(capability, self.missing)

    def verdict(self, row):
        """The verdict that is predicted of a requirement and family, or None: as on base."""
        return next((word for word, patterns in self.suite.items() if _matches(row, patterns)), None)

    def idle_patterns(self, capabilities, rows):
        """Patterns that match nothing: a mistyped name would predict nothing and never be noticed."""
        asked = [(each, capabilities) for each in self.missing]
        asked += [(each, rows) for patterns in self.suite.values() for each in patterns]
        return [each for each, names in asked if not fnmatch.filter(names, each)]


def _matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, each) for each in patterns)


def names(folder=FOLDER):
    """Ids of all variants, base first."""
    found = sorted(path.stem for path in folder.glob("*.toml"))
    return [each for each in (BASE,) if each in found] + [each for each in found if each != BASE]


def load(identifier, folder=FOLDER):
    path = folder / f"{identifier}.toml"
    if not path.exists():
        raise Wrong(f"there is no kernel '{identifier}'; there are: {' '.join(names(folder))}")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        fragment = (folder / f"{identifier}.config").read_text(encoding="ascii")
        configuration.parse(fragment, f"{identifier}.config")
    except (tomllib.TOMLDecodeError, configuration.Malformed, OSError) as problem:
        raise Wrong(f"{path.name}: {problem}") from None
    for problem in _problems(said):
        raise Wrong(f"{path.name}: {problem}")
    lists = {key: tuple(said.get(key, ())) for key in ("missing", "lost")}
    tables = {key: said.get(key, {}) for key in ("suite", "sysctls")}
    return Variant(identifier, said["name"], said["about"], fragment, **lists, **tables)


def _problems(said):
    yield from (f"there is no key '{key}'" for key in sorted(set(said) - _KEYS))
    yield from (f"'{key}' is missing" for key in ("name", "about") if not isinstance(said.get(key), str))
    yield from (f"'{key}' is no list of names" for key in ("missing", "lost") if not _is_names(said.get(key, [])))
    yield from (f"no profile '{each}'" for each in said.get("lost", ()) if each not in PROFILES)
    for word, patterns in said.get("suite", {}).items():
        if word not in VERDICTS:
            yield f"no verdict '{word}' can be predicted"
        if not _is_names(patterns):
            yield f"'{word}' is no list of names"


def _is_names(value):
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def part(name, folder=FOLDER):
    """The text of a fragment in parts/."""
    return (folder / "parts" / f"{name}.config").read_text(encoding="ascii")


def patch_of(engine, folder=FOLDER):
    """What an engine needs changed in the source, or None."""
    path = folder / "parts" / f"{engine}.patch"
    return path if path.exists() else None


def fragment_of(variant, engine, folder=FOLDER):
    """All that a kernel is configured by: common options, the engine's, the variant's."""
    texts = (part("common", folder), part(engine, folder), variant.fragment)
    return configuration.parse("\n".join(texts))
