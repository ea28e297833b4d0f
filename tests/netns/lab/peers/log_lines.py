"""Which lines of a proxy's log are about a failure.

A log may name each address as a matter of course: "listening at ADDRESS" before bind(2) is called. So a line counts only
where a start that succeeds writes no such line. Two lines are alike where they differ in the address and in numbers alone.
"""

import re

_NUMBER = re.compile(r"\d+")


def of_failure(log, address, usual, usual_address):
    """Lines of `log` that name an address, without those that `usual`, the log of a success, has for its own address."""
    known = {_form(line, usual_address) for line in usual.splitlines()}
    return [line for line in log.splitlines() if address in line and _form(line, address) not in known]


def _form(line, address):
    return _NUMBER.sub("#", line.replace(address, "\0"))
