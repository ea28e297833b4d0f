"""The kernel's source: the distribution's package, an archive, or a tree of one's own.

An archive is unpacked once into the cache. `identity` says which source it is, as far as a kernel that
was built from it can be told from another: the package's version, or the commit and what was changed
since. Patches are part of it.

An engine may need a change of the source (fixtures/kernels/parts/ENGINE.patch). An archive gets it where it
fits; a tree of one's own is taken as it is.
"""

import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGED = "/usr/src/linux-source-*.tar.*z*"


class NoSource(Exception):
    """There is no source to build from; says what to do."""


class Source:
    def __init__(self, path, identity, patches=(), own=None):
        self.path, self.own = Path(path), own
        self.patches = tuple(Path(each) for each in patches)
        texts = [each.read_bytes() for each in (*([own] if own else []), *self.patches)]
        self.identity = "+".join([identity, *(hashlib.sha256(text).hexdigest()[:12] for text in texts)])

    @property
    def folder_name(self):
        """Of the work that is done on it; a tree keeps its own, so that its next commit builds on it."""
        if self._is_used_in_place():
            return f"tree-{hashlib.sha256(str(self.path).encode()).hexdigest()[:12]}"
        return re.sub(r"[^\w.+~-]", "_", self.identity)

    def _is_used_in_place(self):
        return self.path.is_dir() and not self.patches

    def tree(self, trees, tell=print):
        """The unpacked tree; a tree of one's own is used where it is, and never written to."""
        if self._is_used_in_place():
            return self.path
        tree = trees / self.folder_name / "linux"
        if not tree.exists():
            tell(f"unpacking {self.path.name}")
            self._unpack(tree, tell)
        return tree

    def _unpack(self, tree, tell):
        fresh = tree.with_name("unpacking")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        if self.path.is_dir():
            subprocess.run(["cp", "-a", f"{self.path}/.", fresh], check=True)
        else:
            subprocess.run(["tar", "-x", "-C", fresh, "--strip-components=1", "-f", self.path], check=True)
        if self.own and _patch(self.own, fresh, "--dry-run").returncode:
            tell(f"{self.own.name} does not fit this source, and is left out")
        elif self.own:
            apply_patch(self.own, fresh)
        for each in self.patches:
            apply_patch(each, fresh)
        fresh.rename(tree)


def _patch(path, tree, *options):
    command = ["patch", "-p1", "--batch", "--quiet", *options, "-d", tree, "-i", path.absolute()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def apply_patch(path, tree):
    done = _patch(path, tree)
    if done.returncode:
        raise NoSource(f"{path} does not fit {tree.name}: {done.stdout.strip()} {done.stderr.strip()}")


def find(path=None, patches=(), own=None, pattern=PACKAGED):
    """The source at a path; without one, the distribution's. `own` is the engine's patch, for archives."""
    for each in patches:
        if not Path(each).is_file():
            raise NoSource(f"there is no patch {each}")
    if path is None:
        found = sorted(Path("/").glob(pattern.lstrip("/")))
        if not found:
            raise NoSource(f"there is no {pattern}; `make deps-kernels` installs it")
        path = found[-1]
    path = Path(path).absolute()
    if path.is_dir():
        return Source(path, _of_tree(path), patches)
    if not path.exists():
        raise NoSource(f"there is no {path}")
    if not tarfile.is_tarfile(path):
        raise NoSource(f"{path} is neither a tree of Linux nor an archive of one")
    return Source(path, _of_archive(path), patches, own)


def _of_archive(path):
    """The package's version where a package brought it, or else what is in it."""
    asked = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=False)
    if asked.returncode == 0:
        package = asked.stdout.partition(":")[0]
        words = ["dpkg-query", "-W", "-f=${Package}-${Version}", package]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()[:16]


def _of_tree(path):
    if not (path / "Kconfig").exists() or not (path / "Makefile").exists():
        raise NoSource(f"{path} is no tree of Linux")
    commit = _git(path, "rev-parse", "HEAD")
    if not commit:
        raise NoSource(f"{path} is not under git, so what was built from it could not be told apart; give an archive")
    changed = _git(path, "diff", "HEAD")
    return commit.strip()[:16] + (f"-{hashlib.sha256(changed.encode()).hexdigest()[:12]}" if changed else "")


def _git(path, *words):
    command = ["git", "-c", f"safe.directory={path}", "-C", path, *words]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else ""
