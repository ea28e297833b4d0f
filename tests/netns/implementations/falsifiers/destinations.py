"""Where a datagram was sent to, and where its answer is to come from, beside the data (ip(7), ipv6(7))."""

import ipaddress
import socket
import struct

IP_ORIGDSTADDR, IPV6_ORIGDSTADDR = 20, 74
IP_PKTINFO, IPV6_PKTINFO = 8, 50


def ask(listener):
    """For IPv4 datagrams an IPv6 socket needs IPv4's option, too."""
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, IPV6_ORIGDSTADDR, 1)
    listener.setsockopt(socket.IPPROTO_IP, IP_ORIGDSTADDR, 1)


def receive(listener, size):
    """A datagram, its source, and (address, port) of its destination."""
    data, control, _, source = listener.recvmsg(size, 256)
    for level, kind, value in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_ORIGDSTADDR):
            port, address = struct.unpack_from("!2xH4s", value)
            return data, source, (str(ipaddress.ip_address(address)), port)
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_ORIGDSTADDR):
            port, address = struct.unpack_from("!2xH4x16s", value)
            return data, source, (str(ipaddress.ip_address(address)), port)
    raise OSError("the kernel does not say where a datagram was sent to")


def send(listener, data, to, source):
    """A datagram from an address; the port is the listener's."""
    mapped = listener.family == socket.AF_INET6 and ":" not in source[0]
    packed = socket.inet_pton(listener.family, f"::ffff:{source[0]}" if mapped else source[0])
    if listener.family == socket.AF_INET6:
        part = (socket.IPPROTO_IPV6, IPV6_PKTINFO, packed + bytes(4))
    else:
        part = (socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + packed + bytes(4))
    listener.sendmsg([data], [part], 0, to)
