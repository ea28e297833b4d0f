"""An address with a port, and one end of a TCP connection."""

import contextlib
import errno
import fcntl
import socket
import struct
import termios
from typing import NamedTuple

from lab import waiting

RESETS = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)  # the last where it came before one looked


class Endpoint(NamedTuple):
    address: str
    port: int

    @property
    def family(self):
        return 6 if ":" in self.address else 4

    def __str__(self):
        return f"[{self.address}]:{self.port}" if self.family == 6 else f"{self.address}:{self.port}"

    __repr__ = __str__  # the default is so long that pytest cuts its middle, and with it the address, out of a message


def socket_family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class RecordedSocket(socket.socket):
    """A socket that keeps the first KEPT bytes that it sent and received, for the lab's witness."""

    KEPT = 64 << 10

    def __init__(self, *words, **named):
        super().__init__(*words, **named)
        self.sent, self.received = bytearray(), bytearray()
        self.totals = [0, 0]  # bytes sent (at most, after an error) and received
        self.urgent = False  # whether a byte was sent that may be left out

    def _keep(self, kept, way, data):
        self.totals[way] += len(data)
        if len(kept) < self.KEPT:
            kept += data[: self.KEPT - len(kept)]

    def send(self, data, flags=0):
        size = super().send(data, flags)
        self.urgent = self.urgent or bool(flags & socket.MSG_OOB)
        self._keep(self.sent, 0, memoryview(data)[:size])
        return size

    def sendall(self, data, flags=0):
        self._keep(self.sent, 0, memoryview(data))
        super().sendall(data, flags)

    def recv(self, size, flags=0):
        data = super().recv(size, flags)
        if not flags & socket.MSG_PEEK:
            self._keep(self.received, 1, data)
        return data

    def recv_into(self, buffer, size=0, flags=0):
        got = super().recv_into(buffer, size, flags)
        self._keep(self.received, 1, memoryview(buffer)[:got])
        return got


class Connection:
    """A connected socket. Every wait on it ends after `waiting.seconds` at the latest.

    `peer` is what connect(2) was given or accept(2) returned: after a reset the socket no longer knows it.
    """

    def __init__(self, connected, peer):
        self.socket = connected
        self.socket.settimeout(waiting.seconds)
        self.local = Endpoint(*connected.getsockname()[:2])
        self.peer = Endpoint(*peer[:2])

    def send(self, data):
        with self.saying("could not send to {peer}"):
            self.socket.sendall(data)

    @contextlib.contextmanager
    def saying(self, what):
        """A timeout within says who waited for what; `what` may have {peer} and {seconds} in it."""
        try:
            yield
        except TimeoutError:
            text = what.format(peer=self.peer, seconds=f"{waiting.seconds:g}")
            raise TimeoutError(f"{self.local} {text}: timed out after {waiting.seconds:g} s") from None

    def send_urgent(self, byte):
        """One byte of urgent data (tcp(7)), at its place in the stream."""
        self.socket.send(byte, socket.MSG_OOB)

    def unacknowledged(self):
        """How many sent bytes, an end included, the other host's kernel has not acknowledged."""
        return struct.unpack("i", fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, bytes(4)))[0]

    def receive(self, size):
        """Exactly `size` bytes; ConnectionError when the stream ends before."""
        parts, missing = [], size
        while missing:
            part = self._receive_some(missing)
            if not part:
                got = f"{self.local} got {size - missing} of {size} from the proxy, and then its end"
                raise ConnectionError(f"the stream ended {missing} bytes short of {size}: {got}")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def receive_to_end(self):
        """All bytes up to the end of the stream; ConnectionResetError when a reset cuts it."""
        parts = []
        while part := self._receive_some(1 << 16):
            parts.append(part)
        return b"".join(parts)

    def _receive_some(self, limit):
        try:
            return self.socket.recv(limit)
        except TimeoutError:
            raise TimeoutError(
                f"{self.local} waited {waiting.seconds:g} s for a byte or an end from {self.peer} and got none"
            ) from None

    def ending(self, enough=None):
        """Read up to the end; return ("eof" or "reset", the bytes before it).

        With `enough` it is also the end of the reading, "open", when so many bytes have come.
        """
        parts = []
        try:
            while part := self._receive_some(1 << 16):
                parts.append(part)
                if enough and sum(map(len, parts)) >= enough:
                    return "open", b"".join(parts)
        except OSError as error:
            if error.errno not in RESETS:
                raise
            return "reset", b"".join(parts)
        return "eof", b"".join(parts)

    def finish(self):
        """No more bytes from this side; the other direction stays open."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in RESETS:
                raise
            why = f"the proxy had closed the connection before ({error.strerror})"
            raise ConnectionError(f"{self.local} could not end its direction: {why}") from None

    hang_up = finish  # in other dialects these are not the same

    def reset(self):
        """End both directions by a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()
