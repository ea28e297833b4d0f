"""docs/SPEC.md from the catalogue: every requirement by group, with where it is from."""

from lab.conformance import requirements

TITLES = {
    "BIND": "an address that is on no interface is served all the same",
    "SRC": "where the connection to the server comes from",
    "DST": "connections to any address are taken, and go where they were meant to go",
    "STREAM": "what goes in at one side comes out at the other, ends included",
    "UDP": "datagrams",
    "PP": "the PROXY protocol",
    "OPS": "starting, stopping, limits, and what the log says",
    "HOST": "what the set-up of the host brings about, shown on the proxy",
}

HEAD = """\
# What a transparent proxy has to do

{total} requirements: {levels}. This page is written by
`tests/netns/conformance --spec` from `fixtures/requirements.toml`; change that file, then run
`tests/netns/conformance --spec >docs/SPEC.md`.

An id is permanent: it is never given to another requirement. *Falsified by* names the proxies of
`tests/netns/implementations/falsifiers` that are wrong in just this point, or says why no proxy can be;
the suite's own test shows that each of them fails. *Needs* names capabilities (see
[ADAPTERS.md](ADAPTERS.md)) without which a row is not asked of an implementation, and which no field of
its scenarios shows. Profiles are parts of the catalogue that can be asked for by themselves; `full`
contains `binding` and `source`.

| group | what it is about | MUST | SHOULD | MAY |
|---|---|---|---|---|
"""


def render(rows=None):
    rows = requirements.load() if rows is None else rows
    current = [row for row in rows if not row.withdrawn]
    levels = ", ".join(f"{_count(current, level)} {level}" for level in requirements.LEVELS)
    groups = [group for group in requirements.GROUPS if any(row.group == group for row in rows)]
    text = HEAD.format(total=len(current), levels=levels)
    for group in groups:
        here = [row for row in current if row.group == group]
        numbers = " | ".join(str(_count(here, level)) for level in requirements.LEVELS)
        text += f"| [{group}](#{group.lower()}) | {TITLES[group]} | {numbers} |\n"
    return text + "".join(_group(group, [row for row in rows if row.group == group]) for group in groups)


def _count(rows, level):
    return sum(row.level == level for row in rows)


def _group(group, rows):
    title = TITLES[group]
    return f"\n## {group}\n\n{title[0].upper()}{title[1:]}.\n" + "".join(_row(row) for row in rows)


def _row(row):
    if row.withdrawn:
        return f"\n### {row.id}\n\nWithdrawn: {row.withdrawn}\n"
    falsifiers = ", ".join(f"`{name}`" for name in row.falsified_by) or f"no proxy: {row.no_falsifier}"
    needs = ", ".join(f"`{name}`" for name in row.needs)
    return (
        f"\n### {row.id}\n\n**{row.level}** · profile `{row.profile}`\n\n{row.text}\n\n"
        f"- *Source*: {row.source}\n- *Falsified by*: {falsifiers}\n" + (f"- *Needs*: {needs}\n" if needs else "")
    )
