/*
 * A session that waits stands in its backend's queue, or in that of the one server that may serve it (queue.h). What gives a
 * place back wakes the worker of the oldest one that could take it.
 *
 * No free place is forgotten: where the oldest one takes a place or leaves, the worker of the next one is woken if a place
 * is left. And where one who was woken has the place taken away, the one who took it gives it back some day.
 */
#include "waiting.h"

#include "interest.h"
#include "servers/balance.h"

#include <stdlib.h>

/* --- waking --- */

static void wake(struct session_loop *loop, unsigned worker)
{
	if (worker == loop->index)
		loop->serves = true;
	else
		wakers_wake(loop->wakers, worker);
}

static void wake_oldest(struct session_loop *loop, const struct queue *queue)
{
	struct queue_head head = queue_oldest(queue);

	if (head.ticket != 0)
		wake(loop, head.worker);
}

/* Whether one who waits for any server of BACKEND could have a place at SERVER, if it came first. */
static bool could_share(
	struct limits *limits, const struct proxy *backend, const struct server *server)
{
	return limits_has_place(limits, server) && balance_shares(limits, backend, server);
}

/* For those that wait for any server. */
static bool has_place_for_any(struct limits *limits, const struct proxy *backend)
{
	for (size_t i = 0; i < backend->server_count; i++)
		if (could_share(limits, backend, &backend->servers[i]))
			return true;
	return false;
}

static void wake_for_any(struct session *session)
{
	struct limits *limits = session->set->limits;
	const struct queue *queue = limits_backend_queue(limits, session->backend);

	if (queue_length(queue) > 0 && has_place_for_any(limits, session->backend))
		wake_oldest(session->set->loop, queue);
}

static void wake_for_server(struct session *session, const struct server *server)
{
	struct limits *limits = session->set->limits;
	const struct queue *queue = limits_server_queue(limits, server);

	if (queue_length(queue) > 0 && limits_has_place(limits, server))
		wake_oldest(session->set->loop, queue);
}

/* The oldest of a queue is gone: others may have waited for that alone. */
static void wake_those_behind(struct waiting *waiting)
{
	struct session *session = waiting->session;
	const struct proxy *backend = session->backend;

	wake_for_any(session);
	if (waiting->server != NULL)
		wake_for_server(session, waiting->server);
	else
		for (size_t i = 0; i < backend->server_count; i++)
			wake_for_server(session, &backend->servers[i]);
}

void waiting_give_back(struct session *session, const struct server *server)
{
	struct limits *limits = session->set->limits;
	const struct proxy *backend = session->backend;
	struct queue_head any = {0}, own = {0};
	const struct queue *queue;

	limits_unuse(limits, backend, server);
	if (!backend->queues)
		return;
	queue = limits_server_queue(limits, server);
	if (queue_length(queue) > 0)
		own = queue_oldest(queue);
	queue = limits_backend_queue(limits, backend);
	if (queue_length(queue) > 0 && balance_shares(limits, backend, server))
		any = queue_oldest(queue);
	if (own.ticket != 0 && (any.ticket == 0 || own.ticket < any.ticket))
		wake(session->set->loop, own.worker);
	else if (any.ticket != 0)
		wake(session->set->loop, any.worker);
}

/* --- coming and going --- */

void waiting_join(struct waiting *waiting)
{
	struct session *session = waiting->session;
	struct limits *limits = session->set->limits;
	struct session_loop *loop = session->set->loop;
	struct queue *queue = waiting->server != NULL
				      ? limits_server_queue(limits, waiting->server)
				      : limits_backend_queue(limits, session->backend);

	queue_join(queue, loop->index, &loop->queues, &waiting->waiter);
	loop->serves = true; /* a place may have been given back before it had joined */
}

void waiting_leave_queue(struct waiting *waiting, bool served)
{
	struct session_loop *loop = waiting->session->set->loop;
	struct queue_head head = queue_oldest(waiting->waiter.queue);
	unsigned place = queue_leave(&waiting->waiter, loop->index, &loop->queues, served);

	*(waiting->server != NULL ? &waiting->server_place : &waiting->backend_place) += place;
	if (head.ticket == waiting->waiter.ticket)
		wake_those_behind(waiting);
}

static bool is_queue_full(struct limits *limits, const struct server *server)
{
	return server != NULL && server->maxqueue != 0 &&
	       queue_length(limits_server_queue(limits, server)) >= server->maxqueue;
}

enum reason waiting_begin(struct session *session, const struct server *server)
{
	struct limits *limits = session->set->limits;
	struct waiting *waiting = calloc(1, sizeof(*waiting));

	if (waiting == NULL)
		return REASON_MEMORY;
	session->waiting = waiting;
	waiting->session = session;
	waiting->server = server;
	if (is_queue_full(limits, server))
		return REASON_QUEUE_FULL;
	waiting->since = session_now();
	waiting->waiter.ticket = queue_ticket(limits_backend_queue(limits, session->backend));
	limits_wait(limits, session->backend);
	waiting_join(waiting);
	return REASON_DONE;
}

void waiting_end(struct waiting *waiting)
{
	waiting->until = session_now();
	limits_wait_no_more(waiting->session->set->limits, waiting->session->backend);
}

void waiting_leave(struct session *session)
{
	struct waiting *waiting = session->waiting;

	if (waiting->waiter.queue == NULL)
		return;
	waiting_leave_queue(waiting, false);
	waiting_end(waiting);
}

void waiting_free(struct session *session)
{
	free(session->waiting);
}

bool waiting_comes_later(struct waiting *waiting)
{
	struct session *session = waiting->session;
	struct limits *limits = session->set->limits;
	const struct proxy *backend = session->backend;
	const struct queue *any = limits_backend_queue(limits, backend);

	if (queue_has_older(waiting->waiter.queue, waiting->waiter.ticket)) {
		if (waiting->server == NULL)
			wake_for_any(session);
		else
			wake_for_server(session, waiting->server);
		return true;
	}
	if (waiting->server == NULL || !queue_has_older(any, waiting->waiter.ticket) ||
		!could_share(limits, backend, waiting->server))
		return false;
	wake_oldest(session->set->loop, any);
	return true;
}
