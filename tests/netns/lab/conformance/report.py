"""The reports of a run: report.json, junit.xml, report.md, report.html and the matrix as a picture.

All of them show one dictionary, in the format of fixtures/schema/report.schema.json. The page is a template
that contains this dictionary. The text of a script element must not contain `</` or `<!--`, so every `<` is
written as an escape of JSON.
"""

import html
import json
import re
import time
import xml.etree.ElementTree as xml
from pathlib import Path

from lab.conformance import environment, matrix, picture, requirements, spec, verdict

TEMPLATE = Path(__file__).with_name("report.html.template")
FILES = ("report.json", "junit.xml", "report.md", "report.html", "matrix.svg")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def build(columns, chosen, selection, command, seconds, necessity=None):
    """The dictionary that every report is made of; `columns` come from suite_runner.

    `necessity` is the result of necessity.kept(), or None. Reports show it, but it does not change the result: it is about
    the host, not about an implementation.
    """
    report = {
        "format": matrix.FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "command": command,
        "selection": selection,
        "environment": environment.describe(),
        "catalogue": requirements.identity(),
        "requirements": [
            {
                "id": each.id,
                "group": each.group,
                "level": each.level,
                "profile": each.profile,
                "text": each.text,
                "source": each.source,
                "falsified_by": list(each.falsified_by),
                "no_falsifier": each.no_falsifier,
            }
            for each in chosen
        ],
        "groups": {group: spec.TITLES[group] for group in dict.fromkeys(each.group for each in chosen)},
        "implementations": columns,
        "necessity": necessity,
    }
    report["reasons"] = matrix.reasons(report)
    report["passed"] = not report["reasons"]
    report["summary"] = matrix.summary(report)
    return report


def write(report, out):
    """All of them into the folder."""
    out.mkdir(parents=True, exist_ok=True)
    data = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    texts = (data, junit(report), markdown(report), page(report), picture.svg(report))
    for name, text in zip(FILES, texts):
        (out / name).write_text(text, encoding="utf-8")


# JUnit: a suite an implementation, a case a test


def junit(report):
    root = xml.Element("testsuites")
    for column in report["implementations"]:
        suite = xml.SubElement(root, "testsuite", name=_clean(f"{column['name']} {column['version']}".strip()))
        for problem in column["problems"]:
            case = xml.SubElement(suite, "testcase", classname=_clean(column["name"]), name="adapter")
            xml.SubElement(case, "error", message=_clean(problem))
        for cell in column["cells"]:
            for test in cell["tests"]:
                _case(suite, column, cell, test)
        for kind in ("failure", "error", "skipped"):
            suite.set({"failure": "failures", "error": "errors"}.get(kind, kind), str(len(list(suite.iter(kind)))))
        suite.set("tests", str(len(list(suite.iter("testcase")))))
        suite.set("time", str(column["seconds"]))
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite, column, cell, test):
    where = {"classname": f"{column['name']}.{cell['requirement']}", "name": test["test"].rpartition("/")[2]}
    where = {name: _clean(text) for name, text in where.items()}
    case = xml.SubElement(suite, "testcase", **where, time=str(test["seconds"]))
    word = test["verdict"]
    if word == verdict.PASS:
        return
    kind = {verdict.FAIL: "failure", verdict.ERROR: "error", verdict.BLOCKED: "error"}.get(word, "skipped")
    message = _clean(f"{word}: {test['message']}")
    xml.SubElement(case, kind, message=message).text = _clean(f"{test['details']}\nrepeat with: {test['command']}")


def _clean(text):
    """Without the characters that XML can't hold."""
    return _NOT_XML.sub("?", text)


# Markdown, for the summary of a CI job


def markdown(report):
    columns = report["implementations"]
    group_of = {each["id"]: each["group"] for each in report["requirements"]}
    names = [_plain(f"{column['name']} {column['version']}".strip()) for column in columns]
    lines = ["## Conformance", "", f"| group | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for group in [*dict.fromkeys(group_of.values()), "**all**"]:
        tallies = (_tally(column, group, group_of) for column in columns)
        lines.append(f"| {group} | {' | '.join(tallies)} |")
    lines += ["", " · ".join(f"{sign} {word}" for sign, word in matrix.LEGEND.items()), ""]
    lines += [f"{_plain(sentence)}.  " for sentence in report["summary"]]
    lines += ["", *(f"- {_plain(cause)}" for cause in matrix.causes(report))]
    lines += ["", *(f"- {_plain(reason)}" for reason in report["reasons"])]
    failed = [(column, cell) for column in columns for cell in column["cells"] if cell["message"] and _is_bad(cell)]
    if failed:
        lines += ["", "| implementation | requirement | verdict | what happened |", "|---|---|---|---|"]
        lines += [_failed(column, cell) for column, cell in failed]
    lines += _unasked(columns)
    lines += _necessity(report["necessity"])
    lines += _every_requirement(report, names)
    where, catalogue = report["environment"], report["catalogue"]
    lines += ["", f"Catalogue {catalogue['version']}, {len(catalogue['requirements'])} requirements, sha256 `{catalogue['sha256']}`"]
    lines += ["", f"Linux {where['kernel']}, {_plain(where['system'])}; repeat with `{report['command']}`"]
    return "\n".join(lines) + "\n"


def _is_bad(cell):
    return cell["verdict"] in (verdict.FAIL, verdict.ERROR, verdict.BLOCKED)


def _tally(column, group, group_of):
    cells = [cell for cell in column["cells"] if group in ("**all**", group_of[cell["requirement"]])]
    return " ".join(f"{sign}&nbsp;{number}" for _, sign, number in matrix.tally(cells))


def _failed(column, cell):
    message = _plain(matrix.one_line(cell["message"])[:160])
    return f"| {_plain(column['name'])} | {cell['requirement']} | {matrix.shown(cell)} | {message} |"


def _unasked(columns):
    """For each implementation the capabilities that it does not claim, with the requirements that were not asked for that."""
    lines = []
    for column in columns:
        by_name = {}
        for cell in column["cells"]:
            if cell["verdict"] == verdict.UNSUPPORTED:
                for name in matrix.lacking(cell) or [""]:
                    by_name.setdefault(name, []).append(cell["requirement"])
        for name, ids in sorted(by_name.items(), key=lambda one: (-len(one[1]), one[0])):
            what = f"`{name}`" if name else "refused with status 78"
            lines.append(f"- {_plain(column['name'])}: {what} ({len(ids)}): {', '.join(ids)}")
    return ["", "### What was not asked", "", "By the capability that is not claimed:", "", *lines] if lines else []


def _every_requirement(report, names):
    """The whole matrix, folded up."""
    cells = [{each["requirement"]: each for each in column["cells"]} for column in report["implementations"]]
    lines = ["", "<details><summary>Every requirement</summary>", ""]
    lines += [f"| requirement | level | text | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for each in report["requirements"]:
        words = (_in_words(found[each["id"]]) if each["id"] in found else "" for found in cells)
        lines.append(f"| {each['id']} | {each['level']} | {_plain(each['text'])} | {' | '.join(words)} |")
    return [*lines, "", "</details>"]


def _in_words(cell):
    partly = f" ({matrix.PARTLY} {cell['passed']} of {len(cell['tests'])} tests passed)" if matrix.is_partly_asked(cell) else ""
    return matrix.shown(cell) + partly


def _necessity(kept):
    """The table on the host's set-up: when it was taken, and where it is not as predicted."""
    lines = ["", "### The purpose of each part of the host's set-up", ""]
    if not kept:
        return [*lines, "Not tried. To try it, run `tests/netns/necessity`."]
    rows, times = kept["cases"], sorted(each["when"] for each in kept["cases"])
    other = [each for each in rows if each["observed"] != each["predicted"]]
    when = times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"
    lines.append(f"{len(rows)} of {kept['total']} cases tried, {len(rows) - len(other)} as predicted ({when}).")
    if other:
        lines += ["", "| change | recipe | family | topology | predicted | observed |", "|---" * 6 + "|"]
    for each in other:
        words = (each["recipe"], f"IPv{each['family']}", each["topology"], each["predicted"], each["observed"])
        lines.append(f"| {each['change']} | {' | '.join(map(_plain, words))} |")
    return lines


def _plain(text):
    """Text that Markdown shows as it is, in a table, too."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(text, quote=False)).replace("\n", " ")


# The page


def plain_table(report):
    """What a browser without JavaScript shows: the sentences of the summary, and every verdict with its message."""
    columns, rows = report["implementations"], report.get("requirements", [])
    cells = [{each["requirement"]: each for each in column.get("cells", [])} for column in columns]
    heads = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in ("Requirement", *(column["name"] for column in columns)))
    lines = [f"<p>{html.escape(sentence)}.</p>" for sentence in report.get("summary", [])]
    lines.append(f"<table><thead><tr>{heads}</tr></thead><tbody>")
    for each in rows:
        texts = [_plain_cell(found[each["id"]]) if each["id"] in found else "" for found in cells]
        what = f'<th scope="row">{html.escape(each["id"])} {each["level"]}<br>{html.escape(each["text"])}</th>'
        lines.append(f"<tr>{what}{''.join(f'<td>{text}</td>' for text in texts)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _plain_cell(cell):
    message = "" if cell["verdict"] == verdict.PASS else matrix.one_line(cell["message"])
    return html.escape(f"{matrix.symbol(cell)} {_in_words(cell)}" + (f": {message}" if message else ""))


def page(report):
    data = json.dumps(report, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    names = ", ".join(column["name"] for column in report["implementations"])
    template = TEMPLATE.read_text(encoding="utf-8").replace("{{PLAIN}}", plain_table(report))
    head, _, tail = template.partition("{{DATA}}")
    return head.replace("{{TITLE}}", html.escape(f"Conformance: {names}")) + data.replace("\u2029", "\\u2029") + tail
