"""What a run prints while it runs, and the summary at its end.

On a terminal, each implementation has one line that is drawn again in place. Elsewhere there are a few lines of progress,
and one line for each test that did not pass, so that a log stays readable; what takes long is named every minute.
"""

import os
import shutil
import sys
import time

from lab.conformance import matrix, verdict

WIDTH = 24  # of a bar
STEPS = 4  # lines an implementation, where nothing can be redrawn
COLOURS = {
    verdict.PASS: "32",
    verdict.FAIL: "31;1",
    verdict.ERROR: "35;1",
    verdict.BLOCKED: "33",
    verdict.UNSUPPORTED: "2",
    verdict.ABSENT: "36",
    verdict.NOT_RUN: "2",
}


class Progress:
    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.colour = self.live and "NO_COLOR" not in os.environ
        self.patience = 1 if self.live else 60  # seconds without an event, after which silent() is due
        self.begin(None)

    def begin(self, column):
        self.total = self.done = self.reported = 0
        self.counts = {}
        self.started = time.monotonic()
        if column:
            self._redraw(f"{column.name}  asking the adapter")

    def named(self, column):
        if not self.live:
            self._line(f"{column.name} {column.version}")

    def event(self, column, event, running):
        if event["event"] == "planned":
            self.total = max(self.total, event["tests"])
        elif event["event"] == "ended":
            self.done += 1
            self.counts[event["verdict"]] = self.counts.get(event["verdict"], 0) + 1
            if not self.live and event["verdict"] not in (verdict.PASS, verdict.UNSUPPORTED):
                self._line(f"  {event['verdict']} {event['requirement']} {short(event['test'])}")
        if self.live:
            self.silent(column, running)
        elif self.total and self.done * STEPS // self.total > self.reported:
            self.reported = self.done * STEPS // self.total
            self._line(f"  {self._state(column)}")

    def silent(self, column, running):
        """Says what runs; `running`: {test: when it began, by time.monotonic()}."""
        oldest = min(running, key=running.get, default=None)
        if self.live:
            self._redraw(f"{self._state(column)}  {short(oldest) if oldest else ''}")
        elif oldest:
            more = f" (and {len(running) - 1} more)" if len(running) > 1 else ""
            self._line(f"  {clock(running[oldest])} so far: {short(oldest)}{more}")

    def end(self, column):
        self._redraw(self._state(column))
        self._line("" if self.live else f"  {column.seconds:.0f} s")
        for problem in column.problems:
            self._line(f"  {paint(self, verdict.FAIL, '!')} {problem}")

    def _state(self, column):
        full = WIDTH * self.done // self.total if self.total else 0
        marks = "  ".join(f"{verdict.SYMBOLS[w]} {self.counts[w]}" for w in verdict.VERDICTS if w in self.counts)
        name = f"{column.name} {column.version}".strip()
        bar = "█" * full + "░" * (WIDTH - full)
        return f"{name:22} {bar} {self.done:4}/{self.total:<4} {clock(self.started)}  {marks}"

    def _redraw(self, text):
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r\033[K" + text[:width])
            self.stream.flush()

    def _line(self, text):
        print(text, file=self.stream, flush=True)


def clock(began):
    """Minutes and seconds since then, by time.monotonic()."""
    seconds = int(time.monotonic() - began)
    return f"{seconds // 60}:{seconds % 60:02}"


def short(nodeid):
    return nodeid.rpartition("/")[2].replace("test_", "").replace(".py::", ": ").replace("_", " ")


def paint(screen, word, text):
    return f"\033[{COLOURS[word]}m{text}\033[0m" if screen.colour else text


def summary(report, screen, files):
    """The matrix by groups, what did not pass in a line each, and where to read on."""
    lines = ["", *_groups(report, screen), _legend(report), ""]
    bad = list(_bad(report, screen))
    room = max(10, shutil.get_terminal_size((80, 60)).lines - len(lines) - 12)
    lines += bad[:room]
    if len(bad) > room:
        lines.append(f"  … and {len(bad) - room} more in the reports")
    if hints := [*matrix.causes(report), *matrix.ended_waits(report)]:
        lines += ["", *hints]
    lines += ["", f"reports: {files}"]
    lines += [f"  {reason}" for reason in report["reasons"] if "nothing was tested" in reason]
    return lines + [paint(screen, verdict.PASS if report["passed"] else verdict.FAIL, line) for line in _end(report)]


def _end(report):
    """The last lines: one for each implementation. A failed run says so first."""
    said, first = report["summary"], "The run did not pass."
    if not report["reasons"]:
        return said
    return [f"{first} {said[0]}"] if len(said) == 1 else [first, *said]


def _legend(report):
    """What the signs of the table mean, those that it has."""
    signs = dict.fromkeys(sign for column in report["implementations"] for _, sign, _ in matrix.tally(column["cells"]))
    return "  ".join(f"{sign} {matrix.LEGEND[sign].lower()}" for sign in signs)


def _groups(report, screen):
    group_of = {each["id"]: each["group"] for each in report["requirements"]}
    columns = report["implementations"]
    width = max([20, *(len(f"{c['name']} {c['version']}") + 2 for c in columns)])
    yield f"{'':12}" + "".join(f"{(c['name'] + ' ' + c['version'])[:width]:{width}}" for c in columns)
    for group in [*dict.fromkeys(group_of.values()), "all"]:
        amount = sum(group in ("all", each) for each in group_of.values())
        line = f"{group:8}{amount:3} "
        for column in columns:
            cells = [each for each in column["cells"] if group in ("all", group_of[each["requirement"]])]
            line += _tally(cells, screen, width)
        yield line.rstrip()


def _tally(cells, screen, width):
    found = matrix.tally(cells)
    plain = " ".join(f"{sign} {number}" for _, sign, number in found)
    painted = " ".join(paint(screen, word, f"{sign} {number}") for word, sign, number in found)
    return painted + " " * max(1, width - len(plain))


def _bad(report, screen):
    levels = {each["id"]: each["level"] for each in report["requirements"]}
    width = shutil.get_terminal_size().columns - 1 if screen.live else None  # a log has room for whole lines
    for column in report["implementations"]:
        for each in column["cells"]:
            word = each["verdict"]
            good = (verdict.PASS, verdict.UNSUPPORTED, verdict.NOT_RUN)
            if word not in good or each["deviates"]:
                where = f"{column['name']} {each['requirement']} {levels[each['requirement']]} {matrix.shown(each)}"
                text = "; ".join(each["remarks"]) if each["deviates"] else matrix.one_line(each["message"])
                mark = verdict.SYMBOLS[word]
                yield f"{paint(screen, word, mark)} {where}  {text}"[: width and width + 12 * screen.colour]
