"""A network namespace of this process, and work inside it.

`with namespace:` moves the calling thread into it, and back at the end. Sockets that are made and programs that are
started meanwhile belong to the namespace for good. Namespaces have names below the run's private /run/netns, so
`ip netns exec NAME …` works for a person who looks around.
"""

import contextlib
import fcntl
import itertools
import os
import socket
import struct
import subprocess
import threading

from lab.exceptions import Absent
from lab.netns import kernel

SIOCGIFFLAGS = 0x8913
IFF_RUNNING = 0x40

# Limits that the kernel derives from the size of a namespace's table of connections. The lab's tables are small
# (isolation.py), so each namespace gets the limits of the one that made it.
LIMITS = [f"/proc/sys/net/ipv4/{name}" for name in ("tcp_max_tw_buckets", "tcp_max_syn_backlog")]

_numbers = itertools.count(1)
_entered = threading.local()  # .stack: descriptors of the namespaces that the thread is in, its own first


class CommandFailed(Exception):
    """A command of the lab failed: an error of the suite, not of the proxy."""


class Refused(CommandFailed, Absent):
    """A command failed, and its message says that the kernel lacks a feature."""


# Messages of the tools when the kernel lacks a feature. `No such file` alone has many other meanings;
# nft prints it in this form when the kernel lacks an expression.
_REFUSALS = (
    "missing kernel module?",  # iptables, of a match or a target
    "No chain/target/match by that name",  # iptables-legacy, of the same
    "do you need to insmod?",  # iptables-legacy, of a table
    "unable to initialize table",  # iptables-legacy-restore, of the same
    "Could not fetch rule set generation id",  # iptables by nft, without nf_tables
    "Failed to initialize nft",
    "cache initialization failed",  # nft, without nf_tables
    "Unable to initialize Netlink socket: Protocol not supported",  # nft, without netfilter
    "Could not process rule: No such file or directory",  # nft, of a family or an expression
    "Could not process rule: Operation not supported",
    "Rule family not supported",  # ip rule
    "Unknown device type",  # ip link add
    "RTNETLINK answers: Operation not supported",
    "RTNETLINK answers: Address family not supported by protocol",
)


def is_refusal(words):
    """Whether a tool's message says that the kernel lacks a feature."""
    return any(sign in words for sign in _REFUSALS)


def fresh_name(role):
    """A name that no other test of this run has: process, number, role."""
    return f"p{os.getpid()}-{next(_numbers)}-{role}"


class Namespace:
    def __init__(self, role):
        self.role = role
        self.around = contextlib.nullcontext  # entered around what the lab itself may change
        self.name = fresh_name(role)
        self.path = f"/run/netns/{self.name}"
        origin = _current()
        limits = {path: _read(path) for path in LIMITS}
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
            for path, limit in limits.items():
                _write(path, limit)
            with open(self.path, "xb"):
                pass
            kernel.mount("/proc/thread-self/ns/net", self.path, None, kernel.MS_BIND)
            self.descriptor = _current()
        finally:
            kernel.setns(origin, kernel.CLONE_NEWNET)
            os.close(origin)

    def __enter__(self):
        if not hasattr(_entered, "stack"):
            _entered.stack = [_current()]
        kernel.setns(self.descriptor, kernel.CLONE_NEWNET)
        _entered.stack.append(self.descriptor)
        return self

    def __exit__(self, *_):
        _entered.stack.pop()
        kernel.setns(_entered.stack[-1], kernel.CLONE_NEWNET)

    def run(self, *command, text=None, environment=None):
        """Run a program in the namespace and return its output; raises CommandFailed."""
        with self.around(), self:
            done = subprocess.run(
                command,
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, **environment} if environment else None,  # a copy of it costs more than the start
                check=False,
            )
        if done.returncode != 0:
            shown = " ".join(command) + (f" <<\n{text}" if text else "")
            kind = Refused if is_refusal(done.stdout) else CommandFailed
            raise kind(f"in {self.name}: {shown}\nstatus {done.returncode}: {done.stdout}")
        return done.stdout

    def ip(self, *lines):
        """Run all lines with one `ip -batch`; each line is the arguments of `ip`."""
        return self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def sysctl(self, values, where_known=False):
        """Write sysctls, {dotted name: value}. A missing one is Absent; with `where_known` it is skipped."""
        with self.around(), self:
            for name, value in values.items():
                try:
                    _write(sysctl_path(name), str(value))
                except FileNotFoundError:
                    if not where_known:
                        raise Absent(f"the kernel has no sysctl {name}") from None

    def has_sysctl(self, name):
        with self:
            return os.path.exists(sysctl_path(name))

    def read_sysctl(self, name):
        with self, open(sysctl_path(name), encoding="ascii") as file:
            return file.read().split()

    def running(self, link):
        """Whether a link is up at both its ends and passes packets."""
        with self, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sh22x", link.encode(), 0))
        return bool(struct.unpack("16sh22x", request)[1] & IFF_RUNNING)

    def close(self):
        """Remove the namespace's name; it ends with its last process and socket."""
        if self.descriptor != -1:
            os.close(self.descriptor)
            self.descriptor = -1
            kernel.unmount(self.path)
            os.unlink(self.path)


def _current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def _write(path, text):
    """Faster than a file object; every test writes a hundred sysctls."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def sysctl_path(name):
    return "/proc/sys/" + name.replace(".", "/")
