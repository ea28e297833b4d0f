"""Asking a name server for the address of a name, by UDP (RFC 1035)."""

import os
import socket
import struct

KINDS = {socket.AF_INET: 1, socket.AF_INET6: 28}


def address(nameserver, name, family):
    """The first address of the family in the answer."""
    number = os.urandom(2)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + struct.pack("!BHH", 0, KINDS[family], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(1)
        made.connect((nameserver["address"], nameserver["port"]))
        made.send(number + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + question)
        answer = made.recv(512)
    size = 4 if family == socket.AF_INET else 16
    start = 12 + len(question) + 12  # behind the header, the question, and the head of a record whose name points to the question
    return socket.inet_ntop(family, answer[start : start + size])
