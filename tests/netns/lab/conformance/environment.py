"""Where a run took place: kernel, its configuration, versions of the tools."""

import gzip
import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

TOOLS = {
    "ip": ["ip", "-V"],
    "iptables": ["iptables", "--version"],
    "iptables-legacy": ["iptables-legacy", "--version"],
    "nft": ["nft", "--version"],
}


def describe():
    return {
        "kernel": os.uname().release,
        "kernel_build": os.uname().version,
        "machine": os.uname().machine,
        "kernel_configuration": kernel_configuration(),
        "system": _system(),
        "tools": {name: _version(command) for name, command in TOOLS.items()} | _own(),
    }


def kernel_configuration(release=None, root=Path("/")):
    """{"path", "sha256"} of the running kernel's configuration as text, or None when it is nowhere."""
    for path in (root / "proc/config.gz", root / f"boot/config-{release or os.uname().release}"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        return {"path": f"/{path.relative_to(root)}", "sha256": hashlib.sha256(text).hexdigest()}
    return None


def _own():
    import pytest

    return {"python": platform.python_version(), "pytest": pytest.__version__}


def _system():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return sys.platform


def _version(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip().splitlines()[0]
