/*
 * What a session asks of the set that it belongs to; for src/proxy/ alone.
 */
#ifndef PROXY_SESSION_SET_H
#define PROXY_SESSION_SET_H

#include "tproxy/session.h"
#include "tproxy/upstream.h"

/* The backend's next server by round robin; NULL where it has none. */
const struct server *session_set_next_server(struct session_set *set, const struct proxy *backend);

/* As upstream_open(), and where no descriptor is left, with the spare one. */
int session_set_open_upstream(struct session_set *set, const struct source *source,
	const struct addr *client, const struct addr *server, struct upstream_failure *failure);

void session_set_insert(struct session *session);

/* Moves a session whose descriptors are closed to the dead ones, and gives back what it held. */
void session_set_remove(struct session *session);

#endif
