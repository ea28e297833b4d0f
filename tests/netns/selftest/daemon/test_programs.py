"""Programs that users have, through tproxyd: in each test the server sees the client.

Datagrams go to a VIP; connections are intercepted on their way to the server. The packages are those of `.ci/deps programs`.
"""

import contextlib
import json
import shutil
import subprocess

import pytest

from lab import waiting
from lab.netns import firewall
from lab.netns.endpoint import Endpoint
from lab.peers import tls
from lab.peers.daemon import Daemon
from lab.peers.datagrams import Peer
from lab.peers.proxy import adapter
from lab.setup import steering
from lab.setup.lab import Lab

pytestmark = pytest.mark.suite

ALL = 3129  # the port of the listener for intercepted connections
TIMES = """  source 0.0.0.0 usesrc clientip
  timeout connect 5s
  timeout client 10m
  timeout server 10m
"""


@pytest.fixture
def lab():
    made = Lab(adapter("tproxyd"), 4, "inline")
    yield made
    made.close()


@pytest.fixture
def start(lab, tmp_path):
    """Starts tproxyd with the lines of its sections."""
    steering.divert_datagrams(lab)
    with contextlib.ExitStack() as started:

        def run(text):
            daemon = Daemon(lab.proxy.namespace, tmp_path, "global\n  nbthread 4\n  log stderr format raw local0 info\n" + text)
            started.callback(daemon.close)
            return daemon.await_started()

        yield run


def section(lab, port, server_port=None, mode="udp", words=""):
    """One that takes datagrams, or connections, to the VIP to the server."""
    return f"""listen {mode}{port}
  mode {mode}
  log global
  bind {lab.vip.address}:{port} transparent
  server s {lab.server.address}:{server_port or port}{words}
{TIMES}"""


@pytest.fixture
def intercept(lab, start):
    """All connections of the client go through tproxyd to where the client connected to."""

    def run():
        steering.intercept(lab, ALL)
        return start(f"listen all\n  log global\n  bind :{ALL} transparent\n  server original 0.0.0.0\n{TIMES}")

    return run


@pytest.fixture
def program():
    """Finds a program, and says that it is absent where it is."""
    return lambda name: shutil.which(name) or pytest.skip(f"absent: {name}")


@pytest.fixture
def serve(lab, tmp_path):
    """Runs a program on the server's host until the test ends; what it prints is in a file."""
    with contextlib.ExitStack() as running:

        def run(*command, ready):
            """READY(what `ss` lists) says when it serves."""
            output = tmp_path / "server.log"
            with lab.server.namespace, open(output, "ab") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tmp_path)
            running.callback(process.wait)
            running.callback(process.terminate)

            def is_ready():
                assert process.poll() is None, output.read_text(errors="replace")
                return ready in lab.server.namespace.run("ss", "-Hltun")

            waiting.until(is_ready, f"{command[0]} serves")
            return output

        yield run


def run_client(lab, *command):
    return lab.client.namespace.run(*map(str, command))


# Datagrams


def test_dns_and_what_is_too_long_for_a_datagram(lab, start, serve, program):
    """The long answer is cut, and `dig` asks again by a connection."""
    dig, dnsmasq = program("dig"), program("dnsmasq")
    long = [f"--txt-record=long.example,{letter * 200}" for letter in "abcdef"]
    words = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--log-queries=extra"]
    words += ["--log-facility=-", f"--listen-address={lab.server.address}", "--user=root", "--pid-file="]
    log = serve(dnsmasq, *words, "--host-record=short.example,192.0.2.99", *long, ready=f"{lab.server.address}:53")
    start(section(lab, 53) + section(lab, 53, mode="tcp"))
    asked = [dig, f"@{lab.vip.address}", "+noedns", "+tries=1"]
    assert run_client(lab, *asked, "+short", "short.example").strip() == "192.0.2.99"
    answer = run_client(lab, *asked, "long.example", "TXT")
    assert "Truncated, retrying in TCP mode" in answer and all(letter * 200 in answer for letter in "abcdef")
    queries = [line for line in log.read_text().splitlines() if "query[" in line]
    assert len(queries) == 3 and all(f"from {lab.client.address}" in line for line in queries), queries


def test_quic_with_http3(lab, start, serve, program, tmp_path):
    client, server = program("gtlsclient"), program("gtlsserver")
    (tmp_path / "htdocs").mkdir()
    (tmp_path / "htdocs" / "page").write_bytes(bytes(range(256)) * 4096)
    tls.make_certificate(tmp_path / "key")
    words = [lab.server.address, "443", str(tmp_path / "key"), str(tmp_path / "key.crt"), "-d", str(tmp_path / "htdocs")]
    log = serve(server, *words, ready=f"{lab.server.address}:443")
    start(section(lab, 443))
    (tmp_path / "got").mkdir()
    done = [client, "-q", "--exit-on-all-streams-close", f"--download={tmp_path / 'got'}", lab.vip.address, 443]
    run_client(lab, *done, "https://proxy.example/page")
    assert (tmp_path / "got" / "page").read_bytes() == (tmp_path / "htdocs" / "page").read_bytes()
    seen = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("Received packet")]
    assert seen and all(f"remote=[{lab.client.address}]" in line for line in seen), seen[:3]


def test_ntp(lab, start, serve, program, tmp_path):
    chronyd, chronyc = program("chronyd"), program("chronyc")
    steady = f"pidfile {tmp_path}/pid\ndriftfile {tmp_path}/drift\n"
    conf = f"local stratum 1\nallow\nbindaddress {lab.server.address}\ncmdport 0\nbindcmdaddress {tmp_path}/sock\n{steady}"
    (tmp_path / "server.conf").write_text(conf, encoding="ascii")
    serve(chronyd, "-d", "-x", "-u", "root", "-f", str(tmp_path / "server.conf"), ready=f"{lab.server.address}:123")
    start(section(lab, 123))
    asked = f"server {lab.vip.address} iburst maxsamples 1"
    said = run_client(lab, chronyd, "-Q", "-t", "10", "-u", "root", "-f", "/dev/null", asked, "cmdport 0", f"pidfile {tmp_path}/pid2")
    assert "System clock wrong by" in said
    clients = lab.server.namespace.run(chronyc, "-h", f"{tmp_path}/sock", "-n", "clients")
    assert lab.client.address in clients and lab.proxy.address not in clients, clients


def test_syslog_reaches_the_server_from_the_client(lab, start, program):
    server = Peer(lab.server, lab.server_endpoint)
    start(section(lab, lab.vip.port, lab.server_endpoint.port))
    lab.client.namespace.run(program("logger"), "--server", lab.vip.address, "--port", str(lab.vip.port), "--udp", "a line of a log")
    data, seen = server.receive()
    assert data.endswith(b"a line of a log") and seen.address == lab.client.address


def test_go_mmproxy_reads_the_header_of_each_datagram(lab, start, program):
    """Client, tproxyd, go-mmproxy on the server's host, server: the server sees the client."""
    mmproxy = program("go-mmproxy")
    behind = Endpoint("127.0.0.1", 7099)
    for line in ("rule add from 127.0.0.1/8 iif lo table 123", "route add local 0.0.0.0/0 dev lo table 123"):
        lab.server.namespace.ip(line)
    words = [mmproxy, "-p", "udp", "-l", str(lab.server_endpoint), "-4", str(behind)]
    server, client = Peer(lab.server, behind), Peer(lab.client)
    start(section(lab, lab.vip.port, lab.server_endpoint.port, words=" send-proxy-v2"))
    with lab.server.namespace:
        between = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = f":{lab.server_endpoint.port}"
        waiting.until(lambda: port in lab.server.namespace.run("ss", "-Hlnu"), "go-mmproxy receives")
        for text in (b"one", b"two"):
            client.send(text, lab.vip)
            data, seen = server.receive()
            assert (data, seen) == (text, client.local)
            server.send(b"an answer", seen)
            assert client.receive() == (b"an answer", lab.vip)
    finally:
        between.terminate()
        between.wait()


def test_iperf3_measures_in_both_directions(lab, start, serve, program):
    """Its control connection is of TCP, its datagrams of UDP, both at one port."""
    iperf = program("iperf3")
    start(section(lab, 5201) + section(lab, 5201, mode="tcp"))
    log = serve(iperf, "-s", "-J", "--forceflush", ready=":5201")
    for way in ([], ["-R"]):
        measured = json.loads(run_client(lab, iperf, "-c", lab.vip.address, "-u", "-b", "20M", "-l", "1000", "-n", "1M", "-J", *way))
        total = measured["end"]["sum"]
        assert total["packets"] >= 1000 and total["lost_packets"] < total["packets"] / 2
    waiting.until(lambda: f'"remote_host":\t"{lab.client.address}"' in log.read_text(), "the server's report names the client")


# Intercepted connections


def test_ssh(lab, intercept, serve, program, tmp_path):
    ssh, sshd, keygen = program("ssh"), program("sshd"), program("ssh-keygen")
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    conf = f"HostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
    (tmp_path / "sshd.conf").write_text(conf + f"ListenAddress {lab.server.address}:22\nPermitRootLogin yes\n", encoding="ascii")
    with lab.server.namespace:
        subprocess.run(["mkdir", "-p", "/run/sshd"], check=True)
    log = serve(sshd, "-D", "-e", "-f", str(tmp_path / "sshd.conf"), ready=f"{lab.server.address}:22")
    intercept()
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR"]
    words = [word for option in options for word in ("-o", option)]
    said = run_client(lab, ssh, "-F", "/dev/null", *words, "-i", tmp_path / "user", f"root@{lab.server.address}", "echo $SSH_CONNECTION")
    client, _, server, port = said.split()
    assert (client, server, port) == (lab.client.address, lab.server.address, "22")
    assert f"from {lab.client.address} port" in log.read_text()


ECHO = """
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer((sys.argv[1], 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def test_curl_with_tls_that_it_verifies(lab, intercept, serve, program, tmp_path):
    """The handshake is between client and server: the certificate is the server's."""
    curl = program("curl")
    tls.make_certificate(tmp_path / "key")
    serve("/usr/bin/python3", "-c", ECHO, lab.server.address, str(tmp_path / "key"), ready=f"{lab.server.address}:443")
    intercept()
    words = ["-sS", "--noproxy", "*", "--cacert", tmp_path / "key.crt", "--resolve", f"proxy.example:443:{lab.server.address}"]
    assert run_client(lab, curl, *words, "https://proxy.example/") == lab.client.address


# The client's packets of connections that servers begin are no clients' connections.
BEGUN_BY_SERVERS = "*mangle\n-A PREROUTING -i client0 -p tcp -m conntrack --ctdir REPLY -j ACCEPT\nCOMMIT\n"


@pytest.mark.parametrize("way", ["passive", "active"])
def test_ftp(lab, intercept, serve, program, tmp_path, way):
    """Passive: the client's second connection is intercepted, too, and comes from the address of the first. Active: the
    server connects to the client's address, which is the one that it sees, and that connection is not intercepted."""
    curl, vsftpd = program("curl"), program("vsftpd")
    (tmp_path / "pub").mkdir()
    (tmp_path / "pub" / "file").write_text("contents", encoding="ascii")
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    conf = ["listen=YES", f"listen_address={lab.server.address}", "anonymous_enable=YES", "background=NO", "no_anon_password=YES"]
    conf += [f"anon_root={tmp_path}/pub", "secure_chroot_dir=/run/empty", "port_enable=YES", "pasv_enable=YES", "seccomp_sandbox=NO"]
    conf += ["connect_from_port_20=YES", "xferlog_enable=YES", f"vsftpd_log_file={tmp_path}/vsftpd.log", "isolate_network=NO"]
    (tmp_path / "vsftpd.conf").write_text("\n".join(conf) + "\n", encoding="ascii")
    with lab.server.namespace:
        subprocess.run(["mkdir", "-p", "/run/empty"], check=True)
    serve(vsftpd, str(tmp_path / "vsftpd.conf"), ready=f"{lab.server.address}:21")
    firewall.load_rules(lab.proxy.namespace, BEGUN_BY_SERVERS, 4, "iptables", "--noflush")
    daemon = intercept()
    words = ["-sS", "--noproxy", "*", *(["--ftp-port", lab.client.address] if way == "active" else ["--ftp-pasv"])]
    assert run_client(lab, curl, *words, f"ftp://{lab.server.address}/file") == "contents"
    assert f'"{lab.client.address}"' in (tmp_path / "vsftpd.log").read_text()
    assert len(daemon.lines(f"Connect from {lab.client.address}")) == (2 if way == "passive" else 1)
