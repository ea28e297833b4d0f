"""Random hosts: does `tproxyctl check` say of them what their kernel does?

A host is a recipe and some pieces: packet rules, policy rules, routes and sysctls, made from a grammar by a seed. A real
client connects through a real proxy there, and check is asked without seeing a packet. They agree when check finds
something wrong exactly where the connection fails. They disagree when it finds nothing although it judged all, or when
it finds something where the connection works. A host is in doubt when check says that it does not know.

What disagrees is made smaller, piece by piece, as long as it still disagrees.
"""

import random
from dataclasses import dataclass

from lab.ctl import bystanders, checklist, necessity
from lab.peers.proxy import adapter
from lab.setup.lab import Lab

AGREED, IN_DOUBT, DISAGREED, NOT_MADE = "agreed", "in doubt", "disagreed", "not made"
PIECES_MOST = 4
ROUNDS = 3  # of commands: one fault may hide another
OUTGOING = ("OUTPUT", "POSTROUTING")

MATCHES = (
    "-p tcp", "-p tcp --dport 80", "-p tcp --dport 8080", "-p tcp --sport 80", "-p tcp --sport 8080", "-p udp",
    "-s {client}", "-d {client}", "-s {server}", "-d {server}", "-d {vip}", "-s {vip}", "-d {vip_net}", "! -d {vip}",
    "-m mark --mark 0x1", "-m mark ! --mark 0x1", "-m mark --mark 0x100/0x100", "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate ESTABLISHED", "-m conntrack --ctstate INVALID", "-m conntrack --ctstate UNTRACKED",
    "-m conntrack ! --ctstate NEW,ESTABLISHED", "-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL",
    "-m addrtype --src-type LOCAL", "-m addrtype ! --src-type LOCAL", "-m connmark --mark 0x1", "-p tcp --syn",
    "-p tcp ! --syn", "-p {icmp}", "-p tcp -m multiport --dports 80,81", "-m comment --comment none",
)  # fmt: skip
DISCOVERY = ("-p {icmp} --icmpv6-type neighbour-solicitation", "-p {icmp} --icmpv6-type neighbour-advertisement", "-m hl --hl-eq 255")
ONLY_IN = ("-i client0", "-i server0", "! -i client0", "-i lo", "-p tcp -m socket", "-p tcp -m socket --transparent")
ONLY_OUT = ("-o client0", "-o server0", "! -o server0", "-o lo", "-m owner --uid-owner 0", "-m owner ! --uid-owner 0")
RPFILTER = ("-m rpfilter --invert", "-m rpfilter --validmark --invert", "-m rpfilter --loose --invert")
VERDICTS = ("-j ACCEPT", "-j DROP", "-j DROP", "-j RETURN")
MARKS = (
    "-j MARK --set-mark 0x0", "-j MARK --set-mark 0x1", "-j MARK --set-mark 0x2", "-j MARK --set-xmark 0x100/0x100",
    "-j MARK --and-mark 0xfe", "-j MARK --xor-mark 0x1", "-j CONNMARK --save-mark", "-j CONNMARK --restore-mark",
    "-j CONNMARK --set-mark 0x1",
)  # fmt: skip
TABLES = {
    "raw": (("PREROUTING", "OUTPUT"), (*VERDICTS, "-j CT --notrack")),
    "mangle": (("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"), (*VERDICTS, *MARKS, *MARKS)),
    "filter": (("INPUT", "INPUT", "OUTPUT", "FORWARD"), VERDICTS),
    "nat": (("PREROUTING", "OUTPUT", "POSTROUTING"), ("-j ACCEPT",)),
}

NFT_MATCHES = (
    "tcp dport 80", "tcp dport != 80", "tcp sport 80", "tcp dport 8080", "tcp sport { 80, 8080 }", "{ip} saddr {client}",
    "{ip} daddr {vip}", "{ip} daddr != {vip}", "{ip} saddr {server_net}", "meta mark 1", "meta mark != 1",
    "meta mark and 0x100 == 0x100", "ct state new", "ct state established", "ct state { new, established }",
    "ct status dnat", "ct mark 1", "fib daddr type local", "fib daddr type != local", "fib daddr . mark type local",
    "fib saddr type local", "meta l4proto udp", "meta l4proto {icmp}", "tcp flags syn",
)  # fmt: skip
NFT_DISCOVERY = ("icmpv6 type nd-neighbor-solicit", "icmpv6 type != { 135, nd-neighbor-advert }", "ip6 hoplimit 255")
NFT_ROUTES = ("fib saddr . iif oif missing", "fib saddr . mark . iif oif missing", "fib saddr oif exists")
NFT_VERDICTS = ("accept", "drop", "drop", "return", "continue")
NFT_MARKS = (
    "meta mark set 0", "meta mark set 1", "meta mark set 2", "meta mark set meta mark or 0x100", "ct mark set meta mark",
    "meta mark set ct mark", "meta mark set meta mark and 0xfe",
)  # fmt: skip

SELECTORS = (
    "", "from {client}", "from {client_net}", "from {server}", "to {vip}", "to {client}", "to {server}", "fwmark 1",
    "fwmark 1/1", "fwmark 2", "not fwmark 7", "not fwmark 1", "iif client0", "iif server0", "iif lo",
    "ipproto tcp sport 80", "ipproto tcp dport 80", "ipproto tcp dport 8080", "ipproto udp",
)  # fmt: skip
ACTIONS = (
    "lookup main", "lookup 100", "lookup 77", "blackhole", "prohibit", "unreachable",
    "lookup main suppress_prefixlength 0",
)  # fmt: skip
ROUTES = (
    "route add {vip_net} via {server} table 77", "route add {vip_net} via {server}", "route add local {vip_net} dev lo",
    "route add unreachable {vip_net}", "route add {vip} dev server0 table 100", "route add throw {client_net} table 100",
)  # fmt: skip
SYSCTLS = (
    "net.ipv4.ip_forward=0", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.client0.rp_filter=1",
    "net.ipv4.conf.all.src_valid_mark=1", "net.ipv4.conf.server0.src_valid_mark=1", "net.ipv4.conf.all.accept_local=1",
    "net.ipv4.tcp_fwmark_accept=1", "net.ipv4.ip_early_demux=0",
)  # fmt: skip


# What a recipe has in place of its own rules and listener.
VARIANTS = {
    "divert": (
        {"listener": "any:80"},
        {"divert rule": "-A PREROUTING -p tcp -m socket --nowildcard -j DIVERT", "listener": "any:80"},
        {"divert rule": "-A PREROUTING -i client0 -p tcp -m socket -j DIVERT"},
        {"accept": "-A DIVERT -j RETURN"},
        {"ip rule": "rule add pref 32800 fwmark 1 lookup 100"},
        {"ip rule": "rule add fwmark 1/1 lookup 100"},
        {"ip route": "route add local {vip_net} dev lo table 100"},
    ),
    "tproxy": (
        {"listener": "any:80"},
        {"tproxy rule": "-A PREROUTING -p tcp -d {vip} --dport 80 -j TPROXY --on-port 80 --tproxy-mark 1"},
        {
            "tproxy rule": "-A PREROUTING -p tcp -d {vip} --dport 80 -j TPROXY --on-port 80 --tproxy-mark 1",
            "listener": "any:80",
        },
        {"tproxy rule": "-I PREROUTING -p tcp -d {vip} --dport 80 -j TPROXY --on-port 80 --tproxy-mark 1"},
        {"divert rule": "-A PREROUTING -i server0 -p tcp -m socket -j DIVERT"},
    ),
    "nft": (
        {"listener": "any:80"},
        {"tproxy rule": "add rule {ip} transparent PREROUTING {ip} daddr {vip} tcp dport 80 tproxy to :80 meta mark set 1"},
        {
            "tproxy rule": "insert rule {ip} transparent PREROUTING tcp dport 80 tproxy to :80 meta mark set 1 accept",
            "listener": "any:80",
        },
    ),
}


@dataclass(frozen=True)
class Host:
    seed: int
    recipe: str
    family: int
    firewall_tool: str
    pieces: tuple  # (field of necessity.Change, line); of "variant" the line is a row of VARIANTS

    def change(self):
        fields = {}
        for name, line in self.pieces:
            fields.setdefault(name, []).append(line)
        fields = {name: tuple(lines) for name, lines in fields.items()}
        for variant in fields.pop("variant", ()):
            instead = dict(variant)
            fields["listener"] = instead.pop("listener", "{vip}:80")
            fields["instead"] = instead
        if "on" in fields:
            fields["on"] = {"proxy": fields["on"]}
        if "nft" in fields:
            fields["nft"] = ("add table {ip} f", *fields["nft"])
        return necessity.Change("random", "", "", "", recipes=(self.recipe,), **fields)

    def without(self, piece):
        return Host(self.seed, self.recipe, self.family, self.firewall_tool, tuple(p for p in self.pieces if p is not piece))

    def __str__(self):
        lines = "".join(f"\n    {name}: {line}" for name, line in self.pieces)
        return f"seed {self.seed}: {self.recipe} by {self.firewall_tool}, IPv{self.family}{lines}"


def make(seed):
    """The host of a seed, always the same."""
    chance = random.Random(seed)
    recipe, firewall_tool = chance.choice(
        (("divert", "iptables"), ("divert", "iptables-legacy"), ("divert", "nft"), ("tproxy", "iptables"), ("nft", "nft"))
    )
    family = chance.choice((4, 6))
    kinds = ["ip rule", "route", "sysctl", "nft", "nft", "iptables", "iptables", "iptables"]
    pieces = [("variant", chance.choice(VARIANTS[recipe]))] if firewall_tool != "nft" or recipe == "nft" else []
    pieces = pieces if chance.random() < 0.5 else []
    for number in range(chance.randint(1, PIECES_MOST)):
        pieces += PIECES[chance.choice(kinds)](chance, number, family)
    return Host(seed, recipe, family, firewall_tool, tuple(pieces))


def _iptables(chance, _, family):
    table = chance.choice(("raw", "mangle", "mangle", "filter", "filter", "nat"))
    chains, targets = TABLES[table]
    chain = chance.choice(chains)
    own = ONLY_OUT if chain in OUTGOING else ONLY_IN
    own = tuple(each for each in own if table in ("raw", "mangle") or "socket" not in each)
    extra = RPFILTER if table in ("raw", "mangle") and chain == "PREROUTING" else ()
    extra += DISCOVERY if family == 6 else ()
    matches = chance.sample((*MATCHES, *own, *own, *extra), chance.randint(0, 2))
    if sum("-p " in each for each in matches) > 1 or sum(" -d" in f" {each}" for each in matches) > 1:
        matches = matches[:1]
    target = chance.choice(targets)
    if table == "nat" and chain == "PREROUTING" and chance.random() < 0.5:
        matches, target = ["-p tcp --dport 80"], "-j REDIRECT --to-ports 9"
    if table == "nat" and chain == "POSTROUTING" and chance.random() < 0.5:
        target = "-j MASQUERADE"
    return [(table, " ".join([chance.choice(("-A", "-I")), chain, *matches, target]))]


def _nft(chance, number, family):
    hook = chance.choice(("prerouting", "input", "output", "postrouting"))
    kind = "route" if hook == "output" and chance.random() < 0.5 else "filter"
    priority = chance.choice((-310, -160, -140, 0, 10)) if hook in ("prerouting", "output") else 0
    policy = "drop" if hook == "input" and chance.random() < 0.1 else "accept"
    chain = f"c{number}"
    pool = (*NFT_MATCHES, *(NFT_ROUTES if hook == "prerouting" else ()), *(NFT_DISCOVERY if family == 6 else ()))
    target = chance.choice((*NFT_VERDICTS, *NFT_MARKS))
    matches = " ".join(chance.sample(pool, chance.randint(0, 2)))
    return [
        ("nft", f"add chain {{ip}} f {chain} {{ type {kind} hook {hook} priority {priority}; policy {policy}; }}"),
        ("nft", f"add rule {{ip}} f {chain} {matches} {target}"),
    ]


def _ip_rule(chance, *_):
    return [("on", f"rule add pref {chance.choice((1, 50, 32000, 32800))} {chance.choice(SELECTORS)} {chance.choice(ACTIONS)}")]


PIECES = {
    "ip rule": _ip_rule,
    "route": lambda chance, *_: [("on", chance.choice(ROUTES))],
    "sysctl": lambda chance, *_: [("sysctls", chance.choice(SYSCTLS))],
    "nft": _nft,
    "iptables": _iptables,
}


def try_out(host, fixes=False):
    """(verdict, what was seen): brings the host up, connects, and asks check.

    With `fixes`, the printed commands are run where the connection fails, in up to three rounds; what was seen says
    whether it works then.
    """
    case = necessity.Case(host.change(), host.recipe, host.family, host.firewall_tool)
    lab = Lab(adapter("tproxyd"), host.family, "inline", host.firewall_tool, divert=False, recipe_name=host.recipe)
    try:
        trial = necessity.Trial(lab, case)
        try:
            trial._set_up_hosts()
        except Exception as refused:  # a tool that refuses a line makes no host
            return NOT_MADE, str(refused)
        observed = _observe(trial)
        proxy = lab.proxies[0]
        made = _ask(trial, proxy)
        fixed = _fix(trial, proxy, made) if fixes and observed != "works" else ""
    finally:
        lab.close()
    wrong = {}
    for item, found in checklist.wrong(made).items():
        about = [each["read"] for each in found if _concerns(item, each["subject"], lab)]
        if about:
            wrong[item] = about[0]
    seen = f"observed: {observed}; named: {wrong}; in doubt: {made['not_judged']}{fixed}"
    return _verdict(observed, wrong, made["not_judged"]), seen


def _concerns(item, subject, lab):
    """Whether a finding is about this connection.

    Packets of others that the mark keeps here are no part of it. And who asks for a link-layer address is known from then
    on to the host that was asked: the client asks this host, and this host the server, so neither is asked back.
    """
    if item == "mark-shared":
        return not subject.startswith("IPv")
    not_needed = (
        f"neighbour solicitations to {lab.client.address}",
        f"neighbour advertisements from {lab.client.address}",
        f"neighbour solicitations from {lab.server.address}",
        f"neighbour advertisements to {lab.server.address}",
    )
    return not subject.startswith(not_needed)


def _ask(trial, proxy):
    return checklist.check(proxy.host, checklist.service_options(proxy.scenario, proxy.folder, trial._client()))


def _fix(trial, proxy, made):
    """What becomes of the connection when the commands are run; "" where there is none."""
    before, commands = bystanders.reached(trial), []
    for _ in range(ROUNDS):
        commands = [each for each in checklist.commands(checklist.wrong(made)) if each.place == "this host"]
        if not commands:
            break
        try:
            trial.fix(commands)
        except Exception as failed:
            return f"; A FIX FAILED: {failed}"
        made = _ask(trial, proxy)
    lost = before - bystanders.reached(trial)
    symptom = _observe_again(trial)
    harm = f", and {sorted(lost)} ended" if lost else ""
    left = {item: found[0]["read"] for item, found in checklist.wrong(made).items()}
    return f"; FIXED{harm}" if symptom == "works" else f"; NOT FIXED ({symptom}){harm}; left: {left}"


def _observe_again(trial):
    try:
        return trial.observe()
    except TimeoutError:
        return "stuck"


def _observe(trial):
    """The symptom. What neither works nor fails is stuck on the host itself, where no link sees it.

    Hosts ask for each other's link-layer addresses anew: rules may drop that.
    """
    trial._serve()
    for namespace in trial.lab.topology.namespaces():
        namespace.run("ip", "neigh", "flush", "all")
    return _observe_again(trial)


def _verdict(observed, wrong, not_judged):
    if bool(wrong) != (observed == "works"):
        return AGREED if wrong or not not_judged else IN_DOUBT
    return IN_DOUBT if not wrong and not_judged else DISAGREED


def shrink(host, seen):
    """The smallest host that still disagrees, and what was seen there."""
    for piece in host.pieces:
        smaller = host.without(piece)
        verdict, what = try_out(smaller) if smaller.pieces else (AGREED, "")
        if verdict == DISAGREED:
            return shrink(smaller, what)
    return host, seen
