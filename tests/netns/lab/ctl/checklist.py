"""`tproxyctl check` on a proxy's host: its findings, and the commands that it prints.

A client connects while check captures (`--watch`), and only then. A client that connected all the time would leave
entries on the host, for seconds on a busy machine, and check would find them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections import namedtuple
from pathlib import Path

from lab import waiting
from lab.netns import firewall
from lab.paths import TPROXYCTL

WATCH = 5  # seconds, unless something is seen before
TURN = 0.02  # seconds after which the lab sees whether check looks
TRY = 1.0  # seconds after which a client that was turned away tries again
WRONG = ("missing", "harmful")
STATUSES = (0, 1, 3)  # well, wrong, not judged

LISTINGS = (
    "nft -s list ruleset",
    "iptables-legacy-save",
    "ip6tables-legacy-save",
    *(rf"printf 'rule\nroute show table all\nneigh show proxy\n' | ip -{version} -batch -" for version in (4, 6)),
)

Command = namedtuple("Command", "place run")


def check(host, needs, client=None):
    """What `check --json` prints on a host; `client()` is a socket that has begun to connect."""
    words = [TPROXYCTL, "check", "--json", *needs, *(["--watch", str(WATCH)] if client else [])]
    with host.namespace:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **firewall.lock(host.namespace)}
        )
    try:
        out, errors = _meanwhile(process, client)
    finally:
        process.kill()
    assert process.returncode in STATUSES, f"{shlex.join(words)}: status {process.returncode}\n{errors}"
    made = json.loads(out)
    agrees(made, process.returncode)
    return made


def agrees(made, status):
    """The status, and each list, says what the findings say."""
    assert made["well"] == (status == 0)
    assert bool(wrong(made)) == (status == 1)
    assert bool(made["not_judged"]) if status == 3 else not (made["well"] and made["not_judged"])
    assert bool(made["to_judge"]) == bool(made["not_judged"])
    unknown = [item["id"] for item in made["items"] if item["state"] == "unknown"]
    assert set(made["not_judged"]) <= set(unknown)
    listed = [Command(each["on"], each["run"]) for each in made["commands"]]
    assert set(listed) == set(commands(wrong(made))) and len(listed) == len(set(listed))


def _meanwhile(process, client):
    """Its output. A client connects while check captures, and again if that fails."""
    tries, last, end = [], 0.0, waiting.deadline()
    try:
        while True:
            now = time.monotonic()
            if client and now - last >= TRY and _looks(process.pid):
                tries.append(client())
                last = now
            try:
                return process.communicate(timeout=TURN if client else waiting.seconds)
            except subprocess.TimeoutExpired:
                if now > end:
                    raise
    finally:
        for each in tries:
            each.close()


def _looks(pid):
    """Whether a process has a packet socket that takes all protocols (0003): check binds it when it is ready."""
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/net/packet").read_text(encoding="ascii").splitlines()[1:]]
        links = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:  # it has ended, or a descriptor was closed meanwhile
        return False
    return any(row[3] == "0003" and f"socket:[{row[8]}]" in links for row in rows)


def as_text(proxy, client):
    """What `check` prints for people on a proxy's host."""
    if not os.path.exists(TPROXYCTL):
        raise FileNotFoundError(f"{TPROXYCTL} is not built; `make` builds it. No test of another proxy needs it")
    words = [TPROXYCTL, "check", "--verbose", *service_options(proxy.scenario, proxy.folder, client)]
    environment = {**os.environ, **firewall.lock(proxy.host.namespace)}
    with proxy.host.namespace:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    return done.stdout + done.stderr


def wrong(made):
    """{item: findings} of what is missing or harmful."""
    return {
        item["id"]: [each for each in item["findings"] if each["state"] in WRONG]
        for item in made["items"]
        if item["state"] in WRONG
    }


def commands(named):
    """The commands that fix it, each once, in the printed order."""
    printed = [Command(c["on"], c["run"]) for found in named.values() for each in found for c in each["commands"]]
    return list(dict.fromkeys(printed))


def made_on(host):
    """Rules and routes of a host, as its tools list them, without counters."""
    listing = host.run("sh", "-c", "; ".join(each for each in LISTINGS if shutil.which(each.split()[0])))
    return re.sub(r"(?m)^#.*|\[\d+:\d+\]", "", listing)


def service_options(scenario, folder, client):
    """The options that describe the service: --config if tproxyctl can read the proxy's configuration."""
    config = Path(folder) / "proxy.cfg"
    options = ["--config", str(config)] if config.exists() else _listed(scenario)
    return [*options, "--client", client]


def _listed(scenario):
    kind = "/udp" if scenario["protocol"] == "udp" else ""
    options = [f"--listen={_endpoint(each)}{kind}" for each in scenario["listeners"]]
    if scenario["source"]["mode"] != "none":
        options += [f"--server={_endpoint(each)}" for each in scenario["servers"]]
    return options


def _endpoint(fields):
    address = f"[{fields['address']}]" if ":" in fields["address"] else fields["address"]
    return f"{address}:{fields['port']}"
