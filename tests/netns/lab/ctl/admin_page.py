"""`tproxyctl web` in a namespace, and requests to it as bytes, so that any of them can be wrong."""

import http.client
import json
import re
import signal
import socket
import subprocess

from lab import waiting
from lab.paths import TPROXYCTL

JSON = {"Content-Type": "application/json"}


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)


class AdminPage:
    """A running `tproxyctl web`; it ends with close()."""

    def __init__(self, namespace, config, *options, bind="127.0.0.1:0", environment=None, start=()):
        self.namespace = namespace
        self.bind = bind
        with namespace:
            self.process = subprocess.Popen(
                [*start, TPROXYCTL, "web", "--config", config, "--bind", bind, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        printed = self.process.stdout.readline()
        assert "The page is at " in printed, printed + self.process.stdout.read()
        if bind.startswith("/"):
            printed += self.process.stdout.readline() + self.process.stdout.readline()
        self.url, _, self.token = re.search(r"(http://\S+?/)(#token=)?(\w*)$", printed.strip()).groups()
        self.host = self.url.removeprefix("http://").rstrip("/")
        self.origin = self.url.rstrip("/")
        self.cookie = self.csrf = None

    @property
    def address(self):
        return f"{self.url}#token={self.token}"

    @property
    def server_pid(self):
        """The process that talks to browsers."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def connect(self):
        unix = self.bind.startswith("/")
        with self.namespace:
            made = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        made.settimeout(waiting.seconds)
        host, _, port = self.host.rpartition(":")
        made.connect(self.bind if unix else (host, int(port)))
        return made

    def send(self, data):
        """Sends bytes, and returns the answer; None where the connection ends without one."""
        with self.connect() as made:
            try:
                made.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent
            return read_answer(made)

    def ask(self, method, path, body=None, **headers):
        """A request as our page makes it, but for the headers that are given; None leaves one out."""
        wanted = {"Host": self.host, "Cookie": self.cookie, "X-CSRF-Token": self.csrf}
        data = b""
        if method == "POST":
            wanted |= {"Origin": self.origin, **JSON}
            data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
            wanted["Content-Length"] = str(len(data))
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value is not None)]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + data)

    def log_in(self, secret=None):
        answer = self.ask("POST", "/api/login", {"secret": secret or self.token})
        assert answer.status == 200, answer.body
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        self.csrf = answer.json["csrf"]
        return answer

    def well(self, method, path, body=None):
        answer = self.ask(method, path, body)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(waiting.seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(waiting.seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


def read_answer(made):
    response = http.client.HTTPResponse(made)
    try:
        response.begin()
        return Answer(response)
    except (http.client.BadStatusLine, ConnectionResetError):
        return None
