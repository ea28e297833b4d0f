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
from lab.peers.commands import stat
from lab.peers.daemon import Daemon
from lab.peers.played import Played, byte_by_byte, close, hold, reset, says, without_end
from lab.peers.side_by_side import PROGRAMS

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
  timeout client 20s
  timeout server 20s
  timeout connect 20s
  log stderr format raw local0 debug
  option log-health-checks
  default-server agent-check agent-inter 500ms weight 10
"""
# Equal where both mean the same; how long an agent took is not.
SAME = "status weight uweight act slim agent_status agent_code agent_desc last_agt agent_rise agent_fall agent_health check_status check_health chkdown".split()


CASES = {}  # name: (words of the server, parts of the agent)


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
case("down and silence", "down", hold)
case("down and a reset", "down", reset)
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
case("nothing", close)
case("a part of a line", says(b"down", then=close))
case("carriage returns", says(b"down#a\r\nup\r\n", then=close))
case("two lines", says(b"up\ndown\n", then=close))
case("byte by byte", byte_by_byte(b"down#slow\n", then=close))
case("a line without end", without_end(b"x"))
case("words without end", without_end(b"up "))
case("a nul byte", says(b"do\0wn\n", then=close))
case("a nul byte behind", says(b"down\0#x\n", then=close))
case("unprintable bytes", says(b"down#\x01\xff\"'<>&\n", then=close))
case("a long description", "down#" + "e" * 300)
case("silence", hold)
case("a reset", reset)
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
case("static weights", "50%", words="#static")


# --- both proxies ---


def configuration(socket):
    text = HEAD.format(socket=socket)
    for number, (words, _) in enumerate(CASES.values()):
        words, _, static = words.partition("#")
        agent = "" if "agent-port" in words else f"agent-port {FIRST_AGENT + number}"
        text += f"listen c{number}\n  bind 198.51.100.200:{PORT + number}\n  server s 127.0.0.1:{FIRST_SERVER + number} {agent} {words}\n"
        text += "  balance static-rr\n" if static else ""
    return text


AGENT = re.compile(r"Agent check for server (c\d+)/s (.*)")
CHANGE = re.compile(r"Server (c\d+)/s (.*)")


def found(daemon, pattern):
    """{section: [text]}; a time that was measured is N. HAProxy says its own messages a second time, with a bracket before them."""
    lines = defaultdict(list)
    for match in filter(None, map(pattern.match, daemon.log().splitlines())):
        lines[match[1]].append(re.sub(r"duration: \d+ms", "duration: Nms", match[2]))
    return lines


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """{program: {case: (changes of state, checks, row of `show stat`, what the agent was asked)}}"""
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
    rows = stat(path)
    changes, checks = found(daemon, CHANGE), found(daemon, AGENT)
    daemon.process.kill()
    daemon.process.wait()
    for each in [*servers, *agents]:
        each.close()
    namespace.close()
    shutil.rmtree(path.parent)
    return {
        case: (changes[f"c{n}"], checks[f"c{n}"], {column: rows[f"c{n}", "s"][column] for column in SAME}, bytes(agents[n].asked[0]) if agents[n].asked else None)
        for n, case in enumerate(CASES)
    }


@pytest.mark.parametrize("name", CASES)
def test_both_understand_the_same(findings, name):
    haproxy, tproxyd = (findings[each][name] for each in PROGRAMS)
    for theirs, ours in zip(haproxy, tproxyd):
        assert ours == theirs
