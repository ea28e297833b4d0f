/*
 * Counters: what a worker did. Each worker has its own; they are summed when they are read.
 */
#ifndef TPROXY_COUNTERS_H
#define TPROXY_COUNTERS_H

#include "tproxy/reason.h"

#include <stddef.h>
#include <stdint.h>

struct counters {
	uint64_t accepted;
	uint64_t ended[REASON_COUNT];
	uint64_t to_servers, to_clients; /* bytes */
	uint64_t copied, spliced;        /* the same bytes by the way that they took */
	uint64_t pauses;                 /* times that accepting paused */
};

void counters_add(struct counters *sum, const struct counters *more);

/* Writes "12 sessions: done 10, source-in-use 2; …"; reasons that never happened are left out. */
void counters_format(const struct counters *counters, char *out, size_t room);

#endif
