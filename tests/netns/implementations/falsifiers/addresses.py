"""Addresses as text."""

import socket


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def plain(address):
    """Address and port, IPv4 never in its mapped form."""
    return address[0].removeprefix("::ffff:"), address[1]
