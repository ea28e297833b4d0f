"""The matrix: requirements and capabilities against kernels, for a terminal and as Markdown.

A cell shows what was seen. Where accounts of a kernel disagree about a row, the cell is marked.
"""

SYMBOLS = {
    "PASS": "✓",
    "UNSUPPORTED": "–",
    "NOT RUN": "·",
    "ABSENT": "○",
    "BLOCKED": "▲",
    "ERROR": "!",
    "FAIL": "✗",
    "works": "✓",
    "missing": "○",
    "untried": "◌",
}
MARK = "?"
WIDTH = 52  # of names
LEGEND = (
    "✓ passes, works   ○ ABSENT, missing   ◌ untried: it builds on something missing   ✗ FAIL   ▲ BLOCKED   ! ERROR\n"
    "? accounts disagree. Without a family: both are alike"
)


class Column:
    """One kernel: its observation, and where its accounts disagree."""

    def __init__(self, observed, name="", disagreements=(), asked=False, predicted=False):
        self.observed, self.name = observed, name or observed["kernel"]
        self.disagreements = list(disagreements)
        self.asked, self.predicted = asked, predicted

    @property
    def id(self):
        return self.observed["kernel"]

    def cells(self):
        """{row: word}: capabilities first, then requirements."""
        prove, suite = self.observed["prove"], self.observed["suite"]
        found = {name: each["state"] for name, each in prove["capabilities"].items()} if prove else {}
        found.update({name: each["verdict"] for name, each in suite["cells"].items()} if suite else {})
        return found

    def is_marked(self, row):
        return any(each.startswith(f"{row}:") for each in self.disagreements)


def rows(columns):
    """Every row that a column has, in order."""
    return list(dict.fromkeys(row for column in columns for row in column.cells()))


def cell(column, row):
    word = column.cells().get(row)
    return SYMBOLS.get(word, " ") + (MARK if column.is_marked(row) else "")


def alike(columns, names):
    """Rows in groups of those that look the same in every column."""
    groups = {}
    for name in names:
        groups.setdefault(tuple(cell(column, name) for column in columns), []).append(name)
    return groups


def text(columns):
    """For a terminal: kernels by number, one line for all rows that are alike."""
    lines = [f"{number:4}  {column.id:20} {column.name}" for number, column in enumerate(columns, 1)]
    numbers = " " * WIDTH + " ".join(f"{number:<2}" for number in range(1, len(columns) + 1))
    every = rows(columns)
    asked = [row for row in every if row.startswith("TP-")]
    for title, names in (("capabilities", [row for row in every if row not in asked]), ("requirements", asked)):
        if names:
            lines += ["", title.ljust(WIDTH) + numbers.strip(), *_section(columns, names)]
    return "\n".join([*lines, "", LEGEND])


def _section(columns, names):
    for cells, members in alike(columns, names).items():
        first, *rest = _folded(_families_joined(members, names), WIDTH - 2)
        yield (f"{first:{WIDTH}}" + " ".join(f"{each:<2}" for each in cells)).rstrip()
        yield from (f"  {line}" for line in rest)


def _families_joined(members, names):
    """Names without their family, where both of them are alike or there is only one."""
    there = set(members)
    known = set(names)
    for name in members:
        stem, family = name[:-1], name[-1:]
        if family not in "46" or stem[-1:] not in "-/":
            yield name
            continue
        other = stem + ("6" if family == "4" else "4")
        if other not in there and other in known:
            yield name
        elif family == "4" or other not in there:
            yield stem[:-1]


def _folded(names, width):
    """Names in lines of that width; what requirements have in common is told once: TP-BIND-01 02 03."""
    words, last = [], ""
    for name in names:
        head, _, tail = name.rpartition("-")
        words.append(tail if head == last and head.startswith("TP-") else name)
        last = head
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def accounts(column):
    """One line on what each account says of a kernel."""
    cells = column.cells()
    prove = column.observed["prove"]
    suite = column.observed["suite"]
    parts = [f"configuration {'asked' if column.asked else 'not asked'}"]
    if prove:
        works = sum(each["state"] == "works" for each in prove["capabilities"].values())
        can = [name for name, provable in prove["profiles"].items() if provable]
        parts.append(f"prove: {works} of {len(prove['capabilities'])} work, profiles {' '.join(can) or 'none'}")
    if suite:
        tally = {}
        for name in suite["cells"]:
            tally[cells[name]] = tally.get(cells[name], 0) + 1
        parts.append("suite: " + " ".join(f"{SYMBOLS[word]} {count}" for word, count in tally.items()))
    parts.append("as predicted" if column.predicted and not column.disagreements else "")
    return "; ".join(part for part in parts if part)


def markdown(columns):
    """The whole matrix, a row each."""
    head = "| | " + " | ".join(column.name for column in columns) + " |"
    lines = ["## Kernels", "", LEGEND, "", head, "|---" * (len(columns) + 1) + "|"]
    for row in rows(columns):
        lines.append(f"| {row} | " + " | ".join(cell(column, row) or " " for column in columns) + " |")
    lines += ["", "| kernel | release | what was found |", "|---|---|---|"]
    lines += [f"| {c.id} | {c.observed['release']} | {accounts(c)} |" for c in columns]
    wrong = [f"- **{c.id}**: {each}" for c in columns for each in c.disagreements]
    return "\n".join([*lines, "", *(wrong or ["All accounts agree."]), ""])
