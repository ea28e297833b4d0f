"""Boots guests, reads their consoles, and kills guests that hang.

A guest is a process (see engines). It has its own folder on the run's private /run, with a copy of the tree that
it tests, and out/ for its results. It runs as an ordinary user. In its mount namespace everything except that
folder is read-only, so a guest cannot change the host's files. Each guest is pinned to one CPU; this makes it
three to five times faster.

The verdict comes from the console:

    ended     the guest printed that it is done
    panicked  the kernel panicked
    hung      neither, within the time limit
    died      the process exited, and printed neither
"""

import ctypes
import os
import re
import selectors
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

from lab.paths import RUN

NOBODY = 65534
KVM = "/dev/kvm"
TAIL = 30  # last lines of a console that the observation keeps
ENDED, PANICKED, HUNG, DIED = "ended", "panicked", "hung", "died"
_PANIC = re.compile(r"Kernel panic|not syncing")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\r\x00-\x08\x0b-\x1f]")


class Guest:
    """One boot of a kernel. `suite` holds the arguments of python3, with paths relative to the tree."""

    def __init__(self, name, kernel, engine, suite=(), sysctls=None, limit=None):
        self.name, self.kernel, self.engine = name, kernel, engine
        self.suite, self.sysctls = [str(each) for each in suite], dict(sysctls or {})
        self.limit = limit or engine.limit
        self.console, self.pending = [], b""
        self.verdict, self.release, self.seconds = None, "", 0.0
        self.process = self.folder = None

    # Starting

    def start(self, staged, cpu):
        self.folder = Path(tempfile.mkdtemp(prefix="guest-", dir=RUN))
        self.folder.chmod(0o755)
        shutil.copytree(staged, self.folder / "tree", copy_function=shutil.copy2)
        (self.folder / "out").mkdir()
        self._write("suite", "".join(f"{each}\n" for each in self.suite))
        self._write("sysctls", "".join(f"{name} {value}\n" for name, value in self.sysctls.items()))
        self._write("modprobe", '#!/bin/sh\nexec /sbin/modprobe -d /mnt/modules "$@"\n')
        (self.folder / "modprobe").chmod(0o755)
        if is_root():
            for path in (self.folder, self.folder / "out"):
                os.chown(path, NOBODY, NOBODY)
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [str(each) for each in self.engine.command(self.kernel, self.folder, "guest")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"TMPDIR": str(self.folder), "PATH": os.environ["PATH"], "HOME": str(self.folder)},
            start_new_session=True,
            preexec_fn=lambda: _confine(self.folder, cpu),
        )
        os.set_blocking(self.process.stdout.fileno(), False)

    def _write(self, name, text):
        (self.folder / name).write_text(text, encoding="ascii")

    # Watching

    def read(self):
        """Reads what the console has; returns False at end of file."""
        data = self.process.stdout.read()
        if data == b"":
            return False
        *lines, self.pending = (self.pending + (data or b"")).split(b"\n")
        for line in lines:
            self._line(_ESCAPES.sub("", line.decode(errors="replace")).rstrip())
        return True

    def _line(self, text):
        self.console.append(text)
        if text.startswith("@up "):
            self.release = text[4:]
        elif text == "@end":
            self.verdict = ENDED
        elif _PANIC.search(text) and self.verdict is None:
            self.verdict = PANICKED

    def is_timed_out(self):
        return time.monotonic() - self.started_at > self.limit

    def stop(self):
        """Kills the guest and its children. Its folder stays until remove()."""
        self.seconds = time.monotonic() - self.started_at
        if self.verdict is None:
            self.verdict = HUNG if self.process.poll() is None and self.is_timed_out() else DIED
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        if self.pending:
            self._line(_ESCAPES.sub("", self.pending.decode(errors="replace")))
            self.pending = b""
        self.process.stdout.close()

    @property
    def tail(self):
        return self.console[-TAIL:]

    def remove(self):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def is_root():
    """Whether this process is root of the host, not only of a user namespace."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return os.geteuid() == 0 and file.read().split()[1] == "0"


# Between fork and exec: one CPU, a mount namespace in which only `folder` is writable, no root.

_CLONE_NEWNS, _MS_BIND, _MS_REC = 0x20000, 0x1000, 0x4000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _RDONLY, _NODEV = 442, -100, 0x8000, 1, 4
_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def _confine(folder, cpu):
    os.sched_setaffinity(0, {cpu})
    path = os.fsencode(folder)
    _call(_libc.unshare, _CLONE_NEWNS)
    _call(_libc.mount, path, path, None, ctypes.c_ulong(_MS_BIND), None)
    _set_attributes(b"/", _AT_RECURSIVE, _MountAttributes(set=_RDONLY))
    _set_attributes(path, 0, _MountAttributes(clear=_RDONLY))
    if is_root():
        _grant_kvm(os.path.join(path, b"kvm"), os.fsencode(KVM))
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def _grant_kvm(path, device):
    """Makes a KVM device that the guest's user may open. The group of /dev/kvm differs between distributions."""
    if os.path.exists(device):
        os.mknod(path, 0o600 | stat.S_IFCHR, os.stat(device).st_rdev)
        os.chown(path, NOBODY, NOBODY)
        _call(_libc.mount, path, device, None, ctypes.c_ulong(_MS_BIND), None)
        _set_attributes(device, 0, _MountAttributes(clear=_NODEV))


def _set_attributes(path, flags, attributes):
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _call(_libc.syscall, ctypes.c_long(_MOUNT_SETATTR), _AT_FDCWD, path, flags, ctypes.byref(attributes), size)


def _call(function, *arguments):
    if function(*arguments) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def run(guests, staged, cpus, on_end=lambda guest: None, on_start=lambda guest, cpu: None):
    """Runs all guests, at most one per CPU at a time."""
    waiting, free, running = list(guests), list(cpus), {}
    selector = selectors.DefaultSelector()
    try:
        while waiting or running:
            while waiting and free:
                guest, cpu = waiting.pop(0), free.pop(0)
                guest.start(staged, cpu)
                running[guest] = cpu
                selector.register(guest.process.stdout, selectors.EVENT_READ, guest)
                on_start(guest, cpu)
            at_end = {key.data for key, _ in selector.select(timeout=1) if not key.data.read()}
            for guest in [each for each in running if each in at_end or each.is_timed_out()]:
                selector.unregister(guest.process.stdout)
                guest.stop()
                free.append(running.pop(guest))
                on_end(guest)
    finally:
        for guest in running:
            guest.stop()
        selector.close()
