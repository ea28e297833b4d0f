"""tproxyd in the background, in another root, with a limit and with rules: `daemon`, `chroot`, `ulimit-n`, files of networks."""

import contextlib
import os
import select
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from lab import waiting
from lab.netns.endpoint import RESETS
from lab.netns.namespace import Namespace
from lab.paths import TPROXYD
from lab.peers.daemon import ADDRESS, PORT, SERVER, accept, connect, listen

CONFIGURATION = """\
global
  daemon
  nbthread 2
  pidfile {folder}/pid
  log file@{folder}/log local0 info
{words}
defaults
  mode tcp
  log global
  option tcplog
  retries 0
  timeout connect 5s
  timeout client 10m
  timeout server 10m
listen web
  bind {address}:{port}
{rules}
  server s {address}:{server}
"""


@pytest.fixture
def namespace():
    made = Namespace("background")
    made.ip("link set lo up")
    yield made
    made.close()


class Background:
    """A tproxyd that was started by a command which has ended."""

    def __init__(self, namespace, folder):
        self.namespace, self.folder = namespace, folder

    def start(self, words="", rules="", more=()):
        """(status, messages) of the command. It has a pipe as its output, which has to be closed at its end."""
        text = CONFIGURATION.format(folder=self.folder, words=words, rules=rules, address=ADDRESS, port=PORT, server=SERVER)
        (self.folder / "daemon.cfg").write_text(text, encoding="ascii")
        command = [TPROXYD, "-f", self.folder / "daemon.cfg", *more]
        with self.namespace:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=waiting.seconds)
        return done.returncode, done.stderr

    @property
    def pid(self):
        return int((self.folder / "pid").read_text(encoding="ascii"))

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8")

    def proc(self, name):
        return Path(f"/proc/{self.pid}/{name}")

    def stop(self):
        process = os.pidfd_open(self.pid)
        os.kill(self.pid, signal.SIGTERM)
        waiting.until(lambda: "tproxyd ended: " in self.log(), "the last line of the log")
        waiting.until(lambda: select.select([process], [], [], 0)[0], "the process has ended")
        os.close(process)


@pytest.fixture
def background(namespace, tmp_path):
    if not os.access(TPROXYD, os.X_OK):
        pytest.skip("absent: build/tproxyd; `make` builds it")
    made = Background(namespace, tmp_path)
    yield made
    with contextlib.suppress(OSError, ValueError):  # it has ended, or did not start
        os.kill(made.pid, signal.SIGKILL)


@pytest.fixture
def server(namespace):
    with contextlib.closing(listen(namespace)) as made:
        yield made


def exchange(namespace, server):
    client = connect(namespace)
    client.send(b"question")
    there = accept(server)
    assert there.receive(8) == b"question"
    client.close()
    there.close()


def test_the_command_ends_when_the_daemon_serves(background, namespace, server):
    assert background.start() == (0, "")
    exchange(namespace, server)
    assert os.getsid(background.pid) == background.pid
    for number in range(3):
        assert os.readlink(background.proc(f"fd/{number}")) == "/dev/null"
    assert "system calls are restricted" in background.log()
    os.kill(background.pid, signal.SIGHUP)
    waiting.until(lambda: "SIGHUP" in background.log(), "SIGHUP in the log")
    background.stop()


def test_a_start_that_fails_ends_the_command_with_its_reason(background, namespace):
    with namespace:
        taken = socket.create_server((ADDRESS, PORT))
    with taken:
        status, messages = background.start()
    assert status == 1
    assert "cannot listen on" in messages


def test_db_keeps_it_in_the_foreground(background, namespace):
    with namespace:
        taken = socket.create_server((ADDRESS, PORT))
    with taken:
        status, _ = background.start(more=["-db"])
    assert status == 1


@pytest.fixture
def jail(background, monkeypatch):
    """Another root. AddressSanitizer looks for leaks by /proc: without one it waits for ever when the program ends."""
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    made = background.folder / "jail"
    made.mkdir()
    return made


def test_chroot_is_the_root_of_the_running_daemon(background, namespace, server, jail):
    assert background.start(f"  chroot {jail}\n  user nobody") == (0, "")
    assert os.path.realpath(background.proc("root")) == str(jail)
    assert os.path.realpath(background.proc("cwd")) == str(jail)
    exchange(namespace, server)
    background.stop()


def test_a_reload_in_another_root_looks_for_the_file_there(background, namespace, server, jail):
    assert background.start(f"  chroot {jail}\n  user nobody") == (0, "")
    os.kill(background.pid, signal.SIGHUP)
    waiting.until(lambda: "stays in force" in background.log(), "what became of the reload in the log")
    assert f"`chroot`: it is looked for below {jail}" in background.log()
    exchange(namespace, server)
    background.stop()


def test_a_reload_in_the_background_reads_the_file_again(background, namespace, server):
    assert background.start() == (0, "")
    file = background.folder / "daemon.cfg"
    file.write_text(file.read_text(encoding="ascii").replace("daemon\n", "daemon\n  ulimit-n 300\n"), encoding="ascii")
    os.kill(background.pid, signal.SIGHUP)
    waiting.until(lambda: "is in force" in background.log(), "the reload in the log")
    assert "'ulimit-n': cannot change in a running process" in background.log()
    exchange(namespace, server)
    background.stop()


def test_a_root_that_is_not_there_is_an_error(background):
    status, messages = background.start("  chroot /none")
    assert status == 1
    assert "cannot change the root to /none: No such file or directory" in messages


def test_ulimit_n_is_the_descriptor_limit(background):
    assert background.start("  ulimit-n 300") == (0, "")
    limit = next(line for line in background.proc("limits").read_text(encoding="ascii").splitlines() if "open files" in line)
    assert limit.split()[3] == "300"


def test_rules_work_in_the_restricted_daemon(background, namespace, server):
    networks = background.folder / "networks"
    networks.write_text("192.0.2.0/24\n127.0.0.0/30\n", encoding="ascii")
    rules = f"  acl blocked src -f {networks}\n  tcp-request connection reject if blocked {{ dst_port {PORT} }}"
    assert background.start(rules=rules) == (0, "")
    networks.unlink()
    assert is_rejected(namespace)
    waiting.until(lambda: "(rejected)" in background.log(), "the refusal in the log")
    background.stop()
    lines = background.log().splitlines()
    assert [line for line in lines if "refused 127.0.0.1:" in line and "`tcp-request connection`" in line]
    assert "1 sessions: rejected 1;" in lines[-1]


def test_a_reload_reads_files_of_networks_again(background, namespace, server):
    networks = background.folder / "networks"
    networks.write_text("127.0.0.0/30\n", encoding="ascii")
    assert background.start(rules=f"  tcp-request connection reject if {{ src -f {networks} }}") == (0, "")
    assert is_rejected(namespace)
    networks.write_text("192.0.2.0/24\n", encoding="ascii")
    os.kill(background.pid, signal.SIGHUP)
    waiting.until(lambda: " is in force" in background.log(), "the reload in the log")
    exchange(namespace, server)
    networks.write_text("not a network\n", encoding="ascii")
    os.kill(background.pid, signal.SIGHUP)
    waiting.until(lambda: "'not a network': not an address or a network" in background.log(), "the error in the log")
    exchange(namespace, server)


def is_rejected(namespace):
    try:
        return connect(namespace).ending()[0] == "reset"
    except OSError as error:
        assert error.errno in RESETS
        return True


def test_sessions_are_logged_as_soon_as_their_server_is_reached(background, namespace, server):
    assert background.start(rules="  option logasap\n  option dontlognull\n  option log-separate-errors") == (0, "")
    client = connect(namespace)
    there = accept(server)
    waiting.until(lambda: " web/s 0/" in background.log(), "the line of the session")
    client.close()
    there.close()
    background.stop()
    assert len([line for line in background.log().splitlines() if " web/s " in line]) == 1
