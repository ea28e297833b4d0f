"""The page of a report in a browser: contents, keyboard, filters, and nothing loaded from outside."""

import json

import pytest

from lab.conformance import browser, report, requirements, verdict
from lab.ctl import necessity

FOCUSED = "document.activeElement.dataset.cell"
OPEN = "document.getElementById('panel').open"
EVIL = "</script><img src=x onerror=alert(1)><!-- & \u2028 `"

pytestmark = [
    pytest.mark.suite,
    pytest.mark.xdist_group("browser"),  # one browser for all
]


def cell(requirement, word, message=""):
    test = {"test": f"tests/netns/test_x.py::test_{word}", "verdict": word, "message": message, "details": message}
    test |= {"parameters": {"family": 4}, "seconds": 0.1, "evidence": "", "unclaimed": [], "command": "run it"}
    test |= {"lacking": ["udp", "bind"] if word == "UNSUPPORTED" else [], "proxies": 1}
    made = {"requirement": requirement, "verdict": word, "passed": int(word == "PASS"), "message": message}
    return made | {"known": "", "deviates": False, "remarks": [], "command": f"repeat {requirement}", "tests": [test]}


def column(name, chosen, shift):
    words = [verdict.VERDICTS[(number + shift) % len(verdict.VERDICTS)] for number in range(len(chosen))]
    cells = [cell(each.id, word, "" if word == "PASS" else EVIL) for each, word in zip(chosen, words)]
    made = {"name": name, "adapter": name, "version": "1.0", "capabilities": [], "notes": EVIL, "problems": []}
    return made | {"seconds": 1.0, "command": "repeat", "cells": cells}


CASES = necessity.cases()
DIFFERENT = CASES[len(CASES) // 2]


def host_table():
    """The whole necessity table was tried, and one case is not as predicted."""
    names = ("group", "change", "topology", "predicted", "why")
    rows = [{name: getattr(case.row, name) for name in names} for case in CASES]
    for row, case in zip(rows, CASES):
        row |= {"case": case.id, "recipe": case.recipe, "family": case.family, "when": "2026-01-02T03:04:05Z"}
        row |= {"observed": EVIL, "also": EVIL} if case is DIFFERENT else {"observed": row["predicted"], "also": ""}
    return {"total": len(rows), "cases": rows}


def write_page(folder, table, names=("one", "two")):
    chosen = [row for row in requirements.load() if not row.withdrawn]
    selection = {"family": None, "recipe": None, "sample_per": None, "expect_env": False, "known_ok": False}
    columns = [column(name, chosen, 3 * number) for number, name in enumerate(names)]
    made = folder / "report.html"
    made.write_text(report.page(report.build(columns, chosen, selection, "repeat all", 1.0, table)), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page"), host_table())


@pytest.fixture(scope="module")
def shared():
    with browser.Browser() as made:
        made.size(1200, 800)
        yield made


@pytest.fixture
def page(shared, path):
    """The page, drawn afresh in the module's one browser."""
    shared.events.clear()
    shared.call("Page.navigate", url="about:blank")
    shared.open(path)
    yield shared
    assert not shared.complaints()
    assert {url.partition("#")[0] for url in shared.loaded()} <= {"about:blank", f"file://{path}"}


def texts(page, selector):
    return page.value(f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.innerText.trim())")


def test_every_cell_has_a_symbol_and_a_name(page):
    shown = texts(page, "td.cell .symbol")
    rows = page.value("document.querySelectorAll('tr[data-id]').length")
    assert len(shown) == 2 * rows and set(shown) == set(verdict.SYMBOLS.values())
    labels = page.value("[...document.querySelectorAll('td.cell')].map(each => each.getAttribute('aria-label'))")
    assert all(label.startswith("TP-") and ": " in label for label in labels)


def test_the_name_of_a_cell_contains_the_words_that_are_seen(page):
    """WCAG 2.5.3: a user who speaks the words of a cell reaches it."""
    seen = page.value("[...document.querySelectorAll('td.cell')].map(each => [each.querySelector('.word')?.innerText || '', each.ariaLabel])")
    assert [words for words, _ in seen if words] and not [each for each in seen if each[0].strip() not in each[1]]


def test_a_table_that_can_be_scrolled_can_be_reached_by_keyboard(page):
    """WCAG 2.1.1, and a name for what is reached."""
    tables = page.value("[...document.querySelectorAll('.host .scroll')].map(each => [each.tabIndex, each.role || each.getAttribute('role'), each.ariaLabel])")
    assert tables and all(index == 0 and role == "region" and name for index, role, name in tables)


def test_totals_add_up(page):
    rows = page.value("document.querySelectorAll('tr[data-id]').length")
    for number in (2, 3):
        assert sum(int(text) for text in texts(page, f"tfoot td:nth-child({number})")) == rows


def test_the_keyboard_alone_opens_and_closes_a_cell(page):
    page.value("document.querySelector('td.cell[tabindex=\"0\"]').focus()")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.press(key)
    assert page.value(FOCUSED) == "TP-BIND-02/0"
    assert page.value("document.querySelectorAll('td.cell[tabindex=\"0\"]').length") == 1
    page.press("Enter")
    assert page.value(OPEN)
    text = texts(page, "#panel")[0]
    assert "TP-BIND-02 on one 1.0" in text and "repeat TP-BIND-02" in text and "UNSUPPORTED" in text
    page.press("Escape")
    assert not page.value(OPEN) and page.value(FOCUSED) == "TP-BIND-02/0"


def test_focus_is_never_hidden_under_the_head(page):
    page.value("document.querySelector('td.cell[tabindex=\"0\"]').focus()")
    for key in ["ArrowDown"] * 30 + ["ArrowUp"] * 25:
        page.press(key)
    top = "document.activeElement.getBoundingClientRect().top"
    assert page.value(f"{top} >= document.querySelector('thead th').getBoundingClientRect().bottom - 1")


def test_a_link_opens_a_cell(page, path):
    page.value("location.hash = '#TP-SRC-01/1'")
    page.value("new Promise(done => setTimeout(done))")
    assert page.value(OPEN) and "TP-SRC-01 on two" in texts(page, "#panel")[0]


def test_text_stays_text(page):
    assert page.value("document.querySelectorAll('img').length") == 0
    assert EVIL.split("\u2028")[0].strip() in page.value("document.getElementById('ground').textContent")


@pytest.mark.parametrize("kind, value, selector", [("level", "MUST", ".level"), ("group", "BIND", ".id")])
def test_a_filter_hides_rows_and_shows_them_again(page, kind, value, selector):
    chip = f"""[...document.querySelectorAll('[data-filter={kind}]')].find(each => each.innerText === '{value}')"""
    before = len(visible(page, selector))
    page.value(f"{chip}.click()")
    left = visible(page, selector)
    assert 0 < len(left) < before and not [text for text in left if value in text]
    page.value(f"{chip}.click()")
    assert len(visible(page, selector)) == before


def visible(page, selector):
    return page.value(
        f"""[...document.querySelectorAll('tr[data-id] {selector}')].filter(each => each.offsetParent)
        .map(each => each.innerText)"""
    )


def test_words_find_a_requirement(page):
    page.value("document.getElementById('words').value = 'usesrc clientip'")
    page.value("document.getElementById('words').dispatchEvent(new Event('input'))")
    wanted = [row.id for row in requirements.load() if "usesrc clientip" in row.text and not row.withdrawn]
    assert "TP-SRC-01" in wanted
    assert visible(page, ".id") == wanted


def test_the_hosts_table_shows_every_case_below_the_matrix(page):
    assert page.value("document.querySelector('.host').offsetTop > document.getElementById('frame').offsetTop")
    families = page.value("[...document.querySelectorAll('.host td:nth-last-child(4)')].map(each => each.textContent)")
    assert len(", ".join(families).split(", ")) == len(CASES)
    assert "all" in texts(page, "#necessity > p")[0] and "2026-01-02 03:04 UTC" in texts(page, "#necessity > p")[0]


def test_a_case_that_is_not_as_predicted_is_marked_and_its_group_is_open(page):
    assert texts(page, "details[open] > summary") == [f"✗ {DIFFERENT.row.group} {counted(1)}"]
    assert texts(page, ".host td.FAIL") == [f"✗ {EVIL} (not as predicted; {EVIL})"]
    assert len(texts(page, ".host details")) == len({case.row.group for case in CASES})


def counted(different):
    return f"· {sum(case.row.group == DIFFERENT.row.group for case in CASES)} cases, {different} not as predicted"


def test_a_group_of_the_hosts_table_is_opened_and_closed_by_keyboard(page):
    page.value("document.querySelector('.host details:not([open]) > summary').focus()")
    state = "document.activeElement.parentElement.open"
    page.press("Enter")
    assert page.value(state)
    page.press("Enter")
    assert not page.value(state)


def test_a_search_does_not_change_the_hosts_table(page):
    page.value("document.getElementById('words').value = 'no such words'")
    page.value("document.getElementById('words').dispatchEvent(new Event('input'))")
    assert not visible(page, ".id") and texts(page, ".host td.FAIL")


def test_a_table_that_was_not_tried_is_marked(shared, tmp_path):
    shared.open(write_page(tmp_path, None))
    assert texts(shared, "#necessity > p") == ["Not tried. To try it, run tests/netns/necessity."]


CUT = """[...document.querySelectorAll('tr[data-id] .text, .group .text, td.cell, .group td, thead th, .card p, .chip, .host td, .host th')].filter(each =>
  each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline' || !each.getClientRects().length).map(each => each.innerText)"""


# By how much each table of the host's set-up is wider than the place that it has
WIDER = "[...document.querySelectorAll('.host .scroll')].map(each => each.scrollWidth - each.clientWidth)"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_every_sentence_can_be_read_at_every_width(page, width):
    page.size(width, 800)
    try:
        assert not page.value(CUT)
        shown = page.value("[...document.querySelectorAll('tr[data-id] .text')].map(each => each.innerText)")
        assert sorted(shown) == sorted(row.text.replace("`", "") for row in requirements.load() if not row.withdrawn)
        assert page.value("document.documentElement.scrollWidth") <= width
        page.value("for (const each of document.querySelectorAll('.host details')) each.open = true")
        assert not page.value(CUT) and page.value(f"Math.max(...{WIDER})") <= 0
    finally:
        page.size(1200, 800)


def test_three_implementations_fit_on_a_telephone(shared, tmp_path):
    shared.size(390, 800)
    try:
        shared.open(write_page(tmp_path, None, ("tproxyd", "haproxy", "trafficserver")))
        assert not shared.value(CUT) and shared.value("document.documentElement.scrollWidth") <= 390
    finally:
        shared.size(1200, 800)


def test_what_is_not_offered_does_not_look_like_a_failure(shared, tmp_path):
    """A cell that was not asked counts in no share; a group without any says so."""
    chosen = [row for row in requirements.load() if not row.withdrawn]
    words = {"BIND": "UNSUPPORTED", "SRC": "PASS"}
    cells = [cell(row.id, words.get(row.group, "FAIL" if row.group == "DST" else "UNSUPPORTED")) for row in chosen]
    made = {"name": "one", "adapter": "one", "version": "1.0", "capabilities": [], "notes": "", "problems": []}
    column_of = made | {"seconds": 1.0, "command": "repeat", "cells": cells}
    selection = {"family": None, "recipe": None, "sample_per": None, "expect_env": False, "known_ok": False}
    path = tmp_path / "report.html"
    path.write_text(report.page(report.build([column_of], chosen, selection, "repeat", 1.0)), encoding="utf-8")
    shared.open(path)
    shares = dict(zip(texts(shared, "tr.group .id"), texts(shared, "tr.group td")))
    number = sum(row.group == "SRC" for row in chosen)
    assert (shares["BIND"], shares["SRC"]) == ("not offered", f"{number} of {number}")
    assert shares["DST"].startswith("0 of ")
    musts = [row for row in chosen if row.level == "MUST"]
    passed, tried = (sum(row.group in groups for row in musts) for groups in (("SRC",), ("SRC", "DST")))
    assert f"{passed} of {tried} MUSTs that it offers passed" in texts(shared, ".card")[0]
    unsupported = sum(each["verdict"] == "UNSUPPORTED" for each in cells)
    assert f"{unsupported} not asked in full, for want of several claims ({unsupported})" in texts(shared, ".card")[0]


def test_a_cell_that_was_not_asked_lists_its_reasons(page):
    page.value("location.hash = '#TP-BIND-02/0'")
    page.value("new Promise(done => setTimeout(done))")
    assert page.value("document.querySelectorAll('#panel > ul:not(.tests) > li').length") == 1
    assert "1 test" in texts(page, "#panel > ul:not(.tests)")[0]
    assert not {"false", "0"} & set(texts(page, "#panel")[0].split("\n"))
    assert page.value("document.querySelector('[data-cell=\"TP-BIND-02/0\"]').title") == f"not asked: {EVIL}"
    section = page.value("document.getElementById('unasked').innerText")
    assert "What was not asked" in section and "TP-BIND-02" in section and "udp" in section


def test_the_text_beside_the_page_has_what_its_noscript_promises(page, path):
    """Without JavaScript the page is a table of every requirement; report.md has what was not asked, too."""
    made = json.loads(page.value("document.getElementById('data').textContent"))
    text = report.markdown(made)
    assert not [each["id"] for each in made["requirements"] if f"| {each['id']} | {each['level']} |" not in text]
    assert "### What was not asked" in text and "- one: `bind` (" in text
    plain = page.value("document.querySelector('noscript').textContent")
    assert "report.md, beside it, also lists what was not asked" in plain
    assert not [each["id"] for each in made["requirements"] if each["id"] not in plain]


def test_light_and_dark_differ_and_both_can_be_read(page):
    page.value("for (const each of document.querySelectorAll('details')) each.open = true")
    grounds = {}
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        grounds[scheme] = page.value(f"({LUMINANCE})(getComputedStyle(document.body).backgroundColor)")
        poor = page.value(f"({CONTRASTS})({LUMINANCE}).filter(each => each < 4.5)")
        assert not poor, (scheme, poor)
    page.prefer("light")
    assert grounds["light"] > 0.8 > 0.1 > grounds["dark"]


LUMINANCE = """colour => {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(each => each / 255)
    .map(each => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}"""

# WCAG's contrast of every cell's colour to its background
CONTRASTS = """luminance => [...document.querySelectorAll(
    'td.cell, .matrix .text, .matrix .level, .host td, .host th, .host small, .host code, .host .symbol, .host .quiet')].map(each => {
  let behind = each;
  while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  const [a, b] = [getComputedStyle(each).color, getComputedStyle(behind).backgroundColor].map(luminance).sort();
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})"""
