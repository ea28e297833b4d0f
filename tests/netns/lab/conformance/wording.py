"""Makes the message of a failed test readable for an author who does not know the suite.

Addresses get the name of their host, a bare "timed out" says what was waited for, and pytest's hints about its own
options are left out. The text that pytest made is kept in the report as `details`, and known deviations match both.
"""

import re

from lab import waiting
from lab.netns.endpoint import Endpoint

_HINT = re.compile(
    r"^E?[ ]*(?:\.\.\.)?(?:Use -v+ to get [a-z ]+|Full output truncated \(\d+ lines? hidden\), use '-vv' to show)(\)?)$", re.M
)
_QUOTED = re.compile(r"'([0-9a-f]*[.:][0-9a-f.:]+)'")
_PLACE = r"(?:'([0-9a-f]*[.:][0-9a-f.:]+)'|([0-9a-f.:]+:\d+|\[[0-9a-f.:]+\]:\d+))"
_EQUAL = re.compile(rf"assert {_PLACE} == {_PLACE}$")
SUBJECTS = {
    "peer_seen_by_server": "the server saw",
    "source_on_the_wire": "the packets to the server came from",
    "flow.server.local": "the connection went to",
}
_ENDPOINT = re.compile(r"(?<![\w.:\[])(?:\d+(?:\.\d+){3}|\[[0-9a-f:]+\]):\d+(?!\w)")
UNTRIED = "no attempt to connect reached the server's link"
LONGEST_LINE = 200  # characters of a log's line
BARE = ("", "timed out", "[Errno 110] Connection timed out", "[Errno 110] ETIMEDOUT")


def without_hints(text):
    """The text without lines in which pytest recommends its own options."""
    kept = _HINT.sub(lambda found: "\0" + found.group(1), text)
    return kept.replace("\n\0)", ")").replace("\0\n", "").replace("\n\0", "").replace("\0", "")


def roles(lab):
    """{address: the host that has it} of a lab."""
    hosts = {"the proxy": lab.proxy, "the server": lab.server, "the client": lab.client}
    return {address: role for role, host in hosts.items() for each in host.addresses.values() for address in each}


def of_assertion(text, statement, role_of):
    """An assertion's message with the names of hosts.

    `text` is pytest's message, `statement` the line of the test, `role_of` a dictionary as from roles().
    """
    first, newline, rest = text.removeprefix("AssertionError: ").partition("\n")
    if equal := _EQUAL.match(first):
        seen, wanted = (_named(equal.group(n) or equal.group(n + 1), role_of) for n in (1, 3))
        left = statement.partition("==")[0]
        subject = next((words for name, words in SUBJECTS.items() if name in left), "got")
        return f"{subject} {seen}, expected {wanted}{newline}{rest}"
    first = _QUOTED.sub(lambda found: found.group(0) + _role(found.group(1), role_of), first)
    if first.startswith("assert ") and first.count(" == ") == 1 and not first.startswith("assert (("):
        first = "got " + first.removeprefix("assert ").replace(" == ", ", expected ")
    return f"{first}{newline}{rest}"


def _named(place, role_of):
    return place + _role(place, role_of)


def _role(place, role_of):
    address = place if place in role_of else place.rpartition(":")[0].strip("[]")
    return f" ({role_of[address]})" if address in role_of else ""


def of_error(excinfo):
    """The message of an error by which a connection ended: the kernel's words and the line where they came, or its own."""
    problem = excinfo.value
    if not problem.errno:
        return str(problem)
    return f"{problem.strerror}, at: {str(excinfo.traceback[-1].statement).strip()}"


def naming_the_first(text, role_of):
    """The text with the name of the host behind the first address and port in it: who waited, or got too little."""
    found = _ENDPOINT.search(text)
    return text[: found.end()] + _role(found.group(), role_of) + text[found.end() :] if found else text


def with_context(text, tried, log):
    """The message with what an author looks for next, in its first line: whether the proxy connected, and its last words."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [] if tried else [UNTRIED]
    if lines and "its log" not in text:
        said.append(f"its log ends with: {lines[-1][:LONGEST_LINE]}")
    first, newline, rest = text.partition("\n")
    return f"{first} [{'; '.join(said)}]{newline}{rest}" if said else text


def of_timeout(excinfo, role_of):
    """What a TimeoutError without a message waited for, from the line that waited and the endpoints that it knew."""
    entry = excinfo.traceback[-1]
    known = [f"{name} {value}" for name, value in entry.locals.items() if isinstance(value, Endpoint)]
    where = f" ({', '.join(_named(each, role_of) for each in known)})" if known else ""
    return f"{str(entry.statement).strip()}: timed out after {waiting.seconds:g} s{where}"


def with_timeouts(text, scenario):
    """The message of a wait, with the timeouts of the proxy's scenario in its first line; if it has any. None: there was no proxy."""
    if scenario is None:
        return text
    given = ", ".join(f"{name} {value} ms" for name, value in scenario.get("timeouts", {}).items())
    first, newline, rest = text.partition("\n")
    return f"{first} (timeouts of the scenario: {given}){newline}{rest}" if given else text
