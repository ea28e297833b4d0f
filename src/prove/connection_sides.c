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
static bool fail(struct call *call, const char *what, const struct addr *where)
{
	char *detail = call->connection->detail, text[ADDR_TEXT_MAX];

	if (detail[0] == '\0')
		snprintf(detail, sizeof(call->connection->detail), "%s %s: %s", what,
			addr_format(where, text), strerror(errno));
	return false;
}

static bool differs(
	struct call *call, const char *what, const struct addr *seen, const struct addr *expected)
{
	char *detail = call->connection->detail, one[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];

	if (detail[0] == '\0')
		snprintf(detail, sizeof(call->connection->detail), "%s is %s instead of %s", what,
			addr_format(seen, one), addr_format(expected, other));
	return false;
}

/* Waits until FD can be read, or until WATCHED has failed; with -1 only for FD. */
static bool await(const struct call *call, int fd, int watched)
{
	struct pollfd polled[2] = {{fd, POLLIN, 0}, {watched, 0, 0}};
	long long left = call->deadline - clock_ms();
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

static bool pass(const struct call *call, int from, int to, const char *text)
{
	char received[32] = "";

	if (send(from, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		return false;
	if (!await(call, to, -1) || recv(to, received, sizeof(received) - 1, 0) <= 0)
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
static bool begin(struct call *call, enum end end, const struct addr *to)
{
	return socket_connect(call->ends[end], to) == 0 || errno == EINPROGRESS;
}

static bool accept_from(
	struct call *call, enum end listener, enum end caller, enum end accepted, struct addr *peer)
{
	if (!await(call, call->ends[listener], call->ends[caller]))
		return false;
	call->ends[accepted] = socket_accept(call->ends[listener], peer);
	return call->ends[accepted] != -1;
}

bool tcp_to_listener(struct call *call)
{
	struct addr peer, local;
	int *ends = call->ends;

	ends[END_LISTENER] = listen_at(call->network->proxy, &call->listening, true);
	if (ends[END_LISTENER] == -1)
		return fail(call, "the proxy cannot listen at", &call->listening);
	if (scratch_enter(call->network->client) == 0)
		ends[END_CALLER] = socket_open(call->family);
	if (ends[END_CALLER] == -1 || !begin(call, END_CALLER, &call->called) ||
		!accept_from(call, END_LISTENER, END_CALLER, END_ACCEPTED, &peer))
		return fail(call, "the client does not reach", &call->called);
	if (!socket_local_address(ends[END_ACCEPTED], &local))
		return fail(call, "no local address of a connection to", &call->called);
	if (!addr_equal(&local, &call->called))
		return differs(call, "what the proxy takes for called", &local, &call->called);
	if (!socket_local_address(ends[END_CALLER], &local))
		return fail(call, "no local address of a connection to", &call->called);
	return addr_equal(&local, &peer) ||
	       differs(call, "the client that the proxy sees", &peer, &local);
}

/* The address alone, as the source of the second leg: connect() chooses the port. */
static bool set_source(int fd, struct addr source, int family)
{
	addr_set_port(&source, 0);
	return socket_set_transparent(fd, family) == 0 && socket_bind_source(fd, &source) == 0;
}

bool tcp_to_server(struct call *call)
{
	struct addr seen, expected = call->client;
	int *ends = call->ends;

	ends[END_SERVER] = listen_at(call->network->server, &call->server, false);
	if (ends[END_SERVER] == -1)
		return fail(call, "the server cannot listen at", &call->server);
	if (scratch_enter(call->network->proxy) == 0)
		ends[END_UPSTREAM] = socket_open(call->family);
	if (ends[END_UPSTREAM] == -1 ||
		(call->connection->recipe->spoofs &&
			!set_source(ends[END_UPSTREAM], call->client, call->family)))
		return fail(call, "the proxy cannot use the client's", &call->client);
	if (!begin(call, END_UPSTREAM, &call->server) ||
		!accept_from(call, END_SERVER, END_UPSTREAM, END_SERVED, &seen))
		return fail(call, "the proxy does not reach", &call->server);
	addr_set_port(&expected, addr_port(&seen));
	call->connection->client_seen = addr_equal(&seen, &expected);
	if (call->connection->recipe->spoofs && !call->connection->client_seen)
		return differs(call, "the client that the server sees", &seen, &expected);
	return true;
}

bool tcp_both_ways(struct call *call)
{
	const int *ends = call->ends;

	if (pass(call, ends[END_CALLER], ends[END_ACCEPTED], "there") &&
		pass(call, ends[END_UPSTREAM], ends[END_SERVED], "there") &&
		pass(call, ends[END_SERVED], ends[END_UPSTREAM], "and back") &&
		pass(call, ends[END_ACCEPTED], ends[END_CALLER], "and back"))
		return true;
	return fail(call, "no bytes between the client and", &call->server);
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

bool udp_to_listener(struct call *call)
{
	struct addr from, told;
	int *ends = call->ends;
	char data[32];

	ends[END_LISTENER] = bound(call->network->proxy, &call->listening, true);
	if (ends[END_LISTENER] == -1)
		return fail(call, "the proxy cannot wait at", &call->listening);
	if (datagram_report_destination(ends[END_LISTENER], call->family) == -1)
		return fail(call, "the kernel tells no destination at", &call->listening);
	ends[END_CALLER] = bound(call->network->client, &call->client, false);
	if (ends[END_CALLER] == -1 || !socket_local_address(ends[END_CALLER], &call->client) ||
		!begin(call, END_CALLER, &call->called) ||
		send(ends[END_CALLER], "there", 5, 0) != 5 ||
		!await(call, ends[END_LISTENER], ends[END_CALLER]) ||
		datagram_receive(ends[END_LISTENER], data, sizeof(data), &from, &told) != 5)
		return fail(call, "the client's datagram does not come from", &call->called);
	if (!addr_equal(&from, &call->client))
		return differs(call, "the client that the proxy sees", &from, &call->client);
	call->connection->destination_told = addr_equal(&told, &call->called);
	if (addr_family(&told) == AF_UNSPEC) {
		errno = EPROTO;
		return fail(call, "the kernel does not tell of a datagram to", &call->called);
	}
	return call->connection->destination_told ||
	       differs(call, "the destination that is told", &told, &call->called);
}

bool udp_to_server(struct call *call)
{
	struct addr seen, told;
	int *ends = call->ends;
	char data[32];

	ends[END_SERVER] = bound(call->network->server, &call->server, false);
	if (ends[END_SERVER] == -1)
		return fail(call, "the server cannot wait at", &call->server);
	ends[END_UPSTREAM] = bound(call->network->proxy, &call->client, true);
	/* Without a first leg, the client's port is yet to be chosen. */
	if (ends[END_UPSTREAM] == -1 || !socket_local_address(ends[END_UPSTREAM], &call->client))
		return fail(call, "the proxy cannot use the client's", &call->client);
	if (!begin(call, END_UPSTREAM, &call->server) ||
		send(ends[END_UPSTREAM], "there", 5, 0) != 5 ||
		!await(call, ends[END_SERVER], ends[END_UPSTREAM]) ||
		datagram_receive(ends[END_SERVER], data, sizeof(data), &seen, &told) != 5)
		return fail(call, "the proxy's datagram does not reach", &call->server);
	if (!addr_equal(&seen, &call->client))
		return differs(call, "the client that the server sees", &seen, &call->client);
	if (socket_connect(ends[END_SERVER], &seen) == -1 ||
		!pass(call, ends[END_SERVER], ends[END_UPSTREAM], "and back"))
		return fail(call, "the server's answer does not come back to", &seen);
	call->connection->client_seen = true;
	return true;
}

bool udp_both_ways(struct call *call)
{
	int *ends = call->ends;

	ends[END_ACCEPTED] = bound(call->network->proxy, &call->called, true);
	if (ends[END_ACCEPTED] != -1 && begin(call, END_ACCEPTED, &call->client) &&
		pass(call, ends[END_ACCEPTED], ends[END_CALLER], "and back"))
		return true;
	return fail(call, "the client gets no answer from", &call->called);
}
