/*
 * All workers of the daemon, for its main thread.
 */
#ifndef TPROXY_OPS_WORKERS_H
#define TPROXY_OPS_WORKERS_H

#include "process/privileges.h"
#include "worker.h"

enum {
	WORKERS_MAX = 64
};

struct workers {
	struct worker *list[WORKERS_MAX];
	unsigned count;
	unsigned started;
	int reports; /* an eventfd: see worker_new() */
};

/* How many threads `nbthread` asks for; where that is 0, one for each processor. */
unsigned workers_wanted(const struct config *config);

/* Makes COUNT workers and binds their listeners. Returns 0, or -1 and fills FAILURE. */
int workers_bind(struct workers *workers, unsigned count, struct generation *generation,
	struct listener_failure *failure);

/*
 * Starts all of them, each one restricted by FILTER; NULL: none is. Returns 0, or -1 and fills FAILURE.
 * *NOT_RESTRICTED is an errno of sandbox_enter(), or 0.
 */
int workers_start(struct workers *workers, const struct sandbox_filter *filter,
	struct listener_failure *failure, int *not_restricted);

void workers_command(struct workers *workers, enum worker_command command);

/* How many of those that were started have not ended. */
unsigned workers_running(const struct workers *workers);

/*
 * Makes everything for GENERATION that can fail: its new sockets are bound and listen. Returns 0, or -1 and
 * fills FAILURE; nothing of it is left then. All workers must be settled.
 */
int workers_prepare(
	struct workers *workers, struct generation *generation, struct listener_failure *failure);

/* Hands over what was prepared. Each worker puts it in force, soon, and reports that. */
void workers_succeed(struct workers *workers);

/* Whether all of them have done so, and handled their command. */
bool workers_are_settled(const struct workers *workers);

/* Lets all of them look at what is set in generations. */
void workers_look(struct workers *workers);

/* Asks all of them whether they run. */
void workers_ask(struct workers *workers);

/* The number of one that has not answered yet; -1: there is none. */
int workers_find_silent(const struct workers *workers);

/* Stops and frees all of them, and adds up what they did. -1 where one had failed. */
int workers_join(struct workers *workers, struct counters *counters);

#endif
