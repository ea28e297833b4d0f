"""The badge of one implementation: a small picture for the README of a proxy.

It counts MUSTs: those of the profiles that the run chose, or of the whole catalogue, chosen for the run or not. So a run
of one requirement is "1 of 132". A MUST that was not chosen, not asked, asked only in part, or could not be tried is "not
asked". Green means that every MUST was asked in full and passed. The words say all that the colour says.
"""

import html
from dataclasses import dataclass

from lab.conformance import matrix, requirements, verdict

HEIGHT, PAD, SIZE = 20, 7, 11
LABEL = "#444c56"
COLOURS = {"pass": "#1a7f37", "partly": "#59636e", "unclear": "#9a6700", "fail": "#cf222e"}
NARROW, WIDE = set("fijlrtI.,:;()'-· "), set("mwMWTPS%")


@dataclass(frozen=True)
class Score:
    """How many MUSTs passed, and what became of the others; the numbers add up to `total`."""

    passed: int
    failed: int
    unclear: int  # BLOCKED and ERROR: no verdict
    unasked: int
    limits: tuple = ()  # what else keeps the run from being whole

    @property
    def total(self):
        return self.passed + self.failed + self.unclear + self.unasked

    @property
    def kind(self):
        """The key of COLOURS."""
        if self.failed:
            return "fail"
        if self.unclear:
            return "unclear"
        return "pass" if self.passed and not self.unasked and not self.limits else "partly"

    def __str__(self):
        parts = [f"{self.passed} of {self.total} MUSTs"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.unclear} without a verdict"] if self.unclear else []
        parts += [f"{self.unasked} not asked"] if self.unasked else []
        return ", ".join([*parts, *self.limits])


def score(report, column):
    """The score of an implementation of a report."""
    profiles = requirements.with_parts(report["selection"]["profiles"])
    catalogue = report["catalogue"]["requirements"]
    scope = {row["id"] for row in catalogue if row["level"] == "MUST" and (not profiles or row["profile"] in profiles)}
    musts = [cell for cell in column["cells"] if cell["requirement"] in scope]
    cells = [cell for cell in musts if not matrix.is_host_alone(cell)]
    found = matrix.counts(cells)
    passed, failed = found[verdict.PASS], found[verdict.FAIL]
    unclear = found[verdict.BLOCKED] + found[verdict.ERROR]
    total = len(scope) - (len(musts) - len(cells))
    limits = (*matrix.limits(report["selection"]), *(["the run has problems"] if column["problems"] else []))
    return Score(passed, failed, unclear, total - passed - failed - unclear, limits)


def svg(report, column):
    """The badge, as text of an SVG file."""
    found, profiles = score(report, column), list(dict.fromkeys(report["selection"]["profiles"]))
    label = "transparent proxy" + (f": {', '.join(profiles)}" if profiles else "")
    left, right = _width(label), _width(str(found))
    width, title = left + right, html.escape(_title(report, column, f"{label}: {found}"))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{title}">
<title>{title}</title>
<rect width="{width}" height="{HEIGHT}" rx="4" fill="{LABEL}"/>
<path class="{found.kind}" d="M{left} 0h{right - 4}a4 4 0 0 1 4 4v{HEIGHT - 8}a4 4 0 0 1 -4 4h-{right - 4}z" fill="{COLOURS[found.kind]}"/>
<g fill="#ffffff" font-family="DejaVu Sans, Verdana, sans-serif" font-size="{SIZE}">
{_text(label, 0, left)}
{_text(str(found), left, right)}
</g>
</svg>
"""


def _title(report, column, text):
    """What the picture shows, and what it is about: shown beside the pointer, and read by screen readers."""
    name, catalogue = f"{column['name']} {column['version']}".strip(), report["catalogue"]
    made, kernel = report["created"].partition("T")[0], report["environment"]["kernel"]
    known = f"catalogue {catalogue['version']} ({catalogue['sha256'][:12]})"
    return f"{name}, {text}; {known}, Linux {kernel}, {made}"


def _text(text, x, width):
    """The text fills its box in every font."""
    box = f'x="{x + PAD}" y="14" textLength="{width - 2 * PAD}" lengthAdjust="spacingAndGlyphs"'
    return f"<text {box}>{html.escape(text)}</text>"


def _width(text):
    """The width of a box, about as the font is."""
    ems = sum(0.36 if each in NARROW else 0.84 if each in WIDE else 0.62 for each in text)
    return round(ems * SIZE) + 2 * PAD
