"""The matrix as a picture: one row an implementation, one stroke a requirement.

The picture is SVG text made from the report's dictionary, like all reports, so it can be read as a
difference in a commit. It follows the reader's light or dark theme. A verdict has a height besides its
colour: a pass is whole, a failure hangs below the line, what is not offered is a dash.
"""

import html

from lab.conformance import matrix, verdict

LEFT, RIGHT, TOP, STROKE, GAP, ROW = 150, 120, 46, 5, 9, 30
KINDS = {verdict.PASS: "pass", verdict.UNSUPPORTED: "none", verdict.FAIL: "fail"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e }
.pass { fill: #1a7f37 } .fail { fill: #cf222e } .none { fill: #b7bec6 } .part { fill: #1a7f37 } .other { fill: #9a6700 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 }
  .pass { fill: #3fb950 } .fail { fill: #f85149 } .none { fill: #4b535d } .part { fill: #3fb950 } .other { fill: #d29922 }
}
"""


def svg(report):
    """The picture of a report, as text of an SVG file."""
    places, width = _places(report["requirements"])
    columns = report["implementations"]
    height = TOP + ROW * len(columns) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{html.escape(_summary(report))}">',
        f"<style>{STYLE}</style>",
        *_heads(report["requirements"], places),
    ]
    for number, column in enumerate(columns):
        parts += _row(column, places, TOP + ROW * number, width)
    parts += _legend(TOP + ROW * len(columns) + 22)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(requirements):
    """({id: x}, width): the requirements of a group stand together, apart from those of other groups."""
    places, x = {}, LEFT
    for group in dict.fromkeys(each["group"] for each in requirements):
        for each in requirements:
            if each["group"] == group:
                places[each["id"]] = x
                x += STROKE
        x += GAP
    return places, x - GAP + RIGHT


def _heads(requirements, places):
    first = {}
    for each in requirements:
        first.setdefault(each["group"], places[each["id"]])
    return [f'<text class="small" x="{x}" y="{TOP - 14}">{html.escape(group)}</text>' for group, x in first.items()]


def _row(column, places, top, width):
    count = matrix.counts(column["cells"])
    offered = len(column["cells"]) - count[verdict.UNSUPPORTED]
    name = html.escape(column["name"])
    yield f'<text x="0" y="{top + 14}">{name}</text>'
    for cell in column["cells"]:
        yield _stroke(cell, places[cell["requirement"]], top)
    yield f'<text class="small" x="{width - RIGHT + 12}" y="{top + 14}">{count[verdict.PASS]} of {offered} pass</text>'


def _stroke(cell, x, top):
    kind = "part" if matrix.is_partly_asked(cell) else KINDS.get(cell["verdict"], "other")
    y, height = {"pass": (2, 15), "part": (7, 5), "none": (8, 3), "fail": (6, 17), "other": (6, 9)}[kind]
    title = html.escape(f"{cell['requirement']}: {matrix.shown(cell)}")
    return (
        f'<rect class="{kind}" x="{x}" y="{top + y}" width="{STROKE - 1}" height="{height}"><title>{title}</title></rect>'
    )


def _legend(y):
    words = (("pass", "pass"), ("part", "passed where asked"), ("fail", "fail"), ("none", "not offered"), ("other", "not judged"))
    x = LEFT
    for kind, word in words:
        yield f'<rect class="{kind}" x="{x}" y="{y - 9}" width="10" height="10"/>'
        yield f'<text class="small" x="{x + 16}" y="{y}">{word}</text>'
        x += 50 + 8 * len(word)


def _summary(report):
    each = (f"{column['name']} {matrix.counts(column['cells'])[verdict.PASS]}" for column in report["implementations"])
    return f"Requirements passed, of {len(report['requirements'])}: {', '.join(each)}"
