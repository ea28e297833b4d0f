"""The catalogue of requirements, and the mark that connects a test with one of them."""

import hashlib
import json
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


def identity(path=CATALOGUE):
    """What a report says of the catalogue: its version, its hash, and every requirement that it has.

    The hash is over what a verdict depends on: ids, levels, profiles and sentences. It does not change where rows change
    places, or where a falsifier is added. fixtures/schema/report.schema.json says how others can compute it.
    """
    rows = [row for row in load(path) if not row.withdrawn]
    return {
        "version": toml.read(path)["version"],
        "sha256": digest(rows),
        "requirements": [{"id": row.id, "level": row.level, "profile": row.profile} for row in rows],
    }


def digest(rows):
    """The hash of rows, as hexadecimal digits."""
    listed = sorted([row.id, row.level, row.profile, row.text] for row in rows)
    return hashlib.sha256(json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def with_parts(profiles):
    """The profiles that are meant where these are chosen: `full` contains two others. An empty set means all."""
    return {*profiles, "binding", "source"} if "full" in profiles else set(profiles)


def requirement_of(item):
    """The id that a test of pytest's names, or None."""
    return next((mark.args[0] for mark in item.iter_markers("requirement")), None)


def requirement(identifier):
    """Decorate a test with the requirement that it proves."""
    return pytest.mark.requirement(identifier)
