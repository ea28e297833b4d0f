"""The lab reads the consoles of guests, confines them and kills them. Scripts stand in for kernels."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from kernel_stand_ins import ROOT, program
from kernels import guests

from lab import waiting
from lab.netns import kernel
from lab.paths import RUN

pytestmark = pytest.mark.suite


class Script:
    slowdown, limit = 1, 20

    def command(self, kernel, run, name):
        return [kernel, run]


@pytest.fixture
def boot(tmp_path):
    """Runs scripts as guests, and returns the stopped guests."""
    made = []

    def run(*texts, limit=None, sysctls=None):
        staged = tmp_path / "staged"
        staged.mkdir(exist_ok=True)
        (staged / "file").write_text("of the tree\n", encoding="ascii")
        folder = Path(tempfile.mkdtemp(dir=RUN))  # any user can read it
        folder.chmod(0o755)
        for number, text in enumerate(texts):
            path = program(folder, "#!/bin/sh\n" + text, f"kernel-{number}")
            made.append(guests.Guest(f"k{number}", path, Script(), ["a", "b"], sysctls, limit))
        guests.run(made, staged, sorted(os.sched_getaffinity(0))[:2])
        return made

    yield run
    for guest in made:
        guest.remove()


@pytest.mark.parametrize(
    "text, verdict, booted",
    [
        ("echo '@up 6.1'; echo @end; sleep 0", guests.ENDED, True),
        ("echo '@up 6.1'; echo 'Kernel panic - not syncing: x'; exit 1", guests.PANICKED, True),
        ("echo 'Kernel panic - not syncing: No working init'; exit 1", guests.PANICKED, False),
        ("echo '@up 6.1'; exit 0", guests.DIED, True),
        ("exit 3", guests.DIED, False),
    ],
)
def test_the_console_decides_the_verdict(boot, text, verdict, booted):
    (guest,) = boot(text)
    assert (guest.verdict, guest.release) == (verdict, "6.1" if booted else "")


def test_a_guest_can_open_kvm_whatever_its_permissions(boot, monkeypatch):
    """Another device stands in for KVM. Without root a guest runs as the user, so a file of the user will do."""
    folder = Path(tempfile.mkdtemp(dir=RUN))
    folder.chmod(0o755)
    device = folder / "kvm"
    if guests.is_root():
        os.mknod(device, 0o600 | stat.S_IFCHR, os.stat("/dev/null").st_rdev)
    else:
        device.touch(0o600)
    monkeypatch.setattr(guests, "KVM", str(device))
    (guest,) = boot(f"if : <{device}; then echo '@up 6.1'; fi; echo @end")
    assert guest.release, guest.tail
    assert device.stat().st_uid == os.geteuid()


def test_a_guest_that_hangs_is_killed_with_its_children_and_its_console_is_kept(boot):
    (guest,) = boot("echo '@up 6.1'; printf 'half a line'; sleep 1000 & echo $! >$1/out/pid; wait", limit=2)
    assert guest.verdict == guests.HUNG and guest.tail == ["@up 6.1", "half a line"]
    pid = int((guest.folder / "out" / "pid").read_text())
    waiting.until(lambda: kernel.has_ended(pid), "its child ends")


def test_each_guest_runs_on_one_cpu(boot):
    text = "grep Cpus_allowed_list /proc/self/status >$1/out/cpus; echo @end"
    made = boot(text, text, text)
    assert [guest.verdict for guest in made] == [guests.ENDED] * 3
    for guest in made:
        assert (guest.folder / "out" / "cpus").read_text().split()[1].isdigit()


def test_a_guest_can_write_only_to_its_folder(boot, tmp_path):
    tmp_path.chmod(0o777)
    text = f"""
echo found >$1/out/found
for place in {tmp_path} /run /run/tproxy-lab /tmp {ROOT} $1/../staged; do
	if (echo x >$place/written-by-a-guest) 2>/dev/null; then echo $place >>$1/out/places; fi
done
id -u >$1/out/user
echo @end
"""
    (guest,) = boot(text)
    out = guest.folder / "out"
    assert (out / "found").read_text() == "found\n" and not (out / "places").exists()
    assert (out / "user").read_text() == f"{guests.NOBODY if guests.is_root() else 0}\n"


def test_a_guest_gets_the_tree_the_suites_arguments_and_the_sysctls(boot):
    (guest,) = boot("cat $1/tree/file $1/suite $1/sysctls >$1/out/all; echo @end", sysctls={"net/a": "1"})
    assert (guest.folder / "out" / "all").read_text() == "of the tree\na\nb\nnet/a 1\n"
