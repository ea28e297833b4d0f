"""A name server that says what a test wants, by UDP (RFC 1035)."""

import contextlib
import socket
import struct
import threading

A, AAAA = 1, 28
HEADER = 12


class NameServer:
    """`answers` is {name: addresses}: a name that is not there does not exist, and for None there is no answer."""

    def __init__(self, namespace, address, port, answers):
        self.answers = answers
        with namespace:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if not question:  # close() has ended it
                return
            answer = self.answer(question)
            if answer:
                with contextlib.suppress(OSError):  # close() may have come meanwhile
                    self.socket.sendto(answer, client)

    def answer(self, question):
        labels, at = [], HEADER
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii").lower())
            at += question[at] + 1
        [kind] = struct.unpack("!H", question[at + 1 : at + 3])
        addresses = self.answers.get(".".join(labels), ())
        if addresses is None:
            return None
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        fitting = [each for each in addresses if (":" in each) == (kind == AAAA)]
        data = [socket.inet_pton(family, each) for each in fitting]
        records = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(each)) + each for each in data]
        status = 0x8180 | (0 if addresses else 3)
        return question[:2] + struct.pack("!5H", status, 1, len(records), 0, 0) + question[HEADER : at + 5] + b"".join(records)

    def close(self):
        with contextlib.suppress(OSError):  # it has no peer, and serve() wakes up all the same
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
