/*
 * Balance: which server of a backend a client comes to.
 *
 * It needs no more than the backend and the limits that all workers share, so that anything that has clients can use
 * it: a session, and a flow of datagrams. Any thread may call these functions.
 */
#ifndef TPROXY_SERVERS_BALANCE_H
#define TPROXY_SERVERS_BALANCE_H

#include "limits.h"
#include "reason.h"
#include "tproxy/addr.h"
#include "tproxy/config.h"

/* Whether a client can come to the server. */
bool balance_is_usable(const struct limits *limits, const struct server *server);

/* How many servers of BACKEND clients could come to, of the active ones and of the backups; none without weight. */
void balance_count(
	struct limits *limits, const struct proxy *backend, unsigned *active, unsigned *backups);

/*
 * How many servers of BACKEND clients can come to, as HAProxy's `nbsrv` counts them: the active ones; without any, the
 * backups that serve in their place. A server without weight does not count.
 */
unsigned balance_usable(struct limits *limits, const struct proxy *backend);

/*
 * Chooses a server of BACKEND for CLIENT, by `balance`, and counts it with limits_use(): the caller gives that back with
 * limits_unuse(). AVOID, which may be NULL, is chosen only where no other server is usable. Returns REASON_DONE and fills *SERVER;
 * REASON_NO_SERVER where none is usable, or REASON_SERVERS_FULL where all have as many sessions as their maxconn.
 */
enum reason balance_choose(struct limits *limits, const struct proxy *backend,
	const struct addr *client, const struct server *avoid, const struct server **server);

enum {
	NO_TICKET = 0 /* of one who comes just now, and has not waited */
};

/*
 * The same for one who can wait, with the TICKET that it has in a queue, if it waits already. Where it returns
 * REASON_SERVERS_FULL, *WANTED is the server whose queue it has to wait in, or NULL: the backend's. One who waits longer comes first.
 */
enum reason balance_choose_or_wait(struct limits *limits, const struct proxy *backend,
	const struct addr *client, uint64_t ticket, const struct server **server,
	const struct server **wanted);

/* Whether SERVER is one of those that a client of BACKEND without a server of its own may come to now, if it has a place. */
bool balance_shares(
	struct limits *limits, const struct proxy *backend, const struct server *server);

#endif
