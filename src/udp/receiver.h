/*
 * Receivers: where the datagrams of clients arrive. Each worker has its own socket for every address; the kernel gives
 * all datagrams of a client to one of them, as long as they are all there (SO_REUSEPORT).
 *
 * A reload makes a new set of receivers. One that receives where a receiver before did reads the same socket in its place.
 * Flows that began before send their replies by that socket, too, so older receivers keep a reference to it. A receiver
 * without a successor drains: it goes on reading for the flows that are there, and begins none.
 */
#ifndef TPROXY_RECEIVER_H
#define TPROXY_RECEIVER_H

#include "flow.h"
#include "proxy/listener.h"
#include "servers/counterparts.h"

/* The receivers of one configuration in one worker. */
struct receivers {
	struct receiver *list;
	size_t count;
	struct event retry; /* watches what the event loop could not */
};

/* How many addresses the configuration takes datagrams at; each worker has a socket for each of them. */
size_t receivers_count(const struct config *config);

/*
 * Binds every address of CONFIG that has no counterpart in a configuration before; COUNTERPARTS may be NULL, and must
 * outlive SET as CONFIG must. FIRST is for the first worker: an address that another process serves is refused. Returns
 * 0, or -1 and fills FAILURE; SET must then be freed as after success. A new socket queues datagrams from now on.
 */
int receivers_bind(struct receivers *set, const struct config *config,
	const struct counterparts *counterparts, bool first, struct listener_failure *failure);

/* Takes over what SET inherits from BEFORE, which has the receivers of the configuration OLDER. Cannot fail. */
void receivers_inherit(struct receivers *set, const struct config *older, struct receivers *before);

/*
 * Begins to read; datagrams become flows of FLOWS, whose loop's flows begin in SET alone from now on. FLOWS must outlive
 * SET. Returns 0, or -1 and fills FAILURE where the event loop cannot watch a socket; that is tried again.
 */
int receivers_start(
	struct receivers *set, struct flow_set *flows, struct listener_failure *failure);

/* No flow begins any more at any receiver of LOOP. */
void receivers_drain(struct flow_loop *loop);

/* Whether SET reads a socket. */
bool receivers_are_open(const struct receivers *set);

/*
 * Closes the sockets that SET reads, when what is in their queues has been read. The flows must have ended, since their
 * replies leave by them. May be called again.
 */
void receivers_close(struct receivers *set);

/* Closes and frees. The event loop must still be there. A zeroed set is allowed. */
void receivers_free(struct receivers *set);

#endif
