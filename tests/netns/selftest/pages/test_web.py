"""`tproxyctl web`: who is let in, what a bad request gets, and that it disturbs nothing."""

import contextlib
import os
import pwd
import random
import socket
import subprocess
from concurrent import futures
from pathlib import Path

import pytest

from lab import waiting
from lab.ctl.admin_page import AdminPage, read_answer
from lab.paths import TPROXYCTL

pytestmark = pytest.mark.suite

BODY_MAX = 2 << 20
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def open_page(namespace, folder):
    with contextlib.ExitStack() as opened:
        yield lambda *options, **rest: opened.enter_context(
            contextlib.closing(AdminPage(namespace, folder / "proxy.cfg", *options, **rest))
        )


@pytest.fixture
def page(open_page):
    made = open_page()
    made.log_in()
    return made


@pytest.fixture
def hasty_page(open_page):
    """Slow browsers do not keep its tests waiting; on a busy machine a quick one may be too slow for it."""
    made = open_page("--request-time", "1", "--answer-time", "2")
    made.log_in()
    return made


# Bad requests, each with the status that it gets


def wrong_requests():
    """(name, status, method, path, body, headers that differ from what our page sends)"""
    yield "no-token", 401, "POST", "/api/login", {}, {}
    yield "wrong-token", 401, "POST", "/api/login", {"secret": "0" * 64}, {}
    yield "token-of-another-type", 401, "POST", "/api/login", {"secret": 7}, {}
    yield "no-session", 401, "GET", "/api/session", None, {"Cookie": None}
    yield "wrong-session", 401, "GET", "/api/session", None, {"Cookie": "tproxyctl-1=" + "0" * 64}
    yield "no-csrf-reads", 401, "GET", "/api/session", None, {"X_CSRF_Token": None}
    yield "wrong-csrf-reads", 401, "GET", "/api/config", None, {"X_CSRF_Token": "0" * 64}
    yield "no-csrf", 403, "POST", "/api/host/apply", {}, {"X_CSRF_Token": None}
    yield "wrong-csrf", 403, "POST", "/api/host/apply", {}, {"X_CSRF_Token": "0" * 64}
    yield "no-origin", 403, "POST", "/api/login", {}, {"Origin": None}
    yield "other-origin", 403, "POST", "/api/login", {}, {"Origin": "http://evil.example"}
    yield "other-origin-reads", 403, "GET", "/api/session", None, {"Origin": "http://evil.example"}
    yield "null-origin", 403, "POST", "/api/login", {}, {"Origin": "null"}
    yield "other-port", 403, "POST", "/api/login", {}, {"Origin": "http://127.0.0.1:1"}
    yield "cross-site", 403, "GET", "/api/session", None, {"Sec_Fetch_Site": "cross-site"}
    yield "same-site", 403, "GET", "/api/session", None, {"Sec_Fetch_Site": "same-site"}
    yield "other-host", 421, "GET", "/", None, {"Host": "evil.example"}
    yield "rebound-host", 421, "GET", "/api/session", None, {"Host": "127.0.0.1.evil.example"}
    yield "public-address", 421, "GET", "/", None, {"Host": "192.0.2.1"}
    yield "no-host", 421, "GET", "/", None, {"Host": None}
    yield "no-such-path", 404, "GET", "/api/nothing", None, {}
    yield "no-such-file", 404, "GET", "/../../etc/passwd", None, {}
    yield "encoded-path", 400, "GET", "/%2e%2e/etc/passwd", None, {}
    yield "absolute-target", 400, "GET", "http://127.0.0.1/", None, {}
    yield "long-path", 400, "GET", "/" + "a" * 4000, None, {}
    yield "put", 405, "PUT", "/api/session", None, {}
    yield "delete", 405, "DELETE", "/", None, {}
    yield "head", 405, "HEAD", "/", None, {}
    yield "get-of-a-change", 405, "GET", "/api/host/apply", None, {}
    yield "post-of-a-page", 405, "POST", "/", {}, {}
    yield "unknown-method", 501, "BREW", "/", None, {}
    yield "form", 415, "POST", "/api/login", b"secret=x", {"Content_Type": "application/x-www-form-urlencoded"}
    yield "plain-text", 415, "POST", "/api/login", b"{}", {"Content_Type": "text/plain"}
    yield "no-json", 400, "POST", "/api/login", b"{", {}
    yield "a-list", 400, "POST", "/api/login", b"[]", {}
    yield "twice-the-same-key", 400, "POST", "/api/login", b'{"secret": "a", "secret": "b"}', {}
    yield "may-not-apply", 403, "POST", "/api/host/apply", {}, {}
    yield "may-not-fix", 403, "POST", "/api/host/fix", {"run": "true"}, {}
    yield "oversized", 413, "POST", "/api/login", b"x" * (BODY_MAX + 1), {}
    yield "announced-too-large", 413, "POST", "/api/login", b"", {"Content_Length": str(1 << 40)}
    yield "long-head", 400, "GET", "/", None, {"X_Long": "x" * (17 << 10)}


BY_LIBEVENT = ("unknown-method", "oversized", "announced-too-large", "long-head")  # its own answers
WRONG = {each[0]: each[1:] for each in wrong_requests()}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_gets_its_status(page, name):
    status, method, path, body, headers = WRONG[name]
    answer = page.ask(method, path, body, **headers)
    assert answer and answer.status == status, answer and (answer.status, answer.body)
    if name not in BY_LIBEVENT:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert page.well("GET", "/api/session")


@pytest.mark.parametrize("header", ["Host: 127.0.0.1", "Origin: http://127.0.0.1", "Cookie: a=b"])
def test_a_header_that_is_there_twice_is_refused(page, header):
    name = header.partition(":")[0]
    first = f"{page.host}" if name == "Host" else page.origin if name == "Origin" else page.cookie
    lines = ["GET /api/session HTTP/1.1", f"{name}: {first}", header, *([] if name == "Host" else [f"Host: {page.host}"])]
    assert page.send("\r\n".join([*lines, "", ""]).encode()).status == (401 if name == "Cookie" else 400)


@pytest.mark.parametrize("data", [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_request_is_refused(page, data):
    answer = page.send(data)
    assert answer is None or answer.status in (400, 421, 501, 505), answer.status
    assert page.well("GET", "/api/session")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{"])
def test_a_slow_request_gets_408(hasty_page, sent):
    with hasty_page.connect() as slow:
        slow.sendall(sent)
        assert read_answer(slow).status == 408


def test_a_request_that_drips_gets_408(hasty_page):
    """Each byte comes in time, the whole does not."""
    with hasty_page.connect() as slow, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        slow.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        while not waiting.readable([slow], 0.05):
            slow.sendall(b"x")
        assert read_answer(slow).status == 408


# Greedy and slow browsers


def test_many_connections_that_say_nothing_keep_no_one_out(hasty_page):
    with contextlib.ExitStack() as held:
        greedy = [held.enter_context(hasty_page.connect()) for _ in range(300)]
        assert hasty_page.well("GET", "/api/session")
        statuses = {read_answer(each).status for each in greedy}
        assert statuses == {503, 408}


def test_a_slow_reader_keeps_no_one_waiting_and_is_closed(hasty_page):
    with contextlib.ExitStack() as held:
        for _ in range(20):
            slow = held.enter_context(hasty_page.connect())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            slow.sendall(f"GET /style.css HTTP/1.1\r\nHost: {hasty_page.host}\r\n\r\n".encode())
        assert hasty_page.well("GET", "/api/session")
        waiting.until(lambda: descriptors(hasty_page) < 20, "slow readers are closed")


def descriptors(page):
    return len(os.listdir(f"/proc/{page.server_pid}/fd"))


def test_ten_thousand_bad_requests_get_their_status_and_leave_nothing(page):
    """From four browsers at a time, in an order that chance makes; what needs much time or many bytes is left out."""
    names = [name for name in WRONG if name not in ("oversized", "announced-too-large", "may-not-apply", "may-not-fix")]
    drawn = random.Random(19).choices(names, k=10_000)
    page.ask("GET", "/")
    before = descriptors(page), memory(page)

    def ask(name):
        status, method, path, body, headers = WRONG[name]
        answer = page.ask(method, path, body, **headers)
        return answer is not None and answer.status == status or (name, answer and answer.status)

    with futures.ThreadPoolExecutor(4) as browsers:
        assert set(browsers.map(ask, drawn)) == {True}
    assert page.well("GET", "/api/session")
    waiting.until(lambda: descriptors(page) <= before[0] + 1, "connections are closed")
    assert "asan" in TPROXYCTL or memory(page) < before[1] + (8 << 20)  # a sanitizer keeps what was freed


def memory(page):
    """Bytes that the process holds."""
    pages = int(Path(f"/proc/{page.server_pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


# Who is let in


def test_the_session_cookie_is_for_our_page_alone(page):
    cookie = page.log_in().headers["Set-Cookie"]
    assert "; HttpOnly" in cookie and "; SameSite=Strict" in cookie and "Domain" not in cookie


def test_a_session_ends_by_logging_out(page):
    page.well("POST", "/api/logout")
    assert page.ask("GET", "/api/session").status == 401


def test_a_password_lets_in_and_wrong_ones_make_a_pause(open_page, folder):
    secret = folder / "password"
    secret.write_text("correct horse\n", encoding="ascii")
    secret.chmod(0o600)
    page = open_page("--password-file", secret)
    assert not page.token
    page.log_in("correct horse")
    statuses = [page.ask("POST", "/api/login", {"secret": f"wrong {number}"}).status for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert page.well("GET", "/api/session")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--bind", "0.0.0.0:8404"], "on loopback only"),
        (["--bind", "192.0.2.1:8404"], "on loopback only"),
        (["--bind", "[::]:8404"], "on loopback only"),
        (["--bind", "nonsense"], "not ADDRESS:PORT"),
        (["--bind", "127.0.0.1:65536"], "not ADDRESS:PORT"),
        (["--user", "root"], "an ordinary user has to serve the page"),
        (["--user", "no-such-user"], "there is no such user"),
        (["--password-file", "/nonexistent"], "No such file"),
        (["--request-time", "0"], "not a number of seconds"),
        (["--reload", "true", "--pidfile", "x"], "use either"),
    ],
)
def test_wrong_arguments_are_named(folder, options, message):
    words = [TPROXYCTL, "web", "--config", folder / "proxy.cfg", *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=waiting.seconds)
    assert done.returncode == 2 and message in done.stderr and not done.stdout


def test_a_password_that_others_may_read_is_refused(folder):
    secret = folder / "password"
    secret.write_text("correct horse\n", encoding="ascii")
    secret.chmod(0o644)
    words = [TPROXYCTL, "web", "--config", folder / "proxy.cfg", "--password-file", secret]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=waiting.seconds)
    assert done.returncode == 2 and "chmod 600" in done.stderr


# Two processes


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def test_an_ordinary_user_without_rights_serves_the_page(page):
    status = status_of(page.server_pid)
    assert {int(word) for word in status["Uid"]} == {NOBODY} and not status["Groups"]
    assert all(int(status[name][0], 16) == 0 for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"))
    assert status["NoNewPrivs"] == ["1"]


def test_capabilities_of_an_ordinary_user_stay_with_the_helper(open_page):
    """As a service with User= and AmbientCapabilities= starts it."""
    rights = ["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"]
    page = open_page(start=["setpriv", "--reuid", str(NOBODY), "--clear-groups", *rights])
    assert int(status_of(page.process.pid)["CapEff"][0], 16) != 0
    status = status_of(page.server_pid)
    assert all(int(status[name][0], 16) == 0 for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"))


def test_who_has_the_cookie_alone_does_not_learn_the_csrf_token(page):
    """A browser sends the cookie to every port of the host, so to another user's server there."""
    assert page.csrf.encode() not in page.ask("GET", "/api/session").body


def test_the_page_does_not_have_the_lock_of_the_helper(page):
    held = [os.readlink(entry) for entry in Path(f"/proc/{page.server_pid}/fd").iterdir()]
    assert not [name for name in held if "lock" in name]


def test_the_helper_ends_with_the_page_and_the_page_with_the_helper(open_page):
    page = open_page()
    server = page.server_pid
    os.kill(server, 9)
    assert page.process.wait(waiting.seconds) == 1
    page = open_page()
    server = page.server_pid
    page.process.kill()
    waiting.until(lambda: not Path(f"/proc/{server}").exists(), "the page's process ends")


def test_a_signal_ends_it_well(open_page, folder):
    page = open_page(bind=str(folder / "socket"))
    assert page.stop() == 0
    assert not (folder / "socket").exists()


def test_a_unix_socket_is_for_its_owner_alone(open_page, folder):
    path = folder / "socket"
    page = open_page(bind=str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    page.log_in()
    assert page.well("GET", "/api/session")["config"] == str(folder / "proxy.cfg")


def test_a_request_changes_nothing_by_get(page, folder):
    before = sorted(folder.iterdir())
    for path in ("/api/host/check", "/api/host/plan", "/api/session"):
        page.ask("GET", path)
    assert sorted(folder.iterdir()) == before


def test_only_commands_that_check_prints_now_are_run(open_page, folder):
    page = open_page("--allow-apply")
    page.log_in()
    (folder / "proxy.cfg").write_text("frontend web\n  mode tcp\n  bind 127.0.0.1:7080\n", encoding="ascii")
    for run in (f"touch {folder}/made", "", "ip rule", "true"):
        assert page.ask("POST", "/api/host/fix", {"run": run}).status == 409
    assert not (folder / "made").exists()
