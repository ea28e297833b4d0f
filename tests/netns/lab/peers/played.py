"""Servers that play parts: what they do with a connection is written down beforehand, and threads of their own do it.

A part is a function of the connection and of the bytes that the server was asked, which it adds to.
"""

import socket
import struct
import threading
import time


def hold(connection, asked):
    """Until the other end has closed, or reset."""
    try:
        while data := connection.recv(65536):
            asked += data
    except OSError:
        pass


def ends(connection, asked):
    """It sends nothing, and that is its end."""
    connection.shutdown(socket.SHUT_WR)
    hold(connection, asked)


def reset(connection, asked):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection, asked):
    pass


def says(*pieces, after=b"", then=hold, pause=0):
    """Each piece once what was asked holds AFTER, which may be a list with one for each piece; `pause` is seconds before each."""

    def play(connection, asked):
        awaited = after if isinstance(after, list) else [after] * len(pieces)
        for piece, wanted in zip(pieces, awaited):
            while wanted not in asked:
                data = connection.recv(65536)
                if not data:
                    return
                asked += data
            time.sleep(pause)
            connection.sendall(piece)
        then(connection, asked)

    return play


def byte_by_byte(data, **rest):
    return says(*[bytes([each]) for each in data], **rest)


def without_end(piece):
    def play(connection, asked):
        while True:
            connection.sendall(piece * 4096)

    return play


class Played:
    """Plays the first of its parts to the first connection, and so on; the last part goes on."""

    def __init__(self, address, port, parts):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, port), family=family)
        self.parts, self.asked, self.peers = parts, [], []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            part = self.parts[min(len(self.asked), len(self.parts) - 1)]
            self.asked.append(bytearray())
            self.peers.append(peer[:2])
            threading.Thread(target=self._play, args=(part, connection, self.asked[-1]), daemon=True).start()

    @staticmethod
    def _play(part, connection, asked):
        with connection:
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                part(connection, asked)
            except OSError:
                pass

    def close(self):
        """Later connections are refused. It may be closed already."""
        if self.listener.fileno() == -1:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
