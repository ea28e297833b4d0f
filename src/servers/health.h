/*
 * Health: checks servers again and again, and keeps those that are not fit from getting clients.
 *
 * The words are HAProxy's: `check`, `inter`, `fastinter`, `downinter`, `rise`, `fall`, `port`, `addr`, `timeout check`, and
 * the options that say what a check does (configuration manual, sections 4.2 and 5.2). One thread checks for all workers; they see the result in the limits.
 */
#ifndef TPROXY_SERVERS_HEALTH_H
#define TPROXY_SERVERS_HEALTH_H

#include "availability.h"
#include "counterparts.h"

#include <event2/event.h>

struct health;

/*
 * Checks the servers of CONFIG from now on. BEFORE is the health of the configuration before, which is stopped and freed
 * by it, and COUNTERPARTS says what the two have in common: a server that is still checked at the same address keeps its state.
 * Both are NULL at the start, where every server is up until a check says otherwise. BASE, CONFIG and LIMITS must outlive it.
 * Where memory is missing, or no server is checked, it returns NULL; without a check all servers are up.
 */
struct health *health_start(struct event_base *base, const struct config *config,
	struct limits *limits, struct health *before, const struct counterparts *counterparts,
	health_observer observer, void *arg);

/* Acts on the errors of clients' connections to servers, of which LIMITS_OBSERVER was woken. NULL is allowed. */
void health_observe(struct health *health);

/* What is known of a server that is checked. */
struct health_report {
	unsigned points, rise,
		fall;     /* RISE points or more are up, and RISE + FALL - 1 are the most */
	bool runs;        /* a check is under way */
	bool has_verdict; /* one has ended */
	struct health_verdict verdict;
	unsigned duration; /* of the last check that has ended, in milliseconds */
	unsigned failures; /* checks that failed while the server was up, since the start */
};

/* False where SERVER is not checked. NULL is allowed. */
bool health_report(
	struct health *health, const struct server *server, struct health_report *report);

/*
 * SERVER has left maintenance: it is up, until the first check fails, and begins slowly. HEALTH may be NULL.
 */
void health_recover(struct health *health, struct limits *limits, const struct server *server);

/* Stops all checks; the servers stay as they are. NULL is allowed. */
void health_free(struct health *health);

/* How many servers of CONFIG are checked: each check has a descriptor for a while. */
size_t health_count(const struct config *config);

/* The line of HAProxy's log about a change; cut off at ROOM bytes. */
void health_format(const struct health_change *change, char *out, size_t room);

#endif
