/*
 * The connection to a server, from the source address that the configuration says.
 *
 * Steps: a socket, IP_TRANSPARENT if the source may be foreign, bind, connect. A failed step ends
 * the attempt with that step's reason; no branch goes on with less than the configuration says. That
 * is the invariant: the proxy's own address is used only by SOURCE_ROUTED and SOURCE_ADDRESS.
 *
 * The trap: EADDRNOTAVAIL from connect() has two meanings. Where the kernel chooses the port, it has
 * none left for this 4-tuple; where the port is given, this 4-tuple exists already.
 */
#include "upstream.h"

#include "tproxy/socket.h"

#include <errno.h>
#include <unistd.h>

bool upstream_source(const struct source *source, const struct addr *client, struct addr *from)
{
	switch (source->mode) {
	case SOURCE_ROUTED:
		return false;
	case SOURCE_CLIENTIP:
		*from = *client;
		addr_set_port(from, 0);
		return true;
	case SOURCE_CLIENT:
		*from = *client;
		return true;
	case SOURCE_ADDRESS:
	case SOURCE_FOREIGN:
		*from = source->address;
		return true;
	}
	return false;
}

bool upstream_uses_client(const struct source *source)
{
	return source->mode == SOURCE_CLIENTIP || source->mode == SOURCE_CLIENT;
}

bool upstream_is_foreign(const struct source *source)
{
	return upstream_uses_client(source) || source->mode == SOURCE_FOREIGN;
}

enum reason upstream_open_reason(int error)
{
	if (error == EMFILE || error == ENFILE)
		return REASON_DESCRIPTORS;
	if (error == ENOBUFS || error == ENOMEM)
		return REASON_MEMORY;
	return REASON_CONNECT_FAILED;
}

static enum reason bind_reason(int error)
{
	if (error == EADDRINUSE)
		return REASON_SOURCE_IN_USE;
	if (error == EPERM || error == EACCES)
		return REASON_SOURCE_DENIED;
	return REASON_SOURCE_FAILED;
}

enum reason upstream_connect_reason(const struct source *source, int error)
{
	bool has_address = source->mode == SOURCE_ADDRESS || source->mode == SOURCE_FOREIGN;
	bool port_is_given =
		source->mode == SOURCE_CLIENT || (has_address && addr_port(&source->address) != 0);

	switch (error) {
	case EADDRINUSE:
		return REASON_SOURCE_IN_USE;
	case EAGAIN: /* of UDP, where the kernel chooses the port */
	case EADDRNOTAVAIL:
		return port_is_given ? REASON_SOURCE_IN_USE : REASON_SOURCE_EXHAUSTED;
	case ECONNREFUSED:
		return REASON_CONNECT_REFUSED;
	case ETIMEDOUT:
		return REASON_CONNECT_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return REASON_CONNECT_UNREACHABLE;
	default:
		return REASON_CONNECT_FAILED;
	}
}

/* Binds a socket of TYPE to its source. REASON_DONE: it is bound, or nothing was to be bound. */
static enum reason bind_source(int type, int fd, const struct source *source,
	const struct addr *client, const struct addr *server)
{
	struct addr from;

	if (!upstream_source(source, client, &from))
		return REASON_DONE;
	if (addr_family(&from) != addr_family(server)) {
		errno = EAFNOSUPPORT;
		return REASON_SOURCE_FAMILY;
	}
	if (source->mode != SOURCE_ADDRESS && socket_set_transparent(fd, addr_family(server)) == -1)
		return bind_reason(errno);
	if ((type == SOCK_STREAM ? socket_bind_source(fd, &from)
				 : socket_bind_datagram_source(fd, &from)) == -1)
		return bind_reason(errno);
	return REASON_DONE;
}

static int start_connecting(
	int type, int fd, const struct addr *server, struct own_connection **noted)
{
	return noted == NULL ? socket_connect(fd, server)
			     : own_traffic_connect(type, fd, server, noted);
}

/* Takes FD over, or what kept it from being opened. */
static int open_upstream(int fd, int type, const struct source *source, const struct addr *client,
	const struct addr *server, struct own_connection **noted, struct upstream_failure *failure)
{
	if (fd == -1) {
		failure->reason = upstream_open_reason(errno);
		goto fail;
	}
	failure->reason = bind_source(type, fd, source, client, server);
	if (failure->reason != REASON_DONE)
		goto fail;
	if (start_connecting(type, fd, server, noted) == 0 || errno == EINPROGRESS)
		return fd;
	failure->reason = upstream_connect_reason(source, errno);
fail:
	failure->error = errno;
	if (fd != -1)
		close(fd);
	return -1;
}

int upstream_open(const struct source *source, const struct addr *client, const struct addr *server,
	struct own_connection **noted, struct upstream_failure *failure)
{
	return open_upstream(socket_open(addr_family(server)), SOCK_STREAM, source, client, server,
		noted, failure);
}

int upstream_open_check(const struct source *source, const struct addr *server, bool quiet,
	struct upstream_failure *failure)
{
	static const struct addr no_client;

	return open_upstream(socket_open_check(addr_family(server), quiet), SOCK_STREAM, source,
		&no_client, server, NULL, failure);
}

int upstream_open_datagrams(const struct source *source, const struct addr *client,
	const struct addr *server, struct own_connection **noted, struct upstream_failure *failure)
{
	return open_upstream(socket_open_datagrams(addr_family(server)), SOCK_DGRAM, source, client,
		server, noted, failure);
}
