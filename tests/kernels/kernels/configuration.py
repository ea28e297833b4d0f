"""Kernel configurations as text: read, put together, compared.

A fragment names some options, a whole .config all of them; both have the kernel's own form. Of two lines
about one option the later one counts, so putting fragments together is writing one after the other.
"""

import gzip
import re
import zlib

_SET = re.compile(r'CONFIG_(\w+)=(y|m|n|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")$')
_UNSET = re.compile(r"# CONFIG_(\w+) is not set$")
OFF = "n"


class Malformed(Exception):
    """Text that is no kernel configuration; says where."""


def parse(text, source="configuration"):
    """{name without CONFIG_: value}; what is not set has the value n."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        made, unset = _SET.match(line), _UNSET.match(line)
        if made or unset:
            found[(made or unset)[1]] = made[2] if made else OFF
        elif line and not line.startswith("#"):
            raise Malformed(f"{source}:{number}: {line[:60]!r} is no line of a kernel configuration")
    return found


def load(path):
    """The text of a configuration's file, plain or compressed."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as problem:
            raise Malformed(f"{path}: {problem}") from None
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(f"{path}: it is no text") from None


def render(options):
    """Text of options, a line each."""
    return "".join(line(name, value) + "\n" for name, value in options.items())


def line(name, value):
    return f"# CONFIG_{name} is not set" if value == OFF else f"CONFIG_{name}={value}"


def not_stuck(wanted, got):
    """Lines that were asked for and are not so in what came of it, each with what is there instead.

    Kconfig drops an option in silence when something that it depends on is off.
    """
    return [
        f"{line(name, value)} (there: {line(name, got[name]) if name in got else 'not a word of it'})"
        for name, value in wanted.items()
        if got.get(name, OFF) != value
    ]


def differences(one, other):
    """[(name, value here, value there)] of two configurations; what is not mentioned is off."""
    names = sorted({*one, *other})
    pairs = ((name, one.get(name, OFF), other.get(name, OFF)) for name in names)
    return [(name, here, there) for name, here, there in pairs if here != there]
