"""tproxyctl check beside other proxies: it reads their configurations, or finds them by their sockets."""

import json
import shutil
import subprocess

import pytest

from lab.ctl import checklist
from lab.netns.endpoint import Endpoint
from lab.paths import TPROXYCTL
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend web
    bind {vip}{transparent}
    default_backend servers
backend servers
    source 0.0.0.0 usesrc clientip
    server one {server} check-via-socks4 disabled
    server two {server}
"""
NGINX = """\
include /etc/nginx/modules-enabled/*.conf;
stream {{
    server {{ listen {vip}; proxy_pass servers; proxy_bind $remote_addr transparent; }}
    upstream servers {{ server {server}; server other.example:80; }}
}}
"""


@pytest.fixture(params=[4, 6])
def lab(request):
    made = Lab(adapter("tproxyd"), request.param, "inline", "iptables")
    yield made
    made.close()


def check(lab, *words, status=0):
    with lab.proxy.namespace:
        done = subprocess.run([TPROXYCTL, "check", "--json", *words], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


def written(lab, path, form, **words):
    path.write_text(form.format(vip=lab.vip, server=lab.server_endpoint, **words), encoding="ascii")
    return str(path)


def test_haproxys_configuration_is_read(lab, tmp_path):
    """With HAProxy itself as the proxy, where it is installed."""
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy is not installed")
    lab.implementation = adapter("haproxy")
    lab.serve()
    config = written(lab, tmp_path / "haproxy.cfg", HAPROXY, transparent=" transparent")
    made, errors = check(lab, "--haproxy", config, "--client", lab.client.address)
    assert not errors and not checklist.wrong(made)
    servers = [each["subject"] for item in made["items"] if item["id"] == "server-route" for each in item["findings"]]
    assert servers == [lab.server.address]


def test_the_missing_word_is_put_into_its_line(lab, tmp_path):
    config = written(lab, tmp_path / "haproxy.cfg", HAPROXY, transparent="")
    made, _ = check(lab, "--haproxy", config, status=1)
    (command,) = checklist.commands({"transparent": checklist.wrong(made)["transparent"]})
    assert command.place == "the proxy"
    for _ in range(2):
        subprocess.run(["sh", "-c", command.run], check=True)
    assert (tmp_path / "haproxy.cfg").read_text(encoding="ascii").count(f"bind {lab.vip} transparent\n") == 1
    made, _ = check(lab, "--haproxy", config, status=3)  # the proxy does not run
    assert not checklist.wrong(made)


def test_nginxs_configuration_is_read_and_says_what_it_skips(lab, tmp_path):
    """Its listener is never transparent."""
    config = written(lab, tmp_path / "nginx.conf", NGINX)
    made, errors = check(lab, "--nginx", config, status=1)
    assert set(checklist.wrong(made)) == {"transparent"}
    assert ":1: include '/etc/nginx/modules-enabled/*.conf' is skipped" in errors
    assert ":4: server 'other.example:80' is skipped" in errors


def test_without_options_the_sockets_that_are_there_are_judged(lab):
    made, _ = check(lab, status=3)
    assert _listeners(made) == {"192.0.2.80:80"}, "the walk-through's example"
    lab.serve()
    flow = lab.client.connect(lab.vip)
    made, _ = check(lab)
    assert _listeners(made) == {str(lab.vip)}
    assert [each["subject"] for item in made["items"] if item["id"] == "server-route" for each in item["findings"]] == [
        lab.server.address
    ]
    assert flow


def _listeners(made):
    return {each["subject"] for item in made["items"] if item["id"] == "listener" for each in item["findings"]}


@pytest.mark.parametrize(
    "words, errors",
    [
        (["--haproxy", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["--haproxy", "/dev/null"], "/dev/null: no listener with an address and a port"),
        (["--haproxy", "/dev/null", "--nginx", "/dev/null"], "may be given once"),
        (["--nginx", "/dev/null", "--listen", "192.0.2.80:80"], "use either --config, --haproxy or --nginx, or --listen and --server"),
        (["--no-spoof"], "--intercept and --no-spoof are for --listen"),
    ],
)
def test_wrong_options_change_nothing(words, errors):
    done = subprocess.run([TPROXYCTL, "check", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and errors in done.stderr and not done.stdout


def test_a_proxy_that_does_not_spoof_needs_no_way_back(lab):
    lab.serve(source="none")
    listen = f"--listen={lab.vip}"
    made, _ = check(lab, listen, f"--server={Endpoint(*lab.server_endpoint)}", "--no-spoof", f"--client={lab.client.address}")
    way_back = next(item for item in made["items"] if item["id"] == "return-path")
    assert way_back["state"] == "ok" and "from its own address" in way_back["findings"][0]["read"]
