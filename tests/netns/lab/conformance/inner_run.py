"""Runs of the suite within a test of the suite: each is a pytest in a process of its own, inside this run's isolation.

A new interpreter needs 0.4 s of processor time to import pytest and the lab, and the suite runs itself on two hundred wrong
proxies. So one process imports them once (main()), and forks for each run. It runs no test itself, has one thread, and has not
read the configuration: a run that it forks has seen nothing of another one.

A job is a line of JSON on a socket, {"words", "environment", "output"}; the answer is the exit status.
"""

import functools
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from _pytest.config import default_plugins

from lab.paths import ROOT, RUN, SUITE

# What the plugins use. They themselves are left to pytest, which rewrites the assertions of plugins when it imports them.
USED = ("lab.setup.lab", "lab.setup.by_apply", "lab.setup.witness", "lab.conformance.evidence", "lab.conformance.wording", "lab.ctl.check_score")


def run(wanted, *words):
    """Run the tests of the `wanted` requirements, with further arguments of pytest; return what it printed."""
    everywhere = "-q", "-c", SUITE / "pytest.ini", "--rootdir", ROOT, "-p", "no:xdist", "--seed", "1", "--no-evidence"
    chosen = "--requirements", ",".join(sorted(wanted)), *files_of(wanted)
    with tempfile.NamedTemporaryFile(dir=RUN) as output:
        job = {"words": [str(word) for word in (*everywhere, *words, *chosen)], "environment": dict(os.environ), "output": output.name}
        channel, _ = _forking_process()
        channel.sendall(json.dumps(job).encode() + b"\n")
        if not channel.recv(16):
            raise RuntimeError("the process that starts inner runs has ended")
        return Path(output.name).read_text(encoding="utf-8", errors="replace")


def files_of(wanted):
    """The test files that name one of the requirements; all where none does, for pytest takes no files for all."""
    return [path for path, text in _texts() if any(f'"{each}"' in text for each in wanted)] or [path for path, _ in _texts()]


@functools.lru_cache(maxsize=None)
def _texts():
    return [(path, path.read_text(encoding="utf-8")) for path in sorted(SUITE.glob("test_*.py"))]


@functools.lru_cache(maxsize=None)
def _forking_process():
    """A socket to the process that forks, and that process, which ends with its socket."""
    own, its = socket.socketpair()
    with its:
        made = subprocess.Popen(
            [sys.executable, "-m", "lab.conformance.inner_run", str(its.fileno())],
            env={**os.environ, "PYTHONPATH": str(SUITE)}, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()],
        )  # fmt: skip
    return own, made


def main(channel):
    for name in (*(f"_pytest.{plugin}" for plugin in default_plugins), *USED):
        importlib.import_module(name)
    for line in channel.makefile("r", encoding="utf-8"):
        job = json.loads(line)
        process = os.fork()
        if process == 0:
            channel.close()
            carry_out(job)
        _, status = os.waitpid(process, 0)
        channel.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def carry_out(job):
    """Become the pytest of a job."""
    os.environ.clear()
    os.environ.update(job["environment"])
    output = os.open(job["output"], os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.exit(pytest.main(job["words"]))


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
