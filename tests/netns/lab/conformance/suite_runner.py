"""Runs the suite on one implementation after another and collects the outcome of every test.

The suite runs like `tests/netns/run`, as its own process within this run's isolation. It writes its events to a
pipe (see outcomes), so that progress can be shown, and no outcome is lost if the process dies. Before that, the
adapter is asked for its description, and must refuse a scenario with an unknown field.
"""

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import paths, waiting
from lab.conformance import capabilities, deviations, evidence, matrix
from lab.exceptions import Absent
from lab.paths import ROOT, RUN, SUITE
from lab.peers.description import AdapterFailed
from lab.peers.proxy import UNSUPPORTED, Implementation

PATIENCE = 8.0  # seconds: what --patience is where it is not given
QUICK_SHARE = 8  # soak tests of a --quick run have this part of their load
PLAIN = {
    "listeners": [{"address": "127.0.0.1", "port": 8000}],
    "destination": "servers",
    "servers": [{"address": "127.0.0.1", "port": 8080}],
    "source": {"mode": "none"},
    "protocol": "tcp",
}


class Column:
    """One implementation, and what the run found on it."""

    def __init__(self, adapter):
        self.implementation = Implementation(adapter)
        self.adapter = adapter if _means_the_same_in_root(adapter) else str(self.implementation.path)
        self.name, self.version, self.capabilities, self.notes = Path(adapter).name, "", [], ""
        self.problems = []
        self.rows = {}  # by requirement
        self.seconds = 0.0

    def ask(self):
        """Ask the adapter; False when it cannot be used at all."""
        try:
            said = self.implementation.describe()
        except (Absent, AdapterFailed) as problem:
            self.problems.append(f"cannot run: {problem}")
        else:
            self.name, self.version = said["name"], said["version"]
            self.capabilities, self.notes = said["capabilities"], said.get("notes", "")
            unknown = sorted(set(self.capabilities) - set(capabilities.NAMES))
            if unknown:
                self.problems.append(f"claims an unknown capability: {', '.join(unknown)}; docs/ADAPTERS.md lists all of them")
            self.problems += [f"a scenario with an unknown field {where}" for where in accepted(self.implementation)]
            return True
        return False

    def as_dictionary(self, chosen, options):
        recorded = deviations.load(self.name, self.version)
        return {
            "name": self.name,
            "adapter": self.adapter,
            "version": self.version,
            "capabilities": self.capabilities,
            "notes": self.notes,
            "problems": self.problems,
            "seconds": round(self.seconds, 1),
            "command": matrix.command_line(self.adapter, None, options),
            "cells": matrix.cells(
                chosen, self.rows, recorded, lambda id: matrix.command_line(self.adapter, id, options)
            ),
        }


def _means_the_same_in_root(adapter):
    """Whether an adapter's name needs no change for commands that run in the repository's folder."""
    return (paths.IMPLEMENTATIONS / adapter).is_file() or Path.cwd() == ROOT


def accepted(implementation):
    """Places where the adapter does not refuse an unknown field, with the result."""
    for where in ("scenario", "listener"):
        scenario = json.loads(json.dumps(PLAIN))
        inner = scenario if where == "scenario" else scenario["listeners"][0]
        inner[f"x-{secrets.token_hex(4)}"] = True
        status = _status_of(implementation, scenario)
        if status != UNSUPPORTED:
            yield f"of the {where} must be refused with status {UNSUPPORTED}; the result is: {status}"


def _status_of(implementation, scenario):
    with tempfile.TemporaryDirectory(prefix="probe-", dir=RUN) as folder:
        path = Path(folder, "scenario.json")
        path.write_text(json.dumps(scenario), encoding="utf-8")
        command = [implementation.path, "run", path, folder]
        try:
            done = subprocess.run(command, capture_output=True, cwd=folder, timeout=waiting.seconds, check=False)
        except subprocess.TimeoutExpired:
            return "served"
    return f"status {done.returncode}" if done.returncode != UNSUPPORTED else UNSUPPORTED


def conduct(column, chosen, out, options, progress):
    """Run the suite on one implementation."""
    begin = time.monotonic()
    progress.begin(column)
    if column.ask():
        progress.named(column)
        status, log = _run_suite(column, chosen, out, options, progress)
        if status not in (0, 1, 5):  # passed, failed, nothing to run
            column.problems.append(f"the suite ended with status {status}; see {log}")
    column.seconds = time.monotonic() - begin
    progress.end(column)


def _run_suite(column, chosen, out, options, progress):
    folder = evidence_folder(column, out).parent
    folder.mkdir(parents=True, exist_ok=True)
    incoming, outgoing = os.pipe()
    command = suite_command(column.adapter, chosen, evidence_folder(column, out), f"/dev/fd/{outgoing}", options)
    with open(folder / "suite.log", "wb") as log:
        suite = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[outgoing], cwd=ROOT)
    os.close(outgoing)
    try:
        _listen(column, lines_of(incoming, progress.patience), options, progress)
    except KeyboardInterrupt:
        column.problems.append("interrupted")
    os.close(incoming)
    status = suite.wait()
    return status, os.path.relpath(folder / "suite.log", ROOT)


def lines_of(descriptor, patience):
    """The lines that come, until the other side closes; None each time that none came for so many seconds."""
    rest = b""
    while True:
        if not select.select([descriptor], [], [], patience)[0]:
            yield None
            continue
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def evidence_folder(column, out):
    return out / column.name.replace("/", "-") / "evidence"


def suite_command(adapter, chosen, evidence_folder, events, options):
    words = [sys.executable, SUITE / "run", "--impl", adapter, "-q", "--seed", options.seed]
    words += ["-n", options.n] if options.n is not None else []
    words += ["--patience", options.patience]
    words += ["--requirements", ",".join(each.id for each in chosen)]
    words += ["--events", events, "--evidence", evidence_folder, *chosen_variants(options)]
    words += ["--share", QUICK_SHARE] if options.quick else []
    words += ["--keep"] if options.keep else []
    return [str(word) for word in (*words, *sorted(SUITE.glob("test_*.py")))]


def chosen_variants(options):
    """Options that `conformance` and `run` both know, and that change which variants of a test run."""
    words = ["--family", str(options.family)] if options.family else []
    words += ["--sample-per", options.sample_per] if options.sample_per else []
    words += ["--rules-by", options.rules_by] if options.rules_by != "iptables" else []
    return words + (["--recipe", options.recipe] if options.recipe else [])


def repeated(options):
    """Options of `conformance` that a command which repeats a column or a cell needs, too."""
    words = ["--quick"] if options.quick else []
    words += chosen_variants(options)
    words += ["--patience", f"{options.patience:g}"] if options.patience != PATIENCE else []
    return words + (["--expect-env", options.expect_env] if options.expect_env else [])


def _listen(column, lines, options, progress):
    running = {}  # when each test began
    for line in lines:
        if line is None:
            progress.silent(column, running)
            continue
        event = json.loads(line)
        if event["event"] == "started":
            running[event["test"]] = time.monotonic()
        elif event["event"] == "broken":
            running.pop(event["test"], None)
            column.problems.append(f"{event['test']} could not run: {_last(event['message'])}")
        elif event["event"] == "ended":
            running.pop(event["test"], None)
            command = evidence.repeat_command(event["test"], _Repeat(column, options))
            if event["evidence"]:
                event["evidence"] = os.path.relpath(ROOT / event["evidence"], options.out)
            column.rows.setdefault(event["requirement"], []).append(matrix.row(event, command))
        progress.event(column, event, running)
    column.problems += [f"{test} did not end" for test in sorted(running)]


def _last(text):
    return (text.strip().splitlines() or ["no reason was given"])[-1]


class _Repeat:
    """What evidence.repeat_command reads of pytest's options."""

    set_up = "recipe"

    def __init__(self, column, options):
        self.impl, self.seed, self.rules_by = column.adapter, options.seed, options.rules_by
        self.share, self.patience = QUICK_SHARE if options.quick else 1, options.patience
        self.evidence = evidence_folder(column, options.out)
