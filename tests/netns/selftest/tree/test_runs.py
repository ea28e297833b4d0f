"""How runs are made: the two lanes of tests/check, and the runs of the suite within a test of the suite."""

import threading

import pytest

from lab import commands, waiting
from lab.conformance import inner_run
from lab.paths import ROOT

pytestmark = pytest.mark.suite

A_TEST = {"TP-SRC-01"}


@pytest.fixture
def lanes(tmp_path, monkeypatch):
    """Runs steps of tests/check that only say their names, and returns what was printed; `carry_out` is each step's work."""
    check = commands.load(ROOT / "tests" / "check")

    def run(names, carry_out):
        monkeypatch.setattr(check.Step, "run_suite", carry_out)
        monkeypatch.setattr(check.Step, "run_units", carry_out)
        steps = [check.Step(name, tmp_path, tmp_path / "results") for name in names]
        check.run_all(steps)
        return steps

    return run


def heads(printed):
    return [line.removeprefix("== ") for line in printed.splitlines() if line.startswith("== ")]


def test_the_suite_runs_beside_the_other_steps_and_is_printed_first(lanes, capsys):
    others_have_run = threading.Event()

    def carry_out(step):
        if step.name == "netns":
            assert others_have_run.wait(waiting.seconds), "no other step runs beside the suite"
        elif step.name == "netns-asan":
            others_have_run.set()

    names = ["unit", "netns", "unit-asan", "netns-asan"]
    steps = lanes(names, carry_out)
    assert all(step.beside for step in steps)
    assert heads(capsys.readouterr().out) == ["netns", "unit", "unit-asan", "netns-asan"]


def test_a_step_runs_whatever_became_of_the_one_before(lanes, capsys):
    steps = lanes(["unit", "netns", "unit-asan"], lambda step: step.fail(f"{step.name} is wrong"))
    assert [step.failures for step in steps] == [["unit is wrong"], ["netns is wrong"], ["unit-asan is wrong"]]
    assert "FAILED unit-asan is wrong" in capsys.readouterr().out


def test_a_step_alone_has_no_other_beside_it(lanes):
    (step,) = lanes(["netns"], lambda step: None)
    assert not step.beside


def test_an_inner_run_has_the_environment_of_its_test_and_nothing_of_the_run_before(monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    assert "tests collected" in inner_run.run(A_TEST)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--version")
    assert inner_run.run(A_TEST).startswith("pytest ")


def test_a_forking_process_that_ends_during_a_run_is_an_error(monkeypatch):
    channel, process = inner_run._forking_process.__wrapped__()

    class Channel:
        recv = channel.recv

        def sendall(self, job):
            process.kill()
            process.wait()

    monkeypatch.setattr(inner_run, "_forking_process", lambda: (Channel(), process))
    with channel, pytest.raises(RuntimeError, match="has ended"):
        inner_run.run(A_TEST)
