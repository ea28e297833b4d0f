"""Building kernels, the cache, recognizing kernels, engines and the initramfs."""

import lzma
import os
import subprocess
import sys
import time

import pytest

from kernel_stand_ins import MAKEFILE, ROOT, commit, kernel_of, program
from kernels import build, durations, engines, initramfs, source

pytestmark = pytest.mark.suite


# --- building ---


def test_a_kernel_is_built_once_and_cached(linux, tmp_path):
    cache, messages = tmp_path / "cache", []
    builder = build.Builder(cache, 1, messages.append)
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


def test_two_fragments_with_the_same_configuration_are_built_once(linux, tmp_path):
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


def test_a_patch_that_does_not_apply_is_an_error(linux, tmp_path):
    patch = tmp_path / "a.patch"
    patch.write_text("--- a/text\n+++ b/text\n@@ -1,1 +1,1 @@\n-nothing like it\n+x\n", encoding="ascii")
    with pytest.raises(source.NoSource, match="a.patch does not apply to this source: .*text"):
        build.Builder(tmp_path, 1).build(build.Kernel(source.find(linux, [patch]), "uml", {"A": "y"}, tmp_path))


def test_an_archive_gets_the_engines_patch_if_it_applies_and_a_tree_is_not_changed(linux, tmp_path):
    archive, own = tmp_path / "linux.tar", tmp_path / "own.patch"
    subprocess.run(["tar", "-C", tmp_path, "-cf", archive, "linux"], check=True)
    own.write_text("--- a/text\n+++ b/text\n@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo '@up 6.1'; echo @end\n+echo wide\n", encoding="ascii")
    made, messages = source.find(archive, own=own), []
    assert "wide" in (made.tree(tmp_path / "trees", messages.append) / "text").read_text() and messages == ["unpacking linux.tar"]
    assert made.identity != source.find(archive).identity
    assert source.find(linux, own=own).tree(tmp_path / "trees") == linux and "wide" not in (linux / "text").read_text()
    own.write_text("--- a/text\n+++ b/text\n@@ -1,1 +1,1 @@\n-nothing like it\n+x\n", encoding="ascii")
    source.find(archive, own=own).tree(tmp_path / "trees", messages.append)
    assert messages[-1] == "own.patch does not apply to this source, so it is left out"


def test_a_failed_build_reports_the_first_error(linux, tmp_path):
    (linux / "text").write_text("BROKEN\n", encoding="ascii")
    with pytest.raises(build.BuildFailed, match="error: broken"):
        build.Builder(tmp_path, 1).build(kernel_of(linux, tmp_path))
    assert not kernel_of(linux, tmp_path).is_cached


def test_a_build_is_killed_with_its_children_at_the_time_limit(linux, tmp_path):
    (linux / "Makefile").write_text(MAKEFILE.replace("\tgrep", "\tsleep 1000\n\tgrep"), encoding="ascii")
    begin = time.monotonic()
    with pytest.raises(build.OutOfTime):
        build.Builder(tmp_path, 1).build(kernel_of(linux, tmp_path), within=1)
    assert time.monotonic() - begin < 60 and not kernel_of(linux, tmp_path).is_cached


def test_only_one_run_builds_at_a_time(linux, tmp_path):
    (linux / "Makefile").write_text(MAKEFILE.replace("\tgrep", "\tmkdir $(O)/alone\n\tsleep 1\n\trmdir $(O)/alone\n\tgrep"), encoding="ascii")
    code = "import sys; sys.path[:0] = sys.argv[1:3]; from kernels import build, source; from pathlib import Path\n"
    code += "build.Builder(Path(sys.argv[4]), 1).build(build.Kernel(source.find(sys.argv[3]), 'uml', {'A': sys.argv[5]}, Path(sys.argv[4])))"
    folders = [ROOT / "tests/kernels", ROOT / "tests/netns"]
    made = [subprocess.Popen([sys.executable, "-c", code, *folders, linux, tmp_path / "cache", value]) for value in "yn"]
    assert [each.wait() for each in made] == [0, 0]


def test_a_path_without_a_source_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x", encoding="ascii")
    for path in (tmp_path, tmp_path / "file", tmp_path / "none"):
        with pytest.raises(source.NoSource, match=path.name):
            source.find(path)
    with pytest.raises(source.NoSource, match="make deps-kernels"):
        source.find(pattern=f"{tmp_path}/linux-source-*.tar.xz")


def test_durations_are_stored(linux, tmp_path):
    made = durations.Durations(tmp_path, 2)
    assert made.of_guests(["a", "b"], "uml", "core") == durations.GUEST["uml"]
    other = durations.Durations(tmp_path, 2)
    made.store("guest uml core a", 10.04)
    other.store("guest uml core b", 3)
    assert durations.Durations(tmp_path, 2).of_guest("b", "uml", "core") == 3
    assert durations.Durations(tmp_path, 2).of_guest("a", "uml", "core") == 10.0
    kernel = kernel_of(linux, tmp_path)
    assert made.of_build(kernel, True) > made.of_build(kernel, False, ["IPV6"]) > made.of_build(kernel, False, ["NFT_SOCKET"])
    assert (durations.about(40), durations.about(119), durations.clock(125)) == ("40 s", "2 min", "2:05")


# --- engines ---


def elf(machine, text=b""):
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little")).ljust(0x300, b"\0") + text


@pytest.mark.parametrize(
    "data, kind, description",
    [
        (elf(62, b"uml_dir="), "uml", "a user-mode kernel"),
        (elf(62), "x86", "a program or vmlinux for x86_64"),
        (elf(183, b"uml_dir="), "other", "for aarch64 (this machine is x86_64)"),
        (bytes(0x202) + b"HdrS" + bytes(100), "x86", "bzImage"),
        (bytes(0x38) + b"ARMd" + bytes(0x300), "other", "aarch64"),
        (b"text", "other", "not a kernel"),
    ],
)
def test_a_kernel_is_recognized_by_its_content(tmp_path, monkeypatch, data, kind, description):
    monkeypatch.setattr(engines.platform, "machine", lambda: "x86_64")
    path = tmp_path / "kernel"
    path.write_bytes(data)
    assert engines.kind_of(path) == kind
    assert description in engines.describe(path)
    if kind != "uml":
        with pytest.raises(engines.CannotBoot, match="not a user-mode kernel") as raised:
            engines.Uml().check(path)
        assert str(raised.value).endswith("; add --engine qemu") == (kind == "x86")


@pytest.mark.parametrize(
    "qemu, works",
    [
        ("exit 0", True),  # the kernel panicked for lack of a root, and qemu exited
        ("exit 1", False),  # qemu cannot open KVM
        ("exec sleep 60", False),  # KVM opens, but guests take hours
    ],
)
def test_kvm_counts_as_working_only_if_it_runs_a_kernel(tmp_path, monkeypatch, qemu, works):
    program(tmp_path, f"#!/bin/sh\necho \"$*\" >>{tmp_path}/asked\n{qemu}\n", "qemu-system-x86_64")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(engines, "KVM_LIMIT", 0.5)
    engine, messages = engines.Qemu(), []
    for kernel in ("first", "second"):
        engine.prepare(kernel, messages.append)
    assert engine.kvm is works and len(messages) == 1
    assert (tmp_path / "asked").read_text(encoding="ascii").count("-accel kvm") == 1
    assert ("kvm" in engine.command(__file__, tmp_path, "guest")) is works


# --- the initramfs ---


@pytest.mark.parametrize("kernel", ["linux", "vmlinux", "arch/x86/boot/bzImage"])
def test_the_configuration_of_a_built_kernel_is_at_the_top_of_the_tree(tmp_path, kernel):
    path = tmp_path / kernel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(0x400))
    (tmp_path / ".config").touch()
    assert engines.configuration_beside(path) == tmp_path / ".config"


def test_the_archive_has_the_format_of_the_kernel():
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
