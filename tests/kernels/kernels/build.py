"""Kernels from source and configuration, and the cache of finished ones.

    CACHE/trees/SOURCE/linux        the unpacked source
    CACHE/trees/SOURCE/ENGINE       the build folder, one for all configurations: only what an option
                                    touches is compiled again
    CACHE/kernels/KEY.xz            a finished kernel, stripped; KEY is of source, engine, fragment
    CACHE/kernels/KEY.config        the configuration that came of the fragment
    CACHE/kernels/KEY.json          how long it took, what did not stick, and which source it is of

A finished kernel is put in place by a rename, so what is there is whole. Of two fragments that come to the same
configuration the second one's kernel is the first one's, linked.
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
    """make failed; says with which words, and where the log is."""


class NoTime(Exception):
    """The time that there was is over; what was compiled so far is kept."""


def trees(cache):
    """Where sources are unpacked and built in."""
    return cache / "trees"


@dataclass(frozen=True)
class Kernel:
    """A kernel to be had: what it is built from, and where it is or will be."""

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

    def about(self):
        """{"seconds": of the build, "not_stuck": lines}"""
        return json.loads(self.path("json").read_text(encoding="utf-8"))

    def configuration(self):
        return self.path("config").read_text(encoding="ascii")

    @property
    def is_begun(self):
        """Whether something like it was built before, in the same folder."""
        return (trees(self.cache) / self.source.folder_name / self.engine / ".config").exists()

    def unpack(self, target):
        """The kernel as a file that can be started."""
        with lzma.open(self.path("xz")) as packed, open(target, "wb") as file:
            while piece := packed.read(1 << 20):
                file.write(piece)
        os.chmod(target, 0o755)


class Builder:
    """Builds one kernel after another."""

    def __init__(self, cache, jobs, tell=print):
        self.cache, self.jobs, self.tell = cache, jobs, tell
        self.deadline = None

    def build(self, kernel, within=None):
        """Have it in the cache, in so many seconds; returns the seconds that it took."""
        if kernel.is_cached:
            return 0.0
        begin = time.monotonic()
        self.deadline = begin + within if within is not None else None
        with self._alone(kernel.engine):
            return self._build(kernel, begin)

    def _build(self, kernel, begin):
        if kernel.is_cached:  # another run did it meanwhile
            return 0.0
        tree, out, made = self._configure(kernel, kernel.engine)
        arch, product = ARCHITECTURES[kernel.engine]
        kernel.path("new").unlink(missing_ok=True)
        if twin := self._twin(kernel, made):
            os.link(twin, kernel.path("new"))
        else:
            self._make(tree, out, arch, f"-j{self.jobs}", Path(product).name)
            self._pack(kernel, out / product)
        stuck = configuration.not_stuck(kernel.fragment, configuration.parse(made))
        seconds = time.monotonic() - begin
        self._keep(kernel, made, {"seconds": round(seconds, 1), "not_stuck": stuck, "source": kernel.source.identity})
        return seconds

    def _twin(self, kernel, made):
        """A finished kernel of the same source and configuration, or None."""
        for path in (self.cache / "kernels").glob(f"{kernel.engine}-*.config"):
            finished, about = path.with_suffix(".xz"), path.with_suffix(".json")
            if path.read_text(encoding="ascii") == made and finished.exists():
                if json.loads(about.read_text(encoding="utf-8")).get("source") == kernel.source.identity:
                    return finished
        return None

    def configure(self, kernel):
        """The configuration that comes of a fragment, without building anything."""
        self.deadline = None
        name = f"{kernel.engine}-configurations"
        with self._alone(name):
            return configuration.parse(self._configure(kernel, name)[2])

    @contextlib.contextmanager
    def _alone(self, name):
        """Two runs do not work in one folder at the same time; the lock ends with its process."""
        folder = trees(self.cache)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{name}.lock", "w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.tell("waiting for another run that builds kernels in the same cache")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _configure(self, kernel, folder):
        """(tree, folder, text of the configuration)."""
        tree = kernel.source.tree(trees(self.cache), self.tell)
        out = trees(self.cache) / kernel.source.folder_name / folder
        out.mkdir(parents=True, exist_ok=True)
        wanted = out / "fragment"
        wanted.write_text(configuration.render(kernel.fragment), encoding="ascii")
        self._make(tree, out, ARCHITECTURES[kernel.engine][0], "allnoconfig", KCONFIG_ALLCONFIG=str(wanted))
        return tree, out, (out / ".config").read_text(encoding="ascii")

    def _make(self, tree, out, arch, *words, **environment):
        command = ["make", "-s", "-C", tree, f"O={out}", f"ARCH={arch}", *words]
        log = out / "make.log"
        with open(log, "wb") as file:
            environment = {**os.environ, **environment}
            for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "KERNELRELEASE"):
                environment.pop(name, None)  # of a make that called the lab
            status = self._run(command, file, environment)
        if status:
            said = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
            raise BuildFailed(f"make {words[-1]} failed: {(said or ['no error was printed'])[0]} (see {log})")

    def _run(self, command, log, environment):
        """The status of a command; all that it started is ended when there is no time left."""
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        made = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            return made.wait(left)
        except subprocess.TimeoutExpired:
            raise NoTime from None
        finally:
            if made.poll() is None:
                os.killpg(made.pid, signal.SIGKILL)
                made.wait()

    def _pack(self, kernel, product):
        """What was built, without what only a debugger reads."""
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
