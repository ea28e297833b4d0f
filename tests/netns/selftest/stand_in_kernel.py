"""A program that behaves as a user-mode kernel with the guest's script does, as far as the lab can see.

What it "can" follows from the configuration that its build appended to it: a way to have a profile is
there when all the options that it needs are on. A line `# broken` among those makes the socket match
fail although its option is on.
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
    can = [way for way, needs in NEEDS.items() if all(map(is_on, needs))]
    can = [way for way in can if way[2] != "iptables" or works("iptables-socket-4")]
    ways = {name: [{"recipe": r, "backend": b} for p, r, b in can if p == name] for name in ("binding", "full", "ipv6")}
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


def judged(words):
    rows = [word for word in words if word.startswith("TP-")]
    program = words[words.index("--rules-by") + 1]
    ways = [(recipe, program, family) for recipe in ("divert", "local-route") for family in (4, 6)]
    tests = [
        {"test": "t", "verdict": "PASS", "message": "", "parameters": {"recipe": recipe, "backend": by, "family": family}}
        for recipe, by, family in ways
    ]
    cells = [{"requirement": row, "verdict": "PASS", "message": "", "tests": tests} for row in rows]
    return {"implementations": [{"cells": cells, "problems": [], "seconds": 1}]}


def main():
    folder = Path(next(word for word in sys.argv if word.startswith("TPROXY_GUEST_RUN=")).partition("=")[2])
    print("@up 6.1-stand-in", flush=True)
    (folder / "out" / "prove.json").write_text(json.dumps(proved()), encoding="utf-8")
    words = (folder / "suite").read_text(encoding="ascii").split()
    if words:
        os.mkdir(folder / "out" / "conformance")
        text = json.dumps(judged(words))
        (folder / "out" / "conformance" / "report.json").write_text(text, encoding="utf-8")
    print("@end", flush=True)


main()
