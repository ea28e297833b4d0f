/*
 * Standings: since when servers and backends are up or down, and how many sessions came in the last second.
 */
#ifndef TPROXY_STATS_STANDING_H
#define TPROXY_STATS_STANDING_H

#include "row.h"

/* Looks which servers are up. Call it whenever one may have changed. By the main thread, as the others. */
void standings_look(const struct stats_subject *subject);

/* A second has passed: PROCESS, of all frontends together, and all sections and servers get their rates. */
void standings_count(const struct stats_subject *subject, struct standing *process);

#endif
