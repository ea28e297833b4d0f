"""tproxyctl prove distinguishes missing from untried, and reports only what it has seen.

Whether it is right is asked by test_prove_agrees.py.
Programs are hidden by /dev/null over them in a mount namespace, since tproxyctl finds them without PATH, too.
"""

import json
import os
import shutil
import signal
import subprocess

import pytest

from lab import schema, waiting
from lab.ctl import ctl_host
from lab.paths import ROOT, TPROXYCTL

SCHEMA = json.loads((ROOT / "fixtures" / "schema" / "prove.schema.json").read_text(encoding="utf-8"))
PROFILES = ("binding", "source", "full", "intercept", "udp", "ipv6")
REFUSED = "Extension TPROXY revision 0 not supported, missing kernel module?"

REFUSES_TPROXY = f"""#!/bin/sh
rules=$(cat)
case $rules in
*TPROXY*) echo 'Warning: {REFUSED}' >&2; exit 2 ;;
esac
printf '%s\\n' "$rules" | exec {{real}}
"""
HANGS = "#!/bin/sh\nexec sleep 1000\n"
LOADS_NOTHING = "#!/bin/sh\ncat >/dev/null\n"
NEVER_ENDS = "#!/bin/sh\necho >/proc/self/fd/{descriptor}\nexec sleep 1000\n"

FORBID = """
echo 0 >/proc/sys/user/max_user_namespaces || exit 77
exec setpriv --bounding-set=-all --inh-caps=-all "$@"
"""


def prove(*words, before=(), path=None, **environment):
    """Run it; `path` is a folder that comes first on PATH."""
    environment = {**os.environ, **environment}
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    command = [*before, TPROXYCTL, "prove", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 77:
        pytest.skip("absent: namespaces within this one")
    return done


def found(*words, **rest):
    """Its results, in the published format."""
    done = prove("--json", *words, **rest)
    assert done.stderr == "" and done.returncode in (0, 1)
    made = json.loads(done.stdout)
    assert not schema.problems(made, SCHEMA)
    assert made["provable"] == (done.returncode == 0) == made["profiles"][made["profile"]]["provable"]
    return made


def without(*programs):
    before, environment = ctl_host.without(*programs)
    return {"before": before, **environment}


def states(made):
    return {each["id"]: each["state"] for each in made["capabilities"]}


def capability(made, name):
    return next(each for each in made["capabilities"] if each["id"] == name)


def connections(made, firewall_tool, family=4):
    return {e["recipe"]: e for e in made["connections"] if (e["firewall_tool"], e["family"]) == (firewall_tool, family)}


def stand_in(folder, name, text, **words):
    real = shutil.which(name) or pytest.skip(f"absent: {name}")
    path = folder / name
    path.write_text(text.format(real=real, **words), encoding="utf-8")
    path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def plain():
    return found()


def test_it_prints_the_published_form(plain):
    assert plain["kernel"] == os.uname().release
    assert tuple(plain["profiles"]) == PROFILES
    ids = [each["id"] for each in plain["capabilities"]]
    assert len(set(ids)) == len(ids)


def test_without_nft_its_part_is_untried(plain):
    made = found(**without("nft"))
    for name, state in states(made).items():
        assert state == ("untried" if name.startswith("nft-") or name == "nat" else states(plain)[name])
    assert "package nftables" in capability(made, "nft-tproxy-4")["detail"]
    assert made["packages_to_install"] == ["nftables"]
    assert {each["state"] for each in connections(made, "nft").values()} == {"untried"}


def test_without_iptables_legacy_its_part_is_untried(plain):
    made = found(**without("iptables-legacy-restore", "ip6tables-legacy-restore"))
    for name, state in states(made).items():
        assert state == ("untried" if name.startswith("iptables-legacy-") else states(plain)[name])
    assert made["options_to_turn_on"] == plain["options_to_turn_on"]


def test_without_ip_nothing_is_connected():
    made = found("--profile", "binding", **without("ip"))
    assert not made["provable"]
    assert {each["state"] for each in made["connections"]} == {"untried"}
    assert "iproute2" in made["packages_to_install"]


def test_what_the_kernel_refuses_is_missing_and_has_a_fix(tmp_path, plain):
    made = found(path=stand_in(tmp_path, "iptables-restore", REFUSES_TPROXY))
    lacking = capability(made, "iptables-tproxy-4")
    assert (lacking["state"], lacking["detail"]) == ("missing", REFUSED)
    option = "CONFIG_NETFILTER_XT_TARGET_TPROXY"
    assert option in lacking["options"] and option in made["options_to_turn_on"]
    same = {name: state for name, state in states(made).items() if name != lacking["id"]}
    assert same == {name: state for name, state in states(plain).items() if name != lacking["id"]}
    assert connections(made, "iptables")["divert"]["state"] == connections(plain, "iptables")["divert"]["state"]
    assert connections(made, "iptables")["tproxy"]["detail"] == "needs iptables-tproxy-4"


def test_a_profile_is_lost_with_the_last_recipe_for_it(tmp_path):
    for name in ("iptables-restore", "ip6tables-restore"):
        folder = stand_in(tmp_path, name, REFUSES_TPROXY)
    others = without("nft", "iptables-legacy-restore", "ip6tables-legacy-restore")
    made = found("--profile", "intercept", path=folder, **others)
    assert not made["provable"] and made["profiles"]["full"]["provable"]
    assert made["profiles"]["intercept"]["options"] == ["CONFIG_NETFILTER_XT_TARGET_TPROXY"]


def test_rules_that_are_not_there_connect_nothing(tmp_path):
    """A program that exits with 0 without loading its rules does not make a connection work."""
    made = found(path=stand_in(tmp_path, "iptables-restore", LOADS_NOTHING))
    for each in connections(made, "iptables").values():
        assert each["state"] == "failed" and each["detail"]
        assert not each["listener_reached"] and not each["client_seen"]


def test_a_program_that_does_not_end_is_ended_and_no_fault_of_the_kernels(tmp_path, plain):
    made = found(path=stand_in(tmp_path, "iptables-restore", HANGS), TPROXYCTL_TOOL_SECONDS="2")
    hanging = capability(made, "iptables-mangle-4")
    assert hanging["state"] == "untried" and "did not end within 2 s" in hanging["detail"]
    assert states(made)["nft-tproxy-4"] == states(plain)["nft-tproxy-4"]


def test_people_get_a_table_and_reasons(tmp_path, plain):
    text = prove(path=stand_in(tmp_path, "iptables-restore", REFUSES_TPROXY)).stdout
    assert f"iptables-tproxy-4 missing: {REFUSED}\n" in text and "kernel options to turn on: CONFIG_" in text
    assert len(prove("--verbose").stdout) > len(prove().stdout)


@pytest.mark.parametrize("words", [["--nonsense"], ["--profile"], ["--profile", "operations"], ["more"]])
def test_wrong_arguments_are_reported(words):
    done = prove(*words)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr


def test_the_help_names_every_profile():
    done = prove("--help")
    assert done.returncode == 0 and not [name for name in PROFILES if name not in done.stdout]


def test_what_cannot_be_written_is_no_success():
    with open("/dev/full", "w", encoding="ascii") as full:
        assert subprocess.run([TPROXYCTL, "prove"], stdout=full, stderr=subprocess.PIPE, check=False).returncode == 2


def test_an_ordinary_user_gets_the_same_answer(for_everybody, plain):
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*user, "unshare", "-Urn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("absent: another user, or user namespaces for it")
    done = subprocess.run([*user, for_everybody, "prove", "--json"], capture_output=True, text=True, check=False)
    made = json.loads(done.stdout)
    assert made["user_namespace"] and not schema.problems(made, SCHEMA)
    assert states(made) == states(plain)
    assert made["provable"] == plain["provable"]


def test_where_no_namespace_may_be_made_it_says_what_to_do():
    done = prove(before=("unshare", "-Ur", "sh", "-c", FORBID, "sh"))
    if "unshare" in done.stderr:
        pytest.skip("absent: user namespaces")
    assert (done.returncode, done.stdout) == (2, "")
    for advice in ("root", "unprivileged_userns_clone", "max_user_namespaces", "apparmor_restrict_unprivileged"):
        assert advice in done.stderr


def test_it_changes_nothing_around_it():
    def around():
        commands = (["ip", "-o", "link"], ["ip", "-o", "addr"], ["ip", "rule"], ["nft", "list", "ruleset"])
        return [subprocess.run(words, capture_output=True, text=True, check=False).stdout for words in commands]

    before = around()
    prove()
    assert around() == before


def test_a_run_that_is_killed_ends_all_that_it_started(tmp_path):
    """A descriptor that all of them inherit reaches its end with the last of them."""
    end, inherited = os.pipe()
    path = stand_in(tmp_path, "iptables-restore", NEVER_ENDS, descriptor=inherited)
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    made = subprocess.Popen([TPROXYCTL, "prove"], pass_fds=[inherited], env=environment, stdout=subprocess.DEVNULL)
    os.close(inherited)
    with os.fdopen(end, "rb", buffering=0) as ends:
        assert waiting.readable([ends], waiting.seconds) and ends.read(1) == b"\n"
        made.send_signal(signal.SIGKILL)
        made.wait()
        assert waiting.readable([ends], waiting.seconds) and ends.read(1) == b""
