/*
 * Care for servers, by the main thread: whether they are up, and where those that move with their names are. What changes is
 * logged, in HAProxy's words.
 */
#ifndef TPROXY_OPS_CARE_H
#define TPROXY_OPS_CARE_H

#include "generation.h"
#include "servers/agent.h"
#include "servers/health.h"
#include "servers/moving.h"
#include "stats/stats.h"

struct care {
	const struct generation *generation;
	struct health *health; /* NULL: no server is checked */
	struct agents *agents; /* NULL: no server has an agent */
	struct moving *moving; /* NULL: no server moves */
	struct stats *stats;   /* looks when a server changes; set before the first care_begin() */
};

/*
 * Looks after the servers of GENERATION from now on, in place of those of the generation before; what the two have in
 * common keeps its state. CARE, BASE and GENERATION must stay until care_end(), or until this is called again.
 */
void care_begin(struct care *care, struct event_base *base, const struct generation *generation);

/* Acts on the errors of clients' connections that workers have reported. */
void care_observe(const struct care *care);

/* An operator or an agent sets SERVER's state: its checks, its sessions and those that track it follow. */
void care_set_state(struct care *care, const struct proxy *backend, const struct server *server,
	enum server_state state);

void care_end(struct care *care);

#endif
