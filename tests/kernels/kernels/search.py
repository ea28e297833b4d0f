"""--minimize and --confirm: runs the search of minimize.py with kernels, writes the lists, and confirms them.

Built kernels stay in the cache, so an interrupted run continues where it was.
"""

from . import agreement, build, configuration, durations, minimize, observe, runner, suite, variants
from lab.conformance import requirements, verdict

NOTHING = "# CONFIG_NET is not set\n"
LOCAL_VERSION = "-lab"  # the suffix of the release of the lab's kernels
NO_PROGRAM = "none"  # the firewall tool in prove's results for a way without rules


class Search:
    def __init__(self, run, source):
        self.run, self.source = run, source
        self.base = variants.load(variants.BASE)
        self.builder = build.Builder(run.options.cache, run.options.jobs, run.progress)
        self.goal = set()  # ways that work on base
        self.known = {}  # {options that are left out: ways}
        self.untried = []  # options that are still to be left out alone
        self.last_left_out = frozenset()  # of the kernel that was built last

    def kernel(self, left_out):
        fragment = variants.fragment_of(self.base, self.run.options.engine)
        fragment.update({name: configuration.OFF for name in left_out})
        return build.Kernel(self.source, self.run.options.engine, fragment, self.run.options.cache)

    def observe(self, left_out, rules_by=None):
        """{name: observation} of several kernels. `left_out` is {name: options that it lacks}.

        `rules_by` is {name: firewall tool of the suite}.
        """
        jobs = []
        for name, options in left_out.items():
            changed = self.last_left_out ^ frozenset(options)
            self.last_left_out = frozenset(options)
            job = runner.Job(name, name, kernel=self.kernel(options), changed=tuple(changed))
            job.rules_by = (rules_by or {}).get(name, job.rules_by)
            jobs.append(job)
        if missing := [job for job in jobs if not job.is_ready]:
            self.run.build(missing)
        return {job.name: observed for job, observed in self.run.boot(jobs).items()}

    def ways(self, left_out):
        """The ways that work without these options; none if the kernel has no result of prove."""
        key = frozenset(left_out)
        self.untried = [name for name in self.untried if name not in left_out[-1:]]
        if key not in self.known:
            more = f"-and-{len(key) - 1}" if len(key) > 1 else ""
            name = f"without-{left_out[-1] if left_out else 'nothing'}{more}"
            prove = self.observe({name: left_out})[name]["prove"]
            self.known[key] = minimize.ways_of(prove) if prove else set()
            lost = ", ".join(f"{profile} by {tool}" for profile, tool in sorted(self.goal - self.known[key]))
            about = durations.about(sum(durations.guess((each,)) for each in self.untried))
            remaining = f"; {len(self.untried)} more options to try, about {about}" if self.untried else ""
            self.run.progress(f"{name}: loses {lost or 'nothing'}{remaining}")
        return self.known[key]

    def configured(self, left_out):
        """What check says about the configuration of a kernel without these options."""
        return observe.check_text(self.run.program, self.kernel(left_out).configuration(), self.run.private)

    def still_on(self, left_out, names):
        """The names that are still on in a configuration without the options `left_out`."""
        got = self.builder.configure(self.kernel(left_out))
        return {name for name in names if got.get(name) == "y"}


def find(run, source):
    """Finds the lists, writes them, and confirms them. Exit status 1 if a list is not enough."""
    run.options.profile, run.rows = "none", []
    search = Search(run, source)
    observed = search.observe({variants.BASE: []})[variants.BASE]
    if not observed["prove"]:
        console = run.options.out / variants.BASE / "console.txt"
        raise runner.RunFailed(f"base has no result of `tproxyctl prove`; see {console}")
    goal = search.goal = minimize.ways_of(observed["prove"])
    off = observe.check_text(run.program, NOTHING, run.private)
    if off is None:
        raise runner.RunFailed(f"--minimize cannot list options: {observe.NO_CHECK}")
    remaining, dropped = narrow(search, goal, minimize.suspected(off))
    names = " ".join(remaining)
    run.progress(f"{len(dropped)} options are not needed; trying the other {len(remaining)} one by one: {names}")
    search.untried = remaining
    needed = minimize.needed(remaining, dropped, goal, search.ways)
    run.progress("testing each profile and firewall tool with only the options of its list")
    needed = minimize.completed(needed, minimize.candidates(), search.ways)
    found = minimize.Found(observed["release"].removesuffix(LOCAL_VERSION), needed)
    run.options.out.mkdir(parents=True, exist_ok=True)
    (run.options.out / "needed.md").write_text(minimize.markdown(found), encoding="utf-8")
    (run.options.out / "needed.toml").write_text(minimize.as_toml(found), encoding="utf-8")
    print("\n" + minimize.markdown(found))
    return confirm(search, found.needed)


def narrow(search, goal, suspected):
    """(options to try one by one, options that no way needs).

    Kconfig shows on which other options the suspected ones depend. This needs no build.
    """
    others = [name for name in minimize.candidates() if name not in suspected]
    search.run.progress(f"{len(suspected)} options may be needed; asking Kconfig on which of {len(others)} others they depend")
    independent = minimize.irrelevant(others, set(suspected), lambda left_out: search.still_on(left_out, suspected))
    dropped = minimize.irrelevant(independent, goal, search.ways)
    return [name for name in minimize.candidates() if name not in dropped], dropped


def confirm(search, needed):
    """Tests each list with a kernel that has only its options: the way must work and the suite must pass there."""
    wrong = 0
    for profile in dict.fromkeys(profile for profile, _ in needed):
        search.run.options.profile = profile
        search.run.rows = suite.confirming(profile, requirements.load())
        wrong += _confirm_profile(search, profile, {program: names for (of, program), names in needed.items() if of == profile})
    print(f"{len(needed) - wrong} of {len(needed)} lists are confirmed by a kernel with only those options")
    return int(bool(wrong))


def _confirm_profile(search, profile, needed):
    """The number of lists of a profile that are not confirmed. `needed` is {firewall tool: options}."""
    names = {program: f"just-{profile}-{program}" for program in needed}
    left_out = {
        names[program]: [name for name in minimize.candidates() if name not in options] for program, options in needed.items()
    }
    observations = search.observe(left_out, {names[program]: program for program in needed if program != NO_PROGRAM})
    wrong = 0
    for program, options in needed.items():
        observed = observations[names[program]]
        configured = search.configured(left_out[names[program]])
        problem = problem_of(observed, profile, program, configured)
        passed, absent = (tests_by(observed, profile, program, word) for word in (verdict.PASS, verdict.ABSENT))
        tests = f"{len(passed)} tests pass this way" + f", ABSENT: {' '.join(absent)}" * bool(absent)
        search.run.progress(f"{profile} by {program}, {len(options)} options: {problem or 'confirmed'} ({tests})")
        wrong += bool(problem)
    return wrong


def problem_of(observed, profile, program, configured=None):
    """Why a kernel does not confirm that a profile works with a firewall tool; "" if it confirms it.

    `configured` is what check says about its configuration, or None.
    """
    if not observed["prove"] or (profile, program) not in minimize.ways_of(observed["prove"]):
        return "`tproxyctl prove` cannot connect this way"
    if configured and (disagreement := next(agreement.configuration_and_prove(configured, observed["prove"]), "")):
        return disagreement
    if observed["suite"] is None:
        return "the suite wrote no report"
    accepted = (verdict.PASS, verdict.ABSENT, verdict.UNSUPPORTED)
    bad = [row for row, cell in _cells(observed).items() if cell["verdict"] not in accepted]
    if bad:
        return f"the suite does not pass: {' '.join(bad[:5])}"
    return "" if tests_by(observed, profile, program, verdict.PASS) else "no test of the suite passes this way"


def tests_by(observed, profile, program, wanted):
    """The requirement of each test that has the verdict `wanted` in this way: profile's family, rules by the tool."""
    family = 6 if profile == "ipv6" else 4

    def matches(test):
        tool = NO_PROGRAM if test["recipe"] == "local-route" else test["firewall_tool"]
        return (tool, test["family"], test["verdict"]) == (program, family, wanted)

    return [row for row, cell in _cells(observed).items() for test in cell["tests"] if matches(test)]


def _cells(observed):
    return (observed["suite"] or {"cells": {}})["cells"]
