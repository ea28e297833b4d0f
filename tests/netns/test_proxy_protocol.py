"""PP: the PROXY protocol, on the client's side and on the server's."""

import contextlib
import secrets

import pytest

from lab import waiting
from lab.conformance.requirements import requirement
from lab.netns.endpoint import Endpoint
from lab.peers import proxy_protocol
from lab.peers.controls import must_serve_header
from lab.peers.flow import Flow
from lab.peers.hosts import TOKEN
from lab.peers.proxy_protocol import bad, good, write
from lab.setup.variants import both_families

WITHIN = {"client": 3_000}  # ms after which a missing header ends the connection
versions = pytest.mark.parametrize("version", ["v1", "v2"])


def accepting(lab, version, source=None, **rest):
    """A proxy whose clients send headers of a version."""
    return lab.serve(source, [lab.listener(proxy_protocol=version)], **rest)


def accepting_for_a_moment(lab, version):
    """The same, but it waits for a header for WITHIN where it has timeouts; so clients have to send in time."""
    return accepting(lab, version, **lab.wished("timeouts", timeouts=WITHIN))


def connect(lab, header):
    """A client's connection that begins with a header; returns when the server has read its token."""
    token = secrets.token_bytes(TOKEN)
    client = proxy_protocol.connect(lab, header, token)
    return Flow(lab, client, lab.server.take(token, client), token)


def check_client(proxy, flow, address, what):
    """The server sees this address of the client, where the proxy uses the client's; otherwise bytes alone are relayed."""
    if proxy.uses_clients_address:
        assert flow.peer_seen_by_server.address == address, what
    flow.exchange()


def taken(lab, headers):
    """Names of the headers that do not end the connection, or after which the server gets one."""
    return [header.name for header in headers if is_taken(lab, start_with(lab, header))]


def served(lab, headers):
    """Names of the headers after which the server gets bytes; a connection without a byte serves no client."""
    return [header.name for header in headers if lab.server.gets_bytes(start_with(lab, header))]


def start_with(lab, header):
    """A client that sends a header and more. Where the proxy has no timeout, it ends its direction, too."""
    try:
        client = proxy_protocol.connect(lab, header.data, secrets.token_bytes(TOKEN))
    except OSError:
        lab.proxies[-1].check()  # a header before this one may have ended it
        raise
    if "timeouts" not in lab.implementation.capabilities:
        with contextlib.suppress(OSError):  # the proxy has ended it already
            client.hang_up()  # or else it waits for the rest of the header, and has to end now
    return client


def is_taken(lab, client):
    try:
        lab.server.accept(client).close()
    except ConnectionError:
        return not lab.server.no_connection_came()
    return True


@requirement("TP-PP-01")
@both_families
@versions
def test_the_address_in_the_header_is_the_clients(lab, version):
    accepting(lab, version, source="clientip")
    for header in good(f"{version}-tcp", lab.family):
        flow = connect(lab, header.data)
        assert flow.peer_seen_by_server.address == header.source.address, header.name
        assert flow.source_on_the_wire.address == header.source.address, header.name
        flow.exchange()
        proxy_protocol.end(lab, flow)


@requirement("TP-PP-02")
@both_families
@versions
def test_the_port_in_the_header_is_the_clients_too(lab, version):
    accepting(lab, version, source="client")
    header = good(f"{version}-tcp", lab.family)[0]
    assert connect(lab, header.data).peer_seen_by_server == header.source


@requirement("TP-PP-03")
@both_families
@pytest.mark.parametrize("version, names", [("v1", "v1-unknown"), ("v2", "v2-local")])
def test_a_header_without_addresses_leaves_the_connections_own_addresses(lab, version, names):
    accepting(lab, version, source="clientip")
    header = good(names)[0]
    flow = connect(lab, header.data)
    assert flow.peer_seen_by_server.address == lab.client.address
    flow.exchange()


@requirement("TP-PP-04")
@versions
def test_no_byte_of_a_header_reaches_the_server(lab, version):
    """No byte after the header is lost: the token in the same segment is the first bytes that the server reads."""
    accepting(lab, version)
    for header in good(f"{version}-tcp4"):
        flow = connect(lab, header.data)
        flow.client.send(b"the rest")
        assert flow.server.receive(8) == b"the rest", header.name


@requirement("TP-PP-05")
@versions
def test_a_header_in_several_segments_is_read_whole_or_refused(lab, version):
    proxy = accepting(lab, version)
    header = good(f"{version}-tcp4")[0]
    assert_whole_wherever_it_is_cut(lab, proxy, header)


def assert_whole_wherever_it_is_cut(lab, proxy, header):
    """A client for each cut. The server sees the address that the header names, or the connection has ended.

    A whole header is accepted in any case.
    """
    cuts = range(1, len(header.data))
    tokens = [secrets.token_bytes(TOKEN) for _ in cuts]
    for cut, token, client in zip(cuts, tokens, proxy_protocol.connect_in_parts(lab, header.data, tokens)):
        try:
            flow = Flow(lab, client, lab.server.take(token, client), token)
        except ConnectionError:
            assert lab.server.no_byte_came(), f"cut behind byte {cut}"
        else:
            check_client(proxy, flow, header.source.address, f"cut behind byte {cut}")
    connect(lab, header.data).exchange()


@requirement("TP-PP-06")
def test_a_malformed_line_ends_the_connection(lab):
    accepting_for_a_moment(lab, "v1")
    must_serve_header(lab, "v1")
    assert taken(lab, bad("v1")) == []


@requirement("TP-PP-07")
def test_a_malformed_binary_header_ends_the_connection(lab):
    accepting_for_a_moment(lab, "v2")
    must_serve_header(lab, "v2")
    assert taken(lab, bad("v2")) == []


@requirement("TP-PP-17")
def test_a_line_with_a_value_that_cannot_be_ends_the_connection(lab):
    accepting_for_a_moment(lab, "v1")
    must_serve_header(lab, "v1")
    assert served(lab, bad("value-v1")) == []


@requirement("TP-PP-08")
@versions
def test_a_client_without_a_header_is_not_served(lab, version):
    accepting_for_a_moment(lab, version)
    must_serve_header(lab, version)
    assert served(lab, bad("none")) == []


@requirement("TP-PP-09")
@versions
def test_a_client_that_sends_no_header_or_half_of_one_is_ended(lab, version):
    accepting(lab, version, timeouts=WITHIN)
    must_serve_header(lab, version)
    half = good(f"{version}-tcp4")[0].data[:20]
    for client in [proxy_protocol.connect(lab, b""), proxy_protocol.connect(lab, half)]:
        assert client.ending()[1] == b""
    assert lab.server.no_byte_came()


@requirement("TP-PP-10")
@both_families
def test_what_is_behind_the_addresses_is_skipped(lab):
    proxy = accepting(lab, "v2")
    for header in good("v2-with-", lab.family):
        flow = connect(lab, header.data)
        check_client(proxy, flow, header.source.address, header.name)
        proxy_protocol.end(lab, flow)


def serve_with_header(lab, version, source=None, **rest):
    """A proxy that names its clients to the server in a header of a version."""
    return lab.serve(source, server_fields={"proxy_protocol": version}, **rest)


@requirement("TP-PP-16")
@pytest.mark.parametrize("version, names", [("v1", "v1-unknown-"), ("v2", "v2-local-")])
def test_other_fields_of_a_header_without_addresses_are_ignored(lab, version, names):
    proxy = accepting(lab, version)
    for header in good(names):
        check_client(proxy, connect(lab, header.data), lab.client.address, header.name)


@requirement("TP-PP-11")
@both_families
def test_a_header_line_names_client_and_destination_to_the_server(lab):
    serve_with_header(lab, "v1")
    assert_header(lab, "v1")


@requirement("TP-PP-12")
@both_families
def test_a_binary_header_names_client_and_destination_to_the_server(lab):
    serve_with_header(lab, "v2")
    assert_header(lab, "v2")


def assert_header(lab, version):
    """The bytes of the header come first, then the client's bytes. The test needs no half-close, which not every proxy relays."""
    for _ in range(3):
        client = lab.client.open(lab.vip)
        client.send(b"and then the client")
        server = lab.server.accept(client)
        expected = write(version, client.local, lab.vip) + b"and then the client"
        assert server.receive(len(expected)) == expected
        server.send(b"an answer")
        assert client.receive(9) == b"an answer"
        assert not waiting.readable([server.socket], 0), "more bytes came than the client sent"


@requirement("TP-PP-13")
@versions
def test_the_server_gets_its_header_before_the_client_sends_anything(lab, version):
    serve_with_header(lab, version)
    client = lab.client.open(lab.vip)
    server = lab.server.accept(client)
    header = write(version, client.local, lab.vip)
    assert server.receive(len(header)) == header
    server.send(b"220 ready\r\n")
    assert client.receive(11) == b"220 ready\r\n"


@requirement("TP-PP-14")
@pytest.mark.parametrize("version_in, version_out", [("v1", "v2"), ("v2", "v1")])
def test_the_servers_header_names_what_the_clients_header_names(lab, version_in, version_out):
    """As in a chain of proxies with different versions."""
    serve_with_header(lab, version_out, listeners=[lab.listener(proxy_protocol=version_in)])
    named = good(f"{version_in}-tcp4")[0].source, Endpoint(lab.vip_address(81), 443)
    client = proxy_protocol.connect(lab, write(version_in, *named), secrets.token_bytes(TOKEN))
    expected = write(version_out, *named)
    seen = lab.server.accept(client).receive(len(expected))
    assert seen == expected, f"the server's header is {seen!r}, expected {expected!r}"


@requirement("TP-PP-15")
@versions
def test_the_servers_header_names_the_client_whatever_source_is_used(lab, version):
    serve_with_header(lab, version, source="none")
    client = lab.client.open(lab.vip)
    client.send(b"and then the client")
    server = lab.server.accept(client)
    header = write(version, client.local, lab.vip)
    assert server.receive(len(header)) == header
    assert server.peer.address == lab.proxy.address


@requirement("TP-PP-19")
@both_families
def test_a_binary_header_is_read_whole_wherever_it_is_cut(lab):
    proxy = accepting(lab, "v2")
    header = good("v2-tcp", lab.family)[0]
    assert_whole_wherever_it_is_cut(lab, proxy, header)


@requirement("TP-PP-06")
def test_a_malformed_line_ends_the_connection_before_any_timeout(lab):
    assert_each_ends(lab, "v1", bad("v1"))


@requirement("TP-PP-07")
def test_a_malformed_binary_header_ends_the_connection_before_any_timeout(lab):
    assert_each_ends(lab, "v2", bad("v2"))


def assert_each_ends(lab, version, headers):
    """No byte that may follow makes these headers right. So the proxy has nothing to wait for, and no timeout ends them here."""
    lab.serve(None, [lab.listener(proxy_protocol=version)])
    must_serve_header(lab, version)
    for header in headers:
        client = proxy_protocol.connect(lab, header.data + secrets.token_bytes(TOKEN))
        how, data = client.ending()
        assert not data, f"{header.name}: {how} after {data!r}"
