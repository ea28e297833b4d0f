"""ICMP echo, as by `ping`, without a wait for answers that do not come.

After a request that should get no answer, another one is sent that gets one. Packets keep their order, so its answer
shows that the earlier requests will get none.
"""

import os
import socket
import struct
import time

from lab import waiting

REQUEST = {4: 8, 6: 128}
REPLY = {4: 0, 6: 129}
UNREACHABLE = {4: 3, 6: 1}


def ping(host, addresses):
    """An echo request to each address in turn; {address: "echo", "unreachable" or None}.

    The last address must answer.
    """
    family = 6 if ":" in addresses[0] else 4
    protocol = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    answers = dict.fromkeys(addresses)
    with host.socket(addresses[0], socket.SOCK_RAW, protocol) as raw:
        for number, address in enumerate(addresses):
            raw.sendto(_request(family, number), (address, 0))
        end = waiting.deadline()
        while answers[addresses[-1]] is None:
            if not waiting.readable([raw], end - time.monotonic()):
                raise TimeoutError(f"{addresses[-1]} does not answer an echo request")
            what, number = _answer(family, raw.recv(1024))
            if what and number < len(addresses):
                answers[addresses[number]] = what
    return answers


def echoes(host, addresses):
    """The addresses that answer."""
    return [address for address, what in ping(host, addresses).items() if what == "echo"]


def _request(family, number):
    head = struct.pack("!BBHHH", REQUEST[family], 0, 0, os.getpid() & 0xFFFF, number)
    total = sum(struct.unpack("!4H", head))  # for ICMPv6 the kernel fills the checksum in
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:2] + struct.pack("!H", checksum) + head[4:]


def _answer(family, packet):
    """("echo", "unreachable" or None, number of the request) of a received packet."""
    header = 20 if family == 4 else 0  # raw IPv4 sockets show the IP header, IPv6 ones don't
    kind = packet[header]
    if kind == REPLY[family]:
        return "echo", struct.unpack_from("!H", packet, header + 6)[0]
    if kind == UNREACHABLE[family]:
        quoted = header + 8 + (20 if family == 4 else 40)
        return "unreachable", struct.unpack_from("!H", packet, quoted + 6)[0]
    return None, 0
