"""The two ends of a connection, for the scripts beside this file: one word each of what they do.

server ADDRESS PORT KIND... what to do with each connection in turn, the last for all further ones. late: send only
                            after the client's end; early: send, end that direction, read on; mute: read to the
                            end and print how it came; reset: reset after the first bytes; http: answer requests,
                            print the address that each came from; echo: send back what comes, print nothing
client FROM TO PORT KIND    hello | half-close | reset | late-send | get [FIELD]; a FROM of ADDRESS,PORT fixes the
                            port. Any other word: read to the end. PROXY_HEADER=1: a header first; TLS=1: in TLS
turns FROM TO PORT N        N clients, one after the other: each says hello, ends its direction at once, reads to the end
"""

import itertools
import os
import socket
import ssl
import struct
import sys
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


def requests(made, peer):
    data = b""
    while part := made.recv(65536):
        data += part
        while b"\r\n\r\n" in data:
            head, data = data.split(b"\r\n\r\n", 1)
            print(f"server: {head.split()[1].decode()} came from {peer}")
            made.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def echo(made, _):
    with made:
        while part := made.recv(65536):
            made.sendall(part)


def serve(made, peer, kind):
    made.settimeout(5)
    if kind in ("http", "echo"):
        made.settimeout(None)
        threading.Thread(target=requests if kind == "http" else echo, args=(made, peer), daemon=True).start()
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


def server(address, port, *kinds):
    listener = socket.create_server((address, int(port)), family=family(address))
    for number in itertools.count():
        made, peer = listener.accept()
        serve(made, f"{peer[0]} port {peer[1]}", kinds[min(number, len(kinds) - 1)])


def call(source, address, port):
    made = socket.socket(family(address))
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


def client(source, address, port, kind, *more):
    made = call(source, address, port)
    if kind == "get":
        host = source.partition(",")[0]
        field = f"{more[0]}\r\n" if more else ""
        made.sendall(f"GET /from-{host} HTTP/1.1\r\nHost: proxy.example\r\n{field}\r\n".encode())
        try:
            print(f"client {host}:", made.recv(100).split(b"\r\n")[0].decode() or "ended without a byte")
        except ConnectionResetError:
            print(f"client {host}: reset")
        return
    made.sendall(b"hello")
    if kind == "half-close":
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
        print("client: the server's side:", ending(made))


def turns(source, address, port, count):
    found = {}
    for _ in range(int(count)):
        with call(source, address, port) as made:
            made.sendall(b"hello")
            made.shutdown(socket.SHUT_WR)
            how = ending(made)
        found[how] = found.get(how, 0) + 1
    for (how, data), number in found.items():
        print(f"{number} of {count} clients: {how}, {data}")


if __name__ == "__main__":
    {"server": server, "client": client, "turns": turns}[sys.argv[1]](*sys.argv[2:])
