"""The engines that boot kernels: user-mode Linux and qemu.

    uml     the kernel is a program. Its root is the host's root, by hostfs. A second hostfs takes the results.
    qemu    a virtual machine. Root and results are shared by 9p. If 9p is a module, as in kernels of
            distributions, an initramfs loads it. KVM is used if it works. A nested KVM may start a guest and
            then take hours, so the first kernel is booted once to test KVM.

An engine checks whether it can boot a file, and makes the command that boots it. The stdout of that command is the
guest's console. `slowdown` is how many times slower programs are in the guest than on the host; waiting times in
the guest are multiplied by it. `limit` is in seconds for a whole guest, many times the usual time, so that a busy
host does not matter.
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
KVM_LIMIT = 20  # seconds until a kernel without a root must have panicked


class CannotBoot(Exception):
    """The engine is not installed, or it cannot boot a file. The message says why, and what to do."""


class Uml:
    slowdown = 5
    limit = 900

    def prepare(self, kernel, progress):
        pass

    def check(self, kernel):
        kind = kind_of(kernel)
        if kind != "uml":
            hint = "; add --engine qemu" if kind == "x86" else ""
            raise CannotBoot(f"{kernel} is not a user-mode kernel: it is {describe(kernel)}{hint}")

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
    limit = 1500
    kvm = None  # whether KVM works; None until the first kernel was booted

    def __init__(self):
        if not shutil.which("qemu-system-x86_64"):
            raise CannotBoot("qemu-system-x86_64 is not installed; run `sudo make deps-kernels-qemu`")

    @property
    def slowdown(self):
        return 3 if self.kvm else 15

    def prepare(self, kernel, progress):
        """Boots the first kernel once, to test whether KVM works."""
        if self.kvm is None:
            self.kvm = kvm_runs(kernel)
            slow = "KVM does not work here; guests run without it, many times slower"
            progress("KVM works; guests use it" if self.kvm else slow)

    def check(self, kernel):
        kind = kind_of(kernel)
        if kind != "x86":
            hint = "; use --engine uml" if kind == "uml" else ""
            raise CannotBoot(f"qemu cannot boot {kernel}: it is {describe(kernel)}{hint}")

    def command(self, kernel, run, name):
        command = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-m", str(MEMORY)]
        command += ["-accel", "kvm", "-cpu", "host"] if self.kvm else ["-accel", "tcg", "-cpu", "max"]
        command += ["-serial", "stdio", "-device", "virtio-rng-pci", "-kernel", kernel]
        command += _share("/", "hostroot", readonly=True) + _share(run, "run")
        guest = f"{run}/tree/tests/kernels/guest"
        line = "ro quiet panic=-1 console=ttyS0 TPROXY_GUEST_TAG=run"
        modules = initramfs.modules_of(kernel)
        if modules is None:
            line += f" root=hostroot rootfstype=9p rootflags=trans=virtio,version=9p2000.L,cache=loose init={guest}"
            return [*command, "-append", line]
        image = Path(run) / "initramfs"
        initramfs.write(kernel, modules, image)
        command += _share(modules / "lib", "modules", readonly=True) + ["-initrd", image]
        return [*command, "-append", f"{line} TPROXY_GUEST_INIT={guest} TPROXY_GUEST_MODULES=modules"]


ENGINES = {"uml": Uml, "qemu": Qemu}


def _share(path, tag, readonly=False):
    mode = ",readonly=on" if readonly else ""
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{mode}"]


def kind_of(path):
    """Returns uml, x86 (a bzImage, or a vmlinux for PVH) or other. A kernel for another machine is other."""
    with open(path, "rb") as file:
        head = file.read(0x206)
    if head[:4] == b"\x7fELF":
        if _machine(head) != platform.machine():
            return "other"
        data = Path(path).read_bytes()
        return "uml" if b"User Mode Linux" in data or b"uml_dir=" in data else "x86"
    return "x86" if head[0x202:0x206] == b"HdrS" and platform.machine() == "x86_64" else "other"


def _machine(head):
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _ELF_MACHINES.get(number, f"machine {number}")


def configuration_beside(path):
    """The file with the configuration of a kernel, where packages or a build put it; or None."""
    candidates = [path.with_name(f"config-{initramfs.release_of(path) or 'unknown'}"), path.parent / ".config"]
    if path.match("arch/*/boot/*"):
        candidates.append(path.parents[3] / ".config")
    return next((each for each in candidates if each.is_file()), None)


def describe(path):
    """What a file is, as text for a message."""
    with open(path, "rb") as file:
        head = file.read(0x206)
    if head[:4] == b"\x7fELF":
        machine = _machine(head)
        if machine == platform.machine():
            return "a user-mode kernel" if kind_of(path) == "uml" else f"a program or vmlinux for {machine}"
        return f"a program or kernel for {machine} (this machine is {platform.machine()})"
    if head[0x202:0x206] == b"HdrS":
        return "an x86 kernel (bzImage)"
    if head[0x38:0x3C] == b"ARMd":
        return "a kernel for aarch64"
    return "not a kernel"


def kvm_runs(kernel):
    """Whether a kernel runs on KVM until it panics for lack of a root."""
    command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-m", str(MEMORY)]
    command += ["-accel", "kvm", "-cpu", "host", "-kernel", kernel, "-append", "panic=-1"]
    try:
        return subprocess.run(command, capture_output=True, timeout=KVM_LIMIT, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
