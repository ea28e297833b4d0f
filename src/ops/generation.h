/*
 * Generations: a configuration that is or was in force, with what belongs to it alone.
 *
 * A reload makes a new generation. The older ones stay while sessions are open that began under them.
 */
#ifndef TPROXY_OPS_GENERATION_H
#define TPROXY_OPS_GENERATION_H

#include "process/log.h"
#include "servers/counterparts.h"
#include "servers/limits.h"
#include "stats/tally.h"
#include "tproxy/config.h"

#include <stdatomic.h>
#include <sys/queue.h>

struct generation {
	SLIST_ENTRY(generation) link;
	struct config *config;
	struct log *log;
	struct limits *limits;
	struct tallies *tallies;
	struct counterparts *counterparts; /* in the generation before; NULL: this is the first */
	unsigned maxconn;                  /* of the process, while this generation is in force */
	const struct identity *owner; /* whose its sockets will be; NULL: this process's user */
	atomic_uint users;            /* shares of workers; any thread changes it */
	atomic_uint flows;            /* in all of them; the same */
	/*
	 * Nothing that began under this generation or an older one is left in any worker, so receivers that drain
	 * may close. The main thread sets it.
	 */
	atomic_bool silent;
};

SLIST_HEAD(generations, generation);

/* Makes one that owns CONFIG and nothing else yet. NULL: no memory; CONFIG is freed then. */
struct generation *generation_new(struct config *config);

/* Frees it with all that it has; NULL is allowed. Call it when no worker has a share of it. */
void generation_free(struct generation *generation);

#endif
