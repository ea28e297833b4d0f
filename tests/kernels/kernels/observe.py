"""Reads the results of a guest, and asks `tproxyctl check` about a configuration.

An observation has only plain values, so it can be written to a file as JSON.
"""

import gzip
import json
import subprocess
from pathlib import Path

from lab.conformance import verdict


def of_guest(guest):
    """The observation of a guest that has stopped."""
    out = guest.folder / "out"
    report = _json(out / "conformance" / "report.json")
    return {
        "kernel": guest.name,
        "release": guest.release,
        "verdict": guest.verdict,
        "seconds": round(guest.seconds, 1),
        "console": guest.tail,
        "troubles": [line[9:] for line in guest.console if line.startswith("@trouble ")],
        "configuration": _text(out / "config.gz"),
        "prove": _prove(out),
        "prove_words": _plain(out / "prove.txt"),
        "suite": _suite(report) if report else None,
        "suite_asked": bool(guest.suite),
        "log": "" if report else "".join(map(_plain, out.glob("conformance/*/suite.log")))[-4000:],
    }


def _json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _text(path):
    try:
        return gzip.decompress(path.read_bytes()).decode("ascii", "replace")
    except (OSError, EOFError):
        return ""


def _plain(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _prove(out):
    proof = _json(out / "prove.json")
    if not proof:
        return None
    return {
        "capabilities": {
            each["id"]: {key: each[key] for key in ("state", "detail", "options")} for each in proof["capabilities"]
        },
        "profiles": {name: each["provable"] for name, each in proof["profiles"].items()},
        "ways": {n: [(way["recipe"], way["firewall_tool"]) for way in each["by"]] for n, each in proof["profiles"].items()},
        "connections": [
            {key: each[key] for key in ("recipe", "firewall_tool", "protocol", "family", "state", "detail")}
            for each in proof["connections"]
        ],
    }


def _suite(report):
    """{"cells": {REQUIREMENT/FAMILY: {"verdict", "message", "tests": […]}}, "problems", "seconds"} of a report.

    Results are kept for each family, because a kernel often lacks a feature in one family only. A requirement
    without a test has the row REQUIREMENT/-.
    """
    column = report["implementations"][0]
    rules_by = report.get("selection", {}).get("rules_by", "iptables")
    tests = {}
    for cell in column["cells"]:
        if not cell["tests"]:
            tests[f"{cell['requirement']}/-"] = []
        for each in cell["tests"]:
            test = _test(each, rules_by)
            tests.setdefault(f"{cell['requirement']}/{test['family']}", []).append(test)
    cells = {row: _cell(those) for row, those in tests.items()}
    return {"cells": cells, "problems": column["problems"], "seconds": column["seconds"]}


def _cell(tests):
    word = verdict.worst(each["verdict"] for each in tests)
    message = next((each["message"] for each in tests if each["verdict"] == word), "")
    return {"verdict": word, "message": message, "tests": tests}


def _test(test, rules_by):
    """A test with its recipe, firewall tool and family. If it ended before it chose them: the suite's defaults."""
    defaults = {"recipe": "divert", "firewall_tool": rules_by, "family": 4}
    setup = {name: test["parameters"].get(name, default) for name, default in defaults.items()}
    message = test["message"].strip().partition("\n")[0][:200]
    return {"test": test["test"].rpartition("/")[2], "verdict": test["verdict"], "message": message, **setup}


def check_configuration(program, path):
    """What `tproxyctl check` says about a configuration: {capability: {"state", "options"}}.

    None if this tproxyctl has no `check` command.
    """
    done = _check(program, "--kernel-config", path, "--json")
    try:
        capabilities = json.loads(done.stdout)["kernel"]["capabilities"]
    except (ValueError, KeyError, TypeError):
        if has_check(program):
            status = f"`tproxyctl check --kernel-config {path}` failed with exit status {done.returncode}"
            raise CheckFailed(done.stderr.strip() or status) from None
        return None
    return {each["id"]: {"state": each["state"], "options": each["options"]} for each in capabilities}


NO_CHECK = "this tproxyctl has no `check --kernel-config`; run `make`, or set TPROXYCTL to a newer one"


class CheckFailed(Exception):
    """tproxyctl refused a configuration (the message is its own), or cannot run."""


def has_check(program):
    return _check(program, "--help").returncode == 0


def _check(program, *arguments):
    try:
        return subprocess.run([program, "check", *arguments], capture_output=True, text=True, check=False)
    except OSError as problem:
        raise CheckFailed(f"cannot run {program}: {problem.strerror}; run `make`, or set TPROXYCTL") from None


def check_text(program, text, folder):
    """The same for the text of a configuration. `folder` holds a temporary file."""
    path = Path(folder) / "checked.config"
    path.write_text(text, encoding="ascii", errors="replace")
    return check_configuration(program, path)
