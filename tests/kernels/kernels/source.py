"""The source of Linux: the distribution's package, an archive, or the user's own tree.

An archive is unpacked once, into the cache. `identity` names a source: two kernels from sources with the same
identity are the same. It is the version of the package or a hash of the archive; for a tree it is the commit
and a hash of uncommitted changes. Hashes of patches are part of it.

An engine may need a patch (fixtures/kernels/parts/ENGINE.patch). An archive is patched if the patch applies. The
user's own tree is never changed.
"""

import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGED = "/usr/src/linux-source-*.tar.*z*"


class NoSource(Exception):
    """No usable source. The message says why, and what to do."""


class Source:
    def __init__(self, path, identity, patches=(), own=None):
        self.path, self.own = Path(path), own
        self.patches = tuple(Path(each) for each in patches)
        texts = [each.read_bytes() for each in (*([own] if own else []), *self.patches)]
        self.identity = "+".join([identity, *(hashlib.sha256(text).hexdigest()[:12] for text in texts)])

    @property
    def folder_name(self):
        """Name of its work folder. A tree has one for all commits, so the next commit compiles only what changed."""
        if self._is_used_in_place():
            return f"tree-{hashlib.sha256(str(self.path).encode()).hexdigest()[:12]}"
        return re.sub(r"[^\w.+~-]", "_", self.identity)

    def _is_used_in_place(self):
        return self.path.is_dir() and not self.patches

    def tree(self, trees, progress=print):
        """The unpacked tree. The user's own tree is used in place and is never written to."""
        if self._is_used_in_place():
            return self.path
        tree = trees / self.folder_name / "linux"
        if not tree.exists():
            progress(f"unpacking {self.path.name}")
            self._unpack(tree, progress)
        return tree

    def _unpack(self, tree, progress):
        fresh = tree.with_name("unpacking")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        if self.path.is_dir():
            subprocess.run(["cp", "-a", f"{self.path}/.", fresh], check=True)
        else:
            subprocess.run(["tar", "-x", "-C", fresh, "--strip-components=1", "-f", self.path], check=True)
        if self.own and _patch(self.own, fresh, "--dry-run").returncode:
            progress(f"{self.own.name} does not apply to this source, so it is left out")
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
        raise NoSource(f"patch {path} does not apply to this source: {f'{done.stdout} {done.stderr}'.strip()}")


def find(path=None, patches=(), own=None, pattern=PACKAGED):
    """The source at `path`; without a path, the distribution's. `own` is the engine's patch, for archives."""
    for each in patches:
        if not Path(each).is_file():
            raise NoSource(f"--patch: no such file: {each}")
    if path is None:
        found = sorted(Path("/").glob(pattern.lstrip("/")))
        if not found:
            raise NoSource(f"there is no {pattern}; run `sudo make deps-kernels`, or give --source PATH")
        path = found[-1]
    path = Path(path).absolute()
    if path.is_dir():
        return Source(path, _of_tree(path), patches)
    if not path.exists():
        raise NoSource(f"source of Linux: no such file or folder: {path}")
    if not tarfile.is_tarfile(path):
        raise NoSource(f"{path} is not a source of Linux: it is neither a folder nor a tar archive")
    return Source(path, _of_archive(path), patches, own)


def _of_archive(path):
    """The version of the package that installed it, else a hash of its content."""
    owner = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=False)
    if owner.returncode == 0:
        package = owner.stdout.partition(":")[0]
        command = ["dpkg-query", "-W", "-f=${Package}-${Version}", package]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()[:16]


def _of_tree(path):
    if not (path / "Kconfig").exists() or not (path / "Makefile").exists():
        raise NoSource(f"{path} is not a source tree of Linux: it has no Kconfig or no Makefile")
    commit = _git(path, "rev-parse", "HEAD")
    if not commit:
        raise NoSource(f"{path} is not under git, or has no commit; commit it (`git init`, `git add .`, `git commit`), or give an archive")
    changed = _git(path, "diff", "HEAD")
    return commit.strip()[:16] + (f"-{hashlib.sha256(changed.encode()).hexdigest()[:12]}" if changed else "")


def _git(path, *arguments):
    command = ["git", "-c", f"safe.directory={path}", "-C", path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else ""
