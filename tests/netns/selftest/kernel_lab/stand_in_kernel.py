"""Stands in for a user-mode kernel that runs the guest's script.

Its build appends a configuration to this file. A way works if all options that it needs are on. A line `# broken`
in the configuration makes the socket match fail although its option is on.
"""

import json
import os
import sys
from pathlib import Path

TEXT = Path(sys.argv[0]).read_text(encoding="utf-8").rpartition("# --- configuration\n")[2]
NEEDS = {
    ("binding", "local-route", "none"): ["INET"],
    ("full", "divert", "iptables"): ["IP_MULTIPLE_TABLES", "NETFILTER_XT_MATCH_SOCKET", "NFT_COMPAT"],
    ("full", "nft", "nft"): ["IP_MULTIPLE_TABLES", "NFT_SOCKET"],
    ("ipv6", "nft", "nft"): ["IPV6", "NFT_SOCKET"],
}
CAPABILITIES = {"iptables-socket-4": ["NETFILTER_XT_MATCH_SOCKET", "NFT_COMPAT"], "nft-socket-4": ["NFT_SOCKET"]}
CAPABILITIES |= {"iptables-mangle-4": ["NFT_COMPAT"], "policy-rule-4": ["IP_MULTIPLE_TABLES"], "ipv6": ["IPV6"]}
DEPENDS = {"NFT_SOCKET": "NF_TABLES", "NFT_COMPAT": "NF_TABLES", "NF_TABLES": "NETFILTER"}


def is_on(name):
    return f"\nCONFIG_{name}=y\n" in f"\n{TEXT}" and (name not in DEPENDS or is_on(DEPENDS[name]))


def works(name):
    broken = "# broken" in TEXT and name == "iptables-socket-4"
    return all(map(is_on, CAPABILITIES[name])) and not broken


def proved():
    working = [way for way, options in NEEDS.items() if all(map(is_on, options))]
    working = [way for way in working if way[2] != "iptables" or works("iptables-socket-4")]
    profiles = ("binding", "full", "ipv6")
    ways = {name: [{"recipe": r, "firewall_tool": b} for p, r, b in working if p == name] for name in profiles}
    capabilities = [
        {
            "id": name,
            "state": "works" if works(name) else "missing",
            "detail": "",
            "options": [] if works(name) else [f"CONFIG_{each}" for each in options],
        }
        for name, options in CAPABILITIES.items()
    ]
    profiles = {name: {"provable": bool(by), "by": by} for name, by in ways.items()}
    return {"capabilities": capabilities, "profiles": profiles, "connections": []}


def judged(arguments):
    rows = [each for each in arguments if each.startswith("TP-")]
    program = arguments[arguments.index("--rules-by") + 1]
    ways = [(recipe, program, family) for recipe in ("divert", "local-route") for family in (4, 6)]
    tests = [
        {"test": "t", "verdict": "PASS", "message": "", "parameters": {"recipe": recipe, "firewall_tool": by, "family": family}}
        for recipe, by, family in ways
    ]
    cells = [{"requirement": row, "verdict": "PASS", "message": "", "tests": tests} for row in rows]
    return {"implementations": [{"cells": cells, "problems": [], "seconds": 1}]}


def main():
    folder = Path(next(word for word in sys.argv if word.startswith("TPROXY_GUEST_RUN=")).partition("=")[2])
    print("@up 6.1-stand-in", flush=True)
    (folder / "out" / "prove.json").write_text(json.dumps(proved()), encoding="utf-8")
    arguments = (folder / "suite").read_text(encoding="ascii").split()
    if arguments:
        os.mkdir(folder / "out" / "conformance")
        text = json.dumps(judged(arguments))
        (folder / "out" / "conformance" / "report.json").write_text(text, encoding="utf-8")
    print("@end", flush=True)


main()
