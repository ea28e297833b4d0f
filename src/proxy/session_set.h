/*
 * What a session asks of the set that it belongs to; for src/proxy/ alone.
 */
#ifndef PROXY_SESSION_SET_H
#define PROXY_SESSION_SET_H

#include "session.h"
#include "upstream.h"

/* The backend's next server by round robin, which belongs to the configuration; NULL: it has none. */
const struct server *session_set_next_server(struct session_set *set, const struct proxy *backend);

/* As upstream_open(); where no descriptor is left, it gives up the loop's spare one for it. */
int session_set_open_upstream(struct session_set *set, const struct source *source,
	const struct addr *client, const struct addr *server, struct upstream_failure *failure);

/* Adds a session, whose `set` is filled, to the live ones. Its place in the limits is taken already. */
void session_set_insert(struct session *session);

/*
 * Moves a live session to the dead ones, which session_loop_reap() frees. Its descriptors must be
 * closed. Gives back its pipes, its places in the limits, and the loop's spare descriptor.
 */
void session_set_remove(struct session *session);

#endif
