"""Random hosts on which check has to say what the kernel does (see lab.ctl.differ).

tests/netns/differ runs many of them. Here is a fixed handful.
"""

import json
import os

import pytest

from lab.ctl import differ
from lab.paths import BUILD

FIRST = int(os.environ.get("DIFFER_SEED", "1"))
COUNT = int(os.environ.get("DIFFER_HOSTS", "16"))
TALLY = BUILD / "differ"


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_check_says_what_the_kernel_does(seed):
    host = differ.make(seed)
    verdict, seen = differ.try_out(host, fixes="DIFFER_FIXES" in os.environ)
    if verdict == differ.DISAGREED:
        host, seen = differ.shrink(host, seen)
    TALLY.mkdir(parents=True, exist_ok=True)
    made = {"verdict": verdict, "host": str(host), "seen": seen}
    (TALLY / f"{seed}.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
    assert verdict != differ.DISAGREED, f"{host}\n{seen}"


def test_a_seed_makes_the_same_host_again():
    assert [str(differ.make(seed)) for seed in range(50)] == [str(differ.make(seed)) for seed in range(50)]
