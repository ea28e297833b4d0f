/*
 * Descriptors: how many sessions the limit of the process has room for.
 */
#ifndef TPROXY_PROCESS_DESCRIPTORS_H
#define TPROXY_PROCESS_DESCRIPTORS_H

#include "log.h"
#include "tproxy/config.h"

enum {
	/* Each worker: its loop's epoll and the two ends of its signal pipe, its eventfd, its spare. */
	DESCRIPTORS_OF_WORKER = 5,
	/* The main thread: its loop's three, the eventfd by which workers report, the pidfile. */
	DESCRIPTORS_OF_DAEMON = 5,
	/* Open for a moment: a log file that is reopened, a client that is refused. */
	DESCRIPTORS_IN_PASSING = 3,
};

/* What is the same for every configuration of a process. */
struct descriptors {
	unsigned long limit,
		others; /* RLIMIT_NOFILE; what is open, or will be, beside logs and listeners */
	unsigned workers;
	int error; /* errno where `ulimit-n` could not be set */
};

/* Complains of each socket of a service manager that CONFIG, read from PATH, does not serve. Returns 0, or -1. */
int descriptors_check_inherited(const struct config *config, const char *path, struct log *log);

/*
 * Sets the limit (RLIMIT_NOFILE) to `ulimit-n` of GLOBAL, or else raises it as far as the process may, and
 * measures what a process with so many WORKERS needs. Call it with the places of LOG open, and nothing that the
 * daemon opens later. A limit that cannot be set is an error of the plan.
 */
struct descriptors descriptors_measure(
	const struct global *global, unsigned workers, const struct log *log);

/*
 * Sets *MAXCONN to the maxconn of CONFIG, whose log has so many PLACES, or where that is 0, to what the limit
 * has room for. Complains where the limit is low. Returns 0, or -1 where it has no room for a single session, or
 * could not be set.
 */
int descriptors_plan(const struct descriptors *descriptors, const struct config *config,
	size_t places, struct log *log, unsigned *maxconn);

/*
 * How many descriptors so many sessions need: two each, and two of a pipe for every fourth, which is
 * HAProxy's rule (`maxpipes`, configuration manual, section 3.2).
 */
unsigned long descriptors_of_sessions(unsigned long sessions);

#endif
