"""What `adapter describe` prints is held to its published form, and every message says what to do."""

import json
import os
import time

import pytest

from lab import waiting
from lab.peers.description import AdapterFailed
from lab.peers.proxy import Implementation

GOOD = {"name": "one", "version": "1.0", "capabilities": ["stream"]}


def adapter(folder, text, name="adapter"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    path.chmod(0o755)
    return path


def printing(folder, text):
    (folder / "said").write_text(text, encoding="utf-8")
    return adapter(folder, f"#!/bin/sh\ncat '{folder}/said'\n")


def message_of(path):
    with pytest.raises(AdapterFailed) as problem:
        Implementation(path).describe()
    return str(problem.value)


def test_a_good_description_is_taken(tmp_path):
    assert Implementation(printing(tmp_path, json.dumps(GOOD))).describe() == GOOD


@pytest.mark.parametrize(
    "change, words",
    [
        ({"colour": "red"}, ["an unknown field `colour`", "name, version, capabilities, notes, dialect"]),
        ({"version": 4.34}, ["`version` is a number", "expected a string"]),
        ({"version": ""}, ["`version`", "pattern"]),
        ({"name": "my proxy"}, ["`name`", "'my proxy'", "pattern"]),
        ({"capabilities": "stream"}, ["`capabilities` is a string", "expected an array"]),
        ({"capabilities": ["stream", 1]}, ["`capabilities[1]` is an integer", "expected a string"]),
        ({"dialect": {"client": "gopher"}}, ["`dialect.client`", "'gopher'", "plain, http, tls, proxy-v1"]),
        ({"dialect": {"client": "http"}}, ["`dialect`", "http", "on both sides"]),
        ({"dialect": "http"}, ["`dialect` is a string", "expected an object"]),
        ({"notes": ["a"]}, ["`notes` is an array", "expected a string"]),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_description_of_another_form_names_the_field_and_what_is_expected(tmp_path, change, words):
    message = message_of(printing(tmp_path, json.dumps({**GOOD, **change})))
    assert not [each for each in [*words, "fixtures/schema/describe.schema.json"] if each not in message], message


def test_all_that_is_wrong_is_reported_at_once(tmp_path):
    message = message_of(printing(tmp_path, json.dumps({"version": 1, "capabilities": []})))
    assert "has no field `name`" in message and "`version` is an integer" in message


@pytest.mark.parametrize("text", ["", "one 1.0\n", '{"name": "one"'], ids=["nothing", "text", "half"])
def test_what_is_no_json_is_shown(tmp_path, text):
    message = message_of(printing(tmp_path, text))
    assert "no JSON" in message and (text.strip() or "nothing") in message


def test_an_adapter_that_does_not_answer_is_ended_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "seconds", 0.5)
    path = adapter(tmp_path, f"#!/bin/sh\necho $$ >'{tmp_path}/pid'\nsleep 600\n")
    begin = time.monotonic()
    message = message_of(path)
    assert time.monotonic() - begin < 30
    assert "describe` did not end within 2 s" in message and "must not start the proxy" in message
    group = int((tmp_path / "pid").read_text(encoding="ascii"))
    waiting.until(lambda: not is_alive(group), "the processes of the adapter end")


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_adapter_knows_the_name_by_which_it_was_started(tmp_path, monkeypatch):
    adapter(tmp_path, """#!/bin/sh\nprintf '{"name": "%s", "version": "1", "capabilities": []}' "${0##*/}"\n""")
    (tmp_path / "link").symlink_to("adapter")
    monkeypatch.chdir(tmp_path)
    for name in ("./link", "link", tmp_path / "link"):
        assert Implementation(name).describe()["name"] == "link"


@pytest.mark.parametrize(
    "text, words",
    [
        ("#!/bin/sh\r\nexit 0\r\n", ["line ends of Windows (CRLF)", "sed -i 's/\\r$//'"]),
        ("#!/usr/bin/env python3\r\npass\r\n", ["line ends of Windows (CRLF)", "sed -i 's/\\r$//'"]),
        ("#!/nonexistent/python -u\npass\n", ["/nonexistent/python", "is not installed", "first line"]),
        ("echo no interpreter\n", ["no interpreter", "#!/bin/sh"]),
        ("#!/usr/bin/env nosuchlanguage\n", ["nosuchlanguage", "first line"]),
    ],
    ids=["CRLF", "CRLF and env", "missing", "none", "env"],
)
def test_an_adapter_that_cannot_be_started_says_why_and_how_to_fix_it(tmp_path, text, words):
    message = message_of(adapter(tmp_path, text))
    assert not [each for each in [*words, str(tmp_path)] if each not in message], message


def test_a_file_that_is_not_executable_says_how_to_make_it_so(tmp_path):
    path = tmp_path / "adapter"
    path.write_text("#!/bin/sh\n", encoding="ascii")
    with pytest.raises(FileNotFoundError, match=f"chmod \\+x {path}"):
        Implementation(path)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        Implementation(tmp_path)
