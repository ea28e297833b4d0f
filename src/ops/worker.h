/*
 * Workers: a thread each, with its own event loop, and a share of each generation.
 */
#ifndef TPROXY_WORKER_H
#define TPROXY_WORKER_H

#include "generation.h"
#include "process/sandbox.h"
#include "proxy/counters.h"
#include "proxy/listener.h"
#include "stats/view.h"

struct worker;

enum worker_command {
	WORKER_RUN,
	WORKER_DRAIN, /* accept no more clients, end with the last session */
	WORKER_STOP,  /* end now; sessions are reset */
};

/*
 * Makes a worker and binds the listeners of GENERATION; INDEX is its number, from 0. Worker 0 has to be
 * made first: it refuses addresses that another process serves. REPORTS is an eventfd: each worker adds 1
 * where its thread ends, where it has taken a generation on or handled a command, and where the last worker
 * leaves one, or ends the last flow of one that drains. Returns
 * NULL and fills FAILURE where an address cannot be bound, or (BIND is NULL) a resource is missing. The
 * caller frees it with worker_join().
 */
struct worker *worker_new(unsigned index, int reports, struct generation *generation,
	struct listener_failure *failure);

/* Gives the sockets of a worker that was made to their owner; share_give_sockets() has the rule. */
void worker_give_sockets(const struct worker *worker);

/*
 * Starts to listen, and starts the thread, which restricts itself by FILTER; NULL: it does not. Returns 0, or
 * -1 and fills FAILURE as worker_new(); the worker must then be joined like one that runs.
 */
int worker_start(struct worker *worker, const struct sandbox_filter *filter,
	struct listener_failure *failure);

/*
 * Waits until the worker's thread is restricted, which is before it accepts a client. The filter may be freed
 * then. Returns 0 or an errno of sandbox_enter().
 */
int worker_await_sandbox(struct worker *worker);

/*
 * Gives a worker a command. One that is less urgent than the one before has no effect. For the main
 * thread; the worker handles it in its own thread, soon.
 */
void worker_command(struct worker *worker, enum worker_command command);

/*
 * Asks the worker whether its event loop still turns, which it answers in its own thread, soon. Until then
 * worker_is_silent() is true; never of one whose thread has ended.
 */
void worker_ask(struct worker *worker);
bool worker_is_silent(struct worker *worker);

/*
 * Gives the worker QUERY, which it answers in its own thread, soon, sets `answered` of, and reports. False: it has another one
 * already, or its thread has ended. worker_take_query_back() returns the one that a thread has not answered before it ended, or NULL.
 */
bool worker_query(struct worker *worker, struct session_query *query);
struct session_query *worker_take_query_back(struct worker *worker);

/*
 * A reload, by the main thread, in this order for all workers: prepare, listen, succeed. Until then each
 * worker goes on as before, and worker_abandon() takes everything back.
 *
 * worker_prepare() binds the new listeners of GENERATION, and worker_listen() lets them listen; both return
 * 0, or -1 and fill FAILURE. FIRST is for the first worker, as in worker_new(). worker_succeed() hands over:
 * the worker puts the generation in force in its own thread, soon, and reports that. The next reload must
 * not begin before worker_is_settled() returns true. For a worker that was not prepared the other three do
 * nothing.
 */
int worker_prepare(struct worker *worker, struct generation *generation, bool first,
	struct listener_failure *failure);
int worker_listen(struct worker *worker, struct listener_failure *failure);
void worker_succeed(struct worker *worker);
void worker_abandon(struct worker *worker);

/*
 * Whether the worker has taken on what it was handed, and handled its command. One whose thread has ended never
 * will, and is.
 */
bool worker_is_settled(struct worker *worker);

/* Lets the worker look at what the main thread has set in generations. */
void worker_look(struct worker *worker);

/* Whether its thread has ended. */
bool worker_has_ended(struct worker *worker);

/* Waits until the worker's thread has ended, which takes a command, and wakes no other worker any more. */
void worker_await_end(struct worker *worker);

/*
 * Waits until the worker's thread has ended, which takes a command, adds what it did to COUNTERS, and
 * frees it. Also for a worker that was not started. False: it ended because its event loop failed;
 * the log has the reason.
 */
bool worker_join(struct worker *worker, struct counters *counters);

#endif
