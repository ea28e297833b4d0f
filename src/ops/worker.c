/*
 * One worker: a thread that runs its event loop until no listener and no session is left.
 *
 * A worker shares with the others only what does not change (configuration), what is atomic (limits)
 * and what any thread may use (log). The main thread writes a command as an atomic value, and wakes
 * the worker by its eventfd. The value says what to do, so a second wake-up does no harm.
 *
 * The worker is the observer of its sessions: it logs and counts what they do, and resumes its
 * listeners when one ends.
 *
 * The trap: an event loop that fails would leave listeners open that no thread serves, and the kernel
 * would go on giving them clients. So the worker closes them before its thread ends.
 */
#include "worker.h"

#include "advice.h"
#include "flow_log.h"
#include "refusal_log.h"
#include "tcplog.h"
#include "udp/receiver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	PAUSES_INTERVAL = 60 /* seconds between two lines about a lack of resources */
};

struct worker {
	const struct worker_shared *shared;
	unsigned index;
	pthread_t thread;
	bool started;      /* the thread was started, and must be joined */
	bool failed;       /* its event loop failed */
	bool has_sessions; /* session_set_init() was called, so the set must be freed */
	struct event_base *base;
	struct listeners listeners;
	struct session_set sessions;
	struct receivers receivers;
	struct flow_set flows;
	struct counters counters;
	struct refusal_log *refusals;
	time_t pause_line_due; /* monotonic seconds: no line about a lack of resources before */
	atomic_int command;    /* enum worker_command, written by the main thread */
	int handled;           /* the command that was handled last */
	int wake;              /* eventfd */
	struct event on_wake;
};

/* --- what sessions report --- */

static void log_accepted(struct worker *worker, const struct session *session)
{
	const struct proxy *frontend = session->frontend;
	char client[ADDR_TEXT_MAX];

	if (frontend->logs.count > 0 && !(frontend->options & OPTION_TCPLOG))
		log_line(worker->shared->log, frontend, LOG_INFO, "Connect from %s (%s/TCP)",
			addr_format(&session->client, client), frontend->name);
}

static void log_closed(struct worker *worker, const struct session *session)
{
	char line[LOG_LINE_MAX];

	if (reason_is_refusal(session->reason))
		refusal_log_add(worker->refusals,
			&(struct refusal){session->frontend, session->backend, session->server,
				session->client, session->server_address, session->reason,
				session->error, session->closed});
	if (session->frontend->logs.count == 0 || !(session->frontend->options & OPTION_TCPLOG))
		return;
	tcplog_format(session, line, sizeof(line));
	log_line(worker->shared->log, session->frontend, LOG_INFO, "%s", line);
}

static void log_state(struct worker *worker, const struct session *session, enum session_state from)
{
	char client[ADDR_TEXT_MAX];

	if (log_wants(worker->shared->log, session->frontend, LOG_DEBUG))
		log_line(worker->shared->log, session->frontend, LOG_DEBUG, "session %s: %s -> %s",
			addr_format(&session->client, client), session_state_name(from),
			session_state_name(session->state));
}

static void on_session_changed(void *arg, const struct session *session, enum session_state from)
{
	struct worker *worker = arg;

	log_state(worker, session, from);
	if (session->state == SESSION_ACCEPTED) {
		worker->counters.accepted++;
		log_accepted(worker, session);
	} else if (session->state == SESSION_CLOSING) {
		worker->counters.ended[session->reason]++;
		worker->counters.to_servers += session->directions[CLIENT].bytes;
		worker->counters.to_clients += session->directions[SERVER].bytes;
		log_closed(worker, session);
		listeners_resume(&worker->listeners);
	}
}

/* --- what flows report --- */

static void on_flow_changed(void *arg, const struct flow *flow, enum flow_change change)
{
	struct worker *worker = arg;

	if (change != FLOW_ENDED)
		worker->counters.accepted++;
	if (change != FLOW_BEGAN) {
		worker->counters.ended[flow->reason]++;
		worker->counters.to_servers += flow->to_server;
		worker->counters.to_clients += flow->to_client;
	}
	flow_log(worker->shared->log, worker->refusals, flow, change);
}

/* A pause at maxconn (ERROR is 0) is normal; a lack of resources is logged, at most once a minute. */
static void on_accept_paused(void *arg, const struct listener *listener, int error)
{
	struct worker *worker = arg;
	struct timespec now;

	worker->counters.pauses++;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (error == 0 || now.tv_sec < worker->pause_line_due)
		return;
	worker->pause_line_due = now.tv_sec + PAUSES_INTERVAL;
	log_line(worker->shared->log, listener->frontend, LOG_WARNING,
		"frontend %s: accepting pauses until a session ends: %s%s (logged once a minute)",
		listener->frontend->name, strerror(error), advice_on_errno(error));
}

/* --- commands of the main thread --- */

/* Datagrams have no end that could be awaited, so draining ends their flows as stopping does. */
static void end_flows(struct worker *worker)
{
	flow_set_end_all(&worker->flows);
	receivers_close(&worker->receivers);
}

static void handle_command(struct worker *worker)
{
	int command = atomic_load(&worker->command);

	if (command != WORKER_RUN)
		end_flows(worker);
	if (command == WORKER_DRAIN && worker->handled == WORKER_RUN)
		listeners_drain(&worker->listeners);
	if (command == WORKER_STOP) {
		listeners_close(&worker->listeners);
		session_close_all(&worker->sessions);
	}
	worker->handled = command;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t count;

	(void)what;
	eventfd_read(fd, &count);
	handle_command(arg);
}

void worker_command(struct worker *worker, enum worker_command command)
{
	if ((int)command > atomic_load(&worker->command))
		atomic_store(&worker->command, (int)command);
	eventfd_write(worker->wake, 1);
}

/* --- the thread --- */

static bool worker_has_work(const struct worker *worker)
{
	return worker->handled == WORKER_RUN || listeners_are_open(&worker->listeners) ||
	       worker->sessions.count > 0;
}

static void worker_give_up(struct worker *worker, int error)
{
	worker->failed = true;
	log_line(worker->shared->log, NULL, LOG_CRIT,
		"thread %u: its event loop failed: %s; it ends and resets its %u sessions, the other threads go on; restart tproxyd",
		worker->index, strerror(error), worker->sessions.count);
	listeners_close(&worker->listeners);
	session_close_all(&worker->sessions);
	end_flows(worker);
}

static void *worker_run(void *arg)
{
	struct worker *worker = arg;

	while (worker_has_work(worker) && !worker->failed) {
		if (event_base_loop(worker->base, EVLOOP_ONCE) == -1)
			worker_give_up(worker, errno);
		session_set_reap(&worker->sessions);
		flow_set_end_turn(&worker->flows);
	}
	eventfd_write(worker->shared->ended, 1);
	return NULL;
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
	refusal_log_free(worker->refusals);
	listeners_free(&worker->listeners);
	receivers_free(&worker->receivers);
	if (worker->wake != -1)
		close(worker->wake);
	if (worker->base != NULL)
		event_base_free(worker->base);
	free(worker);
}

struct worker *worker_new(
	const struct worker_shared *shared, unsigned index, struct listener_failure *failure)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	*failure = (struct listener_failure){.error = ENOMEM};
	if (worker == NULL)
		return NULL;
	worker->shared = shared;
	worker->index = index;
	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->wake == -1)
		goto fail;
	worker->base = new_event_base();
	if (worker->base == NULL)
		goto fail;
	worker->refusals = refusal_log_new(worker->base, shared->config, shared->log);
	if (worker->refusals == NULL)
		goto fail;
	if (listeners_bind(&worker->listeners, shared->config, index == 0, failure) == -1 ||
		receivers_bind(&worker->receivers, shared->config, index == 0, failure) == -1)
		goto fail_listeners;
	return worker;
fail:
	failure->error = errno;
fail_listeners:
	worker_free(worker);
	return NULL;
}

int worker_start(struct worker *worker, struct listener_failure *failure)
{
	struct session_observer observer = {on_session_changed, worker};
	struct flow_observer flow_observer = {on_flow_changed, worker};
	const struct worker_shared *shared = worker->shared;

	*failure = (struct listener_failure){.error = ENOMEM};
	worker->has_sessions = true;
	if (session_set_init(&worker->sessions, worker->base, shared->config, shared->limits,
		    observer, worker->index) == -1 ||
		flow_set_init(&worker->flows, worker->base, shared->config, shared->limits,
			flow_observer, worker->index) == -1)
		goto fail;
	event_assign(&worker->on_wake, worker->base, worker->wake, EV_READ | EV_PERSIST, on_wake,
		worker);
	if (event_add(&worker->on_wake, NULL) == -1)
		goto fail;
	if (listeners_start(&worker->listeners, worker->base, &worker->sessions, on_accept_paused,
		    worker, failure) == -1 ||
		receivers_start(&worker->receivers, worker->base, &worker->flows, failure) == -1)
		return -1;
	failure->error = pthread_create(&worker->thread, NULL, worker_run, worker);
	worker->started = failure->error == 0;
	return worker->started ? 0 : -1;
fail:
	failure->error = errno;
	return -1;
}

bool worker_join(struct worker *worker, struct counters *counters)
{
	bool well;

	if (worker->started) {
		pthread_join(worker->thread, NULL);
		worker->counters.copied = worker->sessions.pool.bytes_copied;
		worker->counters.spliced = worker->sessions.pool.bytes_spliced;
	}
	if (worker->has_sessions) {
		session_close_all(&worker->sessions);
		session_set_free(&worker->sessions);
		flow_set_end_all(&worker->flows);
		flow_set_free(&worker->flows);
	}
	well = !worker->failed;
	counters_add(counters, &worker->counters);
	worker_free(worker);
	return well;
}
