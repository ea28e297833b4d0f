"""Compares four results of one kernel, and lists where they disagree.

    configuration   what `tproxyctl check` says about it: on, off, unknown
    prove           what `tproxyctl prove` found by trying: works, missing, untried
    suite           the verdicts of the requirements
    prediction      what the variant in fixtures/kernels predicts

The user's own kernel has no prediction, and may have no configuration. A result that does not exist is left out.
No result is computed from another. Each disagreement is a sentence that begins with the name of its row.
"""

import re

from . import ways

OK = "PASS"
_LACKING = ("ABSENT", "UNSUPPORTED")
_BY_ANY = re.compile(r"needs the recipe (\S+) by any program")
_ENDS = {
    "panicked": "the kernel panicked",
    "hung": "the guest hung, so it was killed at the time limit",
    "died": "the guest exited without a message",
}


def disagreements(observed, configured=None, variant=None, base=None):
    """A list of sentences; empty if all results agree. A requested result that is missing is a disagreement."""
    if observed["verdict"] != "ended":
        return [_ENDS[observed["verdict"]]]
    found = [f"error in the guest: {each}" for each in observed["troubles"]]
    if observed["prove"] is None:
        reason = first_line(observed["prove_words"]) or "it printed nothing"
        return [*found, f"`tproxyctl prove` gave no result: {reason}"]
    found += failed_connections(observed["prove"])
    if configured is not None:
        found += configuration_and_prove(configured, observed["prove"])
    if variant is not None:
        found += prove_and_prediction(observed["prove"], variant)
    if observed["suite_asked"] and observed["suite"] is None:
        return [*found, f"the suite wrote no report: {last_line(observed['log']) or 'it printed nothing'}"]
    if observed["suite"] is not None:
        found += [f"the suite: {each}" for each in observed["suite"]["problems"]]
        found += suite_and_prove(observed["suite"], observed["prove"])
        found += suite_and_prediction(observed["suite"], variant, base)
    return found


def failed_connections(prove):
    """Connections that fail although each capability they need works. No option explains such a failure."""
    for each in prove["connections"]:
        if each["state"] == "failed":
            yield f"{way_of(each)}: rules and route work, but no connection succeeds ({first_line(each['detail'])})"


def way_of(connection):
    return "{recipe} by {backend} for IPv{family}".format(**connection)


def configuration_and_prove(configured, prove):
    """A capability must work exactly if its options and those of all capabilities that it needs are on."""
    capabilities = prove["capabilities"]
    for name in sorted({*configured, *capabilities}):
        if name not in configured or name not in capabilities:
            yield f"{name}: unknown to `tproxyctl {'check' if name not in configured else 'prove'}`"
            continue
        state, proof = configured[name]["state"], capabilities[name]
        works = proof["state"] == "works"
        if state == "on" and not works and not depends_on_missing(name, configured, prove):
            yield f"{name}: its options are on, but it {_found(proof)}"
        elif state == "off" and works:
            yield f"{name}: its options are off ({', '.join(configured[name]['options'])}), but it works"
    states = {name: each["state"] for name, each in configured.items()}
    for name, provable in prove["profiles"].items():
        if not provable and ways.allowed(states, name) == ways.ON:
            yield f"profile {name}: the configuration allows it, but it does not work"
        elif provable and ways.allowed(states, name) == ways.OFF:
            yield f"profile {name}: the configuration does not allow it, but it works"


def depends_on_missing(name, configured, prove, seen=()):
    """Whether a capability is untried because one that it needs has its options off, directly or through others.

    A capability that "needs the recipe R by any program" needs what the untried connections of R need.
    """
    proof = prove["capabilities"].get(name)
    if proof is None or name in seen:
        return False
    if configured.get(name, {}).get("state") == "off":
        return True
    if proof["state"] != "untried":
        return False
    needed = list(_needed(proof["detail"], name[-1:], prove["connections"]))
    return bool(needed) and all(depends_on_missing(each, configured, prove, (*seen, name)) for each in needed)


def _needed(detail, family, connections):
    """The names in a detail: `needs NAME`, or `needs the recipe NAME by any program`. "" stands for an unknown one."""
    recipe = _BY_ANY.fullmatch(detail)
    if not recipe:
        yield detail.removeprefix("needs ") if detail.startswith("needs ") else ""
        return
    for each in connections:
        if each["recipe"] == recipe[1] and str(each["family"]) == family:
            yield from _needed(each["detail"], family, ()) if each["state"] == "untried" else ("",)


def prove_and_prediction(prove, variant):
    predicted_to = {True: "predicted not to work, but it", False: "predicted to work, but it"}
    for name, proof in prove["capabilities"].items():
        if (proof["state"] == "works") == variant.lacks(name):
            yield f"{name}: {predicted_to[variant.lacks(name)]} {_found(proof)}"
    for name, provable in prove["profiles"].items():
        lost = name in variant.lost
        if provable == lost:
            yield f"profile {name}: {predicted_to[lost]} {'works' if provable else 'does not work'}"


def suite_and_prove(suite, prove):
    """No test may pass with a recipe and firewall tool by which prove could not connect."""
    failed = {
        (each["recipe"], each["backend"], each["family"])
        for each in prove["connections"]
        if each["state"] != "works" and each["protocol"] == "tcp"
    }
    for row, cell in suite["cells"].items():
        for test in cell["tests"]:
            for recipe in (test["recipe"] or "").split("+"):
                tool = "none" if recipe == "local-route" else test["firewall_tool"]
                if test["verdict"] == OK and (recipe, tool, test["family"]) in failed:
                    way = f"{recipe} by {tool} for IPv{test['family']}"
                    yield f"{row}: test {test['test']} passes, but `tproxyctl prove` could not connect with {way}"


def suite_and_prediction(suite, variant, base=None):
    """Without a variant (the user's own kernel) a kernel may lack features, but no requirement may fail."""
    for row, cell in suite["cells"].items():
        expected = predicted(row, variant, base)
        if variant is None and cell["verdict"] in _LACKING:
            continue
        if cell["verdict"] != expected:
            source = "predicted" if variant else "expected"
            yield f"{row}: {source} {expected}, found {cell['verdict']}: {cell['message'] or 'no message'}"


def predicted(row, variant, base=None):
    """The verdict that the variant predicts, else the one that base predicts, else PASS."""
    verdicts = (each.verdict(row) for each in (variant, base) if each)
    return next(filter(None, verdicts), OK)


def _found(proof):
    return "works" if proof["state"] == "works" else f"is {proof['state']} ({first_line(proof['detail'])})"


def first_line(text):
    return text.strip().partition("\n")[0]


def last_line(text):
    return text.strip().rpartition("\n")[2]


def compare(one, other):
    """The differences between two observations, as sentences."""
    if one["verdict"] != other["verdict"]:
        yield f"the first guest {one['verdict']}, the second {other['verdict']}"
        return
    for title, here, there in _compared(one, other):
        for name in sorted({*here, *there}):
            if here.get(name) != there.get(name):
                yield f"{title} {name}: {here.get(name, '(none)')} -> {there.get(name, '(none)')}"


def _compared(one, other):
    def states(each):
        return {name: proof["state"] for name, proof in (each["prove"] or {"capabilities": {}})["capabilities"].items()}

    def cells(each):
        return {name: cell["verdict"] for name, cell in (each["suite"] or {"cells": {}})["cells"].items()}

    def connections(each):
        return {way_of(way): way["state"] for way in (each["prove"] or {"connections": ()})["connections"]}

    yield "capability", states(one), states(other)
    yield "connection", connections(one), connections(other)
    yield "requirement", cells(one), cells(other)
