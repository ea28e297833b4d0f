"""Commands that reports and evidence print are accepted by the programs that they name, and do the same again."""

import itertools
import json
import os
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import commands
from lab.conformance import evidence, matrix, suite_runner
from lab.paths import ROOT, SUITE

pytestmark = pytest.mark.suite

# Every option of `conformance` that a reader may have given, with a value.
GIVEN = {
    "--quick": ["--quick"],
    "--sample-per": ["--sample-per", "family,recipe"],
    "--family": ["--family", "6"],
    "--recipe": ["--recipe", "divert"],
    "--rules-by": ["--rules-by", "nft"],
    "--patience": ["--patience", "2.5"],
    "--expect-env": ["--expect-env=all"],
}
# Options that a repeated cell does not have: `--only` takes the place of the first two, and the others change no verdict.
LEFT_OUT = {
    *("--profile", "--only", "--impl", "--known-ok", "--out", "--keep", "--seed", "-n"),
    *("--badge", "--from", "--diff", "--list", "--spec", "-h", "--help"),
}
DECIDES = ("quick", "sample_per", "family", "recipe", "rules_by", "patience", "expect_env")


@pytest.mark.parametrize("names", [*itertools.combinations(GIVEN, 1), *itertools.combinations(GIVEN, 2), tuple(GIVEN)], ids=" ".join)
def test_the_command_of_a_cell_chooses_what_the_run_chose(names):
    conformance = commands.load(SUITE / "conformance")
    options, _ = conformance.parse(["--impl", "socat", *(word for name in names for word in GIVEN[name])])
    command = matrix.command_line("socat", "TP-SRC-01", suite_runner.repeated(options))
    again, chosen = conformance.parse(shlex.split(command)[1:])
    assert {name: getattr(again, name) for name in DECIDES} == {name: getattr(options, name) for name in DECIDES}
    assert [row.id for row in chosen] == ["TP-SRC-01"] and again.impl == ["socat"]


def test_no_option_is_forgotten():
    done = subprocess.run([SUITE / "conformance", "--nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    text = (SUITE / "conformance").read_text(encoding="utf-8")
    known = {each.partition('"')[0] for each in text.split('parser.add_argument("')[1:]}
    assert known <= set(GIVEN) | LEFT_OUT


@pytest.mark.parametrize("where", [ROOT / "build" / "x" / "evidence", "/tmp/a folder/evidence", None], ids=["tree", "elsewhere", "none"])
def test_the_command_of_a_test_keeps_its_evidence_beside_that_of_the_run(where):
    options = SimpleNamespace(impl="socat", seed=7, set_up="recipe", rules_by="nft", share=8, patience=2.5, evidence=where)
    words = shlex.split(evidence.repeat_command("tests/netns/test_x.py::test_y[a b]", options))
    assert words[:1] + words[-1:] == ["tests/netns/run", "tests/netns/test_x.py::test_y[a b]"]
    assert words[1:-1][:10] == ["--impl", "socat", "--seed", "7", "--rules-by", "nft", "--share", "8", "--patience", "2.5"]
    beside = ["--evidence", os.path.relpath(Path(where).parent / "repeated", ROOT) if where and ROOT in Path(where).parents else None]
    assert words[11:-1] == (["--evidence", beside[1] or "/tmp/a folder/repeated"] if where else [])


@pytest.mark.long
def test_printed_commands_fail_again_and_keep_the_evidence_of_others(tmp_path):
    out = tmp_path / "a folder"
    words = ["--impl", "falsifiers/no-spoofing", "--only", "TP-SRC-01", "--quick", "--family", "4", "-n", "0", "--patience", "5"]
    assert run([SUITE / "conformance", *words, "--out", out]).returncode == 1
    (column,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["implementations"]
    (cell,) = column["cells"]
    (test,) = cell["tests"]
    kept = out / test["evidence"] / "README.txt"
    assert test["command"] in kept.read_text(encoding="utf-8")
    done = run([*shlex.split(test["command"]), "-n", "0", "-q"])
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout + done.stderr
    assert kept.is_file() and list(out.glob("*/repeated/*/README.txt"))
    done = run([*shlex.split(cell["command"]), "-n", "0", "--out", tmp_path / "again"])
    assert done.returncode == 1 and "no-spoofing TP-SRC-01 MUST FAIL" in done.stdout, done.stdout + done.stderr


def run(words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [str(word) for word in words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
