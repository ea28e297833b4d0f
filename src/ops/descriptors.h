/*
 * Descriptors: how many sessions the limit of the process has room for.
 */
#ifndef TPROXY_OPS_DESCRIPTORS_H
#define TPROXY_OPS_DESCRIPTORS_H

#include "log.h"
#include "tproxy/config.h"

enum {
	/* Each worker: its loop's epoll and the two ends of its signal pipe, its eventfd, its spare. */
	DESCRIPTORS_OF_WORKER = 5,
	/* The main thread: its loop's three, the eventfd by which workers end, the pidfile. */
	DESCRIPTORS_OF_DAEMON = 5,
	/* Open for a moment: a log file that is reopened, a client that is refused. */
	DESCRIPTORS_IN_PASSING = 3,
};

/*
 * Sets the limit (RLIMIT_NOFILE) to `ulimit-n` of CONFIG, or else raises it as far as the process may, and sets *MAXCONN to the maxconn of
 * CONFIG, or where that is 0, to what the limit has room for with so many WORKERS. Call it with the
 * logs open and nothing else. Writes a warning where the limit is low. Returns 0, or -1 with an error
 * written to stderr where it has no room for a single session.
 */
int descriptors_plan(
	const struct config *config, unsigned workers, struct log *log, unsigned *maxconn);

/*
 * How many descriptors so many sessions need: two each, and two of a pipe for every fourth, which is
 * HAProxy's rule (`maxpipes`, configuration manual, section 3.2).
 */
unsigned long descriptors_of_sessions(unsigned long sessions);

#endif
