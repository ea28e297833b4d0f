/*
 * Upstream: opens the connection to a server, from the address that the configuration asks for.
 *
 * It fails closed: where the source address cannot be used, there is no connection, and the reason
 * says which of the many ways it was.
 */
#ifndef TPROXY_SERVERS_UPSTREAM_H
#define TPROXY_SERVERS_UPSTREAM_H

#include "own_traffic.h"
#include "reason.h"
#include "tproxy/addr.h"
#include "tproxy/config.h"

struct upstream_failure {
	enum reason reason;
	int error; /* errno behind it */
};

/*
 * Sets FROM to the address to connect from, as HAProxy's `source` and `usesrc` have it; port 0 lets
 * the kernel choose. CLIENT is where the session's client came from. False, and FROM is not set, where
 * the host's routing chooses.
 */
bool upstream_source(const struct source *source, const struct addr *client, struct addr *from);

/* Whether the source is the client's address. */
bool upstream_uses_client(const struct source *source);

/* Whether the source may be an address that is not this host's: the client's, or a fixed one. */
bool upstream_is_foreign(const struct source *source);

/*
 * Starts a connection to SERVER, by own_traffic_connect() where NOTED is not NULL. Returns its socket, which the caller owns and whose connection is
 * usually still under way: once it can be written, SO_ERROR says what became of it (connect(2),
 * EINPROGRESS). Returns -1 and fills FAILURE otherwise.
 */
int upstream_open(const struct source *source, const struct addr *client, const struct addr *server,
	struct own_connection **noted, struct upstream_failure *failure);

/* The same for a check, which has no client. QUIET: see socket_open_check(). */
int upstream_open_check(const struct source *source, const struct addr *server, bool quiet,
	struct upstream_failure *failure);

/* The same for datagrams: the socket is connected when it is returned, and nothing was sent. */
int upstream_open_datagrams(const struct source *source, const struct addr *client,
	const struct addr *server, struct own_connection **noted, struct upstream_failure *failure);

/* What ERROR, an errno of socket(), means. */
enum reason upstream_open_reason(int error);

/* What ERROR, an errno of connect() or of a connection under way, means for this source. */
enum reason upstream_connect_reason(const struct source *source, int error);

#endif
