"""The sockets of a namespace, from /proc, and which of them serves an address.

A socket is looked for by what it serves, not by how it is written. One program listens at 0.0.0.0 with an IPv4 socket,
another one with an IPv6 socket at ::, which gets IPv4 connections, too (ipv6(7), IPV6_V6ONLY). Such connections are
in /proc/net/tcp6 as ::ffff:A.B.C.D (RFC 4291, 2.5.5.2). Here they are IPv4 addresses.

/proc does not show IPV6_V6ONLY. So a socket at :: counts for IPv4, too; if it does not serve it, the test's connection
is refused.
"""

import socket

from lab.netns import kernel
from lab.netns.endpoint import Endpoint

MAPPED = "::ffff:"
TABLES = {4: ("", "6"), 6: ("6",)}  # files of /proc/net by the family of what a socket serves
_STATES = {"01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "06": "TIME_WAIT", "08": "CLOSE_WAIT", "0A": "LISTEN"}


def serves(bound, endpoint):
    """Whether a socket that is bound to one endpoint gets what is sent to another, which may be a wildcard itself."""
    wildcards = ("0.0.0.0", "::") if endpoint.family == 4 else ("::",)
    return bound.port == endpoint.port and bound.address in (endpoint.address, *wildcards)


def read(namespace, protocol, families=None):
    """Sockets of `protocol` ("tcp" or "udp") as (state, local, remote); all, or at least those of some families.

    A state is one of _STATES, or its number in /proc. The kernel walks all connections of the machine for each table.
    """
    return [_socket(fields) for fields in _lines(namespace, protocol, families)]


def unread(namespace):
    """Remote addresses of TCP connections with bytes that no program has read yet."""
    return {_endpoint(fields[2]) for fields in _lines(namespace, "tcp") if fields[4].partition(":")[2].strip("0")}


def half_open(namespace):
    """The connections that are not established yet, as pairs of ends."""
    return {_ends(fields) for fields in _lines(namespace, "tcp") if _STATES.get(fields[3]) in ("SYN_SENT", "SYN_RECV")}


def unanswered(namespace):
    """Those that have sent their first packet more than once; the packets may pass no link that is watched."""
    lines = _lines(namespace, "tcp")
    return {_ends(fields) for fields in lines if _STATES.get(fields[3]) == "SYN_SENT" and int(fields[6], 16) > 0}


def not_accepted(namespace, port):
    """How many clients of a listening port are connected, or nearly, and no program has accepted: they have no inode."""
    lines = [line for line in _lines(namespace, "tcp") if _endpoint(line[1]).port == port]
    return sum(_STATES.get(fields[3]) in ("ESTABLISHED", "SYN_RECV", "CLOSE_WAIT") and fields[9] == "0" for fields in lines)


def _lines(namespace, protocol, families=None):
    wanted = set(kernel.families()) & (families or {4, 6})
    tables = {table for family in wanted for table in TABLES[family] if 6 in kernel.families() or not table}
    found = []
    with namespace:
        for table in sorted(tables):
            with open(f"/proc/thread-self/net/{protocol}{table}", encoding="ascii") as file:
                found += [line.split() for line in file.readlines()[1:]]
    return found


def _socket(fields):
    return _STATES.get(fields[3], fields[3]), _endpoint(fields[1]), _endpoint(fields[2])


def _ends(fields):
    return frozenset(_socket(fields)[1:])


def _endpoint(text):
    """What /proc/net/tcp writes: 32-bit words in the machine's byte order, all in hexadecimal."""
    words, port = text.split(":")
    raw = bytes.fromhex(words)
    swapped = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    kind = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return Endpoint(socket.inet_ntop(kind, swapped).removeprefix(MAPPED), int(port, 16))
