/*
 * Makes the two sides of a connection.
 *
 * One thread is all three hosts: it enters a host's namespace, opens a socket there, and goes on. A socket
 * stays in the namespace in which it was opened (setns(2)). No other process acts, so a packet either arrives
 * at once or was dropped; the deadline is for dropped packets. The first failure is kept as the reason,
 * because later ones only follow from it.
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

/* Notes what failed and why, unless a failure was noted before. */
static bool note_failure(
	struct connection_attempt *attempt, const char *what, const struct addr *where)
{
	char *detail = attempt->connection->detail, text[ADDR_TEXT_MAX];

	if (detail[0] == '\0')
		snprintf(detail, sizeof(attempt->connection->detail), "%s %s: %s", what,
			addr_format(where, text), strerror(errno));
	return false;
}

static bool note_difference(struct connection_attempt *attempt, const char *what,
	const struct addr *seen, const struct addr *expected)
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

static bool pass_text(const struct connection_attempt *attempt, int from, int to, const char *text)
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

/* Begins to connect; false where that fails at once. */
static bool begin_connect(struct connection_attempt *attempt, enum end end, const struct addr *to)
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
		return note_failure(attempt, "the proxy cannot listen on", &attempt->listening);
	if (scratch_enter(attempt->network->client) == 0)
		ends[END_CLIENT] = socket_open(attempt->family);
	if (ends[END_CLIENT] == -1 || !begin_connect(attempt, END_CLIENT, &attempt->destination) ||
		!accept_from(attempt, END_LISTENER, END_CLIENT, END_ACCEPTED, &peer))
		return note_failure(attempt, "the client cannot connect to", &attempt->destination);
	if (!socket_local_address(ends[END_ACCEPTED], &local))
		return note_failure(attempt, "no local address is known for a connection to",
			&attempt->destination);
	if (!addr_equal(&local, &attempt->destination))
		return note_difference(attempt, "the destination that the proxy sees", &local,
			&attempt->destination);
	if (!socket_local_address(ends[END_CLIENT], &local))
		return note_failure(attempt, "no local address is known for a connection to",
			&attempt->destination);
	return addr_equal(&local, &peer) ||
	       note_difference(attempt, "the client that the proxy sees", &peer, &local);
}

/* Binds to the address alone: connect() chooses the port (IP_BIND_ADDRESS_NO_PORT, ip(7)). */
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
		return note_failure(attempt, "the server cannot listen on", &attempt->server);
	if (scratch_enter(attempt->network->proxy) == 0)
		ends[END_UPSTREAM] = socket_open(attempt->family);
	if (ends[END_UPSTREAM] == -1 ||
		(attempt->connection->recipe->spoofs &&
			!set_source(ends[END_UPSTREAM], attempt->client, attempt->family)))
		return note_failure(
			attempt, "the proxy cannot bind to the client's address", &attempt->client);
	if (!begin_connect(attempt, END_UPSTREAM, &attempt->server) ||
		!accept_from(attempt, END_SERVER, END_UPSTREAM, END_SERVED, &seen))
		return note_failure(attempt, "the proxy cannot connect to", &attempt->server);
	addr_set_port(&expected, addr_port(&seen));
	attempt->connection->client_seen = addr_equal(&seen, &expected);
	if (attempt->connection->recipe->spoofs && !attempt->connection->client_seen)
		return note_difference(
			attempt, "the client that the server sees", &seen, &expected);
	return true;
}

bool connection_tcp_both_ways(struct connection_attempt *attempt)
{
	const int *ends = attempt->ends;

	if (pass_text(attempt, ends[END_CLIENT], ends[END_ACCEPTED], "there") &&
		pass_text(attempt, ends[END_UPSTREAM], ends[END_SERVED], "there") &&
		pass_text(attempt, ends[END_SERVED], ends[END_UPSTREAM], "and back") &&
		pass_text(attempt, ends[END_ACCEPTED], ends[END_CLIENT], "and back"))
		return true;
	return note_failure(attempt, "no bytes pass between the client and", &attempt->server);
}

/* A datagram socket of a host, bound. */
static int open_datagram(int host, const struct addr *address, bool transparent)
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
	struct addr from, reported;
	int *ends = attempt->ends;
	char data[32];

	ends[END_LISTENER] = open_datagram(attempt->network->proxy, &attempt->listening, true);
	if (ends[END_LISTENER] == -1)
		return note_failure(attempt, "the proxy cannot receive on", &attempt->listening);
	if (datagram_report_destination(ends[END_LISTENER], attempt->family) == -1)
		return note_failure(attempt,
			"the kernel cannot report the destination of datagrams on",
			&attempt->listening);
	ends[END_CLIENT] = open_datagram(attempt->network->client, &attempt->client, false);
	if (ends[END_CLIENT] == -1 || !socket_local_address(ends[END_CLIENT], &attempt->client) ||
		!begin_connect(attempt, END_CLIENT, &attempt->destination) ||
		send(ends[END_CLIENT], "there", 5, 0) != 5 ||
		!await(attempt, ends[END_LISTENER], ends[END_CLIENT]) ||
		datagram_receive(ends[END_LISTENER], data, sizeof(data), &from, &reported) != 5)
		return note_failure(attempt, "the proxy does not receive the datagram to",
			&attempt->destination);
	if (!addr_equal(&from, &attempt->client))
		return note_difference(
			attempt, "the client that the proxy sees", &from, &attempt->client);
	attempt->connection->destination_reported = addr_equal(&reported, &attempt->destination);
	if (addr_family(&reported) == AF_UNSPEC) {
		errno = EPROTO;
		return note_failure(attempt,
			"the kernel does not report the destination of a datagram to",
			&attempt->destination);
	}
	return attempt->connection->destination_reported ||
	       note_difference(attempt, "the destination that the kernel reports", &reported,
		       &attempt->destination);
}

bool connection_udp_server_side(struct connection_attempt *attempt)
{
	struct addr seen, reported;
	int *ends = attempt->ends;
	char data[32];

	ends[END_SERVER] = open_datagram(attempt->network->server, &attempt->server, false);
	if (ends[END_SERVER] == -1)
		return note_failure(attempt, "the server cannot receive on", &attempt->server);
	ends[END_UPSTREAM] = open_datagram(attempt->network->proxy, &attempt->client, true);
	/* If the client side failed, the client's port is yet to be chosen. */
	if (ends[END_UPSTREAM] == -1 || !socket_local_address(ends[END_UPSTREAM], &attempt->client))
		return note_failure(
			attempt, "the proxy cannot bind to the client's address", &attempt->client);
	if (!begin_connect(attempt, END_UPSTREAM, &attempt->server) ||
		send(ends[END_UPSTREAM], "there", 5, 0) != 5 ||
		!await(attempt, ends[END_SERVER], ends[END_UPSTREAM]) ||
		datagram_receive(ends[END_SERVER], data, sizeof(data), &seen, &reported) != 5)
		return note_failure(
			attempt, "the server does not receive the datagram to", &attempt->server);
	if (!addr_equal(&seen, &attempt->client))
		return note_difference(
			attempt, "the client that the server sees", &seen, &attempt->client);
	if (socket_connect(ends[END_SERVER], &seen) == -1 ||
		!pass_text(attempt, ends[END_SERVER], ends[END_UPSTREAM], "and back"))
		return note_failure(
			attempt, "the proxy does not receive the server's answer to", &seen);
	attempt->connection->client_seen = true;
	return true;
}

bool connection_udp_both_ways(struct connection_attempt *attempt)
{
	int *ends = attempt->ends;

	ends[END_ACCEPTED] = open_datagram(attempt->network->proxy, &attempt->destination, true);
	if (ends[END_ACCEPTED] != -1 && begin_connect(attempt, END_ACCEPTED, &attempt->client) &&
		pass_text(attempt, ends[END_ACCEPTED], ends[END_CLIENT], "and back"))
		return true;
	return note_failure(attempt, "the client receives no answer from", &attempt->destination);
}
