"""tproxyd asks agents as HAProxy does: the same answers, the same lines of the log, the same columns of `show stat`.

Every case is a section with one server and an agent of its own, and all sections are one file, so both proxies run once.
"""

import re
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

from lab import waiting
from lab.netns.namespace import Namespace
from lab.paths import RUN
from lab.peers.commands import ask, stat
from lab.peers.daemon import Daemon
from lab.peers.played import Played, close, hold, reset, says
from lab.peers.side_by_side import PROGRAMS, Proxy

# One process runs all of them at once, and asks for much at a time; six of these would be late.
pytestmark = pytest.mark.xdist_group("agents-agree")

PORT, FIRST_SERVER, FIRST_AGENT = 7000, 6000, 5000
REFUSES = 4999
HEAD = """\
global
  nbthread 1
  stats socket {socket} level admin
defaults
  mode tcp
  timeout client 10m
  timeout server 10m
  timeout connect 1m
  timeout check 15s
  log stderr format raw local0 debug
  option log-health-checks
  default-server agent-check agent-inter 500ms weight 10
"""
# Equal where both mean the same; how long an agent took is not.
SAME = "status weight uweight act slim agent_status agent_code agent_desc last_agt agent_rise agent_fall agent_health check_status check_health chkdown".split()


LATE_RESET = says(b"", pause=0.05, then=reset)  # not while it connects
CASES = {}  # name: (words of the server, '#', and a line of the section; parts of the agent)
SHORT = "#timeout check 1500ms"  # for those that never answer; the others may be late


def line(text):
    return says(text.encode() + b"\n", then=close)


def case(name, *parts, words=""):
    CASES[name.replace(" ", "-")] = (words, [line(each) if isinstance(each, str) else each for each in parts])


case("up", "up")
case("down", "up", "down")
case("down with a description", "down#out of disk")
case("down with a description behind a space", "down # out of disk")
case("down, described by its own words", "down#up 50% ready")
case("failed", "failed")
case("fail", "fail")
case("stopped", "stopped#by hand")
case("capitals", "DOWN#Shouting")
case("down and up", "down", "up")
case("down and nothing", "down", "", "50%")
case("down and garbage", "down", "hello")
case("down and silence", "down", hold, words=SHORT)
case("down and a reset", "down", LATE_RESET)
case("a share", "50%")
case("a share of nothing", "0%")
case("no share any more", "0%", "100%")
case("a share of much", "1000%")
case("a share of too much", "99999%")
case("a share below 1", "1%")
case("half of a share", "50%x")
case("a share without a number", "%")
case("a negative share", "-5%")
case("drain", "drain")
case("drain and ready", "drain", "ready")
case("maint", "maint")
case("maint and ready", "maint", "ready")
case("maint and up", "maint", "up")
case("maint and drain", "maint", "drain", "ready")
case("drain and maint", "drain", "maint", "ready")
case("maint and down and ready", "maint", "down", "ready")
case("maxconn", "maxconn:5")
case("maxconn of nothing", "maxconn:")
case("maxconn of letters", "maxconn:a")
case("maxconn and letters", "maxconn:5a")
case("maxconn below 0", "maxconn:-1")
case("no maxconn", "maxconn:0", words="maxconn 3")
case("garbage", "hello world")
case("garbage and up", "hello up")
case("garbage and down", "hello down")
case("garbage and a description", "hello down#why")
case("a warning and up", "up 50%x")
case("all at once", "ready,50%,maxconn:7 up")
case("all at once and down", "drain 20% maxconn:3\tdown#tired")
case("the last word counts", "up down")
case("the last of the states counts", "maint ready")
case("an empty line", "")
case("nothing", close, words=SHORT)
case("carriage returns", says(b"down#a\r\nup\r\n", then=close))
case("two lines", says(b"up\ndown\n", then=close))
# Neither a flood, nor bytes that come one by one, nor a part of a line are compared: HAProxy looks for the end of the line behind
# what came, and finds what lay there; of the bytes and of the part only now and then.
case("a nul byte", says(b"do\0wn\n", then=close), words=SHORT)
case("a nul byte behind", says(b"down\0#x\n", then=close), words=SHORT)
case("unprintable bytes", says(b"down#\x01\xff\"'<>&\n", then=close))
case("a long description", "down#" + "e" * 300)
case("silence", hold, words=SHORT)
case("a reset", LATE_RESET)
case("a reset behind the line", says(b"down\n", then=reset))
case("held open", says(b"down\n"))
case("a refusal", hold, words=f"agent-port {REFUSES}")
case("a question", says(b"down\n", after=b"who?\n", then=close), words="agent-send who?\\n")
case("elsewhere", "down", words="agent-addr 127.0.0.2")
case("check and agent", "up", words="check inter 500ms")
case("check and down", "down", words="check inter 500ms")
case("check and down and up", "down", "up", words="check inter 500ms")
case("check and down and nothing", "down", "", "", words="check inter 200ms")
case("a check that fails and up", "", "", "", "", "up", "", "", words=f"check inter 400ms rise 1 fall 2 port {REFUSES}")
case("a check that fails and down", "", "", "", "", "down", "up", "", words=f"check inter 400ms rise 1 fall 1 port {REFUSES}")
case("a check that fails and maint", "maint", "ready", words=f"check inter 2s rise 1 fall 1 port {REFUSES}")
case("static weights", "50%", words="#balance static-rr")
case("a disabled server", "", words="disabled")
case("a disabled server and ready", "ready", words="disabled")
case("one that is not logged and down", "down #by hand", "up", words="#no option log-health-checks")
case("one that is silent as long as it is asked", hold, words="#timeout check 0")
case("a queue", "maxconn:1", words="maxconn 3 maxqueue 7")


# --- both proxies ---


def configuration(socket):
    text = HEAD.format(socket=socket)
    for number, (words, _) in enumerate(CASES.values()):
        words, _, rest = words.partition("#")
        agent = "" if "agent-port" in words else f"agent-port {FIRST_AGENT + number}"
        text += f"listen c{number}\n  bind 198.51.100.200:{PORT + number}\n  server s 127.0.0.1:{FIRST_SERVER + number} {agent} {words}\n"
        text += f"  {rest}\n" if rest else ""
    return text


AGENT = re.compile(r"Agent check for server (c\d+)/s (.*)")
CHANGE = re.compile(r"Server (c\d+)/s (.*)")
# HAProxy says it again each time that an agent changes a weight.
REPEATED = "remains in forced drain mode."
# HAProxy waits for more of a line that has ended without its end, and calls that a timeout; tproxyd says at once what is wrong.
INCOMPLETE = ("failed, reason: Layer7 invalid response, info: \"Ignoring incomplete line from agent\"", "failed, reason: Layer7 timeout")


def found(daemon, pattern):
    """{section: [text]}; a time that was measured is N. HAProxy says its own messages a second time, with a bracket before them."""
    lines = defaultdict(list)
    for match in filter(None, map(pattern.match, daemon.log().splitlines())):
        if match[2] != REPEATED:
            lines[match[1]].append(re.sub(r"duration: \d+ms", "duration: Nms", match[2]).replace(*INCOMPLETE))
    return lines


def state(path):
    """{section: columns of `show servers state`}, but for times, and whether the agent is asked just now."""
    rows = [row.split(" ") for row in ask(path, "show servers state").splitlines()[2:] if row]
    return {row[1]: [*row[4:9], *row[17:], int(row[14]) & ~1] for row in rows}


def settled(path, kept):
    """Keeps the rows whose agent is not asked just now: in others, HAProxy has forgotten the last answer. A silent one always is."""
    for (section, name), row in stat(path).items():
        if name == "s" and (section not in kept or not row["agent_status"].startswith("* ")):
            asked, _, status = row["agent_status"].rpartition(" ")
            kept[section] = {**{column: row[column].strip() for column in SAME}, "agent_status": status, "asked": asked}
    is_silent = {f"c{number}": parts[-1] is hold for number, (_, parts) in enumerate(CASES.values())}
    return all(is_silent[section] or not row["asked"] for section, row in kept.items())


def comparable(row):
    """Without what was wrong with an incomplete line."""
    row = {**row, "check_status": row["check_status"].removeprefix("* ")}
    if row["last_agt"] == "Ignoring incomplete line from agent":
        row["agent_status"] = row["agent_desc"] = "incomplete"
    if row.pop("asked"):
        row["last_agt"] = ""
    return row


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """{program: {case: (changes of state, checks, row of `show stat`, of `show servers state`, what the agent was asked)}}"""
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    return {name: run(tmp_path_factory.mktemp(name), name) for name in PROGRAMS}


def run(folder, name):
    namespace = Namespace(name)
    namespace.ip("link set lo up", "route add local 198.51.100.0/24 dev lo")
    path = Path(tempfile.mkdtemp(prefix="a", dir=RUN)) / "s"
    with namespace:
        servers = [Played("127.0.0.1", FIRST_SERVER + number, [hold]) for number in range(len(CASES))]
        agents = [
            Played("127.0.0.2" if "agent-addr" in words else "127.0.0.1", FIRST_AGENT + number, parts)
            for number, (words, parts) in enumerate(CASES.values())
        ]
    daemon = Daemon(namespace, folder, configuration(path), program=PROGRAMS[name])

    def are_asked():
        assert daemon.process.poll() is None, daemon.log()
        return all("agent-port" in words or len(agent.asked) >= len(parts) + 2 for agent, (words, parts) in zip(agents, CASES.values()))

    waiting.until(are_asked, "each agent has played its parts")
    rows = {}
    waiting.until(lambda: settled(path, rows), "no agent is asked")
    states = state(path)
    changes, checks = found(daemon, CHANGE), found(daemon, AGENT)
    daemon.process.kill()
    daemon.process.wait()
    for each in [*servers, *agents]:
        each.close()
    namespace.close()
    shutil.rmtree(path.parent)
    return {
        case: (changes[f"c{n}"], checks[f"c{n}"], comparable(rows[f"c{n}"]), states[f"c{n}"], bytes(agents[n].asked[0]) if agents[n].asked else None)
        for n, case in enumerate(CASES)
    }


@pytest.mark.parametrize("name", CASES)
def test_both_understand_the_same(findings, name):
    haproxy, tproxyd = (findings[each][name] for each in PROGRAMS)
    for theirs, ours in zip(haproxy, tproxyd):
        assert ours == theirs


OVERRULED = """\
global
  nbthread 1
  stats socket {socket} level admin
defaults
  mode tcp
  timeout client 10m
  timeout server 10m
  timeout connect 1m
  log stderr format raw local0 debug
listen c0
  bind 198.51.100.200:7000
  server s 127.0.0.1:6000 agent-check agent-inter 1h agent-port {refuses}
  server b 127.0.0.1:6001
"""
COMMANDS = [f"set server c0/{words}" for words in ("s agent down", "s agent down", "s agent x", "s agent", "b agent up", "s agent up", "x agent up")]


def overrule(folder, name):
    """The answers to COMMANDS, what the server's status is after each, and the lines of the log."""
    path = Path(tempfile.mkdtemp(prefix="a", dir=RUN)) / "s"
    proxy = Proxy(folder / name, name, OVERRULED.format(socket=path, refuses=REFUSES), 2)
    waiting.until(lambda: stat(path)["c0", "s"]["agent_status"] == "L4CON", "the agent is asked")
    answers = [(ask(path, command).strip(), stat(path)["c0", "s"]["status"]) for command in COMMANDS]
    lines = found(proxy.daemon, CHANGE)
    proxy.close()
    shutil.rmtree(path.parent)
    return answers, lines


def test_both_let_an_operator_overrule_an_agent(tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    haproxy, tproxyd = (overrule(tmp_path, name) for name in PROGRAMS)
    assert haproxy == tproxyd and len(tproxyd[1]["c0"]) == 2
