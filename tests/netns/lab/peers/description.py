"""Runs `adapter describe`, and holds what it prints to fixtures/schema/describe.schema.json.

An adapter's author reads these messages first. So each says what is wrong, what is expected, and what to type. The trap
is the kernel's "No such file or directory" for a script that exists: it means the interpreter of the first line.
"""

import contextlib
import functools
import json
import os
import shlex
import signal
import subprocess

from lab import schema, waiting
from lab.exceptions import Absent
from lab.paths import FIXTURES

UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
FORM = "fixtures/schema/describe.schema.json"
NOT_STARTED = (126, 127)  # statuses by which env(1) says that it cannot start the interpreter
PATIENCE = 4  # times `waiting.seconds`: a verdict on the adapter must not depend on a busy machine
SHOWN = 200  # characters of what an adapter printed


class AdapterFailed(Exception):
    """The adapter breaks the contract of docs/ADAPTERS.md; the text says how, and what to do."""


def not_an_adapter(path, known):
    """Why a path is no adapter, or "". `known` is the file of implementations/ that has the same name."""
    if path.is_dir():
        return f"{path} is a folder"
    if not path.exists():
        return f"neither {known} nor {path} is a file"
    if not os.access(path, os.X_OK):
        return f"{path} is not executable; type: chmod +x {shlex.quote(str(path))}"
    return ""


def ask(path, name):
    """The description of the adapter at `path`, as a dictionary; `name` is what messages call it.

    Absent if a program is not installed (status 69). AdapterFailed if it cannot be started, does not end within
    PATIENCE * `waiting.seconds`, ends with another status, or prints another form.
    """
    status, output, errors = _run(path, name)
    if status == UNAVAILABLE:
        raise Absent(errors.strip())
    if status != 0:
        said = errors.strip() or output.strip() or "no reason was given"
        why = _why_not_started(path) if status in NOT_STARTED else ""
        raise AdapterFailed(f"`{name} describe` ended with status {status}: {said}{why and '; ' + why}")
    return _checked(output, name)


def _run(path, name):
    """(status, output, errors) of `describe`; all its processes end with it where it takes too long."""
    try:
        process = subprocess.Popen(
            [path, "describe"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as problem:
        raise AdapterFailed(f"{path} cannot be started: {_why_not_started(path) or problem.strerror}") from None
    limit = PATIENCE * waiting.seconds
    with process:
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise AdapterFailed(
                f"`{name} describe` did not end within {limit:g} s, so it was killed. It must print one JSON object "
                "and end; it must not start the proxy."
            ) from None
    return process.returncode, output, errors


def _why_not_started(path):
    """What in a script's first line keeps it from starting, and how to fix it; "" if that is not known."""
    with open(path, "rb") as file:
        first = file.readline(256)
    if first[:4] == b"\x7fELF":
        return ""
    if first.endswith(b"\r\n"):
        return f"it has the line ends of Windows (CRLF); type: sed -i 's/\\r$//' {shlex.quote(str(path))}"
    if not first.startswith(b"#!"):
        return "its first line names no interpreter; write one, for example #!/bin/sh"
    interpreter, *words = first[2:].decode("utf-8", "replace").split() or [""]
    if os.path.basename(interpreter) == "env" and os.path.exists(interpreter):
        interpreter = " ".join(words)
    return f"its first line names the interpreter {interpreter}, which is not installed; install it, or change the line"


@functools.lru_cache(maxsize=None)
def _form():
    return json.loads((FIXTURES.parent / FORM).read_text(encoding="utf-8"))


def _has_http_on_one_side(dialect):
    return ("http" in dialect.values()) != (dialect.get("client") == dialect.get("server") == "http")


def _checked(output, name):
    """The description that `output` is; AdapterFailed with all that is wrong in it."""
    try:
        said = json.loads(output)
    except ValueError:
        shown = repr(output[:SHOWN]) if output.strip() else "nothing"
        raise AdapterFailed(f"`{name} describe` prints no JSON object. It prints: {shown}") from None
    problems = schema.problems(said, _form())
    if not problems and _has_http_on_one_side(said.get("dialect", {})):
        problems.append("`$.dialect` has http on one side, expected it on both sides")
    if problems:
        text = "; ".join(each.replace("`$.", "`").replace("`$` ", "the object ") for each in problems)
        raise AdapterFailed(f"`{name} describe` prints no valid description: {text}. Its format is {FORM}.")
    return said
