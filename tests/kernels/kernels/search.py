"""`--minimize`: finds with kernels what minimize.py asks for, confirms it, and writes the list.

Whatever was built is in the cache, so a run that was ended goes on where it was.
"""

from . import agreement, build, configuration, minimize, observe, durations as pace, runner, suite, variants
from lab import requirements, verdict

NOTHING = "# CONFIG_NET is not set\n"
OWN = "-lab"  # what the lab's own kernels add to their release
NO_PROGRAM = "none"  # as prove calls who loads the rules of a way that has none


class Search:
    def __init__(self, run, source):
        self.run, self.source = run, source
        self.base = variants.load(variants.BASE)
        self.builder = build.Builder(run.options.cache, run.options.jobs, run.tell)
        self.goal = set()  # ways that base has
        self.known = {}  # {left out: ways}
        self.to_try = []  # options that are still to be left out by themselves
        self.built_last = frozenset()  # what the kernel left out from which the next one is built

    def kernel(self, left_out):
        fragment = variants.fragment_of(self.base, self.run.options.engine)
        fragment.update({name: configuration.OFF for name in left_out})
        return build.Kernel(self.source, self.run.options.engine, fragment, self.run.options.cache)

    def observe(self, left_out, rules_by=None):
        """{name: observation} of kernels without those options: {name: options}.

        `rules_by` says which firewall program the suite is to use in them: {name: program}.
        """
        jobs = [self._job(name, those) for name, those in left_out.items()]
        for job in jobs:
            job.rules_by = (rules_by or {}).get(job.name, job.rules_by)
        if missing := [job for job in jobs if not job.is_ready]:
            self.run.build(missing)
        return {job.name: seen for job, seen in self.run.boot(jobs).items()}

    def _job(self, name, left_out):
        changed = self.built_last ^ frozenset(left_out)
        self.built_last = frozenset(left_out)
        return runner.Job(name, name, kernel=self.kernel(left_out), changed=tuple(changed))

    def ways(self, left_out):
        """What can be had without those options; nothing where the kernel does not even answer."""
        key = frozenset(left_out)
        self.to_try = [name for name in self.to_try if name not in left_out[-1:]]
        if key not in self.known:
            more = f"-and-{len(key) - 1}" if len(key) > 1 else ""
            name = f"without-{left_out[-1] if left_out else 'nothing'}{more}"
            prove = self.observe({name: left_out})[name]["prove"]
            self.known[key] = minimize.ways_of(prove) if prove else set()
            self._tell_what_is_lost(name, self.known[key])
        return self.known[key]

    def _tell_what_is_lost(self, name, ways):
        lost = ", ".join(f"{profile} by {program}" for profile, program in sorted(self.goal - ways))
        about = pace.about(sum(pace.guess((each,)) for each in self.to_try))
        to_come = f"; {len(self.to_try)} more to try, about {about}" if self.to_try else ""
        self.run.tell(f"{name}: loses {lost or 'nothing'}{to_come}")

    def configured(self, left_out):
        """What check reads from the configuration of a kernel without those options."""
        return observe.ask_text(self.run.program, self.kernel(left_out).configuration(), self.run.private)

    def still_on(self, left_out, names):
        """Which of the names a configuration without those options still has."""
        got = self.builder.configure(self.kernel(left_out))
        return {name for name in names if got.get(name) == "y"}


def find(run, source):
    """Find and confirm; status 1 where what was found is not enough."""
    run.options.profile, run.rows = "none", []
    search = Search(run, source)
    observed = search.observe({variants.BASE: []})[variants.BASE]
    if not observed["prove"]:
        raise runner.Trouble("base does not boot, so there is nothing to take away from")
    goal = search.goal = minimize.ways_of(observed["prove"])
    off = observe.ask_text(run.program, NOTHING, run.private)
    if off is None:
        raise runner.Trouble("this tproxyctl has no `check --kernel-config`, so nobody says which options to suspect")
    remaining, dropped = narrow(search, goal, minimize.suspected(off))
    run.tell(f"{len(dropped)} options are needed by nothing; {len(remaining)} are tried one by one: {' '.join(remaining)}")
    search.to_try = remaining
    needed = minimize.needed(remaining, dropped, goal, search.ways)
    run.tell("each profile by each program is tried with just what it needs")
    needed = minimize.completed(needed, minimize.candidates(), search.ways)
    found = minimize.Found(observed["release"].removesuffix(OWN), needed)
    publish(run.options.out, found)
    return confirm(search, found.needed)


def publish(folder, found):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "needed.md").write_text(minimize.markdown(found), encoding="utf-8")
    (folder / "needed.toml").write_text(minimize.toml(found), encoding="utf-8")
    print("\n" + minimize.markdown(found))


def narrow(search, goal, suspected):
    """(options that remain to be tried, options that nothing needs).

    An option that only others depend on is suspected with them; that shows without building anything.
    """
    others = [name for name in minimize.candidates() if name not in suspected]
    search.run.tell(f"{len(suspected)} options are suspected; asking Kconfig which of {len(others)} more they depend on")
    idle = minimize.irrelevant(others, set(suspected), lambda left_out: search.still_on(left_out, suspected))
    dropped = minimize.irrelevant(idle, goal, search.ways)
    return [name for name in minimize.candidates() if name not in dropped], dropped


def confirm(search, needed):
    """A kernel with just what a way needs has to have it, and the suite has to find nothing wrong in it."""
    wrong = 0
    for profile in dict.fromkeys(profile for profile, _ in needed):
        search.run.options.profile = profile
        search.run.rows = suite.confirming(profile, requirements.load())
        wrong += _confirm_profile(search, profile, {program: names for (of, program), names in needed.items() if of == profile})
    print(f"{len(needed) - wrong} of {len(needed)} lists are confirmed by a kernel with just those options")
    return int(bool(wrong))


def _confirm_profile(search, profile, needed):
    """By how many programs it cannot be had with what it needs by {program: options}."""
    names = {program: f"just-{profile}-{program}" for program in needed}
    left_out = {
        names[program]: [name for name in minimize.candidates() if name not in options] for program, options in needed.items()
    }
    seen = search.observe(left_out, {names[program]: program for program in needed if program != NO_PROGRAM})
    wrong = 0
    for program, options in needed.items():
        observed = seen[names[program]]
        configured = search.configured(left_out[names[program]])
        problem = problem_of(observed, profile, program, configured)
        passed, absent = (tests_by(observed, profile, program, word) for word in (verdict.PASS, verdict.ABSENT))
        told = f"{len(passed)} tests pass so" + f", absent: {' '.join(absent)}" * bool(absent)
        search.run.tell(f"{profile} by {program}, {len(options)} options: {problem or 'confirmed'} ({told})")
        wrong += bool(problem)
    return wrong


def problem_of(seen, profile, program, configured=None):
    """Why a kernel does not confirm that a profile can be had by a program, or nothing.

    `configured` is what check reads from its configuration, where it was asked.
    """
    if not seen["prove"] or (profile, program) not in minimize.ways_of(seen["prove"]):
        return "prove cannot connect so"
    if configured and (disagreement := next(agreement.configuration_and_prove(configured, seen["prove"]), "")):
        return disagreement
    if seen["suite"] is None:
        return "the suite left no report"
    bad = [row for row, cell in _cells(seen).items() if cell["verdict"] not in (verdict.PASS, verdict.ABSENT, verdict.UNSUPPORTED)]
    if bad:
        return f"the suite: {' '.join(bad[:5])}"
    return "" if tests_by(seen, profile, program, verdict.PASS) else "no test of the suite passes so"


def tests_by(seen, profile, program, word):
    """The requirement of each test in the profile's family that has this verdict with the program's rules."""
    family = 6 if profile == "ipv6" else 4

    def is_one(test):
        by = NO_PROGRAM if test["recipe"] == "local-route" else test["backend"]
        return (by, test["family"], test["verdict"]) == (program, family, word)

    return [row for row, cell in _cells(seen).items() for test in cell["tests"] if is_one(test)]


def _cells(seen):
    return (seen["suite"] or {"cells": {}})["cells"]
