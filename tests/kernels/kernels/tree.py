"""Copies the part of this tree that guests test. A later build does not change the copy."""

import compileall
import shutil

from lab.paths import ROOT

_FOLDERS = ("tests/netns", "fixtures")
_FILES = ("tests/kernels/guest", "build/tproxyd", "build/tproxyctl")


class NotBuilt(Exception):
    """A program that guests need is not built."""


def stage(staged):
    """Copies the tree to `staged`, a folder that does not exist yet."""
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, staged / name, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    for name in _FILES:
        if not (ROOT / name).exists():
            raise NotBuilt(f"{name} does not exist; run `make`")
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, staged / name)
    compileall.compile_dir(staged / "tests", quiet=2)
