"""tproxyctl apply does what plan says, and after revert the host is as it was, whatever happened between.

What "as it was" means is read with the host's own tools: both iptables, nft, ip, and every sysctl. A
tool that stands first on PATH kills tproxyctl at any of its calls, so each place to die at is tried.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lab import patience, recipe
from lab.lab import Lab
from lab.namespace import Namespace
from lab.variants import both_families

ROOT = Path(__file__).resolve().parents[3]
TPROXYCTL = os.environ.get("TPROXYCTL", str(ROOT / "build" / "tproxyctl"))
TPROXYD = os.environ.get("TPROXYD", str(ROOT / "build" / "tproxyd"))
HOSTS = ROOT / "fixtures" / "hosts"

SAVES = ("iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save")
LISTINGS = (
    "nft list ruleset",
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -6 route show table all",
)
TOOLS = ("iptables", *SAVES, *(each.replace("save", "restore") for each in SAVES), "nft", "ip")
ALIVE = re.compile("nf_conntrack_count|/stable_secret|route/flush")  # change by themselves, or cannot be read

LISTEN = {4: "192.0.2.80:80", 6: "[2001:db8:f::80]:80"}
SERVER = {4: "203.0.113.20", 6: "2001:db8:5::20"}
EVERYTHING = [f"--listen={each}" for each in (*LISTEN.values(), "192.0.2.80:53/udp", "0.0.0.0:8000")]
EVERYTHING += [f"--server={each}" for each in SERVER.values()]

each_backend = pytest.mark.parametrize("backend", recipe.BACKENDS)
each_recipe = pytest.mark.parametrize("which", ["divert", "tproxy", "local-route"])

KILLER = """\
#!/bin/sh
calls=$(($(cat {folder}/calls) + 1))
echo $calls >{folder}/calls
name=${{0##*/}}
if [ $calls = {at} ]; then
    [ {when} = after ] && {{ {real} "$@"; }}
    kill -9 $PPID
    [ {when} = meanwhile ] && exec {real} "$@"
    exit 1
fi
exec {real} "$@"
"""


class Box:
    """A host in a namespace, and tproxyctl on it."""

    def __init__(self, namespace, folder):
        self.namespace = namespace
        self.folder = folder
        self.state = folder / "state.json"

    def ctl(self, *arguments, path=None, state=None):
        """Run it and return what it did; `path` is a folder that comes first on PATH."""
        words = [TPROXYCTL, *arguments, "--state", str(state or self.state)]
        with self.namespace:
            return subprocess.run(
                words, capture_output=True, text=True, env=self._environment(path), timeout=60, check=False
            )

    def well(self, *arguments, **rest):
        done = self.ctl(*arguments, **rest)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def _environment(self, path):
        lock = {"XTABLES_LOCKFILE": str(self.folder / "xtables.lock")}
        return {**os.environ, **lock, "PATH": os.pathsep.join(filter(None, [path, os.environ["PATH"]]))}

    def run(self, line, text=None):
        lock = {"XTABLES_LOCKFILE": str(self.folder / "xtables.lock")}
        return self.namespace.run(*line.split(), text=text, environment=lock)

    def snapshot(self):
        """All that a revert has to bring back."""
        with self.namespace:
            made = {line: _output(line.split()) for line in LISTINGS}
            saved = {name: _without_dates(_output([name])) for name in SAVES if shutil.which(name)}
            return {**made, **saved, "sysctls": _sysctls()}

    def furnish(self, name, backend="iptables"):
        """Give the host the rules of fixtures/hosts."""
        program = "iptables-legacy" if backend == "iptables-legacy" else "iptables"
        for kind, command in (
            ("ip", "ip -batch -"),
            ("ip6", "ip -6 -batch -"),
            ("iptables", f"{program}-restore --noflush"),
            ("ip6tables", f"{program.replace('ip', 'ip6', 1)}-restore --noflush"),
            ("nft", "nft -f -"),
        ):
            file = HOSTS / f"{name}.{kind}"
            if file.exists():
                self.run(command, text=file.read_text(encoding="ascii"))
        file = HOSTS / f"{name}.sysctl"
        if file.exists():
            self.namespace.sysctl(dict(line.split("=") for line in file.read_text(encoding="ascii").split()))

    def killer(self, at, when):
        """A folder of tools of which the one called as number `at` kills its caller."""
        folder = self.folder / "killer"
        folder.mkdir(exist_ok=True)
        (folder / "calls").write_text("0\n", encoding="ascii")
        for name in TOOLS:
            real = shutil.which(name)
            if real:
                script = KILLER.format(folder=folder, at=at, when=when, real=real)
                (folder / name).write_text(script, encoding="ascii")
                (folder / name).chmod(0o755)
        return str(folder)


def _output(words):
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def _without_dates(text):
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def _sysctls():
    found = {}
    for folder, _, names in os.walk("/proc/sys/net"):
        for name in names:
            path = os.path.join(folder, name)
            if not ALIVE.search(path) and os.access(path, os.R_OK):
                try:
                    found[path] = Path(path).read_text(encoding="utf-8", errors="replace")
                except OSError:
                    pass
    return found


def differences(before, after):
    """What differs, by its listing; iptables-legacy's empty tables apart, which nothing takes back."""
    made = {}
    for name, text in after.items():
        old = before[name]
        if name.endswith("legacy-save"):
            old, text = _in_use(old), _in_use(text)
        if old != text:
            made[name] = (old, text)
    return made


def _in_use(save):
    """A listing without the table mangle where that is empty."""
    tables = re.findall(r"^\*.*?^COMMIT$", save, re.M | re.S)
    empty = re.compile(r"\*mangle\n(:[A-Z]+ ACCEPT \[\d+:\d+\]\n)+COMMIT")
    return [table for table in tables if not empty.fullmatch(table)]


@pytest.fixture
def box(tmp_path):
    namespace = Namespace("host")
    namespace.ip("link set lo up", "link add eth0 type veth peer eth1", "addr add 198.51.100.1/24 dev eth0", "link set eth0 up")
    yield Box(namespace, tmp_path)
    namespace.close()


def arguments_for(backend, which="divert", family=None):
    wanted = EVERYTHING if family is None else [f"--listen={LISTEN[family]}", f"--server={SERVER[family]}"]
    return [*wanted, "--backend", backend, "--recipe", which]


@each_backend
@each_recipe
@both_families
def test_revert_brings_back_what_was(box, backend, which, family):
    before = box.snapshot()
    box.well("apply", *arguments_for(backend, which, family))
    assert differences(before, box.snapshot())
    box.well("revert")
    assert not differences(before, box.snapshot())
    assert not list(box.folder.glob("state*"))


@each_backend
@pytest.mark.parametrize("host", ["docker", "wg-quick", "ufw", "firewalld", "mangle"])
def test_hosts_with_rules_of_their_own_get_them_back(box, backend, host):
    box.furnish(host, backend)
    before = box.snapshot()
    box.well("apply", *arguments_for(backend, "tproxy"))
    box.well("status")
    box.well("revert")
    assert not differences(before, box.snapshot())


@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
@pytest.mark.parametrize("victim", ["apply", "revert"])
@each_backend
def test_killed_at_any_call_it_is_taken_back(box, backend, victim, when):
    box.furnish("wg-quick", backend)
    arguments = arguments_for(backend)
    box.well("apply", *arguments)  # registers what iptables-legacy registers
    box.well("revert")
    before = box.snapshot()
    at, killed = 1, True
    while killed:
        if victim == "revert":
            box.well("apply", *arguments)
        done = box.ctl(victim, *(arguments if victim == "apply" else ()), path=box.killer(at, when))
        killed = done.returncode == -signal.SIGKILL
        box.well("revert")
        assert not differences(before, box.snapshot()), f"killed {when} call {at}"
        at += 1
    assert at > 10, "the tools were called"
    box.well("apply", *arguments)
    box.well("revert")
    assert not differences(before, box.snapshot())


@each_backend
def test_after_a_kill_apply_goes_on_by_itself_and_status_tells(box, backend):
    arguments = arguments_for(backend)
    before = box.snapshot()
    at, interrupted, killed = 1, 0, True
    while killed:
        killed = box.ctl("apply", *arguments, path=box.killer(at, "after")).returncode == -signal.SIGKILL
        if killed and box.state.exists():
            told = box.ctl("status", "--json")
            assert told.returncode == 1 and json.loads(told.stdout)["interrupted"], told.stdout
            interrupted += 1
        box.well("apply", *arguments)
        box.well("status")
        box.well("revert")
        assert not differences(before, box.snapshot()), f"killed after call {at}"
        at += 1
    assert interrupted > 3


@each_backend
def test_the_same_plan_again_changes_nothing(box, backend):
    box.well("apply", *arguments_for(backend))
    before, state = box.snapshot(), box.state.read_bytes()
    assert "already applied" in box.well("apply", *arguments_for(backend)).stdout
    assert not differences(before, box.snapshot()) and box.state.read_bytes() == state


def test_another_plan_has_to_wait_for_revert(box):
    box.well("apply", *arguments_for("nft"))
    before = box.snapshot()
    done = box.ctl("apply", *arguments_for("nft"), "--mark", "7")
    assert done.returncode == 1 and "revert" in done.stderr
    assert before == box.snapshot()


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_marks_and_tables_of_others_are_refused_and_free_ones_proposed(box, command):
    box.furnish("marks")
    before = box.snapshot()
    done = box.ctl(command, *arguments_for("iptables"))
    assert done.returncode == 1
    assert "mark 0x1" in done.stderr and "table 100" in done.stderr
    assert before == box.snapshot() and not box.state.exists()
    free = re.search(r"--mark \S+ --table \d+", done.stderr).group().split()
    box.well(command, *arguments_for("iptables"), *free)


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
def test_a_mark_in_any_rule_is_seen(box, line, text):
    box.run(line, text=text)
    done = box.ctl("plan", *arguments_for("nft"))
    assert done.returncode == 1 and "mark 0x1 is somebody else's" in done.stderr
    box.well("plan", *arguments_for("nft"), "--mark", "0x20")


@each_backend
def test_a_failure_halfway_takes_everything_back(box, backend):
    box.furnish("wg-quick", backend)
    before = box.snapshot()
    tools = box.folder / "broken"
    tools.mkdir()
    for name in ("ip6tables-restore", "ip6tables-legacy-restore", "nft"):
        real = shutil.which(name)
        broken = '[ "$1" = -f ] && grep -q "table ip6"' if name == "nft" else "grep -q -- -A"
        script = f"#!/bin/sh\nin=$(mktemp)\n[ \"$1\" = -j ] || cat >$in\n{broken} $in && {{ echo no such match >&2; exit 3; }}\n"
        (tools / name).write_text(script + f'{real} "$@" <$in\n', encoding="ascii")
        (tools / name).chmod(0o755)
    done = box.ctl("apply", *arguments_for(backend), path=str(tools))
    assert done.returncode == 1 and "no such match" in done.stderr and "taken back" in done.stderr
    assert not differences(before, box.snapshot()) and not box.state.exists()


class TestOthersChanges:
    """What somebody else did to our things in between is left, and said."""

    def test_a_rule_that_is_gone(self, box):
        before = box.snapshot()
        box.well("apply", *arguments_for("nft"))
        preference = re.search(r"(\d+):.*fwmark", box.run("ip rule")).group(1)
        box.run(f"ip rule del pref {preference}")
        assert box.ctl("status").returncode == 1
        assert box.ctl("apply", *arguments_for("nft")).returncode == 1
        done = box.ctl("revert")
        assert done.returncode == 1 and "policy rule fwmark 0x1 table 100 is gone" in done.stderr
        assert not differences(before, box.snapshot()) and not box.state.exists()

    def test_a_sysctl_with_another_value(self, box):
        box.furnish("wg-quick")
        box.well("apply", *arguments_for("iptables"))
        assert box.namespace.read_sysctl("net.ipv4.conf.all.accept_local") == ["1"]
        box.namespace.sysctl({"net.ipv4.conf.all.accept_local": 5})
        done = box.ctl("revert")
        assert done.returncode == 1 and "accept_local" in done.stderr
        assert box.namespace.read_sysctl("net.ipv4.conf.all.accept_local") == ["5"]
        assert not box.state.exists()

    @pytest.mark.parametrize("backend", ["iptables", "iptables-legacy"])
    def test_a_rule_in_our_chain(self, box, backend):
        box.well("apply", *arguments_for(backend))
        box.run(f"{backend} -t mangle -A TPROXYCTL -p udp -j RETURN")
        done = box.ctl("revert")
        assert done.returncode == 1 and "somebody else" in done.stderr
        assert "-A TPROXYCTL -p udp -j RETURN" in box.run(f"{backend}-save")
        assert "--comment tproxyctl" not in box.run(f"{backend}-save")

    def test_a_rule_in_our_table(self, box):
        box.well("apply", *arguments_for("nft"))
        box.run("nft add rule ip tproxyctl divert udp dport 9 accept")
        assert box.ctl("revert").returncode == 1
        left = box.run("nft list ruleset")
        assert "udp dport 9 accept" in left and 'comment "tproxyctl"' not in left


class TestBadInput:
    """A clear message, status 2, and nothing was changed."""

    @pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
    @pytest.mark.parametrize("wrong", [["--nonsense"], ["word"]])
    def test_unknown_arguments(self, box, command, wrong):
        done = box.ctl(command, *wrong)
        assert done.returncode == 2 and done.stderr and not done.stdout

    @pytest.mark.parametrize(
        "wrong",
        ["--listen=192.0.2.80", "--backend=pf", "--recipe=x", "--mark=0", "--table=254", "--config=/nowhere"],
    )
    def test_values(self, box, wrong):
        done = box.ctl("apply", wrong)
        assert done.returncode == 2 and done.stderr and not box.state.exists()

    def test_a_configuration_with_errors(self, box):
        file = box.folder / "cfg"
        file.write_text("listen l\n bind nonsense\n", encoding="ascii")
        done = box.ctl("apply", "--config", str(file))
        assert done.returncode == 2 and f"{file}:2: error" in done.stderr

    @pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
    def test_a_state_file_that_is_cut(self, box, command):
        box.well("apply", *arguments_for("nft"))
        before, whole = box.snapshot(), box.state.read_text(encoding="utf-8")
        arguments = arguments_for("nft") if command in ("plan", "apply") else ()
        for length in range(0, len(whole) - 2, 97):
            box.state.write_text(whole[:length], encoding="utf-8")
            done = box.ctl(command, *arguments)
            assert done.returncode == 2 and "damaged" in done.stderr, f"cut at {length}: {done.stderr}"
        assert before == box.snapshot()

    @pytest.mark.parametrize("text", ["[]", '"x"', '{"format": 1}', '{"format": 1, "boot": "x", "namespace": "y", "plan": {"steps": [{}]}}'])
    def test_a_state_file_of_something_else(self, box, text):
        box.state.write_text(text, encoding="ascii")
        assert box.ctl("revert").returncode == 2

    def test_a_state_file_of_another_namespace(self, box):
        box.well("apply", *arguments_for("nft"))
        other = Namespace("other")
        try:
            done = Box(other, box.folder).ctl("revert")
            assert done.returncode == 2 and "another network namespace" in done.stderr
        finally:
            other.close()

    @pytest.mark.parametrize("tool, backend", [("ip", "nft"), ("nft", "nft"), ("iptables-restore", "iptables")])
    def test_a_tool_that_is_missing(self, box, tool, backend):
        """In a mount namespace where a file that cannot be run is in the tool's place."""
        before = box.snapshot()
        hide = f"mount --bind /dev/null $(readlink -f {shutil.which(tool)})"
        words = " ".join([TPROXYCTL, "apply", *arguments_for(backend), "--state", str(box.state)])
        with box.namespace:
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", f"{hide} && exec {words}"], capture_output=True, text=True, check=False
            )
        assert done.returncode == 2 and f"no program '{tool}'" in done.stderr, done.stderr
        assert before == box.snapshot() and not box.state.exists()

    def test_two_at_once(self, box):
        """Whoever comes second waits for the first, and then finds its plan applied."""
        with box.namespace:
            words = [TPROXYCTL, "apply", *arguments_for("nft"), "--state", str(box.state)]
            running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        told = sorted(each.communicate()[0].strip() for each in running)
        assert told == ["already applied"] * 3 + ["applied"]


def test_revert_without_a_state_file_leaves_what_bears_our_name(box):
    before = box.snapshot()
    assert "nothing was applied" in box.well("revert").stdout
    box.well("apply", *arguments_for("nft"))
    kept = box.state.read_bytes()
    box.state.unlink()
    assert box.ctl("revert").returncode == 1
    assert box.ctl("apply", *arguments_for("nft")).returncode == 1
    box.state.write_bytes(kept)
    box.well("revert")
    assert not differences(before, box.snapshot())


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_what_plan_prints_for_a_shell_does_what_apply_does(box, backend):
    before = box.snapshot()
    text = box.well("plan", *arguments_for(backend, "tproxy")).stdout
    box.run("sh -e", text=text)
    typed = box.snapshot()
    back = "".join(line[4:] + "\n" for line in text.splitlines() if line.startswith("#   "))
    box.run("sh -e", text=back)
    if backend == "nft":
        assert not differences(before, box.snapshot())
    if backend == "iptables":  # the table that comes by itself stays, where it is typed
        box.run("nft flush ruleset")
    box.well("apply", *arguments_for(backend, "tproxy"))
    assert not differences(typed, box.snapshot())


def test_ifupdown_lines_go_up_and_down(box):
    before = box.snapshot()
    text = box.well("plan", *arguments_for("nft", "tproxy"), "--format", "ifupdown").stdout
    for way in ("up", "down"):
        lines = [line.split(None, 1)[1] for line in text.splitlines() if line.split()[:1] == [way]]
        assert lines
        box.run("sh -e", text="\n".join(lines) + "\n")
    assert not differences(before, box.snapshot())


def test_nft_reads_the_format_nft(box):
    text = box.well("plan", *arguments_for("nft", "tproxy"), "--format", "nft").stdout
    box.run("nft -c -f -", text=text)


def test_formats_without_anything_to_do_say_so(box):
    assert "no sysctl has to be set" in box.well("plan", "--format", "sysctl.d").stdout
    text = box.well("plan", "--format", "networkd").stdout
    assert "[RoutingPolicyRule]" in text and "Type=local" in text
    assert json.loads(box.well("plan", "--json").stdout)["recipe"] == "divert"


@pytest.mark.parametrize("command", ["plan", "apply", "revert", "status"])
def test_help(command):
    done = subprocess.run([TPROXYCTL, command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: tproxyctl {command}")


CONFIGURATION = """\
defaults
    mode tcp
    timeout connect 3s
    timeout client  1m
    timeout server  1m
frontend ft_application
    bind {bind} {words}
    default_backend bk_application
backend bk_application
    source 0.0.0.0 usesrc clientip
    server s1 {server}
"""

HARMFUL = {
    "as it is": {},
    "src_valid_mark": {"net.ipv4.conf.all.src_valid_mark": 1},
    "src_valid_mark of a link": {"net.ipv4.conf.server0.src_valid_mark": 1},
    "src_valid_mark and rp_filter": {"net.ipv4.conf.all.src_valid_mark": 1, "net.ipv4.conf.all.rp_filter": 1},
}


class Daemon:
    """tproxyd -f FILE."""

    def __init__(self, box, file):
        with box.namespace:
            self.process = subprocess.Popen([TPROXYD, "-f", str(file)], stderr=subprocess.PIPE, text=True)


@pytest.fixture
def inline(family, backend, tmp_path):
    made = Lab(None, family, "inline", backend, divert=False)
    yield made
    made.close()


def serve_with_two_commands(inline, tmp_path, bind, backend, which="divert", words="transparent"):
    """tproxyctl apply --config F, then tproxyd -f F; what the server sees, and the box."""
    box = Box(inline.proxy.namespace, tmp_path)
    file = tmp_path / "tproxyd.cfg"
    server = f"[{inline.server.address}]:8080" if inline.family == 6 else f"{inline.server.address}:8080"
    file.write_text(CONFIGURATION.format(bind=bind, words=words, server=server), encoding="ascii")
    before = box.snapshot()
    box.well("apply", "--config", str(file), "--backend", backend, "--recipe", which)
    inline.server.serve(inline.backend_server)
    daemon = Daemon(box, file)
    try:
        patience.until(lambda: daemon.process.poll() is not None or _listens(inline), "tproxyd listens")
        assert daemon.process.poll() is None, daemon.process.stderr.read()
        flow = inline.client.connect(inline.vip)
        flow.exchange()
        assert flow.peer_seen_by_server.address == inline.client.address
    finally:
        daemon.process.kill()
        daemon.process.wait()
    box.well("revert")
    assert not differences(before, box.snapshot())


def _listens(inline):
    return any(local.port == inline.vip.port for _, local, _ in inline.proxy.sockets("LISTEN"))


@each_backend
@each_recipe
@both_families
def test_two_commands_make_the_walkthrough_work(inline, tmp_path, family, backend, which):
    serve_with_two_commands(inline, tmp_path, LISTEN[family], backend, which)


@pytest.mark.parametrize("family, bind", [(4, "0.0.0.0:80"), (6, "[::]:80"), (4, "[::]:80")])
@pytest.mark.parametrize("which", ["divert", "tproxy"])
@each_backend
def test_a_wildcard_listener(inline, tmp_path, bind, backend, which):
    words = "transparent v4v6" if bind.startswith("[") else "transparent"
    serve_with_two_commands(inline, tmp_path, bind, backend, which, words)


@pytest.mark.parametrize("harm", HARMFUL)
@pytest.mark.parametrize("family, backend", [(4, "iptables"), (4, "nft")])
def test_harmful_sysctls_are_mended(inline, tmp_path, backend, harm):
    inline.proxy.namespace.sysctl(HARMFUL[harm])
    serve_with_two_commands(inline, tmp_path, LISTEN[4], backend)
