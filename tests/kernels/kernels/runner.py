"""A run: builds kernels or takes them from the cache, boots them, and compares their results."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from . import agreement, build, configuration, durations, engines, guests, matrix, observe, suite, tree, variants, ways
from lab.paths import BUILD, RUN

RESERVE = 60  # seconds of --within that are kept for writing reports


class RunFailed(Exception):
    """The run has no result. The message says why. Exit status 2, or 125 with --bisect."""


class Job:
    """A kernel to judge: a kernel to build (`kernel`), or a file (`path`).

    `changed`: the options that differ from the kernel that is built before; by default the variant's.
    """

    def __init__(self, name, title, kernel=None, path=None, variant=None, changed=None):
        self.name, self.title = name, title
        self.kernel, self.path, self.variant = kernel, path, variant
        if changed is None:
            changed = tuple(configuration.parse(variant.fragment)) if variant else ()
        self.changed = changed
        self.configured = None  # the result of check
        self.rules_by = "iptables"  # firewall tool of tests that do not choose one
        self.notes = []  # disagreements that the build found

    @property
    def is_ready(self):
        return self.kernel is None or self.kernel.is_cached


class Run:
    def __init__(self, options, rows):
        self.options, self.rows = options, rows
        self.engine = engines.ENGINES[options.engine]()
        self.cpus = sorted(os.sched_getaffinity(0))[: options.parallel]
        self.durations = durations.Durations(options.cache, len(self.cpus))
        self.program = tproxyctl()
        self.columns = []
        self.private = Path(tempfile.mkdtemp(prefix="run-", dir=RUN))
        self.private.chmod(0o755)

    def close(self):
        shutil.rmtree(self.private, ignore_errors=True)

    def progress(self, text):
        print(f"[{durations.clock(self.durations.elapsed)}] {text}", flush=True)

    # Planning

    def job_for(self, variant, source):
        fragment = variants.fragment_of(variant, self.options.engine)
        kernel = build.Kernel(source, self.options.engine, fragment, self.options.cache)
        return Job(variant.id, variant.name, kernel=kernel, variant=variant)

    def plan(self, jobs):
        """The jobs that fit into the time limit. Prints how many there are, and which are left out."""
        planned, left_out, seconds, begun = [], [], 0.0, False
        for job in _cheapest_first(jobs):
            cost = self.cost(job, begun)
            if seconds + cost > self.time_left() or (self.options.cached and not job.is_ready):
                left_out.append(job)
                continue
            begun = begun or not job.is_ready
            seconds += cost
            planned.append(job)
        new = sum(not job.is_ready for job in planned)
        self.progress(f"{_kernels(len(planned))}, {new} to build; about {durations.about(seconds)}")
        self.report_left_out(left_out)
        return [job for job in jobs if job in planned]

    def cost(self, job, begun):
        """Estimated seconds until a job is judged. `begun`: another kernel is built before this one."""
        guest = self.durations.of_guest(job.name, self.options.engine, self.options.profile) / len(self.cpus)
        if job.is_ready:
            return guest
        return guest + self.durations.of_build(job.kernel, not begun and not job.kernel.is_begun, job.changed)

    def time_left(self):
        limit = self.options.within * 60 - RESERVE if self.options.within else float("inf")
        return limit - self.durations.elapsed

    def report_left_out(self, jobs):
        if jobs:
            names = " ".join(job.name for job in jobs)
            too_long = f"they do not fit into --within {self.options.within or 0:g}"
            why = "not in the cache, and --cached is set" if self.options.cached else too_long
            self.progress(f"left out: {names} ({why})")

    # Building

    def build(self, jobs):
        """Builds all jobs that are not in the cache. Returns those that are there at the end of the time limit."""
        builder = build.Builder(self.options.cache, self.options.jobs, self.progress)
        waiting = [job for job in _cheapest_first(jobs) if not job.is_ready]
        for number, job in enumerate(waiting, 1):
            expected = self.durations.of_build(job.kernel, not job.kernel.is_begun, job.changed)
            self.progress(f"building {job.name} ({number} of {len(waiting)}; about {durations.about(expected)})")
            if not self._build_one(builder, job, sum(self.cost(each, True) for each in jobs if each.is_ready)):
                break
        self.report_left_out([job for job in jobs if not job.is_ready])
        ready = [job for job in jobs if job.is_ready]
        for job in ready:
            self._note_unapplied(job)
        return ready

    def _build_one(self, builder, job, reserved):
        """Builds one; returns False if the time is over. `reserved`: seconds for booting kernels that are ready."""
        within = self.time_left() - reserved if self.options.within else None
        try:
            seconds = builder.build(job.kernel, within)
        except build.BuildFailed as problem:
            raise RunFailed(f"{job.name}: {problem}") from None
        except build.OutOfTime:
            return False
        self.durations.store(f"build {job.kernel.key}", seconds)
        self.progress(f"built {job.name} in {durations.about(seconds)}")
        return True

    def _note_unapplied(self, job):
        """An option of the variant that Kconfig did not apply is a disagreement. More options turned off are printed."""
        if job.kernel is None or job.variant is None:
            return
        got = configuration.parse(job.kernel.configuration())
        own = configuration.parse(job.variant.fragment)
        wanted = job.kernel.fragment if job.name == variants.BASE else own
        job.notes += [f"Kconfig did not apply {each}" for each in configuration.not_applied(wanted, got)]
        off = [name for name, _, value in configuration.differences(job.kernel.fragment, got) if value == "n"]
        more = sorted(set(off) - set(own))
        if more and job.name != variants.BASE:
            names = " ".join(more[:6]) + " …" * (len(more) > 6)
            self.progress(f"{job.name}: Kconfig turned off {_counted(len(more), 'dependent option')}: {names}")

    # Booting

    def boot(self, jobs):
        """Boots all jobs; returns {job: observation}."""
        staged = self.private / "staged"
        if not staged.exists():
            tree.stage(staged)
        job_of = {self._guest(job): job for job in jobs}
        observed = {}
        expected = self.durations.of_guests([job.name for job in jobs], self.options.engine, self.options.profile)
        self.progress(f"booting {_kernels(len(jobs))}, {len(self.cpus)} at a time; about {durations.about(expected)}")

        def started(guest, cpu):
            about = self.durations.of_guest(guest.name, self.options.engine, self.options.profile)
            self.progress(f"{guest.name}: booting on CPU {cpu}; about {durations.about(about)}")

        def ended(guest):
            job = job_of[guest]
            observed[job] = observe.of_guest(guest)
            self._save(guest, observed[job])
            name = f"guest {self.options.engine} {self.options.profile} {guest.name}"
            if guest.verdict == guests.ENDED:
                self.durations.store(name, guest.seconds)
            left = [each.name for each in jobs if each not in observed]
            about = durations.about(self.durations.of_guests(left, self.options.engine, self.options.profile))
            remaining = f"; {len(left)} left, about {about}" if left else ""
            self.progress(f"{guest.name}: {guest.verdict} after {guest.seconds:.0f} s{remaining}")
            guest.remove()
            if job.path is None:
                Path(guest.kernel).unlink()

        guests.run(list(job_of), staged, self.cpus, ended, started)
        return observed

    def _guest(self, job):
        path = job.path
        if path is None:
            path = self.private / f"kernel-{job.name}"
            job.kernel.unpack(path)
        self.engine.prepare(path, self.progress)
        proxy = self.options.impl or suite.proxy_for(self.options.profile)
        command = suite.command(self.rows, proxy, self.engine.slowdown, job.rules_by)
        sysctls = {name.replace(".", "/"): value for name, value in (job.variant.sysctls if job.variant else {}).items()}
        return guests.Guest(job.name, path, self.engine, command, sysctls, self.options.limit)

    def _save(self, guest, observed):
        """Saves the results and the console of a guest."""
        folder = self.options.out / guest.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(guest.folder / "out", folder)
        (folder / "console.txt").write_text("\n".join(guest.console) + "\n", encoding="utf-8")
        (folder / "observation.json").write_text(json.dumps(observed, indent=1) + "\n", encoding="utf-8")

    # Judging

    def judge(self, job, observed, base=None):
        """The column of a kernel, with its disagreements."""
        if text := self._configuration(job, observed):
            job.configured = observe.check_text(self.program, text, self.private)
        wrong = job.notes + agreement.disagreements(observed, job.configured, job.variant, base)
        column = matrix.Column(observed, job.title, wrong, job.configured is not None, job.variant is not None)
        self.columns.append(column)
        return column

    def _configuration(self, job, observed):
        """The text of a kernel's configuration, "" if it has none.

        The first of: the build's, --kernel-config, /proc/config.gz, a file beside the kernel.
        """
        if job.kernel:
            return job.kernel.configuration()
        if self.options.kernel_config:
            return configuration.load(self.options.kernel_config)
        beside = engines.configuration_beside(job.path)
        if observed["configuration"] or beside is None:
            return observed["configuration"]
        self.progress(f"{job.name}: reading its configuration from {beside}")
        return configuration.load(beside)

    def report(self):
        """Prints the matrix and all disagreements, and writes the reports. Returns the exit status."""
        self.options.out.mkdir(parents=True, exist_ok=True)
        print("\n" + matrix.text(self.columns) + "\n")
        for column in self.columns:
            print(f"{column.id}: {matrix.summary(column)}")
        if not all(column.checked for column in self.columns):
            if observe.has_check(self.program):
                print("\nconfiguration not checked: the kernel has none; give it by --kernel-config FILE")
            else:
                print(f"\nconfiguration not checked: {observe.NO_CHECK}")
        wrong = [column for column in self.columns if column.disagreements]
        for column in wrong:
            print(f"\n{column.id} ({column.name}): {_counted(len(column.disagreements), 'disagreement')}")
            print("\n".join(f"  {each}" for each in column.disagreements[: self.options.lines]))
            if len(column.disagreements) > self.options.lines:
                print(f"  … and {len(column.disagreements) - self.options.lines} more; see matrix.md")
            if column.observed["verdict"] != guests.ENDED:
                print("  last lines of its console:\n" + "\n".join(f"  | {line}" for line in column.observed["console"]))
        self._write_reports()
        print(f"\nreports in {os.path.relpath(self.options.out)}: matrix.md, matrix.json and a folder for each kernel")
        amount = sum(len(column.disagreements) for column in wrong)
        print(_counted(amount, "disagreement") if amount else f"{_kernels(len(self.columns))}: all results agree")
        return int(bool(wrong))

    def _write_reports(self):
        table = [
            {"kernel": c.id, "name": c.name, "disagreements": c.disagreements, "asked": c.checked, "cells": c.cells()}
            for c in self.columns
        ]
        (self.options.out / "matrix.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        (self.options.out / "matrix.md").write_text(matrix.markdown(self.columns), encoding="utf-8")


def tproxyctl():
    """The path of tproxyctl."""
    return os.environ.get("TPROXYCTL", str(BUILD / "tproxyctl"))


def _counted(count, noun):
    return f"{count} {noun}{'s' * (count != 1)}"


def _kernels(count):
    return _counted(count, "kernel")


def _cheapest_first(jobs):
    """Jobs in the order: in the cache, little to compile, much to compile."""
    return sorted(jobs, key=lambda job: (not job.is_ready, not durations.is_leaf(job.changed)))


def judge_variants(run, names, source):
    """Judges kernels of fixtures/kernels. Returns the exit status."""
    base = variants.load(variants.BASE)
    jobs = run.plan([run.job_for(variants.load(name), source) for name in names])
    if not jobs:
        print("no kernel was judged: all were left out")
        return 0
    jobs = run.build(jobs)
    if not jobs:
        print("no kernel was judged: no build was finished within the time limit")
        return 0
    observed = run.boot(jobs)
    for job in jobs:
        run.judge(job, observed[job], base)
    if run.options.bisect:
        _require_boot(jobs, observed)
    return run.report()


def judge_file(run, path):
    """Judges the user's own kernel. Returns the exit status."""
    job = job_for_file(run, path)
    observed = run.boot([job])
    _require_boot([job], observed)
    run.judge(job, observed[job])
    return run.report()


def job_for_file(run, path):
    path = Path(path).absolute()
    run.engine.check(path)
    return Job(path.name, str(path), path=path)


def _require_boot(jobs, observed):
    for job in jobs:
        if observed[job]["release"]:
            continue
        console = "\n".join(f"  | {line}" for line in observed[job]["console"]) or "  | (nothing)"
        verdict = observed[job]["verdict"]
        raise RunFailed(f"{job.name} does not boot (verdict: {verdict}). Last lines of its console:\n{console}")


def compare_two(run, names, source_of):
    """Prints the differences between two kernels. Exit status 1 if there are any."""
    jobs = [_job_for(run, name, source_of) for name in names]
    if jobs[0].name == jobs[1].name:
        jobs[1].name += "-2"
    run.build(jobs)
    observed = run.boot(jobs)
    _require_boot(jobs, observed)
    found = list(agreement.compare(*(observed[job] for job in jobs)))
    print(f"\n{jobs[0].title} -> {jobs[1].title}")
    print("\n".join(f"  {each}" for each in found) or "  no difference")
    return int(bool(found))


def _job_for(run, name, source_of):
    if os.path.isdir(name):
        job = run.job_for(variants.load(variants.BASE), source_of(name))
        job.name, job.title = Path(name).absolute().name, name
        return job
    if name in variants.names():
        return run.job_for(variants.load(name), source_of(None))
    if not os.path.isfile(name):
        raise RunFailed(f"--compare: '{name}' is neither a kernel of --list, nor a kernel's file, nor a source tree")
    return job_for_file(run, name)


def judge_configuration(program, path, profile):
    """Prints what a configuration allows; boots nothing. Exit status 1 if it does not allow the profile."""
    try:
        configuration.parse(configuration.load(Path(path)), path)
    except (configuration.Malformed, OSError) as problem:
        raise RunFailed(str(problem)) from None
    found = observe.check_configuration(program, path)
    if found is None:
        raise RunFailed(observe.NO_CHECK)
    for name, each in found.items():
        print(f"{name:30} {each['state']:8} {' '.join(each['options']) if each['state'] != 'on' else ''}".rstrip())
    states = {name: each["state"] for name, each in found.items()}
    print()
    for each in ways.PROFILES:
        print(f"profile {each:22} {ways.allowed(states, each)}")
    return int(ways.allowed(states, profile if profile in ways.PROFILES else "full") != ways.ON)
