/*
 * What a session asks of the set that it belongs to; for src/proxy/ alone.
 */
#ifndef PROXY_SESSIONS_H
#define PROXY_SESSIONS_H

#include "tproxy/session.h"
#include "tproxy/upstream.h"

/* The backend's next server by round robin; NULL where it has none. */
const struct server *sessions_next_server(struct sessions *set, const struct proxy *backend);

/* As upstream_open(), and where no descriptor is left, with the spare one. */
int sessions_open_upstream(struct sessions *set, const struct source *source,
	const struct addr *client, const struct addr *server, struct upstream_failure *failure);

void sessions_insert(struct session *session);

/* Moves a session whose descriptors are closed to the dead ones, and gives back what it held. */
void sessions_remove(struct session *session);

#endif
