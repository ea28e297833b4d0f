"""Programs of the distribution read the statistics as they are: HATop, Prometheus' exporter for HAProxy, promtool, Prometheus."""

import contextlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import threading

import pytest

from lab import waiting
from lab.peers.commands import ask, stat
from lab.peers.daemon import ADDRESS

from test_daemon import LOG, WITH_SERVER, configured, exchange
from test_live import CLEAR, read_until
from test_stats import with_socket

METRICS, READER = 9101, 9102
RULE = f"metrics {ADDRESS}:{METRICS}\n"


def needed(program):
    found = shutil.which(program)
    if not found:
        pytest.skip(f"absent: {program}")
    return found


def fetch(namespace, port, path="/metrics", method="GET"):
    """A page of a server in the namespace."""
    with namespace:
        made = socket.create_connection((ADDRESS, port), waiting.seconds)
    with made:
        made.sendall(f"{method} {path} HTTP/1.0\r\nHost: {ADDRESS}\r\n\r\n".encode())
        answer = b""
        while piece := made.recv(65536):
            answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head, joined(body) if "transfer-encoding: chunked" in head.lower() else body


def joined(chunks):
    text = ""
    while (size := chunks.partition("\r\n")[0]) not in ("", "0"):
        begin = len(size) + 2
        text += chunks[begin : begin + int(size, 16)]
        chunks = chunks[begin + int(size, 16) + 2 :]
    return text


@contextlib.contextmanager
def running(namespace, port, *words, **rest):
    """A program in the namespace, once it listens at the port."""
    with namespace, subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **rest) as process:
        try:

            def listens():
                assert process.poll() is None, process.stderr.read()
                with contextlib.suppress(ConnectionRefusedError):
                    with namespace:
                        socket.create_connection((ADDRESS, port), 1).close()
                    return True
                return False

            waiting.until(listens, f"{words[0]} listens")
            yield process
        finally:
            process.kill()


def values(text):
    """The metrics as {name and labels: value}."""
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line and line[0] != "#"}


def test_promtool_finds_nothing_wrong(namespace, start, server, path):
    promtool = needed("promtool")
    more = f"  server t {ADDRESS}:9 check inter 100ms backup\nbackend empty\nlisten more\n  mode tcp\n  bind {ADDRESS}:7999\n"
    start(with_socket(path, more=RULE, proxy=WITH_SERVER + more + "  timeout client 1s\n  timeout server 1s\n  timeout connect 1s\n"))
    exchange(namespace, server)
    waiting.until(lambda: stat(path)["web", "t"]["status"] == "DOWN", "the server is down")
    head, body = fetch(namespace, METRICS)
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr
    found = values(body)
    assert found['haproxy_frontend_sessions_total{proxy="web"}'] == 1
    assert found['haproxy_server_status{proxy="web",server="t",state="DOWN"}'] == 1
    assert found['tproxyd_frontend_sessions_ended_total{proxy="web",reason="done"}'] == 1


def test_names_are_those_of_haproxys_exporter(namespace, start, path, folder):
    """Every haproxy_… that tproxyd has, HAProxy has, too, with the same type and labels."""
    needed("haproxy")
    if "PROMEX" not in subprocess.run(["haproxy", "-vv"], capture_output=True, text=True, check=False).stdout.replace("-PROMEX", ""):
        pytest.skip("absent: HAProxy with its exporter")
    text = with_socket(path, more=RULE, proxy=WITH_SERVER + f"  server t {ADDRESS}:9 check inter 100ms\n")
    start(text)
    head = text.replace(RULE, "").replace(str(path), f"{path}-h").replace("7080", "7081")
    other = folder / "haproxy.cfg"
    other.write_text(
        head + f"frontend metrics\n  mode http\n  bind {ADDRESS}:{READER}\n  timeout client 5s\n  http-request use-service prometheus-exporter\n",
        encoding="ascii",
    )
    kinds = {}
    with running(namespace, READER, "haproxy", "-f", other):
        for port in (METRICS, READER):
            waiting.until(lambda at=port: 'server="t",state="DOWN"} 1' in fetch(namespace, at)[1], "the server is down")
            body = fetch(namespace, port)[1]
            types = dict(re.findall(r"^# TYPE (haproxy_\S+) (\S+)", body, re.M))
            labels = {re.sub(r'"[^"]*"', '""', name) for name in values(body)}
            kinds[port] = types, {name for name in labels if name.startswith("haproxy_")}
    ours, theirs = kinds[METRICS], kinds[READER]
    assert {name: kind for name, kind in ours[0].items() if theirs[0].get(name) != kind} == {}
    assert ours[1] - theirs[1] == set()


def test_prometheus_itself_scrapes_it(namespace, start, server, path, folder):
    prometheus = needed("prometheus")
    start(with_socket(path, more=RULE))
    exchange(namespace, server)
    config = folder / "prometheus.yml"
    config.write_text(
        f"scrape_configs:\n- job_name: tproxyd\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{ADDRESS}:{METRICS}']\n", encoding="ascii"
    )
    words = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={ADDRESS}:{READER}")
    with running(namespace, READER, prometheus, *words):

        def found():
            head, body = fetch(namespace, READER, "/api/v1/query?query=haproxy_frontend_sessions_total")
            result = json.loads(body)["data"]["result"] if " 200 " in head.splitlines()[0] else []
            return [each["value"][1] for each in result if each["metric"]["proxy"] == "web"] == ["1"]

        waiting.until(found, "Prometheus has the value")


def test_the_exporter_for_haproxy_reads_the_socket(namespace, start, server, path):
    exporter = needed("prometheus-haproxy-exporter")
    start(with_socket(path))
    for _ in range(3):
        exchange(namespace, server)
    with running(namespace, READER, exporter, f"--haproxy.scrape-uri=unix:{path}", f"--web.listen-address={ADDRESS}:{READER}"):
        found = values(fetch(namespace, READER)[1])
    assert found["haproxy_up"] == 1 and found["haproxy_exporter_csv_parse_failures_total"] == 0
    assert found['haproxy_frontend_sessions_total{frontend="web"}'] == 3
    row = stat(path)["web", "s"]
    assert found['haproxy_server_bytes_in_total{backend="web",server="s"}'] == float(row["bin"]) == 24
    assert found['haproxy_server_up{backend="web",server="s"}'] == 1


def test_hatop_shows_the_servers_and_sets_a_weight(namespace, start, server, path):
    hatop = needed("hatop")
    start(with_socket(path, more="stats timeout 30s\n"))
    exchange(namespace, server)
    master, slave = os.openpty()
    subprocess.run(["stty", "rows", "40", "cols", "150"], stdin=slave, check=True)
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([hatop, "-s", path, "-i", "1"], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True) as process:
        os.close(slave)
        try:
            screen = CLEAR.sub(b" ", read_until(master, b"BACKEND"))
            assert b"web" in screen and b"FRONTEND" in screen
            os.write(master, b"5")  # its prompt
            read_until(master, b"embedded interactive")
            os.write(master, b"set server web/s weight 7\r")

            def is_set():  # it waits where its screen is not read
                while select.select([master], [], [], 0)[0]:
                    os.read(master, 65536)
                return ask(path, "get weight web/s") == "7 (initial 1)\n"

            waiting.until(is_set, "HATop has set the weight")
        finally:
            process.kill()
            os.close(master)


# The page itself


def test_other_requests_get_their_status_and_do_no_harm(namespace, start, path):
    daemon = start(with_socket(path, more=RULE))
    assert fetch(namespace, METRICS, "/")[0].startswith("HTTP/1.1 404 ")
    assert fetch(namespace, METRICS, method="POST")[0].startswith("HTTP/1.1 405 ")
    head, body = fetch(namespace, METRICS, method="HEAD")
    assert head.startswith("HTTP/1.1 200 ") and not body
    assert fetch(namespace, METRICS, "/metrics?x=1")[0].startswith("HTTP/1.1 200 ")
    for text in (b"\0" * 100, b"GET " + b"a" * 9000, b"\xff\xfe\n\n", b"GET /metrics"):
        with namespace:
            made = socket.create_connection((ADDRESS, METRICS), waiting.seconds)
        with made, contextlib.suppress(OSError):  # it may be reset before its end
            made.sendall(text)
            made.shutdown(socket.SHUT_WR)
            while made.recv(65536):
                pass
    assert fetch(namespace, METRICS)[0].startswith("HTTP/1.1 200 ")
    assert daemon.stop() == 0


def test_slow_clients_keep_no_other_out(namespace, start, path):
    """Half requests that go on and on have all places: the oldest one gives way."""
    daemon = start(with_socket(path, more=RULE))
    done = threading.Event()

    def go_on(client):
        with contextlib.suppress(OSError):
            while not done.wait(0.5):
                client.sendall(b"a")

    with contextlib.ExitStack() as opened:
        opened.callback(done.set)
        slow = []
        for _ in range(10):
            with namespace:
                slow.append(opened.enter_context(socket.create_connection((ADDRESS, METRICS), waiting.seconds)))
            slow[-1].sendall(b"GET /met")
            threading.Thread(target=go_on, args=(slow[-1],), daemon=True).start()
        assert fetch(namespace, METRICS)[0].startswith("HTTP/1.1 200 ")
        assert slow[0].recv(1) == b""
        slow[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # the newest one still has its place
            slow[-1].recv(1)
    assert daemon.stop() == 0


def test_a_reload_moves_the_page(namespace, start):
    from test_reload import reload

    daemon = start(configured(RULE, log=LOG))
    assert fetch(namespace, METRICS)[0].startswith("HTTP/1.1 200 ")
    reload(daemon, configured(RULE.replace(str(METRICS), str(READER)), log=LOG))
    assert fetch(namespace, READER)[0].startswith("HTTP/1.1 200 ")
    with pytest.raises(ConnectionRefusedError):
        fetch(namespace, METRICS)
    reload(daemon, configured(log=LOG))
    with pytest.raises(ConnectionRefusedError):
        fetch(namespace, READER)
