"""A TLS client's socket that can do what a plain one can: end one direction, or reset both.

Python's own SSLSocket cannot send its close_notify and then still read. Here the records go through two memory buffers,
so the end of one direction is only the close_notify. The class has the methods of a socket that the suite uses. One
thread may send while another receives: `_state` guards OpenSSL's state, and `_sending` keeps the order of the records.
"""

import contextlib
import socket
import ssl
import subprocess
import threading

import pytest

from lab.exceptions import Absent

SOME = 1 << 17  # bytes that are taken at once: several records cost little more than one


def make_certificate(path):
    """A key and a certificate that it signed itself, in one file."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=proxy.example", "-days", "2", "-keyout", str(path), "-out", f"{path}.crt"]
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        raise Absent("openssl is not installed. On Debian and Ubuntu: apt-get install openssl") from None
    with open(path, "ab") as file, open(f"{path}.crt", "rb") as certificate:
        file.write(certificate.read())


def _context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class TlsSocket:
    def __init__(self, raw):
        """Use a connected socket for a TLS handshake; raises ConnectionError if that fails."""
        self._raw = raw
        # Nagle would hold the first bytes back until the other side has acknowledged the handshake's end,
        # for which that side's kernel may take 40 ms.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _context().wrap_bio(self._in, self._out)
        self._state, self._sending = threading.Lock(), threading.Lock()
        self._unsent = b""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except ssl.SSLError as problem:
                raise ConnectionResetError(f"no TLS handshake: {problem}") from None
        self._flush()

    # Receiving

    def _feed(self):
        data = self._raw.recv(SOME)
        with self._state:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

    def _read(self, limit):
        """What has been received, b"" at the end; None when more has to be fed first."""
        try:
            with self._state:
                return self._tls.read(limit)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as problem:
            raise ConnectionResetError(str(problem)) from None

    def recv(self, limit):
        while (data := self._read(limit)) is None:
            self._feed()
        return data

    def recv_into(self, view):
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    # Sending

    def _flush(self):
        with self._state:
            self._unsent += self._out.read()
        while self._unsent:
            sent = self._raw.send(self._unsent)
            self._unsent = self._unsent[sent:]

    def send(self, data, flags=0):
        """Take some records; BlockingIOError when those before are not out yet."""
        if flags & socket.MSG_OOB:
            pytest.skip("unsupported: TLS has no urgent data")
        with self._sending:
            self._flush()
            with self._state:
                taken = self._tls.write(data[:SOME])
            with contextlib.suppress(BlockingIOError):
                self._flush()
        return taken

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    # Ending

    def shutdown(self, how):
        assert how == socket.SHUT_WR
        with self._sending:
            with self._state, contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()  # the other side's close_notify, which it wants, may come much later
            self._flush()

    def close(self):
        self._raw.close()

    def __getattr__(self, name):  # fileno, settimeout, setsockopt, getpeername, …
        return getattr(self._raw, name)
