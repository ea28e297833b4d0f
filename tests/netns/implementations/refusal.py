"""How an adapter refuses: exit statuses, and the exception for a scenario that is not offered.

It imports little, because an adapter is started once a test.
"""

import sys

UNSUPPORTED = 78  # EX_CONFIG of sysexits.h: the implementation does not offer what the scenario asks for
UNAVAILABLE = 69  # EX_UNAVAILABLE: a program that the adapter needs cannot be run


class Unsupported(Exception):
    """The implementation does not offer what the scenario asks for."""


def require(condition, what):
    """Raise Unsupported unless the condition holds; `what` names what is not offered."""
    if not condition:
        raise Unsupported(what)


def require_known(fields, allowed, where):
    """Raise Unsupported for a field that the adapter does not know, so that no scenario is served in part."""
    unknown = set(fields) - allowed
    require(not unknown, f"{where}: unknown field {', '.join(sorted(unknown))}")


def refuse(reason):
    """End because a scenario is not offered."""
    print(f"unsupported: {reason}", file=sys.stderr)
    sys.exit(UNSUPPORTED)
