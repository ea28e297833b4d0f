"""Builds kernels, and keeps built kernels in a cache.

    CACHE/trees/SOURCE/linux        the unpacked source
    CACHE/trees/SOURCE/ENGINE       the build folder, one for all configurations: make compiles only files that
                                    depend on a changed option
    CACHE/kernels/KEY.xz            a built kernel, stripped; KEY is a hash of source, engine and fragment
    CACHE/kernels/KEY.config        the configuration that Kconfig made from the fragment
    CACHE/kernels/KEY.json          seconds of the build, options that Kconfig did not apply, the source

A kernel is moved into the cache by a rename, so each file there is complete. If two fragments give the same
configuration, the second kernel is a hard link to the first.
"""

import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import configuration

ARCHITECTURES = {"uml": ("um", "linux"), "qemu": ("x86_64", "arch/x86/boot/bzImage")}


class BuildFailed(Exception):
    """make failed. The message has its first error, and names the log."""


class OutOfTime(Exception):
    """The time limit is over. Files that are compiled so far are kept."""


def trees(cache):
    """The folder in which sources are unpacked and built."""
    return cache / "trees"


@dataclass(frozen=True)
class Kernel:
    """A kernel: what it is built from, and its files in the cache."""

    source: object
    engine: str
    fragment: dict
    cache: Path

    @property
    def key(self):
        text = "\n".join([self.source.identity, self.engine, configuration.render(self.fragment)])
        return f"{self.engine}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def path(self, suffix):
        return self.cache / "kernels" / f"{self.key}.{suffix}"

    @property
    def is_cached(self):
        return all(self.path(suffix).exists() for suffix in ("xz", "config", "json"))

    def configuration(self):
        return self.path("config").read_text(encoding="ascii")

    @property
    def is_begun(self):
        """Whether its build folder exists: then only a part is compiled again."""
        return (trees(self.cache) / self.source.folder_name / self.engine / ".config").exists()

    def unpack(self, target):
        """Writes the kernel to `target`, as an executable file."""
        with lzma.open(self.path("xz")) as packed, open(target, "wb") as file:
            while piece := packed.read(1 << 20):
                file.write(piece)
        os.chmod(target, 0o755)


class Builder:
    """Builds one kernel after another."""

    def __init__(self, cache, jobs, progress=print):
        self.cache, self.jobs, self.progress = cache, jobs, progress
        self.deadline = None

    def build(self, kernel, within=None):
        """Builds a kernel into the cache. Returns the seconds that it took; raises OutOfTime after `within` seconds."""
        if kernel.is_cached:
            return 0.0
        begin = time.monotonic()
        self.deadline = begin + within if within is not None else None
        with self._lock(kernel.engine):
            return self._build(kernel, begin)

    def _build(self, kernel, begin):
        if kernel.is_cached:  # another run built it while this one waited
            return 0.0
        tree, out, made = self._configure(kernel, kernel.engine)
        arch, product = ARCHITECTURES[kernel.engine]
        kernel.path("new").unlink(missing_ok=True)
        if twin := self._twin(kernel, made):
            os.link(twin, kernel.path("new"))
        else:
            self._make(tree, out, arch, f"-j{self.jobs}", Path(product).name)
            self._pack(kernel, out / product)
        dropped = configuration.not_applied(kernel.fragment, configuration.parse(made))
        seconds = time.monotonic() - begin
        self._keep(kernel, made, {"seconds": round(seconds, 1), "not_stuck": dropped, "source": kernel.source.identity})
        return seconds

    def _twin(self, kernel, made):
        """A built kernel of the same source and configuration, or None."""
        for path in (self.cache / "kernels").glob(f"{kernel.engine}-*.config"):
            finished, about = path.with_suffix(".xz"), path.with_suffix(".json")
            if path.read_text(encoding="ascii") == made and finished.exists():
                if json.loads(about.read_text(encoding="utf-8")).get("source") == kernel.source.identity:
                    return finished
        return None

    def configure(self, kernel):
        """The configuration that Kconfig makes from the fragment. Nothing is built."""
        self.deadline = None
        name = f"{kernel.engine}-configurations"
        with self._lock(name):
            return configuration.parse(self._configure(kernel, name)[2])

    @contextlib.contextmanager
    def _lock(self, name):
        """Only one run at a time works in a build folder. The kernel drops the lock when the process ends."""
        folder = trees(self.cache)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{name}.lock", "w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.progress("another run builds kernels in this cache; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _configure(self, kernel, folder):
        """(tree, folder, text of the configuration)."""
        tree = kernel.source.tree(trees(self.cache), self.progress)
        out = trees(self.cache) / kernel.source.folder_name / folder
        out.mkdir(parents=True, exist_ok=True)
        wanted = out / "fragment"
        wanted.write_text(configuration.render(kernel.fragment), encoding="ascii")
        self._make(tree, out, ARCHITECTURES[kernel.engine][0], "allnoconfig", KCONFIG_ALLCONFIG=str(wanted))
        return tree, out, (out / ".config").read_text(encoding="ascii")

    def _make(self, tree, out, arch, *arguments, **environment):
        command = ["make", "-s", "-C", tree, f"O={out}", f"ARCH={arch}", *arguments]
        log = out / "make.log"
        with open(log, "wb") as file:
            environment = {**os.environ, **environment}
            for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "KERNELRELEASE"):
                environment.pop(name, None)  # set if make started the lab
            status = self._run(command, file, environment)
        if status:
            errors = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
            raise BuildFailed(f"`make {arguments[-1]}` failed: {(errors or ['no error was printed'])[0]} (log: {log})")

    def _run(self, command, log, environment):
        """The exit status of a command. At the deadline it is killed with all its children."""
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        made = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            return made.wait(left)
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        finally:
            if made.poll() is None:
                os.killpg(made.pid, signal.SIGKILL)
                made.wait()

    def _pack(self, kernel, product):
        """Compresses the kernel, for user-mode Linux without debug symbols."""
        if kernel.engine == "uml":
            stripped = product.with_name(product.name + ".stripped")
            subprocess.run(["strip", "-o", stripped, product], check=True)
            product = stripped
        kernel.path("new").parent.mkdir(parents=True, exist_ok=True)
        with lzma.open(kernel.path("new"), "wb", preset=2) as file:
            file.write(product.read_bytes())

    def _keep(self, kernel, made, about):
        kernel.path("config").write_text(made, encoding="ascii")
        kernel.path("json").write_text(json.dumps(about), encoding="utf-8")
        kernel.path("new").rename(kernel.path("xz"))
