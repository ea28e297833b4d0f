"""Kernels are built from source and configuration, kept, known by what is in them, and given what they boot with."""

import lzma
import os
import subprocess
import sys
import time

import pytest

from kernel_stand_ins import MAKEFILE, ROOT, commit, kernel_of, program
from kernels import build, engines, initramfs, durations as pace, source

pytestmark = pytest.mark.suite


# --- building ---


def test_a_kernel_is_built_once_and_kept(linux, tmp_path):
    cache, told = tmp_path / "cache", []
    builder = build.Builder(cache, 1, told.append)
    kernel = kernel_of(linux, cache)
    assert not kernel.is_cached and builder.build(kernel) > 0
    assert kernel.is_cached and builder.build(kernel_of(linux, cache)) == 0
    assert kernel.configuration() == "CONFIG_A=y\n"
    kernel.unpack(tmp_path / "kernel")
    assert "@end" in subprocess.run([tmp_path / "kernel"], capture_output=True, text=True, check=True).stdout
    assert lzma.open(kernel.path("xz")).read() == (linux / "text").read_bytes()


def test_another_configuration_or_source_is_another_kernel(linux, tmp_path):
    keys = {kernel_of(linux, tmp_path).key, kernel_of(linux, tmp_path, A="n").key}
    (linux / "text").write_text("#!/bin/sh\necho otherwise\n", encoding="ascii")
    keys.add(kernel_of(linux, tmp_path).key)
    patch = tmp_path / "a.patch"
    patch.write_text("--- a/text\n+++ b/text\n@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo otherwise\n+echo patched\n", encoding="ascii")
    patched = build.Kernel(source.find(linux, [patch]), "uml", {"A": "y"}, tmp_path)
    keys.add(patched.key)
    assert len(keys) == 4
    build.Builder(tmp_path, 1).build(patched)
    patched.unpack(tmp_path / "kernel")
    assert "patched" in (tmp_path / "kernel").read_text()
    assert "otherwise" in (linux / "text").read_text()


def test_two_fragments_that_come_to_the_same_configuration_are_built_once(linux, tmp_path):
    rule = (linux / "Makefile").read_text(encoding="ascii").replace("cp $(KCONFIG_ALLCONFIG)", "sort $(KCONFIG_ALLCONFIG) >")
    (linux / "Makefile").write_text(rule, encoding="ascii")
    commit(linux)
    builder = build.Builder(tmp_path / "cache", 1)
    first, second = (kernel_of(linux, tmp_path / "cache", **dict.fromkeys(names, "y")) for names in ("AB", "BA"))
    third = kernel_of(linux, tmp_path / "cache", B="y")
    for kernel in (first, second, third):
        builder.build(kernel)
    assert first.key != second.key and second.is_cached
    assert second.path("xz").samefile(first.path("xz")) and not third.path("xz").samefile(first.path("xz"))
    (linux / "text").write_text("another source\n", encoding="ascii")
    commit(linux)
    other = kernel_of(linux, tmp_path / "cache", A="y", B="y")
    builder.build(other)
    assert not other.path("xz").samefile(first.path("xz"))


def test_a_patch_that_does_not_fit_is_said(linux, tmp_path):
    patch = tmp_path / "a.patch"
    patch.write_text("--- a/text\n+++ b/text\n@@ -1,1 +1,1 @@\n-nothing like it\n+x\n", encoding="ascii")
    with pytest.raises(source.NoSource, match="does not fit"):
        build.Builder(tmp_path, 1).build(build.Kernel(source.find(linux, [patch]), "uml", {"A": "y"}, tmp_path))


def test_an_archive_gets_the_engines_own_change_where_it_fits_and_a_tree_is_taken_as_it_is(linux, tmp_path):
    archive, own = tmp_path / "linux.tar", tmp_path / "own.patch"
    subprocess.run(["tar", "-C", tmp_path, "-cf", archive, "linux"], check=True)
    own.write_text("--- a/text\n+++ b/text\n@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo '@up 6.1'; echo @end\n+echo wide\n", encoding="ascii")
    made, told = source.find(archive, own=own), []
    assert "wide" in (made.tree(tmp_path / "trees", told.append) / "text").read_text() and told == ["unpacking linux.tar"]
    assert made.identity != source.find(archive).identity
    assert source.find(linux, own=own).tree(tmp_path / "trees") == linux and "wide" not in (linux / "text").read_text()
    own.write_text("--- a/text\n+++ b/text\n@@ -1,1 +1,1 @@\n-nothing like it\n+x\n", encoding="ascii")
    source.find(archive, own=own).tree(tmp_path / "trees", told.append)
    assert told[-1] == "own.patch does not fit this source, and is left out"


def test_a_build_that_fails_says_with_which_words(linux, tmp_path):
    (linux / "text").write_text("BROKEN\n", encoding="ascii")
    with pytest.raises(build.BuildFailed, match="error: broken"):
        build.Builder(tmp_path, 1).build(kernel_of(linux, tmp_path))
    assert not kernel_of(linux, tmp_path).is_cached


def test_a_build_ends_when_its_time_is_over_with_all_that_it_started(linux, tmp_path):
    (linux / "Makefile").write_text(MAKEFILE.replace("\tgrep", "\tsleep 1000\n\tgrep"), encoding="ascii")
    begin = time.monotonic()
    with pytest.raises(build.NoTime):
        build.Builder(tmp_path, 1).build(kernel_of(linux, tmp_path), within=1)
    assert time.monotonic() - begin < 60 and not kernel_of(linux, tmp_path).is_cached


def test_two_runs_build_one_after_the_other(linux, tmp_path):
    (linux / "Makefile").write_text(MAKEFILE.replace("\tgrep", "\tmkdir $(O)/alone\n\tsleep 1\n\trmdir $(O)/alone\n\tgrep"), encoding="ascii")
    code = "import sys; sys.path[:0] = sys.argv[1:3]; from kernels import build, source; from pathlib import Path\n"
    code += "build.Builder(Path(sys.argv[4]), 1).build(build.Kernel(source.find(sys.argv[3]), 'uml', {'A': sys.argv[5]}, Path(sys.argv[4])))"
    folders = [ROOT / "tests/kernels", ROOT / "tests/netns"]
    made = [subprocess.Popen([sys.executable, "-c", code, *folders, linux, tmp_path / "cache", value]) for value in "yn"]
    assert [each.wait() for each in made] == [0, 0]


def test_what_is_no_source_is_refused(tmp_path):
    (tmp_path / "file").write_text("x", encoding="ascii")
    for path in (tmp_path, tmp_path / "file", tmp_path / "none"):
        with pytest.raises(source.NoSource, match=path.name):
            source.find(path)
    with pytest.raises(source.NoSource, match="make deps-kernels"):
        source.find(pattern=f"{tmp_path}/linux-source-*.tar.xz")


def test_times_are_remembered(linux, tmp_path):
    made = pace.Pace(tmp_path, 2)
    assert made.of_guests(["a", "b"], "uml", "core") == pace.GUEST["uml"]
    other = pace.Pace(tmp_path, 2)
    made.keep("guest uml core a", 10.04)
    other.keep("guest uml core b", 3)
    assert pace.Pace(tmp_path, 2).of_guest("b", "uml", "core") == 3
    assert pace.Pace(tmp_path, 2).of_guest("a", "uml", "core") == 10.0
    kernel = kernel_of(linux, tmp_path)
    assert made.of_build(kernel, True) > made.of_build(kernel, False, ["IPV6"]) > made.of_build(kernel, False, ["NFT_SOCKET"])
    assert (pace.about(40), pace.about(119), pace.clock(125)) == ("40 s", "2 min", "2:05")


# --- engines ---


def elf(machine, text=b""):
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little")).ljust(0x300, b"\0") + text


@pytest.mark.parametrize(
    "data, kind, words",
    [
        (elf(62, b"uml_dir="), "uml", ""),
        (elf(62), "x86", ""),
        (elf(183, b"uml_dir="), "other", "for aarch64, where this is x86_64"),
        (bytes(0x202) + b"HdrS" + bytes(100), "x86", "bzImage"),
        (bytes(0x38) + b"ARMd" + bytes(0x300), "other", "aarch64"),
        (b"text", "other", "no kernel at all"),
    ],
)
def test_a_kernel_is_known_by_what_is_in_it(tmp_path, monkeypatch, data, kind, words):
    monkeypatch.setattr(engines.platform, "machine", lambda: "x86_64")
    path = tmp_path / "kernel"
    path.write_bytes(data)
    assert engines.kind_of(path) == kind
    assert words in engines.describe(path)
    if kind != "uml":
        with pytest.raises(engines.Unfit, match="kernel"):
            engines.Uml().check(path)


@pytest.mark.parametrize(
    "qemu, works",
    [
        ("exit 0", True),  # the kernel panicked, since it has no root, and the machine ended
        ("exit 1", False),  # qemu could not have KVM
        ("exec sleep 60", False),  # KVM is there, and guests take hours
    ],
)
def test_kvm_is_what_runs_a_kernel_and_not_what_can_be_opened(tmp_path, monkeypatch, qemu, works):
    program(tmp_path, f"#!/bin/sh\necho \"$*\" >>{tmp_path}/asked\n{qemu}\n", "qemu-system-x86_64")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(engines, "KVM_ANSWER", 0.5)
    engine, told = engines.Qemu(), []
    for kernel in ("first", "second"):
        engine.prepare(kernel, told.append)
    assert engine.kvm is works and len(told) == 1
    assert (tmp_path / "asked").read_text(encoding="ascii").count("-accel kvm") == 1
    assert ("kvm" in engine.command(__file__, tmp_path, "guest")) is works


# --- the initramfs ---


@pytest.mark.parametrize("kernel", ["linux", "vmlinux", "arch/x86/boot/bzImage"])
def test_a_kernel_that_was_built_has_its_configuration_at_the_top_of_the_tree(tmp_path, kernel):
    path = tmp_path / kernel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(0x400))
    (tmp_path / ".config").touch()
    assert engines.configuration_beside(path) == tmp_path / ".config"


def test_an_archive_is_what_the_kernel_reads():
    made = initramfs.archive({"init": (0o100755, b"12345"), "root": (0o040755, b"")})
    names, at = [], 0
    while not names or names[-1] != "TRAILER!!!":
        assert made[at : at + 6] == b"070701" and at % 4 == 0
        fields = [int(made[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        names.append(made[at + 110 : at + 110 + length - 1].decode())
        data = (at + 110 + length + 3) // 4 * 4
        if names[-1] == "init":
            assert (mode, made[data : data + size]) == (0o100755, b"12345")
        at = (data + size + 3) // 4 * 4
    assert names == ["init", "root", "TRAILER!!!"] and at == len(made)


def test_a_kernels_release_and_its_modules_are_found(tmp_path):
    head = bytearray(0x400)
    head[0x202:0x206], head[0x20E:0x210] = b"HdrS", (0x100).to_bytes(2, "little")
    head[0x300:0x311] = b"6.1.0-9-x (them)\0"
    (tmp_path / "boot").mkdir()
    path = tmp_path / "boot" / "vmlinuz"
    path.write_bytes(head)
    assert initramfs.release_of(path) == "6.1.0-9-x" and initramfs.modules_of(path) is None
    assert engines.configuration_beside(path) is None
    (tmp_path / "boot" / "config-6.1.0-9-x").touch()
    assert engines.configuration_beside(path) == tmp_path / "boot" / "config-6.1.0-9-x"
    (tmp_path / "lib/modules/6.1.0-9-x/kernel").mkdir(parents=True)
    assert initramfs.modules_of(path) == tmp_path
    with pytest.raises(initramfs.CannotMake, match=f"depmod -b {tmp_path} 6.1.0-9-x"):
        initramfs.write(path, tmp_path, tmp_path / "image")
