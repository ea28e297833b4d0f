"""One connection through the proxy: its two ends, and the packets on the link as a second witness.

The server's socket and the packets on the server's link are found independently, both by the token that the client
sent. They must show the same address. If they do not, something between them rewrites addresses, and no verdict on
the proxy is possible.
"""


class WitnessesDisagree(AssertionError):
    """The server's socket and the packets on its link show different addresses."""


class Flow:
    def __init__(self, lab, client, server, token):
        self.lab = lab
        self.client = client
        self.server = server
        self.token = token
        lab.flows.append(self)
        if hasattr(client, "partner"):
            client.partner = server

    @property
    def peer_seen_by_server(self):
        """The peer of the server's accepted socket."""
        return self._agreed()[0]

    @property
    def source_on_the_wire(self):
        """The source of the packet with the client's first bytes."""
        return self._agreed()[1]

    def _agreed(self):
        seen = self.server.peer
        wire = self.lab.source_of(self.token)
        if seen != wire:
            raise WitnessesDisagree(f"the server's socket says {seen}, its link says {wire}")
        return seen, wire

    def exchange(self, size=64):
        """Send bytes in both directions and check them."""
        there, back = self.token * (size // 16), self.token[::-1] * (size // 16)
        self.client.send(there)
        assert self.server.receive(len(there)) == there
        self.server.send(back)
        assert self.client.receive(len(back)) == back

    def close(self):
        self.client.close()
        self.server.close()
