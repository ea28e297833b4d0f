"""tproxyd by itself in a namespace: any configuration, any stderr, and what the kernel reports of its process.

Adapters (lab.peers.proxy) test what every proxy does; this module tests what only tproxyd does.
"""

import itertools
import os
import resource
import signal
import socket
import subprocess
from pathlib import Path

from lab import waiting
from lab.netns.endpoint import Connection
from lab.paths import TPROXYD

ADDRESS = "127.0.0.1"
PORT, SERVER = 7080, 7090


class Daemon:
    """A running tproxyd, or haproxy as `program`. Its log is its stderr, unless `stderr` is given."""

    def __init__(self, namespace, folder, text, before=(), stderr=None, program=TPROXYD, keep=()):
        """`before` is a command that becomes tproxyd, for example prlimit, as a list of words; it has the descriptors `keep`."""
        self.namespace = namespace
        self.config = folder / "daemon.cfg"
        self.config.write_text(text, encoding="utf-8")
        self._log = folder / "stderr"
        self._log.touch()
        with namespace, open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [*before, program, "-f", self.config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log if stderr is None else stderr,
                start_new_session=True,
                pass_fds=keep,
            )
        self.pid = self.process.pid

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def lines(self, words):
        """The lines of its log that contain the words."""
        return [line for line in self.log().splitlines() if words in line]

    def await_line(self, words):
        return waiting.until(lambda: self.lines(words), f"{words!r} in the log:\n{self.log()}")[0]

    def await_ready(self, port=PORT):
        """Wait until it listens. /proc shows that without a connection."""
        wanted = f":{port:04X} 00000000:0000 0A"

        def listens():
            assert self.process.poll() is None, f"it ended with status {self.process.poll()}:\n{self.log()}"
            return wanted in Path(f"/proc/{self.pid}/net/tcp").read_text(encoding="ascii")

        waiting.until(listens, f"it listens at {port}")
        return self

    def await_started(self):
        """Wait until all its threads run and are restricted. Needs a log of level notice on stderr."""
        self.await_line("started: ")
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def await_end(self):
        try:
            return self.process.wait(waiting.seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it does not end; its log:\n{self.log()}") from None

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.await_end()

    def allow_no_descriptor_more(self):
        """Lower its limit to the lowest free descriptor number, and return the one before.

        The limit is on numbers, not on a count.
        """
        taken = {int(number) for number in os.listdir(f"/proc/{self.pid}/fd")}
        lowest = next(number for number in itertools.count() if number not in taken)
        before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
        return before

    def allow_descriptors(self, limit):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, limit)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def links(self):
        """What its descriptors are, as /proc says it."""
        return [os.readlink(f"/proc/{self.pid}/fd/{each}") for each in os.listdir(f"/proc/{self.pid}/fd")]

    def sleeps(self):
        """Whether all its threads have nothing to do."""
        return all(each["State"].startswith("S") for each in self.statuses())

    def statuses(self):
        """/proc's status of each of its threads, as {field: text}."""
        for task in os.listdir(f"/proc/{self.pid}/task"):
            text = Path(f"/proc/{self.pid}/task/{task}/status").read_text(encoding="utf-8", errors="replace")
            yield {name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())}

    def close(self):
        self.process.kill()
        self.process.wait()


def listen(namespace, port=SERVER, address=ADDRESS):
    """A server's listening socket in the namespace."""
    with namespace:
        made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(1024)
    made.settimeout(waiting.seconds)
    return made


def connect(namespace, port=PORT, source=None, address=ADDRESS):
    """A client's connection."""
    with namespace:
        made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source is not None:
        made.bind((ADDRESS, source))
    made.settimeout(waiting.seconds)
    made.connect((address, port))
    return Connection(made, (address, port))


def accept(listener):
    return Connection(*listener.accept())
