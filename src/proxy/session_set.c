/*
 * The sessions of one event loop, and what they share: pipes, the spare descriptor.
 *
 * A session needs two descriptors, the second one after it was accepted. So that an accepted client
 * is not refused for lack of the second, the loop keeps a spare: when no socket can be opened, the
 * spare is closed for it, and no session begins until the loop has a spare again. The trap: another
 * worker may take the number in between. The session then ends with REASON_DESCRIPTORS.
 */
#include "session_set.h"

#include "waiting.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void refill_spare(struct session_loop *loop)
{
	if (loop->spare == -1)
		loop->spare = eventfd(0, EFD_CLOEXEC);
}

int session_loop_init(
	struct session_loop *loop, struct event_base *base, struct process_limits *process)
{
	memset(loop, 0, sizeof(*loop));
	loop->base = base;
	loop->spare = -1;
	loop->wakers = limits_wakers(process);
	TAILQ_INIT(&loop->queues);
	TAILQ_INIT(&loop->dead);
	refill_spare(loop);
	return loop->spare == -1 ? -1 : relay_pool_init(&loop->pool, process);
}

void session_loop_free(struct session_loop *loop)
{
	session_loop_reap(loop);
	relay_pool_free(&loop->pool);
	if (loop->spare != -1)
		close(loop->spare);
}

bool session_loop_keep_spare(struct session_loop *loop)
{
	refill_spare(loop);
	return loop->spare != -1;
}

void session_loop_look(struct session_loop *loop)
{
	wakers_look(loop->wakers, loop->index);
	loop->serves = true;
}

void session_loop_reap(struct session_loop *loop)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&loop->dead)) != NULL) {
		TAILQ_REMOVE(&loop->dead, session, link);
		if (session->waiting != NULL)
			waiting_free(session);
		free(session);
	}
}

void session_set_init(struct session_set *set, struct session_loop *loop,
	const struct config *config, struct limits *limits, struct session_observer observer)
{
	memset(set, 0, sizeof(*set));
	set->loop = loop;
	set->config = config;
	set->limits = limits;
	set->observer = observer;
	set->notes_own_traffic = config->intercepts;
	TAILQ_INIT(&set->live);
}

static int open_upstream(struct session *session, struct upstream_failure *failure)
{
	return upstream_open(&session->server->source, &session->client, &session->server_address,
		session->set->notes_own_traffic ? &session->noted : NULL, failure);
}

int session_set_open_upstream(struct session *session, struct upstream_failure *failure)
{
	struct session_loop *loop = session->set->loop;
	int fd = open_upstream(session, failure);

	if (fd != -1 || failure->reason != REASON_DESCRIPTORS || loop->spare == -1)
		return fd;
	close(loop->spare);
	loop->spare = -1;
	return open_upstream(session, failure);
}

enum address_kind session_set_address_kind(struct session_set *set, const struct addr *address)
{
	struct session_loop *loop = set->loop;
	enum address_kind kind = socket_address_kind(address);

	if (kind != ADDRESS_UNKNOWN || loop->spare == -1)
		return kind;
	close(loop->spare);
	loop->spare = -1;
	kind = socket_address_kind(address);
	refill_spare(loop);
	return kind;
}

void session_set_insert(struct session *session)
{
	TAILQ_INSERT_TAIL(&session->set->live, session, link);
	session->set->count++;
}

void session_set_remove(struct session *session)
{
	struct session_set *set = session->set;

	assert(session->sides[CLIENT].fd == -1 && session->sides[SERVER].fd == -1);
	direction_clear(&session->directions[CLIENT], &set->loop->pool);
	direction_clear(&session->directions[SERVER], &set->loop->pool);
	refill_spare(set->loop);
	if (session->waiting != NULL)
		waiting_leave(session);
	if (session->server != NULL)
		waiting_give_back(session, session->server);
	limits_leave(set->limits, session->frontend);
	TAILQ_REMOVE(&set->live, session, link);
	TAILQ_INSERT_TAIL(&set->loop->dead, session, link);
	set->count--;
}

const char *session_state_name(enum session_state state)
{
	static const char *const names[SESSION_STATE_COUNT] = {
		[SESSION_ACCEPTED] = "accepted",
		[SESSION_HEADER] = "header",
		[SESSION_WAITING] = "waiting",
		[SESSION_CONNECTING] = "connecting",
		[SESSION_RELAYING] = "relaying",
		[SESSION_DRAINING] = "draining",
		[SESSION_CLOSING] = "closing",
	};

	return names[state];
}
