"""tproxyd checks servers as HAProxy does: the same lines, the same servers, the same bytes on the wire and in the log.

Every case is a section with one server of its own, and all sections are one file, so both proxies run once. What a
server was asked is kept.
"""

import re
import shutil
import socket
import struct
from collections import defaultdict

import pytest

from lab import waiting
from lab.netns.namespace import Namespace
from lab.peers.daemon import Daemon
from lab.peers.played import Played, byte_by_byte, close, ends, hold, reset, says, without_end
from lab.peers.side_by_side import PROGRAMS

# One process runs all of them at once, and asks for much at a time; six of these would be late.
pytestmark = pytest.mark.xdist_group("checks-agree")

PORT, FIRST_SERVER = 7000, 6000
LAST = FIRST_SERVER + 500  # says B to everyone
REFUSES, SILENT = 5999, 5998
HEAD = """\
global
  nbthread 1
defaults
  mode tcp
  timeout client 10m
  timeout server 10m
  timeout connect 1m
  timeout check 10s
  log stderr format raw local0 debug
  default-server check inter 1s fastinter 50ms downinter 50ms rise 1 fall 1
"""


CASES = {}  # name: (lines of the section, words of the server, parts, how often the state changes)


def case(name, lines, *parts, words="", changes=None):
    CASES[name.replace(" ", "-")] = (lines, words, parts, len(parts) if changes is None else changes)


case("a string that comes", "option tcp-check\ntcp-check expect string HELLO", ends, says(b"xHELLOy"))
case("a string that does not come", "option tcp-check\ntcp-check expect string HELLO", says(b"GOODBYE", then=close))
case("a wrong string and silence", "option tcp-check\ntcp-check expect string HELLO", says(b"GOODBYE"))
case("silence", "option tcp-check\ntcp-check expect string HELLO", hold)
case("an end", "option tcp-check\ntcp-check expect string HELLO", close)
case("a reset behind a question", "option tcp-check\ntcp-check send PING\\r\\n\ntcp-check expect string PONG", says(b"", after=b"PING", then=reset))
case("an end behind a question", "option tcp-check\ntcp-check send PING\\r\\n\ntcp-check expect string PONG", says(b"", after=b"PING\r\n", then=close))
case("silence behind a question", "option tcp-check\ntcp-check send PING\\r\\n comment ask\ntcp-check expect string PONG comment 'the answer'", hold)
case("question and answer", "option tcp-check\ntcp-check send PING\\r\\n\ntcp-check expect string +PONG", ends, says(b"+PONG\r\n", after=b"PING\r\n"))
case("three questions", "option tcp-check\ntcp-check connect\ntcp-check send PING\\r\\n\ntcp-check expect string +PONG\ntcp-check send info\\ replication\\r\\n\ntcp-check expect string role:master\ntcp-check send QUIT\\r\\n\ntcp-check expect string +OK", ends, says(b"+PONG\r\n", b"$9\r\nrole:master\r\n", b"+OK\r\n", after=[b"PING\r\n", b"replication\r\n", b"QUIT\r\n"]))
case("the second answer is wrong", "option tcp-check\ntcp-check comment hello\ntcp-check connect\ntcp-check send PING\\r\\n\ntcp-check expect string +PONG\ntcp-check comment role\ntcp-check send info\\ replication\\r\\n\ntcp-check expect string role:master", says(b"+PONG\r\n", b"$9\r\nrole:slave\r\n", after=[b"PING\r\n", b"replication\r\n"], then=close))
case("the second answer is wrong and stays", "option tcp-check\ntcp-check connect\ntcp-check send PING\\r\\n\ntcp-check expect string +PONG\ntcp-check comment role\ntcp-check send info\\ replication\\r\\n\ntcp-check expect string role:master", says(b"+PONG\r\n", b"$9\r\nrole:slave\r\n", after=[b"PING\r\n", b"replication\r\n"]))
case("binary", "option tcp-check\ntcp-check send-binary 50494e470d0a\ntcp-check expect binary 2b504F4e47", ends, says(b"+PONG\r\n", after=b"PING\r\n"))
case("binary that does not come", "option tcp-check\ntcp-check send-binary 00FF\ntcp-check expect binary 2b00", says(b"+PONG\r\n", after=b"\x00\xff", then=close))
case("binary and silence", "option tcp-check\ntcp-check send-binary 00FF\ntcp-check expect binary 2b00", hold)
case("what must not come", "option tcp-check\ntcp-check expect ! string DENIED", says(b"you are DENIED"))
case("what must not come and does not", "option tcp-check\ntcp-check expect !string DENIED", ends, says(b"welcome", then=close))
case("what must not come and silence", "option tcp-check\ntcp-check expect !string DENIED", says(b"welcome"))
case("an expression", "option tcp-check\ntcp-check expect rstring ^(2..|3..)", ends, says(b"250 hello\r\n"))
case("an expression that does not match", "option tcp-check\ntcp-check expect rstring ^(2..|3..)", says(b"500 no\r\n", then=close))
case("an expression and silence", "option tcp-check\ntcp-check expect rstring ^(2..|3..)", hold)
case("an expression of hexadecimal", "option tcp-check\ntcp-check expect rbinary ^0A[0-9A-F]{2}00", ends, says(b"\x0a\x5b\x00"))
case("an expression of hexadecimal that does not match", "option tcp-check\ntcp-check expect rbinary ^0A[0-9A-F]{2}00", says(b"\x0a\x5b\x01", then=close))
case("enough bytes", "option tcp-check\ntcp-check expect min-recv 4 string OK", says(b"NO", b"NO"))
case("not enough bytes", "option tcp-check\ntcp-check expect min-recv 4 string OK", says(b"NO"))
case("conclusive", "option tcp-check\ntcp-check expect min-recv 0 rstring OK", says(b"N"))
case("statuses", "option tcp-check\ntcp-check expect error-status L7STS on-error sorry string OK", says(b"NO", then=close))
case("statuses of success", "option tcp-check\ntcp-check expect ok-status L6OK on-success fine string OK", ends, says(b"OK"))
case("statuses of silence", "option tcp-check\ntcp-check expect tout-status L6TOUT string OK", hold)
case("byte by byte", "option tcp-check\ntcp-check expect string HELLO", ends, byte_by_byte(b"xxxxHELLOyyyy"))
case("without end", "option tcp-check\ntcp-check expect string HELLO", without_end(b"x"))
case("without end and right", "option tcp-check\ntcp-check expect string HELLO", ends, without_end(b"HELLO"))
case("two expects of one answer", "option tcp-check\ntcp-check expect string A\ntcp-check expect string B", ends, says(b"BA"))
case("two ports", "option tcp-check\ntcp-check connect\ntcp-check expect string A\ntcp-check connect port {next}\ntcp-check expect string B", ends, says(b"A"))
case("the second port refuses", f"option tcp-check\ntcp-check connect comment one\ntcp-check expect string A\ntcp-check connect port {REFUSES} comment two\ntcp-check expect string B", says(b"A"))
case("linger", "option tcp-check\ntcp-check connect linger\ntcp-check expect string A", ends, says(b"A"))
case("proxy header", "option tcp-check\ntcp-check connect send-proxy\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"))
case("proxy header of the server", "option tcp-check\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="send-proxy")
case("proxy header of version 2", "option tcp-check\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="send-proxy-v2")
case("no proxy header", "option tcp-check\ntcp-check connect\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="send-proxy")
case("no proxy header elsewhere", "option tcp-check\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="send-proxy addr 127.0.0.1")
case("proxy header elsewhere", "option tcp-check\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="send-proxy addr 127.0.0.1 check-send-proxy")
case("proxy header for checks", "option tcp-check\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="check-send-proxy")
case("proxy header by default", "option tcp-check\ntcp-check connect default\ntcp-check send bye\ntcp-check expect string A", ends, says(b"A", after=b"bye"), words="send-proxy")
case("redis of odd bytes", "option redis-check", says(b"\x01\"&<>\\\xff\r\n", then=ends))
case("on-error of nothing", "option tcp-check\ntcp-check expect string A on-error sorry", ends)
case("two expects and the second fails", "option tcp-check\ntcp-check expect string A\ntcp-check expect string B", says(b"xA", then=ends))
case("a long answer", "option redis-check", says(b"-" + b"e" * 300 + b"\r\n", then=ends))
case("a dot and a line", "option tcp-check\ntcp-check expect rstring A.B", says(b"A\nB", then=ends))
case("a dollar and a line", "option tcp-check\ntcp-check expect rstring AB$", ends, says(b"AB\n", then=ends))
case("classes", "option tcp-check\ntcp-check expect rstring '^\\d+\\s\\w{2}\\.$'", ends, says(b"12 ab.", then=ends))
case("a nul byte before it", "option tcp-check\ntcp-check expect string B", ends, says(b"A\0B"))
case("an expression and a nul byte", "option tcp-check\ntcp-check expect rstring B$", ends, says(b"A\0B"))
case("unprintable", "option tcp-check\ntcp-check expect string A\\x07&\"\\\"\" on-error no", says(b"B" * 40, then=close))

for kind, lines in {
    "nothing": "",
    "tcp-check": "option tcp-check",
    "a step": "option tcp-check\ntcp-check send x",
    "a connect": "option tcp-check\ntcp-check connect comment here",
    "redis": "option redis-check",
    "http": "option httpchk",
}.items():
    case(f"a refusal with {kind}", lines, hold, words=f"port {REFUSES}")
    case(f"no answer with {kind}", lines, hold, words=f"port {SILENT}")

PONG = says(b"+PONG\r\n", after=b"PING\r\n")
BROKEN = says(b"", after=b"PING\r\n", then=reset)
LOGGED = "option log-health-checks\noption redis-check"
case("one that comes and goes", LOGGED, *[ends, PONG] * 5)
case("one that comes and goes slowly", LOGGED, *[ends, PONG, PONG, ends, ends, PONG, hold, BROKEN, ends, PONG, ends, PONG, PONG], words="rise 2 fall 3", changes=4)
case("one that comes and goes before it is up", LOGGED, *[ends, PONG, PONG, ends, PONG, PONG, PONG, ends, PONG], words="rise 3 fall 1", changes=3)
case("one that is late", "timeout check 1m\n" + LOGGED, ends, says(b"+PONG\r\n", after=b"PING\r\n", pause=5.4))

case("redis", "option redis-check", ends, says(b"+PONG\r\n", after=b"PING\r\n"))
case("redis that loads", "option redis-check", says(b"-LOADING Redis is loading the dataset\r\n", after=b"PING\r\n"))
case("redis that ends", "option redis-check", says(b"-ERR max number of clients\r\n", after=b"PING\r\n", then=close))
case("redis that is silent", "option redis-check", hold)

case("smtp", "option smtpchk", ends, says(b"220 mail ESMTP\r\n", b"250 mail\r\n", b"221 bye\r\n", after=[b"", b"HELO localhost\r\n", b"QUIT\r\n"]))
case("smtp with ehlo", "option smtpchk EHLO mail.example", ends, says(b"220 mail ESMTP\r\n", b"250-mail\r\n250-SIZE\r\n250 HELP\r\n", b"221 bye\r\n", after=[b"", b"EHLO mail.example\r\n", b"QUIT\r\n"]))
case("smtp that refuses", "option smtpchk", says(b"554 no service\r\n"))
case("smtp that refuses hello", "option smtpchk", says(b"220 mail ESMTP\r\n", b"503 bad sequence\r\n", after=[b"", b"HELO localhost\r\n"]))
case("no smtp", "option smtpchk", says(b"SSH-2.0-OpenSSH\r\n"))
case("smtp that is silent", "option smtpchk", hold)
case("smtp that ends", "option smtpchk", close)

PG = b"R\0\0\0\x08\0\0\0\0"
case("postgres", "option pgsql-check user haproxy", ends, says(PG, after=b"haproxy\0\0"))
case("postgres with md5", "option pgsql-check user haproxy", ends, says(b"R\0\0\0\x0c\0\0\0\x05abcd", after=b"haproxy\0\0"))
case("postgres that refuses", "option pgsql-check user haproxy", says(b"E\0\0\0\x60SFATAL\0C28000\0Mno entry\0\0", after=b"haproxy\0\0", then=close))
case("postgres in other words", "option pgsql-check user haproxy", says(b"HTTP/1.0 400 Bad\r\n", after=b"haproxy\0\0", then=close))
case("postgres that is silent", "option pgsql-check user haproxy", hold)
case("postgres that ends", "option pgsql-check user haproxy", ends)


def mysql(payload, number=0):
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


GREETING = mysql(b"\x0a5.5.5-10.11-MariaDB\0" + b"\1\0\0\0" + b"saltsalt\0" + b"\0" * 20)
GOOD = mysql(b"\0\0\0\2\0\0\0", 2)
DENIED = mysql(b"\xff\x15\x04#28000Access denied", 2)
case("mysql", "option mysql-check", ends, says(GREETING))
case("mysql that blocks", "option mysql-check", says(mysql(b"\xff\x69\x04Host is blocked"), then=close))
case("mysql with user", "option mysql-check user haproxy", ends, says(GREETING, GOOD, after=[b"", b"haproxy\0"]))
case("mysql of old", "option mysql-check user haproxy pre-41", ends, says(GREETING, GOOD, after=[b"", b"haproxy\0"]))
case("mysql that denies", "option mysql-check user haproxy", says(GREETING, DENIED, after=[b"", b"haproxy\0"], then=close))
case("mysql that is cut", "option mysql-check", says(GREETING[:20], then=close))
case("mysql that is silent", "option mysql-check user haproxy", hold)
case("mysql that ends", "option mysql-check", close)
case("mysql byte by byte", "option mysql-check", ends, byte_by_byte(GREETING))

case("tls", "option ssl-hello-chk", ends, says(b"\x16\x03\0\0\x4a\x02", after=b"HAPROXYSSLCHK"))
case("tls alert", "option ssl-hello-chk", ends, says(b"\x15\x03\x01\0\2\x02\x46", after=b"HAPROXYSSLCHK"))
case("no tls", "option ssl-hello-chk", says(b"HTTP/1.0 400 Bad\r\n", after=b"HAPROXYSSLCHK"))
case("tls that is silent", "option ssl-hello-chk", hold)
case("tls that ends", "option ssl-hello-chk", ends)

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
BLANK = b"\r\n\r\n"
case("http", "option httpchk", ends, says(OK, after=BLANK, then=close))
case("http that stays", "option httpchk", ends, says(OK, after=BLANK))
case("http of a path", "option httpchk /health", ends, says(OK, after=BLANK))
case("http of a method", "option httpchk GET /health", ends, says(OK, after=BLANK))
case("http of a version", "option httpchk GET /health HTTP/1.1\nhttp-check send hdr Host www.example", ends, says(OK, after=BLANK))
case("http 503", "option httpchk GET /master", says(b"HTTP/1.0 503 Service Unavailable\r\n\r\n", after=BLANK, then=close))
case("http 302", "option httpchk GET /master", ends, says(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", after=BLANK))
case("http 500 without a reason", "option httpchk GET /master", says(b"HTTP/1.0 500\r\n\r\n", after=BLANK, then=close))
case("http that is none", "option httpchk", says(b"SSH-2.0-OpenSSH\r\n\r\n", after=BLANK))
case("http that is cut", "option httpchk", says(b"HTTP/1.0 200 OK\r\nServer:", after=BLANK, then=close))
case("http that is silent", "option httpchk", hold)
case("http that ends", "option httpchk", says(b"", after=BLANK, then=close))
case("http that resets", "option httpchk", says(b"", after=BLANK, then=reset))
case("http byte by byte", "option httpchk", ends, byte_by_byte(OK, after=BLANK))
case("http without end", "option httpchk", says(b"HTTP/1.0 200 OK\r\n", after=BLANK, then=without_end(b"X: y\r\n")))
case("http expects 401", "option httpchk GET /\nhttp-check expect status 401,500-599", ends, says(b"HTTP/1.0 503 No\r\n\r\n", after=BLANK, then=close))
case("http does not expect 401", "option httpchk GET /\nhttp-check expect ! status 401", says(b"HTTP/1.0 401 No\r\n\r\n", after=BLANK, then=close))
case("http expects rstatus", "option httpchk GET /\nhttp-check expect rstatus ^2[0-9][05]", ends, says(b"HTTP/1.0 205 No\r\n\r\n", after=BLANK, then=close))
case("http expects another rstatus", "option httpchk GET /\nhttp-check expect rstatus ^2[0-9][05]", says(b"HTTP/1.0 404 Not Found\r\n\r\n", after=BLANK, then=close))
case("http expects a string", "option httpchk GET /\nhttp-check expect string ok", ends, says(OK, after=BLANK))
case("http expects another string", "option httpchk GET /\nhttp-check expect string yes", says(OK, after=BLANK, then=close))
case("http expects a string of 500", "option httpchk GET /\nhttp-check expect string yes", ends, says(b"HTTP/1.0 500 No\r\n\r\nyes", after=BLANK, then=close))
case("http expects an empty string", "option httpchk GET /\nhttp-check expect string yes", says(b"HTTP/1.0 200 OK\r\n\r\n", after=BLANK, then=close))
case("http send", "option httpchk\nhttp-check send meth POST uri /x ver HTTP/1.1 hdr Host a hdr X-Y z body hello", ends, says(OK, after=b"hello"))
case("http of old", "option httpchk GET /x HTTP/1.1\\r\\nHost:\\ www.example\\r\\nX-Y:\\ z", ends, says(OK, after=BLANK))
case("http connects elsewhere", "option httpchk GET /x\nhttp-check connect port {next} comment there\nhttp-check send uri /y\nhttp-check expect status 200", ends)
case("http with a comment", "option httpchk GET /x\nhttp-check expect status 200 comment 'not well'", says(b"HTTP/1.0 500 No\r\n\r\n", after=BLANK, then=close))
case("http waits for a body", "option httpchk GET /x\nhttp-check expect string yes", says(b"HTTP/1.0 200 OK\r\n\r\nno", after=BLANK))
case("http does not expect a string", "option httpchk GET /x\nhttp-check expect ! string no", says(b"HTTP/1.0 200 OK\r\n\r\nno", after=BLANK))
case("http that is no line", "option httpchk GET /x", says(b"SSH-2.0", after=BLANK))
case("http with a strange field", "option httpchk GET /x", says(b"HTTP/1.0 200 OK\r\nno field\r\n\r\n", after=BLANK))
case("http 204", "option httpchk GET /x\nhttp-check expect string no", says(b"HTTP/1.1 204 OK\r\n\r\n", after=BLANK))
case("http post", "option httpchk POST /x", ends, says(OK, after=BLANK))
case("http in chunks", "option httpchk GET / HTTP/1.1\nhttp-check send hdr Host a\nhttp-check expect string hello", ends, says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", after=BLANK))


# --- both proxies ---


def configuration():
    text = HEAD
    for number, (lines, words, _, _) in enumerate(CASES.values()):
        port = FIRST_SERVER + number
        text += f"listen c{number}\n  bind 198.51.100.200:{PORT + number}\n  server s 127.0.0.1:{port} {words}\n"
        text += "".join(f"  {line.format(next=LAST) if 'port' in line else line}\n" for line in lines.splitlines() if line)
    return text


def silent_server():
    """A listener whose queue is full, and what fills it."""
    listener = socket.create_server(("127.0.0.1", SILENT), backlog=0)
    return listener, *(socket.create_connection(("127.0.0.1", SILENT)) for _ in range(1))


CHECK = re.compile(r"Health check for server (c\d+)/s (\w+), (.*), check duration: \d+ms, (.*)")
CHANGE = re.compile(r"Server (c\d+)/s is (\w+)(?:\.|, reason: (.*?), check duration: \d+ms)")
# What differs from run to run: a port, and the time in a hello of TLS.
VOLATILE = [(rb"(127.0.0.1) \d+ 6", rb"\1 PORT 6"), (rb"(?s)(^\x16.{10}).{4}", rb"\1TIME")]


def changes(daemon):
    """{section: [(state, reason)]}; HAProxy says its own messages a second time, with a bracket before them."""
    found = defaultdict(list)
    for match in filter(None, map(CHANGE.match, daemon.log().splitlines())):
        found[match[1]].append((match[2], match[3]))
    return found


def checks(daemon):
    """The same of single checks."""
    found = defaultdict(list)
    for match in filter(None, map(CHECK.match, daemon.log().splitlines())):
        found[match[1]].append(match.groups()[1:])
    return found


def without_volatile(asked):
    for pattern, to in VOLATILE:
        asked = re.sub(pattern, to, bytes(asked))
    return asked


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """{program: {case: (changes of state with their reasons, what the server was asked each time)}}"""
    if not shutil.which("haproxy"):
        pytest.skip("absent: haproxy")
    return {name: run(tmp_path_factory.mktemp(name), name) for name in PROGRAMS}


def run(folder, name):
    namespace = Namespace(name)
    namespace.ip("link set lo up", "route add local 198.51.100.0/24 dev lo")
    counts = {f"c{number}": changes for number, (_, _, _, changes) in enumerate(CASES.values())}
    with namespace:
        servers = [Played("127.0.0.1", FIRST_SERVER + number, parts) for number, (_, _, parts, _) in enumerate(CASES.values())]
        last = Played("127.0.0.1", LAST, [says(b"B")])
        silent = silent_server()
    daemon = Daemon(namespace, folder, configuration(), program=PROGRAMS[name])

    def unchanged():
        """The cases whose server has to change its state, still."""
        assert daemon.process.poll() is None, daemon.log()
        found = changes(daemon)
        return [case for case, (section, count) in zip(CASES, counts.items()) if len(found[section]) < count]

    try:
        waiting.until(lambda: not unchanged(), "each server changes its state")
    except TimeoutError:
        raise AssertionError(f"{name}: no change of {unchanged()}") from None
    found, single = changes(daemon), checks(daemon)
    daemon.process.kill()
    daemon.process.wait()
    for listener in [*silent, last.listener, *(server.listener for server in servers)]:
        listener.close()
    namespace.close()
    return {
        case: (found[section][:count], single[section], [without_volatile(asked) for asked in server.asked[: len(server.parts)]])
        for case, server, (section, count) in zip(CASES, servers, counts.items())
    }


@pytest.mark.parametrize("name", CASES)
def test_both_find_the_same(findings, name):
    (states, single, asked), (their_states, their_single, their_asked) = (findings[each][name] for each in PROGRAMS)
    assert states == their_states and asked == their_asked
    both = min(len(single), len(their_single))  # the last check is one more or less
    assert single[:both] == their_single[:both]
    assert both >= len(states) or LOGGED not in CASES[name][0]
