"""Packets on a link: the second witness, and evidence of failed tests.

A tap is a packet socket that collects the head of every packet in its own buffer. A test reads the buffer when it needs
the packets. When the buffer is full, the kernel drops further packets, and `overflowed` is True. That costs very
little, so a tap can stay on a link under any load.
"""

import ctypes
import socket
import struct
import time
from typing import NamedTuple

from lab.netns.endpoint import Endpoint

HEAD = 256  # bytes kept of a packet: all headers and the start of the payload
BUFFER = 4 << 20

FIN, SYN, RST, ACK = 1, 2, 4, 16

_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PCAP_HEADER = struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, HEAD, 1)


class Segment(NamedTuple):
    """One TCP segment."""

    source: Endpoint
    destination: Endpoint
    flags: int
    payload: bytes
    sequence: int = 0


class Tap:
    def __init__(self, namespace, link):
        self.name = f"{namespace.role}-{link}"
        self._packets = []
        self._segments = []  # of the first packets, one each; None: it is something else
        self._first = 0  # of those that are looked at
        self.overflowed = False
        with namespace:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._keep_heads_only()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        except PermissionError:  # the run's root is not the host's
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((link, _ETH_P_ALL))
        self._socket.setblocking(False)

    def _keep_heads_only(self):
        code = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, HEAD))  # ret #HEAD
        program = struct.pack("HL", 1, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def packets(self):
        """All packets so far, as (seconds, bytes)."""
        while True:
            try:
                head, control, _, _ = self._socket.recvmsg(HEAD, 64)
            except BlockingIOError:
                break
            self._packets.append((_timestamp(control), head))
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.overflowed = self.overflowed or struct.unpack("II", statistics)[1] > 0
        return self._packets

    def forget(self):
        """Ignore earlier packets from now on; they stay in the evidence."""
        self._first = len(self.packets())

    def segments(self, first=0):
        """The TCP segments so far, without those among the first packets."""
        packets = self.packets()
        self._segments += [parse(head) for _, head in packets[len(self._segments) :]]
        return [each for each in self._segments[max(first, self._first) :] if each is not None]

    def datagrams(self):
        """The UDP datagrams so far as (source, destination, payload); of fragments the first."""
        return [found for _, head in self.packets() if (found := parse_datagram(head)) is not None]

    def queries(self):
        """(asker, address) of each request for a link-layer address so far."""
        seen = self.packets()[self._first :]
        return [found for _, head in seen if (found := parse_query(head)) is not None]

    def write_pcap(self, path):
        with open(path, "wb") as file:
            file.write(_PCAP_HEADER)
            for when, head in self.packets():
                whole = int(when)
                file.write(struct.pack("=IIII", whole, int((when - whole) * 1e9), len(head), len(head)))
                file.write(head)

    def close(self):
        self._socket.close()


def parse(frame):
    """The TCP segment in an Ethernet frame, or None when it holds something else."""
    found = _transport(frame, socket.IPPROTO_TCP)
    if found is None or len(found[2]) < 20:
        return None
    source, destination, data = found
    return Segment(source, destination, data[13], data[(data[12] >> 4) * 4 :], int.from_bytes(data[4:8], "big"))


def parse_datagram(frame):
    """The UDP datagram in an Ethernet frame as (source, destination, payload), or None."""
    found = _transport(frame, socket.IPPROTO_UDP)
    return None if found is None else (found[0], found[1], found[2][8:])


def parse_query(frame):
    """(link-layer address that asks, address asked for) of an ARP request or a neighbour solicitation, or None.

    Requests to a single host do not count: they only test whether a known neighbour still exists.
    """
    kind, asker = frame[12:14], frame[6:12].hex(":")
    if not frame[0] & 1:
        return None
    if kind == b"\x08\x06" and frame[20:22] == b"\0\1":
        return asker, socket.inet_ntop(socket.AF_INET, frame[38:42])
    if kind == b"\x86\xdd" and frame[20] == socket.IPPROTO_ICMPV6 and frame[54] == 135:
        return asker, socket.inet_ntop(socket.AF_INET6, frame[62:78])
    return None


def _transport(frame, protocol):
    """(source, destination, header and payload) of a packet of a protocol, or None."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == protocol:
        start = 14 + (frame[14] & 15) * 4
        end = 14 + int.from_bytes(frame[16:18], "big")
        family, source, destination = socket.AF_INET, frame[26:30], frame[30:34]
    elif kind == b"\x86\xdd" and frame[20] == protocol:
        start = 54
        end = 54 + int.from_bytes(frame[18:20], "big")
        family, source, destination = socket.AF_INET6, frame[22:38], frame[38:54]
    else:
        return None
    if len(frame) < start + 8:
        return None
    from_port, to_port = struct.unpack_from("!HH", frame, start)
    return (
        Endpoint(socket.inet_ntop(family, source), from_port),
        Endpoint(socket.inet_ntop(family, destination), to_port),
        frame[start:end],
    )


def _timestamp(control):
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("ll", data)
            return seconds + nanoseconds / 1e9
    return time.time()
