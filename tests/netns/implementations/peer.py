"""What adapters for other proxies share: reading a scenario, refusing, becoming the proxy.

An adapter says which fields it knows, and everything else is refused with status 78, so that no
scenario is ever served by halves. Nothing of this is part of the contract: an adapter can be written
in any language and needs nothing but the scenario's file.
"""

import json
import os
import re
import shutil
import subprocess
import sys

from refusal import UNAVAILABLE, Unsupported, refuse, require, require_known

SCENARIO = {"listeners", "servers", "destination", "source", "protocol", "timeouts", "relay"}
LISTENER = {"address", "port", "port_last", "transparent", "v6", "proxy_protocol"}
SERVER = {"address", "port", "proxy_protocol"}
SOURCE = {"mode", "address", "port"}


class Scenario:
    """A scenario of which every field is known and every value is one of those that are served."""

    def __init__(
        self,
        fields,
        sources=("none",),
        timeouts=(),
        more=(),
        servers=1,
        listeners=1000,
        protocols=("tcp",),
        destinations=("servers",),
        headers_in=(),
        headers_out=(),
        listener_more=(),
        server_more=(),
    ):
        """`more`, `listener_more` and `server_more` are fields of a scenario, of its listeners and of its servers beyond those
        that every adapter here knows; the others are values, or numbers, that are served."""
        require_known(fields, SCENARIO | set(more), "scenario")
        for listener in fields["listeners"]:
            require_known(listener, LISTENER | set(listener_more), "listener")
        for server in fields["servers"]:
            require_known(server, SERVER | set(server_more), "server")
            require(server.get("proxy_protocol") in (None, *headers_out), "PROXY header to the server")
        require_known(fields["source"], SOURCE, "source")
        self.fields = fields
        self.listeners = [Listener(listener) for listener in fields["listeners"]]
        self.servers = [(server["address"], server["port"]) for server in fields["servers"]]
        self.source = fields["source"]["mode"]
        self.source_address = fields["source"].get("address")
        self.timeouts = fields.get("timeouts", {})
        self.udp = fields["protocol"] == "udp"
        self.intercepts = fields["destination"] == "original"
        self.header_out = fields["servers"][0].get("proxy_protocol") if fields["servers"] else None
        require(fields["protocol"] in protocols, f"protocol {fields['protocol']}")
        require(fields["destination"] in destinations, f"destination {fields['destination']}")
        self.logs = fields.get("log", "sessions") == "sessions"
        require(fields.get("log", "sessions") in ("sessions", "default"), f"log {fields.get('log')}")
        require(fields.get("relay", "auto") in ("auto", "copy"), f"relay {fields.get('relay')}")
        self.only(lambda listener: listener.header in (None, *headers_in), "PROXY header from the client")
        require(self.source in sources, f"source {self.source}")
        require(not fields["source"].get("port"), "a fixed source port")
        require(not set(self.timeouts) - set(timeouts), f"timeouts {', '.join(sorted(self.timeouts))}")
        require(len(self.servers) <= servers, f"{len(self.servers)} servers")
        require(len(self.listeners) <= listeners, f"{len(self.listeners)} listeners")

    def only(self, condition, what):
        """Refuse unless a condition holds for every listener."""
        require(all(condition(listener) for listener in self.listeners), what)

    def seconds(self, *names, default):
        """The shortest of the named timeouts in seconds, rounded up."""
        given = [self.timeouts[name] for name in names if name in self.timeouts]
        return -(-min(given) // 1000) if given else default


class Listener:
    def __init__(self, fields):
        self.address = fields["address"]
        self.first = fields["port"]
        self.last = fields.get("port_last", self.first)
        self.transparent = fields.get("transparent", False)
        self.v6 = fields.get("v6", "default")
        self.header = fields.get("proxy_protocol")
        self.server = fields.get("server")
        require(self.v6 in ("default", "v6only", "v4v6"), f"v6 {self.v6}")

    @property
    def ipv6(self):
        return ":" in self.address

    @property
    def ports(self):
        return range(self.first, self.last + 1)

    @property
    def endpoints(self):
        """ADDRESS:PORT for each port."""
        return [endpoint((self.address, port)) for port in self.ports]


def endpoint(place):
    address, port = place
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def unavailable(what, package):
    """End because something is not installed."""
    print(f"{what} is not installed. On Debian and Ubuntu: apt-get install {package}", file=sys.stderr)
    sys.exit(UNAVAILABLE)


def output(*command):
    """What a program prints, which it may do with any status."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def version(pattern, *command):
    """The version in what a program prints: the first group of the pattern."""
    found = re.search(pattern, output(*command))
    if not found:
        sys.exit(f"no version is in what `{' '.join(command)}` prints")
    return found[1]


def package_version(package):
    """Of a program that does not say its version itself: what the package manager says of it, or "unknown"."""
    found = output("dpkg-query", "-W", "-f", "${Version}", package) if shutil.which("dpkg-query") else ""
    return found.partition("-")[0] if found[:1].isdigit() else "unknown"


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def become(*command, **environment):
    os.execvpe(command[0], command, {**os.environ, **environment})


def require_program(program, package):
    if not shutil.which(program):
        unavailable(program, package)


def main(describe, run, program, package, reload=None):
    """`describe()` is what the adapter says of itself, `run(fields, folder)` becomes the proxy.

    `program` is what both need, and `package` has it. `reload(fields, folder, pid)` makes the running proxy use another
    scenario, where the adapter claims `reload`.
    """
    usage = f"usage: {os.path.basename(sys.argv[0])} describe | run SCENARIO.json RUNDIR"
    usage += " | reload SCENARIO.json RUNDIR PID" if reload else ""
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(usage)
    elif sys.argv[1:] == ["describe"]:
        require_program(program, package)
        print(json.dumps(describe(), indent=2))
    elif len(sys.argv) == 4 and sys.argv[1] == "run":
        require_program(program, package)
        _serve(run, *sys.argv[2:])
    elif reload and len(sys.argv) == 5 and sys.argv[1] == "reload":
        _serve(lambda fields, folder: reload(fields, folder, int(sys.argv[4])), *sys.argv[2:4])
    else:
        sys.exit(usage)


def _serve(function, path, folder):
    with open(path, encoding="utf-8") as file:
        fields = json.load(file)
    try:
        function(fields, os.path.abspath(folder))
    except Unsupported as reason:
        refuse(reason)
