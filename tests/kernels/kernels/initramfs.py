"""Makes an initramfs for kernels that have 9p as a module: one static program, and the modules that it loads.

This module writes the format that Linux reads (cpio, "newc"). It needs a compiler, and kmod's modprobe, which
knows the dependencies of modules.
"""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "initramfs.c"
WANTED = ("virtio_pci", "9pnet_virtio", "9p")


class CannotMake(Exception):
    """The initramfs cannot be made. The message says why, and what to do."""


def release_of(kernel):
    """The release in the header of a bzImage, or ""."""
    with open(kernel, "rb") as file:
        head = file.read(0x10000)
    offset = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    if head[0x202:0x206] != b"HdrS" or offset == 0x200:
        return ""
    return head[offset:].partition(b"\0")[0].decode("ascii", "replace").partition(" ")[0]


def modules_of(kernel):
    """The folder with the kernel's lib/modules/RELEASE, or None. The kernel is in FOLDER/boot, or FOLDER is /."""
    release = release_of(kernel)
    for root in (Path(kernel).absolute().parent.parent, Path("/")):
        if release and (root / "lib/modules" / release / "kernel").is_dir():
            return root
    return None


def write(kernel, root, target):
    """Writes the initramfs of a kernel to `target`; `root` is the folder of modules_of()."""
    release = release_of(kernel)
    if not (root / "lib/modules" / release / "modules.dep").exists():
        raise CannotMake(f"modules of {release} have no index; run: depmod -b {root} {release}")
    program = Path(target).with_suffix(".init")
    command = ["gcc", "-static", "-Os", "-s", "-Wall", "-D_GNU_SOURCE", "-o", program, SOURCE]
    subprocess.run(command, check=True)
    files = {"init": (0o100755, program.read_bytes())}
    files.update({name: (0o040755, b"") for name in ("modules", "root", "dev")})
    for number, path in enumerate(_in_order(root, release)):
        files[f"modules/{number:03}.ko"] = (0o100644, path.read_bytes())
    Path(target).write_bytes(archive(files))


def _in_order(root, release):
    """The files of the wanted modules and of their dependencies, dependencies first."""
    found = []
    for name in WANTED:
        command = ["modprobe", "--show-depends", "-d", root, "-S", release, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotMake(f"cannot find module {name} of {release}: {done.stderr.strip()}")
        found += [Path(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("insmod ")]
    packed = [path for path in found if path.suffix != ".ko"]
    if packed:
        again = f"depmod -b {root} {release}"
        raise CannotMake(f"{packed[0]} is compressed; decompress the modules of {release}, then run: {again}")
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
