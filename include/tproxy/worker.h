/*
 * Workers: a thread each, with its own event loop, listeners and sessions.
 */
#ifndef TPROXY_WORKER_H
#define TPROXY_WORKER_H

#include "tproxy/config.h"
#include "tproxy/counters.h"
#include "tproxy/limits.h"
#include "tproxy/listener.h"
#include "tproxy/log.h"

struct worker;

/* What all workers read, and what outlives them. */
struct worker_shared {
	const struct config *config;
	struct limits *limits;
	struct log *log;
	int ended; /* an eventfd that counts the workers that have ended */
};

enum worker_command {
	WORKER_RUN,
	WORKER_DRAIN, /* accept no more, end with the last session */
	WORKER_STOP,  /* end now; sessions are reset */
};

/*
 * A worker whose listeners are bound; INDEX is its number, from 0. Returns NULL and fills FAILURE
 * where an address can't be had.
 */
struct worker *worker_new(
	const struct worker_shared *shared, unsigned index, struct listener_failure *failure);

/*
 * Starts to listen, and the thread. Returns -1 and fills FAILURE (BIND is NULL: not an address); the
 * worker then has to be joined like one that runs.
 */
int worker_start(struct worker *worker, struct listener_failure *failure);

/* Gives a worker a command; commands only become more urgent. Any thread may call it. */
void worker_command(struct worker *worker, enum worker_command command);

/*
 * Waits for the worker's end, frees it, and adds what it did to COUNTERS. False: it did not end by an
 * command, but because its event loop failed; the log has the reason.
 */
bool worker_join(struct worker *worker, struct counters *counters);

#endif
