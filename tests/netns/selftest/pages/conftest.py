"""The admin page in a browser beside the proxy whose host it is about."""

import contextlib
import json
import os
import subprocess

import pytest

from lab import waiting
from lab.conformance import browser
from lab.ctl.admin_page import AdminPage
from lab.netns import firewall
from lab.paths import TPROXYD
from lab.setup.lab import Lab


class Page:
    """The admin page in a browser, in the proxy's namespace."""

    def __init__(self, shown, served):
        self.browser, self.served = shown, served

    def click(self, selector):
        self.browser.click(selector)

    def text(self, selector):
        return self.browser.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait_for(self, selector, words="", times=1):
        """TIMES as long as other things may last, for what starts dozens of programs."""
        there = f"[...document.querySelectorAll({json.dumps(selector)})].some(each => each.innerText.includes({json.dumps(words)}))"
        try:
            self.browser.await_value(there, f"{selector} with {words!r}", times)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; notices: {self.text('#notices')!r}; problems: {self.text('.problem-card')!r}") from None

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

    def says_nothing(self, selector):
        self.browser.await_value(f"document.querySelector({json.dumps(selector)}).innerText === ''", f"{selector} says nothing")

    def gone(self, selector):
        self.browser.await_value(f"document.querySelector({json.dumps(selector)}) === null", f"{selector} is gone")

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
