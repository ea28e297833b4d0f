/*
 * Legs of a connection; see the header.
 *
 * One thread plays all three hosts: it moves into a host, opens a socket there, and goes on. Nobody
 * else acts, so whatever is awaited either comes from the kernel or never comes. The limit is for the
 * latter: packets that are dropped on their way.
 */
#include "connection_sides.h"
#include "scratch.h"
#include "tproxy/clock.h"
#include "tproxy/datagram.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Says what failed and why; the first failure is kept. */
static bool fail(struct connection_attempt *attempt, const char *what, const struct addr *where)
{
	char *detail = attempt->connection->detail, text[ADDR_TEXT_MAX];

	if (detail[0] == '\0')
		snprintf(detail, sizeof(attempt->connection->detail), "%s %s: %s", what,
			addr_format(where, text), strerror(errno));
	return false;
}

static bool differs(struct connection_attempt *attempt, const char *what, const struct addr *seen,
	const struct addr *expected)
{
	char *detail = attempt->connection->detail, one[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];

	if (detail[0] == '\0')
		snprintf(detail, sizeof(attempt->connection->detail), "%s is %s instead of %s",
			what, addr_format(seen, one), addr_format(expected, other));
	return false;
}

/* Waits until FD can be read, or until WATCHED has failed; with -1 only for FD. */
static bool await(const struct connection_attempt *attempt, int fd, int watched)
{
	struct pollfd polled[2] = {{fd, POLLIN, 0}, {watched, 0, 0}};
	long long left = attempt->deadline - clock_ms();
	int ready = poll(polled, 2, left > 0 ? (int)left : 0);

	if (ready == 0)
		errno = ETIMEDOUT;
	if (ready <= 0)
		return false;
	if (polled[0].revents & POLLIN)
		return true;
	errno = socket_take_error(polled[0].revents != 0 ? fd : watched);
	return false;
}

static bool pass(const struct connection_attempt *attempt, int from, int to, const char *text)
{
	char received[32] = "";

	if (send(from, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		return false;
	if (!await(attempt, to, -1) || recv(to, received, sizeof(received) - 1, 0) <= 0)
		return false;
	errno = EPROTO;
	return strcmp(received, text) == 0;
}

static int listen_at(int host, const struct addr *address, bool transparent)
{
	struct socket_listener wanted = {.address = *address, .transparent = transparent};
	int fd = scratch_enter(host) == -1 ? -1 : socket_bind_listener(&wanted, true);
	int error;

	if (fd == -1 || listen(fd, 1) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* A socket of a host that is on its way to an address. */
static bool begin(struct connection_attempt *attempt, enum end end, const struct addr *to)
{
	return socket_connect(attempt->ends[end], to) == 0 || errno == EINPROGRESS;
}

static bool accept_from(struct connection_attempt *attempt, enum end listener, enum end client,
	enum end accepted, struct addr *peer)
{
	if (!await(attempt, attempt->ends[listener], attempt->ends[client]))
		return false;
	attempt->ends[accepted] = socket_accept(attempt->ends[listener], peer);
	return attempt->ends[accepted] != -1;
}

bool connection_tcp_client_side(struct connection_attempt *attempt)
{
	struct addr peer, local;
	int *ends = attempt->ends;

	ends[END_LISTENER] = listen_at(attempt->network->proxy, &attempt->listening, true);
	if (ends[END_LISTENER] == -1)
		return fail(attempt, "the proxy cannot listen at", &attempt->listening);
	if (scratch_enter(attempt->network->client) == 0)
		ends[END_CLIENT] = socket_open(attempt->family);
	if (ends[END_CLIENT] == -1 || !begin(attempt, END_CLIENT, &attempt->destination) ||
		!accept_from(attempt, END_LISTENER, END_CLIENT, END_ACCEPTED, &peer))
		return fail(attempt, "the client does not reach", &attempt->destination);
	if (!socket_local_address(ends[END_ACCEPTED], &local))
		return fail(attempt, "no local address of a connection to", &attempt->destination);
	if (!addr_equal(&local, &attempt->destination))
		return differs(
			attempt, "what the proxy takes for called", &local, &attempt->destination);
	if (!socket_local_address(ends[END_CLIENT], &local))
		return fail(attempt, "no local address of a connection to", &attempt->destination);
	return addr_equal(&local, &peer) ||
	       differs(attempt, "the client that the proxy sees", &peer, &local);
}

/* The address alone, as the source of the second leg: connect() chooses the port. */
static bool set_source(int fd, struct addr source, int family)
{
	addr_set_port(&source, 0);
	return socket_set_transparent(fd, family) == 0 && socket_bind_source(fd, &source) == 0;
}

bool connection_tcp_server_side(struct connection_attempt *attempt)
{
	struct addr seen, expected = attempt->client;
	int *ends = attempt->ends;

	ends[END_SERVER] = listen_at(attempt->network->server, &attempt->server, false);
	if (ends[END_SERVER] == -1)
		return fail(attempt, "the server cannot listen at", &attempt->server);
	if (scratch_enter(attempt->network->proxy) == 0)
		ends[END_UPSTREAM] = socket_open(attempt->family);
	if (ends[END_UPSTREAM] == -1 ||
		(attempt->connection->recipe->spoofs &&
			!set_source(ends[END_UPSTREAM], attempt->client, attempt->family)))
		return fail(attempt, "the proxy cannot use the client's", &attempt->client);
	if (!begin(attempt, END_UPSTREAM, &attempt->server) ||
		!accept_from(attempt, END_SERVER, END_UPSTREAM, END_SERVED, &seen))
		return fail(attempt, "the proxy does not reach", &attempt->server);
	addr_set_port(&expected, addr_port(&seen));
	attempt->connection->client_seen = addr_equal(&seen, &expected);
	if (attempt->connection->recipe->spoofs && !attempt->connection->client_seen)
		return differs(attempt, "the client that the server sees", &seen, &expected);
	return true;
}

bool connection_tcp_both_ways(struct connection_attempt *attempt)
{
	const int *ends = attempt->ends;

	if (pass(attempt, ends[END_CLIENT], ends[END_ACCEPTED], "there") &&
		pass(attempt, ends[END_UPSTREAM], ends[END_SERVED], "there") &&
		pass(attempt, ends[END_SERVED], ends[END_UPSTREAM], "and back") &&
		pass(attempt, ends[END_ACCEPTED], ends[END_CLIENT], "and back"))
		return true;
	return fail(attempt, "no bytes between the client and", &attempt->server);
}

/* A datagram socket of a host, bound. */
static int bound(int host, const struct addr *address, bool transparent)
{
	int family = addr_family(address);
	int fd = scratch_enter(host) == -1 ? -1 : datagram_open(family);

	if (fd == -1 || (transparent && socket_set_transparent(fd, family) == -1) ||
		bind(fd, &address->sa, addr_length(address)) == -1) {
		int error = errno;

		if (fd != -1)
			close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

bool connection_udp_client_side(struct connection_attempt *attempt)
{
	struct addr from, told;
	int *ends = attempt->ends;
	char data[32];

	ends[END_LISTENER] = bound(attempt->network->proxy, &attempt->listening, true);
	if (ends[END_LISTENER] == -1)
		return fail(attempt, "the proxy cannot wait at", &attempt->listening);
	if (datagram_report_destination(ends[END_LISTENER], attempt->family) == -1)
		return fail(attempt, "the kernel tells no destination at", &attempt->listening);
	ends[END_CLIENT] = bound(attempt->network->client, &attempt->client, false);
	if (ends[END_CLIENT] == -1 || !socket_local_address(ends[END_CLIENT], &attempt->client) ||
		!begin(attempt, END_CLIENT, &attempt->destination) ||
		send(ends[END_CLIENT], "there", 5, 0) != 5 ||
		!await(attempt, ends[END_LISTENER], ends[END_CLIENT]) ||
		datagram_receive(ends[END_LISTENER], data, sizeof(data), &from, &told) != 5)
		return fail(
			attempt, "the client's datagram does not come from", &attempt->destination);
	if (!addr_equal(&from, &attempt->client))
		return differs(attempt, "the client that the proxy sees", &from, &attempt->client);
	attempt->connection->destination_reported = addr_equal(&told, &attempt->destination);
	if (addr_family(&told) == AF_UNSPEC) {
		errno = EPROTO;
		return fail(attempt, "the kernel does not tell of a datagram to",
			&attempt->destination);
	}
	return attempt->connection->destination_reported ||
	       differs(attempt, "the destination that is told", &told, &attempt->destination);
}

bool connection_udp_server_side(struct connection_attempt *attempt)
{
	struct addr seen, told;
	int *ends = attempt->ends;
	char data[32];

	ends[END_SERVER] = bound(attempt->network->server, &attempt->server, false);
	if (ends[END_SERVER] == -1)
		return fail(attempt, "the server cannot wait at", &attempt->server);
	ends[END_UPSTREAM] = bound(attempt->network->proxy, &attempt->client, true);
	/* Without a first leg, the client's port is yet to be chosen. */
	if (ends[END_UPSTREAM] == -1 || !socket_local_address(ends[END_UPSTREAM], &attempt->client))
		return fail(attempt, "the proxy cannot use the client's", &attempt->client);
	if (!begin(attempt, END_UPSTREAM, &attempt->server) ||
		send(ends[END_UPSTREAM], "there", 5, 0) != 5 ||
		!await(attempt, ends[END_SERVER], ends[END_UPSTREAM]) ||
		datagram_receive(ends[END_SERVER], data, sizeof(data), &seen, &told) != 5)
		return fail(attempt, "the proxy's datagram does not reach", &attempt->server);
	if (!addr_equal(&seen, &attempt->client))
		return differs(attempt, "the client that the server sees", &seen, &attempt->client);
	if (socket_connect(ends[END_SERVER], &seen) == -1 ||
		!pass(attempt, ends[END_SERVER], ends[END_UPSTREAM], "and back"))
		return fail(attempt, "the server's answer does not come back to", &seen);
	attempt->connection->client_seen = true;
	return true;
}

bool connection_udp_both_ways(struct connection_attempt *attempt)
{
	int *ends = attempt->ends;

	ends[END_ACCEPTED] = bound(attempt->network->proxy, &attempt->destination, true);
	if (ends[END_ACCEPTED] != -1 && begin(attempt, END_ACCEPTED, &attempt->client) &&
		pass(attempt, ends[END_ACCEPTED], ends[END_CLIENT], "and back"))
		return true;
	return fail(attempt, "the client gets no answer from", &attempt->destination);
}
