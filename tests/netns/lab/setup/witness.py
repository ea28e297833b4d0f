"""The witness of every flow: what has to stay true in each test, whatever the test is about.

It looks when a test has passed, and fails it with the id of the requirement that was broken:

    addresses    the server saw each client as the scenario's source says, and no connection to the server came from the
                 proxy's own address where the source is the client's
    bytes        what one end received is the beginning of what the other end sent
    sockets      when the test has closed its ends, the proxy holds no socket of a session any more
    host         no sysctl, route, policy rule or packet rule of the proxy's host has changed, except by the lab itself

No test breaks one of these on purpose. Bytes are compared where both ends speak plainly, and up to RecordedSocket.KEPT. Sockets
are judged by what they are, not by their number: a proxy may open pipes or files when it first has a use for them, but a
connected TCP socket belongs to a session.
"""

import contextlib
import ipaddress
import os
import socket
import struct

from lab import waiting
from lab.netns import hoststate, kernel
from lab.netns.endpoint import Endpoint, RecordedSocket
from lab.peers.proxy_protocol import SIGNATURE

CLIENTS = ("clientip", "client", "foreign")  # sources with which the server never sees the proxy's host
IDS = {  # by the source's mode: (servers are configured, servers are what clients connected to)
    "clientip": ("TP-SRC-01", "TP-DST-04"),
    "client": ("TP-SRC-02", "TP-DST-06"),
    "none": ("TP-SRC-07", "TP-DST-05"),
    "address": ("TP-SRC-08", "TP-SRC-08"),
    "foreign": ("TP-SRC-06", "TP-SRC-06"),
}


def judge(lab):
    """Raise AssertionError where something is not true of a test's flows. It closes the test's own sockets."""
    if lab.proxies:
        for look in (addresses, bytes_of_flows, sockets, host):
            look(lab)


# Addresses


def addresses(lab):
    for flow in lab.flows:
        proxies = [proxy for proxy in lab.proxies if lab.steered or proxy.serves(flow.client.peer)]
        if proxies:
            judge_source(lab, flow, proxies)
    judge_attempts(lab)
    judge_datagrams(lab)


def judge_source(lab, flow, proxies):
    """A flow came from where one of the scenarios of its proxies says."""
    seen, client = flow.server.peer, named_client(flow)
    sources = [source for proxy in proxies for source in proxy.sources]
    allowed = [place for source in sources for place in places(lab, source, client)]
    if not any(seen.address == place.address and place.port in (0, seen.port) for place in allowed):
        raise AssertionError(
            f"{'TP-PP-01' if client != flow.client.local else requirement_of(proxies[-1], sources[-1])}: the server saw {shown(lab, seen)}, "
            f"expected {' or '.join(shown(lab, place) for place in allowed)}"
        )


def places(lab, source, client):
    """Where a connection of a client may come from, with port 0 for any."""
    if source["mode"] == "none":
        return [Endpoint(address, 0) for address in hosts_addresses(lab) if ":" not in address or client.family == 6]
    if source["mode"] in ("clientip", "client"):
        return [client if source["mode"] == "client" else Endpoint(client.address, 0)]
    return [Endpoint(source["address"], source.get("port", 0))]


def hosts_addresses(lab):
    """Addresses of the proxies' hosts."""
    ours = {address for host in lab.proxy_hosts for each in host.addresses.values() for address in each}
    return sorted(ours | {lab.topology.front(family) for family in kernel.families()})


def own_addresses(lab):
    """Those that the client has not, too."""
    return [address for address in hosts_addresses(lab) if address not in client_addresses(lab)]


def client_addresses(lab):
    return {address for each in lab.client.addresses.values() for address in each}


def named_client(flow):
    """The client of a flow: what its PROXY header names, or its own end."""
    own, end = flow.client.local, flow.client.socket
    sent = bytes(end.sent) if isinstance(end, RecordedSocket) else b""
    if sent.startswith(b"PROXY TCP"):
        words = sent.partition(b"\r")[0].decode("ascii").split(" ")
        return Endpoint(str(ipaddress.ip_address(words[2])), int(words[4]))
    if sent.startswith(SIGNATURE) and sent[12] & 15 == 1 and sent[13] >> 4 in (1, 2):
        size = 4 if sent[13] >> 4 == 1 else 16
        return Endpoint(str(ipaddress.ip_address(sent[16 : 16 + size])), *struct.unpack_from("!H", sent, 16 + 2 * size))
    return own


def judge_attempts(lab):
    """Where the source is the client's, no connection to the server was tried from the proxy's own address.

    Checks may, where they have a port of their own, at which no client's connection can be, and so may questions to agents.
    """
    servers = [server for proxy in lab.proxies for server in proxy.scenario["servers"]]
    checked = {server[field] for server in servers for field in ("check_port", "agent_port") if field in server}
    tried = {each for each in lab.connections_tried() if each[1].port not in checked}
    proxy = lab.proxies[-1]
    if all(source["mode"] in CLIENTS for each in lab.proxies for source in each.sources):
        for source, destination in sorted(tried):
            if source.address in own_addresses(lab):
                name = requirement_of(proxy, proxy.sources[-1])
                raise AssertionError(f"{name}: a connection to {destination} was tried from {shown(lab, source)}")


def judge_datagrams(lab):
    """Where the source is the client's, no datagram reaches the server from the proxy's own address."""
    if all(each.datagrams and source["mode"] in CLIENTS for each in lab.proxies for source in each.sources):
        for source, destination, _ in lab.server_link.datagrams():
            if source.address in own_addresses(lab):
                raise AssertionError(f"TP-UDP-01: a datagram to {destination} came from {shown(lab, source)}")


def requirement_of(proxy, source):
    return IDS[source["mode"]][proxy.intercepts]


def shown(lab, place):
    """An address with its host's role, and its port if it matters."""
    hosts = {"the proxy": own_addresses(lab), "the client": client_addresses(lab)}
    role = next((f" ({role})" for role, known in hosts.items() if place.address in known), "")
    return (str(place) if place.port else place.address) + role


# Bytes


def bytes_of_flows(lab):
    for flow in lab.flows:
        ends = flow.client.socket, flow.server.socket
        if all(isinstance(end, RecordedSocket) for end in ends) and not any(end.urgent for end in ends):
            for end in ends:
                take_what_waits(end)
            judge_bytes(flow, *ends, "the server")
            judge_bytes(flow, *reversed(ends), "the client")


def take_what_waits(end):
    """Read what an end has received and the test did not read."""
    with contextlib.suppress(OSError):  # it is closed, or nothing waits
        end.setblocking(False)
        while len(end.received) < end.KEPT and end.recv(end.KEPT):
            pass


def judge_bytes(flow, sender, receiver, name):
    """What came is the beginning of what was sent; a PROXY header of the client is not part of it."""
    sent, received = bytes(sender.sent), bytes(receiver.received)
    first = max(sent.find(flow.token), 0) if name == "the server" else 0
    if not sent[first:].startswith(received[: len(sent) - first]):
        wrong = next(place for place, (byte, got) in enumerate(zip(sent[first:], received)) if byte != got)
        raise AssertionError(f"TP-STREAM-01: byte {wrong} that {name} got is not the one that was sent")
    if receiver.totals[1] > sender.totals[0] - first:
        raise AssertionError(f"TP-STREAM-01: {name} got {receiver.totals[1]} bytes, and {sender.totals[0] - first} were sent")


# Sockets


def sockets(lab):
    """Those of a session whose server is still to answer are left out: it may go on when its client has ended."""
    lab.close_sockets()
    for proxy in lab.proxies:
        left = []

        def none_is_left():
            left[:] = [] if lab.proxy.attempts() else sessions_sockets(proxy)
            return not left

        try:
            waiting.until(none_is_left, "")
        except TimeoutError:
            raise AssertionError(
                f"TP-OPS-09: all sessions have ended, and the proxy holds {len(left)} sockets of them: {', '.join(left[:4])}"
            ) from None


def sessions_sockets(proxy):
    """The connected TCP sockets that the processes of a proxy hold, as text; none where the kernel does not show them."""
    found = []
    for pid in proxy.processes():
        with contextlib.suppress(OSError):  # it has ended, or may not be looked at
            with open_pidfd(pid) as pidfd:
                for name in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                        found += described(kernel.get_descriptor(pidfd, int(name)))
    return found


@contextlib.contextmanager
def open_pidfd(pid):
    opened = os.pidfd_open(pid)
    try:
        yield opened
    finally:
        os.close(opened)


def described(descriptor):
    """A list with the text of a socket if it is one of a session; closes the descriptor."""
    with socket.socket(fileno=descriptor) as made:
        if made.family not in (socket.AF_INET, socket.AF_INET6) or made.type != socket.SOCK_STREAM:
            return []
        if made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return []
        return [str(Endpoint(*made.getsockname()[:2]))]


# The host


class HostWatch:
    """What changes on a host, the lab's own commands left out."""

    def __init__(self, namespace):
        self.namespace, self.found = namespace, []
        self.state = hoststate.of(namespace)
        namespace.around = self.around

    def look(self):
        """All changes that were found so far."""
        self.found += hoststate.changes(self.state, hoststate.of(self.namespace))
        return self.found

    @contextlib.contextmanager
    def around(self):
        self.look()
        try:
            yield
        finally:
            self.state = hoststate.of(self.namespace)


def host(lab):
    for watch in lab.watches.values():
        if found := watch.look():
            raise AssertionError(f"TP-HOST-17: the proxy changed its host: {', '.join(found)}")
