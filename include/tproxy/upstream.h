/*
 * Upstream: opens the connection to a server, from the address that the configuration asks for.
 *
 * It fails closed: where the source address cannot be used, there is no connection, and the reason
 * says which of the many ways it was.
 */
#ifndef TPROXY_UPSTREAM_H
#define TPROXY_UPSTREAM_H

#include "tproxy/addr.h"
#include "tproxy/config.h"
#include "tproxy/reason.h"

struct upstream_failure {
	enum reason reason;
	int error; /* errno behind it, or 0 */
};

/*
 * The address to connect from. False where it is left to the host's routing: `source` is then not
 * set for the server. CLIENT is the address that the session's client came from.
 */
bool upstream_source(const struct source *source, const struct addr *client, struct addr *from);

/*
 * Starts a connection to SERVER and returns its socket; the connection is usually still under way.
 * Returns -1 and fills FAILURE otherwise.
 */
int upstream_open(const struct source *source, const struct addr *client, const struct addr *server,
	struct upstream_failure *failure);

/* What an errno of connect(), or of a connection under way, means for this source. */
enum reason upstream_connect_reason(const struct source *source, int error);

#endif
