/*
 * Whose turn it is, of the sessions of one worker that wait. The worker looks at the end of its turn, and for each queue tries the
 * first of its own: that one takes a place only where no older one, of any worker, could have it.
 *
 * A server that goes down keeps its queue, as in HAProxy, but with `option redispatch` its clients go to the others.
 * The trap: an older configuration's clients wait in the same queues, and may not know a new server. While the oldest one
 * can't be served, those behind it wait, too, no longer than `timeout queue`.
 */
#include "routing.h"
#include "servers/balance.h"
#include "waiting.h"

static struct waiting *waiting_of(struct waiter *waiter)
{
	return (struct waiting *)waiter; /* its first member */
}

static struct session *served(struct waiting *waiting)
{
	waiting_leave_queue(waiting, true);
	waiting_end(waiting);
	return waiting->session;
}

static struct session *try_first(struct waiting *waiting)
{
	const struct server *wanted;

	if (waiting_comes_later(waiting) || routing_choose_again(waiting->session, waiting->server,
						    waiting->waiter.ticket, &wanted) != REASON_DONE)
		return NULL;
	return served(waiting);
}

static bool has_lost_its_server(const struct waiting *waiting)
{
	const struct session *session = waiting->session;

	return waiting->server != NULL && session->backend->redispatch != 0 &&
	       !balance_is_usable(session->set->limits, waiting->server);
}

/* It goes to another server, or waits for one, with the ticket that it has. NULL: it waits. */
static struct session *move_on(struct waiting *waiting, enum reason *reason)
{
	const struct server *wanted;

	waiting_leave_queue(waiting, false);
	waiting->session->by_rule = false;
	waiting->session->redispatched = true;
	*reason = routing_choose_again(waiting->session, NULL, waiting->waiter.ticket, &wanted);
	if (*reason != REASON_SERVERS_FULL) {
		waiting_end(waiting);
		return waiting->session;
	}
	waiting->server = wanted;
	waiting_join(waiting);
	return NULL;
}

static struct session *next_of_part(struct queue_part *part, enum reason *reason)
{
	struct waiter *first;
	struct session *moved;

	while ((first = queue_first(part)) != NULL) {
		if (!has_lost_its_server(waiting_of(first)))
			return try_first(waiting_of(first));
		moved = move_on(waiting_of(first), reason);
		if (moved != NULL)
			return moved;
	}
	return NULL;
}

struct session *waiting_next(struct session_loop *loop, enum reason *reason)
{
	struct session *session = NULL;

	loop->serves = false;
	for (struct queue_part *part = TAILQ_FIRST(&loop->queues), *next;
		part != NULL && session == NULL; part = next) {
		next = queue_next_part(part);
		*reason = REASON_DONE;
		session = next_of_part(part, reason);
	}
	loop->serves |= session != NULL;
	return session;
}
