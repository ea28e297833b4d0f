"""Kernel configurations as text: parse, merge, compare.

A fragment names some options, a .config names all. Both have the format of Linux. If two lines name the same
option, the later line counts. So fragments are merged by joining their texts.
"""

import gzip
import re
import zlib

_SET = re.compile(r'CONFIG_(\w+)=(y|m|n|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")$')
_UNSET = re.compile(r"# CONFIG_(\w+) is not set$")
OFF = "n"


class Malformed(Exception):
    """A text is not a kernel configuration. The message names the file and line."""


def parse(text, source="configuration"):
    """{name without CONFIG_: value}. An option that is not set has the value n."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        made, unset = _SET.match(line), _UNSET.match(line)
        if made or unset:
            found[(made or unset)[1]] = made[2] if made else OFF
        elif line and not line.startswith("#"):
            raise Malformed(f"{source}:{number}: {line[:60]!r} is not a line of a kernel configuration")
    return found


def load(path):
    """The text of a configuration file, plain or compressed by gzip."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as problem:
            raise Malformed(f"{path}: cannot be decompressed: {problem}") from None
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(f"{path}: not a kernel configuration: it is not ASCII text") from None


def render(options):
    """The text of options, one line each."""
    return "".join(line(name, value) + "\n" for name, value in options.items())


def line(name, value):
    return f"# CONFIG_{name} is not set" if value == OFF else f"CONFIG_{name}={value}"


def not_applied(wanted, got):
    """The lines of `wanted` that differ in `got`, each with the line that `got` has.

    Kconfig drops an option without a message when an option that it depends on is off.
    """
    return [
        f"{line(name, value)} (it has: {line(name, got[name]) if name in got else 'no line for this option'})"
        for name, value in wanted.items()
        if got.get(name, OFF) != value
    ]


def differences(one, other):
    """[(name, value in one, value in other)]. An option without a line is off."""
    names = sorted({*one, *other})
    values = ((name, one.get(name, OFF), other.get(name, OFF)) for name in names)
    return [(name, here, there) for name, here, there in values if here != there]
