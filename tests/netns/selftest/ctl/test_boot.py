"""What `apply --persist` sets up is there after a reboot, and `revert` takes that back.

A guest boots (lab.ctl.guest). Each boot has a lab of its own, so rules and routes of an earlier one are gone.
"""

import contextlib
import json
from pathlib import Path

import pytest

from lab.ctl import guest
from lab.paths import ROOT
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

pytestmark = pytest.mark.boots

NETWORKD = Path("/lib/systemd/system/systemd-networkd.service")
# Debian's, in short: its start deletes all rules.
NFTABLES = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft flush ruleset\n[Install]\nWantedBy=multi-user.target\n"
UNIT = (ROOT / "contrib" / "tproxyd.service").read_text(encoding="utf-8")


@contextlib.contextmanager
def booted(disk, folder, firewall_tool, family):
    lab = Lab(adapter("tproxyd"), family, "inline", firewall_tool, divert=False)
    folder.mkdir()
    try:
        write_configuration(disk, lab)
        with guest.Guest(lab.topology.proxy, disk, folder) as made:
            yield lab, made
    finally:
        lab.close()


def write_configuration(disk, lab):
    (disk / "tproxyd.cfg").write_text(
        "defaults\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n"
        f"listen web\n    bind {lab.vip} transparent\n    source 0.0.0.0 usesrc clientip\n"
        f"    server one {lab.server_endpoint}\n",
        encoding="ascii",
    )


def units(disk):
    """Everything below the folder of units: {path: contents, or where a link leads}."""
    found = sorted((disk / "system").rglob("*"))
    return {str(each): str(each.readlink()) if each.is_symlink() else each.is_file() and each.read_bytes() for each in found}


def enable(disk, **services):
    wanted = disk / "system" / "multi-user.target.wants"
    wanted.mkdir(parents=True)
    for name, text in services.items():
        (disk / "system" / f"{name}.service").write_text(text, encoding="utf-8")
        (wanted / f"{name}.service").symlink_to(f"../{name}.service")


def persistence(host):
    """What check says of the next boot."""
    made = json.loads(host.run("tproxyctl", "check", "--json", "--config", "/etc/tproxyd.cfg").stdout)
    return next(item["state"] for item in made["items"] if item["id"] == "persistence")


@pytest.mark.parametrize("firewall_tool", ["iptables", "nft"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_set_up_survives_a_reboot(tmp_path, firewall_tool, family):
    guest.require()
    disk = tmp_path / "disk"
    enable(disk, tproxyd=UNIT, nftables=NFTABLES)
    before = units(disk)
    with booted(disk, tmp_path / "first", firewall_tool, family) as (lab, host):
        host.well("tproxyctl", "apply", "--config", "/etc/tproxyd.cfg", "--firewall-tool", firewall_tool)
        assert persistence(host) == "advice"
        host.well("tproxyctl", "apply", "--persist", "--config", "/etc/tproxyd.cfg", "--firewall-tool", firewall_tool)
        assert persistence(host) == "ok"
        host.shut_down()
    applied = units(disk)
    assert applied != before
    with booted(disk, tmp_path / "second", firewall_tool, family) as (lab, host):
        for service in ("tproxyctl", "tproxyd"):  # of several, one that is active would be enough
            host.well("systemctl", "is-active", f"{service}.service")
        lab.server.serve(lab.server_endpoint)
        flow = lab.client.connect(lab.vip)
        assert flow.peer_seen_by_server.address == lab.client.address
        host.well("systemctl", "stop", "tproxyctl.service")
        assert "fwmark" not in host.well("ip", f"-{family}", "rule")
        host.well("systemctl", "start", "tproxyctl.service")
        assert "fwmark" in host.well("ip", f"-{family}", "rule")
        host.well("systemctl", "restart", "nftables.service")
        host.well("systemctl", "start", "tproxyctl.service")  # waits for the restart that this has begun
        host.well("tproxyctl", "status")
        assert persistence(host) == "ok"
        assert units(disk) == applied
        host.well("tproxyctl", "revert")
        assert units(disk) == before
        host.shut_down()
    with booted(disk, tmp_path / "third", firewall_tool, family) as (lab, host):
        assert "fwmark" not in host.well("ip", f"-{family}", "rule")


def test_a_restart_of_networkd_leaves_the_set_up_in_place(tmp_path):
    """It may delete rules of others when it starts, so the set-up is applied after each of its starts."""
    guest.require()
    if not NETWORKD.exists():
        pytest.skip("absent: systemd-networkd is not installed")
    disk = tmp_path / "disk"
    enable(disk, tproxyd=UNIT)
    (disk / "system" / "multi-user.target.wants" / "systemd-networkd.service").symlink_to(NETWORKD)
    with booted(disk, tmp_path / "guest", "nft", 4) as (lab, host):
        host.well("tproxyctl", "apply", "--persist", "--config", "/etc/tproxyd.cfg", "--firewall-tool", "nft")
        host.well("systemctl", "daemon-reload")
        host.well("systemctl", "start", "tproxyctl.service")
        applied = since(host)
        host.well("systemctl", "restart", "systemd-networkd.service")
        host.well("systemctl", "start", "tproxyctl.service")  # waits for the restart that this has begun
        assert since(host) != applied, "it was applied again"
        lab.server.serve(lab.server_endpoint)
        flow = lab.client.connect(lab.vip)
        assert flow.peer_seen_by_server.address == lab.client.address


def since(host):
    """The id of the run of the service that applies the set-up."""
    return host.well("systemctl", "show", "-p", "InvocationID", "tproxyctl.service")
