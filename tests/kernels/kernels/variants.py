"""The kernel variants in fixtures/kernels. Each has a configuration fragment and a prediction.

    NAME.config    options that differ from base
    NAME.toml      the predicted result:

        name = "no socket match"          a short name
        about = "…"                       one sentence
        missing = ["iptables-socket-*"]   capabilities of `tproxyctl prove` that do not work (optional)
        lost = ["full"]                   profiles that do not work (optional)
        [suite]                           verdicts that differ from base, by REQUIREMENT/FAMILY; the first
        PASS = ["TP-HOST-12/*"]           match counts (optional)
        ABSENT = ["TP-*/6"]
        [sysctls]                         set in the guest before anything runs (optional)
        "net.ipv4.conf.all.rp_filter" = "1"

Capabilities and requirements may be patterns. Each pattern must match a name. parts/common.config holds the
options of all kernels, parts/ENGINE.config those of an engine.
"""

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

from . import configuration

from lab import toml

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "kernels"
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6")
VERDICTS = ("PASS", "ABSENT", "FAIL", "BLOCKED", "UNSUPPORTED")
_KEYS = {"name", "about", "missing", "lost", "suite", "sysctls"}
BASE = "base"


class BadVariant(Exception):
    """A variant does not exist, or one of its files is wrong. The message names the file and the fault."""


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
        """The predicted verdict of REQUIREMENT/FAMILY, or None if it is the same as on base."""
        return next((word for word, patterns in self.suite.items() if _matches(row, patterns)), None)

    def unused_patterns(self, capabilities, rows):
        """Patterns that match no name. A mistyped name predicts nothing, and nothing else would show it."""
        pairs = [(each, capabilities) for each in self.missing]
        pairs += [(each, rows) for patterns in self.suite.values() for each in patterns]
        return [each for each, names in pairs if not fnmatch.filter(names, each)]


def _matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, each) for each in patterns)


def names(folder=FOLDER):
    """Ids of all variants, base first."""
    found = sorted(path.stem for path in folder.glob("*.toml"))
    return [each for each in (BASE,) if each in found] + [each for each in found if each != BASE]


def load(identifier, folder=FOLDER):
    path = folder / f"{identifier}.toml"
    if not path.exists():
        raise BadVariant(f"unknown kernel '{identifier}'; give one of: {' '.join(names(folder))}")
    try:
        data = toml.read(path)
        fragment = configuration.load(folder / f"{identifier}.config")
        configuration.parse(fragment, f"{identifier}.config")
    except configuration.Malformed as problem:
        raise BadVariant(str(problem)) from None
    except OSError as problem:
        raise BadVariant(f"cannot read {problem.filename}: {problem.strerror}") from None
    except ValueError as problem:
        raise BadVariant(f"{path.name} is not a TOML file: {problem}") from None
    for problem in _problems(data):
        raise BadVariant(f"{path.name}: {problem}")
    lists = {key: tuple(data.get(key, ())) for key in ("missing", "lost")}
    tables = {key: data.get(key, {}) for key in ("suite", "sysctls")}
    return Variant(identifier, data["name"], data["about"], fragment, **lists, **tables)


def _problems(data):
    yield from (f"unknown key '{key}'; use {', '.join(sorted(_KEYS))}" for key in sorted(set(data) - _KEYS))
    yield from (f"add {key} = \"TEXT\"" for key in ("name", "about") if not isinstance(data.get(key), str))
    yield from (f"'{key}' must be a list of names in quotes" for key in ("missing", "lost") if not _is_names(data.get(key, [])))
    for key in ("suite", "sysctls"):
        if not isinstance(data.get(key, {}), dict):
            yield f"'{key}' must be a table; write [{key}]"
    yield from (f"unknown profile '{each}' in 'lost'; use {', '.join(PROFILES)}" for each in data.get("lost", ()) if each not in PROFILES)
    for word, patterns in data.get("suite", {}).items():
        if word not in VERDICTS:
            yield f"unknown verdict '{word}' in [suite]; use {', '.join(VERDICTS)}"
        if not _is_names(patterns):
            yield f"'{word}' must be a list of names in quotes"


def _is_names(value):
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def part(name, folder=FOLDER):
    """The text of a fragment in parts/."""
    return (folder / "parts" / f"{name}.config").read_text(encoding="ascii")


def patch_of(engine, folder=FOLDER):
    """The patch that an engine needs, or None."""
    path = folder / "parts" / f"{engine}.patch"
    return path if path.exists() else None


def fragment_of(variant, engine, folder=FOLDER):
    """The options of a kernel: the common ones, then the engine's, then the variant's."""
    texts = (part("common", folder), part(engine, folder), variant.fragment)
    return configuration.parse("\n".join(texts))
