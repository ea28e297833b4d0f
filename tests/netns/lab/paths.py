"""Where things are: in the repository, and in what a run has for itself."""

import os
from pathlib import Path

SUITE = Path(__file__).resolve().parents[1]
ROOT = SUITE.parents[1]
FIXTURES = ROOT / "fixtures"
BUILD = ROOT / "build"
IMPLEMENTATIONS = SUITE / "implementations"
TPROXYD = os.environ.get("TPROXYD", str(BUILD / "tproxyd"))
TPROXYCTL = os.environ.get("TPROXYCTL", str(BUILD / "tproxyctl"))

RUN = Path("/run/tproxy-lab")  # private to a run, and deleted at its end
