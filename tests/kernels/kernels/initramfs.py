"""An initramfs for kernels that have 9p as modules: one static program, and the modules that it loads.

It is written here as what the kernel reads (cpio, "newc"), so no other program is needed but a compiler and
kmod's modprobe, which knows what depends on what.
"""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "initramfs.c"
WANTED = ("virtio_pci", "9pnet_virtio", "9p")


class CannotMake(Exception):
    """It cannot be made; says why."""


def release_of(kernel):
    """The release that a bzImage tells, or ""."""
    with open(kernel, "rb") as file:
        head = file.read(0x10000)
    place = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    if head[0x202:0x206] != b"HdrS" or place == 0x200:
        return ""
    return head[place:].partition(b"\0")[0].decode("ascii", "replace").partition(" ")[0]


def modules_of(kernel):
    """The folder with a lib/modules/RELEASE for the kernel: where it was installed or unpacked; or None."""
    release = release_of(kernel)
    for root in (Path(kernel).absolute().parent.parent, Path("/")):
        if release and (root / "lib/modules" / release / "kernel").is_dir():
            return root
    return None


def write(kernel, root, target):
    """Write it to a file."""
    release = release_of(kernel)
    if not (root / "lib/modules" / release / "modules.dep").exists():
        raise CannotMake(f"run this once, so that its modules can be found: depmod -b {root} {release}")
    program = Path(target).with_suffix(".init")
    words = ["gcc", "-static", "-Os", "-s", "-Wall", "-D_GNU_SOURCE", "-o", program, SOURCE]
    subprocess.run(words, check=True)
    files = {"init": (0o100755, program.read_bytes())}
    files.update({name: (0o040755, b"") for name in ("modules", "root", "dev")})
    for number, path in enumerate(_in_order(root, release)):
        files[f"modules/{number:03}.ko"] = (0o100644, path.read_bytes())
    Path(target).write_bytes(archive(files))


def _in_order(root, release):
    """Files of the wanted modules and what they depend on, each behind what it needs."""
    found = []
    for name in WANTED:
        words = ["modprobe", "--show-depends", "-d", root, "-S", release, name]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotMake(f"{release}: {done.stderr.strip()}")
        found += [Path(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("insmod ")]
    packed = [path for path in found if path.suffix != ".ko"]
    if packed:
        raise CannotMake(f"{packed[0].name} is compressed; modules have to be plain")
    return list(dict.fromkeys(found))


def archive(files):
    """{name: (mode, bytes)} as a cpio archive."""
    entries = [_entry(name, mode, data, number) for number, (name, (mode, data)) in enumerate(files.items(), 1)]
    return b"".join([*entries, _entry("TRAILER!!!", 0, b"", 0)])


def _entry(name, mode, data, number):
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + "".join(f"{each:08x}" for each in fields).encode() + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)
