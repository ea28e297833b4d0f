"""The kernel lab, as far as it goes without a kernel: fixtures, agreement, arguments, guests that are scripts."""

import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.suite

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "kernels"))

from kernels import agreement, build, configuration, engines, guests, initramfs, matrix, minimize, observe, pace, source, suite, variants, ways  # noqa: E402
from lab import requirements  # noqa: E402

TPROXYCTL = os.environ.get("TPROXYCTL", str(ROOT / "build" / "tproxyctl"))


# --- configurations ---


def test_a_configuration_is_read_and_the_later_line_counts():
    text = '# CONFIG_A is not set\nCONFIG_A=y\nCONFIG_B="x"\nCONFIG_C=0x1\n\n# a comment\n# CONFIG_B is not set\n'
    assert configuration.parse(text) == {"A": "y", "B": "n", "C": "0x1"}
    assert configuration.render({"A": "y", "B": "n"}) == "CONFIG_A=y\n# CONFIG_B is not set\n"


@pytest.mark.parametrize("text", ["CONFIG_A=maybe\n", "A=y\n", "CONFIG_A\n", "\x7fELF\n"])
def test_what_is_no_configuration_is_refused_with_its_line(text):
    with pytest.raises(configuration.Malformed, match="it:2: "):
        configuration.parse("CONFIG_B=y\n" + text, "it")


def test_a_compressed_one_that_is_cut_off_is_refused(tmp_path):
    import gzip

    path = tmp_path / "config.gz"
    path.write_bytes(gzip.compress(b"CONFIG_A=y\n" * 100)[:-9])
    with pytest.raises(configuration.Malformed):
        configuration.load(path)


def test_what_was_asked_for_and_is_not_there_is_named():
    got = {"A": "y", "B": "n"}
    assert configuration.not_stuck({"A": "y", "B": "n", "C": "n"}, got) == []
    named = configuration.not_stuck({"A": "n", "B": "y", "C": "y"}, got)
    assert [each.partition(" (")[0] for each in named] == ["# CONFIG_A is not set", "CONFIG_B=y", "CONFIG_C=y"]
    assert "not a word" in named[2]


# --- fixtures ---


def capabilities():
    done = subprocess.run([TPROXYCTL, "prove", "--json"], capture_output=True, text=True, check=False)
    return [each["id"] for each in json.loads(done.stdout)["capabilities"]]


@pytest.fixture(scope="module")
def names():
    """Names that predictions may use: of capabilities, and of rows."""
    rows = [f"{row.id}/{family}" for row in requirements.load() for family in (4, 6)]
    return capabilities(), rows


@pytest.mark.parametrize("name", variants.names())
def test_a_fixture_takes_away_what_is_there_and_predicts_what_exists(name, names):
    variant = variants.load(name)
    common = configuration.parse(variants.part("common"))
    for option, value in configuration.parse(variant.fragment).items():
        assert value == "n" and common.get(option) == "y", f"CONFIG_{option}"
    assert variant.idle_patterns(*names) == []
    assert variant.name and len(variant.about) > 20


def test_every_variant_is_a_kernel_of_its_own():
    made = {}
    for name in variants.names():
        variant = variants.load(name)
        key = (tuple(variants.fragment_of(variant, "uml").items()), tuple(variant.sysctls.items()))
        assert key not in made, f"{name} is {made[key]}"
        made[key] = name
    assert variants.names()[0] == "base" and len(made) >= 16


FIXTURE = 'name = "n"\nabout = "a"\n'


@pytest.mark.parametrize(
    "text, words",
    [
        ('about = "a"\n', "'name' is missing"),
        (FIXTURE + 'mising = ["x"]\n', "no key 'mising'"),
        (FIXTURE + 'lost = ["fast"]\n', "no profile 'fast'"),
        (FIXTURE + 'missing = "nat"\n', "no list"),
        (FIXTURE + '[suite]\nMAYBE = ["TP-*"]\n', "no verdict 'MAYBE'"),
        ("name =\n", "one.toml"),
    ],
)
def test_a_fixture_that_is_not_of_the_form_is_refused(tmp_path, text, words):
    (tmp_path / "one.toml").write_text(text, encoding="utf-8")
    (tmp_path / "one.config").write_text("", encoding="ascii")
    with pytest.raises(variants.Wrong, match=words):
        variants.load("one", tmp_path)


def test_the_first_verdict_that_matches_is_the_predicted_one():
    variant = variants.Variant("x", "x", "x", suite={"PASS": ["TP-A-01/*"], "ABSENT": ["TP-*/6"]})
    words = [agreement.predicted(row, variant) for row in ("TP-A-01/6", "TP-A-02/6", "TP-A-02/4")]
    assert words == ["PASS", "ABSENT", "PASS"]
    assert variant.idle_patterns([], ["TP-A-01/6"]) == []
    assert variant.idle_patterns([], ["TP-B-01/6"]) == ["TP-A-01/*"]


# --- agreement ---

ON, OFF = {"state": "on", "options": []}, {"state": "off", "options": ["CONFIG_X"]}
WORKS, MISSING = {"state": "works", "detail": ""}, {"state": "missing", "detail": "No such thing"}


def untried(needed):
    return {"state": "untried", "detail": f"needs {needed}"}


def proved(connections=(), profiles=None, **found):
    return {"capabilities": found, "profiles": profiles or {}, "connections": list(connections)}


@pytest.mark.parametrize(
    "configured, found, words",
    [
        ({"a": ON}, {"a": WORKS}, []),
        ({"a": OFF}, {"a": MISSING}, []),
        ({"a": ON}, {"a": MISSING}, ["a: its options are on, and it is missing (No such thing)"]),
        ({"a": OFF}, {"a": WORKS}, ["a: it works, although CONFIG_X is off"]),
        ({"a": ON, "b": OFF}, {"a": untried("b"), "b": MISSING}, []),
        ({"a": ON, "b": ON, "c": OFF}, {"a": untried("b"), "b": untried("c"), "c": MISSING}, []),
        ({"a": ON, "b": ON}, {"a": untried("b"), "b": WORKS}, ["a: its options are on, and it is untried (needs b)"]),
        ({"a": ON, "b": ON}, {"a": untried("b"), "b": untried("a")}, None),
        ({"a": ON}, {"a": {"state": "untried", "detail": "there is no program 'nft'"}}, None),
        ({"a": ON}, {"a": WORKS, "b": WORKS}, ["b: check does not know it"]),
    ],
)
def test_a_configuration_is_held_against_what_was_proved(configured, found, words):
    said = list(agreement.configuration_and_prove(configured, proved(**found)))
    assert said == words if words is not None else said


@pytest.mark.parametrize("state, agrees", [("off", True), ("on", False)])
def test_what_needs_a_recipe_rests_on_what_its_connections_need(state, agrees):
    """As `udp-original-destination-4` is told, which is tried by whole connections."""
    configured = {"told-4": ON, "rule-4": {"state": state, "options": []}}
    found = {"told-4": untried("the recipe udp by any program"), "rule-4": MISSING if state == "off" else WORKS}
    connections = [
        {"recipe": "udp", "backend": each, "protocol": "udp", "family": 4, "state": "untried", "detail": "needs rule-4"}
        for each in ("iptables", "nft")
    ]
    assert (not list(agreement.configuration_and_prove(configured, proved(connections, **found)))) == agrees
    connections[0].update(state="failed", detail="timed out")
    assert list(agreement.configuration_and_prove(configured, proved(connections, **found)))


def all_on(**rest):
    names = [each["id"] for each in json.loads(subprocess.run([TPROXYCTL, "prove", "--json"], capture_output=True, check=False).stdout)["capabilities"]]
    return {**dict.fromkeys(names, "on"), **rest}


@pytest.mark.parametrize(
    "off, lost",
    [
        ((), ()),
        (("transparent-4",), ("binding", "source", "full", "intercept", "udp")),
        (("ipv6",), ("ipv6",)),
        (("policy-rule-4",), ("source", "full", "intercept", "udp")),
        (("iptables-socket-4", "nft-socket-4"), ()),
        (("iptables-socket-4", "iptables-legacy-socket-4"), ()),
        (("iptables-socket-4", "iptables-legacy-socket-4", "nft-tproxy-4"), ("source", "full", "intercept")),
        (("iptables-tproxy-4", "iptables-legacy-tproxy-4", "nft-socket-4"), ("intercept",)),
    ],
)
def test_profiles_follow_from_capabilities(off, lost):
    states = all_on(**dict.fromkeys(off, "off"))
    assert {each for each in ways.PROFILES if ways.promised(states, each) == ways.OFF} == set(lost)


def test_what_is_open_leaves_a_profile_open_unless_another_way_has_it():
    states = all_on(**{"iptables-socket-4": "unknown"})
    assert ways.promised(states, "full") == ways.ON
    states.update({"nft-socket-4": "off", "iptables-legacy-socket-4": "off"})
    assert ways.promised(states, "full") == ways.UNKNOWN
    states["veth"] = "off"
    assert ways.promised(states, "full") == ways.OFF


def test_a_promise_that_is_not_kept_is_named():
    configured = {name: {"state": "on", "options": []} for name in all_on()}
    proof = proved(**dict.fromkeys(all_on(), WORKS), profiles={"full": False, "udp": True})
    words = "profile full: the configuration says that it can be had, and it can't be had"
    assert list(agreement.configuration_and_prove(configured, proof)) == [words]


def test_a_prediction_is_held_against_what_was_proved():
    variant = variants.Variant("x", "x", "x", missing=["a-*"], lost=["full"])
    right = proved(**{"a-4": MISSING, "b": WORKS}, profiles={"full": False, "udp": True})
    assert list(agreement.prove_and_fixture(right, variant)) == []
    wrong = proved(**{"a-4": WORKS, "b": MISSING}, profiles={"full": True, "udp": False})
    said = list(agreement.prove_and_fixture(wrong, variant))
    assert len(said) == 4 and said[0].startswith("a-4: predicted was that it does not work, and it works")


def cell(word, recipe="divert", backend="iptables", family=4):
    return {
        "verdict": word,
        "message": "words",
        "tests": [{"test": "t", "verdict": word, "recipe": recipe, "backend": backend, "family": family}],
    }


def ran(proof, cells=None, **rest):
    made = {"kernel": "k", "release": "6.1", "verdict": "ended", "troubles": [], "prove": proof, "prove_words": "", "log": ""}
    made["suite"] = {"cells": cells, "problems": [], "seconds": 1} if cells is not None else None
    return {**made, "suite_asked": cells is not None, "console": [], **rest}


def test_nothing_passes_with_a_recipe_that_could_not_connect():
    failed = {"recipe": "divert", "backend": "iptables", "protocol": "tcp", "family": 4, "state": "untried"}
    cells = {"TP-A-01/4": cell("PASS"), "TP-A-02/4": cell("PASS", backend="iptables-legacy"), "TP-A-03/4": cell("ABSENT")}
    said = list(agreement.suite_and_prove({"cells": cells}, proved([failed])))
    assert len(said) == 1 and said[0].startswith("TP-A-01/4: t passes")
    both = {"TP-A-01/4": cell("PASS", recipe="local-route+divert")}
    assert list(agreement.suite_and_prove({"cells": both}, proved([failed])))


def test_the_suite_is_held_against_the_prediction():
    variant = variants.Variant("x", "x", "x", suite={"ABSENT": ["TP-A-01/*"]})
    base = variants.Variant("base", "x", "x", suite={"UNSUPPORTED": ["TP-B-*"]})
    right = {"TP-A-01/4": cell("ABSENT"), "TP-A-02/4": cell("PASS"), "TP-B-01/4": cell("UNSUPPORTED")}
    assert agreement.disagreements(ran(proved(a=WORKS), right), None, variant, base) == []
    wrong = {"TP-A-01/4": cell("PASS"), "TP-A-02/4": cell("ABSENT"), "TP-B-01/4": cell("PASS"), "TP-C-01/-": cell("NOT RUN")}
    assert len(agreement.disagreements(ran(proved(a=WORKS), wrong), None, variant, base)) == 4


def test_of_ones_own_kernel_what_it_lacks_is_no_surprise():
    cells = {"TP-A-01/4": cell("ABSENT"), "TP-A-02/4": cell("FAIL")}
    said = agreement.disagreements(ran(proved(a=WORKS), cells))
    assert said == ["TP-A-02/4: predicted was PASS, and it is FAIL: words"]


@pytest.mark.parametrize(
    "rest, words",
    [
        ({"verdict": "panicked"}, "it panicked"),
        ({"verdict": "hung"}, "it hung"),
        ({"verdict": "died"}, "it died without a word"),
        ({"prove": None, "prove_words": "cannot open\n"}, "prove gave no result: cannot open"),
        ({"suite": None, "suite_asked": True, "log": "a\nthe end\n"}, "the suite left no report: the end"),
        ({"troubles": ["no sysctl"]}, "in the guest: no sysctl"),
        ({"suite": {"cells": {}, "problems": ["t did not end"], "seconds": 1}}, "the suite: t did not end"),
    ],
)
def test_a_guest_without_an_answer_disagrees(rest, words):
    assert agreement.disagreements(ran(proved(a=WORKS), {}, **rest)) == [words]


def test_a_connection_that_fails_with_all_it_needs_is_named():
    """A regression that no option explains, and that another program's connections do not make up for."""
    way = {"recipe": "divert", "backend": "iptables", "protocol": "tcp", "family": 4, "detail": "timed out"}
    fine = ran(proved([{**way, "state": "works"}, {**way, "backend": "nft", "state": "untried"}], a=WORKS))
    failed = ran(proved([{**way, "state": "failed"}], a=WORKS, profiles={"full": True}))
    assert agreement.disagreements(fine) == []
    said = ["divert by iptables for IPv4: rules and route are there, and no connection comes about (timed out)"]
    assert agreement.disagreements(failed) == said
    assert "connection divert by iptables for IPv4: works -> failed" in list(agreement.compare(fine, failed))


def test_two_kernels_are_compared_by_capability_and_requirement():
    one = ran(proved(a=WORKS, b=WORKS), {"TP-A-01/4": cell("PASS")})
    other = ran(proved(a=WORKS, b=MISSING), {"TP-A-01/4": cell("ABSENT")})
    assert list(agreement.compare(one, one)) == []
    assert list(agreement.compare(one, other)) == [
        "capability b: works -> missing",
        "requirement TP-A-01/4: PASS -> ABSENT",
    ]
    assert list(agreement.compare(one, {**other, "verdict": "hung"})) == ["the one ended, the other hung"]


def test_the_matrix_shows_each_row_once_and_marks_where_accounts_disagree():
    cells = {f"TP-A-0{number}/4": cell("PASS") for number in range(1, 6)}
    one = matrix.Column(ran(proved(**{"nft-chain-4": WORKS}), {**cells, "TP-B-01/4": cell("FAIL")}), "plain")
    two = matrix.Column(
        ran(proved(**{"nft-chain-4": MISSING}), {**cells, "TP-B-01/4": cell("ABSENT")}), "poor", ["TP-B-01/4: wrong"]
    )
    text = matrix.text([one, two])
    assert "TP-A-01 02 03 04 05" in text
    line = next(line for line in text.splitlines() if line.startswith("TP-B-01"))
    assert line.split()[1:] == ["✗", "○?"]
    assert "| TP-B-01/4 | ✗ | ○? |" in matrix.markdown([one, two])
    assert "- **k**: TP-B-01/4: wrong" in matrix.markdown([one, two])


def test_families_are_told_apart_where_they_differ():
    names = ["nat", "veth-4", "veth-6", "mark-4", "mark-6", "TP-A-01/4", "TP-A-01/6", "TP-A-02/4", "TP-A-03/-"]
    joined = list(matrix._families_joined(["nat", "veth-4", "veth-6", "mark-4", "TP-A-01/6", "TP-A-02/4", "TP-A-03/-"], names))
    assert joined == ["nat", "veth", "mark-4", "TP-A-01/6", "TP-A-02", "TP-A-03/-"]


# --- the guest's suite ---


def test_a_guest_runs_the_core_without_what_is_only_volume():
    rows = suite.chosen("core", requirements.load())
    assert {row.profile for row in rows} == set(suite.CORE)
    ids = {row.id for row in rows}
    assert not ids & set(suite.VOLUME) and {"TP-BIND-01", "TP-SRC-01", "TP-HOST-10"} <= ids
    words = suite.words(rows, pace=5)
    assert words[words.index("--patience") + 1] == "40"
    assert suite.words([]) == []


def test_rows_are_told_apart_by_family():
    def test(name, word, family):
        return {"test": name, "verdict": word, "message": f"{word}\nmore", "parameters": {"family": family}}

    tests = [{**test("a", "PASS", 4), "parameters": {}}, test("b", "ABSENT", 6), test("c", "PASS", 6)]
    column = {"problems": [], "seconds": 1, "cells": [{"requirement": "TP-A-01", "tests": tests}, {"requirement": "TP-A-02", "tests": []}]}
    cells = observe._suite({"implementations": [column]})["cells"]
    assert {row: each["verdict"] for row, each in cells.items()} == {
        "TP-A-01/4": "PASS",
        "TP-A-01/6": "ABSENT",
        "TP-A-02/-": "NOT RUN",
    }
    assert cells["TP-A-01/6"]["message"] == "ABSENT"
    assert cells["TP-A-01/4"]["tests"][0]["recipe"] == "divert"


# --- what tproxyctl reads ---

CHECKS = """#!/bin/sh
[ "$2" = --help ] && { echo '--kernel-config FILE'; exit 0; }
[ "$1 $2 $4" = 'check --kernel-config --json' ] || exit 2
grep -q garbage "$3" && { echo "$3: garbage" >&2; exit 2; }
echo '{"kernel": {"capabilities": [{"id": "nat", "state": "off", "options": ["CONFIG_NFT_NAT"]}]}}'
exit 1
"""
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
ALL_OFF = """#!/bin/sh
one() {
	printf '{"id": "%s", "state": "off", "options": ["CONFIG_%s"]}' $1 $2
}
! grep -q =y "$3" || exit 2
echo '{"kernel": {"capabilities": ['
echo "$(one iptables-socket-4 NETFILTER_XT_MATCH_SOCKET), $(one iptables-mangle-4 NFT_COMPAT),"
echo "$(one nft-socket-4 NFT_SOCKET), $(one policy-rule-4 IP_MULTIPLE_TABLES), $(one ipv6 IPV6)]}}"
"""
KNOWS_NO_CHECK = "#!/bin/sh\necho unknown >&2\nexit 2\n"


def program(folder, text, name="program"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_configuration_is_asked_of_tproxyctl(tmp_path):
    path = program(tmp_path, CHECKS)
    assert observe.ask_text(path, "CONFIG_A=y\n", tmp_path) == {"nat": {"state": "off", "options": ["CONFIG_NFT_NAT"]}}
    with pytest.raises(observe.CannotAsk, match="garbage"):
        observe.ask_text(path, "garbage", tmp_path)
    assert observe.ask_text(program(tmp_path, KNOWS_NO_CHECK), "CONFIG_A=y\n", tmp_path) is None


# --- guests: scripts stand in for kernels ---


class Script:
    name, pace, limit = "script", 1, 20

    def command(self, kernel, run, name):
        return [kernel, run]


@pytest.fixture
def boot(tmp_path):
    """Runs scripts as guests; returns them, ended."""
    made = []

    def run(*texts, limit=None, sysctls=None):
        staged = tmp_path / "staged"
        staged.mkdir(exist_ok=True)
        (staged / "file").write_text("of the tree\n", encoding="ascii")
        folder = Path(tempfile.mkdtemp(dir="/run/tproxy-lab"))  # where any user may read
        folder.chmod(0o755)
        for number, text in enumerate(texts):
            path = program(folder, "#!/bin/sh\n" + text, f"kernel-{number}")
            made.append(guests.Guest(f"k{number}", path, Script(), ["a", "b"], sysctls, limit))
        guests.run(made, staged, sorted(os.sched_getaffinity(0))[:2])
        return made

    yield run
    for guest in made:
        guest.forget()


@pytest.mark.parametrize(
    "text, verdict, came_up",
    [
        ("echo '@up 6.1'; echo @end; sleep 0", guests.ENDED, True),
        ("echo '@up 6.1'; echo 'Kernel panic - not syncing: x'; exit 1", guests.PANICKED, True),
        ("echo 'Kernel panic - not syncing: No working init'; exit 1", guests.PANICKED, False),
        ("echo '@up 6.1'; exit 0", guests.DIED, True),
        ("exit 3", guests.DIED, False),
    ],
)
def test_the_console_decides_what_became_of_a_guest(boot, text, verdict, came_up):
    (guest,) = boot(text)
    assert (guest.verdict, guest.came_up) == (verdict, came_up)


def test_a_guest_that_hangs_is_ended_with_its_console_and_everything_it_started(boot):
    (guest,) = boot("echo '@up 6.1'; printf 'half a line'; sleep 1000 & echo $! >$1/out/pid; wait", limit=2)
    assert guest.verdict == guests.HUNG and guest.tail == ["@up 6.1", "half a line"]
    pid = int((guest.folder / "out" / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_guests_run_side_by_side_each_on_one_cpu(boot):
    text = "grep Cpus_allowed_list /proc/self/status >$1/out/cpus; echo @end"
    made = boot(text, text, text)
    assert [guest.verdict for guest in made] == [guests.ENDED] * 3
    for guest in made:
        assert (guest.folder / "out" / "cpus").read_text().split()[1].isdigit()


def test_a_guest_can_write_into_its_folder_and_nowhere_else(boot, tmp_path):
    tmp_path.chmod(0o777)
    text = f"""
echo found >$1/out/found
for place in {tmp_path} /run /run/tproxy-lab /tmp {ROOT} $1/../staged; do
	if (echo x >$place/written-by-a-guest) 2>/dev/null; then echo $place >>$1/out/places; fi
done
id -u >$1/out/user
echo @end
"""
    (guest,) = boot(text)
    out = guest.folder / "out"
    assert (out / "found").read_text() == "found\n" and not (out / "places").exists()
    assert (out / "user").read_text() == f"{guests.NOBODY if guests.is_root() else 0}\n"


def test_a_guest_finds_its_tree_its_work_and_its_sysctls(boot):
    (guest,) = boot("cat $1/tree/file $1/suite $1/sysctls >$1/out/all; echo @end", sysctls={"net/a": "1"})
    assert (guest.folder / "out" / "all").read_text() == "of the tree\na\nb\nnet/a 1\n"


# --- building: a tree that stands in for Linux's ---

MAKEFILE = """
O ?= .
allnoconfig:
	cp $(KCONFIG_ALLCONFIG) $(O)/.config
linux:
	grep -v BROKEN $(CURDIR)/text >/dev/null || { echo 'error: broken'; exit 1; }
	cp $(CURDIR)/text $(O)/linux; chmod 755 $(O)/linux; echo x >>$(O)/built
"""


@pytest.fixture
def linux(tmp_path, monkeypatch):
    """A tree under git whose kernel is the script `text`."""
    tree = tmp_path / "linux"
    tree.mkdir()
    (tree / "Makefile").write_text(MAKEFILE, encoding="ascii")
    (tree / "Kconfig").write_text("", encoding="ascii")
    (tree / "text").write_text("#!/bin/sh\necho '@up 6.1'; echo @end\n", encoding="ascii")
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, '#!/bin/sh\nfor last; do :; done\nexec cp "$last" "$2"\n', "strip")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", tree, *words], check=True)
    return tree


def kernel_of(linux, cache, **fragment):
    return build.Kernel(source.find(linux), "uml", fragment or {"A": "y"}, cache)


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


def test_a_patch_that_does_not_fit_is_said(linux, tmp_path):
    patch = tmp_path / "a.patch"
    patch.write_text("--- a/text\n+++ b/text\n@@ -1,1 +1,1 @@\n-nothing like it\n+x\n", encoding="ascii")
    with pytest.raises(source.NoSource, match="does not fit"):
        build.Builder(tmp_path, 1).build(build.Kernel(source.find(linux, [patch]), "uml", {"A": "y"}, tmp_path))


@pytest.mark.parametrize("there", (True, False))
def test_what_was_compiled_is_kept_by_ccache_where_that_is_installed(linux, tmp_path, monkeypatch, there):
    (linux / "Makefile").write_text(MAKEFILE + "\techo '$(CC)' $$CCACHE_DIR >$(O)/compiler\n", encoding="ascii")
    monkeypatch.setattr(build.shutil, "which", lambda name: "/usr/bin/ccache" if there and name == "ccache" else None)
    monkeypatch.delenv("CCACHE_DIR", raising=False)
    build.Builder(tmp_path / "cache", 1).build(kernel_of(linux, tmp_path / "cache"))
    (told,) = build.trees(tmp_path / "cache").glob("*/uml/compiler")
    compiler = "ccache gcc" if there else "cc"
    assert told.read_text(encoding="ascii") == f"{compiler} {tmp_path}/cache/compiled\n"


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
        source.find(None, (), f"{tmp_path}/linux-source-*.tar.xz")


# --- engines ---


def elf(machine, text=b""):
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little")).ljust(0x300, b"\0") + text


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="absent: x86")
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
def test_a_kernel_is_known_by_what_is_in_it(tmp_path, data, kind, words):
    path = tmp_path / "kernel"
    path.write_bytes(data)
    assert engines.kind_of(path) == kind
    assert words in engines.describe(path)
    if kind != "uml":
        with pytest.raises(engines.Unfit, match="kernel"):
            engines.Uml().check(path)


# --- the command ---


def lab(*words, without=""):
    environment = {name: value for name, value in os.environ.items() if name != without}
    command = [ROOT / "tests/kernels/lab", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    "words, text",
    [
        (["--kernels", "no-such"], "no kernel 'no-such'; there are: base"),
        (["--kernel", "/no/such/kernel"], "there is no kernel /no/such/kernel"),
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
    done = lab(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr and done.stderr.startswith("kernel lab: ")


def test_nothing_is_kept_where_a_run_takes_it_along():
    for option in ("--cache", "--out"):
        done = lab(option, "/run/folder", without="TPROXY_LAB_ISOLATED")
        assert done.returncode == 2 and "/run is private" in done.stderr


@pytest.mark.parametrize("words, status", [([], 1), (["--profile", "binding"], 0)])
def test_a_configuration_is_asked_without_booting_it(tmp_path, monkeypatch, words, status):
    path = program(tmp_path, ALL_ON.format(names=" ".join(all_on())))
    monkeypatch.setenv("TPROXYCTL", str(path))
    (tmp_path / "config").write_text("# CONFIG_IP_MULTIPLE_TABLES is not set\n", encoding="ascii")
    done = lab("--config", tmp_path / "config", *words)
    assert done.returncode == status and "CONFIG_OFF" in done.stdout
    assert "profile full                   off" in done.stdout and "profile binding                on" in done.stdout


def test_a_tproxyctl_that_cannot_be_asked_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))
    (tmp_path / "config").write_text("CONFIG_NET=y\n", encoding="ascii")
    done = lab("--config", tmp_path / "config")
    assert done.returncode == 2 and "no `check --kernel-config`" in done.stderr


def test_the_list_names_every_kernel_and_the_help_every_option():
    assert [line.split()[0] for line in lab("--list").stdout.splitlines()] == variants.names()
    text = lab("--help").stdout
    for option in ("--kernels", "--kernel", "--config", "--compare", "--engine", "--cache", "--within", "--bisect"):
        assert option in text


PANICS = "#!/bin/sh\necho 'Kernel panic - not syncing: No working init found'\nexit 1\n"


@pytest.mark.parametrize("words, status", [([], 1), (["--bisect"], 125)])
def test_a_kernel_that_panics_is_a_verdict_with_its_console(linux, tmp_path, words, status):
    (linux / "text").write_text(PANICS, encoding="ascii")
    done = lab("--source", linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none", *words)
    assert done.returncode == status
    assert "Kernel panic - not syncing: No working init found" in done.stdout + done.stderr


def test_what_does_not_fit_into_the_time_is_left_out_and_said(linux, tmp_path):
    words = ("--source", linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--kernels", "base", "no-ipv6")
    done = lab(*words, "--within", "1.5")
    assert done.returncode == 0 and "left out: base no-ipv6 (no time for them within 1.5 min)" in done.stdout
    assert "no kernel was judged" in done.stdout
    assert "left out: base no-ipv6 (not in the cache)" in lab(*words, "--cached").stdout


def test_two_kernels_that_do_not_boot_are_not_compared(linux, tmp_path):
    (linux / "text").write_text(PANICS, encoding="ascii")
    done = lab("--compare", linux, linux, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none")
    assert done.returncode == 2 and "does not boot: it panicked" in done.stderr


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


# --- whole runs, on a kernel that a script stands in for ---

PATCHED = "# --- configuration\n# broken\n"


@pytest.fixture
def stand_in(linux):
    """The tree of a kernel whose abilities follow from its configuration."""
    text = (ROOT / "tests/netns/selftest/stand_in_kernel.py").read_text(encoding="utf-8")
    makefile = MAKEFILE.replace("chmod 755", "cat $(CURDIR)/end $(O)/.config >>$(O)/linux; chmod 755")
    (linux / "Makefile").write_text(makefile, encoding="ascii")
    (linux / "text").write_text("#!/usr/bin/python3\n" + text, encoding="utf-8")
    (linux / "end").write_text("# --- configuration\n", encoding="ascii")
    commit(linux)
    return linux


def commit(linux):
    for words in (["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", linux, *words], check=True)


@pytest.fixture
def work(stand_in, tmp_path, monkeypatch):
    """Runs the lab on it; its configuration, which is no whole kernel's, is not asked."""
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))

    def run(*words, source=("--source", stand_in)):
        done = lab(*words, *source, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--profile", "none")
        assert not done.stderr, done.stderr
        return done

    return run


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


def test_what_is_needed_is_found_confirmed_and_written(work, tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, ALL_OFF)))
    done = work("--minimize")
    assert done.returncode == 0, done.stdout
    assert "5 options are suspected" in done.stdout
    assert "4 of 4 lists are confirmed" in done.stdout
    needed = variants.tomllib.loads((tmp_path / "out" / "needed.toml").read_text(encoding="utf-8"))["needed"]
    lists = {(each["profile"], each["program"]): set(each["options"]) for each in needed}
    assert lists == {
        ("binding", "none"): set(),
        ("full", "iptables"): {"IP_MULTIPLE_TABLES", "NETFILTER_XT_MATCH_SOCKET", "NFT_COMPAT", "NF_TABLES", "NETFILTER"},
        ("full", "nft"): {"IP_MULTIPLE_TABLES", "NFT_SOCKET", "NF_TABLES", "NETFILTER"},
        ("ipv6", "nft"): {"IPV6", "NFT_SOCKET", "NF_TABLES", "NETFILTER"},
    }


def test_without_a_tool_that_knows_what_needs_which_option_nothing_is_searched(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))
    done = lab("--minimize", "--source", stand_in, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    assert done.returncode == 2 and "nobody says which options to suspect" in done.stderr


# --- the initramfs ---


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
    (tmp_path / "lib/modules/6.1.0-9-x/kernel").mkdir(parents=True)
    assert initramfs.modules_of(path) == tmp_path
    with pytest.raises(initramfs.CannotMake, match=f"depmod -b {tmp_path} 6.1.0-9-x"):
        initramfs.write(path, tmp_path, tmp_path / "image")


# --- the search for what is needed ---

NEEDS = {("full", "nft"): {"A", "C"}, ("full", "iptables"): {"A", "D"}, ("binding", "none"): set()}


def model(left_out):
    """A kernel in which each way needs some options."""
    return {way for way, needs in NEEDS.items() if not needs & set(left_out)}


def test_what_is_needed_is_found_by_leaving_it_out():
    names = list("ABCDEFGHIJ")
    dropped = minimize.irrelevant(names, set(NEEDS), model)
    assert set(names) - set(dropped) == {"A", "C", "D"}
    found = minimize.needed([name for name in names if name not in dropped], dropped, set(NEEDS), model)
    assert {way: set(options) for way, options in found.items()} == NEEDS


def test_of_options_that_stand_in_for_each_other_one_is_needed():
    """Without E there is still F, and the other way round; so neither is missed by itself."""

    def test(left_out):
        return {way for way in model(left_out) if way != ("full", "nft") or not {"E", "F"} <= set(left_out)}

    found = minimize.needed(list("ABCDEFGH"), [], set(NEEDS), test)
    assert len({"E", "F"} & set(found["full", "nft"])) == 1
    assert {way: set(options) - {"E", "F"} for way, options in found.items()} == NEEDS
    for way, options in found.items():
        assert way in test([name for name in "ABCDEFGH" if name not in options])


def test_what_is_irrelevant_at_once_is_asked_once():
    asked = []

    def test(left_out):
        asked.append(left_out)
        return model(left_out)

    assert minimize.irrelevant(list("EFGHIJ"), set(NEEDS), test) == list("EFGHIJ")
    assert len(asked) == 1
    assert minimize.irrelevant([], set(NEEDS), test) == []


def test_the_surroundings_are_no_candidates_and_the_published_list_is_readable():
    names = minimize.candidates()
    assert "NETFILTER_XT_MATCH_SOCKET" in names and "IPV6" in names and not set(names) & set(minimize.SURROUNDINGS)
    off = {"nat": {"state": "off", "options": ["CONFIG_NFT_NAT", "CONFIG_NET"]}}
    assert minimize.suspected(off) == ["NFT_NAT"]
    found = {("full", "nft"): ["A", "C"], ("binding", "none"): []}
    assert "| full | nft | `A` `C` |" in minimize.markdown(found, "6.1")
    read = variants.tomllib.loads(minimize.toml(found, "6.1"))
    assert read["needed"][0] == {"profile": "full", "program": "nft", "options": ["A", "C"]}
