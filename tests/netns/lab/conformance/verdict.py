"""The verdict of a test, and of a requirement with several tests: the only place that decides.

    PASS         every assertion held
    UNSUPPORTED  the implementation says that it does not offer this, and does not claim it
    NOT RUN      no test of the requirement was in the selection
    ABSENT       the kernel or a tool lacks a feature that the test needs; found by trying the operation itself
    BLOCKED      a precondition could not be shown, so no result of the proxy proves anything
    ERROR        the suite itself failed
    FAIL         the implementation does not do what the requirement says

Only PASS is a pass. FAIL comes from assertions, from timeouts, and from the end of a connection through the proxy. Every
other exception is a mistake of the suite: ERROR, so that it does not count against an implementation. An implementation
fails if it refuses a scenario although it claims all capabilities that the scenario needs. If it serves a scenario
without a claim, the test passes, and the capability is noted as `unclaimed`.
"""

import errno

from lab.exceptions import Absent, GuardFailed, Unsupported

PASS = "PASS"
UNSUPPORTED = "UNSUPPORTED"
NOT_RUN = "NOT RUN"
ABSENT = "ABSENT"
BLOCKED = "BLOCKED"
ERROR = "ERROR"
FAIL = "FAIL"

VERDICTS = (PASS, UNSUPPORTED, NOT_RUN, ABSENT, BLOCKED, ERROR, FAIL)  # from good to bad
SYMBOLS = {PASS: "✓", UNSUPPORTED: "–", NOT_RUN: "·", ABSENT: "○", BLOCKED: "▲", ERROR: "!", FAIL: "✗"}

_ENDED = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOTCONN)


def worst(verdicts):
    """The verdict of a requirement from those of its tests; NOT RUN when there are none."""
    return max(verdicts, key=VERDICTS.index, default=NOT_RUN)


def of_exception(problem, phase="call"):
    """The verdict of an exception that left a test's `setup`, `call` or `teardown`."""
    if isinstance(problem, Unsupported):
        return UNSUPPORTED
    if isinstance(problem, Absent):
        return ABSENT
    if isinstance(problem, GuardFailed):
        return BLOCKED
    if isinstance(problem, AssertionError) or is_the_connections(problem):
        return {"setup": BLOCKED, "call": FAIL}.get(phase, ERROR)
    return ERROR


def is_the_connections(problem):
    """Whether it is how a connection ended: refused, reset, timed out, unreachable."""
    if isinstance(problem, (ConnectionError, TimeoutError)):
        return True
    return isinstance(problem, OSError) and problem.errno in _ENDED


def of_skip(reason):
    """The verdict of a test that skipped itself; the reason's first word says which, and must."""
    word = reason.partition(":")[0].strip().lower()
    return {"unsupported": UNSUPPORTED, "absent": ABSENT, "blocked": BLOCKED}.get(word, ERROR)


def confirmed(claimed, needed):
    """What becomes of an UNSUPPORTED: (verdict, why, what is lacking) from what is claimed and what was needed."""
    lacking = sorted(set(needed) - set(claimed))
    if lacking:
        return UNSUPPORTED, f"not claimed: {', '.join(lacking)}", lacking
    claims = ", ".join(sorted(needed)) or "to be an adapter"
    return FAIL, f"claims {claims}, and refuses a scenario that needs nothing else", []


def unclaimed(claimed, needed):
    """What was served without being claimed."""
    return sorted(set(needed) - set(claimed))
