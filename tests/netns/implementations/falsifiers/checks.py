"""Health checks: which servers a client may come to, and what their agents say of them.

The checks are made when a client comes, one after another, and block meanwhile: often enough, and quick enough, for a
proxy that serves a test.
"""

import socket
import struct
import time

import balancing
from addresses import family_of
from session import Refused


class Checks:
    """A part of the proxy; its scenario, its balance and its way to bind a source are what it needs of the rest."""

    def check(self):
        """Which servers accept at the moment. They are asked when a client comes, which is often enough for a wrong proxy."""
        self.balance.down = set()
        patience = self.scenario.get("check", 0) / 1000
        for server in self.scenario["servers"] if patience else ():
            if not self.accepts(server, patience):
                self.balance.down.add(balancing.place(server))
        for server in self.scenario["servers"]:
            if "agent_port" in server:
                self.hear(server, self.agent_line(server, self.scenario["agent"] / 1000))
        self.balance.down |= self.balance.said_down

    def agent_line(self, server, patience):
        """What the agent of a server says; nothing where it cannot be reached, or does not come to the end of a line."""
        came, end = b"", time.monotonic() + patience
        try:
            with socket.create_connection((server["address"], server["agent_port"]), patience) as made:
                while b"\n" not in came:
                    made.settimeout(max(end - time.monotonic(), 0.001))
                    data = made.recv(4096)
                    if not data or len(came) >= self.longest_answer:
                        return ""
                    came += data
        except OSError:
            return ""
        return came.partition(b"\n")[0].decode()

    def hear(self, server, line):
        """Do what an agent says."""
        for word in line.partition("#")[0].replace(",", " ").split():
            place = balancing.place(server)
            if word == "up":
                self.balance.said_down.discard(place)
            elif word in ("down", "fail", "stopped"):
                self.balance.said_down.add(place)
            elif word.endswith("%"):
                self.balance.shares[place] = int(word[:-1])

    def accepts(self, server, patience):
        """Whether a server passes a check."""
        try:
            with self.check_connection(server, patience) as made:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return self.converses(made, time.monotonic() + patience)
        except TimeoutError:
            return self.silence_is_health
        except (OSError, Refused):
            return False

    silence_is_health = False

    def check_connection(self, server, patience):
        """A connection to what is checked of a server, from where checks come."""
        place = server["address"], server.get("check_port", server["port"])
        made = socket.socket(family_of(place[0]), socket.SOCK_STREAM)
        try:
            made.settimeout(patience)
            if "check_source" in self.scenario:
                self.bind_source(made, (self.scenario["check_source"], 0))
            made.connect(place)
        except BaseException:
            made.close()
            raise
        return made

    def converses(self, made, end):
        """Whether it answers as the scenario says."""
        if "check_http" in self.scenario:
            made.sendall(f"GET {self.scenario['check_http']['path']} HTTP/1.0\r\n\r\n".encode())
            answer = self.answer(made, b"\r\n\r\n", end)
            return answer is not None and self.is_fit_status(answer.split(b" ")[1])
        for step in self.scenario.get("check_steps", ()):
            if "send" in step:
                made.sendall(step["send"].encode())
            elif self.answer(made, step["expect"].encode(), end) is None:
                return False
        return True

    def is_fit_status(self, code):
        return int(code) == self.scenario["check_http"]["status"]

    longest_answer = 16384

    def answer(self, made, wanted, end):
        """What came when that was part of it; None where it does not come."""
        came = b""
        while wanted not in came:
            made.settimeout(max(end - time.monotonic(), 0.001))
            data = made.recv(4096)
            came += data
            if not data or len(came) >= self.longest_answer:
                return None
        return came
