"""Configurations, variants, results of guests, and disagreements between results."""

import gzip

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, all_on, capabilities, program
from kernels import agreement, configuration, matrix, observe, suite, variants, ways
from lab.conformance import requirements

pytestmark = pytest.mark.suite


# --- configurations ---


def test_a_configuration_is_read_and_the_later_line_counts():
    text = '# CONFIG_A is not set\nCONFIG_A=y\nCONFIG_B="x"\nCONFIG_C=0x1\n\n# a comment\n# CONFIG_B is not set\n'
    assert configuration.parse(text) == {"A": "y", "B": "n", "C": "0x1"}
    assert configuration.render({"A": "y", "B": "n"}) == "CONFIG_A=y\n# CONFIG_B is not set\n"


@pytest.mark.parametrize("text", ["CONFIG_A=maybe\n", "A=y\n", "CONFIG_A\n", "\x7fELF\n"])
def test_a_text_that_is_not_a_configuration_is_refused_with_its_line(text):
    with pytest.raises(configuration.Malformed, match="it:2: "):
        configuration.parse("CONFIG_B=y\n" + text, "it")


def test_a_truncated_compressed_configuration_is_refused(tmp_path):
    path = tmp_path / "config.gz"
    path.write_bytes(gzip.compress(b"CONFIG_A=y\n" * 100)[:-9])
    with pytest.raises(configuration.Malformed, match="cannot be decompressed"):
        configuration.load(path)


def test_options_that_were_not_applied_are_listed():
    got = {"A": "y", "B": "n"}
    assert configuration.not_applied({"A": "y", "B": "n", "C": "n"}, got) == []
    named = configuration.not_applied({"A": "n", "B": "y", "C": "y"}, got)
    assert [each.partition(" (")[0] for each in named] == ["# CONFIG_A is not set", "CONFIG_B=y", "CONFIG_C=y"]
    assert named[0].endswith("(it has: CONFIG_A=y)") and "no line for this option" in named[2]


# --- variants ---


@pytest.fixture(scope="module")
def names():
    """The names that predictions may use: capabilities and rows."""
    rows = [f"{row.id}/{family}" for row in requirements.load() for family in (4, 6)]
    return capabilities(), rows


@pytest.mark.parametrize("name", variants.names())
def test_a_variant_turns_off_options_of_base_and_predicts_only_known_names(name, names):
    variant = variants.load(name)
    common = configuration.parse(variants.part("common"))
    for option, value in configuration.parse(variant.fragment).items():
        assert value == "n" and common.get(option) == "y", f"CONFIG_{option}"
    assert variant.unused_patterns(*names) == []
    assert variant.name and len(variant.about) > 20


def test_a_variant_is_two_files():
    for kind in ("config", "toml"):
        assert sorted(path.stem for path in variants.FOLDER.glob(f"*.{kind}")) == sorted(variants.names()), kind


def test_no_two_variants_are_the_same_kernel():
    made = {}
    for name in variants.names():
        variant = variants.load(name)
        key = (tuple(variants.fragment_of(variant, "uml").items()), tuple(variant.sysctls.items()))
        assert key not in made, f"{name} is the same as {made[key]}"
        made[key] = name
    assert variants.names()[0] == "base" and len(made) >= 16


FIXTURE = 'name = "n"\nabout = "a"\n'


@pytest.mark.parametrize(
    "text, message",
    [
        ('about = "a"\n', 'one.toml: add name = "TEXT"'),
        (FIXTURE + 'mising = ["x"]\n', "one.toml: unknown key 'mising'; use about, lost, "),
        (FIXTURE + 'lost = ["fast"]\n', "one.toml: unknown profile 'fast' in 'lost'; use binding, "),
        (FIXTURE + 'missing = "nat"\n', "one.toml: 'missing' must be a list"),
        (FIXTURE + 'suite = "x"\n', r"one.toml: 'suite' must be a table; write \[suite\]"),
        (FIXTURE + "sysctls = 1\n", r"one.toml: 'sysctls' must be a table; write \[sysctls\]"),
        (FIXTURE + '[suite]\nMAYBE = ["TP-*"]\n', "one.toml: unknown verdict 'MAYBE'"),
        ("name =\n", "one.toml is not a TOML file"),
        ("\xff", "one.toml is not a TOML file"),
    ],
)
def test_a_malformed_prediction_is_refused(tmp_path, text, message):
    (tmp_path / "one.toml").write_text(text, encoding="latin-1")
    (tmp_path / "one.config").write_text("", encoding="ascii")
    with pytest.raises(variants.BadVariant, match=message):
        variants.load("one", tmp_path)


@pytest.mark.parametrize(
    "fragment, message",
    [
        (None, "cannot read .*/one.config: No such file"),
        (b"CONFIG_A\n", "one.config:1: 'CONFIG_A' is not a line of a kernel configuration"),
        (b"# \xc3\xa9\n", "one.config: not a kernel configuration: it is not ASCII text"),
    ],
)
def test_a_malformed_fragment_is_refused(tmp_path, fragment, message):
    (tmp_path / "one.toml").write_text(FIXTURE, encoding="utf-8")
    if fragment is not None:
        (tmp_path / "one.config").write_bytes(fragment)
    with pytest.raises(variants.BadVariant, match=message):
        variants.load("one", tmp_path)


def test_the_first_verdict_that_matches_is_the_predicted_one():
    variant = variants.Variant("x", "x", "x", suite={"PASS": ["TP-A-01/*"], "ABSENT": ["TP-*/6"]})
    verdicts = [agreement.predicted(row, variant) for row in ("TP-A-01/6", "TP-A-02/6", "TP-A-02/4")]
    assert verdicts == ["PASS", "ABSENT", "PASS"]
    assert variant.unused_patterns([], ["TP-A-01/6"]) == []
    assert variant.unused_patterns([], ["TP-B-01/6"]) == ["TP-A-01/*"]


# --- agreement ---

ON, OFF = {"state": "on", "options": []}, {"state": "off", "options": ["CONFIG_X"]}
WORKS, MISSING = {"state": "works", "detail": ""}, {"state": "missing", "detail": "No such thing"}


def untried(needed):
    return {"state": "untried", "detail": f"needs {needed}"}


def proved(connections=(), profiles=None, **found):
    return {"capabilities": found, "profiles": profiles or {}, "connections": list(connections)}


@pytest.mark.parametrize(
    "configured, found, expected",
    [
        ({"a": ON}, {"a": WORKS}, []),
        ({"a": OFF}, {"a": MISSING}, []),
        ({"a": ON}, {"a": MISSING}, ["a: its options are on, but it is missing (No such thing)"]),
        ({"a": OFF}, {"a": WORKS}, ["a: its options are off (CONFIG_X), but it works"]),
        ({"a": ON, "b": OFF}, {"a": untried("b"), "b": MISSING}, []),
        ({"a": ON, "b": ON, "c": OFF}, {"a": untried("b"), "b": untried("c"), "c": MISSING}, []),
        ({"a": ON, "b": ON}, {"a": untried("b"), "b": WORKS}, ["a: its options are on, but it is untried (needs b)"]),
        ({"a": ON, "b": ON}, {"a": untried("b"), "b": untried("a")}, None),
        ({"a": ON}, {"a": {"state": "untried", "detail": "there is no program 'nft'"}}, None),
        ({"a": ON}, {"a": WORKS, "b": WORKS}, ["b: unknown to `tproxyctl check`"]),
    ],
)
def test_the_configuration_is_compared_with_prove(configured, found, expected):
    sentences = list(agreement.configuration_and_prove(configured, proved(**found)))
    assert sentences == expected if expected is not None else sentences


@pytest.mark.parametrize("state, agrees", [("off", True), ("on", False)])
def test_a_capability_that_needs_a_recipe_needs_what_its_connections_need(state, agrees):
    """An example is `udp-original-destination-4`, which prove tries by whole connections."""
    configured = {"received-4": ON, "rule-4": {"state": state, "options": []}}
    found = {"received-4": untried("the recipe udp by any program"), "rule-4": MISSING if state == "off" else WORKS}
    connections = [
        {"recipe": "udp", "firewall_tool": each, "protocol": "udp", "family": 4, "state": "untried", "detail": "needs rule-4"}
        for each in ("iptables", "nft")
    ]
    assert (not list(agreement.configuration_and_prove(configured, proved(connections, **found)))) == agrees
    connections[0].update(state="failed", detail="timed out")
    assert list(agreement.configuration_and_prove(configured, proved(connections, **found)))


@pytest.mark.parametrize(
    "off, lost",
    [
        ((), ()),
        (("transparent-4",), ("binding", "source", "full", "intercept", "udp")),
        (("ipv6",), ("ipv6",)),
        (("policy-rule-4",), ("source", "full", "intercept", "udp")),
        (("iptables-socket-4", "nft-socket-4"), ()),
        (("iptables-socket-4", "iptables-legacy-socket-4"), ()),
        (("iptables-socket-4", "iptables-legacy-socket-4", "nft-tproxy-4"), ("intercept", "udp")),
        (("iptables-socket-4", "iptables-legacy-socket-4", "nft-socket-4"), ("source", "full", "intercept", "udp")),
        (("iptables-tproxy-4", "iptables-legacy-tproxy-4", "nft-socket-4"), ("intercept",)),
    ],
)
def test_profiles_follow_from_capabilities(off, lost):
    states = all_on(**dict.fromkeys(off, "off"))
    assert {each for each in ways.PROFILES if ways.allowed(states, each) == ways.OFF} == set(lost)


def test_a_profile_is_unknown_if_a_way_is_unknown_and_no_other_way_works():
    states = all_on(**{"iptables-socket-4": "unknown"})
    assert ways.allowed(states, "full") == ways.ON
    states.update({"nft-socket-4": "off", "iptables-legacy-socket-4": "off"})
    assert ways.allowed(states, "full") == ways.UNKNOWN
    states["veth"] = "off"
    assert ways.allowed(states, "full") == ways.OFF


def test_a_profile_that_the_configuration_allows_must_work():
    configured = {name: {"state": "on", "options": []} for name in all_on()}
    proof = proved(**dict.fromkeys(all_on(), WORKS), profiles={"full": False, "udp": True})
    sentence = "profile full: the configuration allows it, but it does not work"
    assert list(agreement.configuration_and_prove(configured, proof)) == [sentence]
    configured["transparent-4"], proof["profiles"] = OFF, {"full": True}
    sentence = "profile full: the configuration does not allow it, but it works"
    assert sentence in list(agreement.configuration_and_prove(configured, proof))


def test_the_prediction_is_compared_with_prove():
    variant = variants.Variant("x", "x", "x", missing=["a-*"], lost=["full"])
    right = proved(**{"a-4": MISSING, "b": WORKS}, profiles={"full": False, "udp": True})
    assert list(agreement.prove_and_prediction(right, variant)) == []
    wrong = proved(**{"a-4": WORKS, "b": MISSING}, profiles={"full": True, "udp": False})
    sentences = list(agreement.prove_and_prediction(wrong, variant))
    assert sentences == [
        "a-4: predicted not to work, but it works",
        "b: predicted to work, but it is missing (No such thing)",
        "profile full: predicted not to work, but it works",
        "profile udp: predicted to work, but it does not work",
    ]


def cell(word, recipe="divert", firewall_tool="iptables", family=4):
    return {
        "verdict": word,
        "message": "reason",
        "tests": [{"test": "t", "verdict": word, "recipe": recipe, "firewall_tool": firewall_tool, "family": family}],
    }


def ran(proof, cells=None, **rest):
    made = {"kernel": "k", "release": "6.1", "verdict": "ended", "troubles": [], "prove": proof, "prove_words": "", "log": ""}
    made["suite"] = {"cells": cells, "problems": [], "seconds": 1} if cells is not None else None
    return {**made, "suite_asked": cells is not None, "console": [], **rest}


def test_no_test_may_pass_with_a_recipe_that_could_not_connect():
    failed = {"recipe": "divert", "firewall_tool": "iptables", "protocol": "tcp", "family": 4, "state": "untried"}
    cells = {"TP-A-01/4": cell("PASS"), "TP-A-02/4": cell("PASS", firewall_tool="iptables-legacy"), "TP-A-03/4": cell("ABSENT")}
    sentences = list(agreement.suite_and_prove({"cells": cells}, proved([failed])))
    assert len(sentences) == 1 and sentences[0].startswith("TP-A-01/4: test t passes, but ")
    both = {"TP-A-01/4": cell("PASS", recipe="local-route+divert")}
    assert list(agreement.suite_and_prove({"cells": both}, proved([failed])))


def test_the_suite_is_compared_with_the_prediction():
    variant = variants.Variant("x", "x", "x", suite={"ABSENT": ["TP-A-01/*"]})
    base = variants.Variant("base", "x", "x", suite={"UNSUPPORTED": ["TP-B-*"]})
    right = {"TP-A-01/4": cell("ABSENT"), "TP-A-02/4": cell("PASS"), "TP-B-01/4": cell("UNSUPPORTED")}
    assert agreement.disagreements(ran(proved(a=WORKS), right), None, variant, base) == []
    wrong = {"TP-A-01/4": cell("PASS"), "TP-A-02/4": cell("ABSENT"), "TP-B-01/4": cell("PASS"), "TP-C-01/-": cell("NOT RUN")}
    assert len(agreement.disagreements(ran(proved(a=WORKS), wrong), None, variant, base)) == 4


def test_the_users_own_kernel_may_lack_features_but_no_requirement_may_fail():
    cells = {"TP-A-01/4": cell("ABSENT"), "TP-A-02/4": cell("FAIL")}
    sentences = agreement.disagreements(ran(proved(a=WORKS), cells))
    assert sentences == ["TP-A-02/4: expected PASS, found FAIL: reason"]


@pytest.mark.parametrize(
    "rest, sentence",
    [
        ({"verdict": "panicked"}, "the kernel panicked"),
        ({"verdict": "hung"}, "the guest hung, so it was killed at the time limit"),
        ({"verdict": "died"}, "the guest exited without a message"),
        ({"prove": None, "prove_words": "cannot open\n"}, "`tproxyctl prove` gave no result: cannot open"),
        ({"suite": None, "suite_asked": True, "log": "a\nthe end\n"}, "the suite wrote no report: the end"),
        ({"troubles": ["no sysctl"]}, "error in the guest: no sysctl"),
        ({"suite": {"cells": {}, "problems": ["t did not end"], "seconds": 1}}, "the suite: t did not end"),
    ],
)
def test_a_guest_without_a_result_is_a_disagreement(rest, sentence):
    assert agreement.disagreements(ran(proved(a=WORKS), {}, **rest)) == [sentence]


def test_a_connection_that_fails_although_its_capabilities_work_is_reported():
    """No option explains this regression. That connections with another firewall tool work does not matter."""
    way = {"recipe": "divert", "firewall_tool": "iptables", "protocol": "tcp", "family": 4, "detail": "timed out"}
    fine = ran(proved([{**way, "state": "works"}, {**way, "firewall_tool": "nft", "state": "untried"}], a=WORKS))
    failed = ran(proved([{**way, "state": "failed"}], a=WORKS, profiles={"full": True}))
    assert agreement.disagreements(fine) == []
    sentences = ["divert by iptables for IPv4: rules and route work, but no connection succeeds (timed out)"]
    assert agreement.disagreements(failed) == sentences
    assert "connection divert by iptables for IPv4: works -> failed" in list(agreement.compare(fine, failed))


def test_two_kernels_are_compared_by_capability_and_requirement():
    one = ran(proved(a=WORKS, b=WORKS), {"TP-A-01/4": cell("PASS")})
    other = ran(proved(a=WORKS, b=MISSING), {"TP-A-01/4": cell("ABSENT")})
    assert list(agreement.compare(one, one)) == []
    assert list(agreement.compare(one, other)) == [
        "capability b: works -> missing",
        "requirement TP-A-01/4: PASS -> ABSENT",
    ]
    assert list(agreement.compare(one, {**other, "verdict": "hung"})) == ["the first guest ended, the second hung"]


def test_the_matrix_shows_each_row_once_and_marks_disagreements():
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


def test_families_have_separate_rows_if_they_differ():
    names = ["nat", "veth-4", "veth-6", "mark-4", "mark-6", "TP-A-01/4", "TP-A-01/6", "TP-A-02/4", "TP-A-03/-"]
    joined = list(matrix._families_joined(["nat", "veth-4", "veth-6", "mark-4", "TP-A-01/6", "TP-A-02/4", "TP-A-03/-"], names))
    assert joined == ["nat", "veth", "mark-4", "TP-A-01/6", "TP-A-02", "TP-A-03/-"]


# --- the guest's suite ---


def test_a_guest_runs_the_core_without_large_transfers():
    rows = suite.chosen("core", requirements.load())
    assert {row.profile for row in rows} == set(suite.CORE)
    ids = {row.id for row in rows}
    assert not ids & set(suite.VOLUME) and {"TP-BIND-01", "TP-SRC-01", "TP-HOST-10"} <= ids
    command = suite.command(rows, slowdown=5)
    assert command[command.index("--patience") + 1] == "40"
    assert command[command.index("--rules-by") + 1] == "iptables"
    assert (suite.proxy_for("core"), suite.proxy_for("udp")) == ("tproxyd", "falsifiers/correct")
    assert suite.command([]) == []


def test_each_family_has_its_own_row():
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
    by_nft = observe._suite({"implementations": [column], "selection": {"rules_by": "nft"}})["cells"]
    assert [each["TP-A-01/4"]["tests"][0]["firewall_tool"] for each in (cells, by_nft)] == ["iptables", "nft"]


# --- tproxyctl check ---

CHECKS = """#!/bin/sh
[ "$2" = --help ] && { echo '--kernel-config FILE'; exit 0; }
[ "$1 $2 $4" = 'check --kernel-config --json' ] || exit 2
grep -q garbage "$3" && { echo "$3: garbage" >&2; exit 2; }
echo '{"kernel": {"capabilities": [{"id": "nat", "state": "off", "options": ["CONFIG_NFT_NAT"]}]}}'
exit 1
"""


def test_tproxyctl_checks_the_configuration(tmp_path):
    path = program(tmp_path, CHECKS)
    assert observe.check_text(path, "CONFIG_A=y\n", tmp_path) == {"nat": {"state": "off", "options": ["CONFIG_NFT_NAT"]}}
    with pytest.raises(observe.CheckFailed, match="garbage"):
        observe.check_text(path, "garbage", tmp_path)
    assert observe.check_text(program(tmp_path, KNOWS_NO_CHECK), "CONFIG_A=y\n", tmp_path) is None
