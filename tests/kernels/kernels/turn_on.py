"""`--minimize`: finds with kernels what minimize.py asks for, confirms it, and writes the list.

Whatever was built is in the cache, so a run that was ended goes on where it was.
"""

from . import build, configuration, minimize, observe, runner, suite, variants
from lab import requirements

NOTHING = "# CONFIG_NET is not set\n"


class Search:
    def __init__(self, run, source):
        self.run, self.source = run, source
        self.base = variants.load(variants.BASE)
        self.builder = build.Builder(run.options.cache, run.options.jobs, run.tell)
        self.known = {}  # {left out: ways}

    def kernel(self, left_out):
        fragment = variants.fragment_of(self.base, self.run.options.engine)
        fragment.update({name: configuration.OFF for name in left_out})
        return build.Kernel(self.source, self.run.options.engine, fragment, self.run.options.cache)

    def observe(self, left_out):
        """{name: observation} of kernels without those options: {name: options}."""
        jobs = [runner.Job(name, name, kernel=self.kernel(those)) for name, those in left_out.items()]
        if missing := [job for job in jobs if not job.is_ready]:
            self.run.build(missing)
        return {job.name: seen for job, seen in self.run.boot(jobs).items()}

    def ways(self, left_out):
        """What can be had without those options; nothing where the kernel does not even answer."""
        key = frozenset(left_out)
        if key not in self.known:
            more = f"-and-{len(key) - 1}" if len(key) > 1 else ""
            name = f"without-{left_out[-1] if left_out else 'nothing'}{more}"
            prove = self.observe({name: left_out})[name]["prove"]
            self.known[key] = minimize.ways_of(prove) if prove else set()
        return self.known[key]

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
    goal = minimize.ways_of(observed["prove"])
    off = observe.ask_text(run.program, NOTHING, run.private)
    if off is None:
        raise runner.Trouble("this tproxyctl has no `check --kernel-config`, so nobody says which options to suspect")
    remaining, dropped = narrow(search, goal, minimize.suspected(off))
    run.tell(f"{len(dropped)} options are needed by nothing; {len(remaining)} are tried one by one: {' '.join(remaining)}")
    found = minimize.needed(remaining, dropped, goal, search.ways)
    version = observed["release"]
    run.options.out.mkdir(parents=True, exist_ok=True)
    (run.options.out / "needed.md").write_text(minimize.markdown(found, version), encoding="utf-8")
    (run.options.out / "needed.toml").write_text(minimize.toml(found, version), encoding="utf-8")
    print("\n" + minimize.markdown(found, version))
    return confirm(search, found)


def narrow(search, goal, suspected):
    """(options that remain to be tried, options that nothing needs).

    An option that only others depend on is suspected with them; that shows without building anything.
    """
    others = [name for name in minimize.candidates() if name not in suspected]
    search.run.tell(f"{len(suspected)} options are suspected; asking Kconfig which of {len(others)} more they depend on")
    idle = minimize.irrelevant(others, set(suspected), lambda left_out: search.still_on(left_out, suspected))
    dropped = minimize.irrelevant(idle, goal, search.ways)
    return [name for name in minimize.candidates() if name not in dropped], dropped


def confirm(search, found):
    """A kernel with just what a way needs has to have it, and the suite has to find nothing wrong in it."""
    wrong = 0
    for profile in dict.fromkeys(profile for profile, _ in found):
        search.run.options.profile = profile
        search.run.rows = suite.chosen(profile, requirements.load())
        wrong += _confirm_profile(search, profile, {program: names for (of, program), names in found.items() if of == profile})
    print(f"{len(found) - wrong} of {len(found)} lists are confirmed by a kernel with just those options")
    return int(bool(wrong))


def _confirm_profile(search, profile, needed):
    """By how many programs it cannot be had with what it needs by {program: options}."""
    left_out = {program: [name for name in minimize.candidates() if name not in names] for program, names in needed.items()}
    seen = search.observe({f"just-{profile}-{program}": those for program, those in left_out.items()})
    wrong = 0
    for program, names in needed.items():
        observed = seen[f"just-{profile}-{program}"]
        problem = _problem(observed, profile, program)
        tests = [test for cell in (observed["suite"] or {"cells": {}})["cells"].values() for test in cell["tests"]]
        count = sum(test["verdict"] == "PASS" for test in tests)
        verdict = problem or "confirmed"
        search.run.tell(f"{profile} by {program}, {len(names)} options: {verdict} ({count} of {len(tests)} tests pass)")
        wrong += bool(problem)
    return wrong


def _problem(seen, profile, program):
    if not seen["prove"] or (profile, program) not in minimize.ways_of(seen["prove"]):
        return "prove cannot connect so"
    if seen["suite"] is None:
        return "the suite left no report"
    bad = [row for row, cell in seen["suite"]["cells"].items() if cell["verdict"] not in ("PASS", "ABSENT", "UNSUPPORTED")]
    return f"the suite: {' '.join(bad[:5])}" if bad else ""
