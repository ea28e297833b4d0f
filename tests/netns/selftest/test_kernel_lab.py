"""The kernel lab's command, and whole runs of it on a kernel that a script stands in for."""

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
    "words, text",
    [
        (["--kernels", "no-such"], "no kernel 'no-such'; there are: base"),
        (["--kernel", "/no/such/kernel"], "there is no kernel /no/such/kernel"),
        (["--confirm", "/no/such/list"], "/no/such/list: "),
        (["--confirm", "/etc/hostname"], "/etc/hostname: "),
        (["--config", "/no/such/config"], "there is no configuration"),
        (["--engine", "xen"], "invalid choice"),
        (["--profile", "fast"], "invalid choice"),
        (["--jobs", "0"], "a number above 0"),
        (["--kernels", "base", "--kernel", "x"], "not allowed"),
        (["--source", "/no/such/source"], "there is no /no/such/source"),
        (["--kernel", "/etc/hostname"], "no kernel at all"),
        (["--config", "/etc/hostname"], "no line of a kernel configuration"),
    ],
)
def test_wrong_arguments_are_said_with_status_2(words, text):
    done = kernel_lab(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr and done.stderr.startswith("kernel lab: ")


def test_without_qemu_nothing_is_built_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = kernel_lab("--engine", "qemu", "--cache", tmp_path / "cache")
    assert done.returncode == 2 and "`make deps-kernels-qemu` installs it" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_nothing_is_kept_where_a_run_takes_it_along():
    for option in ("--cache", "--out"):
        done = kernel_lab(option, "/run/folder", without="TPROXY_LAB_ISOLATED")
        assert done.returncode == 2 and "/run is private" in done.stderr


@pytest.mark.parametrize("words, status", [([], 1), (["--profile", "binding"], 0)])
def test_a_configuration_is_asked_without_booting_it(tmp_path, monkeypatch, words, status):
    path = program(tmp_path, ALL_ON.format(names=" ".join(all_on())))
    monkeypatch.setenv("TPROXYCTL", str(path))
    (tmp_path / "config").write_text("# CONFIG_IP_MULTIPLE_TABLES is not set\n", encoding="ascii")
    done = kernel_lab("--config", tmp_path / "config", *words)
    assert done.returncode == status and "CONFIG_OFF" in done.stdout
    assert "profile full                   off" in done.stdout and "profile binding                on" in done.stdout


def test_a_tproxyctl_that_cannot_be_asked_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))
    (tmp_path / "config").write_text("CONFIG_NET=y\n", encoding="ascii")
    done = kernel_lab("--config", tmp_path / "config")
    assert done.returncode == 2 and "no `check --kernel-config`" in done.stderr


def test_the_list_names_every_kernel_and_the_help_every_option():
    assert [line.split()[0] for line in kernel_lab("--list").stdout.splitlines()] == variants.names()
    text = kernel_lab("--help").stdout
    for option in ("--kernels", "--kernel", "--config", "--compare", "--engine", "--cache", "--within", "--bisect"):
        assert option in text


@pytest.mark.parametrize("words, status", [([], 1), (["--bisect"], 125)])
def test_a_kernel_that_panics_is_a_verdict_with_its_console(linux, tmp_path, words, status):
    (linux / "text").write_text(PANICS, encoding="ascii")
    done = kernel_lab("--source", linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none", *words)
    assert done.returncode == status
    assert "Kernel panic - not syncing: No working init found" in done.stdout + done.stderr


def test_what_does_not_fit_into_the_time_is_left_out_and_said(linux, tmp_path):
    words = ("--source", linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--kernels", "base", "no-ipv6")
    done = kernel_lab(*words, "--within", "1.5")
    assert done.returncode == 0 and "left out: base no-ipv6 (no time for them within 1.5 min)" in done.stdout
    assert "no kernel was judged" in done.stdout
    assert "left out: base no-ipv6 (not in the cache)" in kernel_lab(*words, "--cached").stdout


def test_two_kernels_that_do_not_boot_are_not_compared(linux, tmp_path):
    (linux / "text").write_text(PANICS, encoding="ascii")
    done = kernel_lab("--compare", linux, linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none")
    assert done.returncode == 2 and "does not boot: it panicked" in done.stderr


# --- whole runs ---


def test_accounts_that_do_not_agree_are_named_and_fail_the_run(work, tmp_path):
    """The stand-in has few capabilities and no legacy iptables, so predictions about those are not met."""
    done = work("--kernels", "base", "no-ipv6")
    table = {each["kernel"]: each for each in json.loads((tmp_path / "out" / "matrix.json").read_text())}
    assert done.returncode == 0 and "2 kernels, and all accounts agree" in done.stdout
    assert table["base"]["cells"]["ipv6"] == "works" and table["no-ipv6"]["cells"]["ipv6"] == "missing"
    done = work("--kernels", "no-nft-socket")
    assert done.returncode == 1
    assert "profile ipv6: predicted was that it can be had, and it can't be had" in done.stdout
    assert (tmp_path / "out" / "no-nft-socket" / "console.txt").read_text().startswith("@up 6.1-stand-in")


def test_a_regression_is_one_commits(work, stand_in):
    assert work("--kernels", "base", "--bisect").returncode == 0
    (stand_in / "end").write_text(PATCHED, encoding="ascii")
    commit(stand_in)
    done = work("--kernels", "base", "--bisect")
    assert done.returncode == 1
    assert "iptables-socket-4: predicted was that it works, and it is missing" in done.stdout


def test_two_sources_are_compared(work, stand_in, tmp_path):
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", stand_in, other], check=True)
    assert work("--compare", stand_in, other).returncode == 0
    (other / "end").write_text(PATCHED, encoding="ascii")
    done = work("--compare", stand_in, other)
    assert done.returncode == 1 and "capability iptables-socket-4: works -> missing" in done.stdout
    assert "capability ipv6: works -> missing" in work("--compare", "base", "no-ipv6").stdout
