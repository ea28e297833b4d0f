"""What the implementation under test speaks on its client side and on its server side.

    client: plain      bytes as they are
            http       HTTP/1.1; a client's bytes are the bodies of requests (lab.peers.http)
            tls        TLS; the certificate is RUNDIR/proxy.pem, which the lab makes before the start
            proxy-v1   first a PROXY protocol header (version 1) with the client's address; in each datagram
                       one of version 2, since version 1 has no word for datagrams
    server: plain, http

An adapter's `describe` names the dialect and the lab speaks it; the tests are the same.
"""

from lab.exceptions import Unsupported
from lab.netns.endpoint import Connection
from lab.peers import proxy_protocol
from lab.peers.http import HttpClient, request
from lab.peers.tls import TlsSocket, make_certificate

PLAIN = {"client": "plain", "server": "plain"}
CLIENT = ("plain", "http", "tls", "proxy-v1")
SERVER = ("plain", "http")
CERTIFICATE = "proxy.pem"


class Dialect:
    def __init__(self, words):
        words = {**PLAIN, **(words or {})}
        self.client, self.server = words["client"], words["server"]
        if self.client not in CLIENT or self.server not in SERVER or "http" in self._one_only():
            raise Unsupported(f"the lab does not know the dialect {words}")

    def _one_only(self):
        return {self.client, self.server} if self.client != self.server else set()

    @property
    def http(self):
        return self.server == "http"

    def prepare(self, folder):
        """Make the files that the proxy needs before it starts."""
        if self.client == "tls":
            make_certificate(folder / CERTIFICATE)

    def client_end(self, connected, destination):
        """The client's end of a connection to the proxy."""
        if self.client == "http":
            return HttpClient(connected, destination)
        if self.client == "tls":
            connected = TlsSocket(connected)
        made = Connection(connected, destination)
        if self.client == "proxy-v1":
            made.send(proxy_protocol.write("v1", made.local, destination))
        return made

    def datagram(self, data, client, destination):
        """What a client sends to the proxy in place of a datagram with this data."""
        header = proxy_protocol.write("v2", client, destination, transport=2) if self.client == "proxy-v1" else b""
        return header + data

    def first_bytes(self, token, destination):
        """What a client sends first where the server is to read this token: behind a PROXY header, for example."""
        return request(token.hex(), destination) if self.http else token

    def begun(self, connected, destination, token):
        """The client's end of a connection on which the first bytes are sent already."""
        if not self.http:
            return Connection(connected, destination)
        made = HttpClient(connected, destination)
        made.has_begun(token)
        return made

    def find(self, token):
        """A function that says whether a payload on the server's link contains the token."""
        if self.http:
            return lambda payload: token.hex().encode() in payload
        return lambda payload: payload.startswith(token)
