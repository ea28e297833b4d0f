"""How long things take: what was measured is kept in the cache, so that the next run can say when it ends."""

import json
import time

# Seconds on two CPUs, as long as nothing is known: all of a kernel, another one whose options much of
# it depends on, and one that differs in options which only their own files know.
BUILD_FIRST, BUILD_CORE, BUILD_LEAF = 420, 170, 20
LEAVES = ("NFT_", "NETFILTER_XT_", "IP_NF_", "IP6_NF_")
GUEST = {"uml": 90, "qemu": 600}


class Pace:
    def __init__(self, cache, cpus):
        self.path, self.cpus = cache / "pace.json", cpus
        self.begin = time.monotonic()
        self.known = self._kept()

    def _kept(self):
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def keep(self, what, seconds):
        """Beside what other runs have kept meanwhile."""
        self.known = {**self._kept(), what: round(seconds, 1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.known, indent=1, sort_keys=True), encoding="utf-8")
        fresh.rename(self.path)

    def of_build(self, kernel, is_first, changed=()):
        """Of a kernel, whose options `changed` differ from the one that was built before."""
        return self.known.get(f"build {kernel.key}", BUILD_FIRST if is_first else guess(changed))

    def of_guest(self, name, engine, profile):
        return self.known.get(f"guest {engine} {profile} {name}", GUEST[engine])

    def of_guests(self, names, engine, profile):
        """Of several, as many at a time as there are CPUs."""
        return sum(self.of_guest(name, engine, profile) for name in names) / self.cpus

    @property
    def elapsed(self):
        return time.monotonic() - self.begin


def guess(changed):
    """Seconds of a build in which options differ from the one before."""
    return BUILD_LEAF if is_leaf(changed) else BUILD_CORE


def is_leaf(changed):
    """Whether options are such as only their own files know."""
    return all(name.startswith(LEAVES) for name in changed)


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def about(seconds):
    """For people: 40 s, 12 min."""
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(1, round(seconds))} s"
