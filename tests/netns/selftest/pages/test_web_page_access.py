"""The admin page at every width and in both schemes: for those who do not see it, on a telephone, and without other hosts."""

import pytest

from lab.exceptions import Absent
from lab.paths import BUILD

pytestmark = [
    pytest.mark.suite,
    pytest.mark.long(50),
    pytest.mark.xdist_group("admin-page"),  # few browsers at a time
]

AXE = BUILD / "axe-core" / "axe.min.js"
TABS = ("live", "admin", "text", "host")
RICH = """\
# What a page may have to show
global
  maxconn 1000
frontend web
  bind 192.0.2.80:80,192.0.2.81:80 transparent
  bind [2001:db8:f::80]:8000-8010 transparent
  default_backend servers
frontend alone
  bind 127.0.0.1:9000
backend servers
  balance leastconn
  source 0.0.0.0 usesrc clientip
  server s1 203.0.113.20:80 check weight 5 maxconn 100
  server s2 203.0.113.21:80 backup
  server s3 203.0.113.22:80 disabled
listen mail
  bind 127.0.0.1:2525
  server m1 203.0.113.30:25 sauce 1
"""
FAULTS = """axe.run(document, {resultTypes: ["violations"]}).then(result => result.violations
  .map(each => [each.impact, each.id, each.nodes.slice(0, 3).map(node => node.html.slice(0, 160) + " " + node.failureSummary.slice(0, 300))]))"""


@pytest.fixture
def rich(open_page):
    return open_page("--allow-apply", text=RICH)


def open_tab(page, name):
    page.click(f"#tab-{name}")
    ready = {"live": "#live .card", "admin": "#farms .entry", "text": ".line.error", "host": "#host .card"}[name]
    page.wait_for(ready)
    if name == "admin":
        page.browser.value("document.querySelectorAll('.entry').forEach(each => each.open = true)")
    if name == "host":
        page.browser.value("document.querySelectorAll('#host details').forEach(each => each.open = true)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_axe_finds_nothing(rich, width, scheme):
    if not AXE.exists():
        raise Absent("axe-core; `make deps-reports` fetches it")
    rich.browser.size(width, 900)
    rich.browser.prefer(scheme)
    rich.browser.value(AXE.read_text(encoding="utf-8"))
    faults = {}
    for name in TABS:
        open_tab(rich, name)
        faults[name] = rich.browser.value(FAULTS)
    rich.click("#tab-admin")
    rich.click("#add-listener")
    faults["a dialog"] = rich.browser.value(FAULTS)
    rich.browser.press("Escape")
    rich.gone("dialog")
    rich.click("#logout")
    rich.wait_for("#login:not([hidden]) h2")
    rich.browser.value(AXE.read_text(encoding="utf-8"))  # it is another page now
    faults["logging in"] = rich.browser.value(FAULTS)
    assert not {name: each for name, each in faults.items() if each}


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_no_tab_is_wider_than_the_window(rich, width):
    rich.browser.size(width, 800)
    for name in TABS:
        open_tab(rich, name)
        assert rich.browser.value("document.documentElement.scrollWidth") <= width, name


def test_a_browser_asks_no_other_host(rich):
    for name in TABS:
        open_tab(rich, name)
    assert all(url.startswith((rich.served.url, "about:")) for url in rich.browser.loaded())


# Where a letter of the layer is drawn, and where the textarea has it: [left, top, height of a line] of each
LETTERS = """(() => {
  const area = document.getElementById("editor-text"), style = getComputedStyle(area), box = area.getBoundingClientRect();
  const range = document.createRange(), line = document.querySelector(".line"), words = document.createTreeWalker(line, NodeFilter.SHOW_TEXT).nextNode();
  range.setStart(words, 0);
  range.setEnd(words, 1);
  const seen = range.getBoundingClientRect(), lines = document.querySelectorAll(".line");
  const there = [box.left + parseFloat(style.paddingLeft), box.top + parseFloat(style.paddingTop), parseFloat(style.lineHeight)];
  return [[seen.left, lines[0].getBoundingClientRect().top, lines[1].offsetTop - lines[0].offsetTop], there, style.font === getComputedStyle(line).font];
})()"""


@pytest.mark.parametrize("width", [375, 1280])
def test_the_layer_and_the_text_lie_over_each_other(open_page, width):
    page = open_page(text=RICH)
    page.browser.size(width, 800)
    page.click("#tab-text")
    page.wait_for(".line", "What a page may have to show")
    seen, there, same_font = page.browser.value(LETTERS)
    assert same_font and all(abs(a - b) < 1 for a, b in zip(seen, there)), (seen, there)
