"""Writes a scenario as a configuration in HAProxy's language.

haproxy and tproxyd read the same language, so their adapters share this; where one of them spells
something differently, its adapter passes it as an argument. A field that is not known here is
refused, so that no scenario is ever served by halves. They start without `site` (-S): one is started for
each test, and in a kernel under test a start is slow.
"""

import json
import os
import signal
import sys
import time

from refusal import UNAVAILABLE, Unsupported, refuse, require, require_known

KNOWN = {
    *("listeners", "destination", "servers", "source", "protocol", "timeouts", "relay", "threads", "maxconn"),
    *("user", "reload", "log"),
}
LISTENER = {"address", "port", "port_last", "transparent", "v6", "proxy_protocol", "server"}
SERVER = {"address", "port", "proxy_protocol"}
SOURCE = {"mode", "address", "port"}
CAPABILITIES = [
    *("bind", "port-range", "v6only", "ipv6", "stream", "listeners", "balance"),
    *("source-none", "source", "plain-listener", "source-range", "source-port", "source-address", "source-foreign"),
    *("relay-splice", "relay-copy", "timeout-connect", "timeouts", "timeouts-fin", "threads", "maxconn", "tcplog"),
    *("drain", "log-default", "listener-server"),
]
PROXY_PROTOCOL = ["proxy-v1-in", "proxy-v2-in", "proxy-v1-out", "proxy-v2-out"]
SEND_PROXY = {"v1": " send-proxy", "v2": " send-proxy-v2"}
TIMEOUTS = {"connect", "client", "server", "client_fin", "server_fin"}


def configuration(scenario, capabilities):
    """The text of the configuration file, in the words that an implementation of the capabilities knows."""
    require_known(scenario, KNOWN, "scenario")
    datagrams = scenario["protocol"] == "udp"
    require(not datagrams or "udp" in capabilities, "protocol udp")
    require(datagrams or scenario["protocol"] == "tcp", f"protocol {scenario['protocol']}")
    intercepts = scenario["destination"] == "original"
    require(intercepts or scenario["destination"] == "servers", f"destination {scenario['destination']}")
    require(not intercepts or ("intercept" in capabilities and not datagrams), "destination original")
    headers = any("proxy_protocol" in each for each in [*scenario["listeners"], *scenario["servers"]])
    require(not (datagrams and headers), "PROXY headers of datagrams")
    for field in ("user", "reload"):
        require(field not in scenario or field in capabilities, field)
    asked = [("in", listener) for listener in scenario["listeners"]] + [("out", s) for s in scenario["servers"]]
    for way, fields in asked:
        word = f"proxy-{fields.get('proxy_protocol')}-{way}"
        require("proxy_protocol" not in fields or word in capabilities, f"proxy_protocol: {word}")
    relay = scenario.get("relay", "auto")
    require(relay in ("auto", "splice", "copy"), f"relay {relay}")
    logs = scenario.get("log", "sessions")
    require(logs in ("sessions", "default"), f"log {logs}")
    lines = ["global", *(["  log stderr format raw local0 info"] if logs == "sessions" else [])]
    if relay == "copy":
        lines.append("  nosplice")
    lines += option("  maxconn", scenario.get("maxconn")) + option("  nbthread", scenario.get("threads"))
    lines += option("  user", scenario.get("user"))
    if scenario.get("reload"):
        lines.append("  stats socket unix@admin.sock mode 600 level admin expose-fd listeners")
    lines += ["", "defaults", f"  mode {scenario['protocol']}", "  retries 0"]
    lines += ["  log global", "  option tcplog"] if logs == "sessions" else []
    if relay == "splice":
        lines += ["  option splice-request", "  option splice-response"]
    lines += timeouts(scenario.get("timeouts", {}))
    for chosen in dict.fromkeys(listener.get("server") for listener in scenario["listeners"]):
        lines += application(scenario, chosen)
    return "\n".join(lines) + "\n"


def application(scenario, chosen):
    """The listeners whose clients go to the server of that number, or in turn to all (None), and where that is."""
    name = "application" if chosen is None else f"server{chosen}"
    listeners = [listener for listener in scenario["listeners"] if listener.get("server") == chosen]
    servers = scenario["servers"] if chosen is None else scenario["servers"][chosen : chosen + 1]
    lines = ["", f"frontend ft_{name}", *map(bind, listeners), f"  default_backend bk_{name}"]
    lines += ["", f"backend bk_{name}", *source(scenario["source"])]
    for number, server in enumerate(servers, 1):
        require_known(server, SERVER, "server")
        lines.append(f"  server s{number} {endpoint(server)}{SEND_PROXY.get(server.get('proxy_protocol'), '')}")
    if scenario["destination"] == "original":
        lines.append("  server original 0.0.0.0")
    return lines


def option(word, value):
    return [] if value is None else [f"{word} {value}"]


def endpoint(fields):
    address = f"[{fields['address']}]" if ":" in fields["address"] else fields["address"]
    return f"{address}:{fields['port']}"


def timeouts(given):
    require_known(given, TIMEOUTS, "timeouts")
    values = {"connect": 10_000, "client": 600_000, "server": 600_000, **given}
    return [f"  timeout {name.replace('_', '-')} {value}ms" for name, value in values.items()]


def bind(listener):
    require_known(listener, LISTENER, "listener")
    where = endpoint(listener)
    if listener.get("port_last", listener["port"]) != listener["port"]:
        where += f"-{listener['port_last']}"
    v6 = listener.get("v6", "default")
    require(v6 in ("default", "v6only", "v4v6"), f"v6 {v6}")
    words = ["  bind", where, *(["transparent"] if listener.get("transparent") else [])]
    words += ["accept-proxy"] if "proxy_protocol" in listener else []
    return " ".join(words + ([] if v6 == "default" else [v6]))


def source(given):
    require_known(given, SOURCE, "source")
    mode = given["mode"]
    if mode == "none":
        return []
    if mode in ("clientip", "client"):
        return [f"  source 0.0.0.0 usesrc {mode}"]
    require(mode in ("address", "foreign"), f"source {mode}")
    where = endpoint({"port": 0, **given})
    return [f"  source {where}" if mode == "address" else f"  source 0.0.0.0 usesrc {where}"]


def main(program, command, capabilities, hint):
    """An adapter: `command(path, scenario)` is what it becomes; `hint` says how to get a program that is not there."""
    name = os.path.basename(sys.argv[0])
    usage = f"usage: {name} describe | run SCENARIO.json RUNDIR | reload SCENARIO.json RUNDIR PID"
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(usage)
    elif sys.argv[1:] == ["describe"]:
        said = {"name": name, "version": version(program, hint), "capabilities": capabilities, "notes": ""}
        print(json.dumps(said, indent=2))
    elif len(sys.argv) == 4 and sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3], command, capabilities, hint)
    elif len(sys.argv) == 5 and sys.argv[1] == "reload":
        write(sys.argv[2], sys.argv[3], capabilities)
        have_reloaded(int(sys.argv[4]))
    else:
        sys.exit(usage)


def have_reloaded(pid, tries=4, seconds=2):
    """Signal the master until it has another worker.

    When its first one listens, the master starts again, to wait. A signal in that moment ends it or is lost.
    """
    before = workers(pid)
    until(lambda: waits(pid), seconds)
    for _ in range(tries):
        os.kill(pid, signal.SIGUSR2)
        if until(lambda: workers(pid) != before, seconds):
            return
    sys.exit(f"process {pid} got {tries} signals to reload, and has no other worker")


def until(holds, seconds):
    """Whether something comes to hold within that time."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.002)
    return holds()


def waits(pid):
    """Whether the master has started anew, and takes the signal."""
    with open(f"/proc/{pid}/environ", "rb") as environment, open(f"/proc/{pid}/status", encoding="utf-8") as status:
        handled = next(line.split()[1] for line in status if line.startswith("SigCgt"))
        return b"HAPROXY_MWORKER_WAIT_ONLY=" in environment.read() and int(handled, 16) >> (signal.SIGUSR2 - 1) & 1


def workers(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()


def version(program, hint):
    """The first number that the program says of itself."""
    import subprocess  # a run, of which there are hundreds, has no use for it

    try:
        text = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        unavailable(program, error, hint)
    number = next((word for word in text.split() if word[0].isdigit()), None)
    return number or sys.exit(f"no version is in what `{program} -v` prints")


def unavailable(program, error, hint):
    """End because a program cannot be run."""
    missing = isinstance(error, FileNotFoundError)
    print(f"{program} {'is not installed' if missing else f'cannot be run ({error.strerror})'}. {hint}", file=sys.stderr)
    sys.exit(UNAVAILABLE)


def write(scenario_path, folder, capabilities):
    """Write the configuration; its path and the scenario."""
    with open(scenario_path, encoding="utf-8") as file:
        scenario = json.load(file)
    try:
        text = configuration(scenario, capabilities)
    except Unsupported as reason:
        refuse(reason)
    path = os.path.join(folder, "proxy.cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path, scenario


def run(scenario_path, folder, command, capabilities, hint):
    words = command(*write(scenario_path, folder, capabilities))
    try:
        os.execvp(words[0], words)
    except OSError as error:
        unavailable(words[0], error, hint)
