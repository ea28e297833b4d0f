"""Chromium, controlled through its DevTools protocol over two pipes: no socket, no library.

A message is JSON followed by a NUL byte. The browser reads messages from descriptor 3 and writes messages to
descriptor 4. An answer has the number of its request; every other message is an event and is kept.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

from lab import waiting
from lab.exceptions import Absent

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--no-default-browser-check", "--remote-debugging-pipe"),
]
# What was opened first has the lower number, so that neither copy overwrites the other's original.
BECOME = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "ArrowLeft": (37, ""), "ArrowUp": (38, "")}
KEYS |= {"Space": (32, " "), "ArrowRight": (39, ""), "ArrowDown": (40, ""), "End": (35, ""), "Home": (36, "")}

# What Chromium answers when the page gave way to another one while it was asked
NAVIGATED = ("Inspected target navigated or closed", "Execution context was destroyed.", "Cannot find default execution context")

DRAWN = "document.documentElement?.dataset.ready === 'yes'"

# The middle of an element that a click would reach; null while there is none, or it moves
PLACE = """async selector => {
  const place = () => {
    const element = document.querySelector(selector);
    if (!element || element.closest("[inert]")) return null;
    element.scrollIntoView({block: "nearest"});
    const box = element.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
    const there = document.elementFromPoint(x, y);
    return box.width && there && (element.contains(there) || there.contains(element)) ? [x, y] : null;
  };
  const before = place();
  for (let turn = 0; turn < 2; turn++) await new Promise(requestAnimationFrame);
  const after = place();
  return before && after && before.join() === after.join() ? after : null;
}"""


def program():
    """Chromium's path, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


class Navigated(Exception):
    """The page gave way to another one before it had answered: what it was asked may have been done or not."""


class Browser:
    """One page of one browser; use it in a `with`."""

    def __enter__(self):
        if program() is None:
            raise Absent("chromium; `make deps-reports` installs it")
        self._folder = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        there, self._out = os.pipe()
        self._in, back = os.pipe()
        words = [program(), *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"]
        become = [sys.executable, "-c", BECOME, str(there), str(back), *words]
        environment = {**os.environ, "HOME": self._folder.name}
        self._process = subprocess.Popen(
            become, pass_fds=[there, back], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        self._held, self._number, self._session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.close(self._out)
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        self._folder.cleanup()

    def call(self, method, **parameters):
        """One request and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                return self._result(method, answer)
            self.events.append(answer)

    @staticmethod
    def _result(method, answer):
        error = answer.get("error")
        if error and error["message"] in NAVIGATED:
            raise Navigated(method)
        assert not error, (method, error)
        return answer["result"]

    def _next(self):
        while b"\0" not in self._held:
            with open(self._in, "rb", closefd=False, buffering=0) as pipe:
                if not waiting.readable([pipe], waiting.seconds * 2):
                    raise TimeoutError("the browser does not answer")
                data = pipe.read(1 << 20)
            if not data:
                raise TimeoutError(f"the browser ended with status {self._process.wait()}")
            self._held += data
        line, _, self._held = self._held.partition(b"\0")
        return json.loads(line)

    def open(self, path, fragment=""):
        """Load a file and wait until it has drawn itself."""
        self.call("Page.navigate", url=f"file://{path}{fragment}")
        self.await_value(DRAWN, f"{path} is drawn")

    def value(self, expression):
        """What an expression of JavaScript comes to."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def await_value(self, expression, what, times=1):
        """Waits until the expression is true, and returns what it comes to. It only reads: it is asked again and again,
        of the next page, too, when the page gives way to another one."""

        def found():
            with contextlib.suppress(Navigated):
                return self.value(expression)

        return waiting.until(found, what, times=times)

    def visit(self, url):
        """Load a page of a server and wait until it has drawn itself."""
        self.call("Page.navigate", url=url)
        self.await_value(DRAWN, f"{url} is drawn")

    def click(self, selector):
        """Click in the middle of the element, as a mouse does, once it is there, seen, and not covered."""
        place = self.await_value(f"({PLACE})({json.dumps(selector)})", f"{selector} can be clicked")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def type(self, text):
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key):
        code, text = KEYS[key]
        same = {"key": text if text == " " else key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **same)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def prefer(self, scheme):
        """Have the page drawn "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, path):
        """What is seen, as a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def loaded(self):
        """Every address that was asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]

    def complaints(self):
        """Errors that the page met."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in kinds]
