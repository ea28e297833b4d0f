"""The demo, as a separate program; every claim that it shows holds."""

import os
import subprocess

import pytest

from lab.paths import SUITE, TPROXYD



def test_the_demo_shows_what_it_claims():
    if not os.access(TPROXYD, os.X_OK):
        pytest.skip("absent: build/tproxyd; `make` builds it")
    done = subprocess.run([SUITE / "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
