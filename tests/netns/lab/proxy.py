"""The implementation under test, started through its adapter and watched from outside.

The lab knows an implementation by its adapter alone, an executable that becomes the proxy. Ready
means that the listening sockets are there; no proxy has to say so. A proxy that ends before that
fails the test with its log, status 78 means that it does not offer what the scenario asks for.
"""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from . import patience
from .endpoint import Endpoint
from .verdict import Unsupported

UNSUPPORTED = 78
IMPLEMENTATIONS = Path(__file__).resolve().parents[1] / "implementations"


class ProxyEnded(AssertionError):
    """The proxy ended by itself; the text has its status and its log."""


class Implementation:
    """An adapter, by the name of a file in implementations/ or by its path."""

    def __init__(self, name):
        known = IMPLEMENTATIONS / name
        self.path = known if known.is_file() else Path(name).resolve()
        if not os.access(self.path, os.X_OK):
            raise FileNotFoundError(f"no adapter: neither {known} nor {self.path} is an executable")
        self.name = name

    def describe(self):
        done = subprocess.run([self.path, "describe"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unsupported(f"{self.name}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout)


class Proxy:
    """A running proxy process."""

    def __init__(self, host, command, listens, folder):
        """Start `command` on the host; it is ready when all of `listens` are listened at."""
        self.host = host
        self.listens = set(listens)
        self.folder = folder
        self._log = folder / "log"
        with host.namespace, open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
            )
        self.pid = self.process.pid

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def await_ready(self):
        """Wait until every socket of it listens."""

        def ready():
            self.check()
            return self.listens <= {local for _, local, _ in self.host.sockets("LISTEN")}

        patience.until(ready, f"the proxy listens at {sorted(map(str, self.listens))}\n{self.log()}")
        return self

    def check(self):
        """Raise when the proxy has ended."""
        status = self.process.poll()
        if status == UNSUPPORTED:
            raise Unsupported(self.log().strip())
        if status is not None:
            raise ProxyEnded(f"the proxy ended with status {status}; its log:\n{self.log()}")

    def await_end(self):
        """Its exit status, once it has ended by itself."""
        try:
            status = self.process.wait(patience.seconds)
        except subprocess.TimeoutExpired:
            raise patience.NeverHappened(f"the proxy does not end; its log:\n{self.log()}") from None
        if status == UNSUPPORTED:
            raise Unsupported(self.log().strip())
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def descriptors(self):
        """How many descriptors it holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        """Processor time that it has used."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """End it, by force if need be."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(patience.seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run_adapter(implementation, host, scenario, nofile=None, without=()):
    """Start an implementation on a scenario.

    `nofile` is its descriptor limit, `without` names capabilities that are taken from it.
    """
    folder = new_folder()
    path = folder / "scenario.json"
    path.write_text(json.dumps(scenario, indent=2) + "\n", encoding="utf-8")
    command = [*_limits(nofile, without), str(implementation.path), "run", str(path), str(folder)]
    return Proxy(host, command, endpoints(scenario), folder)


def new_folder():
    """A folder for the files of one proxy, gone with the run."""
    return Path(tempfile.mkdtemp(prefix="proxy-", dir="/run/tproxy-lab"))


def endpoints(scenario):
    """Every address and port that a scenario has the proxy listen at."""
    for listener in scenario["listeners"]:
        for port in range(listener["port"], listener.get("port_last", listener["port"]) + 1):
            yield Endpoint(listener["address"], port)


def _limits(nofile, without):
    command = []
    if nofile is not None:
        command += ["prlimit", f"--nofile={nofile}:{nofile}"]
        without = (*without, "sys_resource")  # or it may raise the limit again
    if without:
        dropped = ",".join(f"-{name}" for name in without)
        command += ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    return command
