"""Saving by the admin page: two who edit, versions, what the proxy does not take, and reloads under traffic."""

import contextlib
import os
import random
import signal
import threading

import pytest

from lab import waiting
from lab.ctl.admin_page import AdminPage
from lab.peers.daemon import PORT, SERVER, Daemon, connect, listen
from lab.peers.reloads import Outcome, configuration, printed, running

from test_web import WRONG

pytestmark = pytest.mark.suite

TEXT = """\
# a comment that stays
frontend web
  mode tcp
  bind 127.0.0.1:7080
  timeout client 1m
  default_backend servers

backend servers
  mode tcp
  timeout connect 5s
  timeout server 1m
  server s1 127.0.0.1:7090
"""


@pytest.fixture
def config(folder):
    made = folder / "proxy.cfg"
    made.write_text(TEXT, encoding="utf-8")
    return made


@pytest.fixture
def open_page(namespace, config):
    with contextlib.ExitStack() as opened:

        def run(*options, file=config):
            made = opened.enter_context(contextlib.closing(AdminPage(namespace, file, *options)))
            made.log_in()
            return made

        yield run


def save(page, text, base=None):
    return page.ask("POST", "/api/config/save", {"text": text, "base": base or page.well("GET", "/api/config")["version"]})


def test_a_text_is_saved_with_its_version(open_page, config):
    page = open_page()
    before = page.well("GET", "/api/config")
    assert before["text"] == TEXT and not before["describe"]["errors"]
    done = save(page, TEXT + "# more\n")
    assert done.status == 200 and not done.json["reloaded"]
    assert config.read_text(encoding="utf-8") == TEXT + "# more\n"
    assert page.well("GET", "/api/config")["version"] == done.json["version"] != before["version"]


def test_the_second_of_two_is_shown_the_other_text(open_page, config):
    first, second = open_page(), open_page()
    base = second.well("GET", "/api/config")["version"]
    assert save(first, TEXT + "# first\n").status == 200
    answer = save(second, TEXT + "# second\n", base)
    assert answer.status == 409 and answer.json["text"] == TEXT + "# first\n"
    assert config.read_text(encoding="utf-8") == TEXT + "# first\n"
    assert save(second, TEXT + "# second\n", answer.json["version"]).status == 200


def test_what_an_editor_in_a_terminal_wrote_is_not_written_over(open_page, config):
    page = open_page()
    base = page.well("GET", "/api/config")["version"]
    config.write_text(TEXT + "# vi\n", encoding="utf-8")
    assert save(page, TEXT + "# page\n", base).status == 409
    assert config.read_text(encoding="utf-8") == TEXT + "# vi\n"


def test_versions_are_listed_and_read_and_their_difference_is_shown(open_page):
    page = open_page()
    for number in range(3):
        assert save(page, f"{TEXT}# {number}\n").status == 200
    versions = page.well("GET", "/api/versions")["versions"]
    assert versions[0]["current"] and len(versions) >= 3
    newest, before = (page.well("GET", f"/api/versions/text?id={each['id']}")["text"] for each in versions[:2])
    assert (before, newest) == (TEXT + "# 1\n", TEXT + "# 2\n")
    rows = page.well("POST", "/api/config/difference", {"from": before, "to": newest})["rows"]
    assert [(row["kind"], row["text"]) for row in rows if row["kind"] in ("added", "removed")] == [("removed", "# 1"), ("added", "# 2")]


@pytest.mark.parametrize("query", ["", "?id=", "?id=../../etc/passwd", "?id=nonsense", "?id=%2e%2e"])
def test_a_version_that_is_not_there_is_refused(open_page, query):
    assert open_page().ask("GET", f"/api/versions/text{query}").status in (400, 404)


def test_a_text_that_the_daemon_would_not_take_is_not_saved(open_page, config):
    answer = save(open_page(), TEXT + "  frobnicate\n")
    assert answer.status == 422 and "frobnicate" in answer.json["errors"][0]
    assert config.read_text(encoding="utf-8") == TEXT


def test_what_a_file_of_roots_has_is_not_shown(open_page, config, folder):
    """The helper may read files that who asks may not."""
    secret = folder / "secret"
    secret.write_text("the-secret\nanother-secret\n", encoding="ascii")
    secret.chmod(0o600)
    answer = save(open_page(), TEXT.replace("  timeout client 1m\n", f"  timeout client 1m\n  acl x src -f {secret}\n"))
    assert answer.status == 422 and answer.json["errors"]
    assert b"the-secret" not in answer.body and b"another-secret" not in answer.body
    assert config.read_text(encoding="utf-8") == TEXT


def test_a_file_with_other_bytes_than_text_is_not_edited(open_page, config):
    config.write_bytes(TEXT.encode() + b"# caf\xe9\n")
    answer = open_page().ask("GET", "/api/config")
    assert answer.status == 422 and "iconv" in answer.json["message"]


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("/api/config/check", {}, 400),
        ("/api/config/change", {"text": "x"}, 400),
        ("/api/config/change", {"text": TEXT, "change": {"op": "no-such"}}, 422),
        ("/api/config/change", {"text": TEXT, "change": {"op": "remove-farm", "name": "nobody"}}, 422),
        ("/api/config/save", {"text": "x"}, 400),
        ("/api/config/save", {"text": 7, "base": "x"}, 400),
        ("/api/config/difference", {"from": "x"}, 400),
    ],
)
def test_what_is_missing_or_wrong_in_a_body_is_named(open_page, path, body, status):
    answer = open_page().ask("POST", path, body)
    assert answer.status == status and answer.json["message"]


def test_a_change_touches_the_words_that_are_meant(open_page):
    change = {"op": "set-transparent", "listener": "web", "bind": 0, "transparent": True}
    answer = open_page().well("POST", "/api/config/change", {"text": TEXT, "change": change})
    assert answer["text"] == TEXT.replace("127.0.0.1:7080", "127.0.0.1:7080 transparent")
    assert answer["describe"]["listeners"][0]["binds"][0]["transparent"]


# The proxy


def test_a_reload_that_fails_takes_the_file_back(open_page, config, folder):
    calls = folder / "calls"
    page = open_page("--reload", f"echo called >>{calls}; ! grep -q wrong {config} || {{ echo no such thing >&2; exit 3; }}")
    answer = save(page, TEXT + "# wrong\n")
    assert answer.status == 502 and "no such thing" in answer.json["message"] and "status 3" in answer.json["message"]
    assert config.read_text(encoding="utf-8") == TEXT
    assert calls.read_text(encoding="ascii") == "called\n" * 2
    answer = save(page, TEXT + "# right\n")
    assert answer.status == 200 and answer.json["reloaded"]


@pytest.fixture
def daemon(namespace, folder):
    text = f"global\n  pidfile {folder}/pid\n  log stderr format raw local0 notice\n" + TEXT
    with contextlib.closing(Daemon(namespace, folder, text)) as made:
        yield made.await_started()


def test_a_listener_that_cannot_be_bound_takes_the_file_back(namespace, open_page, daemon, folder):
    page = open_page("--pidfile", str(folder / "pid"), file=daemon.config)
    before = daemon.config.read_text(encoding="utf-8")
    with contextlib.closing(listen(namespace, PORT + 1)), contextlib.closing(listen(namespace)):
        answer = save(page, before.replace("bind 127.0.0.1:7080", "bind 127.0.0.1:7080,127.0.0.1:7081"))
        assert answer.status == 502 and "does not listen at 127.0.0.1:7081" in answer.json["message"]
        assert daemon.config.read_text(encoding="utf-8") == before
        connect(namespace).close()
    answer = save(page, before.replace("bind 127.0.0.1:7080", "bind 127.0.0.1:7080,127.0.0.1:7081"))
    assert answer.status == 200 and answer.json["reloaded"]
    connect(namespace, PORT + 1).close()


@pytest.mark.parametrize("way", ["pidfile", "command"])
def test_a_reload_that_the_proxy_counts_as_failed_takes_the_file_back(namespace, open_page, folder, way):
    """Its listeners are the same, so that its stats socket alone shows the failure."""
    pid, stats = folder / "pid", folder / "stats"
    text = f"global\n  pidfile {pid}\n  stats socket {stats} mode 600 level admin\n  log stderr format raw local0 notice\n{TEXT}"
    options = ["--pidfile", str(pid)] if way == "pidfile" else ["--reload", f"kill -HUP $(cat {pid})"]
    with contextlib.closing(Daemon(namespace, folder, text)) as daemon:
        daemon.await_started()
        page = open_page(*options, "--stats-socket", str(stats), file=daemon.config)
        answer = save(page, text.replace("global\n", "global\n  log file@/nonexistent/log local0\n"))
        assert answer.status == 502 and "the one before is back" in answer.json["message"], answer.json
        assert "says that the reload failed" in answer.json["message"]
        assert daemon.config.read_text(encoding="utf-8") == text
        assert save(page, text + "# more\n").json["reloaded"]
        assert len(daemon.lines("is not used")) == 1 and len(daemon.lines("is in force")) == 2


def test_a_process_that_does_not_hold_the_pidfile_gets_no_signal(open_page, config, folder):
    """The number in a stale pidfile is another program's by now."""
    (folder / "pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    got = []
    before = signal.signal(signal.SIGHUP, lambda *_: got.append(True))
    try:
        answer = save(open_page("--pidfile", str(folder / "pid")), TEXT + "# more\n")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert answer.status == 200 and not answer.json["reloaded"] and not got
    assert config.read_text(encoding="utf-8") == TEXT + "# more\n"


def test_reloads_under_traffic_lose_nothing_while_bad_requests_come(namespace, open_page, folder):
    """Clients connect one after another, others ask for what is wrong, and twelve saves each reload the proxy."""
    outcome, saved, wrong = Outcome(), [], []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(namespace, "server", SERVER))
        waiting.until(lambda: "ready" in printed(server), "the server listens")
        pidfile = f"  pidfile {folder}/pid\n"
        text = configuration(2, "splice", 0).replace("global\n", f"global\n{pidfile}")
        daemon = stack.enter_context(contextlib.closing(Daemon(namespace, folder, text)))
        daemon.await_started()
        page = open_page("--pidfile", str(folder / "pid"), file=daemon.config)
        clients = [stack.enter_context(running(namespace, "clients", PORT))]
        ended = threading.Event()
        names = [name for name in WRONG if name not in ("oversized", "announced-too-large")]

        def disturb(seed):
            drawn = random.Random(seed)
            while not ended.is_set():
                name = drawn.choice(names)
                status, method, path, body, headers = WRONG[name]
                answer = page.ask(method, path, body, **headers)
                wrong.append(None if answer and answer.status == status else name)

        disturbers = [threading.Thread(target=disturb, args=(seed,)) for seed in range(2)]
        for each in disturbers:
            each.start()
        try:
            for number in range(1, 13):
                waiting.until(lambda: outcome.read(clients).connections >= 50 * number, "clients are served")  # noqa: B023
                answer = save(page, configuration(2, "splice", number).replace("global\n", f"global\n{pidfile}"))
                saved.append((answer.status, answer.json.get("reloaded"), answer.json.get("message")))
        finally:
            ended.set()
            for each in disturbers:
                each.join()
        for each in clients:
            each.send_signal(signal.SIGTERM)
        waiting.until(lambda: all(each.poll() is not None for each in clients), "the clients end")
        outcome.read(clients)
        assert len(daemon.lines("is in force")) == 12 and not daemon.lines("is not used")
    assert saved == [(200, True, None)] * 12
    assert not outcome.failures and outcome.connections >= 600
    assert len(wrong) > 100 and not any(wrong)
