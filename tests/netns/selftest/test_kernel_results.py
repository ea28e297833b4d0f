"""What the kernel lab predicts of a kernel, what it hears of it, and where accounts do not agree."""

import gzip

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, all_on, capabilities, program
from kernels import agreement, configuration, matrix, observe, suite, variants, ways
from lab import requirements

pytestmark = pytest.mark.suite


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
    assert words[words.index("--patience") + 1] == "40" and words[words.index("--rules-by") + 1] == "iptables"
    assert (suite.proxy_for("core"), suite.proxy_for("udp")) == ("tproxyd", "falsifiers/correct")
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
    by_nft = observe._suite({"implementations": [column], "selection": {"rules_by": "nft"}})["cells"]
    assert [each["TP-A-01/4"]["tests"][0]["backend"] for each in (cells, by_nft)] == ["iptables", "nft"]


# --- what tproxyctl reads ---

CHECKS = """#!/bin/sh
[ "$2" = --help ] && { echo '--kernel-config FILE'; exit 0; }
[ "$1 $2 $4" = 'check --kernel-config --json' ] || exit 2
grep -q garbage "$3" && { echo "$3: garbage" >&2; exit 2; }
echo '{"kernel": {"capabilities": [{"id": "nat", "state": "off", "options": ["CONFIG_NFT_NAT"]}]}}'
exit 1
"""


def test_the_configuration_is_asked_of_tproxyctl(tmp_path):
    path = program(tmp_path, CHECKS)
    assert observe.ask_text(path, "CONFIG_A=y\n", tmp_path) == {"nat": {"state": "off", "options": ["CONFIG_NFT_NAT"]}}
    with pytest.raises(observe.CannotAsk, match="garbage"):
        observe.ask_text(path, "garbage", tmp_path)
    assert observe.ask_text(program(tmp_path, KNOWS_NO_CHECK), "CONFIG_A=y\n", tmp_path) is None
