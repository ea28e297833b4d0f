"""A proxy's host that boots: systemd in namespaces of its own, on a disk that stays between two boots.

Its network is that of a namespace of the lab, and its root is this host's, seen through an overlay in memory. Only what
is on the disk (units, the proxy's configuration) is there at the next boot; rules and routes are gone with the lab that
had them, as after a real reboot. It shares the kernel, so /proc/sys is read-only but for the network's part.

A guest needs root and systemd. Its processes are in control groups of their own, which go with it.
"""

import os
import shutil
import subprocess
from pathlib import Path

from lab import waiting
from lab.exceptions import Absent
from lab.paths import TPROXYCTL, TPROXYD

SYSTEMD = Path("/lib/systemd/systemd")
GROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"  # the guest's own: the host's may lack where the proxy is installed

# Sets the root up and becomes systemd: $1 a folder to mount at, $2 the disk, $3 the folder of the programs, $4 PATH.
BOOT = r"""
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
for each in run tmp dev; do mount -t tmpfs tmpfs $each; done
for each in null zero full random urandom tty; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
fi
mkdir -p usr/local/sbin
for each in tproxyd tproxyctl; do cp "$3/$each" usr/local/sbin/; done
mount --bind "$2/system" etc/systemd/system
[ ! -e "$2/tproxyd.cfg" ] || cp "$2/tproxyd.cfg" etc/tproxyd.cfg
mkdir -p old
pivot_root . old
umount -l old
exec env -i container=lab PATH="$4" \
    setpriv --bounding-set -sys_module,-sys_time,-sys_boot,-audit_control,-audit_read,-audit_write \
    /lib/systemd/systemd --log-target=console --show-status=0
"""


def require():
    """End the test as ABSENT where no guest can be booted."""
    if os.geteuid() != 0:
        raise Absent("only root can boot a guest")
    if not SYSTEMD.exists():
        raise Absent("systemd is not installed")
    if not all(os.access(each, os.W_OK) for each in _hierarchies()):
        raise Absent("no control groups can be made")


def _hierarchies():
    return [GROUPS] if (GROUPS / "cgroup.controllers").exists() else [GROUPS / "systemd", GROUPS / "unified"]


class Guest:
    """A running guest in a namespace; `with` it, so that it is gone afterwards."""

    def __init__(self, namespace, disk, folder):
        self.groups = [each / f"lab-{namespace.name}" for each in _hierarchies()]
        (disk / "system").mkdir(parents=True, exist_ok=True)
        self.log = folder / "console"
        programs, mounts = folder / "programs", folder / "mounts"
        for each in (programs, mounts):
            each.mkdir(parents=True, exist_ok=True)
        for name, path in (("tproxyd", TPROXYD), ("tproxyctl", TPROXYCTL)):
            shutil.copy(path, programs / name)
        for each in self.groups:
            each.mkdir(exist_ok=True)
        words = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--propagation", "private"]
        with namespace, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*words, "sh", "-c", BOOT, "sh", mounts, disk, programs, PATH],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._enter_groups,
            )  # fmt: skip

    def _enter_groups(self):
        for each in self.groups:
            (each / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def __enter__(self):
        try:
            waiting.until(lambda: self.state() in ("running", "degraded"), "the guest has booted")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for each in self.groups:
            waiting.until(lambda each=each: _removed(each), f"{each} is empty")

    def _init(self):
        """The id of systemd here, or "" before it runs."""
        try:
            return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def run(self, *words):
        """The completed process of a command inside the guest."""
        return subprocess.run(
            ["nsenter", "-t", self._init(), "-r", "-m", "-p", "-n", "-C", "--", *words],
            capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH},
        )  # fmt: skip

    def well(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def state(self):
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")
        made = self.run("systemctl", "is-system-running") if self._init() else None
        return made.stdout.strip() if made else ""

    def shut_down(self):
        """Stop all services, as at the end of a boot, and wait for the end."""
        self.run("systemctl", "exit")
        self.process.wait(waiting.seconds * 4)


def _removed(group):
    if not group.exists():
        return True
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return True
