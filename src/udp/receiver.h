/*
 * Receivers: where the datagrams of clients arrive. Each worker has its own socket for every address; the kernel gives
 * all datagrams of a client to one of them, as long as they are all there (SO_REUSEPORT).
 */
#ifndef TPROXY_RECEIVER_H
#define TPROXY_RECEIVER_H

#include "flow.h"
#include "proxy/listener.h"

/* The receivers of one worker. */
struct receivers {
	struct receiver *list;
	size_t count;
	struct flow_set *flows;
};

/* How many addresses the configuration takes datagrams at; each worker has a socket for each of them. */
size_t receivers_count(const struct config *config);

/*
 * Binds every address of CONFIG, which must outlive SET. FIRST is for the first worker: an address that another process
 * serves is refused. Returns 0, or -1 and fills FAILURE; SET must then be freed as after success.
 */
int receivers_bind(struct receivers *set, const struct config *config, bool first,
	struct listener_failure *failure);

/*
 * Begins to read; datagrams become flows of FLOWS. BASE and FLOWS must outlive SET. Returns 0, or -1 and fills FAILURE.
 */
int receivers_start(struct receivers *set, struct event_base *base, struct flow_set *flows,
	struct listener_failure *failure);

/* Closes the sockets. The flows must have ended, since their replies leave by them. May be called again. */
void receivers_close(struct receivers *set);

/* Closes and frees. The event loop must still be there. A zeroed set is allowed. */
void receivers_free(struct receivers *set);

#endif
