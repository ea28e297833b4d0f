"""Probes in random set-ups (see lab.ctl.probing): not one wrong word.

tests/netns/probes runs many of them. Here is a fixed handful.
"""

import os

import pytest

from lab.ctl import probing
from lab.paths import BUILD

FIRST = int(os.environ.get("PROBE_FIRST", "1"))
COUNT = int(os.environ.get("PROBE_RUNS", "8"))
WRONG = BUILD / "probes"


@pytest.mark.parametrize("number", range(FIRST, FIRST + COUNT))
def test_a_probe_says_what_the_server_does(number):
    probe = probing.make(number)
    found, client = probing.try_out(probe)
    state, said = probe.expected()
    problem = ""
    if len(found) != 1 or found[0]["state"] != state or not found[0]["read"].startswith(said.format(client=client)):
        problem = f"{probe}\nexpected {state}: {said}\nfound {found}"
    WRONG.mkdir(parents=True, exist_ok=True)
    (WRONG / f"{number}.txt").write_text(problem, encoding="utf-8")
    assert not problem, problem
