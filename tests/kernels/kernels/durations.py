"""How long builds and guests take. Measured durations are kept in the cache, so a run can estimate its end."""

import json
import time

# Estimates in seconds, on two CPUs: a whole kernel; a kernel that differs from the last one in options that many
# files depend on; a kernel that differs only in options that few files depend on.
BUILD_FIRST, BUILD_CORE, BUILD_LEAF = 420, 170, 20
LEAVES = ("NFT_", "NETFILTER_XT_", "IP_NF_", "IP6_NF_")
GUEST = {"uml": 90, "qemu": 600}


class Durations:
    def __init__(self, cache, cpus):
        self.path, self.cpus = cache / "durations.json", cpus
        self.started_at = time.monotonic()
        self.known = self._stored()

    def _stored(self):
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def store(self, what, seconds):
        """Adds a duration. Reads the file again first, because another run may have changed it."""
        self.known = {**self._stored(), what: round(seconds, 1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.known, indent=1, sort_keys=True), encoding="utf-8")
        fresh.rename(self.path)

    def of_build(self, kernel, is_first, changed=()):
        """Seconds of a build. `changed`: the options that differ from the kernel that was built before."""
        return self.known.get(f"build {kernel.key}", BUILD_FIRST if is_first else guess(changed))

    def of_guest(self, name, engine, profile):
        return self.known.get(f"guest {engine} {profile} {name}", GUEST[engine])

    def of_guests(self, names, engine, profile):
        """Seconds of several guests, one per CPU at a time."""
        return sum(self.of_guest(name, engine, profile) for name in names) / self.cpus

    @property
    def elapsed(self):
        return time.monotonic() - self.started_at


def guess(changed):
    """Estimated seconds of a build that differs from the last one in the options `changed`."""
    return BUILD_LEAF if is_leaf(changed) else BUILD_CORE


def is_leaf(changed):
    """Whether only few files depend on these options."""
    return all(name.startswith(LEAVES) for name in changed)


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def about(seconds):
    """Seconds as text: 40 s, 12 min."""
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(1, round(seconds))} s"
