"""The published walk-through's own text, read from fixtures/walkthrough.

The text is not changed, with one exception: the example's 1.1.1.1 is a real address and becomes one of a documentation
range.
"""

from lab.paths import FIXTURES

FOLDER = FIXTURES / "walkthrough"
PRINTED_VIP = "1.1.1.1"


def _lines(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def sysctls():
    """Names of the sysctls that it has set to 1."""
    return [line.strip() for line in _lines("sysctls")]


def iptables_commands():
    return _lines("iptables")


def ip_commands():
    return _lines("iprules")


def snippet(name, vip):
    """The configuration snippet `binding` or `proxying`, with the VIP in the place of 1.1.1.1."""
    text = "\n".join(_lines(f"{name}.cfg")) + "\n"
    assert PRINTED_VIP != vip
    return text.replace(PRINTED_VIP, vip)
