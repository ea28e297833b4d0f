"""A configuration that tproxyd accepts is accepted by HAProxy and by tproxyd; ours are."""

import os
import shutil
import subprocess

import pytest

from lab.paths import ROOT, TPROXYD

GOOD = sorted(path for path in (ROOT / "fixtures" / "config" / "good").glob("*.cfg"))
SHARED = [path for path in GOOD if not path.name.startswith("extension-")]


def accepted(program, path):
    done = subprocess.run([program, "-c", "-f", path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.name)
def test_haproxy_accepts_it(path):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    accepted("haproxy", path)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_tproxyd_accepts_it(path):
    if not os.access(TPROXYD, os.X_OK):
        pytest.skip("absent: build/tproxyd; `make` builds it")
    accepted(TPROXYD, path)
