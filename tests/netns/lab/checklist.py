"""`tproxyctl check` on a proxy's host: what it names, and the commands that it prints.

While it looks, a client tries: that is how an administrator is told to use it (`--watch`).
"""

import json
import os
import shlex
import subprocess
from collections import namedtuple
from pathlib import Path

from . import patience, recipe

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("TPROXYCTL", str(ROOT / "build" / "tproxyctl"))
WATCH = 5  # seconds, unless something is seen before
TURN = 0.1  # seconds after which a client that was turned away tries again
WRONG = ("missing", "harmful")

Command = namedtuple("Command", "place run")


def check(host, needs, client=None):
    """What `check --json` prints on a host; `client()` is a socket that has begun to connect."""
    words = [PROGRAM, "check", "--json", *needs, *(["--watch", str(WATCH)] if client else [])]
    with host.namespace:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **recipe.lock(host.namespace)}
        )
    try:
        told, errors = _meanwhile(process, client)
    finally:
        process.kill()
    assert process.returncode in (0, 1), f"{shlex.join(words)}: status {process.returncode}\n{errors}"
    made = json.loads(told)
    assert made["well"] == (process.returncode == 0)
    return made


def _meanwhile(process, client):
    """What it prints; a client tries meanwhile, again and again, for it cannot know when somebody looks."""
    while client and process.poll() is None:
        trying = client()
        try:
            return process.communicate(timeout=TURN)
        except subprocess.TimeoutExpired:
            trying.close()
    return process.communicate(timeout=patience.seconds)


def told(proxy, client):
    """What `check` prints for people on a proxy's host."""
    words = [PROGRAM, "check", "--verbose", *needs_of(proxy.scenario, proxy.folder, client)]
    environment = {**os.environ, **recipe.lock(proxy.host.namespace)}
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
    """What mends it, each command once, in the order in which they are printed."""
    printed = [Command(c["on"], c["run"]) for found in named.values() for each in found for c in each["commands"]]
    return list(dict.fromkeys(printed))


def needs_of(scenario, folder, client):
    """The options that say what a proxy needs: its configuration, where it has one that the tool reads."""
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
