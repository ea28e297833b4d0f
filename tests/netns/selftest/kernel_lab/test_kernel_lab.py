"""The command of the kernel lab, and whole runs of it. A script stands in for the kernel."""

import json
import subprocess

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, all_on, commit, kernel_lab, program
from kernels import variants

pytestmark = pytest.mark.suite

ALL_ON = """#!/bin/sh
comma=
printf '{{"kernel": {{"capabilities": ['
for name in {names}; do
	state=on options=
	[ $name != policy-rule-4 ] || state=off options='"CONFIG_OFF"'
	printf '%s{{"id": "%s", "state": "%s", "options": [%s]}}' "$comma" $name $state "$options"
	comma=,
done
echo ']}}}}'
"""
PANICS = "#!/bin/sh\necho 'Kernel panic - not syncing: No working init found'\nexit 1\n"
PATCHED = "# --- configuration\n# broken\n"


# --- the command ---


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--kernels", "no-such"], "unknown kernel 'no-such'; give one of: base"),
        (["--kernel", "/no/such/kernel"], "--kernel: no such file: /no/such/kernel"),
        (["--confirm", "/no/such/list"], "cannot read /no/such/list: No such file"),
        (["--confirm", "/etc/hostname"], "/etc/hostname is not a TOML file: "),
        (["--config", "/no/such/config"], "--config: no such file: /no/such/config"),
        (["--kernel", "/etc/hostname", "--kernel-config", "/no/such"], "--kernel-config: no such file: /no/such"),
        (["--compare", "no-such", "base"], "--compare: 'no-such' is neither a kernel of --list, nor a kernel's file"),
        (["--patch", "/no/such/patch"], "--patch: no such file: /no/such/patch"),
        (["--engine", "xen"], "invalid choice"),
        (["--profile", "fast"], "invalid choice"),
        (["--jobs", "0"], "--jobs must be a number above 0"),
        (["--kernels", "base", "--kernel", "x"], "not allowed"),
        (["--source", "/no/such/source"], "source of Linux: no such file or folder: /no/such/source"),
        (["--kernel", "/etc/hostname"], "is not a user-mode kernel: it is not a kernel"),
        (["--config", "/etc/hostname"], "is not a line of a kernel configuration"),
    ],
)
def test_wrong_arguments_are_an_error_with_status_2(arguments, text):
    done = kernel_lab(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr and done.stderr.startswith("kernel lab: ")


def test_without_qemu_nothing_is_built_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = kernel_lab("--engine", "qemu", "--cache", tmp_path / "cache")
    assert done.returncode == 2 and "run `sudo make deps-kernels-qemu`" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_run_is_refused_for_reports_and_cache():
    for option in ("--cache", "--out"):
        done = kernel_lab(option, "/run/folder", without="TPROXY_LAB_ISOLATED")
        assert done.returncode == 2 and "/run is private" in done.stderr


@pytest.mark.parametrize("arguments, status", [([], 1), (["--profile", "binding"], 0)])
def test_a_configuration_is_checked_without_booting(tmp_path, monkeypatch, arguments, status):
    path = program(tmp_path, ALL_ON.format(names=" ".join(all_on())))
    monkeypatch.setenv("TPROXYCTL", str(path))
    (tmp_path / "config").write_text("# CONFIG_IP_MULTIPLE_TABLES is not set\n", encoding="ascii")
    done = kernel_lab("--config", tmp_path / "config", *arguments)
    assert done.returncode == status and "CONFIG_OFF" in done.stdout
    assert "profile full                   off" in done.stdout and "profile binding                on" in done.stdout


def test_a_tproxyctl_without_check_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))
    (tmp_path / "config").write_text("CONFIG_NET=y\n", encoding="ascii")
    done = kernel_lab("--config", tmp_path / "config")
    assert done.returncode == 2 and "no `check --kernel-config`" in done.stderr


def test_a_tproxyctl_that_cannot_run_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", "/no/such/tproxyctl")
    (tmp_path / "config").write_text("CONFIG_NET=y\n", encoding="ascii")
    done = kernel_lab("--config", tmp_path / "config")
    assert done.returncode == 2
    assert done.stderr == "kernel lab: cannot run /no/such/tproxyctl: No such file or directory; run `make`, or set TPROXYCTL\n"


def test_the_list_names_every_kernel_and_the_help_every_option():
    assert [line.split()[0] for line in kernel_lab("--list").stdout.splitlines()] == variants.names()
    text = kernel_lab("--help").stdout
    for option in ("--kernels", "--kernel", "--config", "--compare", "--engine", "--cache", "--within", "--bisect"):
        assert option in text


@pytest.mark.parametrize("arguments, status", [([], 1), (["--bisect"], 125)])
def test_a_panic_is_reported_with_the_console(linux, tmp_path, arguments, status):
    (linux / "text").write_text(PANICS, encoding="ascii")
    done = kernel_lab("--source", linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none", *arguments)
    assert done.returncode == status
    assert "Kernel panic - not syncing: No working init found" in done.stdout + done.stderr


def test_kernels_that_do_not_fit_into_the_time_limit_are_left_out_and_listed(linux, tmp_path):
    arguments = ("--source", linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--kernels", "base", "no-ipv6")
    done = kernel_lab(*arguments, "--within", "1.5")
    assert done.returncode == 0 and "left out: base no-ipv6 (they do not fit into --within 1.5)" in done.stdout
    assert "no kernel was judged" in done.stdout
    assert "left out: base no-ipv6 (not in the cache, and --cached is set)" in kernel_lab(*arguments, "--cached").stdout


def test_kernels_that_do_not_boot_are_not_compared(linux, tmp_path):
    (linux / "text").write_text(PANICS, encoding="ascii")
    done = kernel_lab("--compare", linux, linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none")
    assert done.returncode == 2 and "does not boot (verdict: panicked)" in done.stderr


# --- whole runs ---


def test_results_that_disagree_are_listed_and_fail_the_run(work, tmp_path):
    """The stand-in has few capabilities and no legacy iptables, so some predictions are wrong for it."""
    done = work("--kernels", "base", "no-ipv6")
    table = {each["kernel"]: each for each in json.loads((tmp_path / "out" / "matrix.json").read_text())}
    assert done.returncode == 0 and "2 kernels: all results agree" in done.stdout
    assert table["base"]["cells"]["ipv6"] == "works" and table["no-ipv6"]["cells"]["ipv6"] == "missing"
    done = work("--kernels", "no-nft-socket")
    assert done.returncode == 1
    assert "profile ipv6: predicted to work, but it does not work" in done.stdout
    assert (tmp_path / "out" / "no-nft-socket" / "console.txt").read_text().startswith("@up 6.1-stand-in")


def test_bisect_finds_the_commit_of_a_regression(work, stand_in):
    assert work("--kernels", "base", "--bisect").returncode == 0
    (stand_in / "end").write_text(PATCHED, encoding="ascii")
    commit(stand_in)
    done = work("--kernels", "base", "--bisect")
    assert done.returncode == 1
    assert "iptables-socket-4: predicted to work, but it is missing" in done.stdout


def test_two_sources_and_two_kernels_are_compared(work, stand_in, tmp_path):
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", stand_in, other], check=True)
    assert work("--compare", stand_in, other).returncode == 0
    (other / "end").write_text(PATCHED, encoding="ascii")
    done = work("--compare", stand_in, other)
    assert done.returncode == 1 and "capability iptables-socket-4: works -> missing" in done.stdout
    assert "capability ipv6: works -> missing" in work("--compare", "base", "no-ipv6").stdout
