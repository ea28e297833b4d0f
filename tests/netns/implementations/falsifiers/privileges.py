"""Giving up root and all capabilities but the one that transparent sockets need."""

import ctypes
import os
import pwd
import struct

CAP_NET_RAW = 13
PR_SET_KEEPCAPS = 8
VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def become(user, kept=1 << CAP_NET_RAW):
    """Run as an ordinary user from now on, with the capabilities of the mask `kept`."""
    entry = pwd.getpwnam(user)
    _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    _call("capset", struct.pack("Ii", VERSION_3, 0), struct.pack("6I", kept, kept, 0, 0, 0, 0))


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
