"""`log-format` writes what HAProxy writes, value by value and flag by flag; and the object of JSON has the same fields."""

import json
import re
import shutil
from contextlib import suppress

import pytest

from lab import waiting
from lab.peers.side_by_side import PORT, PROGRAMS, Proxy, end, server

# Values that depend on the two sessions alone, and those that have the same form.
STABLE = "ci fi fp si sp s b f ft B U ts tsc ac fc bc sc rc sq bq H"
OF_FORM = "cp bi bp t T Tl Ts ms Tw Tc Tt ID pid"
FLAGS = ("", "{+Q}", "{+X}", "{+E}", "{+Q,+X}", "{+Q,+E}", "{-Q}")
FORMATS = [
    *(f"LINE {' '.join(f'{name}=%{flags}{name}' for name in STABLE.split())}" for flags in FLAGS),
    "LINE a  b   %ci  %%  {%s}",
    "LINE %{+Q}o %ci %s %{-Q}f %b",
    "LINE %{+X}o %ci %fp %{-X}fp %{+Q}ft",
    "LINE %[src] %[dst_port] %{+Q}[src] %{+X}[src] %{+X}[dst_port]",
]


def run(tmp_path, text, action):
    """The lines of both after the action."""
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    found = []
    for name in PROGRAMS:
        proxy = Proxy(tmp_path / name, name, text, 1)
        action(proxy)
        found.append(proxy.daemon.await_line("LINE ")[5:])
        proxy.close()
    return found


def configured(log_format, words="", line=None):
    return (
        "global\n  nbthread 1\n  log stderr format raw local0\n  maxconn 100\n"
        f"listen l\n  mode tcp\n  log global\n  bind 198.51.100.200:{PORT}\n  timeout client 10m\n  timeout server 10m\n"
        f"  timeout connect 1m\n  retries 0\n  unique-id-format %ci:%cp\n{words}  log-format '{log_format}'\n{line or server('a')}"
    )


def session(proxy):
    client, accepted, _ = proxy.connect("198.51.100.1")
    end(client, accepted)


def refused(proxy):
    with suppress(ConnectionError):
        assert proxy.begin().recv(1) == b""


@pytest.mark.parametrize("log_format", FORMATS)
def test_both_write_the_same(tmp_path, log_format):
    haproxy, tproxyd = run(tmp_path, configured(log_format), session)
    assert haproxy == tproxyd


@pytest.mark.parametrize("flags", FLAGS)
def test_both_write_values_of_the_same_form(tmp_path, flags):
    log_format = "LINE " + " ".join(f"{name}=%{flags}{name}" for name in OF_FORM.split())
    haproxy, tproxyd = run(tmp_path, configured(log_format), session)
    forms = [[re.sub(r"\b(?=[0-9A-F]*\d)[0-9A-F]+\b|\b[A-F]{4}\b|(?<=^ms=)[0-9A-F]+", "9", word) for word in line.split()] for line in (haproxy, tproxyd)]
    assert forms[0] == forms[1]


@pytest.mark.parametrize("flags", ["", "{+Q}"])
def test_both_write_of_a_session_that_reached_no_server(tmp_path, flags):
    log_format = "LINE " + " ".join(f"{name}=%{flags}{name}" for name in "ci fi fp si sp s b f B U ts rc sq bq Tc".split())
    haproxy, tproxyd = run(tmp_path, configured(log_format, line=server("a").replace("6000", "6009")), refused)
    assert haproxy == tproxyd


def test_both_write_early_where_they_are_to(tmp_path):
    log_format = "LINE %B %ts %s"
    haproxy, tproxyd = run(tmp_path, configured(log_format, words="  option logasap\n"), session)
    assert haproxy == tproxyd


@pytest.mark.parametrize("order", ["option tcplog\n  log-format LINE", "log-format LINE\n  option tcplog"])
@pytest.mark.parametrize("place", ["section", "defaults"])
def test_of_two_ways_to_write_the_line_the_later_holds(tmp_path, place, order):
    first, second = order.split("\n")
    text = configured("LINE").replace("  log-format 'LINE'\n", f"  {order}\n" if place == "section" else f"{second}\n")
    if place == "defaults":
        text = text.replace("listen l\n", f"defaults\n  {first}\nlisten l\n")
    found = []
    for name in PROGRAMS:
        proxy = Proxy(tmp_path / name, name, text, 1)
        session(proxy)
        line = waiting.until(lambda at=proxy: [each for each in at.daemon.log().splitlines() if each == "LINE" or " l l/a " in each], "a line")[0]
        found.append(line == "LINE")
        proxy.close()
    assert found[0] == found[1] == (second.strip() == "log-format LINE")


def test_the_object_of_json_has_the_fields_of_the_line(tmp_path):
    text = configured("LINE").replace("  log-format 'LINE'\n", "  option jsonlog\n")
    proxy = Proxy(tmp_path / "json", "tproxyd", text, 1)
    client, accepted, _ = proxy.connect("198.51.100.1")
    port, leaves = client.getsockname()[1], accepted.getpeername()[1]
    end(client, accepted)
    found = json.loads(proxy.daemon.await_line('"date"'))
    proxy.close()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("date"))
    assert all(found.pop(name) >= 0 for name in ("Tw", "Tc", "Tt"))
    assert found == {
        "protocol": "tcp",
        "client_ip": "198.51.100.1",
        "client_port": port,
        "frontend_ip": "198.51.100.200",
        "frontend_port": PORT,
        "backend_source_ip": "127.0.0.1",
        "backend_source_port": leaves,
        "server_ip": "127.0.0.1",
        "server_port": 6000,
        "frontend_name": "l",
        "backend_name": "l",
        "server_name": "a",
        "ended": True,
        "bytes_read": 0,
        "bytes_uploaded": 1,
        "termination_state": "--",
        "reason": "done",
        "unique_id": f"198.51.100.1:{port}",
        "actconn": 1,
        "feconn": 1,
        "beconn": 0,
        "srv_conn": 0,
        "retries": 0,
        "redispatched": False,
        "srv_queue": 0,
        "backend_queue": 0,
    }
