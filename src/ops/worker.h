/*
 * Workers: a thread each, with its own event loop, listeners and sessions.
 */
#ifndef TPROXY_WORKER_H
#define TPROXY_WORKER_H

#include "counters.h"
#include "log.h"
#include "proxy/limits.h"
#include "proxy/listener.h"
#include "tproxy/config.h"

struct worker;

/* What all workers share. It must outlive them. */
struct worker_shared {
	const struct config *config;
	struct limits *limits;
	struct log *log;
	int ended; /* an eventfd; each worker adds 1 when its thread ends */
};

enum worker_command {
	WORKER_RUN,
	WORKER_DRAIN, /* accept no more clients, end with the last session */
	WORKER_STOP,  /* end now; sessions are reset */
};

/*
 * Makes a worker and binds its listeners; INDEX is its number, from 0. Worker 0 has to be made first:
 * it refuses addresses that another process serves. SHARED must outlive it. Returns NULL and fills
 * FAILURE where an address cannot be bound, or (BIND is NULL) a resource is missing. The caller frees
 * it with worker_join().
 */
struct worker *worker_new(
	const struct worker_shared *shared, unsigned index, struct listener_failure *failure);

/*
 * Starts to listen, and starts the thread. Returns 0, or -1 and fills FAILURE as worker_new(); the
 * worker must then be joined like one that runs.
 */
int worker_start(struct worker *worker, struct listener_failure *failure);

/*
 * Gives a worker a command. One that is less urgent than the one before has no effect. For the main
 * thread; the worker handles it in its own thread, soon.
 */
void worker_command(struct worker *worker, enum worker_command command);

/*
 * Waits until the worker's thread has ended, which takes a command, adds what it did to COUNTERS, and
 * frees it. Also for a worker that was not started. False: it ended because its event loop failed;
 * the log has the reason.
 */
bool worker_join(struct worker *worker, struct counters *counters);

#endif
