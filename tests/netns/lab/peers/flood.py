"""Clients that connect and leave faster than a proxy accepts them.

    flood.py ADDRESS PORT CLIENTS     run by a Flood, in the clients' namespace; imports nothing of the lab

Each client makes a socket, connects, and closes it soon after, whatever the result: so there are always clients that
wait to be accepted. The process prints "begun" after the first clients. It ends with status 3 when a client was
refused, or with 0 after its last client; CLIENTS is only the bound of a flood that a test does not end.
"""

import collections
import errno
import os
import socket
import struct
import subprocess
import sys

AT_ONCE = 32  # clients of one process that have not left yet
BEGUN = 500
MOST = 400_000  # clients of one process: more than come while a test waits
REFUSED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
WAS_REFUSED = 3  # exit status of a process
RESET = struct.pack("ii", 1, 0)


class Flood:
    """Floods an endpoint from a host by several processes on one processor; to be used with `with`."""

    def __init__(self, host, endpoint, processes=3):
        self.processor = max(os.sched_getaffinity(0))
        words = [sys.executable, "-S", __file__, endpoint.address, str(endpoint.port), str(MOST)]
        with host.namespace:
            self.processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(processes)]

    def __enter__(self):
        for each in self.processes:
            os.sched_setaffinity(each.pid, {self.processor})
        for each in self.processes:
            assert each.stdout.readline() == "begun\n", "a client is refused before the proxy is to stop"
        return self

    def was_refused(self):
        """Whether a client has been refused."""
        return any(each.poll() == WAS_REFUSED for each in self.processes)

    def __exit__(self, *_):
        for each in self.processes:
            each.kill()
            each.wait()
            each.stdout.close()


def flood(address, port, clients):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    waiting = collections.deque()
    for number in range(clients):
        if number == BEGUN:
            print("begun", flush=True)
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        waiting.append(made)
        refused = made.connect_ex((address, port)) in REFUSED
        try:
            made.send(b"?")  # a listener with TCP_DEFER_ACCEPT has no client before
        except OSError as error:  # which may only be that it is not connected yet
            refused = refused or error.errno in REFUSED
        while len(waiting) > AT_ONCE and not refused:
            with waiting.popleft() as oldest:
                refused = oldest.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in REFUSED
        if refused:
            return WAS_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
