"""Options, random order and fixtures for pytest. lab.conformance.outcomes has the part about verdicts."""

import functools
import random
import resource

import pytest

from lab import waiting
from lab.conformance import evidence, requirements
from lab.conformance.requirements import requirement_of
from lab.ctl import check_score
from lab.exceptions import Absent
from lab.netns import drawn, isolation
from lab.netns.firewall import FIREWALL_TOOLS
from lab.peers.description import AdapterFailed
from lab.peers.proxy import adapter
from lab.setup import by_apply, witness
from lab.setup.lab import Lab

FIRST = ("long", "soak", "falsify")  # marks of tests that are started before others, in this order
DESCRIPTORS = 20_000
FALSIFIER = "test_falsifiers.py::test_the_suite_fails["

MARKS = (
    "requirement(id): the row of fixtures/requirements.toml that the test proves",
    "soak: a long load; deselect with -m 'not soak'",
    "long(seconds): takes many seconds, or its group does, so it starts first; the longest before the others",
    "falsify: runs the suite on proxies that are wrong on purpose",
    "no_relay_claimed: is left out where the implementation claims a way to relay",
    "any_listener: of profile `binding`, and needs no transparent listener: VIPs are made local for who has none",
    "kills: ends a program at each of its steps in turn",
    "suite: tests the suite's own Python; sanitizers do not apply",
    "boots: boots systemd, whose restrictions of services leave sanitizers no room",
    "necessity: the purpose of each part of the host's set-up, with any proxy",
)


def pytest_addoption(parser):
    group = parser.getgroup("lab")
    group.addoption("--impl", default="tproxyd", help="implementation: a name, or an adapter's path")
    group.addoption("--set-up", default="recipe", choices=by_apply.WAYS, help="what sets the proxy's host up")
    group.addoption("--rules-by", default="iptables", choices=FIREWALL_TOOLS, help="firewall tool of tests that choose none")
    group.addoption("--seed", type=int, help="of the order, addresses and ports; a random one is printed")
    group.addoption("--sample", action="store_true", help="one variant of each test only")
    group.addoption("--sample-per", metavar="NAMES", help="one variant for each combination of these, with commas")
    group.addoption("--share", type=int, default=1, metavar="N", help="run soak tests with 1/N of their load")
    group.addoption("--requirements", help="ids, with commas: only the tests of these requirements")
    group.addoption("--no-evidence", action="store_true", help="keep no evidence of failed tests")
    group.addoption("--patience", type=float, default=waiting.seconds, help="seconds to wait for an event")


def pytest_configure(config):
    if not isolation.isolated():
        raise pytest.UsageError("the suite needs its own isolation; start it with tests/netns/run")
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(1 << 32)
    waiting.seconds = config.option.patience
    raise_descriptor_limit()
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    if hasattr(config, "workerinput"):  # one of xdist's; what follows is the first process's
        return
    if not config.option.no_evidence:
        evidence.forget()


def raise_descriptor_limit():
    """Raise the limit to what the soak tests need, 20,000, or as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def pytest_report_header(config):
    return f"implementation: {config.option.impl}    order: --seed {config.option.seed}"


def pytest_collection_modifyitems(config, items):
    """Random order, the same for every worker. Long tests start first, so that the run does not wait for them at its end."""
    if config.option.requirements:
        wanted = set(config.option.requirements.split(","))
        keep(config, items, lambda item: requirement_of(item) in wanted)
    keep_claimed_relays(config, items)
    if config.option.sample:
        keep_sample(config, items)
    elif config.option.sample_per:
        keep_sample(config, items, config.option.sample_per.split(","))
    random.Random(config.option.seed).shuffle(items)
    items.sort(key=starting_order)


def pytest_terminal_summary(terminalreporter):
    """Print how many proxies that are wrong on purpose ran, and how many of them failed as they should."""

    def count(*words):
        reports = (report for word in words for report in terminalreporter.stats.get(word, ()))
        return len({report.nodeid for report in reports if FALSIFIER in report.nodeid})

    tried, absent = count("passed", "failed", "error", "skipped"), count("skipped")
    if tried:
        besides = f", {absent} could not run here" if absent else ""
        terminalreporter.write_line(f"falsifiers: {count('passed')} of {tried} detected{besides}")
    line = check_score.summary(report for word in ("passed", "failed") for report in terminalreporter.stats.get(word, ()))
    if line:
        terminalreporter.write_line(line)


def starting_order(item):
    """xdist gives each worker the next test while one runs: of the longest, no two should wait for each other."""
    marks = {mark.name: mark for mark in item.iter_markers()}
    place = next((place for place, mark in enumerate(FIRST) if mark in marks), len(FIRST))
    seconds = marks["long"].args[:1] if "long" in marks else ()
    return place, -sum(seconds)


def keep(config, items, wanted):
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]


def keep_claimed_relays(config, items):
    """Of tests for each way to relay: the claimed ways, and the implementation's own choice."""
    try:
        claimed = adapter(config.option.impl).capabilities
    except (Absent, AdapterFailed):
        claimed = frozenset()  # each test will say so
    ways = {name.removeprefix("relay-") for name in claimed if name.startswith("relay-")}

    def is_wanted(item):
        way = item.callspec.params.get("relay", "auto") if hasattr(item, "callspec") else "auto"
        return way in ways or way == "auto" and not (ways and item.get_closest_marker("no_relay_claimed"))

    keep(config, items, is_wanted)


def keep_sample(config, items, names=()):
    """Of each test the first variant with each combination of the named parameters."""

    def kind(item):
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        return item.nodeid.partition("[")[0], *(str(parameters.get(name)) for name in names)

    first = {kind(item): item for item in reversed(items)}
    keep(config, items, lambda item: item is first[kind(item)])


@pytest.fixture
def family():
    return 4


@pytest.fixture
def firewall_tool(request):
    return request.config.option.rules_by


@pytest.fixture
def recipe():
    return "divert"


@pytest.fixture
def topology_name():
    return "inline"


@pytest.fixture
def sysctls():
    return {}


@pytest.fixture
def share(request):
    """A soak test's load is divided by this; above 1 for wrong proxies that fail with less load."""
    return request.config.option.share


@pytest.fixture
def implementation(request):
    return adapter(request.config.option.impl)


@functools.lru_cache(maxsize=None)
def _catalogue():
    return {row.id: row for row in requirements.load()}


@pytest.fixture
def row(request):
    """The requirement that the test is about."""
    return _catalogue()[requirement_of(request.node)]


@pytest.hookimpl(trylast=True)  # behind the test itself, and only where that passed
def pytest_runtest_call(item):
    lab = getattr(item, "funcargs", {}).get("lab")
    if lab and requirement_of(item):
        witness.judge(lab)


@pytest.fixture
def lab(request, implementation, row, family, topology_name, recipe, firewall_tool, sysctls):
    implementation.must_claim(row.needs)
    lent = request.node.get_closest_marker("any_listener")
    strict = row.profile == "binding" and not lent or "bind" in row.needs
    way = request.config.option.set_up
    drawn.use(drawn.draw(request.config.option.seed, request.node.nodeid))
    try:
        made = Lab(implementation, family, topology_name, firewall_tool, sysctls, strict=strict, recipe_name=recipe, set_up_by=way)
        yield made
        made.close()
    finally:
        drawn.use(drawn.WALKTHROUGH)
