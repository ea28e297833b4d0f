"""The PROXY protocol's header, read and written, as its specification of versions 1 and 2 has it."""

import ipaddress
import re
import socket
import struct

from addresses import family_of

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE = 107
V1 = re.compile(rb"PROXY TCP([46]) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n")


class Malformed(Exception):
    """It is no header; the connection is to be dropped."""


def parse(data):
    """(size, source, destination) of a whole header, the two None when the real ones are meant.

    None when more bytes are needed.
    """
    if len(data) >= len(SIGNATURE) and data.startswith(SIGNATURE):
        return parse_v2(data)
    if data.startswith(b"PROXY ") or b"PROXY ".startswith(data):
        return parse_v1(data)
    if SIGNATURE.startswith(data):
        return None
    raise Malformed("no header")


def parse_v1(data):
    line, end, _ = data[:LONGEST_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= LONGEST_LINE or b"\n" in data:
            raise Malformed("no end of the line")
        return None
    size = len(line) + 2
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return size, None, None
    found = V1.fullmatch(data[:size])
    if not found:
        raise Malformed("line")
    kind = ipaddress.IPv4Address if found[1] == b"4" else ipaddress.IPv6Address
    try:
        addresses = [str(kind(text.decode("ascii"))) for text in found.group(2, 3)]
    except ValueError:
        raise Malformed("address") from None
    ports = [int(text) for text in found.group(4, 5)]
    if max(ports) > 65535:
        raise Malformed("port")
    return size, (addresses[0], ports[0]), (addresses[1], ports[1])


def parse_v2(data):
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (0x20, 0x21):
        raise Malformed("version or command")
    if family >> 4 > 3 or family & 15 > 2:
        raise Malformed("family or protocol")
    formats = {0x11: "!4s4sHH", 0x12: "!4s4sHH", 0x21: "!16s16sHH", 0x22: "!16s16sHH"}
    if command == 0x21 and family in formats and length < struct.calcsize(formats[family]):
        raise Malformed("length")
    if len(data) < 16 + length:
        return None
    if command == 0x20 or family not in formats:
        return 16 + length, None, None
    source, destination, *ports = struct.unpack_from(formats[family], data, 16)
    names = [str(ipaddress.ip_address(packed)) for packed in (source, destination)]
    return 16 + length, (names[0], ports[0]), (names[1], ports[1])


def write(version, source, destination):
    return {"v1": write_v1, "v2": write_v2}[version](source, destination)


def write_v1(source, destination):
    family = 6 if ":" in source[0] else 4
    return f"PROXY TCP{family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode("ascii")


def write_v2(source, destination, transport=1):
    """For connections, or with transport 2 for datagrams."""
    kind = family_of(source[0])
    packed = b"".join(socket.inet_pton(kind, each[0]) for each in (source, destination))
    packed += struct.pack("!HH", source[1], destination[1])
    family = (0x20 if kind == socket.AF_INET6 else 0x10) | transport
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(packed)) + packed
