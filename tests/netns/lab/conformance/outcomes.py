"""Verdicts of single tests in pytest, with their reasons, collected from all worker processes.

The report of each phase of a test gets an attribute `finding`: a dictionary of plain values, because xdist can pass
these on. The first process joins the phases of a test to one row, with the worst verdict. It writes rows at once
to the file of --events, one line of JSON for each event:

    {"event": "planned", "tests": N}        once
    {"event": "started", "test": ID}
    {"event": "ended", "test": ID, "requirement": …, "verdict": …, …}
    {"event": "broken", "test": ID, "message": …}
"""

import json
import os

import pytest

from lab.conformance import capabilities, evidence, verdict, wording
from lab.conformance.requirements import requirement_of
from lab.exceptions import Absent, GuardFailed
from lab.paths import ROOT
from lab.peers.description import AdapterFailed
from lab.peers.proxy import Implementation

SHOWN = ("family", "firewall_tool", "topology_name", "recipe", "relay")
DETAILS = 6000  # characters of a failure's traceback that are kept
DEFAULTS = {"family": 4, "recipe": "divert"}


def pytest_addoption(parser):
    group = parser.getgroup("lab")
    group.addoption("--events", help="file to write outcomes to as they come, a line of JSON each")
    group.addoption("--evidence", help="folder for what is kept of tests (default: build/evidence)")
    group.addoption("--keep", action="store_true", help="keep what was seen of tests that pass, too")
    group.addoption("--family", type=int, choices=(4, 6), help="only tests of this family")
    group.addoption("--recipe", help="only tests of this recipe")


@pytest.hookimpl(tryfirst=True)  # before what an earlier run kept is removed
def pytest_configure(config):
    if config.option.evidence:
        evidence.FOLDER = ROOT / config.option.evidence
    if config.option.events and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Events(config.option.events))


def pytest_collection_modifyitems(config, items):
    for name in ("family", "recipe"):
        wanted = getattr(config.option, name)
        if wanted is not None:
            kept = [item for item in items if _parameters(item).get(name, DEFAULTS[name]) == wanted]
            config.hook.pytest_deselected(items=[item for item in items if item not in kept])
            items[:] = kept


def _parameters(item):
    return getattr(item, "callspec").params if hasattr(item, "callspec") else {}


@pytest.hookimpl(hookwrapper=True, tryfirst=True)  # outermost: sees what the others made of it
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    word, message, names = judge(item, call, report)
    settle(item, report, word, message)
    keep_evidence(item, report)
    report.finding = {
        "requirement": requirement_of(item),
        "verdict": word,
        "message": message[:DETAILS],
        "details": wording.without_hints(report.longreprtext)[-DETAILS:] if report.failed else "",
        "parameters": shown_parameters(item),
        "evidence": kept_evidence(item),
        "unclaimed": names if word == verdict.PASS else [],
        "lacking": names if word == verdict.UNSUPPORTED else [],
        "proxies": len(_proxies(item)),
    }


def judge(item, call, report):
    """(verdict, message, capabilities) of one phase.

    The capabilities are those that were served without a claim (PASS), or those that are not claimed (UNSUPPORTED).
    """
    if call.excinfo is None:
        return verdict.PASS, "", _unclaimed(item) if call.when == "call" else []
    if call.excinfo.errisinstance(pytest.skip.Exception):
        reason = str(call.excinfo.value)
        return verdict.of_skip(reason), reason, []
    word = verdict.of_exception(call.excinfo.value, call.when)
    if word != verdict.UNSUPPORTED:
        return word, _message(item, call.excinfo), []
    word, why, lacking = _confirmed(item, getattr(call.excinfo.value, "needs", ()))
    said = str(call.excinfo.value) or "refused with status 78"
    return word, said if said == why else f"{said} ({why})", lacking


def _message(item, excinfo):
    """What an exception says, in words that need no knowledge of the suite."""
    problem, lab = excinfo.value, getattr(item, "funcargs", {}).get("lab")
    text = _words(item, excinfo, wording.roles(lab) if lab else {})
    if _proxies(item) and (verdict.is_the_connections(problem) or isinstance(problem, GuardFailed)):
        return wording.with_context(text, _has_tried(lab), lab.proxies[-1].log())
    return text


def _has_tried(lab):
    """Whether the proxy has asked a server for a connection, or serves datagrams and so asks for none."""
    return any(proxy.datagrams for proxy in lab.proxies) or lab.attempts_seen() > 0


def _words(item, excinfo, role_of):
    problem = excinfo.value
    text = wording.without_hints(str(problem))
    if isinstance(problem, TimeoutError):
        text = wording.of_timeout(excinfo, role_of) if text in wording.BARE else wording.naming_the_first(text, role_of)
        return wording.with_timeouts(text, next(iter([*_scenarios(item)][-1:]), None))
    if isinstance(problem, AssertionError) and text:
        return wording.of_assertion(text, str(excinfo.traceback[-1].statement), role_of)
    if verdict.is_the_connections(problem) and text:
        return wording.naming_the_first(wording.of_error(excinfo), role_of)
    return isinstance(problem, (Absent, GuardFailed)) and text or excinfo.exconly()


def settle(item, report, word, message):
    """Make pytest count the test by its verdict."""
    if word in (verdict.UNSUPPORTED, verdict.ABSENT) and not report.passed:
        report.outcome = "skipped"
        report.longrepr = (str(item.location[0]), item.location[1] or 0, f"{word.lower()}: {message}")
    elif report.skipped:
        report.outcome, report.longrepr = "failed", f"{word}: {message}"


def _proxies(item):
    """Proxies that the test started."""
    lab = getattr(item, "funcargs", {}).get("lab")
    return lab.proxies if lab else []


def _scenarios(item):
    """Scenarios that the test gave to proxies, the last one last."""
    for proxy in _proxies(item):
        path = proxy.folder / "scenario.json"
        if path.exists():
            yield json.loads(path.read_text(encoding="utf-8"))


_claims = {}  # by the adapter's path: asked for once a process


def _claimed(item):
    implementation = Implementation(item.config.option.impl)
    if implementation.path not in _claims:
        try:
            _claims[implementation.path] = implementation.describe()["capabilities"]
        except (Absent, AdapterFailed):
            _claims[implementation.path] = []
    return _claims[implementation.path]


def _confirmed(item, needs):
    """What an UNSUPPORTED is, given what was claimed; `needs` are those that no scenario shows."""
    scenarios = list(_scenarios(item))
    if not scenarios and not needs:
        return verdict.UNSUPPORTED, "the test had no scenario", []
    needed = capabilities.needed(scenarios[-1]) if scenarios else []
    word, why, lacking = verdict.confirmed(_claimed(item), [*needed, *needs])
    fields = capabilities.unusual(scenarios[-1]) if scenarios and word == verdict.FAIL else []
    return word, why + (f"; its fields besides addresses and ports: {', '.join(fields)}" if fields else ""), lacking


def _unclaimed(item):
    needed = {name for scenario in _scenarios(item) for name in capabilities.needed(scenario)}
    return verdict.unclaimed(_claimed(item), needed) if needed else []


def shown_parameters(item):
    values = {name: item.funcargs[name] for name in SHOWN if name in getattr(item, "funcargs", {})}
    values.update(_parameters(item))
    return {name: value if isinstance(value, (int, str)) else str(value) for name, value in values.items()}


def keep_evidence(item, report):
    """Collect evidence of failed tests, or with --keep of all; pytest's report says where it is."""
    lab, options = getattr(item, "funcargs", {}).get("lab"), item.config.option
    kept = report.failed and not options.no_evidence or report.when == "call" and report.passed and options.keep
    if not lab or not kept:
        return
    command = evidence.repeat_command(item.nodeid, options)
    try:
        folder = evidence.collect(lab, item.nodeid, report.longreprtext or "passed", command)
        where = os.path.relpath(folder, ROOT)
    except OSError as problem:
        where = f"not kept: {problem}"
    report.sections.append(("evidence", f"{where}\nrepeat with: {command}"))


def kept_evidence(item):
    """The folder that was kept of the test, or ""."""
    folder = evidence.folder_of(item.nodeid)
    return os.path.relpath(folder, ROOT) if folder.is_dir() else ""


class Events:
    """Joins phases to tests, and writes them as they end."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8", buffering=1)
        self.phases = {}

    def write(self, **event):
        self.file.write(json.dumps(event) + "\n")

    def pytest_collection_finish(self, session):
        if session.items:
            self.write(event="planned", tests=len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        self.write(event="planned", tests=len(ids))

    def pytest_runtest_logstart(self, nodeid):
        self.write(event="started", test=nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.write(event="broken", test=report.nodeid, message=report.longreprtext[-DETAILS:])

    def pytest_runtest_logreport(self, report):
        phases = self.phases.setdefault(report.nodeid, [])
        phases.append(report)
        if not hasattr(report, "finding"):  # a worker that died has none
            self.write(event="broken", test=report.nodeid, message=report.longreprtext[-DETAILS:])
        elif report.when == "teardown":
            self.write(event="ended", **joined(self.phases.pop(report.nodeid)))


def joined(phases):
    """One row of a test's phases, with the finding of the worst."""
    findings = [phase.finding for phase in phases if hasattr(phase, "finding")]
    bad = max(findings, key=lambda each: verdict.VERDICTS.index(each["verdict"]))
    return {
        "test": phases[0].nodeid,
        "seconds": round(sum(phase.duration for phase in phases), 3),
        **bad,
        "unclaimed": sorted({name for each in findings for name in each["unclaimed"]}),
        "proxies": max(each["proxies"] for each in findings),
        "evidence": next((each["evidence"] for each in findings if each["evidence"]), ""),
    }
