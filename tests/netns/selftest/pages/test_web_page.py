"""The admin page in a browser: the walk-through by clicks alone and as text, then a client is served and the server sees it."""

import contextlib
import shutil
import subprocess

import pytest

from lab import waiting
from lab.netns.endpoint import Endpoint
from lab.paths import TPROXYD
from lab.peers.daemon import SERVER, accept, connect, listen

VIP = Endpoint("192.0.2.80", 80)

pytestmark = [
    pytest.mark.suite,
    pytest.mark.long(50),
    pytest.mark.xdist_group("admin-page"),  # few browsers at a time
]


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
    page.wait_for(".notice", "apply: applied", times=4)


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
    page.wait_for(".editor", f"pidfile {pidfile}")  # a file that is not there yet has a beginning
    page.click(".editor")
    page.browser.value("document.getElementById('editor-text').select()")
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
    page.save("no proxy holds the pidfile")

    apply_by_clicks(page)
    inline.server.serve(inline.server_endpoint)
    start_proxy()
    serve(inline)

    page.click("#tab-text")
    page.click(".editor")
    page.browser.value("(area => area.setSelectionRange(area.value.length, area.value.length))(document.getElementById('editor-text'))")
    page.browser.type("  server s2 203.0.113.99:80 backup\n")
    page.wait_for("#editor-state", "The proxy would take this text")
    page.save("the proxy has read it")
    serve(inline)
    assert not page.browser.complaints()


# Working with it

PLAIN = """\
frontend web
  mode tcp
  bind 127.0.0.1:7080  # the only one
  timeout client 1m
  default_backend servers

backend servers
  mode tcp
  timeout connect 5s
  timeout server 1m
  server s1 127.0.0.1:7090
"""


def content(folder):
    return (folder / "proxy.cfg").read_text(encoding="utf-8")


def press(page, *keys):
    for key in keys:
        page.browser.press(key)


def focus(page):
    return page.browser.value("document.activeElement.id || document.activeElement.name || document.activeElement.innerText")


def tab_to(page, wanted, steps=60):
    """Presses Tab until that has the focus, as people without a mouse do."""
    for _ in range(steps):
        if focus(page) == wanted:
            return
        press(page, "Tab")
    raise AssertionError(f"{wanted} cannot be reached by Tab; {focus(page)} has the focus")


def test_the_keyboard_alone_turns_transparent_binding_on_and_saves(open_page, folder):
    page = open_page(text=PLAIN)
    page.browser.value("document.getElementById('tab-live').focus()")
    press(page, "ArrowRight")
    page.wait_for("#listeners .entry", "web")
    tab_to(page, "add-listener")
    press(page, "Tab", "Enter")
    page.wait_for("#listeners .bind")
    press(page, "Tab", "Space")
    page.wait_for("dialog h2", "Change the text?")
    assert focus(page) == "Take it"
    press(page, "Enter")
    page.gone("dialog")
    page.browser.value("document.querySelector('.skip').focus()")
    tab_to(page, "save")
    press(page, "Enter")
    page.wait_for("dialog h2", "Save the file?")
    press(page, "Enter")
    page.wait_for(".notice", "Saved")
    assert content(folder) == PLAIN.replace("7080 ", "7080 transparent ")


def test_a_timeout_is_set_and_its_warning_goes(open_page):
    page = open_page(text=PLAIN.replace("  timeout client 1m\n", ""))
    page.click("#tab-admin")
    page.wait_for("#admin .card .warning", "timeout client")
    page.click(".entry[data-name=web] summary")
    page.click("[data-key='timeout client of web']")
    page.browser.type("30s")
    press(page, "Enter")
    page.take()
    page.click("#tab-text")
    page.wait_for(".line", "timeout client 30s")
    page.browser.await_value("document.querySelectorAll('.line.warning').length === 0", "nothing is warned of")


def test_escape_leaves_the_text_as_it_is_and_the_switch_goes_back(open_page):
    page = open_page(text=PLAIN)
    page.click("#tab-admin")
    page.click(".entry[data-name=web] summary")
    page.click(".bind input")
    page.wait_for("dialog h2", "Change the text?")
    press(page, "Escape")
    page.gone("dialog")
    assert page.browser.value("document.querySelector('.bind input').checked") is False
    page.says_nothing("#draft")


def test_the_second_of_two_who_edit_is_shown_the_difference(open_page, folder):
    page = open_page(text=PLAIN)
    page.click("#tab-text")
    page.click(".editor")
    page.browser.value("(area => area.setSelectionRange(0, 0))(document.getElementById('editor-text'))")
    page.browser.type("# mine\n")
    page.wait_for("#draft", "Unsaved")
    (folder / "proxy.cfg").write_text(PLAIN + "# theirs\n", encoding="utf-8")
    page.click("#save")
    page.wait_for("dialog h2", "Save the file?")
    page.click("dialog button[value=save]")
    page.wait_for("dialog h2", "Someone else has saved")
    page.wait_for("dialog .row.removed", "# theirs")
    page.wait_for("dialog .row.added", "# mine")
    assert content(folder).endswith("# theirs\n")
    page.click("dialog button[value=mine]")
    page.wait_for(".notice", "Saved")
    assert content(folder) == "# mine\n" + PLAIN


def test_a_version_is_compared_and_taken_back(open_page, folder):
    page = open_page(text=PLAIN)
    page.click("#tab-text")
    for number in range(2):
        page.click(".editor")
        page.browser.value("(area => area.setSelectionRange(0, 0))(document.getElementById('editor-text'))")
        page.browser.type(f"# {number}\n")
        page.save()
    page.click("#versions")
    page.wait_for("dialog .row.added", "# 1")
    page.click("dialog tbody tr:last-child button")
    page.gone("dialog")
    page.wait_for("#draft", "Unsaved")
    page.save()
    assert content(folder) == PLAIN


def test_logging_out_leaves_nothing_on_the_page(open_page):
    page = open_page(text=PLAIN)
    page.click("#tab-text")
    page.wait_for(".line", "frontend web")
    page.click(".editor")
    page.browser.type("# more\n")
    page.wait_for("#draft", "Unsaved")
    page.click("#logout")
    page.wait_for("dialog h2", "Log out without saving?")
    page.click("dialog button[value=go]")
    page.wait_for("#login:not([hidden]) h2", "Log in")
    assert "frontend" not in page.browser.value("document.documentElement.innerHTML")
    assert page.served.ask("GET", "/api/session").status == 401


def find_the_session_ended(page):
    """Not by the mouse: a question that the page asks by itself may have shown #login before, which covers the button."""
    page.browser.value("document.getElementById('save').click()")
    page.wait_for("#login", "The session has ended")


def test_a_session_that_ended_keeps_the_text_that_was_typed(open_page, folder):
    page = open_page(text=PLAIN)
    page.click("#tab-text")
    page.click(".editor")
    page.browser.value("(area => area.setSelectionRange(0, 0))(document.getElementById('editor-text'))")
    page.browser.type("# typed\n")
    page.wait_for("#draft", "Unsaved")
    page.browser.call("Network.clearBrowserCookies")
    find_the_session_ended(page)
    page.click("#secret")
    page.browser.type(page.served.token)
    press(page, "Enter")
    page.wait_for(".line", "# typed")
    page.save()
    assert content(folder) == "# typed\n" + PLAIN


# Answers for PATH come when the functions of `held` are run.
HOLD = """(real => {
  window.held = [];
  window.fetch = async (path, options) => {
    const answer = await real(path, options);
    if (path === "PATH") await new Promise(done => held.push(done));
    return answer;
  };
})(window.fetch)"""


def test_nothing_can_be_typed_before_the_file_is_there(open_page):
    """It would be lost when the file comes."""
    page = open_page(text=PLAIN)
    page.browser.call("Page.addScriptToEvaluateOnNewDocument", source=HOLD.replace("PATH", "/api/config"))
    page.browser.visit(page.served.url)
    page.click("#tab-text")
    page.browser.await_value("held.length > 0", "the file was asked for, and the answer is held")
    page.browser.value("document.getElementById('editor-text').focus()")
    assert focus(page) != "editor-text"
    page.browser.value("held.forEach(each => each())")
    page.wait_for(".line", "frontend web")
    page.browser.value("document.getElementById('editor-text').focus()")
    assert focus(page) == "editor-text"


def test_a_file_that_could_not_be_read_is_shown_once_it_can_be(open_page, folder):
    """Who converts the file in a terminal, as the notice says, comes back to this window."""
    (folder / "proxy.cfg").write_bytes(b"# caf\xe9\n" + PLAIN.encode())
    page = open_page()
    page.wait_for(".notice", "convert it with iconv")
    (folder / "proxy.cfg").write_text("# café\n" + PLAIN, encoding="utf-8")
    page.click("#tab-text")
    page.browser.value("window.dispatchEvent(new Event('focus'))")
    page.wait_for(".line", "# café")
    page.gone(".notice")
    page.browser.value("document.getElementById('editor-text').focus()")
    assert focus(page) == "editor-text"


def test_a_late_answer_to_a_session_that_ended_does_not_end_the_next_one(open_page, folder):
    page = open_page(text=PLAIN)
    page.click("#tab-text")
    page.click(".editor")
    page.browser.value("(area => area.setSelectionRange(0, 0))(document.getElementById('editor-text'))")
    page.browser.value(HOLD.replace("PATH", "/api/config/check"))
    page.browser.call("Network.clearBrowserCookies")
    page.browser.type("# typed\n")
    page.browser.await_value("held.length > 0", "the text was judged, and the answer is held")
    find_the_session_ended(page)
    page.click("#secret")
    page.browser.type(page.served.token)
    press(page, "Enter")
    page.browser.await_value("document.getElementById('login').hidden", "the next session begins")
    page.browser.value("held.forEach(each => each())")
    page.save()
    assert content(folder) == "# typed\n" + PLAIN


def test_undo_and_redo_go_through_both_tabs(open_page):
    page = open_page(text=PLAIN)
    page.click("#tab-admin")
    page.click(".entry[data-name=web] summary")
    page.click(".bind input")
    page.take()
    page.click("#tab-text")
    page.wait_for(".line", "bind 127.0.0.1:7080 transparent")
    page.click("#undo")
    page.wait_for(".line", "bind 127.0.0.1:7080  # the only one")
    page.says_nothing("#draft")
    page.click("#redo")
    page.click("#tab-admin")
    page.browser.await_value("document.querySelector('.bind input').checked", "the box is checked again")


def test_ends_of_lines_stay_as_they_are(open_page, folder):
    crlf = PLAIN.replace("\n", "\r\n")
    (folder / "proxy.cfg").write_bytes(crlf.encode())
    page = open_page()
    page.click("#tab-text")
    page.wait_for(".line", "frontend web")
    page.click(".editor")
    page.browser.value("(area => area.setSelectionRange(0, 0))(document.getElementById('editor-text'))")
    page.browser.type("# first\n")
    page.save()
    assert (folder / "proxy.cfg").read_bytes() == ("# first\r\n" + crlf).encode()


def test_a_finding_is_fixed_by_its_button(inline, open_page):
    page = open_page("--allow-apply", text=PLAIN.replace("127.0.0.1:7080", "192.0.2.80:80 transparent").replace("\nbackend servers\n", "\nbackend servers\n  source 0.0.0.0 usesrc clientip\n", 1))
    page.click("#tab-host")
    page.wait_for("[data-item=ip-rule]")
    run = "[data-item=ip-rule] .command button:last-child"
    page.click(run)
    page.wait_for("dialog pre", "ip -4 rule add")
    assert "fwmark" not in inline.proxy.namespace.run("ip", "rule")
    page.click("dialog button[value=run]")
    page.wait_for(".notice", "The command was run")
    page.gone(".group.missing [data-item=ip-rule]")
    assert "fwmark" in inline.proxy.namespace.run("ip", "rule")


def test_without_allow_apply_nothing_can_be_run(open_page):
    page = open_page(text=PLAIN)
    page.click("#tab-host")
    page.wait_for("#host .card")
    page.wait_for("#host", "start it with --allow-apply")
    assert page.browser.value("document.querySelectorAll('#apply, #revert, .command button + button').length") == 0


def test_what_the_kernel_can_do_is_tried_at_a_click(open_page):
    page = open_page(text=PLAIN)
    page.click("#tab-host")
    page.wait_for("#host .card")
    page.browser.value("[...document.querySelectorAll('#host .bar button')].at(-1).id = 'try'")
    page.click("#try")
    page.wait_for("caption", "Whole connections", times=10)
    page.wait_for("td .state", "works")


def test_names_of_others_stay_text(open_page):
    evil = "<img/src=x>"
    page = open_page(text=PLAIN.replace("# the only one", f"# {evil}") + f"  frobnicate {evil}\n")
    page.click("#tab-text")
    page.wait_for(".line", evil)
    page.click("#tab-admin")
    page.wait_for("#admin .problem-card")
    assert page.browser.value("document.querySelectorAll('img').length") == 1  # the icon


def test_a_large_configuration_can_be_worked_with(open_page):
    listeners = "".join(f"frontend f{n}\n  mode tcp\n  bind 127.0.0.1:{10000 + n}\n  default_backend b{n}\n" for n in range(200))
    farms = "".join(f"backend b{n}\n  mode tcp\n" + "".join(f"  server s{n}-{k} 127.0.0.1:{20000 + k}\n" for k in range(5)) for n in range(200))
    page = open_page(text=listeners + farms)
    page.click("#tab-admin")
    page.browser.await_value("document.querySelectorAll('.entry').length === 400", "all are drawn")
    page.click("#filter")
    page.browser.type("s117-3")
    page.browser.await_value("document.querySelectorAll('.entry:not([hidden])').length === 1", "one farm is left")
    page.click("#tab-text")
    page.click(".editor")
    page.browser.type("\nfrobnicate\n")
    page.wait_for(".line.error", "frobnicate")


# The proxy's counters


@pytest.mark.parametrize("program", [TPROXYD, "haproxy"])
def test_live_shows_what_the_proxy_counts(inline, open_page, folder, program):
    if not shutil.which(program):
        pytest.skip(f"absent: {program}")
    stats = folder / "stats"
    text = f"global\n  stats socket {stats} mode 600 level admin\n" + PLAIN.replace("server s1", "server gone 127.0.0.1:1 check inter 50ms fall 1 backup\n  server s1")
    (folder / "live.cfg").write_text(text, encoding="utf-8")
    namespace = inline.proxy.namespace
    with namespace:
        proxy = subprocess.Popen([program, "-db", "-f", folder / "live.cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        waiting.until(stats.exists, "the proxy has its socket")
        with contextlib.closing(listen(namespace, SERVER)) as server:
            pairs = [(waiting.until(lambda: connected(namespace), "it listens"), accept(server)) for _ in range(3)]
            page = open_page("--stats-socket", str(stats), text=text)
            page.wait_for("#live article", "3 now")
            page.wait_for("#live td", "Connection refused")
            page.wait_for("#live", "tproxyd" if program == TPROXYD else "HAProxy")
            page.browser.await_value("document.querySelectorAll('.tile .curve').length === 3", "plots are drawn")
            page.click("#show-sessions")
            page.wait_for("#live tbody th", "127.0.0.1:")
            for client, there in pairs:
                client.close()
                there.finish()
        assert not page.browser.complaints()
    finally:
        proxy.kill()
        proxy.wait()


def connected(namespace):
    try:
        return connect(namespace)
    except ConnectionRefusedError:
        return None


def test_a_proxy_that_is_gone_is_reported(open_page, folder):
    page = open_page("--stats-socket", str(folder / "nothing"), text=PLAIN)
    page.wait_for("#live", "No such file or directory")


# Files


def choose_file(page, path):
    document = page.browser.call("DOM.getDocument")["root"]["nodeId"]
    field = page.browser.call("DOM.querySelector", nodeId=document, selector="#upload-file")["nodeId"]
    page.browser.call("DOM.setFileInputFiles", files=[str(path)], nodeId=field)


def test_a_file_is_uploaded_into_the_editor_and_saved_from_there(open_page, folder):
    page = open_page(text=PLAIN)
    page.click("#tab-text")
    (folder / "other.cfg").write_text("# uploaded\n" + PLAIN, encoding="utf-8")
    choose_file(page, folder / "other.cfg")
    page.wait_for(".line", "# uploaded")
    assert content(folder) == PLAIN
    page.save()
    assert content(folder) == "# uploaded\n" + PLAIN
    (folder / "picture").write_bytes(b"\x89PNG\xff")
    choose_file(page, folder / "picture")
    page.wait_for(".notice", "is no text in UTF-8")
    assert not page.text("#draft")


def test_the_text_of_the_editor_is_downloaded(open_page, folder):
    page = open_page(text=PLAIN)
    folder.chmod(0o777)
    page.browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder / "got"))
    page.click("#tab-text")
    page.wait_for(".line", "frontend web")
    page.click("#download")
    waiting.until(lambda: (folder / "got" / "proxy.cfg").exists(), "the file is there")
    assert (folder / "got" / "proxy.cfg").read_text(encoding="utf-8") == PLAIN
