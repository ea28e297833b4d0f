"""What decides about packets on a host: policy rules, routes, the generation of nftables' rule set, sysctls.

It is read over netlink, because the witness reads it twice in each test and programs would take too long; so is what a test
waits for. Every change of a rule by nft or by iptables' nft form makes a new generation (NFT_MSG_GETGEN, linux/netfilter/nf_tables.h). Rules of
iptables-legacy are not seen.
"""

import os
import socket
import struct

from lab.netns import topology
from lab.netns.namespace import sysctl_path

_REQUEST, _DUMP = 1, 0x300
_RTM_GETROUTE, _RTM_GETNEIGH, _RTM_GETRULE = 26, 30, 34
_NUD_INCOMPLETE = 1
_RTM_F_CLONED = 0x200
_RTA_CACHEINFO = 12
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NFT_GETGEN = 10 << 8 | 16
_NFTA_GEN_ID = 1
_NETFILTER = 12
_HEAD = struct.Struct("=IHHII")


def of(namespace):
    """{what: value} of a namespace; two of them are equal where nothing has changed."""
    with namespace:
        state = {f"sysctl {name}": _sysctl(name) for name in {**topology.DEFAULTS, **topology.FORWARDING}}
        state["policy rules"] = _dump(_RTM_GETRULE)
        state["routes"] = _dump(_RTM_GETROUTE)
        state["generation of nftables"] = _generation()
    return state


def changes(before, after):
    """What differs, as text."""
    return [name for name in before if before[name] != after[name]]


def asks_for_addresses(namespace):
    """Whether a question of the host for a neighbour's address has not ended yet (NUD_INCOMPLETE)."""
    with namespace:
        entries = _ask(socket.NETLINK_ROUTE, _RTM_GETNEIGH, _DUMP, bytes(12), 12)
    return any(struct.unpack_from("=H", head, 8)[0] & _NUD_INCOMPLETE for head, _ in entries)


def _sysctl(name):
    try:
        descriptor = os.open(sysctl_path(name), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, 64)
    finally:
        os.close(descriptor)


def _dump(kind):
    """The routes or rules of both families, without what the kernel counts or adds by itself."""
    found = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        for head, attributes in _ask(socket.NETLINK_ROUTE, kind, _DUMP, struct.pack("=B11x", family), 12):
            if kind == _RTM_GETRULE or not struct.unpack_from("=I", head, 8)[0] & _RTM_F_CLONED:
                found.add((head, tuple(sorted((name, data) for name, data in attributes if name != _RTA_CACHEINFO))))
    return found


def _generation():
    """A number that each change of nftables' rules increases; None where the kernel has no nftables."""
    answers = _ask(_NETFILTER, _NFT_GETGEN, 0, bytes(4), 4)
    return next((data for _, attributes in answers for name, data in attributes if name == _NFTA_GEN_ID), None)


def _ask(protocol, kind, flags, payload, head):
    """(fixed part of `head` bytes, [(attribute, data)]) of each message of an answer."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as asked:
        asked.send(_HEAD.pack(_HEAD.size + len(payload), kind, _REQUEST | flags, 1, 0) + payload)
        while True:
            data = asked.recv(1 << 17)
            while data:
                size, kind, *_ = _HEAD.unpack_from(data)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    return found
                body = data[_HEAD.size : size]
                found.append((body[:head], list(_attributes(body[head:]))))
                data = data[(size + 3) & ~3 :]
            if not flags & _DUMP:
                return found


def _attributes(data):
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]
