"""--minimize finds the options that each profile needs; --confirm tests lists of them."""

import pytest

from kernel_stand_ins import KNOWS_NO_CHECK, ROOT, kernel_lab, program
from kernels import minimize, search, ways
from lab import toml

pytestmark = pytest.mark.suite

READS = """#!/bin/sh
# Answers as `tproxyctl check --kernel-config FILE`: for each capability the options that are off.
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
    """The ways that work without these options."""
    return {way for way, needs in NEEDS.items() if not needs & set(left_out)}


def test_needed_options_are_found_by_leaving_them_out():
    names = list("ABCDEFGHIJ")
    dropped = minimize.irrelevant(names, set(NEEDS), model)
    assert set(names) - set(dropped) == {"A", "C", "D"}
    found = minimize.needed([name for name in names if name not in dropped], dropped, set(NEEDS), model)
    assert {way: set(options) for way, options in found.items()} == NEEDS


def test_of_two_options_that_can_replace_each_other_one_is_needed():
    """E can replace F and F can replace E, so no way is lost when only one of them is left out."""

    def test(left_out):
        return {way for way in model(left_out) if way != ("full", "nft") or not {"E", "F"} <= set(left_out)}

    found = minimize.needed(list("ABCDEFGH"), [], set(NEEDS), test)
    assert len({"E", "F"} & set(found["full", "nft"])) == 1
    assert {way: set(options) - {"E", "F"} for way, options in found.items()} == NEEDS
    for way, options in found.items():
        assert way in test([name for name in "ABCDEFGH" if name not in options])


def test_an_option_that_another_way_needs_can_hide_a_needed_one():
    """iptables needs D or E, and nft needs E. So the way with iptables is not lost when only D is left out."""
    needs = {("full", "nft"): "AE", ("full", "iptables"): "A"}

    def test(left_out):
        had = {way for way, those in needs.items() if not set(those) & set(left_out)}
        return had - {("full", "iptables")} if {"D", "E"} <= set(left_out) else had

    found = minimize.needed(list("ABCDEF"), [], set(needs), test)
    assert found == {("full", "nft"): ["A", "E"], ("full", "iptables"): ["A"]}
    assert minimize.completed(found, list("ABCDEF"), test)["full", "iptables"] == ["A", "D"]


def test_unneeded_options_are_tested_together():
    asked = []

    def test(left_out):
        asked.append(left_out)
        return model(left_out)

    assert minimize.irrelevant(list("EFGHIJ"), set(NEEDS), test) == list("EFGHIJ")
    assert len(asked) == 1
    assert minimize.irrelevant([], set(NEEDS), test) == []


def test_options_of_the_test_network_are_no_candidates():
    names = minimize.candidates()
    assert "NETFILTER_XT_MATCH_SOCKET" in names and "IPV6" in names and not set(names) & set(minimize.ALWAYS_ON)
    off = {"nat": {"options": ["CONFIG_NFT_NAT"]}, "nft-socket-4": {"options": ["CONFIG_NFT_SOCKET", "CONFIG_NET"]}}
    assert minimize.suspected(off) == ["NFT_SOCKET"]  # no way needs NAT


FOUND = minimize.Found("6.1", {("binding", "none"): [], ("full", "nft"): ["A", "C"], ("source", "nft"): ["A", "C"]})


def test_lists_are_written_as_markdown_and_toml(tmp_path):
    assert "| source, full | nft | `A` `C` |" in minimize.markdown(FOUND) and "Linux 6.1" in minimize.markdown(FOUND)
    (tmp_path / "list.toml").write_text(minimize.as_toml(FOUND), encoding="utf-8")
    assert minimize.load(tmp_path / "list.toml") == FOUND


@pytest.mark.parametrize("text", ["", "version = 6", 'version = "6.1"\n[[needed]]\nprofile = "full"\n', "needed ="])
def test_a_malformed_list_is_refused(tmp_path, text):
    (tmp_path / "list.toml").write_text(text, encoding="utf-8")
    with pytest.raises(minimize.BadList, match="list.toml"):
        minimize.load(tmp_path / "list.toml")


def test_the_published_list_is_complete_and_the_documentation_shows_it():
    found = minimize.load(minimize.PUBLISHED)
    assert minimize.markdown(found) in (ROOT / "docs" / "KERNELS.md").read_text(encoding="utf-8")
    assert {profile for profile, _ in found.needed} == set(ways.PROFILES)
    assert {program for _, program in found.needed} == {search.NO_PROGRAM, *ways.PROGRAMS}
    assert {name for names in found.needed.values() for name in names} <= set(minimize.candidates())


WORKS = {"state": "works", "detail": "", "options": []}


def observation(verdict, recipe="divert", firewall_tool="nft", family=4, ways=(("divert", "nft"),)):
    """The observation of a kernel on which one way works, and one test ran."""
    test = {"test": "t", "verdict": verdict, "recipe": recipe, "firewall_tool": firewall_tool, "family": family}
    cells = {f"TP-A-01/{family}": {"verdict": verdict, "message": "", "tests": [test]}}
    prove = {"ways": {"full": list(ways), "ipv6": list(ways)}, "capabilities": {"nft-socket-4": WORKS}, "profiles": {}}
    return {"prove": prove, "suite": {"cells": cells}}


def configured(state):
    """The result of check for its configuration."""
    return {"nft-socket-4": {"state": state, "options": ["CONFIG_NFT_SOCKET"] * (state == "off")}}


@pytest.mark.parametrize(
    "observed, profile, program, problem",
    [
        (observation("PASS"), "full", "nft", ""),
        (observation("PASS", family=6), "ipv6", "nft", ""),
        (observation("PASS", recipe="local-route", ways=[("local-route", "none")]), "full", "none", ""),
        (observation("ABSENT"), "full", "nft", "no test of the suite passes this way"),
        (observation("PASS", firewall_tool="iptables"), "full", "nft", "no test of the suite passes this way"),
        (observation("PASS", family=6), "full", "nft", "no test of the suite passes this way"),
        (observation("FAIL"), "full", "nft", "the suite does not pass: TP-A-01/4"),
        (observation("PASS", ways=[("divert", "iptables")]), "full", "nft", "`tproxyctl prove` cannot connect this way"),
        ({**observation("PASS"), "prove": None}, "full", "nft", "`tproxyctl prove` cannot connect this way"),
        ({**observation("PASS"), "suite": None}, "full", "nft", "the suite wrote no report"),
    ],
)
def test_a_list_is_confirmed_by_tests_that_pass_with_rules_by_its_tool(observed, profile, program, problem):
    assert search.problem_of(observed, profile, program) == problem


@pytest.mark.parametrize(
    "state, problem", [("on", ""), ("off", "nft-socket-4: its options are off (CONFIG_NFT_SOCKET), but it works")]
)
def test_a_list_is_not_confirmed_if_check_disagrees(state, problem):
    assert search.problem_of(observation("PASS"), "full", "nft", configured(state)) == problem


# --- whole runs, with a script in place of the kernel ---


def test_minimize_finds_confirms_and_writes_the_lists(work, tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, READS)))
    done = work("--minimize")
    assert done.returncode == 0, done.stdout
    assert "5 options may be needed" in done.stdout
    assert "loses full by nft, ipv6 by nft" in done.stdout and "more options to try, about " in done.stdout
    assert "4 of 4 lists are confirmed" in done.stdout
    needed = toml.read(tmp_path / "out" / "needed.toml")["needed"]
    lists = {(each["profile"], each["program"]): set(each["options"]) for each in needed}
    assert lists == {
        ("binding", "none"): set(),
        ("full", "iptables"): {"IP_MULTIPLE_TABLES", "NETFILTER_XT_MATCH_SOCKET", "NFT_COMPAT", "NF_TABLES", "NETFILTER"},
        ("full", "nft"): {"IP_MULTIPLE_TABLES", "NFT_SOCKET", "NF_TABLES", "NETFILTER"},
        ("ipv6", "nft"): {"IPV6", "NFT_SOCKET", "NF_TABLES", "NETFILTER"},
    }


@pytest.mark.parametrize("without, status", [((), 0), (("NFT_SOCKET",), 1)])
def test_confirm_tests_a_list_without_searching(work, tmp_path, without, status):
    """On the stand-in nft needs its socket expression. A list without it is not confirmed."""
    options = [name for name in ("IP_MULTIPLE_TABLES", "NETFILTER", "NF_TABLES", "NFT_SOCKET") if name not in without]
    found = minimize.Found("6.1-stand-in", {("full", "nft"): options})
    (tmp_path / "list.toml").write_text(minimize.as_toml(found), encoding="utf-8")
    done = work("--confirm", tmp_path / "list.toml")
    assert done.returncode == status, done.stdout
    assert f"{1 - status} of 1 lists are confirmed" in done.stdout


def test_minimize_needs_a_tproxyctl_with_check(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("TPROXYCTL", str(program(tmp_path, KNOWS_NO_CHECK)))
    done = kernel_lab("--minimize", "--source", stand_in, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    assert done.returncode == 2 and "--minimize cannot list options: this tproxyctl has no `check --kernel-config`" in done.stderr
