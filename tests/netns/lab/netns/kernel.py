"""The system calls that the standard library of Python 3.10 and 3.11 does not have.

Each function has the arguments of its man page and raises OSError with the name of the system call. families() says
whether the kernel has IPv6.
"""

import contextlib
import ctypes
import functools
import os
import socket

from lab import waiting

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
_WAIT_ALL = 0x40000000  # __WALL: threads, too
_PIDFD_GETFD = 438  # the same on all machines

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    result = getattr(_libc, name)(*arguments)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def _text(value):
    return None if value is None else os.fsencode(value)


def unshare(flags):
    """Move the calling thread (all of a process with one thread) into new namespaces."""
    _call("unshare", ctypes.c_int(flags))


def setns(descriptor, kind):
    """Move the calling thread into the namespace of a descriptor."""
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount(source, target, kind=None, flags=0, data=None):
    _call("mount", _text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data))


@contextlib.contextmanager
def stopped_thread(thread):
    """One thread of another process hangs, and its other threads do not: that of a process whose tracer stops it."""
    seize, interrupt, detach = 0x4206, 0x4207, 17
    _ptrace(seize, thread)
    _ptrace(interrupt, thread)
    os.waitpid(thread, _WAIT_ALL)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
            _ptrace(detach, thread)


def await_thread(thread):
    """Wait until a stopped thread has been killed. Until then its process has not ended."""
    waiting.until(lambda: os.waitpid(thread, os.WNOHANG | _WAIT_ALL)[0], "the thread is killed", pause=0.01)


def has_ended(process):
    """Whether a process has ended, also where its parent has not waited for it yet."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _ptrace(request, thread):
    _call("ptrace", ctypes.c_long(request), ctypes.c_long(thread), ctypes.c_void_p(), ctypes.c_void_p())


def unmount(target, flags=MNT_DETACH):
    _call("umount2", _text(target), ctypes.c_int(flags))


def die_with_parent(signal):
    """Make the kernel send `signal` to this process when its parent ends."""
    _call("prctl", ctypes.c_int(PR_SET_PDEATHSIG), ctypes.c_ulong(signal), 0, 0, 0)


def get_descriptor(pidfd, number):
    """A copy of another process's descriptor (pidfd_getfd(2), Linux 5.6)."""
    return _call("syscall", ctypes.c_long(_PIDFD_GETFD), pidfd, number, 0)


@functools.lru_cache(maxsize=None)
def families():
    """4, and 6 where this kernel makes sockets of IPv6."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return (4,)
    return (4, 6)
