"""The evidence of a failed test, collected before its hosts are removed.

It is one folder below build/evidence. README.txt has the failure and the command that repeats it. There are the
packets of every link, and for each namespace its rules with counters, routes, policy rules, neighbours,
sockets and sysctls. For each proxy there are its configuration, scenario and log, and the findings of `tproxyctl check`
on its host.
"""

import hashlib
import re
import shlex
import shutil

from lab import waiting
from lab.ctl import checklist
from lab.netns import firewall, kernel, topology
from lab.netns.namespace import CommandFailed
from lab.paths import BUILD, ROOT

FOLDER = BUILD / "evidence"
LONGEST = 200  # bytes of a folder's name, a hash left out

_COMMANDS = {
    "links": ["ip", "-s", "addr", "show"],
    "rules": ["ip", "rule", "show"],
    "rules6": ["ip", "-6", "rule", "show"],
    "routes": ["ip", "route", "show", "table", "all"],
    "routes6": ["ip", "-6", "route", "show", "table", "all"],
    "neighbours": ["ip", "neighbour", "show"],
    "sockets": ["ss", "-tanpie"],
}


def repeat_command(nodeid, options):
    """The command that runs one test again, with the same implementation, seed and load.

    Where a run has a folder of its own for evidence, the command keeps its evidence beside that folder: a run begins by
    removing what is in its folder, so the same one would lose the evidence of all other tests.
    """
    words = ["tests/netns/run", "--impl", str(options.impl), "--seed", str(options.seed)]
    words += ["--set-up", options.set_up] if options.set_up != "recipe" else []
    words += ["--rules-by", options.rules_by] if options.rules_by != "iptables" else []
    words += ["--share", str(options.share)] if options.share != 1 else []
    words += ["--patience", f"{options.patience:g}"] if options.patience != waiting.DEFAULT else []
    if options.evidence:
        beside = (ROOT / options.evidence).parent / "repeated"
        words += ["--evidence", str(beside.relative_to(ROOT) if ROOT in beside.parents else beside)]
    return shlex.join([*words, nodeid])


def forget():
    """Remove what an earlier run kept."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def folder_of(nodeid):
    """The folder for a test's evidence; a file's name has at most 255 bytes, and ids may be longer."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", nodeid).strip("-")
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"
    return FOLDER / name


def collect(lab, nodeid, failure, command):
    """Write the folder and return its path; `command` is what repeats the test."""
    folder = folder_of(nodeid)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "README.txt").write_text(
        f"{nodeid}\n\nrepeat with:  {command}\n\n{failure}\n", encoding="utf-8"
    )
    for tap in lab.taps:
        tap.write_pcap(folder / f"{tap.name}.pcap")
    for namespace in lab.topology.namespaces():
        _namespace(lab, namespace, folder)
    for number, proxy in enumerate(lab.proxies, 1):
        shutil.copytree(proxy.folder, folder / f"proxy-{number}")
        _write(folder / f"proxy-{number}.check.txt", lambda p=proxy: checklist.as_text(p, lab.client.address))
    return folder


def _namespace(lab, namespace, folder):
    for name, command in _COMMANDS.items():
        _write(folder / f"{namespace.role}.{name}.txt", lambda c=command: namespace.run(*c))
    for family in kernel.families():
        _write(
            folder / f"{namespace.role}.iptables{'' if family == 4 else '6'}.txt",
            lambda f=family: firewall.save_rules(namespace, f, lab.firewall_tool),
        )
    known = filter(namespace.has_sysctl, topology.DEFAULTS)
    values = (f"{name} = {' '.join(namespace.read_sysctl(name))}\n" for name in known)
    _write(folder / f"{namespace.role}.sysctls.txt", lambda: "".join(values))


def _write(path, produce):
    try:
        text = produce()
    except (CommandFailed, OSError) as error:
        text = f"not collected: {error}\n"
    path.write_text(text, encoding="utf-8")
