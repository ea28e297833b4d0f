"""ICMP "port unreachable", as the host that a client sent to would send it (RFC 792; RFC 4443 section 3.1).

It quotes the headers of the client's datagram: the client's kernel finds the socket by them.
"""

import socket
import struct

from addresses import family_of


def report(proxy, client, destination):
    family = family_of(client[0])
    addresses = [socket.inet_pton(family, each[0]) for each in (client, destination)]
    ports = struct.pack("!HHHH", client[1], destination[1], 8, 0)
    if family == socket.AF_INET6:
        quoted = struct.pack("!IHBB", 6 << 28, 8, socket.IPPROTO_UDP, 64) + b"".join(addresses) + ports
        message = struct.pack("!BBHI", 1, 4, 0, 0) + quoted
    else:
        quoted = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, socket.IPPROTO_UDP, 0) + b"".join(addresses) + ports
        message = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
        message = message[:2] + checksum(message) + message[4:]
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP) as made:
        proxy.make_transparent(made)
        made.bind((destination[0], 0))
        made.sendto(message, (client[0], 0))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
