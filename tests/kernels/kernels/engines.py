"""What boots a kernel: user-mode Linux, or qemu.

    uml     the kernel is a program. Its root is the host's, through hostfs; results come by a second one
    qemu    a virtual machine, with KVM where that really runs guests (a nested one may start them and then
            take hours: the first kernel tells); root and results by 9p. A kernel that has 9p as modules, as
            distributions' have, gets an initramfs that loads them

An engine says whether a file is a kernel of its own and which command boots it. The command's stdout is
the guest's console. PACE is how much slower than the host's a guest's programs are: patience is
stretched by it.
"""

import platform
import shutil
import subprocess
from pathlib import Path

from . import initramfs

GUEST = Path(__file__).resolve().parents[1] / "guest"
MEMORY = 512  # MB
ELF_TYPES = {2: "EXEC", 3: "DYN"}
_ELF_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 21: "ppc64", 22: "s390x"}
KVM_ANSWER = 20  # seconds in which a kernel has to find that it has no root


class Unfit(Exception):
    """An engine that is not there, or a file that it cannot boot here; says why."""


class Uml:
    name = "uml"
    pace = 5
    limit = 900  # seconds for a whole guest: many times what it takes, for a machine that has other work

    def prepare(self, kernel, tell):
        pass

    def check(self, kernel):
        if kind_of(kernel) != "uml":
            raise Unfit(f"{kernel} is no user-mode kernel, but {describe(kernel)}; --engine qemu boots those")

    def command(self, kernel, run, name):
        return [
            kernel,
            f"mem={MEMORY}M",
            f"uml_dir={run}",
            f"umid={name}",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"init={run}/tree/tests/kernels/guest",
            f"TPROXY_GUEST_RUN={run}",
            "con=null",
            "con0=null,fd:1",
            "quiet",
            "panic=-1",
        ]


class Qemu:
    name = "qemu"
    limit = 1500
    kvm = None  # not known until a kernel has been tried

    def __init__(self):
        if not shutil.which("qemu-system-x86_64"):
            raise Unfit("there is no qemu-system-x86_64; `make deps-kernels-qemu` installs it")

    @property
    def pace(self):
        return 3 if self.kvm else 15

    def prepare(self, kernel, tell):
        """Find out whether KVM runs guests, by the first of them."""
        if self.kvm is None:
            self.kvm = kvm_runs(kernel)
            tell("guests run by KVM" if self.kvm else "there is no KVM that runs guests; without it they take many times as long")

    def check(self, kernel):
        if kind_of(kernel) != "x86":
            raise Unfit(f"{kernel} is no kernel that qemu boots here, but {describe(kernel)}")

    def command(self, kernel, run, name):
        words = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-m", str(MEMORY)]
        words += ["-accel", "kvm", "-cpu", "host"] if self.kvm else ["-accel", "tcg", "-cpu", "max"]
        words += ["-serial", "stdio", "-device", "virtio-rng-pci", "-kernel", kernel]
        words += _share("/", "hostroot", readonly=True) + _share(run, "run")
        guest = f"{run}/tree/tests/kernels/guest"
        line = "ro quiet panic=-1 console=ttyS0 TPROXY_GUEST_TAG=run"
        modules = initramfs.modules_of(kernel)
        if modules is None:
            line += f" root=hostroot rootfstype=9p rootflags=trans=virtio,version=9p2000.L,cache=loose init={guest}"
            return [*words, "-append", line]
        image = Path(run) / "initramfs"
        initramfs.write(kernel, modules, image)
        words += _share(modules / "lib", "modules", readonly=True) + ["-initrd", image]
        return [*words, "-append", f"{line} TPROXY_GUEST_INIT={guest} TPROXY_GUEST_MODULES=modules"]


ENGINES = {"uml": Uml, "qemu": Qemu}


def _share(path, tag, readonly=False):
    mode = ",readonly=on" if readonly else ""
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{mode}"]


def kind_of(path):
    """uml, x86 (a bzImage, or a vmlinux for PVH), other; what its first bytes and its machine say."""
    with open(path, "rb") as file:
        head = file.read(0x206)
    if head[:4] == b"\x7fELF":
        if _machine(head) != platform.machine():
            return "other"
        return "uml" if _has_interpreter_or_uml(path) else "x86"
    return "x86" if head[0x202:0x206] == b"HdrS" and platform.machine() == "x86_64" else "other"


def _machine(head):
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _ELF_MACHINES.get(number, f"machine {number}")


def _has_interpreter_or_uml(path):
    """A user-mode kernel is a program of Linux: it names its interpreter, or (static) a vmlinux has none."""
    data = Path(path).read_bytes()
    return b"User Mode Linux" in data or b"uml_dir=" in data


def configuration_beside(path):
    """The file that a kernel's configuration is in, as packages install it or a build leaves it; or None."""
    places = [path.with_name(f"config-{initramfs.release_of(path) or 'unknown'}"), path.parent / ".config"]
    if path.match("arch/*/boot/*"):
        places.append(path.parents[3] / ".config")
    return next((place for place in places if place.is_file()), None)


def describe(path):
    """What a file is, for people."""
    with open(path, "rb") as file:
        head = file.read(0x206)
    if head[:4] == b"\x7fELF":
        return f"a program or kernel for {_machine(head)}, where this is {platform.machine()}"
    if head[0x202:0x206] == b"HdrS":
        return "an x86 kernel (bzImage)"
    if head[0x38:0x3C] == b"ARMd":
        return "a kernel for aarch64"
    return "no kernel at all"


def kvm_runs(kernel):
    """Whether a kernel gets by KVM to where it panics, since it has no root."""
    words = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-m", str(MEMORY)]
    words += ["-accel", "kvm", "-cpu", "host", "-kernel", kernel, "-append", "panic=-1"]
    try:
        return subprocess.run(words, capture_output=True, timeout=KVM_ANSWER, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
