/*
 * Care for servers, by the main thread: whether they are up, and where those that move with their names are. What changes is
 * logged, in HAProxy's words.
 */
#ifndef TPROXY_OPS_CARE_H
#define TPROXY_OPS_CARE_H

#include "generation.h"
#include "servers/health.h"
#include "servers/moving.h"

struct care {
	const struct generation *generation;
	struct health *health; /* NULL: no server is checked */
	struct moving *moving; /* NULL: no server moves */
};

/*
 * Looks after the servers of GENERATION from now on, in place of those of the generation before; what the two have in
 * common keeps its state. CARE, BASE and GENERATION must stay until care_end(), or until this is called again.
 */
void care_begin(struct care *care, struct event_base *base, const struct generation *generation);

/* Acts on the errors of clients' connections that workers have reported. */
void care_observe(const struct care *care);

void care_end(struct care *care);

#endif
