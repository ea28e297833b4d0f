/*
 * Observing: what the statistics need of the daemon, and the other way round.
 */
#ifndef TPROXY_OPS_OBSERVE_H
#define TPROXY_OPS_OBSERVE_H

#include "care.h"
#include "generation.h"
#include "process/descriptors.h"
#include "stats/stats.h"
#include "workers.h"

struct observing {
	struct stats stats;
	struct workers *workers;
	struct care *care;
	const struct generation *generation; /* that is in force */
};

/* All of them must outlive it. */
void observing_begin(struct observing *observing, struct event_base *base, struct workers *workers,
	struct care *care);

/*
 * Opens the sockets of GENERATION, whose configuration was read from PATH. Returns 0, or -1 after a complaint in LOG; observing_use()
 * puts them in force with it, and observing_abandon() takes them back.
 */
int observing_prepare(struct observing *observing, const struct generation *generation,
	const char *path, struct log *log);
void observing_abandon(struct observing *observing);
void observing_use(struct observing *observing, const struct generation *generation,
	const struct descriptors *descriptors);

/* Workers have reported something. */
void observing_report(struct observing *observing);

/* A reload has ended: its configuration is in force, or not used. */
void observing_count_reload(struct observing *observing, bool well);

/* Whether a worker may be about to speak of any generation. */
bool observing_is_asking(const struct observing *observing);

/* Call it when no worker runs any more. */
void observing_end(struct observing *observing);

#endif
