"""tproxyctl check prints its published format on every host, and reports what it cannot read.

Tools are hidden by /dev/null over them in a mount namespace, since tproxyctl finds them without PATH,
too; those that print half of what they should come first on PATH.
"""

import gzip
import json
import shutil
import socket
import subprocess
from contextlib import contextmanager

import pytest

from lab import schema, waiting
from lab.ctl import checklist
from lab.ctl.ctl_host import EVERYTHING, CtlHost
from lab.netns.constants import IP_LEVEL, IP_TRANSPARENT
from lab.netns.namespace import Namespace
from lab.paths import ROOT, TPROXYCTL

FORM = "fixtures/schema/check.schema.json"
SCHEMA = json.loads((ROOT / FORM).read_text(encoding="utf-8"))

HALF = """\
#!/bin/sh
{real} "$@" >{folder}/whole || exit
head -c $(($(wc -c <{folder}/whole) / 2)) {folder}/whole
"""
SILENT = "#!/bin/sh\n"
FAILS = "#!/bin/sh\necho 'it is broken' >&2\necho 'for a second line of reasons' >&2\nexit 3\n"

HEADING = "# Linux/x86 6.1.0 Kernel Configuration\n"
OPTIONS = "CONFIG_NET=y\nCONFIG_INET=y\n# CONFIG_NETFILTER is not set\n"


class Checked(CtlHost):
    """A host in a namespace that check looks at."""

    def check(self, *arguments, path=None, before=(), program=TPROXYCTL):
        words = [*before, program, "check", *arguments]
        environment = {**self._environment(path), "XTABLES_LOCKFILE": "/dev/null"}
        with self.namespace:
            done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=2 * waiting.seconds, check=False)
        if done.returncode == 77:
            pytest.skip("absent: mounts within this namespace")
        return done

    def printed(self, *arguments, errors="", **rest):
        """Its JSON output, which has the published format; stderr must contain `errors`."""
        done = self.check("--json", *arguments, **rest)
        assert done.returncode in checklist.STATUSES, done.stderr
        assert errors in done.stderr if errors else done.stderr == "", done.stderr
        made = json.loads(done.stdout)
        assert not schema.problems(made, SCHEMA)
        checklist.agrees(made, done.returncode)
        return made

    def refused(self, *arguments, errors, **rest):
        """It exits with status 2, writes only to stderr, and changes nothing."""
        before = self.snapshot()
        done = self.check(*arguments, **rest)
        assert (done.returncode, done.stdout) == (2, "") and errors in done.stderr, done.stderr
        assert before == self.snapshot()

    def tool(self, name, script):
        """A folder with a program in place of one of the host's."""
        folder = self.folder / "tools"
        folder.mkdir()
        real = shutil.which(name) or pytest.skip(f"absent: {name}")
        (folder / name).write_text(script.format(real=real, folder=folder), encoding="ascii")
        (folder / name).chmod(0o755)
        return str(folder)


def states(made):
    return {item["id"]: item["state"] for item in made["items"]}


def reads(made, name):
    return [each["read"] for item in made["items"] if item["id"] == name for each in item["findings"]]


def wrong(made):
    return [name for name, state in states(made).items() if state in ("missing", "harmful")]


@contextmanager
def listener(host):
    """A transparent listener at the VIP, as of a proxy."""
    with host.namespace, socket.socket() as made:
        made.setsockopt(IP_LEVEL[4], IP_TRANSPARENT[4], 1)
        made.bind(("192.0.2.80", 80))
        made.listen()
        yield


def hidden(*tools):
    lines = [f"mount --bind /dev/null $(readlink -f {shutil.which(tool)}) || exit 77" for tool in tools]
    return ("unshare", "-m", "sh", "-c", "\n".join([*lines, 'exec "$@"']), "sh")


@pytest.fixture
def host(tmp_path):
    namespace = Namespace("host")
    lines = ("link set lo up", "link add eth0 type veth peer eth1", "link set eth0 up")
    namespace.ip(*lines, "addr add 198.51.100.1/24 dev eth0", "route add 203.0.113.0/24 via 198.51.100.2")
    yield Checked(namespace, tmp_path)
    namespace.close()


def well_set_up(host, firewall_tool="nft"):
    host.well("apply", "--listen=192.0.2.80:80", "--server=203.0.113.20", "--firewall-tool", firewall_tool)


PROXY_ITEMS = ["listener", "capability", "other-listener", "limits"]
ASKED = ("--listen=192.0.2.80:80", "--server=203.0.113.20")


# --- the published form ---


def test_a_bare_host(host):
    before = host.snapshot()
    made = host.printed(*EVERYTHING)
    assert not made["well"] and states(made)["divert"] == "missing"
    assert before == host.snapshot()


def test_a_host_that_was_set_up(host):
    well_set_up(host)
    before = host.snapshot()
    made = host.printed(*ASKED)
    assert states(made)["divert"] == "ok" and made["not_judged"] == PROXY_ITEMS
    assert made["to_judge"] == ["start the proxy"]
    assert before == host.snapshot()


def test_a_host_without_a_link(host):
    """There is no rule and nothing was judged, so the result must not be ok."""
    bare = Namespace("bare")
    try:
        made = Checked(bare, host.folder).printed(*ASKED)
    finally:
        bare.close()
    assert not made["well"] and {"divert", "mark", "ip-rule", "ip-route", "filter"} <= set(made["not_judged"])
    judged = {name for name, state in states(made).items() if state == "ok"}
    assert judged <= {"kernel", "transparent", "fragments", "backends", "ip_forward", "ip_nonlocal_bind", "ip_early_demux"}
    assert any("bring a link up, or name a client (--client ADDR)" in each for each in made["to_judge"])


def test_a_host_with_its_proxy(host):
    """Everything on this host was judged, so the status is 0; items of other hosts do not change it."""
    well_set_up(host)
    with listener(host):
        made = host.printed(*ASKED)
    assert made["well"] and states(made)["announce"] == "unknown"


def test_the_text_for_people_says_the_same(host):
    printed = host.check(*ASKED).stdout.split("\n\n")
    assert printed[0].startswith("listeners: 192.0.2.80:80\n") and printed[1].startswith("missing   divert: ")
    well_set_up(host)
    done = host.check(*ASKED)
    assert done.returncode == 3 and "Nothing is missing or harmful so far, but " in done.stdout
    assert "items were not judged. To judge them: start the proxy; then check again." in " ".join(done.stdout.split())
    with listener(host):
        done = host.check(*ASKED)
    assert done.returncode == 0 and "\nNothing is missing or harmful.\n" in done.stdout


@pytest.mark.parametrize("pack", [lambda text: text, gzip.compress])
def test_a_kernels_configuration_alone(host, tmp_path, pack):
    file = tmp_path / "config"
    file.write_bytes(pack((HEADING + OPTIONS).encode("ascii")))
    made = host.printed("--kernel-config", str(file))
    assert list(states(made)) == ["kernel"] and states(made)["kernel"] == "missing"
    assert (made["kernel"]["source"], made["kernel"]["version"]) == (str(file), "6.1.0")


def test_a_fragment_of_a_configuration(host, tmp_path):
    file = tmp_path / "fragment"
    file.write_text("CONFIG_INET=y\n", encoding="ascii")
    made = host.printed("--kernel-config", str(file))
    assert states(made)["kernel"] == "unknown" and made["kernel"]["version"] is None


def test_an_ordinary_user_gets_a_message_about_what_is_hidden(host, for_everybody):
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    if subprocess.run([*user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("absent: another user")
    well_set_up(host)
    made = host.printed(*ASKED, before=user, program=for_everybody, errors="save`: ")
    assert not made["well"] and states(made)["divert"] == "unknown" and "run as root" in made["to_judge"]
    assert states(made)["server-route"] == "ok"


# --- arguments ---


@pytest.mark.parametrize(
    "words, errors",
    [
        (["--nonsense"], "nonsense"),
        (["more"], "more"),
        (["--watch", "0"], "--watch '0': not a number of seconds from 1 to 3600"),
        (["--watch", "3601"], "--watch '3601'"),
        (["--watch", "-1"], "--watch '-1'"),
        (["--watch", "5s"], "--watch '5s'"),
        (["--watch", "soon"], "--watch 'soon'"),
        (["--watch", ""], "--watch ''"),
        (["--watch"], "watch"),
        (["--listen", "192.0.2.80"], "--listen '192.0.2.80'"),
        (["--client", "somebody"], "--client 'somebody'"),
        (["--config", "/nonexistent/tproxyd.cfg"], "/nonexistent/tproxyd.cfg"),
        (["--config", "/dev"], "/dev"),
        (["--kernel-config", "/nonexistent/config"], "/nonexistent/config"),
        (["--kernel-config", "/dev"], "/dev"),
    ],
)
def test_wrong_arguments_are_reported(host, words, errors):
    host.refused(*words, errors=errors)


def test_a_configuration_with_errors(host, tmp_path):
    file = tmp_path / "cfg"
    file.write_text("listen l\n bind nonsense\n", encoding="ascii")
    host.refused("--config", str(file), errors=f"{file}:2: error")


def test_a_configuration_and_options_are_one_too_many(host, tmp_path):
    file = tmp_path / "cfg"
    file.write_text("listen l\n bind 192.0.2.80:80\n", encoding="ascii")
    host.refused("--config", str(file), "--listen=192.0.2.80:80", errors="either --config")


def test_a_kernel_configuration_that_is_none(host):
    host.refused("--kernel-config", TPROXYCTL, errors=TPROXYCTL)


@pytest.mark.parametrize("pack", [lambda text: text, gzip.compress])
def test_a_kernel_configuration_that_is_cut_off(host, tmp_path, pack):
    whole = pack((HEADING + OPTIONS).encode("ascii"))
    file = tmp_path / "config"
    for length in (0, len(whole) // 3, len(whole) // 2, len(whole) - 3):
        file.write_bytes(whole[:length])
        done = host.check("--kernel-config", str(file))
        assert (done.returncode, done.stdout) == (2, "") and str(file) in done.stderr, f"{length}: {done.stderr}"


# --- tools ---


def test_without_ip_nothing_is_said_of_the_network(host):
    well_set_up(host)
    before = host.snapshot()
    made = host.printed(*ASKED, before=hidden("ip"), errors="there is no program 'ip' on this host")
    assert {states(made)[name] for name in ("divert", "ip-rule", "ip-route", "announce", "ip_forward")} == {"unknown"}
    assert before == host.snapshot()


NO_NFT = "there is no program 'nft' on this host"


def test_without_nft_its_rules_are_not_seen(host):
    well_set_up(host, "iptables")
    host.run("nft add table inet of-another-program")
    before = host.snapshot()
    made = host.printed(*ASKED, before=hidden("nft"), errors=NO_NFT)
    assert states(made)["divert"] == "ok" and states(made)["backends"] == "unknown"
    assert before == host.snapshot()


def test_where_iptables_lists_all_tables_nft_is_not_missed(host):
    well_set_up(host, "iptables")
    made = host.printed(*ASKED, before=hidden("nft"))
    assert states(made)["divert"] == "ok" and states(made)["backends"] == "ok"


def test_tables_of_iptables_that_no_program_lists_are_missed(host):
    well_set_up(host, "iptables")
    made = host.printed(*ASKED, before=hidden("nft", "iptables-save", "ip6tables-save"), errors=NO_NFT)
    assert states(made)["backends"] == "unknown"


def test_without_iptables_the_output_of_nft_is_enough(host):
    well_set_up(host)
    tools = [name for name in ("iptables-save", "iptables-legacy-save") if shutil.which(name)]
    assert states(host.printed(*ASKED, before=hidden(*tools)))["divert"] == "ok"


RULES = {
    "iptables-save": "iptables-restore --noflush",
    "ip6tables-save": "ip6tables-restore --noflush",
    "iptables-legacy-save": "iptables-legacy-restore --noflush",
    "ip6tables-legacy-save": "ip6tables-legacy-restore --noflush",
}
SOME_RULES = "*filter\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n"


@pytest.mark.parametrize("script, words", [(HALF, ""), (FAILS, "it is broken")], ids=["cut", "fails"])
@pytest.mark.parametrize("tool", [*RULES, "nft", "ip"])
def test_a_tool_that_does_not_report_everything(host, tool, script, words):
    """Its items are unknown, even if a part of the output is good; only the first line of its message is repeated."""
    well_set_up(host)
    if tool in RULES:
        if not shutil.which(tool):
            pytest.skip(f"absent: {tool}")
        host.run(RULES[tool], text=SOME_RULES)
    before = host.snapshot()
    made = host.printed(*ASKED, path=host.tool(tool, script), errors=f"`{tool}")
    assert states(made)["divert"] == "unknown" and not wrong(made) and not made["well"]
    assert words in reads(made, "divert")[0] and "second line" not in reads(made, "divert")[0]
    assert before == host.snapshot()


@pytest.mark.parametrize("tool", [*RULES, "nft"])
def test_a_tool_whose_tables_the_kernel_does_not_have_is_not_asked(host, tool):
    made = host.printed(*ASKED, path=host.tool(tool, FAILS))
    assert states(made)["divert"] == "missing"


def test_an_ip_that_says_nothing_is_not_believed(host):
    made = host.printed(*ASKED, path=host.tool("ip", SILENT), errors="cannot parse the output of `ip -d -j address show`")
    assert states(made)["divert"] == "unknown"


def test_what_cannot_be_written_is_no_success(host):
    with host.namespace, open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([TPROXYCTL, "check"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "cannot write" in done.stderr


def test_help():
    done = subprocess.run([TPROXYCTL, "check", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("usage: tproxyctl check") and FORM in done.stdout
