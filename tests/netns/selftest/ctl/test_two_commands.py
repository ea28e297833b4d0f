"""`tproxyctl apply --config F` and `tproxyd -f F`: two commands serve a client, and the server sees the client's address."""

import contextlib
import json
import re
import subprocess

import pytest

from lab import waiting
from lab.ctl.ctl_host import LISTEN, CtlHost, differences
from lab.netns import firewall
from lab.netns.endpoint import Endpoint
from lab.paths import TPROXYD
from lab.setup.lab import Lab
from lab.setup.variants import both_families

each_firewall_tool = pytest.mark.parametrize("firewall_tool", firewall.FIREWALL_TOOLS)
each_recipe = pytest.mark.parametrize("which", ["divert", "tproxy", "local-route"])

CONFIGURATION = """\
defaults
    mode tcp
    timeout connect 3s
    timeout client  1m
    timeout server  1m
frontend ft_application
    bind {bind} {words}
    default_backend bk_application
backend bk_application
    {source}
    server s1 {server}
"""
SPOOFED = "source 0.0.0.0 usesrc clientip"
ANY = {4: "0.0.0.0", 6: "[::]"}

HARMFUL = {
    "as it is": {},
    "src_valid_mark": {"net.ipv4.conf.all.src_valid_mark": 1},
    "src_valid_mark of a link": {"net.ipv4.conf.server0.src_valid_mark": 1},
    "tcp_fwmark_accept": {"net.ipv4.tcp_fwmark_accept": 1},
    "src_valid_mark and rp_filter": {"net.ipv4.conf.all.src_valid_mark": 1, "net.ipv4.conf.all.rp_filter": 1},
}


class Daemon:
    """tproxyd -f FILE."""

    def __init__(self, host, file):
        with host.namespace:
            self.process = subprocess.Popen([TPROXYD, "-f", str(file)], stderr=subprocess.PIPE, text=True)


@pytest.fixture
def inline(family, firewall_tool, tmp_path):
    made = Lab(None, family, "inline", firewall_tool, divert=False)
    yield made
    made.close()


@contextlib.contextmanager
def two_commands(inline, tmp_path, bind, firewall_tool, which="divert", words="transparent", source=SPOOFED, server=None):
    """tproxyctl apply --config F, then tproxyd -f F; afterwards the host is as before."""
    host = CtlHost(inline.proxy.namespace, tmp_path)
    file = tmp_path / "tproxyd.cfg"
    address, port = server or inline.server_endpoint
    server = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    file.write_text(CONFIGURATION.format(bind=bind, words=words, source=source, server=server), encoding="ascii")
    before = host.snapshot()
    host.well("apply", "--config", str(file), "--firewall-tool", firewall_tool, "--recipe", which)
    inline.server.serve(Endpoint(address, port))
    daemon = Daemon(host, file)
    try:
        port = int(bind.rpartition(":")[2].partition("-")[0])
        waiting.until(lambda: daemon.process.poll() is not None or _listens(inline, port), "tproxyd listens")
        assert daemon.process.poll() is None, daemon.process.stderr.read()
        yield
    finally:
        daemon.process.kill()
        daemon.process.wait()
    host.well("revert")
    assert not differences(before, host.snapshot())


def serve_with_two_commands(inline, *rest):
    """A connection works after the two commands, and the server sees the client's address."""
    with two_commands(inline, *rest):
        flow = inline.client.connect(inline.vip)
        flow.exchange()
        assert flow.peer_seen_by_server.address == inline.client.address


def _listens(inline, port):
    return any(local.port == port for _, local, _ in inline.proxy.sockets("LISTEN"))


@each_firewall_tool
@each_recipe
@both_families
def test_two_commands_make_the_walkthrough_work(inline, tmp_path, family, firewall_tool, which):
    serve_with_two_commands(inline, tmp_path, LISTEN[family], firewall_tool, which)


@pytest.mark.parametrize("family, bind", [(4, "0.0.0.0:80"), (6, "[::]:80"), (4, "[::]:80")])
@pytest.mark.parametrize("which", ["divert", "tproxy"])
@each_firewall_tool
def test_a_wildcard_listener(inline, tmp_path, bind, firewall_tool, which):
    words = "transparent v4v6" if bind.startswith("[") else "transparent"
    serve_with_two_commands(inline, tmp_path, bind, firewall_tool, which, words)


@pytest.mark.parametrize("firewall_tool", ["nft"])
@both_families
def test_ports_in_time_wait_are_used_again(inline, tmp_path, family, firewall_tool):
    """Twenty connections by ten ports: each port is in TIME-WAIT for a minute, unless the kernel uses it again."""

    def comes_through():
        try:
            flow = inline.client.connect(inline.vip)
        except OSError:  # refused: the ports are in TIME-WAIT for less than a second
            return False
        flow.client.finish()
        flow.server.receive_to_end()
        flow.server.close()
        flow.client.receive_to_end()
        flow.client.close()
        return True

    inline.proxy.namespace.sysctl({"net.ipv4.ip_local_port_range": "50000 50009", "net.ipv4.tcp_tw_reuse": 2})
    with two_commands(inline, tmp_path, LISTEN[family], firewall_tool):
        for number in range(20):
            waiting.until(comes_through, f"connection {number + 1} comes through")


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize("which", ["divert", "tproxy"])
@each_firewall_tool
@both_families
def test_a_range_of_ports_is_one_rule(inline, tmp_path, family, firewall_tool, which, wildcard):
    address = ANY[family] if wildcard else LISTEN[family].rpartition(":")[0]
    with two_commands(inline, tmp_path, f"{address}:79-1079", firewall_tool, which):
        for port in (79, 80, 1079):
            flow = inline.client.connect(inline.vip._replace(port=port))
            flow.exchange()
            assert flow.peer_seen_by_server.address == inline.client.address
        plan = json.loads(CtlHost(inline.proxy.namespace, tmp_path).state.read_text(encoding="utf-8"))["plan"]
        inputs = [step["input"] for step in plan["steps"] if step["kind"] == "firewall"]
        assert all(len(re.findall("TPROXY |tproxy to", text)) == (which == "tproxy") for text in inputs)


@each_firewall_tool
@each_recipe
@both_families
def test_a_fixed_source_that_is_not_this_hosts_needs_its_answers_diverted(inline, tmp_path, family, firewall_tool, which):
    source = re.sub("[0-9]+$", "77", inline.client.address)
    line = f"source {ANY[family]} usesrc " + {4: source, 6: f"[{source}]"}[family]
    with two_commands(inline, tmp_path, LISTEN[family], firewall_tool, which, source=line):
        flow = inline.client.connect(inline.vip)
        flow.exchange()
        assert flow.peer_seen_by_server.address == source


@pytest.mark.parametrize("family", [4])
@pytest.mark.parametrize("words", ["transparent", "transparent v4v6"])
@pytest.mark.parametrize("which", ["divert", "tproxy"])
@each_firewall_tool
def test_ipv4_clients_of_a_dual_stack_listener_with_an_ipv6_server(inline, tmp_path, firewall_tool, which, words):
    server = Endpoint(inline.server.addresses[6][0], 8080)
    with two_commands(inline, tmp_path, "[::]:80", firewall_tool, which, words, "", server):
        inline.client.connect(inline.vip).exchange()


@pytest.mark.parametrize("family", [4])
@pytest.mark.parametrize("words, only", [("transparent v6only", 0), ("transparent", 1)])
@each_firewall_tool
def test_packets_that_an_ipv6_listener_does_not_serve_pass_the_host(inline, tmp_path, firewall_tool, words, only):
    """TPROXY drops packets that have no transparent socket."""
    inline.proxy.namespace.sysctl({"net.ipv6.bindv6only": only})
    passing = Endpoint(inline.server.address, 80)
    inline.server.serve(passing)
    with two_commands(inline, tmp_path, "[::]:80", firewall_tool, "tproxy", words):
        inline.client.connect(passing).exchange()


@pytest.mark.parametrize("family", [4])
@each_firewall_tool
def test_a_listener_that_is_not_transparent_is_reached_as_before(inline, tmp_path, firewall_tool):
    own = Endpoint(inline.proxy_address_to_clients, 8000)
    with two_commands(inline, tmp_path, f"{own.address}:{own.port}", firewall_tool, "tproxy", ""):
        flow = inline.client.connect(own)
        flow.exchange()
        assert flow.peer_seen_by_server.address == inline.client.address


@pytest.mark.parametrize("harm", HARMFUL)
@pytest.mark.parametrize("family, firewall_tool", [(4, "iptables"), (6, "iptables"), (4, "nft")])
def test_harmful_sysctls_are_fixed(inline, tmp_path, family, firewall_tool, harm):
    inline.proxy.namespace.sysctl(HARMFUL[harm])
    serve_with_two_commands(inline, tmp_path, LISTEN[family], firewall_tool)
