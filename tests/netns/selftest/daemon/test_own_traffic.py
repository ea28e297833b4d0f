"""Interception of what the proxy's host itself sends, as docs/CONFIGURATION.md describes it: with the rules that it prints.

tproxyd's own connections have to be left out of it, by its user. Where they are not, they are refused (test_daemon.py).
"""

import re
import subprocess

import pytest

from lab import waiting
from lab.netns import topology
from lab.paths import ROOT
from lab.peers.daemon import Daemon
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

pytestmark = pytest.mark.suite

PORT = 3129
IN_IPV6 = {"iptables": "ip6tables", "ip": "ip -6", "0.0.0.0/0": "::/0", "icmp": "ipv6-icmp"}
CONFIGURATION = f"""global
  user nobody
  log stderr format raw local0 info
defaults
  log global
  timeout connect 5s
  timeout client 10m
  timeout server 10m
listen any
  bind :{PORT} transparent
  bind [::]:{PORT} transparent v6only
  source 0.0.0.0 usesrc clientip
  server original 0.0.0.0
"""


def blocks():
    """The commands of the section, those for clients and those for the host itself."""
    text = (ROOT / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8")
    section = text.partition("\n## Interception\n")[2].partition("\n## ")[0]
    return [block for block in re.findall(r"```\n(.*?)```", section, re.DOTALL) if "iptables" in block]


def run_commands(lab, block, client_link):
    for line in block.splitlines():
        words = line.replace("eth0", client_link).split()
        if lab.family == 6:
            words = [IN_IPV6.get(word, word) for word in words]
        lab.proxy.namespace.run(*" ".join(words).split())


@pytest.fixture
def lab(family):
    made = Lab(adapter("tproxyd"), family, "inline", divert=False)
    yield made
    made.close()


@pytest.fixture
def daemon(lab, tmp_path):
    if subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", "true"], check=False).returncode:
        pytest.skip("absent: this run's root may not become another user")
    started = Daemon(lab.proxy.namespace, tmp_path, CONFIGURATION)
    yield started.await_started()
    started.close()


@pytest.mark.parametrize("family", topology.FAMILIES)
def test_the_printed_rules_intercept_clients_and_the_host_itself(lab, daemon):
    for_clients, for_the_host = blocks()
    run_commands(lab, for_clients, "client0")
    run_commands(lab, for_the_host, "client0")
    lab.server.serve(lab.server_endpoint)
    for number, host in enumerate((lab.client, lab.proxy), 1):
        client = host.open(lab.server_endpoint)
        client.send(b"question")
        accepted = lab.server.accept()
        assert accepted.receive(8) == b"question"
        assert accepted.peer.address == client.local.address
        waiting.until(lambda: daemon.log().count("onnect from") == number, "the connection went through tproxyd")
        client.close()
        accepted.close()
    assert "refused" not in daemon.log()
