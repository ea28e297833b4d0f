"""The command `conformance`: arguments, exit status, reports."""

import io
import json
import os
import shlex
import shutil
import subprocess
import time
import xml.etree.ElementTree as xml

import pytest

from lab import schema
from lab.conformance import matrix, progress, report, spec, suite_runner
from lab.paths import ROOT, SUITE

pytestmark = pytest.mark.suite

SCHEMA = json.loads((ROOT / "fixtures" / "schema" / "report.schema.json").read_text(encoding="utf-8"))
FALSIFIERS = SUITE / "implementations" / "falsifiers"

REFUSES_ALL = """#!/bin/sh
[ "$1" = describe ] && echo '{"name": "refuser", "version": "1", "capabilities": [%s]}' && exit
exit 78
"""


@pytest.mark.parametrize(
    "message, line",
    [
        ("no connection came\nE  more", "no connection came"),
        ("the proxy ended with status 1; its log:\nstarting\nno such option: x\n", "the proxy ended with status 1; its log: … no such option: x"),
        ("the proxy ended with status 1; its log:", "the proxy ended with status 1; its log:"),
    ],
)
def test_a_table_shows_the_last_line_of_the_log_of_a_proxy_that_did_not_start(message, line):
    assert matrix.one_line(message) == line


def conformance(*words, without=""):
    environment = {n: value for n, value in os.environ.items() if n != without and not n.startswith("PYTEST_")}
    command = [SUITE / "conformance", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def run(out, *words):
    done = conformance("--out", out, "-n", "0", *words)
    assert (out / "report.json").exists(), done.stdout + done.stderr
    return done, json.loads((out / "report.json").read_text(encoding="utf-8"))


def adapter(folder, text):
    path = folder / "adapter"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "words, text",
    [
        (["--impl", "nosuchproxy"], "no adapter"),
        (["--only", "TP-SRC-99"], "no requirement TP-SRC-99"),
        (["--only", "TP-SRC-01", "--profile", "udp"], "is of profile udp"),
        (["--profile", "fast"], "invalid choice"),
        (["--family", "5"], "invalid choice"),
        (["--rules-by", "ipchains"], "invalid choice"),
        (["-n", "many"], "invalid int"),
        (["--nonsense"], "unrecognized"),
    ],
)
def test_wrong_arguments_are_reported_at_once(words, text):
    done = conformance(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr and done.stderr.startswith("conformance: ")


def test_reports_are_not_written_to_a_folder_that_ends_with_the_run():
    done = conformance("--out", "/run/reports", without="TPROXY_LAB_ISOLATED")
    assert done.returncode == 2 and "/run is private" in done.stderr


def test_the_list_names_every_chosen_requirement():
    lines = conformance("--list", "--profile", "full").stdout.splitlines()
    assert {line.split()[2] for line in lines} == {"binding", "source", "full"}
    assert conformance("--list", "--only", "TP-SRC-01").stdout.split()[:3] == ["TP-SRC-01", "MUST", "source"]


def test_the_specification_is_what_the_catalogue_says():
    page = (ROOT / "docs" / "SPEC.md").read_text(encoding="utf-8")
    assert page == spec.render(), "stale: tests/netns/conformance --spec >docs/SPEC.md"


def test_a_pass_is_in_every_report(tmp_path):
    done, made = run(tmp_path, "--impl", "falsifiers/correct", "--only", "TP-SRC-01", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not schema.problems(made, SCHEMA)
    assert made["passed"] and made["implementations"][0]["cells"][0]["verdict"] == "PASS"
    for test in made["implementations"][0]["cells"][0]["tests"]:
        assert (tmp_path / test["evidence"] / "README.txt").is_file()
    assert len(list(xml.parse(tmp_path / "junit.xml").iter("testcase"))) == len(list(every_test(made)))
    assert "Every MUST passed." in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Every MUST passed\n" in done.stdout
    assert strokes(tmp_path) == [("pass", "TP-SRC-01: PASS")]


def strokes(folder):
    """What the picture of the matrix shows: a kind and a title for each cell."""
    name = "{http://www.w3.org/2000/svg}"
    marks = xml.parse(folder / "matrix.svg").iter(f"{name}rect")
    return [(each.get("class"), each.find(f"{name}title").text) for each in marks if each.find(f"{name}title") is not None]


def every_test(made):
    return [test for column in made["implementations"] for cell in column["cells"] for test in cell["tests"]]


def test_a_sample_has_each_combination_of_its_parameters_once(tmp_path):
    done, made = run(tmp_path, "--impl", "falsifiers/correct", "--only", "TP-STREAM-03", "--sample-per", "family")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(test["parameters"]["family"] for test in every_test(made)) == [4, 6]
    assert "--sample-per family" in made["implementations"][0]["cells"][0]["command"]


def test_a_quick_run_asks_the_musts_alone_and_says_that_it_was_a_sample(tmp_path):
    done, made = run(tmp_path, "--impl", "falsifiers/correct", "--only", "TP-STREAM-03", "--only", "TP-STREAM-23", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["id"] for row in made["requirements"]] == ["TP-STREAM-03"]
    assert sorted(test["parameters"]["family"] for test in every_test(made)) == [4, 6]
    assert "Every MUST passed (a sample)\n" in done.stdout


def test_a_quick_run_without_a_must_is_refused(tmp_path):
    done = conformance("--only", "TP-STREAM-23", "--quick", "--out", str(tmp_path))
    assert done.returncode == 2 and "no chosen requirement is a MUST" in done.stderr


@pytest.mark.parametrize("program", ["nft", "iptables-legacy"])
def test_rules_of_a_test_that_asks_for_none_are_loaded_by_what_is_chosen(tmp_path, program):
    done, made = run(tmp_path, "--impl", "falsifiers/correct", "--only", "TP-SRC-03", "--rules-by", program, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not schema.problems(made, SCHEMA) and made["selection"]["rules_by"] == program
    (test,) = every_test(made)
    assert (test["parameters"]["recipe"], test["parameters"]["firewall_tool"]) == ("divert", program)
    assert f"--rules-by {program}" in test["command"]
    kept = (tmp_path / test["evidence"] / "proxy.iptables.txt").read_text(encoding="utf-8")
    assert ("table ip transparent" in kept) == (program == "nft")


def test_a_failure_names_the_command_that_repeats_it(tmp_path):
    wrong = "falsifiers/no-spoofing"
    done, made = run(tmp_path, "--impl", wrong, "--only", "TP-SRC-01", "TP-SRC-07", "--family", "4")
    assert done.returncode == 1 and made["reasons"] == ["no-spoofing: TP-SRC-01: FAIL"]
    assert not schema.problems(made, SCHEMA)
    assert {test["parameters"]["family"] for test in every_test(made)} == {4}
    cell = next(cell for cell in made["implementations"][0]["cells"] if cell["verdict"] == "FAIL")
    assert shlex.split(cell["command"])[1:] == ["--impl", wrong, "--only", "TP-SRC-01", "--family", "4"]
    assert (tmp_path / cell["tests"][0]["evidence"]).is_dir()
    assert list(xml.parse(tmp_path / "junit.xml").iter("failure"))
    assert sorted(strokes(tmp_path)) == [("fail", "TP-SRC-01: FAIL"), ("pass", "TP-SRC-07: PASS")]


def test_refusing_what_is_claimed_fails_and_refusing_the_rest_does_not(tmp_path):
    path = adapter(tmp_path, REFUSES_ALL % "")
    done, made = run(tmp_path, "--impl", path, "--only", "TP-SRC-01")
    assert {test["verdict"] for test in every_test(made)} == {"UNSUPPORTED"}
    assert done.returncode == 1 and len(made["reasons"]) == 1 and "nothing was tested" in made["reasons"][0]
    sentence = "0 of 1 MUSTs passed; 1 was not asked, for want of several claims each"
    assert made["summary"] == [sentence] and sentence in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert done.stdout.splitlines()[-1] == f"The run did not pass. {sentence}"
    adapter(tmp_path, REFUSES_ALL % '"bind", "source"')
    done, made = run(tmp_path, "--impl", path, "--only", "TP-SRC-01", "--family", "4")
    assert done.returncode == 1
    assert {test["verdict"] for test in every_test(made)} == {"FAIL"}


def test_a_row_that_runs_no_proxy_is_no_pass_of_the_implementation(tmp_path):
    done, made = run(tmp_path, "--impl", adapter(tmp_path, REFUSES_ALL % ""), "--only", "TP-HOST-04", "TP-SRC-01", "--family", "4")
    assert {cell["requirement"]: cell["verdict"] for cell in made["implementations"][0]["cells"]}["TP-HOST-04"] == "PASS"
    assert done.returncode == 1 and "nothing was tested" in made["reasons"][0]
    assert not schema.problems(made, SCHEMA)


def test_what_is_served_without_a_claim_is_reported(tmp_path):
    correct = shlex.quote(str(FALSIFIERS / "correct"))
    silent = """[ "$1" = describe ] && echo '{"name": "modest", "version": "1", "capabilities": []}' && exit"""
    path = adapter(tmp_path, f'#!/bin/sh\n{silent}\nexec {correct} "$@"\n')
    done, made = run(tmp_path, "--impl", path, "--only", "TP-SRC-01", "--family", "4")
    assert done.returncode == 0
    assert made["implementations"][0]["cells"][0]["remarks"] == ["served without a claim: plain-listener, source"]


def test_an_adapter_is_found_from_any_folder(tmp_path):
    adapter(tmp_path, f'#!/bin/sh\nexec {shlex.quote(str(FALSIFIERS / "correct"))} "$@"\n')
    words = ["--impl", "./adapter", "--only", "TP-SRC-03", "--out", tmp_path, "-n", "0"]
    done = subprocess.run([SUITE / "conformance", *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert f"--impl {tmp_path}/adapter" in made["implementations"][0]["cells"][0]["command"]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("#!/bin/sh\necho no such program >&2\nexit 69\n", "cannot run: no such program"),
        ("#!/bin/sh\necho oops >&2\nexit 1\n", "describe` ended with status 1: oops"),
        ("#!/bin/sh\necho '[]'\n", "the object is an array, expected an object"),
        ("#!/bin/sh\nsleep 600\n", "describe` did not end within 12 s"),
        (REFUSES_ALL % '"telepathy"', "unknown capability: telepathy"),
        ((REFUSES_ALL % "").replace("78", "3"), "unknown field"),
    ],
    ids=["absent", "broken", "no form", "no end", "no capability", "no refusal"],
)
def test_an_adapter_that_cannot_be_trusted_fails_the_run(text, problem, tmp_path):
    words = ["--only", "TP-SRC-01", "--family", "4", "--patience", "3"]
    done, made = run(tmp_path, "--impl", adapter(tmp_path, text), *words)
    assert done.returncode == 1
    assert any(problem in each for each in made["implementations"][0]["problems"])
    assert not schema.problems(made, SCHEMA)


def test_the_validator_sees_what_is_wrong(tmp_path):
    assert schema.problems({"format": 1}, SCHEMA)
    assert schema.problems([1, "a", True], {"items": {"type": "integer"}}) == [
        "`$[1]` is a string, expected an integer",
        "`$[2]` is a boolean, expected an integer",
    ]


def test_a_log_names_the_test_that_takes_long(monkeypatch):
    log, now = io.StringIO(), time.monotonic()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    running = {"tests/netns/test_stream.py::test_short": now, "tests/netns/test_soak.py::test_ten_thousand_clients[ipv4]": now - 130}
    progress.Progress(log).silent(None, running)
    assert log.getvalue() == "  2:10 so far: soak: ten thousand clients[ipv4] (and 1 more)\n"


def test_silence_is_noticed_between_whole_lines():
    incoming, outgoing = os.pipe()
    lines = suite_runner.lines_of(incoming, 0.01)
    os.write(outgoing, b"one\ntw")
    assert [next(lines), next(lines)] == [b"one", None]
    os.write(outgoing, b"o\n")
    os.close(outgoing)
    assert list(lines) == [b"two"]
    os.close(incoming)


def test_no_text_of_a_report_gets_out_of_its_script_element():
    page = report.page({"implementations": [{"name": "</script><b>&"}]})
    assert page.count("</script>") == 2 and "<b>&" not in page


@pytest.fixture
def without_program(tmp_path, monkeypatch):
    """Hides one program: PATH is a folder of links to all others."""

    def hide(hidden):
        folder = tmp_path / "bin"
        folder.mkdir()
        for each in os.environ["PATH"].split(":"):
            for name in os.listdir(each) if os.path.isdir(each) else ():
                if name != hidden and not (folder / name).is_symlink():
                    (folder / name).symlink_to(os.path.join(each, name))
        monkeypatch.setenv("PATH", str(folder))

    return hide


@pytest.mark.parametrize("program", ["socat", "jq"])
def test_a_program_that_the_template_lacks_is_named_by_the_run(tmp_path, without_program, program):
    if not shutil.which(program):
        pytest.skip(f"absent: {program}")
    without_program(program)
    done, made = run(tmp_path, "--impl", "contrib/adapter-template", "--only", "TP-STREAM-01", "--patience", "30")
    problem = f"cannot run: {program} is not installed. On Debian and Ubuntu: apt-get install {program}"
    assert done.returncode == 1 and made["implementations"][0]["problems"] == [problem]
    assert problem in done.stdout and "127" not in done.stdout
