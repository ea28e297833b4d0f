"""What a guest brought back, and what tproxyctl reads from a configuration.

Everything is kept as plain values, so that an observation can be written to a file and compared with
another one later.
"""

import gzip
import json
import subprocess
from pathlib import Path

from lab import verdict


def of_guest(guest):
    """The observation of a guest that has ended."""
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
    said = _json(out / "prove.json")
    if not said:
        return None
    return {
        "capabilities": {
            each["id"]: {key: each[key] for key in ("state", "detail", "options")} for each in said["capabilities"]
        },
        "profiles": {name: each["provable"] for name, each in said["profiles"].items()},
        "ways": {n: [(way["recipe"], way["backend"]) for way in each["by"]] for n, each in said["profiles"].items()},
        "connections": [
            {key: each[key] for key in ("recipe", "backend", "protocol", "family", "state", "detail")}
            for each in said["connections"]
        ],
    }


def _suite(report):
    """{requirement/family: {"verdict", "message", "tests": […]}}, and what is wrong with the whole run.

    A row is a requirement in one family: what a kernel lacks it often lacks for one of them. One that
    was not run at all has a row without.
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
    told = next((each["message"] for each in tests if each["verdict"] == word), "")
    return {"verdict": word, "message": told, "tests": tests}


def _test(test, rules_by):
    """A test and what it was set up by; one that names none of it, and got no further, has the suite's defaults."""
    defaults = {"recipe": "divert", "backend": rules_by, "family": 4}
    where = {name: test["parameters"].get(name, default) for name, default in defaults.items()}
    told = test["message"].strip().partition("\n")[0][:200]
    return {"test": test["test"].rpartition("/")[2], "verdict": test["verdict"], "message": told, **where}


def ask_configuration(program, path):
    """What `tproxyctl check` reads from a configuration: {capability: {"state", "options"}}.

    None where this tproxyctl has no such command; the column is then not asked, and said to be so.
    """
    command = [program, "check", "--kernel-config", path, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        said = json.loads(done.stdout)["kernel"]["capabilities"]
    except (ValueError, KeyError, TypeError):
        if knows_check(program):
            raise CannotAsk(done.stderr.strip() or f"tproxyctl check ended with status {done.returncode}") from None
        return None
    return {each["id"]: {"state": each["state"], "options": each["options"]} for each in said}


class CannotAsk(Exception):
    """tproxyctl refuses a configuration; its words."""


def knows_check(program):
    done = subprocess.run([program, "check", "--help"], capture_output=True, text=True, check=False)
    return done.returncode == 0


def ask_text(program, text, folder):
    """The same of a configuration's text."""
    path = Path(folder) / "asked.config"
    path.write_text(text, encoding="ascii", errors="replace")
    return ask_configuration(program, path)
