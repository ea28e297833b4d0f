"""The catalogue of requirements, and the mark that connects a test with one of them."""

from dataclasses import dataclass

import pytest

from lab import toml
from lab.paths import FIXTURES

CATALOGUE = FIXTURES / "requirements.toml"
LEVELS = ("MUST", "SHOULD", "MAY")
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6", "proxy-protocol", "operations")
GROUPS = ("BIND", "SRC", "DST", "STREAM", "UDP", "PP", "OPS", "HOST")
_LISTS = ("falsified_by", "needs")


@dataclass(frozen=True)
class Requirement:
    id: str
    level: str
    profile: str
    text: str
    source: str
    falsified_by: tuple = ()
    no_falsifier: str = ""  # why no proxy can break it
    needs: tuple = ()  # capabilities that no field of its tests' scenarios shows
    withdrawn: str = ""

    @property
    def group(self):
        return self.id.split("-")[1]


def load(path=CATALOGUE):
    """The catalogue's rows in their order."""
    rows = toml.read(path)["requirement"]
    return [Requirement(**{**row, **{name: tuple(row.get(name, ())) for name in _LISTS}}) for row in rows]


def requirement_of(item):
    """The id that a test of pytest's names, or None."""
    return next((mark.args[0] for mark in item.iter_markers("requirement")), None)


def requirement(identifier):
    """Decorate a test with the requirement that it proves."""
    return pytest.mark.requirement(identifier)
