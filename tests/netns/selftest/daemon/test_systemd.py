"""contrib/tproxyd.service and contrib/tproxyd.socket under a real systemd, which is pid 1 of a pid namespace.

Its root, /run, /tmp, /etc and units are its own (boot-systemd), and so are its cgroups: they are below one that is
removed at the end. The network is that of a namespace of the lab. It is booted once for all tests of this file.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lab import waiting
from lab.netns import kernel
from lab.netns.namespace import Namespace
from lab.paths import ROOT, TPROXYD
from lab.peers.daemon import ADDRESS, PORT, SERVER, accept, connect, listen
from lab.peers.reloads import churned

from test_daemon import NET_BIND_SERVICE, NET_RAW, exchange

pytestmark = [pytest.mark.boots, pytest.mark.xdist_group("systemd")]

PROGRAM = Path("/lib/systemd/systemd")
BOOT = Path(__file__).with_name("boot-systemd")
UNIT, SOCKET = ROOT / "contrib" / "tproxyd.service", ROOT / "contrib" / "tproxyd.socket"
CGROUPS = "tproxy-lab-"
VIP = "192.0.2.80"
EXPOSURE = 20  # tenths, of systemd-analyze security: 15 by version 252; others weigh differently
READABLE = 0o644

CONFIGURATION = f"""\
global
  nbthread 2
  log file@/var/log/tproxyd/log local0 info
  pidfile /run/tproxyd/pid
listen web
  mode tcp
  log global
  bind {ADDRESS}:{PORT}
  retries 0
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  server s {ADDRESS}:{SERVER}
"""


def cgroup_root():
    """This process's own cgroup of version 2."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            within, place = fields.split()[3:5]
            own = next(line[3:] for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines() if line.startswith("0::"))
            if not os.path.relpath(own, within).startswith(".."):
                return Path(place) / os.path.relpath(own, within)
    pytest.skip("absent: no cgroup2 is mounted that has this process's own")
    return None


def remove_cgroups(place):
    for folder, _, _ in os.walk(place, topdown=False):
        os.rmdir(folder)


@contextlib.contextmanager
def cgroup():
    """One for a systemd, which no longer has processes at the end. What a killed run left is removed, too."""
    root = cgroup_root()
    for left in root.glob(f"{CGROUPS}*"):
        with contextlib.suppress(OSError), open_locked(left):
            remove_cgroups(left)
    place = root / f"{CGROUPS}{os.urandom(6).hex()}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"absent: no cgroup can be made: {error}")
    with open_locked(place):
        yield place
        waiting.until(lambda: "populated 0" in (place / "cgroup.events").read_text(encoding="ascii"), "its cgroups are empty")
        remove_cgroups(place)


@contextlib.contextmanager
def open_locked(folder):
    """OSError where another run has the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


class Systemd:
    """A system that runs. `pid` is its pid 1 as this process sees it, and `root` its root."""

    def __init__(self, namespace, folder, cgroups):
        self.cgroups, self.console = cgroups, folder / "console"
        units = folder / "units"
        units.mkdir()
        for unit in (UNIT, SOCKET):
            shutil.copy(unit, units)
        enter = f'echo $$ >"{cgroups}/cgroup.procs"; exec "$@"'
        become = ["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child", BOOT, TPROXYD, units]
        with namespace, open(self.console, "wb") as console:
            self.process = subprocess.Popen(["sh", "-c", enter, "sh", *become], stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self.pid = waiting.until(self.find_first, "its first process")
        self.root = Path(f"/proc/{self.pid}/root")

    def find_first(self):
        for each in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                status = Path(f"/proc/{int(each)}/status").read_text(encoding="utf-8", errors="replace")
                if f"\nPPid:\t{self.process.pid}\n" in status:
                    return int(each)
        return self.ended()

    def ended(self):
        if self.process.poll() is not None:
            pytest.skip(f"absent: systemd cannot be booted here: {self.console.read_text(encoding='utf-8', errors='replace').strip()}")

    def run(self, *words):
        """(status, output) of a command within."""
        command = ["nsenter", f"--target={self.pid}", "--all", "--root", *words]  # also where this runs in a chroot
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=4 * waiting.seconds)
        return done.returncode, done.stdout

    def ctl(self, *words):
        status, output = self.run("systemctl", "--no-pager", *words)
        assert status == 0, output + self.messages() + self.log()
        return output

    def is_up(self):
        self.ended()
        return self.run("systemctl", "is-system-running")[1] in ("running\n", "degraded\n")

    def version(self):
        return int(re.match(r"systemd (\d+)", self.ctl("--version"))[1])

    def show(self, name, unit="tproxyd.service"):
        return self.ctl("show", "--value", f"--property={name}", unit).strip()

    def messages(self):
        """What systemd has logged, and programs have written to their standard error."""
        files = (self.console, self.root / "dev/kmsg", self.root / "run/output")
        return "".join(each.read_text(encoding="utf-8", errors="replace") for each in files if each.exists())

    def log(self):
        with contextlib.suppress(OSError):
            return (self.root / "var/log/tproxyd/log").read_text(encoding="utf-8")
        return ""

    def processes(self):
        """Those of the service, as this process sees them."""
        group = self.cgroups / "system.slice" / "tproxyd.service" / "cgroup.procs"
        return [int(line) for line in group.read_text(encoding="ascii").split()]

    def drop_in(self, unit, text):
        """A drop-in of a test, until reset()."""
        folder = self.root / "etc" / "units" / f"{unit}.d"
        folder.mkdir()
        (folder / "test.conf").write_text(text, encoding="ascii")
        self.ctl("daemon-reload")

    def configure(self, text):
        path = self.root / "etc" / "tproxyd.cfg"
        path.write_text(text, encoding="ascii")
        path.chmod(READABLE)

    def reset(self):
        """As after the boot."""
        self.run("systemctl", "stop", "tproxyd.socket", "tproxyd.service")
        self.run("systemctl", "reset-failed", "tproxyd.socket", "tproxyd.service")
        for folder in (self.root / "etc" / "units").glob("tproxyd.*.d"):
            shutil.rmtree(folder)
        shutil.rmtree(self.root / "var/log/private", ignore_errors=True)
        (self.root / "var/log/tproxyd").unlink(missing_ok=True)
        self.ctl("daemon-reload")
        self.configure(CONFIGURATION)

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def namespace():
    made = Namespace("systemd")
    made.ip("link set lo up", f"route add local {VIP}/32 dev lo")
    yield made
    made.close()


@pytest.fixture(scope="module")
def booted(namespace, tmp_path_factory):
    if not PROGRAM.exists():
        pytest.skip("absent: no systemd; `make deps` installs it")
    if Path("/proc/self/uid_map").read_text(encoding="ascii").split() != ["0", "0", str(2**32 - 1)]:
        pytest.skip("absent: systemd and its dynamic users need the host's root")
    with cgroup() as cgroups, contextlib.closing(Systemd(namespace, tmp_path_factory.mktemp("systemd"), cgroups)) as system:
        waiting.until(system.is_up, "systemd is up")
        yield system


@pytest.fixture
def system(booted):
    booted.reset()
    yield booted


@pytest.fixture
def server(namespace):
    with contextlib.closing(listen(namespace)) as made:
        yield made


# The service


def test_it_starts_reloads_and_stops(namespace, system, server):
    system.ctl("start", "tproxyd")
    assert system.show("StatusText") == "serves"
    exchange(namespace, server)
    process = system.show("MainPID")
    system.configure(CONFIGURATION.replace("retries 0", "retries 1"))
    system.ctl("reload", "tproxyd")
    waiting.until(lambda: "/etc/tproxyd.cfg is in force" in system.log(), "a reload")
    waiting.until(lambda: system.show("StatusText") == "reloaded", "its status")
    assert system.show("MainPID") == process
    exchange(namespace, server)
    system.ctl("stop", "tproxyd")
    assert system.show("Result") == "success" and system.show("ActiveState") == "inactive"
    assert "ended: 2 sessions" in system.log()


def test_a_reload_ends_when_it_is_done(system):
    """Type=notify-reload."""
    if system.version() < 253:
        pytest.skip("absent: this systemd does not know Type=notify-reload")
    system.ctl("start", "tproxyd")
    assert system.show("Type") == "notify-reload"
    for count in range(1, 6):
        system.ctl("reload", "tproxyd")
        assert system.log().count("/etc/tproxyd.cfg is in force") >= count


def test_a_bad_file_fails_the_reload_and_keeps_the_service(namespace, system, server):
    system.ctl("start", "tproxyd")
    process = system.show("MainPID")
    system.configure("frobnicate\n")
    status, _ = system.run("systemctl", "reload", "tproxyd")
    assert status != 0
    assert (system.show("ActiveState"), system.show("MainPID")) == ("active", process)
    exchange(namespace, server)


def test_a_bad_file_fails_the_start(system):
    system.drop_in("tproxyd.service", "[Service]\nRestart=no\n")
    system.configure("frobnicate\n")
    assert system.run("systemctl", "start", "tproxyd")[0] != 0
    assert system.show("Result") == "exit-code"


def test_one_that_hangs_is_restarted(namespace, system, server):
    system.drop_in("tproxyd.service", "[Service]\nWatchdogSec=1s\n")
    system.ctl("start", "tproxyd")
    [process] = system.processes()
    before = system.show("MainPID")
    threads = sorted(int(number) for number in os.listdir(f"/proc/{process}/task"))
    with kernel.stopped_thread(threads[-1]):
        kernel.await_thread(threads[-1])
    waiting.until(lambda: system.show("ActiveState") == "active" and system.show("NRestarts") == "1", "a restart")
    assert system.show("MainPID") != before
    exchange(namespace, server)
    assert "thread 1 does not answer" in system.log()


def test_one_that_answers_is_not(namespace, system, server):
    system.drop_in("tproxyd.service", "[Service]\nWatchdogSec=200ms\n")
    system.ctl("start", "tproxyd")
    first = int(system.show("WatchdogTimestampMonotonic"))
    waiting.until(lambda: int(system.show("WatchdogTimestampMonotonic")) > first + 1000000, "signs of life for five times 200 ms")
    exchange(namespace, server)
    assert system.show("NRestarts") == "0"


# Sockets

LISTENS = f"[Socket]\nListenStream=\nListenStream={ADDRESS}:{PORT}\nTransparent=no\n"


def test_a_client_starts_the_service(namespace, system, server):
    system.drop_in("tproxyd.socket", LISTENS)
    system.ctl("start", "tproxyd.socket")
    assert system.show("ActiveState") == "inactive"
    exchange(namespace, server)
    assert system.show("ActiveState") == "active"
    assert system.show("TriggeredBy") == "tproxyd.socket"


def test_restarts_lose_no_client(namespace, system):
    """KillSignal=SIGUSR1 lets sessions end, and the queue is systemd's."""
    system.drop_in("tproxyd.socket", LISTENS)
    system.drop_in("tproxyd.service", "[Unit]\nStartLimitBurst=100\n[Service]\nKillSignal=SIGUSR1\n")
    system.ctl("start", "tproxyd.socket")
    with churned(namespace) as clients:
        for _ in range(5):
            line = clients.stdout.readline()
            assert line == b"done 50\n", f"{line}\n{system.log()[-2000:]}"
            system.ctl("restart", "tproxyd")
        clients.send_signal(signal.SIGTERM)
        lost = [line for line in clients.stdout if not line.startswith(b"done ")]
        assert not lost, f"{lost}\n{system.log()[-2000:]}"


def test_a_transparent_socket_needs_no_capability(namespace, system, server):
    """Transparent=yes of the example; the service has no capability at all."""
    system.configure(CONFIGURATION.replace(f"bind {ADDRESS}:{PORT}", f"bind {VIP}:{PORT} transparent"))
    system.drop_in("tproxyd.socket", f"[Socket]\nListenStream=\nListenStream={VIP}:{PORT}\n")
    system.drop_in("tproxyd.service", "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n")
    system.ctl("start", "tproxyd.socket")
    with contextlib.closing(connect(namespace, address=VIP)) as client:
        there = accept(server)
        client.send(b"question")
        assert there.receive(8) == b"question"
        there.finish()
    assert capabilities(system) == 0
    waiting.until(lambda: "keeps no capability;" in system.log(), "the line of the start")  # its threads accept before


def test_a_socket_without_a_bind_line_fails_the_start(system):
    system.drop_in("tproxyd.socket", LISTENS + f"ListenStream={ADDRESS}:{PORT + 1}\n")
    system.ctl("start", "tproxyd.socket")
    assert system.run("systemctl", "start", "tproxyd")[0] != 0
    assert f"no bind line for the socket {ADDRESS}:{PORT + 1} (TCP, tproxyd.socket) of the service manager" in system.messages()


# What the unit keeps from it


def status_of(process):
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    return {name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())}


def capabilities(system):
    [process] = system.processes()
    return int(status_of(process)["CapEff"], 16) | int(status_of(process)["CapBnd"], 16) | int(status_of(process)["CapInh"], 16)


def test_it_has_two_capabilities_and_a_user_of_its_own(system):
    system.configure(CONFIGURATION.replace(f"bind {ADDRESS}:{PORT}", f"bind {VIP}:80 transparent"))
    system.ctl("start", "tproxyd")
    [process] = system.processes()
    status = status_of(process)
    assert capabilities(system) == NET_RAW | NET_BIND_SERVICE
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert 61184 <= int(status["Uid"].split()[0]) <= 65519  # systemd's range of dynamic users
    assert (system.root / "run/tproxyd/pid").read_text(encoding="ascii").strip() == system.show("MainPID")


def test_it_can_change_nothing_but_its_own_folders(system):
    system.ctl("start", "tproxyd")
    (system.root / "tmp/of-the-host").touch()
    (system.root / "home/of-the-host").touch()
    [process] = system.processes()
    within = Path(f"/proc/{process}/root")
    for folder in ("usr/local", "etc", "var", "sys/fs/cgroup"):
        assert os.statvfs(within / folder).f_flag & os.ST_RDONLY, folder
    for folder in ("tmp", "home"):
        assert not list((within / folder).iterdir()), folder
    for folder in ("var/log/tproxyd", "run/tproxyd", "tmp"):
        assert not os.statvfs(within / folder).f_flag & os.ST_RDONLY, folder
    assert not (within / "dev/kmsg").exists() and (within / "dev/null").exists()


def test_systemd_knows_every_word_of_the_units(system):
    """A word that it does not know would be ignored."""
    _, output = system.run("systemd-analyze", "verify", "--man=no", "/etc/units/tproxyd.service", "/etc/units/tproxyd.socket")
    known = ("Failed to parse service type, ignoring: notify-reload",)  # before version 253, as the unit says
    assert not [line for line in output.splitlines() if not line.endswith(known)]


def test_its_exposure_is_low(system):
    if system.version() < 250:
        pytest.skip("absent: systemd-analyze security --offline")
    status, output = system.run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", "/etc/units/tproxyd.service")
    assert status == 0, output.splitlines()[-1]
