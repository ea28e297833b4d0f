"""Reloads of tproxyd during connections at a high rate, with sessions that are open throughout.

Reloads are paced by what the clients have done, not by time, and each is awaited in the log. Each tenth is of a bad file.
"""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab import waiting
from lab.peers import churn
from lab.peers.daemon import ADDRESS, PORT, SERVER, Daemon, connect

EVERY = 10  # of so many reloads one is of a bad file
BAD = "frobnicate\n"
HELD = 20  # sessions that are open throughout
PIECE, PIECES = 1 << 15, 8  # bytes that each of them passes at a time, so many that they are spliced, and how often
MORE = 20_000  # the first port of listeners that come and go

CONFIGURATION = """\
global
  nbthread {threads}
  log stderr format raw local0 notice
{relay}defaults
  mode tcp
  timeout connect 20s
  timeout client 1m
  timeout server 1m
{splice}frontend web
  bind {address}:{port}
{listeners}  default_backend servers
backend servers
  server s{number} {address}:{server}
"""


def configuration(threads, relay, number):
    """The NUMBER-th configuration: others have more listeners, or another name for the server."""
    return CONFIGURATION.format(
        threads=threads,
        relay="  nosplice\n" if relay == "copy" else "",
        splice="  option splice-request\n  option splice-response\n" if relay == "splice" else "",
        address=ADDRESS,
        port=PORT,
        server=SERVER,
        listeners="".join(f"  bind {ADDRESS}:{MORE + more}\n" for more in range(number % 3)),
        number=number % 2,
    )


@dataclass
class Outcome:
    """What became of a run. The numbers of descriptors and KiB are what the later half of the reloads has left."""

    reloads: int = 0
    bad: int = 0
    connections: int = 0
    seconds: float = 0.0
    failures: list = field(default_factory=list)
    descriptors: int = 0
    memory: int = 0
    parts: dict = field(default_factory=dict)  # of lines, by process

    def read(self, processes):
        """Take in what client processes have printed. A line may come in parts."""
        for each in processes:
            *lines, self.parts[each.pid] = (self.parts.get(each.pid, "") + printed(each)).split("\n")
            for line in lines:
                word, _, rest = line.partition(" ")
                if word == "done":
                    self.connections += int(rest)
                else:
                    self.failures.append(rest)
        return self


def reload_under_load(namespace, folder, threads, relay, reloads, pace, processes=2):
    """Reload that often, each time after `pace` further connections."""
    outcome = Outcome()
    with contextlib.ExitStack() as stack:
        stack.enter_context(served(namespace))
        proxy = stack.enter_context(contextlib.closing(Daemon(namespace, folder, configuration(threads, relay, 0))))
        proxy.await_started()
        held = [stack.enter_context(contextlib.closing(connect(namespace))) for _ in range(HELD)]
        clients = [stack.enter_context(running(namespace, "clients", PORT)) for _ in range(processes)]
        text, half = "", None
        begun = time.monotonic()
        for number in range(1, reloads + 1):
            wanted = number * pace
            waiting.until(lambda: outcome.read(clients).connections >= wanted, f"{wanted} connections")  # noqa: B023
            reload(proxy, BAD if number % EVERY == 0 else configuration(threads, relay, number), outcome)
            outcome.failures += [problem for each in held if (problem := passes(each))]
            if number == reloads // 2:
                text = configuration(threads, relay, number)
                reload(proxy, text, outcome)
                half = descriptors(proxy), resident(proxy)
        outcome.seconds = time.monotonic() - begun
        reload(proxy, text, outcome)
        for each in clients:
            each.send_signal(signal.SIGTERM)
        waiting.until(lambda: all(each.poll() is not None for each in clients), "the clients end")
        outcome.read(clients)
        outcome.descriptors, outcome.memory = descriptors(proxy) - half[0], resident(proxy) - half[1]
        outcome.failures += [problem for each in held if (problem := passes(each))]
        assert proxy.stop() == 0, proxy.log()
    return outcome


@contextlib.contextmanager
def served(namespace):
    """The server of the clients, which listens: a client that comes before is reset."""
    with running(namespace, "server", SERVER) as server:
        waiting.until(lambda: "ready" in printed(server), "the server listens")
        yield


@contextlib.contextmanager
def churned(namespace):
    """One process of clients and their server. Each line that it prints can be awaited."""
    with served(namespace), running(namespace, "clients", PORT) as clients:
        os.set_blocking(clients.stdout.fileno(), True)
        yield clients


@contextlib.contextmanager
def running(namespace, what, port):
    """A process of churn.py, whose output can be read without waiting."""
    words = [sys.executable, "-S", churn.__file__, what, ADDRESS, str(port)]
    with namespace:
        made = subprocess.Popen(words, stdout=subprocess.PIPE)
    os.set_blocking(made.stdout.fileno(), False)
    try:
        yield made
    finally:
        made.kill()
        made.wait()
        made.stdout.close()


def printed(process):
    """What a process has printed since the last call."""
    with contextlib.suppress(BlockingIOError):
        return os.read(process.stdout.fileno(), 1 << 16).decode()
    return ""


def reload(proxy, text, outcome):
    """One reload, until the log says what became of it."""
    wanted = "is not used" if text == BAD else "is in force"
    before = len(proxy.lines(wanted))
    proxy.config.write_text(text, encoding="ascii")
    proxy.signal(signal.SIGHUP)
    waiting.until(lambda: len(proxy.lines(wanted)) > before, f"{wanted!r} in the log:\n{proxy.log()[-2000:]}")
    outcome.reloads += 1
    outcome.bad += text == BAD


def passes(session):
    """Pass bytes through a session and back; returns what is wrong, or ""."""
    for _ in range(PIECES):
        piece = secrets.token_bytes(PIECE)
        try:
            session.send(piece)
            if session.receive(PIECE) != piece:
                return "a session that was open gave other bytes"
        except (OSError, AssertionError) as error:
            return f"a session that was open: {error!r}"
    return ""


def descriptors(proxy):
    """Those that are neither a session's nor a pipe's: sockets that listen, logs, and what the loops need."""
    listening = len(re.findall(r" 0A ", Path(f"/proc/{proxy.pid}/net/tcp").read_text(encoding="ascii")))
    others = 0
    for number in os.listdir(f"/proc/{proxy.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            others += not os.readlink(f"/proc/{proxy.pid}/fd/{number}").startswith(("socket:", "pipe:"))
    return listening + others


def resident(proxy):
    """KiB of memory, without pages of files."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{proxy.pid}/status").read_text(encoding="ascii"))[1])
