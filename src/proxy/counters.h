/*
 * Counters: what a worker did. Each worker has its own; a sum is made when they are read.
 */
#ifndef TPROXY_COUNTERS_H
#define TPROXY_COUNTERS_H

#include "servers/reason.h"

#include <stddef.h>
#include <stdint.h>

struct counters {
	uint64_t accepted;               /* sessions that began */
	uint64_t ended[REASON_COUNT];    /* sessions that ended, by reason */
	uint64_t to_servers, to_clients; /* bytes that were delivered */
	uint64_t copied, spliced;        /* bytes that were read, by the path that they took */
	uint64_t pauses;                 /* how often a listener paused accepting */
};

/* Adds MORE to SUM. */
void counters_add(struct counters *sum, const struct counters *more);

/*
 * Writes "12 sessions: done 10, source-in-use 2; …" into OUT, cut to ROOM bytes. Reasons without a
 * session are left out.
 */
void counters_format(const struct counters *counters, char *out, size_t room);

#endif
