"""A pytest plugin: collects the suite once, then runs those tests that it is asked for on the adapter that it is given.

MUTATION_SOCKET is the descriptor of a socket. A job is a line of JSON, {"adapter", "tests", "patience", "original"}.
The answers are lines of JSON, too: {"test", "verdict", "message", "seconds"} for each test, then {"end": true}. A job
ends at the first failure where there is an `original`: that adapter is asked the same test at once, and the
answer has its verdict as `original`. So a failure counts only where this machine, as loaded as it is now, passes the original.

Each job is a process in an isolation of its own: whatever a mutant does, it ends with its job.
"""

import json
import os
import socket
import time

import pytest
from _pytest.runner import runtestprotocol

from lab import waiting
from lab.conformance import verdict
from lab.netns import isolation
from lab.paths import RUN


# Of messages that lab.peers makes: no load makes a proxy end itself, and no test begins where `describe` fails.
ENDED = "the proxy ended with status"
REFUSED = "AdapterFailed"


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    channel = socket.socket(fileno=int(os.environ.pop("MUTATION_SOCKET")))
    items = {item.nodeid: item for item in session.items}
    answer(channel, tests=list(items))
    for line in channel.makefile("r", encoding="utf-8"):
        job = json.loads(line)
        process = os.fork()
        if process == 0:
            os._exit(isolation.run_isolated(lambda: run(channel, items, job)))
        _, status = os.waitpid(process, 0)
        answer(channel, end=True, status=os.waitstatus_to_exitcode(status))
    return True


def answer(channel, **values):
    channel.sendall(json.dumps(values).encode() + b"\n")


def run(channel, items, job):
    """Carry out a job inside its isolation; its exit status."""
    os.environ["PYTHONPYCACHEPREFIX"] = str(RUN / "bytecode")  # thousands of mutants are compiled, each for its job alone
    waiting.seconds = job["patience"]
    for name in job["tests"]:
        found = run_test(items[name], job["adapter"])
        failed = found["verdict"] == verdict.FAIL and job["original"]
        if failed and found["message"].startswith(ENDED):
            found["original"] = verdict.PASS
        elif failed:
            found["original"] = run_test(items[name], job["original"])["verdict"]
        answer(channel, test=name, **found)
        if failed and found["original"] == verdict.PASS:
            break
        if REFUSED in found["message"]:
            break
    return 0


def run_test(item, adapter):
    """The verdict of a test on an adapter."""
    item.config.option.impl = adapter
    begin = time.monotonic()
    findings = [report.finding for report in runtestprotocol(item, log=False, nextitem=None)]
    worst = max(findings, key=lambda each: verdict.VERDICTS.index(each["verdict"]))
    return {"verdict": worst["verdict"], "message": worst["message"], "seconds": round(time.monotonic() - begin, 2)}
