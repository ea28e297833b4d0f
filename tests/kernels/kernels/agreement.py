"""Four accounts of one kernel, and where they do not agree.

    configuration   what `tproxyctl check` reads from it: on, off, unknown
    prove           what `tproxyctl prove` found by doing: works, missing, untried
    suite           what became of the requirements
    fixture         what was predicted

An account that was not asked for, or that a kernel of one's own does not have, is left out; no account is
taken from another. Each disagreement is a sentence.
"""

import re

from . import ways

OK = "PASS"
_UNSURPRISING = ("ABSENT", "UNSUPPORTED")
_BY_ANY = re.compile(r"needs the recipe (\S+) by any program")
_HAD = {True: "can be had", False: "can't be had"}
_MEANS = {True: "works", False: "does not work"}


def disagreements(observed, configured=None, variant=None, base=None):
    """Sentences; none when all that was asked agrees."""
    if observed["verdict"] != "ended":
        return [f"it {_ENDS.get(observed['verdict'], observed['verdict'])}"]
    found = [f"in the guest: {each}" for each in observed["troubles"]]
    if observed["prove"] is None:
        return [*found, f"prove gave no result: {first_line(observed['prove_words']) or 'it said nothing'}"]
    found += connections_that_fail(observed["prove"])
    if configured is not None:
        found += configuration_and_prove(configured, observed["prove"])
    if variant is not None:
        found += prove_and_fixture(observed["prove"], variant)
    if observed["suite_asked"] and observed["suite"] is None:
        return [*found, f"the suite left no report: {last_line(observed['log']) or 'it said nothing'}"]
    if observed["suite"] is not None:
        found += [f"the suite: {each}" for each in observed["suite"]["problems"]]
        found += suite_and_prove(observed["suite"], observed["prove"])
        found += suite_and_fixture(observed["suite"], variant, base)
    return found


_ENDS = {"panicked": "panicked", "hung": "hung", "died": "died without a word"}


def connections_that_fail(prove):
    """All that a connection is built on works, and it does not come about: no option explains that."""
    for each in prove["connections"]:
        if each["state"] == "failed":
            yield f"{way_of(each)}: rules and route are there, and no connection comes about ({first_line(each['detail'])})"


def way_of(connection):
    return "{recipe} by {backend} for IPv{family}".format(**connection)


def configuration_and_prove(configured, prove):
    """A capability whose options are on works, unless one that it builds on is off; else it does not."""
    capabilities = prove["capabilities"]
    for name in sorted({*configured, *capabilities}):
        if name not in configured or name not in capabilities:
            who = "check" if name not in configured else "prove"
            yield f"{name}: {who} does not know it"
            continue
        state, words = configured[name]["state"], capabilities[name]
        works = words["state"] == "works"
        if state == "on" and not works and not rests_on_what_is_off(name, configured, prove):
            yield f"{name}: its options are on, and it {_why(words)}"
        elif state == "off" and works:
            yield f"{name}: it works, although {', '.join(configured[name]['options'])} is off"
    states = {name: each["state"] for name, each in configured.items()}
    for name, provable in prove["profiles"].items():
        if (ways.promised(states, name), provable) in ((ways.ON, False), (ways.OFF, True)):
            yield f"profile {name}: the configuration says that it {_HAD[not provable]}, and it {_HAD[provable]}"


def rests_on_what_is_off(name, configured, prove, seen=()):
    """Whether it was not tried because of another one whose options are off, or that rests on such.

    What needs a recipe "by any program" rests on what each of that recipe's connections was not tried for.
    """
    words = prove["capabilities"].get(name)
    if words is None or name in seen:
        return False
    if configured.get(name, {}).get("state") == "off":
        return True
    if words["state"] != "untried":
        return False
    needed = list(_needed(words["detail"], name[-1:], prove["connections"]))
    return bool(needed) and all(rests_on_what_is_off(each, configured, prove, (*seen, name)) for each in needed)


def _needed(detail, family, connections):
    """Names of what `needs NAME`, or `needs the recipe NAME by any program`, rests on."""
    recipe = _BY_ANY.fullmatch(detail)
    if not recipe:
        yield detail.removeprefix("needs ") if detail.startswith("needs ") else ""
        return
    for each in connections:
        if each["recipe"] == recipe[1] and str(each["family"]) == family:
            yield from _needed(each["detail"], family, ()) if each["state"] == "untried" else ("",)


def prove_and_fixture(prove, variant):
    for name, words in prove["capabilities"].items():
        works = words["state"] == "works"
        if works == variant.lacks(name):
            yield f"{name}: predicted was that it {_MEANS[not works]}, and it {_why(words)}"
    for name, provable in prove["profiles"].items():
        if provable == (name in variant.lost):
            yield f"profile {name}: predicted was that it {_HAD[not provable]}, and it {_HAD[provable]}"


def suite_and_prove(suite, prove):
    """No test passes with a recipe that prove could not connect by."""
    failed = {
        (each["recipe"], each["backend"], each["family"])
        for each in prove["connections"]
        if each["state"] != "works" and each["protocol"] == "tcp"
    }
    for row, cell in suite["cells"].items():
        for test in cell["tests"]:
            for recipe in (test["recipe"] or "").split("+"):
                backend = "none" if recipe == "local-route" else test["backend"]
                if test["verdict"] == OK and (recipe, backend, test["family"]) in failed:
                    way = f"{recipe} by {backend} for IPv{test['family']}"
                    yield f"{row}: {test['test']} passes, and prove could not connect with {way}"


def suite_and_fixture(suite, variant, base=None):
    """Without a fixture (a kernel of one's own) what the kernel lacks is no surprise; the rest is."""
    for row, cell in suite["cells"].items():
        expected = predicted(row, variant, base)
        if variant is None and cell["verdict"] in _UNSURPRISING:
            continue
        if cell["verdict"] != expected:
            yield f"{row}: predicted was {expected}, and it is {cell['verdict']}: {cell['message'] or 'no words'}"


def predicted(row, variant, base=None):
    for each in (variant, base):
        word = each and each.verdict(row)
        if word:
            return word
    return OK


def _why(words):
    if words["state"] == "works":
        return "works"
    return f"is {words['state']} ({first_line(words['detail'])})"


def first_line(text):
    return text.strip().partition("\n")[0]


def last_line(text):
    return text.strip().rpartition("\n")[2]


def compare(one, other):
    """What two observations differ in; sentences."""
    if one["verdict"] != other["verdict"]:
        yield f"the one {one['verdict']}, the other {other['verdict']}"
        return
    for title, here, there in _accounts(one, other):
        for name in sorted({*here, *there}):
            if here.get(name) != there.get(name):
                yield f"{title} {name}: {here.get(name, 'not there')} -> {there.get(name, 'not there')}"


def _accounts(one, other):
    def states(each):
        return {name: words["state"] for name, words in (each["prove"] or {"capabilities": {}})["capabilities"].items()}

    def cells(each):
        return {name: cell["verdict"] for name, cell in (each["suite"] or {"cells": {}})["cells"].items()}

    def connections(each):
        return {way_of(way): way["state"] for way in (each["prove"] or {"connections": ()})["connections"]}

    yield "capability", states(one), states(other)
    yield "connection", connections(one), connections(other)
    yield "requirement", cells(one), cells(other)
