/*
 * One worker: a thread that runs its event loop until no listener and no session is left.
 *
 * A worker shares with the others only what does not change (configuration), what is atomic (limits)
 * and what any thread may use (log). The main thread writes a command as an atomic value, and wakes
 * the worker by its eventfd. The value says what to do, so a second wake-up does no harm.
 *
 * A reload comes the same way: the main thread prepares a share, and leaves it as `successor`. The worker
 * takes it between two events and puts it in force, in one step: no client can come in between.
 *
 * The trap: an event loop that fails would leave listeners open that no thread serves, and the kernel
 * would go on giving them clients. So the worker closes them before its thread ends.
 */
#include "worker.h"

#include "share.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker {
	unsigned index;
	int reports;
	pthread_t thread;
	bool started; /* the thread was started, and must be joined */
	bool joined;
	bool failed;   /* its event loop failed */
	bool has_loop; /* session_loop_init() was called, so the loop must be freed */
	sem_t restricted;
	const struct sandbox_filter *filter;
	int not_restricted; /* errno of the sandbox; valid after RESTRICTED */
	struct shares shares;
	struct share *prepared;            /* the main thread's, until it is handed over */
	_Atomic(struct share *) successor; /* handed over */
	_Atomic(struct session_query *)
		query; /* the main thread's question, until it is answered */
	atomic_bool ended;
	atomic_int command; /* enum worker_command, written by the main thread */
	atomic_int handled; /* the command that was handled last, written by the worker */
	atomic_uint asked;  /* how often it was asked whether it runs, written by the main thread */
	atomic_uint answered; /* the question that was answered last, written by the worker */
	int wake;             /* eventfd */
	struct event on_wake;
};

/* --- what the main thread wants --- */

static void handle_successor(struct worker *worker)
{
	struct share *share = atomic_load(&worker->successor);

	if (share == NULL)
		return;
	share_take_over(share);
	atomic_store(&worker->successor, NULL);
	eventfd_write(worker->reports, 1);
}

static void handle_query(struct worker *worker)
{
	struct session_query *query = atomic_load(&worker->query);

	if (query == NULL)
		return;
	shares_answer(&worker->shares, query);
	atomic_store(&worker->query, NULL);
	atomic_store(&query->answered, true);
	eventfd_write(worker->reports, 1);
}

static void handle_command(struct worker *worker)
{
	int command = atomic_load(&worker->command);

	if (command == WORKER_DRAIN && worker->handled == WORKER_RUN)
		shares_drain(&worker->shares);
	if (command == WORKER_STOP)
		shares_close(&worker->shares);
	if (atomic_exchange(&worker->handled, command) != command)
		eventfd_write(worker->reports, 1);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	eventfd_t count;

	(void)what;
	eventfd_read(fd, &count);
	atomic_store(&worker->answered, atomic_load(&worker->asked));
	handle_successor(worker);
	handle_command(worker);
	handle_query(worker);
	shares_look(&worker->shares);
}

static void wake(struct worker *worker)
{
	eventfd_write(worker->wake, 1);
}

void worker_command(struct worker *worker, enum worker_command command)
{
	if ((int)command > atomic_load(&worker->command))
		atomic_store(&worker->command, (int)command);
	wake(worker);
}

bool worker_query(struct worker *worker, struct session_query *query)
{
	if (worker_has_ended(worker) || atomic_load(&worker->query) != NULL)
		return false;
	atomic_store(&worker->query, query);
	wake(worker);
	return true;
}

struct session_query *worker_take_query_back(struct worker *worker)
{
	return worker_has_ended(worker) ? atomic_exchange(&worker->query, NULL) : NULL;
}

void worker_ask(struct worker *worker)
{
	atomic_fetch_add(&worker->asked, 1);
	wake(worker);
}

bool worker_is_silent(struct worker *worker)
{
	return !worker_has_ended(worker) &&
	       atomic_load(&worker->answered) != atomic_load(&worker->asked);
}

/* --- a reload --- */

int worker_prepare(struct worker *worker, struct generation *generation, bool first,
	struct listener_failure *failure)
{
	worker->prepared = share_new(&worker->shares, generation, first, failure);
	return worker->prepared == NULL ? -1 : 0;
}

int worker_listen(struct worker *worker, struct listener_failure *failure)
{
	return worker->prepared == NULL ? 0 : share_listen(worker->prepared, failure);
}

void worker_succeed(struct worker *worker)
{
	if (worker->prepared == NULL)
		return;
	atomic_store(&worker->successor, worker->prepared);
	worker->prepared = NULL;
	wake(worker);
}

void worker_abandon(struct worker *worker)
{
	share_free(worker->prepared);
	worker->prepared = NULL;
}

bool worker_is_settled(struct worker *worker)
{
	if (worker_has_ended(worker)) {
		share_free(atomic_exchange(&worker->successor, NULL));
		return true;
	}
	return atomic_load(&worker->successor) == NULL &&
	       atomic_load(&worker->handled) == atomic_load(&worker->command);
}

void worker_look(struct worker *worker)
{
	wake(worker);
}

bool worker_has_ended(struct worker *worker)
{
	return atomic_load(&worker->ended);
}

/* --- the thread --- */

static bool worker_has_work(const struct worker *worker)
{
	return atomic_load(&worker->handled) == WORKER_RUN || shares_are_busy(&worker->shares);
}

static void worker_give_up(struct worker *worker, int error)
{
	worker->failed = true;
	log_line(share_log(worker->shares.current), NULL, LOG_CRIT,
		"thread %u: its event loop failed: %s; it ends and resets its %u sessions, the other threads go on; restart tproxyd",
		worker->index, strerror(error), shares_sessions(&worker->shares));
	shares_close(&worker->shares);
}

static void *worker_run(void *arg)
{
	struct worker *worker = arg;

	if (worker->filter != NULL)
		worker->not_restricted = sandbox_enter(worker->filter);
	sem_post(&worker->restricted);
	while (worker_has_work(worker) && !worker->failed) {
		if (event_base_loop(worker->shares.base, EVLOOP_ONCE) == -1)
			worker_give_up(worker, errno);
		shares_sweep(&worker->shares);
	}
	atomic_store(&worker->ended, true);
	eventfd_write(worker->reports, 1);
	return NULL;
}

int worker_await_sandbox(struct worker *worker)
{
	while (sem_wait(&worker->restricted) == -1)
		;
	return worker->not_restricted;
}

static struct event_base *new_event_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config == NULL)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void worker_free(struct worker *worker)
{
	share_free(worker->prepared);
	share_free(atomic_load(&worker->successor));
	shares_free(&worker->shares);
	if (worker->has_loop) {
		session_loop_free(&worker->shares.loop);
		flow_loop_free(&worker->shares.flow_loop);
	}
	if (worker->has_loop)
		wakers_add(worker->shares.loop.wakers, worker->index, -1);
	if (worker->wake != -1)
		close(worker->wake);
	if (worker->shares.base != NULL)
		event_base_free(worker->shares.base);
	sem_destroy(&worker->restricted);
	free(worker);
}

struct worker *worker_new(unsigned index, int reports, struct generation *generation,
	struct listener_failure *failure)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	*failure = (struct listener_failure){.error = ENOMEM};
	if (worker == NULL)
		return NULL;
	worker->index = index;
	worker->reports = worker->shares.reports = reports;
	TAILQ_INIT(&worker->shares.draining);
	sem_init(&worker->restricted, 0, 0);
	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->wake == -1)
		goto fail;
	worker->shares.base = new_event_base();
	if (worker->shares.base == NULL)
		goto fail;
	if (worker_prepare(worker, generation, index == 0, failure) == 0)
		return worker;
	worker_free(worker);
	return NULL;
fail:
	failure->error = errno;
	worker_free(worker);
	return NULL;
}

void worker_give_sockets(const struct worker *worker)
{
	share_give_sockets(worker->prepared);
}

int worker_start(struct worker *worker, const struct sandbox_filter *filter,
	struct listener_failure *failure)
{
	struct shares *shares = &worker->shares;
	struct share *first = worker->prepared;

	*failure = (struct listener_failure){.error = ENOMEM};
	worker->has_loop = true;
	if (session_loop_init(&shares->loop, shares->base, share_process_limits(first)) == -1 ||
		flow_loop_init(&shares->flow_loop, shares->base, share_has_datagrams(first)) == -1)
		goto fail;
	shares->loop.index = shares->flow_loop.index = worker->index;
	wakers_add(shares->loop.wakers, worker->index, worker->wake);
	event_assign(&worker->on_wake, shares->base, worker->wake, EV_READ | EV_PERSIST, on_wake,
		worker);
	if (event_add(&worker->on_wake, NULL) == -1)
		goto fail;
	worker->prepared = NULL;
	worker->filter = filter;
	if (share_start(first, failure) == -1)
		return -1;
	failure->error = pthread_create(&worker->thread, NULL, worker_run, worker);
	worker->started = failure->error == 0;
	return worker->started ? 0 : -1;
fail:
	failure->error = errno;
	return -1;
}

void worker_await_end(struct worker *worker)
{
	if (worker->started && !worker->joined)
		pthread_join(worker->thread, NULL);
	worker->joined = worker->started;
}

bool worker_join(struct worker *worker, struct counters *counters)
{
	bool well;

	worker_await_end(worker);
	if (worker->started) {
		worker->shares.counters.copied = worker->shares.loop.pool.bytes_copied;
		worker->shares.counters.spliced = worker->shares.loop.pool.bytes_spliced;
	}
	if (worker->shares.current != NULL)
		shares_close(&worker->shares);
	well = !worker->failed;
	counters_add(counters, &worker->shares.counters);
	worker_free(worker);
	return well;
}
