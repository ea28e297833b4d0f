"""The matrix: a row for each capability and requirement, a column for each kernel. As text and as Markdown.

A cell shows the result. A mark shows that results of the kernel disagree about this row.
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
WIDTH = 52  # characters of the column with names
LEGEND = (
    "✓ PASS or works   ○ ABSENT or missing   ◌ untried: needs something that is missing   ✗ FAIL   ▲ BLOCKED   ! ERROR\n"
    "– UNSUPPORTED   · NOT RUN   ? results disagree. A row without a family has the same result in each family."
)


class Column:
    """One kernel: its observation and its disagreements. `checked`: its configuration was read."""

    def __init__(self, observed, name="", disagreements=(), checked=False, predicted=False):
        self.observed, self.name = observed, name or observed["kernel"]
        self.disagreements = list(disagreements)
        self.checked, self.predicted = checked, predicted

    @property
    def id(self):
        return self.observed["kernel"]

    def cells(self):
        """{row: state or verdict}: capabilities first, then requirements."""
        prove, suite = self.observed["prove"], self.observed["suite"]
        found = {name: each["state"] for name, each in prove["capabilities"].items()} if prove else {}
        found.update({name: each["verdict"] for name, each in suite["cells"].items()} if suite else {})
        return found


def rows(columns):
    """The rows of all columns, in order, each once."""
    return list(dict.fromkeys(row for column in columns for row in column.cells()))


def cell(column, row):
    is_marked = any(each.startswith(f"{row}:") for each in column.disagreements)
    return SYMBOLS.get(column.cells().get(row), " ") + (MARK if is_marked else "")


def text(columns):
    """The matrix for a terminal. Kernels have numbers. Rows with the same cells share a line."""
    lines = [f"{number:4}  {column.id:20} {column.name}" for number, column in enumerate(columns, 1)]
    numbers = " " * WIDTH + " ".join(f"{number:<2}" for number in range(1, len(columns) + 1))
    every = rows(columns)
    requirements = [row for row in every if row.startswith("TP-")]
    capabilities = [row for row in every if row not in requirements]
    for title, names in (("capabilities", capabilities), ("requirements", requirements)):
        if names:
            lines += ["", title.ljust(WIDTH) + numbers.strip(), *_section(columns, names)]
    return "\n".join([*lines, "", LEGEND])


def _section(columns, names):
    groups = {}
    for name in names:
        groups.setdefault(tuple(cell(column, name) for column in columns), []).append(name)
    for cells, members in groups.items():
        first, *rest = _folded(_families_joined(members, names), WIDTH - 2)
        yield (f"{first:{WIDTH}}" + " ".join(f"{each:<2}" for each in cells)).rstrip()
        yield from (f"  {line}" for line in rest)


def _families_joined(members, names):
    """The members of a group, without their family if the group has every family of the name."""
    members_set, known = set(members), set(names)
    for name in members:
        stem, family = name[:-1], name[-1:]
        if family not in "46" or stem[-1:] not in "-/":
            yield name
            continue
        other = stem + ("6" if family == "4" else "4")
        if other not in members_set and other in known:
            yield name
        elif family == "4" or other not in members_set:
            yield stem[:-1]


def _folded(names, width):
    """Names in lines of that width. The common part of requirements is written once: TP-BIND-01 02 03."""
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


def summary(column):
    """One line with the results of a kernel."""
    cells = column.cells()
    prove = column.observed["prove"]
    suite = column.observed["suite"]
    parts = [f"configuration {'checked' if column.checked else 'not checked'}"]
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
    """The whole matrix as Markdown."""
    head = "| | " + " | ".join(column.name for column in columns) + " |"
    lines = ["## Kernels", "", LEGEND, "", head, "|---" * (len(columns) + 1) + "|"]
    for row in rows(columns):
        lines.append(f"| {row} | " + " | ".join(cell(column, row) or " " for column in columns) + " |")
    lines += ["", "| kernel | release | results |", "|---|---|---|"]
    lines += [f"| {c.id} | {c.observed['release']} | {summary(c)} |" for c in columns]
    wrong = [f"- **{c.id}**: {each}" for c in columns for each in c.disagreements]
    return "\n".join([*lines, "", *(wrong or ["All results agree."]), ""])
