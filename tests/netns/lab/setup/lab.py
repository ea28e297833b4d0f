"""The lab as a test sees it: client, proxy host and server, new for each test and checked.

Before a proxy starts, the lab shows two preconditions, without which a pass proves nothing. A VIP is bound nowhere: a
plain bind fails, and the proxy's host has no route to it. Client and server reach each other without a proxy, and each
sees the other's address.
"""

import errno
import socket

from lab import waiting
from lab.exceptions import Absent, GuardFailed
from lab.netns import drawn, kernel, topology
from lab.netns.capture import SYN, ACK, Tap
from lab.netns.endpoint import Connection, Endpoint
from lab.peers.dialect import Dialect
from lab.peers.hosts import Client, ProxyHost, Server
from lab.peers.proxy import new_folder, reload_adapter, run_adapter
from lab.setup import by_apply, recipe, witness

_NO_NONLOCAL_BIND = {"net.ipv4.ip_nonlocal_bind": 0, "net.ipv6.ip_nonlocal_bind": 0}


class Lab:
    def __init__(
        self,
        implementation,
        family=4,
        topology_name="inline",
        firewall_tool="iptables",
        sysctls=None,
        divert=True,
        strict=True,
        recipe_name="divert",
        set_up_by="recipe",
    ):
        """Make the hosts, show the preconditions, and apply the recipe if `divert` is true.

        `set_up_by` says what sets the proxies' hosts up: the recipe, or `tproxyctl apply`.

        `sysctls` overrides single values of the recipe. By default ip_nonlocal_bind stays 0, so that only
        IP_TRANSPARENT lets a socket bind to a VIP.

        For an implementation that cannot bind to a VIP, the lab makes VIPs local (unless `strict`): the host gets a local
        route for all VIPs, so that a listener that is not transparent can bind to one. Then other tests, for example of the
        client's address at the server, can still run. In the same way an implementation that cannot use the client's address
        connects from its host's, in tests that are not about the source.

        If the kernel lacks a family, or a feature that the recipe needs for the family that is not tested, the test is
        ABSENT as soon as it asks for an address of that family.
        """
        self.implementation = implementation
        self.dialect = Dialect(implementation and implementation.dialect)
        self.makes_vips_local = not strict and "bind" not in implementation.capabilities
        self.family = family
        self.firewall_tool = firewall_tool
        self.recipe = recipe_name
        self.set_up_by = set_up_by
        self.proxies = []
        self.flows = []  # connections through a proxy, for the witness
        self.watches = {}  # {namespace of a proxy's host: what changes there}
        self.steered = False  # whether every connection from clients is handed to a proxy
        self._kept = []
        self.taps = []
        self._lacking = {}  # {family: why the recipe was not applied}
        self.must_have(family)
        self.topology = topology.build(topology_name)
        try:
            self._lay_out(divert, sysctls)
        except BaseException:
            self.close()
            raise

    def _lay_out(self, divert, sysctls):
        self.client = Client(self, self.topology.client, self.topology.addresses("client"))
        self.server = Server(self, self.topology.server, self.topology.addresses("server"))
        self.proxy_hosts = [ProxyHost(self, each, self.topology.addresses(each.role)) for each in self.topology.proxies()]
        self.proxy = self.proxy_hosts[0]
        self.taps = [Tap(namespace, link) for namespace, link in self.topology.links]
        self.taps_by_name = {tap.name: tap for tap in self.taps}
        self._before_it_served = 0  # packets on the server's link
        self.forward(True)
        for each in kernel.families():
            self._guard_vip_is_bound_nowhere(each)
            self._guard_path_works_without_the_proxy(each)
        if divert:
            wanted = {**_NO_NONLOCAL_BIND, **(sysctls or {})}
            self.set_up({name: wanted[name] for name in wanted if 6 in kernel.families() or not name.startswith("net.ipv6.")})

    def set_up(self, sysctls):
        """Set up every proxy's host, and make it answer for the VIPs if that is needed."""
        self.topology.announce()
        for host in self.proxy_hosts:
            if self.set_up_by == "apply":
                by_apply.apply(host.namespace, self.recipe, self.firewall_tool, sysctls)
            else:
                for family in kernel.families():
                    self._apply(host.namespace, family, sysctls)
            if self.makes_vips_local:
                make_vips_local(host.namespace)

    def _apply(self, namespace, family, sysctls):
        try:
            recipe.apply(namespace, self.recipe, (family,), self.firewall_tool, sysctls)
        except Absent as problem:
            if family == self.family:
                raise
            self._lacking[family] = problem

    @property
    def families(self):
        """The families for which the recipe was applied."""
        return tuple(family for family in kernel.families() if family not in self._lacking)

    def must_have(self, family):
        """End the test as ABSENT where the kernel has no such family."""
        if family not in kernel.families():
            raise Absent(f"the kernel has no IPv{family}")

    # Addresses

    def vip_address(self, number=80, family=None):
        family = family or self.family
        self.must_have(family)
        if family in self._lacking:
            raise self._lacking[family]
        return topology.vip(family, number)

    @property
    def vip(self):
        """The default address of the proxy: on no interface of any host."""
        return Endpoint(self.vip_address(), drawn.in_use().port)

    @property
    def proxy_address_to_clients(self):
        return self.topology.front(self.family)

    @property
    def server_endpoint(self):
        """The server's default endpoint."""
        return Endpoint(self.server.address, drawn.in_use().server_port)

    def silent_server(self):
        """An endpoint in the server's network that never answers."""
        address = topology.address(topology.SERVER_NET[self.family], drawn.in_use().silent)
        self.topology.proxy.ip(f"neigh replace {address} lladdr 02:00:00:00:00:99 dev server0 nud permanent")
        return Endpoint(address, drawn.in_use().server_port)

    # What a test can do without

    def wished(self, capability, **fields):
        """Fields of a scenario that help a test which is not about them: none where the capability is not claimed."""
        return fields if capability in self.implementation.capabilities else {}

    def any_source(self, listeners):
        """The source of a test that is not about it: the client's address, or the host's where only that is offered."""
        claimed = self.implementation.capabilities
        plain = not all(each.get("transparent") for each in listeners)
        uses_clients = "source" in claimed and (not plain or "plain-listener" in claimed)
        return "clientip" if uses_clients or "source-none" not in claimed else "none"

    @property
    def long_connect(self):
        """Fields by which an attempt to connect does not end by itself."""
        return self.wished("timeout-connect", timeouts={"connect": 600_000})

    def short_connect(self):
        """Fields by which an attempt to connect that is not answered ends soon, after 0.7 s.

        For an implementation that has no such timeout the kernel of its host ends it, after 3 s: it repeats a SYN once
        (Documentation/networking/ip-sysctl.rst, tcp_syn_retries).
        """
        if "timeout-connect" not in self.implementation.capabilities:
            retries = {"net.ipv4.tcp_syn_retries": 1, "net.ipv4.tcp_syn_linear_timeouts": 0}
            for host in self.proxy_hosts:
                host.namespace.sysctl(retries, where_known=True)
        return self.wished("timeout-connect", timeouts={"connect": 700})

    # The proxy

    def serve(self, source=None, listeners=None, servers=None, **rest):
        """Start the servers and the proxy, and wait until it is ready."""
        servers = [self.server_endpoint] if servers is None else servers
        for endpoint in servers:
            self.server.serve(endpoint)
        proxy = self.start(source, listeners, servers, **rest).await_ready()
        self._forget_packets_of_the_start()
        return proxy

    def _forget_packets_of_the_start(self):
        """Packets from before the proxy listens, of a health check for example, are no fall-back."""
        self.server.take_in()
        self._before_it_served = len(self.server_link.packets())

    def start(
        self,
        source=None,
        listeners=None,
        servers=None,
        nofile=None,
        without=(),
        host=None,
        output=None,
        **rest,
    ):
        """Start the proxy alone, on `host` if there are several; `rest` is further fields of the scenario.

        `source` is a mode or the scenario's field; by default any_source(). `output` is a descriptor for the proxy's
        standard output and error.
        """
        scenario = self.scenario(source, listeners, servers, **rest)
        folder = new_folder()
        self.dialect.prepare(folder)
        host = host or self.proxy
        if host.namespace not in self.watches:
            self.watches[host.namespace] = witness.HostWatch(host.namespace)
        proxy = run_adapter(self.implementation, host, scenario, folder, nofile, without, output)
        self.proxies.append(proxy)
        return proxy

    def reload(self, proxy, source=None, listeners=None, servers=None, **rest):
        """Make a running proxy use another scenario."""
        reload_adapter(self.implementation, proxy, self.scenario(source, listeners, servers, **rest))

    def scenario(self, source, listeners, servers, server_fields=None, **rest):
        """The scenario; `server_fields` are further fields of each server, or a list of those of one each, `rest` of the scenario.

        There is no field `relay` for "auto": it says the same, and an implementation may know no such field.
        """
        servers = [self.server_endpoint] if servers is None else servers
        listeners = listeners or [self.listener()]
        source = source or self.any_source(listeners)
        if rest.get("relay") == "auto":
            del rest["relay"]
        fields = server_fields if isinstance(server_fields, list) else [server_fields or {}] * len(servers)
        return {
            "listeners": listeners,
            "destination": "servers",
            "servers": [{"address": e.address, "port": e.port, **more} for e, more in zip(servers, fields)],
            "source": {"mode": source} if isinstance(source, str) else source,
            "protocol": "tcp",
            **rest,
        }

    def listener(self, endpoint=None, **rest):
        """A listener of a scenario: the VIP, transparent unless the lab makes VIPs local or `rest` says otherwise."""
        endpoint = endpoint or self.vip
        self.must_have(endpoint.family)
        fields = {"address": endpoint.address, "port": endpoint.port, "transparent": not self.makes_vips_local}
        return {**fields, **rest}

    def client_end(self, connected, destination):
        """The client's end of a new connection, in the proxy's dialect if a proxy serves the destination."""
        return self.dialect.client_end(connected, destination) if self._served(destination) else Connection(connected, destination)

    def datagram(self, data, source, destination):
        """A datagram as a client sends it: in the proxy's dialect if a proxy serves the destination."""
        return self.dialect.datagram(data, source, destination) if self._served(destination) else data

    def _served(self, destination):
        return self.steered or any(proxy.serves(destination) for proxy in self.proxies)

    def limit_socket_buffers(self, most):
        """Let no TCP socket buffer grow beyond so many bytes; for sockets that are made from now on."""
        for namespace in self.topology.namespaces():
            for name in ("tcp_rmem", "tcp_wmem"):
                namespace.sysctl({f"net.ipv4.{name}": f"4096 65536 {most}"})

    # What was seen

    @property
    def server_link(self):
        return self.taps_by_name["server-eth0"]

    def source_of(self, token):
        """Source of the packet on the server's link that carried the token."""
        carries = self.dialect.find(token)
        for segment in self.server_link.segments():
            if carries(segment.payload):
                return segment.source
        raise TimeoutError(f"no packet with the token on the server's link{self._overflow()}")

    def sources_tried(self, endpoint=None):
        """Addresses from which connections to the server were asked for since the proxy serves, as its link shows."""
        endpoint = endpoint or self.server_endpoint
        return {source.address for source, destination in self.connections_tried() if destination == endpoint}

    def connections_tried(self):
        """(source, destination) of each connection that was asked for since the proxy serves, on the server's link."""
        return {
            (segment.source, segment.destination)
            for segment in self.server_link.segments(self._before_it_served)
            if segment.flags & (SYN | ACK) == SYN and segment.destination.port != drawn.GUARD_PORT
        }

    def attempts_seen(self):
        """How many connections were asked for on the server's link since the proxy serves, repeated ones included."""
        segments = self.server_link.segments(self._before_it_served)
        return sum(s.flags & (SYN | ACK) == SYN and s.destination.port != drawn.GUARD_PORT for s in segments)

    def must_have_tried(self, before=0):
        """Raise GuardFailed unless the proxy has tried to connect to a server, beyond `before` of attempts_seen().

        What a proxy does when its server refuses, or does not answer, is shown only by one that has asked it.
        """
        if self.attempts_seen() <= before:
            raise GuardFailed(f"the proxy did not try to connect to the server, so this proves nothing{self._overflow()}")

    def _overflow(self):
        return " (the capture overflowed)" if self.server_link.overflowed else ""

    # Guards

    def forward(self, on):
        """Switch forwarding of the proxies' hosts on or off."""
        for host in self.proxy_hosts:
            host.namespace.sysctl(dict.fromkeys(topology.FORWARDING, int(on)), where_known=True)

    def _guard_vip_is_bound_nowhere(self, family):
        address = self.vip_address(family=family)
        for host in (self.client, self.proxy, self.server):
            probe = host.socket(address)
            error = _bind_error(probe, address)
            if error != errno.EADDRNOTAVAIL:
                raise GuardFailed(f"{address} can be bound on the host of the {host.namespace.role}")
        probe = self.proxy.socket(address, socket.SOCK_DGRAM)
        if probe.connect_ex((address, drawn.in_use().port)) != errno.ENETUNREACH:
            raise GuardFailed(f"the proxy's host has a route to {address}")

    def _guard_path_works_without_the_proxy(self, family):
        client, server = self.client.addresses[family][0], self.server.addresses[family][0]
        listener = self.server.listen(Endpoint(server, drawn.GUARD_PORT), 1)
        listener.settimeout(waiting.seconds)
        there = self.client.open(Endpoint(server, drawn.GUARD_PORT))
        accepted, peer = listener.accept()
        with accepted:
            there.send(b"?")
            if accepted.recv(1) != b"?" or peer[0] != client:
                raise GuardFailed(f"the server sees {peer[0]}, but {client} connected")
            accepted.sendall(b"!")
            there.receive(1)
        there.close()
        listener.close()

    # Taking down

    def keep(self, made):
        """Close a socket together with the lab."""
        self._kept.append(made)

    def close_sockets(self):
        """Close the test's sockets."""
        while self._kept:
            self._kept.pop().close()

    def close(self):
        """Kill the proxies: some need seconds to stop, and other tests cover how they stop."""
        for proxy in self.proxies:
            proxy.kill()
        self.close_sockets()
        for tap in self.taps:
            tap.close()
        self.topology.close()


def make_vips_local(namespace):
    """Make the VIPs local, so that a listener that is not transparent can bind to one."""
    namespace.ip(*(f"route replace local {topology.VIP_NET[f]} dev lo" for f in kernel.families()))
    namespace.sysctl({"net.ipv6.ip_nonlocal_bind": 1}, where_known=True)  # a local route alone lets no IPv6 socket bind


def _bind_error(probe, address):
    try:
        probe.bind((address, drawn.in_use().port))
    except OSError as error:
        return error.errno
    finally:
        probe.close()
    return 0
