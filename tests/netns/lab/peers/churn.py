"""Short connections at a high rate, and their server.

    churn.py clients ADDRESS PORT     one connection after another until SIGTERM
    churn.py server ADDRESS PORT      sends back what it gets

Run as a process by lab.peers.reloads, in a namespace; imports nothing of the lab. A client connects, sends a few bytes that
no other client sends, reads them back, and closes. Whatever does not happen in this order is a failure. It prints a line for
each failure, and a line "done N" for each N connections.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys

AT_ONCE = 50  # connections between two lines
SENT = 64  # bytes of a client
PATIENCE = 30  # seconds for one step of a client
CHUNK = 1 << 16


def clients(address, port):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    while not ended:
        for _ in range(AT_ONCE):
            try:
                client(address, port)
            except OSError as error:
                print(f"failed {type(error).__name__}: {error}", flush=True)
        print(f"done {AT_ONCE}", flush=True)


def client(address, port):
    token = os.urandom(SENT)
    with socket.socket() as made:
        made.settimeout(PATIENCE)
        made.connect((address, port))
        made.sendall(token)
        received = made.recv(SENT, socket.MSG_WAITALL)
    if received != token:
        raise OSError(f"{len(received)} bytes came back" + (", and others" if len(received) == SENT else ""))


def server(address, port):
    selector = selectors.DefaultSelector()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(4096)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accept(listener, selector)
                else:
                    send_back(key.fileobj, selector)


def accept(listener, selector):
    with contextlib.suppress(BlockingIOError):
        while True:
            made, _ = listener.accept()
            made.settimeout(PATIENCE)
            selector.register(made, selectors.EVENT_READ)


def send_back(made, selector):
    got = b""
    with contextlib.suppress(OSError):
        got = made.recv(CHUNK)
        made.sendall(got)
    if not got:
        selector.unregister(made)
        made.close()


if __name__ == "__main__":
    {"clients": clients, "server": server}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
