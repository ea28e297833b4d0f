"""Which options are needed is found by leaving them out, and confirmed."""

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, ROOT, kernel_lab, program
from kernels import minimize, search, variants, ways

pytestmark = pytest.mark.suite

READS = """#!/bin/sh
# What check reads from the configuration $3: a capability, and the options that it is built on.
one() {
	name=$1 state=on options=
	shift
	for option; do
		grep -q "^CONFIG_$option=y" "$file" && continue
		state=off options="$options${options:+, }\\"CONFIG_$option\\""
	done
	printf '{"id": "%s", "state": "%s", "options": [%s]}' "$name" "$state" "$options"
}
file=$3
echo '{"kernel": {"capabilities": ['
echo "$(one iptables-socket-4 NETFILTER_XT_MATCH_SOCKET NFT_COMPAT), $(one iptables-mangle-4 NFT_COMPAT),"
echo "$(one nft-socket-4 NFT_SOCKET), $(one policy-rule-4 IP_MULTIPLE_TABLES), $(one ipv6 IPV6)]}}"
"""
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


def test_what_stands_in_for_an_option_of_another_way_is_noticed():
    """nft needs E, which for iptables stands in for D; so neither of those two is missed for iptables."""
    needs = {("full", "nft"): "AE", ("full", "iptables"): "A"}

    def test(left_out):
        had = {way for way, those in needs.items() if not set(those) & set(left_out)}
        return had - {("full", "iptables")} if {"D", "E"} <= set(left_out) else had

    found = minimize.needed(list("ABCDEF"), [], set(needs), test)
    assert found == {("full", "nft"): ["A", "E"], ("full", "iptables"): ["A"]}
    assert minimize.completed(found, list("ABCDEF"), test)["full", "iptables"] == ["A", "D"]


def test_what_is_irrelevant_at_once_is_asked_once():
    asked = []

    def test(left_out):
        asked.append(left_out)
        return model(left_out)

    assert minimize.irrelevant(list("EFGHIJ"), set(NEEDS), test) == list("EFGHIJ")
    assert len(asked) == 1
    assert minimize.irrelevant([], set(NEEDS), test) == []


def test_the_surroundings_are_no_candidates():
    names = minimize.candidates()
    assert "NETFILTER_XT_MATCH_SOCKET" in names and "IPV6" in names and not set(names) & set(minimize.SURROUNDINGS)
    off = {"nat": {"options": ["CONFIG_NFT_NAT"]}, "nft-socket-4": {"options": ["CONFIG_NFT_SOCKET", "CONFIG_NET"]}}
    assert minimize.suspected(off) == ["NFT_SOCKET"]  # no way to connect is built on NAT


FOUND = minimize.Found("6.1", {("binding", "none"): [], ("full", "nft"): ["A", "C"], ("source", "nft"): ["A", "C"]})


def test_what_was_found_is_written_for_people_and_for_programs(tmp_path):
    assert "| source, full | nft | `A` `C` |" in minimize.markdown(FOUND) and "Linux 6.1" in minimize.markdown(FOUND)
    (tmp_path / "list.toml").write_text(minimize.toml(FOUND), encoding="utf-8")
    assert minimize.load(tmp_path / "list.toml") == FOUND


@pytest.mark.parametrize("text", ["", "version = 6", 'version = "6.1"\n[[needed]]\nprofile = "full"\n', "needed ="])
def test_a_list_that_is_not_of_the_form_is_refused(tmp_path, text):
    (tmp_path / "list.toml").write_text(text, encoding="utf-8")
    with pytest.raises(minimize.NoList, match="list.toml"):
        minimize.load(tmp_path / "list.toml")


def test_the_list_that_is_published_is_whole_and_what_the_documentation_shows():
    found = minimize.load(minimize.PUBLISHED)
    assert minimize.markdown(found) in (ROOT / "docs" / "KERNELS.md").read_text(encoding="utf-8")
    assert {profile for profile, _ in found.needed} == set(ways.PROFILES)
    assert {program for _, program in found.needed} == {search.NO_PROGRAM, *ways.PROGRAMS}
    assert {name for names in found.needed.values() for name in names} <= set(minimize.candidates())


WORKS = {"state": "works", "detail": "", "options": []}


def seen(verdict, recipe="divert", backend="nft", family=4, ways=(("divert", "nft"),)):
    """What a kernel brought back that has one way to have the profile `full`, and ran one test."""
    test = {"test": "t", "verdict": verdict, "recipe": recipe, "backend": backend, "family": family}
    cells = {f"TP-A-01/{family}": {"verdict": verdict, "message": "", "tests": [test]}}
    prove = {"ways": {"full": list(ways), "ipv6": list(ways)}, "capabilities": {"nft-socket-4": WORKS}, "profiles": {}}
    return {"prove": prove, "suite": {"cells": cells}}


def configured(state):
    """What check reads from its configuration."""
    return {"nft-socket-4": {"state": state, "options": ["CONFIG_NFT_SOCKET"] * (state == "off")}}


@pytest.mark.parametrize(
    "observed, profile, program, problem",
    [
        (seen("PASS"), "full", "nft", ""),
        (seen("PASS", family=6), "ipv6", "nft", ""),
        (seen("PASS", recipe="local-route", ways=[("local-route", "none")]), "full", "none", ""),
        (seen("ABSENT"), "full", "nft", "no test of the suite passes so"),
        (seen("PASS", backend="iptables"), "full", "nft", "no test of the suite passes so"),
        (seen("PASS", family=6), "full", "nft", "no test of the suite passes so"),
        (seen("FAIL"), "full", "nft", "the suite: TP-A-01/4"),
        (seen("PASS", ways=[("divert", "iptables")]), "full", "nft", "prove cannot connect so"),
        ({**seen("PASS"), "prove": None}, "full", "nft", "prove cannot connect so"),
        ({**seen("PASS"), "suite": None}, "full", "nft", "the suite left no report"),
    ],
)
def test_a_list_is_confirmed_by_tests_that_pass_with_rules_by_its_program(observed, profile, program, problem):
    assert search.problem_of(observed, profile, program) == problem


@pytest.mark.parametrize(
    "state, problem", [("on", ""), ("off", "nft-socket-4: it works, although CONFIG_NFT_SOCKET is off")]
)
def test_a_list_is_not_confirmed_where_check_reads_something_else_from_it(state, problem):
    assert search.problem_of(seen("PASS"), "full", "nft", configured(state)) == problem


# --- whole runs, on a kernel that a script stands in for ---


def test_what_is_needed_is_found_confirmed_and_written(work, tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, READS)))
    done = work("--minimize")
    assert done.returncode == 0, done.stdout
    assert "5 options are suspected" in done.stdout
    assert "loses full by nft, ipv6 by nft" in done.stdout and "more to try, about " in done.stdout
    assert "4 of 4 lists are confirmed" in done.stdout
    needed = variants.tomllib.loads((tmp_path / "out" / "needed.toml").read_text(encoding="utf-8"))["needed"]
    lists = {(each["profile"], each["program"]): set(each["options"]) for each in needed}
    assert lists == {
        ("binding", "none"): set(),
        ("full", "iptables"): {"IP_MULTIPLE_TABLES", "NETFILTER_XT_MATCH_SOCKET", "NFT_COMPAT", "NF_TABLES", "NETFILTER"},
        ("full", "nft"): {"IP_MULTIPLE_TABLES", "NFT_SOCKET", "NF_TABLES", "NETFILTER"},
        ("ipv6", "nft"): {"IPV6", "NFT_SOCKET", "NF_TABLES", "NETFILTER"},
    }


@pytest.mark.parametrize("without, status", [((), 0), (("NFT_SOCKET",), 1)])
def test_a_list_is_confirmed_without_searching(work, tmp_path, without, status):
    """The stand-in needs nft's socket expression for it; a list without that is told to be wrong."""
    options = [name for name in ("IP_MULTIPLE_TABLES", "NETFILTER", "NF_TABLES", "NFT_SOCKET") if name not in without]
    found = minimize.Found("6.1-stand-in", {("full", "nft"): options})
    (tmp_path / "list.toml").write_text(minimize.toml(found), encoding="utf-8")
    done = work("--confirm", tmp_path / "list.toml")
    assert done.returncode == status, done.stdout
    assert f"{1 - status} of 1 lists are confirmed" in done.stdout


def test_without_a_tool_that_knows_what_needs_which_option_nothing_is_searched(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))
    done = kernel_lab("--minimize", "--source", stand_in, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    assert done.returncode == 2 and "nobody says which options to suspect" in done.stderr
