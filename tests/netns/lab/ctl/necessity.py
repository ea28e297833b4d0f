"""The purpose of each part of a set-up: leave it out, make a new connection, and look.

fixtures/necessity.toml has one row for each change, with the predicted symptom and the reason in one sentence.
A row stands for one case for each of its recipes and families. A case makes its own hosts, applies the recipe
with the change, starts the proxy, and looks at new connections (see connectivity). docs/NECESSITY.md shows the same
rows.
"""

import fcntl
import json
import time
from dataclasses import dataclass, field, fields

from lab import toml, waiting
from lab.ctl import checklist, connectivity
from lab.netns import firewall, hoststate, topology
from lab.netns.endpoint import Endpoint
from lab.paths import BUILD, FIXTURES, TPROXYD
from lab.peers.datagrams import Peer
from lab.peers.proxy import Proxy, ProxyEnded
from lab.setup import recipe
from lab.setup.setups import bridge_calls_rules

TABLE = FIXTURES / "necessity.toml"
OBSERVED = BUILD / "necessity.json"
FORMAT = 2

IPTABLES_TABLES = ("raw", "mangle", "nat", "filter")
DEFAULT_RECIPES = ("divert", "tproxy", "nft")
NO_TIMEOUT = {"connect": 60_000}


@dataclass(frozen=True)
class Change:
    """One row. What is not said is as the recipe and the topology have it."""

    change: str
    predicted: str
    why: str
    group: str
    recipes: tuple = DEFAULT_RECIPES
    families: tuple = topology.FAMILIES
    topology: str = "inline"
    without: tuple = ()  # items of the recipe that are left out
    instead: dict = field(default_factory=dict)  # items of it that have another text
    mangle: tuple = ()  # further lines of the proxy host's table mangle
    nat: tuple = ()  # of its table nat
    filter: tuple = ()  # of its table filter
    raw: tuple = ()  # of its table raw
    nft: tuple = ()  # of its nftables rules
    sysctls: tuple = ()  # NAME=VALUE, on the proxies' hosts
    on: dict = field(default_factory=dict)  # host: lines for ip -batch
    sysctls_on: dict = field(default_factory=dict)  # host: NAME=VALUE
    announce: bool = True  # whether the host answers for the VIP, where it has to
    bridge_calls_rules: int = -1
    listener: str = "{vip}:80"
    transparent: bool = True
    source: str = ""  # clientip, but none for the recipe that is good for binding only
    servers: int = 1
    proxies: int = 1  # that listen at the same addresses
    vip: str = "{vip}"  # that clients connect to
    held: int = 0  # connections that are there already
    connections: int = 1
    upload: int = 0  # bytes that follow
    protocol: str = "tcp"
    datagram: int = 16  # bytes of each
    client_number: int = 0  # which of the client's addresses connects
    answers: str = ""  # "vanish", or "reset": what becomes of the server's, where they pass the proxy undiverted
    implementation: str = "tproxyd"
    drop: tuple = ()  # capabilities that are taken from the proxy
    finding: tuple = ()  # what `tproxyctl check` has to name, and nothing else


@dataclass(frozen=True)
class Case:
    row: Change
    recipe: str
    family: int
    firewall_tool: str

    @property
    def id(self):
        by = f" / {self.firewall_tool}" if self.firewall_tool == "iptables-legacy" else ""
        return f"{self.row.change} / {self.recipe} / IPv{self.family}{by}"


_WORDS = {
    4: {"ip": "ip", "icmp": "icmp", "addr_type": "ipv4_addr", "vip_literal": "192.0.2.80"},
    6: {"ip": "ip6", "icmp": "ipv6-icmp", "addr_type": "ipv6_addr", "vip_literal": "[2001:db8:f::80]"},
}


def _fill(line, words):
    for name, value in words.items():
        line = line.replace("{" + name + "}", str(value))
    return line


def load(path=TABLE):
    """The rows in their order."""
    made = []
    for group in toml.read(path)["group"]:
        for row in group["change"]:
            known = {each.name for each in fields(Change)}
            assert set(row) <= known, f"{row['change']}: {sorted(set(row) - known)}"
            lists = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
            made.append(Change(**{**row, **lists, "group": group["title"]}))
    return made


def firewall_tools(row, name):
    """The tools that load the rules of a row's recipe: iptables comes in two kinds."""
    if name == "nft" or row.nft:
        return ("nft",)
    ruled = name != "local-route" or any(getattr(row, table) for table in IPTABLES_TABLES)
    return firewall.IPTABLES if ruled else ("iptables",)


def cases(rows=None):
    return [
        Case(row, each, family, firewall_tool)
        for row in (load() if rows is None else rows)
        for each in row.recipes
        for family in row.families
        for firewall_tool in firewall_tools(row, each)
    ]


class Trial:
    """One case on a laid out lab to which no recipe was applied yet."""

    def __init__(self, lab, case):
        self.lab, self.case, self.row = lab, case, case.row
        self.attempts = []
        self.not_judged = []  # items, when check last looked
        self.server = None  # the one for datagrams
        self.source = self.row.source or ("none" if case.recipe == "local-route" else "clientip")
        client = {"client": lab.client.addresses[case.family][0]}
        self.words = {**topology.placeholders(case.family), **_WORDS[case.family], **client}

    def filled(self, lines):
        """Lines with the family's words in their braces."""
        return [_fill(line, self.words) for line in lines]

    def run(self):
        """(symptom, what else was seen)."""
        self._set_up_hosts()
        try:
            self._serve()
        except ProxyEnded:
            return "refused", "the proxy does not start"
        for _ in range(self.row.held):
            self.lab.client.connect(self._vip())
        return self.observe(), self._answers()

    def observe(self):
        lab, row = self.lab, self.row
        expected = lab.proxy.address if self.source == "none" else self._client()
        if row.protocol == "udp":
            self.server = self.server or Peer(lab.server, lab.server_endpoint)
            return connectivity.observe_datagrams(self.server, Peer(lab.client), self._vip(), expected, row.datagram)
        source = Endpoint(self._client(), 0) if row.client_number else None
        earlier = connectivity.forget(lab)  # on a busy machine the lab's own packets may have been sent again, too
        self.attempts = [connectivity.Attempt(lab, self._vip(), expected, source) for _ in range(row.connections)]
        return connectivity.observe(lab, self.attempts, earlier, row.upload)

    def _set_up_hosts(self):
        row = self.row
        if row.bridge_calls_rules != -1:
            bridge_calls_rules(self.lab.topology.proxy, row.bridge_calls_rules)
        if row.announce:
            self.lab.topology.announce()
        for host in self.lab.topology.proxies():
            self._set_up_proxy(host)
        for name, values in row.sysctls_on.items():
            self.lab.topology.hosts[name].sysctl(dict(each.split("=", 1) for each in values))
        for name, lines in row.on.items():
            text = "\n".join(self.filled(lines)) + "\n"
            self.lab.topology.hosts[name].run("ip", f"-{self.case.family}", "-batch", "-", text=text)

    def _set_up_proxy(self, host):
        row, family = self.row, self.case.family
        instead = {name: self.filled([text])[0] for name, text in row.instead.items()}
        items = recipe.edited(recipe.items(self.case.recipe, family, self.case.firewall_tool), row.without, instead)
        recipe.apply_items(host, items, family, self.case.firewall_tool, dict(each.split("=", 1) for each in row.sysctls))
        for table in IPTABLES_TABLES:
            lines = getattr(row, table)
            if lines:
                text = "\n".join([f"*{table}", *self.filled(lines), "COMMIT", ""])
                firewall_tool = "iptables" if self.case.firewall_tool == "nft" else self.case.firewall_tool
                firewall.load_rules(host, text, family, firewall_tool, "--noflush")
        if row.nft:
            host.run("nft", "-f", "-", text="\n".join(self.filled(row.nft)) + "\n")

    def check(self):
        """What `tproxyctl check` finds missing or harmful on the proxies' hosts: {item: findings}."""
        named, self.not_judged = {}, []
        for proxy in self.lab.proxies:
            needs = checklist.service_options(proxy.scenario, proxy.folder, self._client())
            made = checklist.check(proxy.host, needs, self._connecting())
            self.not_judged += made["not_judged"]
            for item, findings in checklist.wrong(made).items():
                named.setdefault(item, []).extend(findings)
        return named

    def _connecting(self):
        """What starts a client while check captures; None for datagrams."""
        return self._begin if self.row.protocol == "tcp" else None

    def _begin(self):
        made = self.lab.client.socket(self._vip().address)
        made.setblocking(False)
        made.connect_ex(tuple(self._vip()))
        return made

    def fix(self, commands):
        """Run what check printed, twice: the second time nothing fails and nothing changes."""
        for each in self.attempts:
            each.end()
        self._run_all(commands)
        made = self._made_by(commands)
        self._run_all(commands)
        again = self._made_by(commands)
        assert again == made, "a second run of the commands changes something"
        waiting.until(self._no_address_is_asked_for, "earlier address requests have ended")

    def _run_all(self, commands):
        """Run each command at its place; start a proxy again if its configuration or its start changed."""
        starts = [command for _, command in commands if command.startswith("setpriv")]
        for place, command in commands:
            for host in self._hosts(place) if command not in starts else ():
                host.run("sh", "-c", command, environment=firewall.lock(host))
        if "the proxy" in dict(commands) or self.lab.proxies[0].process.poll() is not None:
            self._start_anew(*starts)

    def _made_by(self, commands):
        """Rules, routes and configurations of all places where a command ran."""
        hosts = {host.name: host for place, _ in commands for host in self._hosts(place)}
        configs = [proxy.folder / "proxy.cfg" for proxy in self.lab.proxies]
        texts = [each.read_text(encoding="utf-8") for each in configs if each.exists()]
        return {name: checklist.made_on(host) for name, host in hosts.items()}, texts

    def _no_address_is_asked_for(self):
        """Otherwise a new connection would share the result of an address request from before the fix, the client's or the proxy's."""
        hosts = [self.lab.client.namespace, *self.lab.topology.proxies()]
        return not any(hoststate.asks_for_addresses(each) for each in hosts)

    def _hosts(self, place):
        if place in ("this host", "the proxy"):
            return self.lab.topology.proxies()[: self.row.proxies]
        return [self.lab.topology.hosts[place.removeprefix("the ")]]

    def _start_anew(self, line=""):
        """Start the proxies again, by the printed command or with their edited configurations."""
        old, self.lab.proxies = self.lab.proxies, []
        for proxy in old:
            proxy.kill()
            config = proxy.folder / "proxy.cfg"
            adapter = [self.lab.implementation.path, "run", proxy.folder / "scenario.json", proxy.folder]
            command = [TPROXYD, "-f", config] if config.exists() else adapter
            # Without a shell in between, which would be killed before the proxy that it started.
            command = ["sh", "-c", f"exec {line}"] if line else command
            made = Proxy(proxy.host, command, proxy.scenario, proxy.folder)
            self.lab.proxies.append(made)
            made.await_ready()

    def _serve(self):
        lab, row = self.lab, self.row
        address, _, port = self.filled([row.listener])[0].rpartition(":")
        listener = {"address": self._own(address), "port": int(port), "transparent": row.transparent}
        if listener["address"] == "::":  # the host is set up for this family alone
            listener["v6"] = "v6only"
        servers = [Endpoint(lab.server.address, 8080 + number) for number in range(row.servers)]
        for endpoint in servers if row.protocol == "tcp" else ():
            lab.server.serve(endpoint)
        rest = {"without": row.drop, "timeouts": NO_TIMEOUT, "protocol": row.protocol}
        for host in lab.proxy_hosts[: row.proxies]:
            lab.start(self.source, [listener], servers, host=host, **rest).await_ready()

    def _own(self, address):
        named = {"any": {4: "0.0.0.0", 6: "::"}[self.case.family], "own": self.lab.proxy_address_to_clients}
        return named.get(address, address)

    def _vip(self):
        address, _, port = self.filled([self.row.vip])[0].partition(" ")
        return Endpoint(self._own(address), int(port or 80))

    def _client(self):
        return self.lab.client.addresses[self.case.family][self.row.client_number]

    def _answers(self):
        if not self.row.answers:
            return ""
        if not connectivity.answers_past_the_proxy(self.lab):
            return "vanish"
        return "reset" if connectivity.client_reset_them(self.lab) else "reach the client"


def keep(case, observed, also):
    """Write the observed result into build/necessity.json; safe with several processes."""
    OBSERVED.parent.mkdir(exist_ok=True)
    with open(OBSERVED, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = {**_read(file), case.id: _as_dictionary(case, observed, also)}
        wanted = [known[each.id] for each in cases() if each.id in known]
        file.truncate(0)
        json.dump({"format": FORMAT, "cases": wanted}, file, indent=1)


def kept():
    """The contents of build/necessity.json for reports, or None."""
    try:
        with open(OBSERVED, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            known = _read(file)
    except FileNotFoundError:
        return None
    every = [each.id for each in cases()]
    rows = [known[each] for each in every if each in known]
    return {"total": len(every), "cases": rows} if rows else None


def _read(file):
    """{case: what was kept of it}; none of a file that is cut off, or of another format."""
    file.seek(0)
    try:
        made = json.load(file)
    except ValueError:
        return {}
    return {row["case"]: row for row in made["cases"]} if made["format"] == FORMAT else {}


def _as_dictionary(case, observed, also):
    row = case.row
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "case": case.id,
        "group": row.group,
        "change": row.change,
        "recipe": case.recipe + (f" by {case.firewall_tool}" if case.firewall_tool == "iptables-legacy" else ""),
        "family": case.family,
        "topology": row.topology,
        "predicted": row.predicted,
        "observed": observed,
        "also": also,
        "why": row.why,
    }


HEAD = """\
# The purpose of each part of the set-up

Each row leaves one part of a set-up out, or sets one harmful value. It shows what happens to a *new* connection (an
established one may continue), and which item `tproxyctl check` names. `tests/netns/necessity --docs` writes this page
from `fixtures/necessity.toml`, and `make check` tries every row: {cases} cases, {rows} changes. In each case, check
must name exactly the items of the row. The commands that it prints must fix the case, also when they run twice.

| symptom | meaning |
|---|---|
| works | bytes pass in both directions, and the server sees the client's address |
| wrong source | bytes pass, and the server sees another address |
| refused | the connection fails at once, or the proxy ends it before a byte comes back |
| times out | nothing comes back: packets are retransmitted and get no answer |
| stalls | the connection works first, then bytes no longer get through |
| intermittent | of several connections some work and some do not |

The recipe `divert` is the walk-through's; `tproxy` adds the target TPROXY for packets that begin a
connection; `nft` is the same in nftables' language; `local-route` is a local route for the address, and no
rules. They are in `tests/netns/lab/setup/recipe.py`, topologies in `tests/netns/lab/netns/layouts.py`. The
proxy connects to the server from the client's address (`usesrc clientip`), with `local-route` from its own.
"""


def render(rows=None):
    """docs/NECESSITY.md."""
    rows = load() if rows is None else rows
    text = HEAD.format(rows=len(rows), cases=len(cases(rows)))
    for group in dict.fromkeys(row.group for row in rows):
        text += f"\n## {group}\n\n| change | recipe | topology | IP | symptom | check names | why |\n{'|---' * 7}|\n"
        text += "".join(_line(row) for row in rows if row.group == group)
    return text


def _line(row):
    families = " ".join(map(str, row.families))
    named = ", ".join(f"`{each}`" for each in row.finding)
    cells = (row.change, ", ".join(row.recipes), row.topology, families, f"**{row.predicted}**", named, row.why)
    return "| " + " | ".join(cells) + " |\n"
