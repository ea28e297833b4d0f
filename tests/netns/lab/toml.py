"""Reads TOML with Python's own module, or with the package python3-tomli on Python 3.10."""

try:
    import tomllib
except ImportError:
    import tomli as tomllib

Malformed = tomllib.TOMLDecodeError


def read(path):
    """The tables of a file, as a dictionary; raises Malformed."""
    return tomllib.loads(path.read_text(encoding="utf-8"))
