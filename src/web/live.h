/*
 * The proxy's counters over the last ten minutes.
 *
 * Every LIVE_SECONDS the helper reads the stats socket; counters of frontends and backends are kept, LIVE_SAMPLES of each.
 */
#ifndef TPROXY_WEB_LIVE_H
#define TPROXY_WEB_LIVE_H

#include "helper_client.h"

enum {
	LIVE_SECONDS = 2,
	LIVE_SAMPLES = 300
};

struct live;

/* Begins to read. NULL without memory. Without a HELPER nothing is read, and readings come by live_take() alone. */
struct live *live_new(struct helper_client *helper);

/* Takes a reading, the helper's answer to the verb `stats`, of the time NOW in milliseconds. */
void live_take(struct live *live, const json_t *answer, long long now);

/*
 * What is known, to be freed: {"seconds": between two points, "problem": why the newest reading failed, or null, "info", "stat", "reasons":
 * the newest answers as the socket wrote them, "history": {"PROXY/FRONTEND or PROXY/BACKEND": {"rate": [sessions a second…],
 * "bytes": [bytes a second, both directions…], "now": [sessions at that time…]}…, "": all frontends together}}. The
 * newest point is last.
 */
json_t *live_report(const struct live *live);

/* NULL is allowed. An answer of the helper that comes later is discarded. */
void live_free(struct live *live);

#endif
