"""The two ends of a connection, for the scripts beside this file. One word says what each end does.

server ADDRESS PORT KIND... what to do with each connection in turn; the last word is for all further ones. late: send only
                            after the client's end; early: send, end that direction, read on; mute: read to the
                            end and print how it came; reset: reset after the first bytes; late-reset: after the
                            client's end send a part of an answer, and reset; http: answer requests,
                            print the address that each came from; slow: the same a second later; hold: without an
                            answer; echo: send back what comes, print nothing; a number: after the first bytes
                            send so many, then end; or one of those of both ends
client FROM TO PORT KIND    half-close | reset | late-send | get [FIELD], or one of those of both ends; a FROM of
                            ADDRESS,PORT fixes the port. Any other word: read to the end. PROXY_HEADER=1: a header
                            first; TLS=1: in TLS
both ends                   urgent: half a second after the first bytes 32 KiB, 0.3 s later an urgent byte and 16 KiB,
                            then end; urgent-open: end 2 s later; abort: half a second after the first bytes 32 KiB,
                            which the other host acknowledges, and a second later a reset; last-bytes: a second after
                            the first bytes some more and a reset; count: read to the end, say how many bytes came;
                            answer: the same, and half a second before send some bytes; early-answer: the same, and send
                            them 0.2 s after the first bytes. SLOW=1: these three take in little, and read 2 s after
                            the first bytes
fill PATH                   write to a pipe until it is full
turns FROM TO PORT N        N clients, one after the other: each says hello, ends its direction at once, reads to the end
gets FROM TO PORT N [METHOD]  N clients at the same time, each with a request that is answered or not within 4 s;
                            with a METHOD each stays, and asks once more with that
"""

import contextlib
import fcntl
import itertools
import os
import socket
import ssl
import struct
import sys
import termios
import threading
import time

sys.stdout.reconfigure(line_buffering=True)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ending(made):
    data = b""
    try:
        while part := made.recv(65536):
            data += part
    except ConnectionResetError:
        return "reset", data
    except ssl.SSLEOFError:
        return "an end without close_notify", data
    except TimeoutError:
        return "nothing within 5 s", data
    return "end", data


def reset(made):
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()


def say(line):
    """In one piece: connections say it at the same time."""
    print(f"{line}\n", end="")


def requests(made, peer, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", delay=0):
    data = asked = b""
    with made:
        while part := made.recv(65536):
            data += part
            while b"\r\n\r\n" in data:
                asked, data = data.split(b"\r\n\r\n", 1)
                say(f"server: {asked.split()[1].decode()} came from {peer}")
                time.sleep(delay)
                made.sendall(answer)
    if not asked:
        say(f"server: a connection without a request came from {peer}")


def hold(made, peer):
    requests(made, peer, b"")


def slow(made, peer):
    requests(made, peer, delay=1)


def echo(made, _):
    with made:
        while part := made.recv(65536):
            made.sendall(part)


def urgent(made, _, wait=0):
    time.sleep(0.5)
    made.sendall(bytes(32768))
    time.sleep(0.3)
    made.send(b"!", socket.MSG_OOB)
    made.sendall(bytes(16384))
    time.sleep(wait)
    made.shutdown(socket.SHUT_WR)
    ending(made)


def urgent_open(made, who):
    urgent(made, who, 2)


def abort(made, who):
    time.sleep(0.5)
    made.sendall(bytes(32768))
    while fcntl.ioctl(made.fileno(), termios.TIOCOUTQ, bytes(4)) != bytes(4):
        time.sleep(0.01)
    time.sleep(1)
    reset(made)
    print(f"{who}: the other host has 32768 bytes; resets")


def last_bytes(made, _):
    time.sleep(1)
    made.sendall(b"more")
    reset(made)


def answer_slowly(made, who):
    count(made, who, b"some bytes")


def answer_early(made, who):
    time.sleep(0.2)
    made.sendall(b"some bytes")
    count(made, who)


def count(made, who, answer=b""):
    if os.environ.get("SLOW"):
        time.sleep(1.5)
        with contextlib.suppress(ConnectionError):
            made.sendall(answer)
        time.sleep(0.5)
    how, data = ending(made)
    print(f"{who}: {len(data)} bytes came, then: {how}")


BOTH = {
    "urgent": urgent,
    "urgent-open": urgent_open,
    "abort": abort,
    "last-bytes": last_bytes,
    "count": count,
    "answer": answer_slowly,
    "early-answer": answer_early,
}
BESIDE = {"http": requests, "hold": hold, "slow": slow, "echo": echo}  # any number of connections at the same time


def serve(made, peer, kind):
    if kind in BESIDE:
        threading.Thread(target=BESIDE[kind], args=(made, peer), daemon=True).start()
        return
    made.settimeout(5)
    if kind in BOTH:
        made.recv(5)
        BOTH[kind](made, "server")
        made.close()
        return
    print(f"server: a connection from {peer}")
    if kind == "late":
        print("server: the client's side:", ending(made))
        try:
            made.sendall(b"the answer")
            made.close()
        except OSError as error:
            print("server: answer:", error)
    elif kind == "early":
        made.sendall(b"the answer")
        made.shutdown(socket.SHUT_WR)
        print("server: the client's side:", ending(made))
    elif kind == "mute":
        print("server: the client's side:", ending(made))
    elif kind == "reset":
        made.recv(100)
        reset(made)
        print("server: resets")
    elif kind == "late-reset":
        print("server: the client's side:", ending(made))
        made.sendall(b"half of an")
        time.sleep(0.3)  # so that the bytes are there before the reset
        reset(made)
        print("server: resets")
    elif kind.isdigit():
        made.recv(100)
        made.sendall(bytes(int(kind)))
    made.close()  # or the connection lives on, and with it the addresses of a client that comes again


def server(address, port, *kinds):
    listener = socket.create_server((address, int(port)), family=family(address))
    take_in_little(listener)
    for number in itertools.count():
        made, peer = listener.accept()
        serve(made, f"{peer[0]} port {peer[1]}", kinds[min(number, len(kinds) - 1)])


def take_in_little(made):
    if os.environ.get("SLOW"):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)


def connect(source, address, port):
    made = socket.socket(family(address))
    take_in_little(made)
    made.settimeout(5)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host, _, number = source.partition(",")
    made.bind((host, int(number or 0)))
    made.connect((address, int(port)))
    if os.environ.get("PROXY_HEADER"):
        made.sendall(f"PROXY TCP4 {host} {address} {made.getsockname()[1]} {port}\r\n".encode())
    if os.environ.get("TLS"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        made = context.wrap_socket(made, suppress_ragged_eofs=False)
    return made


def ask(made, host, *fields, method="GET"):
    there, port = made.getpeername()[:2]
    lines = (f"{method} /from-{host} HTTP/1.1", f"Host: {there}:{port}", *fields, "", "")
    made.sendall("\r\n".join(lines).encode())


def answer(made):
    try:
        return made.recv(65536).split(b"\r\n")[0].decode() or "ended without a byte"
    except ConnectionResetError:
        return "reset"
    except ssl.SSLEOFError:
        return "an end without close_notify"
    except TimeoutError:
        return "nothing"


def client(source, address, port, kind, *more):
    host = source.partition(",")[0]
    try:
        made = connect(source, address, port)
        if kind == "get":
            ask(made, host, *more)
    except OSError as error:
        sys.exit(f"client {host}: {error.strerror or error}")
    if kind == "get":
        print(f"client {host}: {answer(made)}")
        return
    made.sendall(b"hello")
    if kind in BOTH:
        BOTH[kind](made, "client")
    elif kind == "half-close":
        made.shutdown(socket.SHUT_WR)
        print("client: the answer:", ending(made))
    elif kind == "late-send":
        print("client: the answer:", ending(made))
        try:
            made.sendall(b" and more")
            made.shutdown(socket.SHUT_WR)
        except OSError as error:
            print("client:", error)
    elif kind == "reset":
        time.sleep(0.3)  # so that the bytes are there before the reset
        reset(made)
        print("client: resets")
    else:
        how, data = ending(made)
        print("client: the server's side:", (how, data if len(data) < 100 else f"{len(data)} bytes"))


def gets(source, address, port, count, method=""):
    made = []
    for number in range(int(count)):
        try:
            made.append(connect(source, address, port))
            ask(made[-1], source.partition(",")[0])
        except OSError as error:
            print(f"client {number + 1}: {error.strerror}")
            break
    tell(made, bool(method))
    if method:
        for each in made:
            ask(each, source.partition(",")[0], "Content-Length: 0", method=method)
        tell(made, False, f" the {method} of")


def tell(made, stay, what=""):
    """What becomes of requests; each client that need not stay makes room for those that wait."""
    found, end = {}, time.monotonic() + 4
    for each in made:
        each.settimeout(max(0.01, end - time.monotonic()))
        how = answer(each)
        found[how] = found.get(how, 0) + 1
        if not stay:
            each.close()
    for how, number in found.items():
        print(f"{what} {number} of {len(made)} clients: {how}".strip())


def turns(source, address, port, count):
    found = {}
    for _ in range(int(count)):
        with connect(source, address, port) as made:
            made.sendall(b"hello")
            made.shutdown(socket.SHUT_WR)
            how = ending(made)
        found[how] = found.get(how, 0) + 1
    for (how, data), number in found.items():
        print(f"{number} of {count} clients: {how}, {data}")


def fill(path):
    pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"\n")


if __name__ == "__main__":
    {"server": server, "client": client, "gets": gets, "turns": turns, "fill": fill}[sys.argv[1]](*sys.argv[2:])
