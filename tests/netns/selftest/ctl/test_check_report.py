"""tproxyctl check --report: one file to hand on, without addresses that identify its owner."""

import os
import stat
import subprocess

import pytest

from lab.netns.namespace import Namespace
from lab.paths import TPROXYCTL

PUBLIC, PUBLIC6 = "9.8.7.6", "2a0e:1234:5:6::80"
LINES = (
    "link add client0 type veth peer name client1",
    "link set client0 up",
    "link set client1 up",
    "addr add 10.0.0.1/24 dev client0",
    f"route add {PUBLIC}/32 via 10.0.0.2",
    f"route add {PUBLIC6}/128 dev client0",
)


@pytest.fixture
def host():
    made = Namespace("report")
    made.ip(*LINES)
    made.run("nft", "-f", "-", text=f"add table ip t; add chain ip t c; add rule ip t c ip saddr {PUBLIC} drop\n")
    yield made
    made.close()


def check(host, *words):
    with host:
        return subprocess.run(
            [TPROXYCTL, "check", f"--listen={PUBLIC}:80", *words], capture_output=True, text=True, check=False
        )


def test_public_addresses_are_replaced_and_the_rest_is_there(host, tmp_path):
    path = tmp_path / "report"
    done = check(host, "--report", str(path))
    assert done.returncode == 1 and PUBLIC in done.stdout, "what is printed is for the owner"
    text = path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PUBLIC not in text and "2a0e" not in text
    assert "no rule in PREROUTING diverts them" in " ".join(text.split())
    assert "$ nft list ruleset" in text and "ip saddr 192.0.2.6 drop" in text
    assert "192.0.2.6 via 10.0.0.2 dev client0" in text and "2001:db8:ff00::80" in text
    assert "iproute2" in text and os.uname().release in text and os.uname().nodename not in text


def test_the_user_may_keep_them(host, tmp_path):
    path = tmp_path / "report"
    check(host, "--report", str(path), "--no-redact")
    assert f"ip saddr {PUBLIC} drop" in path.read_text(encoding="utf-8")


def test_a_file_that_is_there_stays(host, tmp_path):
    path = tmp_path / "report"
    path.write_text("mine", encoding="ascii")
    done = check(host, "--report", str(path))
    assert done.returncode == 2 and "File exists" in done.stderr
    assert path.read_text(encoding="ascii") == "mine"


def test_a_report_that_is_cut_off_is_none(host, tmp_path):
    """The file system is full."""
    words = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=4k none "$1" && shift && exec "$@"', "sh", str(tmp_path)]
    with host:
        done = subprocess.run(
            [*words, TPROXYCTL, "check", "--report", str(tmp_path / "report")], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2 and "No space left on device" in done.stderr
