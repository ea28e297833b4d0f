"""The work of a run: kernels are built or taken from the cache, booted, and what they say is put together."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from . import agreement, build, configuration, engines, guests, matrix, observe, durations as pace, suite, tree, variants, ways

RESERVE = 60  # seconds of a time limit that are kept for putting things together


class Trouble(Exception):
    """The run cannot give an answer; says why. Exit status 2, or 125 for `git bisect run`."""


class Job:
    """A kernel that is to be judged: one to be built, or a file."""

    def __init__(self, name, title, kernel=None, path=None, variant=None, changed=None):
        self.name, self.title = name, title
        self.kernel, self.path, self.variant = kernel, path, variant
        self.changed = self._of_variant() if changed is None else changed
        self.configured = None  # what check read
        self.rules_by = "iptables"  # in the guest's suite, where a test does not say
        self.notes = []

    def _of_variant(self):
        """Options in which it differs from the base."""
        return tuple(configuration.parse(self.variant.fragment)) if self.variant else ()

    @property
    def is_ready(self):
        return self.kernel is None or self.kernel.is_cached


class Run:
    def __init__(self, options, rows):
        self.options, self.rows = options, rows
        self.engine = engines.ENGINES[options.engine]()
        self.cpus = sorted(os.sched_getaffinity(0))[: options.parallel]
        self.pace = pace.Pace(options.cache, len(self.cpus))
        self.program = tproxyctl()
        self.columns = []
        self.private = Path(tempfile.mkdtemp(prefix="run-", dir=tree.PRIVATE))
        self.private.chmod(0o755)

    def close(self):
        shutil.rmtree(self.private, ignore_errors=True)

    def tell(self, text):
        print(f"[{pace.clock(self.pace.elapsed)}] {text}", flush=True)

    # What is to be done

    def job_of(self, variant, source):
        fragment = variants.fragment_of(variant, self.options.engine)
        kernel = build.Kernel(source, self.options.engine, fragment, self.options.cache)
        return Job(variant.id, variant.name, kernel=kernel, variant=variant)

    def plan(self, jobs):
        """Those that fit into the time that there is; says what is to be done and what is left out."""
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
        self.tell(f"{_kernels(len(planned))}, {new} of them to be built; about {pace.about(seconds)}")
        self.tell_left_out(left_out)
        return [job for job in jobs if job in planned]

    def cost(self, job, begun):
        """Seconds until its verdict is there, as far as is known; `begun`: another one is built before."""
        guest = self.pace.of_guest(job.name, self.options.engine, self.options.profile) / len(self.cpus)
        if job.is_ready:
            return guest
        return guest + self.pace.of_build(job.kernel, not begun and not job.kernel.is_begun, job.changed)

    def time_left(self):
        limit = self.options.within * 60 - RESERVE if self.options.within else float("inf")
        return limit - self.pace.elapsed

    def tell_left_out(self, jobs):
        names = " ".join(job.name for job in jobs)
        why = "not in the cache" if self.options.cached else f"no time for them within {self.options.within or 0:g} min"
        if jobs:
            self.tell(f"left out: {names} ({why})")

    # Building

    def build(self, jobs):
        """Have them all in the cache; returns those that are, when the time is limited."""
        builder = build.Builder(self.options.cache, self.options.jobs, self.tell)
        waiting = [job for job in _cheapest_first(jobs) if not job.is_ready]
        for number, job in enumerate(waiting, 1):
            expected = self.pace.of_build(job.kernel, not job.kernel.is_begun, job.changed)
            self.tell(f"building {job.name} ({number} of {len(waiting)}, about {pace.about(expected)})")
            if not self._build_one(builder, job, sum(self.cost(each, True) for each in jobs if each.is_ready)):
                break
        self.tell_left_out([job for job in jobs if not job.is_ready])
        ready = [job for job in jobs if job.is_ready]
        for job in ready:
            self._note_what_did_not_stick(job)
        return ready

    def _build_one(self, builder, job, reserved):
        """False where the time is over, but for what booting those that are ready takes."""
        within = self.time_left() - reserved if self.options.within else None
        try:
            seconds = builder.build(job.kernel, within)
        except build.BuildFailed as problem:
            raise Trouble(f"{job.name}: {problem}") from None
        except build.NoTime:
            return False
        self.pace.keep(f"build {job.kernel.key}", seconds)
        self.tell(f"built {job.name} in {pace.about(seconds)}")
        return True

    def _note_what_did_not_stick(self, job):
        """The variant's own options have to be as it says; the rest follows from them."""
        if job.kernel is None or job.variant is None:
            return
        got = configuration.parse(job.kernel.configuration())
        own = configuration.parse(job.variant.fragment)
        wanted = job.kernel.fragment if job.name == variants.BASE else own
        job.notes += [f"the configuration has not what was asked for: {each}" for each in configuration.not_stuck(wanted, got)]
        taken = [name for name, _, value in configuration.differences(job.kernel.fragment, got) if value == "n"]
        along = sorted(set(taken) - set(own))
        if along and job.name != variants.BASE:
            self.tell(f"{job.name}: takes {len(along)} more options along: {' '.join(along[:6])}{' …' * (len(along) > 6)}")

    # Booting

    def boot(self, jobs):
        """Run them all; returns {job: observation}."""
        staged = self.private / "staged"
        if not staged.exists():
            tree.stage(staged)
        made = {self._guest(job): job for job in jobs}
        observed = {}
        expected = self.pace.of_guests([job.name for job in jobs], self.options.engine, self.options.profile)
        self.tell(f"booting {len(jobs)}, {len(self.cpus)} at a time: about {pace.about(expected)}")

        def started(guest, cpu):
            about = self.pace.of_guest(guest.name, self.options.engine, self.options.profile)
            self.tell(f"{guest.name}: booting on CPU {cpu}, about {pace.about(about)}")

        def ended(guest):
            job = made[guest]
            observed[job] = observe.of_guest(guest)
            self._keep(guest, observed[job])
            what = f"guest {self.options.engine} {self.options.profile} {guest.name}"
            if guest.verdict == guests.ENDED:
                self.pace.keep(what, guest.seconds)
            left = [j.name for j in jobs if j not in observed]
            rest = pace.about(self.pace.of_guests(left, self.options.engine, self.options.profile))
            self.tell(f"{guest.name}: {guest.verdict} after {guest.seconds:.0f} s" + (f"; {len(left)} left, about {rest}" * bool(left)))
            guest.forget()
            if job.path is None:
                Path(guest.kernel).unlink()

        guests.run(list(made), staged, self.cpus, ended, started)
        return observed

    def _guest(self, job):
        path = job.path
        if path is None:
            path = self.private / f"kernel-{job.name}"
            job.kernel.unpack(path)
        self.engine.prepare(path, self.tell)
        proxy = self.options.impl or suite.proxy_for(self.options.profile)
        words = suite.words(self.rows, proxy, self.engine.pace, job.rules_by)
        sysctls = {name.replace(".", "/"): value for name, value in (job.variant.sysctls if job.variant else {}).items()}
        return guests.Guest(job.name, path, self.engine, words, sysctls, self.options.limit)

    def _keep(self, guest, observed):
        """Bring back what the guest left, and its console."""
        folder = self.options.out / guest.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(guest.folder / "out", folder)
        (folder / "console.txt").write_text("\n".join(guest.console) + "\n", encoding="utf-8")
        (folder / "observation.json").write_text(json.dumps(observed, indent=1) + "\n", encoding="utf-8")

    # Judging

    def judge(self, job, observed, base=None):
        """The column of a kernel: where its accounts disagree."""
        if text := self._configuration(job, observed):
            job.configured = observe.ask_text(self.program, text, self.private)
        wrong = job.notes + agreement.disagreements(observed, job.configured, job.variant, base)
        column = matrix.Column(observed, job.title, wrong, job.configured is not None, job.variant is not None)
        self.columns.append(column)
        return column

    def _configuration(self, job, observed):
        """A kernel's: as the lab built it, as one was told, as it says itself, as the file beside it says; or nothing."""
        if job.kernel:
            return job.kernel.configuration()
        if self.options.kernel_config:
            return configuration.load(self.options.kernel_config)
        beside = engines.configuration_beside(job.path)
        if observed["configuration"] or beside is None:
            return observed["configuration"]
        self.tell(f"{job.name}: its configuration is {beside}")
        return configuration.load(beside)

    def conclude(self):
        """Print the matrix and every disagreement; returns the exit status."""
        self.options.out.mkdir(parents=True, exist_ok=True)
        print("\n" + matrix.text(self.columns) + "\n")
        for column in self.columns:
            print(f"{column.id}: {matrix.accounts(column)}")
        if not all(column.asked for column in self.columns):
            why = "there is none (--kernel-config FILE gives one), or this tproxyctl has no `check --kernel-config`"
            print(f"\nconfiguration not asked: {why}")
        wrong = [column for column in self.columns if column.disagreements]
        for column in wrong:
            print(f"\n{column.id} ({column.name}): {len(column.disagreements)} of them")
            print("\n".join(f"  {each}" for each in column.disagreements[: self.options.lines]))
            if len(column.disagreements) > self.options.lines:
                print(f"  … and {len(column.disagreements) - self.options.lines} more in the report")
            if column.observed["verdict"] != guests.ENDED:
                print("  the end of its console:\n" + "\n".join(f"  | {line}" for line in column.observed["console"]))
        self._write()
        print(f"\nreports: {os.path.relpath(self.options.out)}/matrix.md, matrix.json and a folder for each kernel")
        amount = sum(len(column.disagreements) for column in wrong)
        all_agree = f"{_kernels(len(self.columns))}, and all accounts agree"
        print(f"{amount} disagreement{'s' * (amount > 1)}" if amount else all_agree)
        return int(bool(wrong))

    def _write(self):
        table = [
            {"kernel": c.id, "name": c.name, "disagreements": c.disagreements, "asked": c.asked, "cells": c.cells()}
            for c in self.columns
        ]
        (self.options.out / "matrix.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        (self.options.out / "matrix.md").write_text(matrix.markdown(self.columns), encoding="utf-8")


def tproxyctl():
    """The program that reads configurations."""
    return os.environ.get("TPROXYCTL", str(tree.ROOT / "build" / "tproxyctl"))


def _kernels(count):
    return f"{count} kernel{'s' * (count != 1)}"


def _cheapest_first(jobs):
    """Those that are there, then those for which little is compiled again."""
    return sorted(jobs, key=lambda job: (not job.is_ready, not pace.is_leaf(job.changed)))


def of_variants(run, names, source):
    """The lab's own kernels."""
    base = variants.load(variants.BASE)
    jobs = run.plan([run.job_of(variants.load(name), source) for name in names])
    if not jobs:
        print("nothing to do in this time: no kernel was judged")
        return 0
    jobs = run.build(jobs)
    if not jobs:
        print("no kernel was finished in this time, so none was judged")
        return 0
    observed = run.boot(jobs)
    for job in jobs:
        run.judge(job, observed[job], base)
    if run.options.bisect:
        _must_have_come_up(jobs, observed)
    return run.conclude()


def of_file(run, path):
    """A kernel of one's own."""
    job = file_job(run, path)
    observed = run.boot([job])
    _must_have_come_up([job], observed)
    run.judge(job, observed[job])
    return run.conclude()


def file_job(run, path):
    path = Path(path).absolute()
    if not path.is_file():
        raise Trouble(f"there is no kernel {path}")
    run.engine.check(path)
    return Job(path.name, str(path), path=path)


def _must_have_come_up(jobs, observed):
    for job in jobs:
        if observed[job]["release"]:
            continue
        console = "\n".join(f"  | {line}" for line in observed[job]["console"]) or "  | (nothing)"
        raise Trouble(f"{job.name} does not boot: it {observed[job]['verdict']}. The end of its console:\n{console}")


def of_pair(run, names, source_of):
    """Two kernels: what the one does otherwise than the other. Status 1 when there is anything."""
    jobs = [_any_job(run, name, source_of) for name in names]
    if jobs[0].name == jobs[1].name:
        jobs[1].name += "-2"
    run.build(jobs)
    observed = run.boot(jobs)
    _must_have_come_up(jobs, observed)
    found = list(agreement.compare(*(observed[job] for job in jobs)))
    print(f"\n{jobs[0].title} -> {jobs[1].title}")
    print("\n".join(f"  {each}" for each in found) or "  no difference")
    return int(bool(found))


def _any_job(run, name, source_of):
    if os.path.isdir(name):
        job = run.job_of(variants.load(variants.BASE), source_of(name))
        job.name, job.title = Path(name).absolute().name, name
        return job
    if name in variants.names():
        return run.job_of(variants.load(name), source_of(None))
    return file_job(run, name)


def of_configuration(program, path, profile):
    """What a configuration allows, without booting anything; status 1 where it promises no such profile."""
    try:
        configuration.parse(configuration.load(Path(path)), path)
    except (configuration.Malformed, OSError) as problem:
        raise Trouble(str(problem)) from None
    found = observe.ask_configuration(program, path)
    if found is None:
        raise Trouble("this tproxyctl has no `check --kernel-config`, so a configuration cannot be asked")
    for name, each in found.items():
        print(f"{name:30} {each['state']:8} {' '.join(each['options']) if each['state'] != 'on' else ''}".rstrip())
    states = {name: each["state"] for name, each in found.items()}
    print()
    for each in ways.PROFILES:
        print(f"profile {each:22} {ways.promised(states, each)}")
    return int(ways.promised(states, profile if profile in ways.PROFILES else "full") != ways.ON)
