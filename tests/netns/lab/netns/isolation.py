"""One outer isolation for a run: however the run ends, nothing stays on the host.

    parent -> keeper -> first process (pid 1 of the new pid namespace) -> the run

The keeper unshares the user namespace (unless it is root) and mount, pid and network namespaces, and waits. If the
parent dies, the kernel kills the keeper. If the keeper dies, the kernel kills the first process, and with it every
process of the pid namespace. A shell may stand between the keeper and the program that really started it (make, for
example), so the keeper also watches its ancestors in its process group. Mounts, links, rules and namespaces then have
no process left, and the kernel removes them. No clean-up code has to run.

Inside, /proc is new and /run is private (with /run/netns, so that `ip netns exec` works). The network has a loopback
link and no way out.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys

from lab.netns import kernel
from lab.paths import RUN

MARK = "TPROXY_LAB_ISOLATED"
PARENT = "TPROXY_LAB_PARENT"

# A table of TCP connections for each namespace of the lab (ip-sysctl, tcp_child_ehash_entries; Linux 6.1). Without it
# each look at /proc/net/tcp walks the whole machine's table: 262,144 chains of it take 13 ms, these take 0.3 ms.
CONNECTION_CHAINS = 4096

NO_NAMESPACES = """\
This program needs its own namespaces and cannot make any ({reason}).
Do one of these:
  * run it as root:                           sudo {command}
  * allow user namespaces (Debian):           sysctl kernel.unprivileged_userns_clone=1
  * allow them past AppArmor (Ubuntu 24.04):  sysctl kernel.apparmor_restrict_unprivileged_userns=0
  * allow more of them:                       sysctl user.max_user_namespaces=10000
A container needs CAP_SYS_ADMIN and an unmasked /proc (privileged)."""


class NotPossible(Exception):
    """This process may not make the namespaces; the text says what to do."""


def isolated():
    """Whether this process already runs inside an isolation."""
    return MARK in os.environ


def run_isolated(work):
    """Call work() inside a new isolation and return its exit status to this process.

    Call it before any thread starts. work() returns an exit status. Raises NotPossible.
    """
    die_with_parent()
    ancestors = [os.pidfd_open(pid) for pid in _ancestors()]
    try:
        _unshare()
    except OSError as error:
        raise NotPossible(_advice(error)) from None
    sys.stdout.flush()
    alive, life = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(life)
        os._exit(_first_process(alive, work))
    os.close(alive)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the run, too
    _await_end(first, ancestors)
    return _status(os.waitpid(first, 0)[1])


def _ancestors():
    """Ids of the parent, its parent and so on, while they are in this process's group: make, a shell."""
    pid, group = os.getppid(), os.getpgrp()
    while pid > 1 and _of_group(pid, group):
        yield pid
        pid = int(_stat(pid)[1])


def _of_group(pid, group):
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def _stat(pid):
    """Fields of /proc/PID/stat from the state on: state, parent, …"""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _await_end(first, ancestors):
    """Return when the first process has ended; end it when an ancestor does."""
    poll = select.poll()
    own = os.pidfd_open(first)
    for descriptor in (own, *ancestors):
        poll.register(descriptor, select.POLLIN)
    if all(descriptor != own for descriptor, _ in poll.poll()):
        os.kill(first, signal.SIGKILL)


def die_with_parent():
    """End together with the process that started this one; end at once if that has ended already.

    A parent that may be killed at any moment gives its process id in the environment. An orphan cannot see that it
    is one, because the process that adopted it looks like a parent, too.
    """
    parent = int(os.environ.pop(PARENT, os.getppid()))
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _unshare():
    user, group = os.geteuid(), os.getegid()
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET
    if user == 0:
        kernel.unshare(flags)
        return
    kernel.unshare(flags | kernel.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {user} 1")
    _write("/proc/self/gid_map", f"0 {group} 1")


def _first_process(alive, work):
    """Pid 1: make mounts and links, start the run, reap orphans, end with the run."""
    kernel.die_with_parent(signal.SIGKILL)
    # The parent lives in another pid namespace, so getppid() can't tell; an end of the pipe can.
    os.set_blocking(alive, False)
    try:
        if os.read(alive, 1) == b"":
            return 1
    except BlockingIOError:
        pass
    try:
        _make_environment()
    except OSError as error:
        print(_advice(error), file=sys.stderr)
        return 2
    run = os.fork()
    if run == 0:
        os._exit(_guarded(work))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ended, status = os.wait()
        if ended == run:
            return _status(status)


def _guarded(work):
    try:
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status or 0


def _make_environment():
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("proc", "/proc", "proc", quiet | kernel.MS_NOEXEC)
    kernel.mount("tmpfs", "/run", "tmpfs", quiet, "mode=755")
    for folder in ("/run/netns", "/run/lock", RUN):
        os.mkdir(folder)
    link_up("lo")
    with contextlib.suppress(OSError):  # an older kernel, or another user's
        _write("/proc/sys/net/ipv4/tcp_child_ehash_entries", str(CONNECTION_CHAINS))
    os.environ[MARK] = "1"


def link_up(name):
    """Bring a link of the current network namespace up, without a program."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, get_flags, struct.pack("16sh22x", name.encode(), 0))
        flags = struct.unpack("16sh22x", request)[1]
        fcntl.ioctl(control, set_flags, struct.pack("16sh22x", name.encode(), flags | up))


def _advice(error):
    reason = error.strerror
    if error.errno == errno.ENOSPC:
        reason += ": the limit of namespaces is reached"
    return NO_NAMESPACES.format(reason=reason, command=" ".join(sys.argv))


def _status(status):
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
