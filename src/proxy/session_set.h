/*
 * What a session asks of the set that it belongs to; for src/proxy/ alone.
 */
#ifndef PROXY_SESSION_SET_H
#define PROXY_SESSION_SET_H

#include "servers/upstream.h"
#include "session.h"
#include "tproxy/socket.h"

/*
 * As upstream_open(), for a session whose server and its address are chosen; where no descriptor is left, it gives up
 * the loop's spare one for it.
 */
int session_set_open_upstream(struct session *session, struct upstream_failure *failure);

/* As socket_address_kind(), which needs a descriptor for a moment: where none is left, the loop's spare one. */
enum address_kind session_set_address_kind(struct session_set *set, const struct addr *address);

/* Adds a session, whose `set` is filled, to the live ones. Its place in the limits is taken already. */
void session_set_insert(struct session *session);

/*
 * Moves a live session to the dead ones, which session_loop_reap() frees. Its descriptors must be
 * closed. Gives back its pipes, its places in the limits, and the loop's spare descriptor.
 */
void session_set_remove(struct session *session);

#endif
