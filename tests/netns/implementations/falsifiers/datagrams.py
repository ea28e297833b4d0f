"""The datagrams of one client: a socket to the server, and the listener's for the way back.

It has what the loop asks of a session, so that a flow is counted, timed out and logged as one.
Each datagram is passed on as it came. A server's "port unreachable" is an error of the socket that
it is delivered to, not of the flow: the next datagram may well be heard.
"""

import selectors
import socket
import time

import destinations
import header
import unreachable

LARGEST = 1 << 16


def take_header(data):
    """What follows the PROXY header of a datagram, and the (client, destination) that it names, or None."""
    try:
        found = header.parse_v2(data) if data.startswith(header.SIGNATURE) and data[13:14] in (b"\x12", b"\x22") else None
    except header.Malformed:
        found = None
    if found is None:
        raise OSError("there is no whole header for UDP")
    return data[found[0] :], found[1:]


class Flow:
    connected = True
    directions = ()
    destination = None  # where its datagrams are sent to

    def __init__(self, proxy, listener, sender, server_address, named=None):
        self.proxy, self.listener, self.sender, self.named = proxy, listener, sender, named
        self.address, self.server_address = named[0] if named else sender, server_address
        self.server = None
        self.started = self.active = time.monotonic()
        self.reason = "--"
        self.events = {}

    def connect(self):
        self.server = self.proxy.socket_to_server(self, socket.SOCK_DGRAM)
        self.server.connect(self.server_address)

    def greeting(self):
        """The PROXY header of a datagram to the server."""
        if not self.proxy.header_version(self.server_address):
            return b""
        asked = self.named[1] if self.named else self.destination
        return header.write_v2(self.address, asked, transport=2)

    def forward(self, data):
        """One datagram from the client."""
        self.active = time.monotonic()
        data = self.greeting() + data
        try:
            self.server.send(data)
        except ConnectionError:  # what the one before met; this one has not been sent
            self.unreachable()
            self.server.send(data)

    def ready(self, _made, _mask):
        try:
            data = self.server.recv(LARGEST)
        except OSError:
            self.unreachable()
            return
        self.back(data)

    def back(self, data):
        """One datagram from the server."""
        self.active = time.monotonic()
        if self.proxy.intercepts:
            destinations.send(self.listener, data, self.sender, self.destination)
        else:
            self.listener.sendto(data, self.sender)

    def unreachable(self):
        """The server's host reported that the port is unreachable: the client gets the same report, from where it sent to."""
        unreachable.report(self.proxy, self.sender, self.destination)

    def wants(self):
        return {self.server: selectors.EVENT_READ} if self.server else {}

    def tick(self):
        """Nothing but events matters to a flow."""

    def late(self, now):
        return now - self.active > min(self.proxy.timeouts["client"], self.proxy.timeouts["server"])

    def close(self, reset=False, reason="--"):
        if self in self.proxy.sessions:
            self.proxy.forget(self)
            self.reason = reason
            if self.server is not None:
                self.server.close()
            self.proxy.log_session(self)
