"""The catalogue of requirements, and the mark that ties a test to one of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10: the package python3-tomli
    import tomli as tomllib

CATALOGUE = Path(__file__).resolve().parents[3] / "fixtures" / "requirements.toml"
LEVELS = ("MUST", "SHOULD", "MAY")
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6", "proxy-protocol", "operations")
GROUPS = ("BIND", "SRC", "DST", "STREAM", "UDP", "PP", "OPS", "HOST")


@dataclass(frozen=True)
class Requirement:
    id: str
    level: str
    profile: str
    text: str
    source: str
    falsified_by: tuple = ()
    withdrawn: str = ""

    @property
    def group(self):
        return self.id.split("-")[1]


def load(path=CATALOGUE):
    """The catalogue's rows in their order."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["requirement"]
    return [Requirement(**{**row, "falsified_by": tuple(row.get("falsified_by", ()))}) for row in rows]


def requirement(identifier):
    """Decorate a test with the requirement that it proves."""
    return pytest.mark.requirement(identifier)
