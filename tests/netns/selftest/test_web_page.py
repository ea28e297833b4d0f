"""The admin page in a browser: the walk-through by clicks alone and as text, then a client is served and the server sees it."""

import contextlib
import json
import os
import subprocess

import pytest

from lab import waiting
from lab.conformance import browser
from lab.ctl.admin_page import AdminPage
from lab.netns import firewall
from lab.netns.endpoint import Endpoint
from lab.paths import BUILD, TPROXYD
from lab.setup.lab import Lab

VIP = Endpoint("192.0.2.80", 80)

pytestmark = [
    pytest.mark.suite,
    pytest.mark.skipif(browser.program() is None, reason="absent: chromium; `make deps-reports` installs it"),
    pytest.mark.xdist_group("admin-page"),  # few browsers at a time
]


class Page:
    """The admin page in a browser, in the proxy's namespace."""

    def __init__(self, shown, served):
        self.browser, self.served = shown, served

    def click(self, selector):
        self.browser.click(selector)

    def text(self, selector):
        return self.browser.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait_for(self, selector, words=""):
        found = lambda: self.browser.value(
            f"[...document.querySelectorAll({json.dumps(selector)})].some(each => each.innerText.includes({json.dumps(words)}))"
        )
        return waiting.until(found, f"{selector} with {words!r}; notices: {self.text('#notices')!r}; problems: {self.text('.problem-card')!r}")

    def fill(self, name, value):
        """Types into a field of the dialog, as after a click on it."""
        self.click(f"dialog [name={name}]")
        self.browser.value(f"document.querySelector('dialog [name={name}]').select?.()")
        self.browser.type(str(value))

    def choose(self, selector, value):
        """Chooses by the keyboard, since the list of a select is drawn outside of the page."""
        at = f"document.querySelector({json.dumps(selector)})"

        def chosen():
            if self.browser.value(f"{at}.value") != value:
                self.browser.value(f"{at}.focus()")
                self.browser.press("ArrowDown")
            return self.browser.value(f"{at}.value") == value

        waiting.until(chosen, f"{selector} is {value}")

    def go_on(self):
        """The dialog's own button, then the difference is taken."""
        self.click("dialog button.primary")
        self.take()

    def take(self):
        self.wait_for("dialog h2", "Change the text?")
        self.click("dialog button[value=take]")
        self.gone("dialog")

    def gone(self, selector):
        waiting.until(lambda: self.browser.value(f"document.querySelector({json.dumps(selector)}) === null"), f"{selector} is gone")

    def save(self, words="Saved"):
        self.click("#save")
        self.wait_for("dialog h2", "Save the file?")
        self.click("dialog button[value=save]")
        self.wait_for(".notice", words)
        self.browser.value("document.querySelectorAll('.notice button').forEach(each => each.click())")


@pytest.fixture
def inline():
    made = Lab(None, 4, "inline", "iptables", divert=False)
    yield made
    made.close()


@pytest.fixture
def open_page(inline, folder):
    """Serves the page on the proxy's host, and shows it."""
    with contextlib.ExitStack() as opened:

        def run(*options, text=None):
            namespace = inline.proxy.namespace
            config = folder / "proxy.cfg"
            if text is not None:
                config.write_text(text, encoding="utf-8")
            state = ("--state", str(folder / "state.json"))
            environment = {**os.environ, **firewall.lock(namespace)}
            served = opened.enter_context(contextlib.closing(AdminPage(namespace, config, *state, *options, environment=environment)))
            with namespace:
                shown = opened.enter_context(browser.Browser())
            shown.size(1280, 900)
            shown.visit(served.address)
            return Page(shown, served)

        yield run


@pytest.fixture
def start_proxy(inline, folder):
    with contextlib.ExitStack() as started:

        def run():
            with inline.proxy.namespace:
                made = subprocess.Popen([TPROXYD, "-db", "-f", folder / "proxy.cfg"], stderr=subprocess.PIPE, text=True)
            started.callback(made.wait)
            started.callback(made.kill)
            (folder / "pid").write_text(f"{made.pid}\n", encoding="ascii")
            waiting.until(lambda: listens(inline) or made.poll() is not None, "tproxyd listens")
            assert made.poll() is None, made.stderr.read()
            return made

        yield run


def listens(inline):
    with inline.proxy.namespace, open("/proc/thread-self/net/tcp", encoding="ascii") as sockets:
        return any(line.split()[1].endswith(":0050") and line.split()[3] == "0A" for line in sockets.readlines()[1:])


def serve(inline):
    """A client is served, and the server sees its address."""
    flow = inline.client.connect(VIP)
    flow.exchange()
    assert flow.peer_seen_by_server.address == inline.client.address
    assert flow.source_on_the_wire.address == inline.client.address


def apply_by_clicks(page):
    page.click("#tab-host")
    page.wait_for(".verdict", "to fix")
    page.click("#apply")
    page.wait_for("dialog h2", "Apply the set-up?")
    page.click("dialog button[value=apply]")
    page.wait_for(".notice", "apply: applied")


def test_the_walk_through_by_clicks_alone(inline, open_page, start_proxy, folder):
    reload = folder / "reload"
    reload.write_text(f"#!/bin/sh\n[ ! -e {folder}/pid ] || kill -HUP $(cat {folder}/pid)\n", encoding="ascii")
    reload.chmod(0o755)
    page = open_page("--allow-apply", "--reload", str(reload))
    page.click("#tab-admin")
    page.wait_for("#listeners", "There is no listener yet")

    page.click("#add-listener")
    page.fill("name", "web")
    page.fill("address", VIP.address)
    page.fill("port", VIP.port)
    page.click("dialog [name=transparent]")
    page.go_on()
    page.click("#add-farm")
    page.fill("name", "servers")
    page.choose("dialog [name=source]", "clientip")
    page.go_on()
    page.click(".entry[data-name=servers] .add-server")
    page.fill("name", "s1")
    page.fill("address", inline.server.address)
    page.fill("port", inline.server_endpoint.port)
    page.go_on()
    page.choose("[data-key='farm of web']", "servers")
    page.take()
    page.save()
    text = (folder / "proxy.cfg").read_text(encoding="utf-8")
    assert "bind 192.0.2.80:80 transparent\n" in text and "usesrc clientip\n" in text

    apply_by_clicks(page)
    inline.server.serve(inline.server_endpoint)
    start_proxy()
    serve(inline)
    page.click("#host .bar button")
    page.wait_for(".verdict.good, .verdict.unsure")
    assert not page.browser.complaints()


TEXT = """\
global
  pidfile {pidfile}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend web
  bind 192.0.2.80:80 transparent
  default_backend servers
backend servers
  source 0.0.0.0 usesrc clientip
  server s1 {server}
"""


def test_the_walk_through_as_text(inline, open_page, start_proxy, folder):
    pidfile = folder / "tproxyd.pid"
    page = open_page("--allow-apply", "--pidfile", str(pidfile))
    page.click("#tab-text")
    page.wait_for("#editor-state", "The file is empty")
    page.click("#editor-text")
    server = f"{inline.server.address}:{inline.server_endpoint.port}"
    page.browser.type(TEXT.format(pidfile=pidfile, server=server).replace("clientip", "clientipp"))
    page.wait_for(".line.error", "clientipp")
    page.wait_for("#editor-state", "1 error")
    page.browser.value("document.getElementById('search').focus()")
    page.browser.type("clientipp")
    page.wait_for(".count", "1 of 1")
    page.browser.press("Escape")
    page.browser.type("clientip")
    page.wait_for("#editor-state", "The proxy would take this text")
    page.save("The proxy does not run")

    apply_by_clicks(page)
    inline.server.serve(inline.server_endpoint)
    start_proxy()
    serve(inline)

    page.click("#tab-text")
    page.click("#editor-text")
    page.browser.value("(area => area.setSelectionRange(area.value.length, area.value.length))(document.getElementById('editor-text'))")
    page.browser.type("  server s2 203.0.113.99:80 backup\n")
    page.wait_for("#editor-state", "The proxy would take this text")
    page.save("the proxy has read it")
    serve(inline)
    assert not page.browser.complaints()


# Accessibility, at every width and in both schemes

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


@pytest.mark.skipif(not AXE.exists(), reason="absent: axe-core; `make deps-reports` fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_axe_finds_nothing(rich, width, scheme):
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
    rich.wait_for("#login h2")
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
