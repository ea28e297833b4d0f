/*
 * Descriptors: how many sessions the limit of the process has room for.
 */
#ifndef TPROXY_OPS_DESCRIPTORS_H
#define TPROXY_OPS_DESCRIPTORS_H

#include "tproxy/config.h"
#include "tproxy/log.h"

enum {
	/* Each worker: its loop's epoll and the two ends of its signal pipe, its wake-up, its spare. */
	DESCRIPTORS_OF_WORKER = 5,
	/* The main thread: its loop's three, the eventfd by which workers end, the pidfile. */
	DESCRIPTORS_OF_DAEMON = 5,
	/* Open for a moment: a log file that is opened again, a client that is turned away. */
	DESCRIPTORS_IN_PASSING = 3,
};

/*
 * Raises the limit as far as the process may, and sets *MAXCONN to the configuration's maxconn, or
 * to what the limit has room for. Call it with the logs open and nothing else. Complains where the
 * limit is too low for that, and returns -1 where it has no room for a single session.
 */
int descriptors_reckon(
	const struct config *config, unsigned workers, struct log *log, unsigned *maxconn);

/* What N sessions need: two each, and as HAProxy reckons, a pipe of two more for every fourth. */
unsigned long descriptors_of_sessions(unsigned long sessions);

#endif
