"""tproxyctl apply does what plan prints, and revert restores the host (see lab.ctl.ctl_host)."""

import json
import re
import shutil
import subprocess

import pytest

from lab.ctl.ctl_host import CtlHost, arguments_for, differences, furnish, without
from lab.netns import firewall
from lab.netns.namespace import Namespace
from lab.paths import TPROXYCTL
from lab.setup.variants import both_families


each_firewall_tool = pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
each_recipe = pytest.mark.parametrize("which", ["divert", "tproxy", "local-route"])


@each_firewall_tool
@each_recipe
@both_families
def test_revert_restores_the_host(host, firewall_tool, which, family):
    before = host.snapshot()
    host.well("apply", *arguments_for(firewall_tool, which, family))
    assert differences(before, host.snapshot())
    host.well("revert")
    assert not differences(before, host.snapshot())
    assert not list(host.folder.glob("state*"))


@each_firewall_tool
@pytest.mark.parametrize("software", ["docker", "wg-quick", "ufw", "firewalld", "mangle"])
def test_hosts_with_rules_of_their_own_get_them_back(host, firewall_tool, software):
    furnish(host, software, firewall_tool)
    before = host.snapshot()
    host.well("apply", *arguments_for(firewall_tool, "tproxy"))
    host.well("status")
    host.well("revert")
    assert not differences(before, host.snapshot())


@each_firewall_tool
def test_the_same_plan_again_changes_nothing(host, firewall_tool):
    host.well("apply", *arguments_for(firewall_tool))
    before, state = host.snapshot(), host.state.read_bytes()
    assert "already applied" in host.well("apply", *arguments_for(firewall_tool)).stdout
    assert not differences(before, host.snapshot()) and host.state.read_bytes() == state


def test_another_plan_has_to_wait_for_revert(host):
    host.well("apply", *arguments_for("nft"))
    before = host.snapshot()
    done = host.ctl("apply", *arguments_for("nft"), "--mark", "7")
    assert done.returncode == 1 and "revert" in done.stderr
    assert before == host.snapshot()


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_marks_and_tables_of_others_are_refused_and_free_ones_proposed(host, command):
    furnish(host, "marks")
    before = host.snapshot()
    done = host.ctl(command, *arguments_for("iptables"))
    assert done.returncode == 1
    assert "mark 0x1" in done.stderr and "table 100" in done.stderr
    assert before == host.snapshot() and not host.state.exists()
    free = re.search(r"--mark \S+ --table \d+", done.stderr).group().split()
    host.well(command, *arguments_for("iptables"), *free)


@pytest.mark.parametrize(
    "line, text",
    [
        ("iptables-restore --noflush", "*mangle\n-A OUTPUT -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"),
        ("iptables-restore --noflush", "*filter\n-A INPUT -m mark --mark 0x1/0xff -j ACCEPT\nCOMMIT\n"),
        ("nft -f -", "table inet t { chain c { meta mark 0x1 accept; }; }\n"),
        ("nft -f -", "table inet t { chain c { meta mark set meta mark | 0x1; }; }\n"),
        ("nft -f -", "table inet t { chain c { meta mark { 0x1, 0x9 } accept; }; }\n"),
    ],
)
def test_a_mark_in_any_rule_is_seen(host, line, text):
    host.run(line, text=text)
    done = host.ctl("plan", *arguments_for("nft"))
    assert done.returncode == 1 and "mark 0x1 is already in use: " in done.stderr
    host.well("plan", *arguments_for("nft"), "--mark", "0x20")


@each_firewall_tool
def test_a_failure_halfway_reverts_everything(host, firewall_tool):
    furnish(host, "wg-quick", firewall_tool)
    before = host.snapshot()
    tools = host.folder / "broken"
    tools.mkdir()
    for name in ("ip6tables-restore", "ip6tables-legacy-restore", "nft"):
        real = shutil.which(name)
        broken = '[ "$1" = -f ] && grep -q "table ip6"' if name == "nft" else "grep -q -- -A"
        script = f"#!/bin/sh\nin=$(mktemp)\n[ \"$1\" = -j ] || cat >$in\n{broken} $in && {{ echo no such match >&2; exit 3; }}\n"
        (tools / name).write_text(script + f'{real} "$@" <$in\n', encoding="ascii")
        (tools / name).chmod(0o755)
    done = host.ctl("apply", *arguments_for(firewall_tool), path=str(tools))
    assert done.returncode == 1 and "no such match" in done.stderr and "everything was reverted" in done.stderr
    assert not differences(before, host.snapshot()) and not host.state.exists()


class TestOutputThatIsCut:
    """The output of a tool that is cut off is not used, although the tool exits with 0."""

    def cut(self, host, name):
        folder = host.folder / "cutting"
        folder.mkdir(exist_ok=True)
        real = shutil.which(name) or pytest.skip(f"absent: {name}")
        script = f'#!/bin/sh\nout=$({real} "$@") || exit\nprintf %s "$out" | head -c $((${{#out}} / 2))\n'
        (folder / name).write_text(script, encoding="ascii")
        (folder / name).chmod(0o755)
        return str(folder)

    @pytest.mark.parametrize("name", ["iptables-save", "iptables-legacy-save", "nft", "ip"])
    def test_apply_changes_nothing(self, host, name):
        furnish(host, "mangle", "iptables-legacy" if "legacy" in name else "iptables")
        before = host.snapshot()
        done = host.ctl("apply", *arguments_for("iptables"), path=self.cut(host, name))
        assert done.returncode == 2 and f"`{name}" in done.stderr, done.stderr
        assert before == host.snapshot() and not host.state.exists()

    @pytest.mark.parametrize(
        "firewall_tool, name",
        [("iptables", "iptables-save"), ("iptables", "nft"), ("iptables-legacy", "iptables-legacy-save"), ("nft", "nft")],
    )
    def test_revert_goes_on_another_time(self, host, firewall_tool, name):
        before = host.snapshot()
        host.well("apply", *arguments_for(firewall_tool))
        done = host.ctl("revert", path=self.cut(host, name))
        assert done.returncode == 1 and f"`{name}" in done.stderr and "cut" in done.stderr, done.stderr
        host.well("revert")
        assert not differences(before, host.snapshot())

    @pytest.mark.parametrize("firewall_tool, name", [("iptables", "iptables-save"), ("nft", "nft")])
    def test_status_does_not_take_it_for_gone(self, host, firewall_tool, name):
        host.well("apply", *arguments_for(firewall_tool))
        done = host.ctl("status", "--json", path=self.cut(host, name))
        found = {each["found"] for each in json.loads(done.stdout)["steps"] if each["kind"] == "firewall"}
        assert done.returncode == 1 and "unknown" in found and "gone" not in found


def test_a_tool_that_does_not_start_is_no_proof_that_a_table_is_gone(host):
    """ld.so has the same message, "No such file or directory", as nft for a table."""
    host.well("apply", *arguments_for("nft"))
    folder, before = host.folder / "unloadable", host.snapshot()
    folder.mkdir()
    message = "nft: error while loading shared libraries: libnftables.so.1: cannot open shared object file: No such file or directory"
    (folder / "nft").write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 127\n", encoding="ascii")
    (folder / "nft").chmod(0o755)
    done = host.ctl("status", "--json", path=str(folder))
    found = {each["found"] for each in json.loads(done.stdout)["steps"] if each["kind"] == "firewall"}
    assert done.returncode == 1 and found == {"unknown"}
    done = host.ctl("revert", path=str(folder))
    assert done.returncode == 1 and "libnftables" in done.stderr and host.state.exists()
    host.well("revert")
    assert before != host.snapshot() and not host.state.exists()


def test_a_plan_that_cannot_be_written_is_an_error(host):
    done = host.ctl("plan", *arguments_for("nft"), before=("sh", "-c", 'exec "$@" >/dev/full', "sh"))
    assert done.returncode == 2 and "the plan cannot be written" in done.stderr


class TestWithoutNft:
    """iptables that writes nftables rules makes a table, and only nft takes one away."""

    def ctl(self, host, *arguments):
        before, environment = without("nft")
        done = host.ctl(*arguments, before=before, environment=environment)
        if done.returncode == 77:
            pytest.skip("absent: mount namespaces within this one")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    def fix(self, host, output):
        """Run the commands of nft that revert prints."""
        commands = re.findall("`(nft delete [^`]+)`", output)
        for command in commands:
            host.run(command)
        return commands

    @pytest.mark.parametrize("hidden", [("apply", "revert"), ("revert",)])
    def test_what_remains_is_reported_with_the_command_that_removes_it(self, host, hidden):
        before = host.snapshot()
        for command, words in (("apply", arguments_for("iptables")), ("revert", ())):
            output = self.ctl(host, command, *words) if command in hidden else host.well(command, *words).stderr
        assert differences(before, host.snapshot()) and "stays" in output
        assert self.fix(host, output) == ["nft delete table ip6 mangle", "nft delete table ip mangle"]
        assert not differences(before, host.snapshot())

    def test_what_stayed_out_of_sight_at_apply_goes_with_nft_at_revert(self, host):
        before = host.snapshot()
        self.ctl(host, "apply", *arguments_for("iptables"))
        host.well("revert")
        assert not differences(before, host.snapshot())

    def test_a_table_that_other_programs_use_is_kept(self, host):
        furnish(host, "mangle")
        before = host.snapshot()
        self.ctl(host, "apply", *arguments_for("iptables"))
        assert not self.fix(host, self.ctl(host, "revert"))
        assert not differences(before, host.snapshot())

    def test_a_table_that_another_program_uses_by_now_is_kept(self, host):
        self.ctl(host, "apply", *arguments_for("iptables", family=4))
        host.run("iptables -t mangle -A OUTPUT -j ACCEPT")
        assert self.fix(host, self.ctl(host, "revert")) == ["nft delete chain ip mangle PREROUTING"]
        assert "-A OUTPUT -j ACCEPT" in host.run("iptables-save")


class TestToolsThatDoNotEnd:
    """A limit ends them and what they have started."""

    LIMIT = {"TPROXYCTL_TOOL_SECONDS": "4"}
    SAYS = "it did not end within 4 s, and was killed"

    def hang(self, host, name, when):
        """A folder with a tool that hangs under a condition of the shell; $in has its input."""
        folder = host.folder / "hanging"
        folder.mkdir(exist_ok=True)
        real = shutil.which(name) or pytest.skip(f"absent: {name}")
        script = f'#!/bin/sh\nin=$(mktemp)\n[ -p /dev/stdin ] && cat >$in\nif {when}; then sleep 1000; fi\nexec {real} "$@" <$in\n'
        (folder / name).write_text(script, encoding="ascii")
        (folder / name).chmod(0o755)
        return str(folder)

    def loader(self, firewall_tool, family):
        return "nft" if firewall_tool == "nft" else f"{'ip6' if family == 6 else 'ip'}{firewall_tool[2:]}-restore"

    @each_firewall_tool
    def test_what_was_done_before_is_reverted(self, host, firewall_tool):
        furnish(host, "wg-quick", firewall_tool)
        before = host.snapshot()
        path = self.hang(host, self.loader(firewall_tool, 6), "grep -q -e -A -e 'table ip6.*{' $in")
        done = host.ctl("apply", *arguments_for(firewall_tool), path=path, environment=self.LIMIT)
        assert done.returncode == 1 and self.SAYS in done.stderr and "everything was reverted" in done.stderr
        assert not differences(before, host.snapshot()) and not host.state.exists()

    @pytest.mark.parametrize(
        "firewall_tool, name",
        [("iptables", "ip"), ("iptables", "iptables-save"), ("iptables", "nft"), ("nft", "nft"), ("iptables-legacy", "iptables-legacy-save")],
    )
    def test_a_host_that_cannot_be_read_is_left_alone(self, host, firewall_tool, name):
        before = host.snapshot()
        path = self.hang(host, name, "true")
        done = host.ctl("apply", *arguments_for(firewall_tool), path=path, environment=self.LIMIT)
        assert done.returncode == 2 and self.SAYS in done.stderr and name in done.stderr
        assert before == host.snapshot() and not host.state.exists()

    @each_firewall_tool
    def test_revert_can_run_again(self, host, firewall_tool):
        before = host.snapshot()
        host.well("apply", *arguments_for(firewall_tool))
        path = self.hang(host, self.loader(firewall_tool, 4), "grep -q -e -D -e 'delete table' $in")
        done = host.ctl("revert", path=path, environment=self.LIMIT)
        assert done.returncode == 1 and self.SAYS in done.stderr
        host.well("revert")
        assert not differences(before, host.snapshot())


class TestOthersChanges:
    """What another program changed after apply stays as it is, and is reported."""

    def test_a_rule_that_is_gone(self, host):
        before = host.snapshot()
        host.well("apply", *arguments_for("nft"))
        preference = re.search(r"(\d+):.*fwmark", host.run("ip rule")).group(1)
        host.run(f"ip rule del pref {preference}")
        assert host.ctl("status").returncode == 1
        assert host.ctl("apply", *arguments_for("nft")).returncode == 1
        done = host.ctl("revert")
        assert done.returncode == 1 and "policy rule fwmark 0x1 table 100 is gone" in done.stderr
        assert not differences(before, host.snapshot()) and not host.state.exists()

    def test_a_sysctl_with_another_value(self, host):
        furnish(host, "wg-quick")
        host.well("apply", *arguments_for("iptables"))
        assert host.namespace.read_sysctl("net.ipv4.conf.all.accept_local") == ["1"]
        host.namespace.sysctl({"net.ipv4.conf.all.accept_local": 5})
        done = host.ctl("revert")
        assert done.returncode == 1 and "accept_local" in done.stderr
        assert host.namespace.read_sysctl("net.ipv4.conf.all.accept_local") == ["5"]
        assert not host.state.exists()

    @pytest.mark.parametrize("firewall_tool", ["iptables", "iptables-legacy"])
    def test_a_rule_in_our_chain(self, host, firewall_tool):
        host.well("apply", *arguments_for(firewall_tool))
        host.run(f"{firewall_tool} -t mangle -A TPROXYCTL -p udp -j RETURN")
        done = host.ctl("revert")
        assert done.returncode == 1 and "another program" in done.stderr
        assert "-A TPROXYCTL -p udp -j RETURN" in host.run(f"{firewall_tool}-save")
        assert "--comment tproxyctl" not in host.run(f"{firewall_tool}-save")

    def test_a_rule_in_our_table(self, host):
        host.well("apply", *arguments_for("nft"))
        host.run("nft add rule ip tproxyctl divert udp dport 9 accept")
        assert host.ctl("revert").returncode == 1
        left = host.run("nft list ruleset")
        assert "udp dport 9 accept" in left and 'comment "tproxyctl"' not in left


class TestBadInput:
    """A clear message, status 2, and no change."""

    @pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
    @pytest.mark.parametrize("wrong", [["--nonsense"], ["word"]])
    def test_unknown_arguments(self, host, command, wrong):
        done = host.ctl(command, *wrong)
        assert done.returncode == 2 and done.stderr and not done.stdout

    @pytest.mark.parametrize(
        "wrong",
        ["--listen=192.0.2.80", "--firewall-tool=pf", "--recipe=x", "--mark=0", "--table=254", "--config=/nowhere"],
    )
    def test_values(self, host, wrong):
        done = host.ctl("apply", wrong)
        assert done.returncode == 2 and done.stderr and not host.state.exists()

    def test_a_configuration_with_errors(self, host):
        file = host.folder / "cfg"
        file.write_text("listen l\n bind nonsense\n", encoding="ascii")
        done = host.ctl("apply", "--config", str(file))
        assert done.returncode == 2 and f"{file}:2: error" in done.stderr

    @pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
    def test_a_state_file_that_is_cut(self, host, command):
        host.well("apply", *arguments_for("nft"))
        before, whole = host.snapshot(), host.state.read_text(encoding="utf-8")
        arguments = arguments_for("nft") if command in ("plan", "apply") else ()
        for length in range(0, len(whole) - 2, 97):
            host.state.write_text(whole[:length], encoding="utf-8")
            done = host.ctl(command, *arguments)
            assert done.returncode == 2 and "damaged" in done.stderr, f"cut at {length}: {done.stderr}"
        assert before == host.snapshot()

    @pytest.mark.parametrize("text", ["[]", '"x"', '{"format": 1}', '{"format": 1, "boot": "x", "namespace": "y", "plan": {"steps": [{}]}}'])
    def test_a_state_file_of_something_else(self, host, text):
        host.state.write_text(text, encoding="ascii")
        assert host.ctl("revert").returncode == 2

    @pytest.mark.parametrize(
        "kind, key, value",
        [
            ("rule", "preference", ""),
            ("rule", "undo", "ip -4 route del 198.51.100.0/24"),
            ("route", "to", "198.51.100.0/24 dev eth0"),
            ("route", "table", None),
            ("firewall", "chains_before", [1]),
            ("firewall", "seen", 7),
            ("firewall", "state", "half done"),
        ],
    )
    @pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
    def test_a_state_file_that_is_damaged_inside(self, host, command, kind, key, value):
        host.well("apply", *arguments_for("iptables"))
        before, state = host.snapshot(), json.loads(host.state.read_text(encoding="utf-8"))
        step = next(step for step in state["plan"]["steps"] if step["kind"] == kind)
        step[key] = value
        text = json.dumps(state)
        host.state.write_text(text, encoding="utf-8")
        done = host.ctl(command, *(arguments_for("iptables") if command in ("plan", "apply") else ()))
        assert done.returncode == 2 and f"`{key}` of step" in done.stderr, done.stderr
        assert "Nothing was changed" in done.stderr and "ip rule show protocol 197" in done.stderr
        assert before == host.snapshot() and host.state.read_text(encoding="utf-8") == text

    def test_a_state_file_that_others_can_write_is_not_used(self, host):
        host.well("apply", *arguments_for("nft"))
        before = host.snapshot()
        host.state.chmod(0o666)
        done = host.ctl("revert")
        assert done.returncode == 2 and "users other than root can write the state file" in done.stderr
        assert before == host.snapshot()

    def test_what_shows_the_leftovers_of_a_lost_state_file(self, host):
        """The commands that the message names, run as they are printed."""
        host.well("apply", *arguments_for("nft"))
        host.state.write_text("[]", encoding="ascii")
        lines = host.ctl("revert").stderr.splitlines()[1:]
        shown = [host.namespace.run("sh", "-c", f"{command} || true") for line in lines for command in line.split(";")]
        assert len(lines) == 4 and any("fwmark" in text for text in shown) and any("divert" in text for text in shown)

    def test_a_state_file_of_another_namespace(self, host):
        host.well("apply", *arguments_for("nft"))
        other = Namespace("other")
        try:
            done = CtlHost(other, host.folder).ctl("revert")
            assert done.returncode == 2 and "another network namespace" in done.stderr
        finally:
            other.close()

    @pytest.mark.parametrize("tool, firewall_tool", [("ip", "nft"), ("nft", "nft"), ("iptables-restore", "iptables")])
    def test_a_tool_that_is_missing(self, host, tool, firewall_tool):
        """In a mount namespace where a file that cannot be run is in the tool's place."""
        before = host.snapshot()
        hide = f"mount --bind /dev/null $(readlink -f {shutil.which(tool)})"
        words = " ".join([TPROXYCTL, "apply", *arguments_for(firewall_tool), "--state", str(host.state)])
        with host.namespace:
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", f"{hide} && exec {words}"], capture_output=True, text=True, check=False
            )
        assert done.returncode == 2 and f"no program '{tool}'" in done.stderr, done.stderr
        assert before == host.snapshot() and not host.state.exists()

    def test_two_at_once(self, host):
        """The second one waits for the first, and then finds its plan applied."""
        with host.namespace:
            words = [TPROXYCTL, "apply", *arguments_for("nft"), "--state", str(host.state)]
            running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        output = sorted(each.communicate()[0].strip() for each in running)
        assert output == ["already applied", "applied"]


def test_revert_without_a_state_file_leaves_what_bears_our_name(host):
    before = host.snapshot()
    assert "nothing was applied" in host.well("revert").stdout
    host.well("apply", *arguments_for("nft"))
    kept = host.state.read_bytes()
    host.state.unlink()
    assert host.ctl("revert").returncode == 1
    assert host.ctl("apply", *arguments_for("nft")).returncode == 1
    host.state.write_bytes(kept)
    host.well("revert")
    assert not differences(before, host.snapshot())


@pytest.mark.parametrize("firewall_tool", ["iptables", "nft"])
def test_what_plan_prints_for_a_shell_does_what_apply_does(host, firewall_tool):
    before = host.snapshot()
    text = host.well("plan", *arguments_for(firewall_tool, "tproxy")).stdout
    host.run("sh -e", text=text)
    typed = host.snapshot()
    back = "".join(line[4:] + "\n" for line in text.splitlines() if line.startswith("#   "))
    host.run("sh -e", text=back)
    if firewall_tool == "nft":
        assert not differences(before, host.snapshot())
    if firewall_tool == "iptables":  # the table that comes by itself stays, where it is typed
        host.run("nft flush ruleset")
    host.well("apply", *arguments_for(firewall_tool, "tproxy"))
    assert not differences(typed, host.snapshot())


def test_ifupdown_lines_go_up_and_down(host):
    before = host.snapshot()
    text = host.well("plan", *arguments_for("nft", "tproxy"), "--format", "ifupdown").stdout
    for way in ("up", "down"):
        lines = [line.split(None, 1)[1] for line in text.splitlines() if line.split()[:1] == [way]]
        assert lines
        host.run("sh -e", text="\n".join(lines) + "\n")
    assert not differences(before, host.snapshot())


def test_nft_reads_the_format_nft(host):
    text = host.well("plan", *arguments_for("nft", "tproxy"), "--format", "nft").stdout
    host.run("nft -c -f -", text=text)


def test_formats_without_anything_to_do_say_so(host):
    assert "net.ipv4.tcp_tw_reuse = 1" in host.well("plan", "--format", "sysctl.d").stdout
    host.namespace.sysctl({"net.ipv4.tcp_tw_reuse": 1})
    assert "no sysctl needs to be set" in host.well("plan", "--format", "sysctl.d").stdout
    text = host.well("plan", "--format", "networkd").stdout
    assert "[RoutingPolicyRule]" in text and "Type=local" in text
    assert json.loads(host.well("plan", "--json").stdout)["recipe"] == "divert"


@pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
def test_help(command):
    done = subprocess.run([TPROXYCTL, command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: tproxyctl {command}")
