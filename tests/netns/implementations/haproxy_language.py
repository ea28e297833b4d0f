"""Writes a scenario as a configuration in HAProxy's language.

haproxy and tproxyd read the same language, so their adapters share this; where one of them spells
something differently, its adapter passes it as an argument. A field that is not known here is
refused, so that no scenario is ever served by halves. They start without `site` (-S): one is started for
each test, and in a kernel under test a start is slow.
"""

import json
import os
import sys
import time

from refusal import UNAVAILABLE, Unsupported, refuse, require, require_known

KNOWN = {
    *("listeners", "destination", "servers", "source", "protocol", "timeouts", "relay", "threads", "maxconn"),
    *("user", "reload", "log", "rules", "balance", "redispatch", "check", "ends_sessions", "nameserver"),
    *("check_steps", "check_http", "check_source", "agent"),
}
LISTENER = {"address", "port", "port_last", "transparent", "v6", "proxy_protocol", "server"}
SERVER = {"address", "port", "proxy_protocol", "weight", "backup", "maxconn", "check_port", "agent_port", "name"}
SOURCE = {"mode", "address", "port"}
RULE = {"action", "sources", "destinations", "ports", "server"}
RULES = {"accept": "accept", "reject": "reject", "header": "expect-proxy layer4"}
MANY = 20  # networks, from which on they stand in a file
CAPABILITIES = [
    *("bind", "port-range", "v6only", "ipv6", "stream", "listeners", "balance"),
    *("source-none", "source", "plain-listener", "source-range", "source-port", "source-address", "source-foreign"),
    *("relay-splice", "relay-copy", "timeout-connect", "timeouts", "timeouts-fin", "threads", "maxconn", "tcplog"),
    *("drain", "log-default", "listener-server", "rules", "rules-destination", "rules-server", "rules-header"),
    *("balance-weight", "balance-leastconn", "balance-source", "backup", "server-maxconn", "redispatch", "check"),
    *("queue", "ends-sessions", "names", "check-port", "check-steps", "check-http", "agent-check"),
]
PROXY_PROTOCOL = ["proxy-v1-in", "proxy-v2-in", "proxy-v1-out", "proxy-v2-out"]
SEND_PROXY = {"v1": " send-proxy", "v2": " send-proxy-v2"}
TIMEOUTS = {"connect", "client", "server", "client_fin", "server_fin", "queue"}


def configuration(scenario, capabilities, reloadable=lambda _: ()):
    """The text of the configuration file, in the words that an implementation of the capabilities knows.

    `reloadable(scenario)` are lines of `global` without which it cannot be reloaded.
    """
    require_known(scenario, KNOWN, "scenario")
    datagrams = scenario["protocol"] == "udp"
    require(not datagrams or "udp" in capabilities, "protocol udp")
    require(datagrams or scenario["protocol"] == "tcp", f"protocol {scenario['protocol']}")
    intercepts = scenario["destination"] == "original"
    require(intercepts or scenario["destination"] == "servers", f"destination {scenario['destination']}")
    require(not intercepts or "intercept" in capabilities, "destination original")
    for field in ("user", "reload", "check_source"):
        require(field not in scenario or field.replace("_", "-") in capabilities, field)
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
        lines += reloadable(scenario)
    lines += resolvers(scenario["nameserver"]) if "nameserver" in scenario else []
    lines += ["", "defaults", f"  mode {scenario['protocol']}", "  retries 0"]
    lines += ["  log global", "  option tcplog"] if logs == "sessions" else []
    if relay == "splice":
        lines += ["  option splice-request", "  option splice-response"]
    lines += timeouts(scenario.get("timeouts", {}))
    of_listeners = dict.fromkeys(listener.get("server") for listener in scenario["listeners"])
    for chosen in of_listeners:
        lines += frontend(scenario, chosen)
    of_rules = {rule["server"]: None for rule in scenario.get("rules", ()) if "server" in rule}
    for chosen in {**of_listeners, **of_rules}:
        lines += backend(scenario, chosen)
    return "\n".join(lines) + "\n"


def name_of(chosen):
    return "application" if chosen is None else f"server{chosen}"


def frontend(scenario, chosen):
    """The listeners whose clients go to the server of that number, or in turn to all (None)."""
    listeners = [listener for listener in scenario["listeners"] if listener.get("server") == chosen]
    rules = [line for number, rule in enumerate(scenario.get("rules", ())) for line in rule_lines(number, rule)]
    rules.sort(key=lambda line: "use_backend" in line)  # the order within each kind stays
    name = name_of(chosen)
    return ["", f"frontend ft_{name}", *map(bind, listeners), *rules, f"  default_backend bk_{name}"]


def rule_lines(number, rule):
    require_known(rule, RULE, "rule")
    action = rule["action"]
    require(action in RULES or action == "server", f"rule {action}")
    words = f"  tcp-request connection {RULES[action]}" if action in RULES else f"  use_backend bk_server{rule['server']}"
    tests = [test("src", f"rule-{number}-sources", rule.get("sources"))]
    tests += [test("dst", f"rule-{number}-destinations", rule.get("destinations"))]
    tests += [f"{{ dst_port {' '.join(map(str, rule['ports']))} }}"] if "ports" in rule else []
    condition = " ".join(filter(None, tests))
    return [f"{words} if {condition}" if condition else words]


def test(what, file, networks):
    if not networks:
        return ""
    return f"{{ {what} -f {file} }}" if len(networks) > MANY else f"{{ {what} {' '.join(networks)} }}"


def files(scenario):
    """{name: text} of the files of networks that the configuration names."""
    for number, rule in enumerate(scenario.get("rules", ())):
        for field in ("sources", "destinations"):
            if len(rule.get(field, ())) > MANY:
                yield f"rule-{number}-{field}", "".join(f"{network}\n" for network in rule[field])


def backend(scenario, chosen):
    """The server of that number, or all of them in turn (None)."""
    servers = scenario["servers"] if chosen is None else scenario["servers"][chosen : chosen + 1]
    lines = ["", f"backend bk_{name_of(chosen)}", *source(scenario["source"]), *balance(scenario), *check_lines(scenario)]
    for number, server in enumerate(servers, 1):
        require_known(server, SERVER, "server")
        words = SEND_PROXY.get(server.get("proxy_protocol"), "") + (" backup" if server.get("backup") else "")
        words += "".join(f" {name} {server[name]}" for name in ("weight", "maxconn") if name in server)
        words += check_words(scenario, server) if "check" in scenario else ""
        words += f" agent-check agent-inter {scenario['agent']}ms agent-port {server['agent_port']}" if "agent_port" in server else ""
        words += " on-marked-down shutdown-sessions" if scenario.get("ends_sessions") else ""
        if scenario.get("balance") == "source":  # a server keeps its clients by its name, or in HAProxy by its id
            number, words = server["port"], f"{words} id {server['port']}"
        lines.append(f"  server s{number} {named(server) if 'name' in server else endpoint(server)}{words}")
    if scenario["destination"] == "original":
        lines.append("  server original 0.0.0.0")
    return lines


def check_words(scenario, server):
    words = f" check inter {scenario['check']}ms rise 1 fall 1"
    words += f" port {server['check_port']}" if "check_port" in server else ""
    return words + (f" check-usesrc {scenario['check_source']}" if "check_source" in scenario else "")


def check_lines(scenario):
    if "check_http" in scenario:
        asked = scenario["check_http"]
        return [f"  option httpchk GET {asked['path']}", f"  http-check expect status {asked['status']}"]
    steps = [step for each in scenario.get("check_steps", ()) for step in each.items()]
    lines = [f"  tcp-check send {text}" if what == "send" else f"  tcp-check expect string {text}" for what, text in steps]
    return ["  option tcp-check", *lines] if lines else []


def named(server):
    family = "ipv6" if ":" in server["address"] else "ipv4"
    return f"{server['name']}:{server['port']} resolvers names resolve-prefer {family} init-addr {server['address']}"


def resolvers(nameserver):
    times = ("timeout resolve", "timeout retry", "hold valid")
    return ["", "resolvers names", f"  nameserver ns1 {endpoint(nameserver)}", *(f"  {name} 100ms" for name in times)]


def balance(scenario):
    chosen = scenario.get("balance")
    require(chosen in (None, "leastconn", "source"), f"balance {chosen}")
    yield from [f"  balance {chosen}"] if chosen else []
    yield from ["  hash-type consistent"] if chosen == "source" else []
    yield from ["  option redispatch", "  retries 3"] if scenario.get("redispatch") else []


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


def main(program, command, capabilities, hint, reload=None, reloadable=lambda _: ()):
    """An adapter: `command(path, scenario)` is what it becomes; `hint` says how to get a program that is not there.

    `reload(folder, pid)` makes a running one use the configuration file that was written anew; `reloadable` is as above.
    """
    name = os.path.basename(sys.argv[0])
    usage = f"usage: {name} describe | run SCENARIO.json RUNDIR | reload SCENARIO.json RUNDIR PID"
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(usage)
    elif sys.argv[1:] == ["describe"]:
        said = {"name": name, "version": version(program, hint), "capabilities": capabilities, "notes": ""}
        print(json.dumps(said, indent=2))
    elif len(sys.argv) == 4 and sys.argv[1] == "run":
        words = command(*write(sys.argv[2], sys.argv[3], capabilities, reloadable))
        become(words, hint)
    elif len(sys.argv) == 5 and sys.argv[1] == "reload":
        write(sys.argv[2], sys.argv[3], capabilities, reloadable)
        reload(sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(usage)


def until(holds, seconds):
    """Whether something comes to hold within that time."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.002)
    return holds()


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


def write(scenario_path, folder, capabilities, reloadable):
    """Write the configuration; its path and the scenario."""
    with open(scenario_path, encoding="utf-8") as file:
        scenario = json.load(file)
    try:
        text = configuration(scenario, capabilities, reloadable)
    except Unsupported as reason:
        refuse(reason)
    path = os.path.join(folder, "proxy.cfg")
    for name, content in [("proxy.cfg", text), *files(scenario)]:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(content)
    return path, scenario


def become(words, hint):
    try:
        os.execvp(words[0], words)
    except OSError as error:
        unavailable(words[0], error, hint)
