"""A host in a namespace with tproxyctl on it, and what a revert must restore.

The state of the host is read with its own tools: both iptables, nft, ip, and every sysctl. There are two ways to
kill tproxyctl: a tool that comes first on PATH does it at one of its runs, and a library that is loaded before the C
library does it at a system call that changes something.
"""

import contextlib
import os
import re
import shutil
import subprocess

from lab import waiting
from lab.paths import FIXTURES, TPROXYCTL

HOSTS = FIXTURES / "hosts"

SAVES = ("iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save")
LISTINGS = (
    "nft list ruleset",
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -6 route show table all",
)
TOOLS = ("iptables", *SAVES, *(each.replace("save", "restore") for each in SAVES), "nft", "ip")
COUNTED = re.compile(r" \[\d+:\d+\]$", re.MULTILINE)
ALIVE = re.compile("nf_conntrack_count|/stable_secret|route/flush")  # change by themselves, or cannot be read

LISTEN = {4: "192.0.2.80:80", 6: "[2001:db8:f::80]:80"}
SERVER = {4: "203.0.113.20", 6: "2001:db8:5::20"}
EVERYTHING = [f"--listen={each}" for each in (*LISTEN.values(), "192.0.2.80:53/udp", "0.0.0.0:8000")]
EVERYTHING += [f"--server={each}" for each in SERVER.values()]


KILLER = """\
#!/bin/sh
read -r calls <{folder}/calls
calls=$((calls + 1))
echo $calls >{folder}/calls
name=${{0##*/}}
if [ $calls = {at} ]; then
    [ {when} = after ] && {{ {real} "$@"; }}
    kill -9 $PPID
    [ {when} = meanwhile ] && exec {real} "$@"
    exit 1
fi
exec {real} "$@"
"""


HIDE = """
for program in $HIDDEN; do
	path=$(command -v $program) || continue  # or hidden already: many names, one program
	mount --bind /dev/null "$path" || exit 77
done
exec "$@"
"""


def without(*programs):
    """(first words, environment) of a command that cannot run some programs, on PATH or elsewhere."""
    return ("unshare", "-m", "sh", "-c", HIDE, "sh"), {"HIDDEN": " ".join(programs)}


class CtlHost:
    """A host in a namespace, and tproxyctl on it."""

    def __init__(self, namespace, folder):
        self.namespace = namespace
        self.folder = folder
        self.state = folder / "state.json"

    def ctl(self, *arguments, path=None, state=None, environment=None, before=()):
        """Run tproxyctl and return the completed process; `path` is a folder that comes first on PATH."""
        words = [*before, TPROXYCTL, *arguments, "--state", str(state or self.state)]
        environment = {**self._environment(path), **(environment or {})}
        with self.namespace:
            return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=2 * waiting.seconds, check=False)

    def well(self, *arguments, **rest):
        done = self.ctl(*arguments, **rest)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def _environment(self, path):
        lock = {"XTABLES_LOCKFILE": str(self.folder / "xtables.lock")}
        return {**os.environ, **lock, "PATH": os.pathsep.join(filter(None, [path, os.environ["PATH"]]))}

    def run(self, line, text=None):
        lock = {"XTABLES_LOCKFILE": str(self.folder / "xtables.lock")}
        return self.namespace.run(*line.split(), text=text, environment=lock)

    def snapshot(self):
        """Everything that a revert must restore."""
        with self.namespace:
            made = {line: _output(line.split()) for line in LISTINGS}
            saved = {name: _stable(_output([name])) for name in SAVES if shutil.which(name)}
            return {**made, **saved, "sysctls": _sysctls()}

    def killer(self, at, when):
        """A folder of tools for PATH; the tool that runs as number `at` kills tproxyctl."""
        folder = self.folder / "killer"
        folder.mkdir(exist_ok=True)
        (folder / "calls").write_text("0\n", encoding="ascii")
        for name in TOOLS:
            real = shutil.which(name)
            if real:
                script = KILLER.format(folder=folder, at=at, when=when, real=real)
                (folder / name).write_text(script, encoding="ascii")
                (folder / name).chmod(0o755)
        return str(folder)


def furnish(host, name, firewall_tool="iptables"):
    """Give a host, which has a namespace and runs commands in it, the rules of fixtures/hosts, in both families."""
    program = "iptables-legacy" if firewall_tool == "iptables-legacy" else "iptables"
    for kind, command in (
        ("ip", "ip -batch -"),
        ("ip6", "ip -6 -batch -"),
        ("iptables", f"{program}-restore --noflush"),
        ("ip6tables", f"{program.replace('ip', 'ip6', 1)}-restore --noflush"),
        ("nft", "nft -f -"),
    ):
        file = HOSTS / f"{name}.{kind}"
        if file.exists():
            host.run(command, file.read_text(encoding="ascii"))
    file = HOSTS / f"{name}.sysctl"
    if file.exists():
        host.namespace.sysctl(dict(line.split("=") for line in file.read_text(encoding="ascii").split()))


def _output(words):
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def _stable(text):
    """Without dates, and without the packets that each chain's policy has met: an IPv6 link sends some by itself."""
    return COUNTED.sub("", "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")))


def _sysctls():
    """All of /proc/sys/net that can be read: a thousand files, often hundreds of times in a test, so without file objects."""
    found = {}
    for folder, _, names in os.walk("/proc/sys/net"):
        for path in (f"{folder}/{name}" for name in names):
            with contextlib.suppress(OSError):
                if not ALIVE.search(path):
                    found[path] = _read(path)
    return found


def _read(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b"")).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def differences(before, after):
    """What differs, by listing. Empty tables of iptables-legacy do not count: no command removes them."""
    made = {}
    for name, text in after.items():
        old = before[name]
        if name.endswith("legacy-save"):
            old, text = _in_use(old), _in_use(text)
        if name == "sysctls":
            old, text = _only_in(old, text), _only_in(text, old)
        if old != text:
            made[name] = (old, text)
    return made


def _only_in(some, others):
    return sorted(set(some.items()) - set(others.items()))


def _in_use(save):
    """A listing without the table mangle where that is empty."""
    tables = re.findall(r"^\*.*?^COMMIT$", save, re.M | re.S)
    empty = re.compile(r"\*mangle\n(:[A-Z]+ ACCEPT\n)+COMMIT")
    return [table for table in tables if not empty.fullmatch(table)]


def arguments_for(firewall_tool, which="divert", family=None):
    wanted = EVERYTHING if family is None else [f"--listen={LISTEN[family]}", f"--server={SERVER[family]}"]
    return [*wanted, "--firewall-tool", firewall_tool, "--recipe", which]
