"""The part of this tree that guests test: a copy, so that what is rebuilt meanwhile does not matter."""

import compileall
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PRIVATE = Path("/run/tproxy-lab")  # the isolation's own, and gone with it
_FOLDERS = ("tests/netns", "fixtures")
_FILES = ("tests/kernels/guest", "build/tproxyd", "build/tproxyctl")


class NotBuilt(Exception):
    """What is to be tested is not there."""


def stage(staged):
    """Copy it into a folder that is not there yet."""
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, staged / name, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    for name in _FILES:
        if not (ROOT / name).exists():
            raise NotBuilt(f"there is no {name}; `make` builds it")
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, staged / name)
    compileall.compile_dir(staged / "tests", quiet=2)
