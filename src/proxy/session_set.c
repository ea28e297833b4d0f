/*
 * The sessions of one event loop, and what they share: pipes, round robin, the spare descriptor.
 *
 * A session needs two descriptors, the second one after it was accepted. So that an accepted client
 * is not refused for lack of the second, the set keeps a spare: when no socket can be opened, the
 * spare is closed for it, and no session begins until the set has a spare again. The trap: another
 * worker may take the number in between. The session then ends with REASON_DESCRIPTORS.
 */
#include "session_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void refill_spare(struct session_set *set)
{
	if (set->spare == -1)
		set->spare = eventfd(0, EFD_CLOEXEC);
}

int session_set_init(struct session_set *set, struct event_base *base, const struct config *config,
	struct limits *limits, struct session_observer observer, unsigned seed)
{
	memset(set, 0, sizeof(*set));
	set->base = base;
	set->config = config;
	set->limits = limits;
	set->observer = observer;
	set->spare = -1;
	set->notes_own_traffic = config->intercepts;
	TAILQ_INIT(&set->live);
	TAILQ_INIT(&set->dead);
	refill_spare(set);
	set->next_server = calloc(config->proxy_count + 1, sizeof(*set->next_server));
	if (set->spare == -1 || set->next_server == NULL)
		return -1;
	for (size_t i = 0; i < config->proxy_count; i++)
		set->next_server[i] = seed;
	return relay_pool_init(&set->pool, limits);
}

void session_set_free(struct session_set *set)
{
	assert(TAILQ_EMPTY(&set->live));
	session_set_reap(set);
	relay_pool_free(&set->pool);
	free(set->next_server);
	if (set->spare != -1)
		close(set->spare);
}

bool session_set_keep_spare(struct session_set *set)
{
	refill_spare(set);
	return set->spare != -1;
}

void session_set_reap(struct session_set *set)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&set->dead)) != NULL) {
		TAILQ_REMOVE(&set->dead, session, link);
		free(session);
	}
}

const struct server *session_set_next_server(struct session_set *set, const struct proxy *backend)
{
	if (backend->server_count == 0)
		return NULL;
	return &backend->servers[set->next_server[backend->index]++ % backend->server_count];
}

static int open_upstream(struct session *session, struct upstream_failure *failure)
{
	return upstream_open(&session->server->source, &session->client, &session->server_address,
		session->set->notes_own_traffic ? &session->noted : NULL, failure);
}

int session_set_open_upstream(struct session *session, struct upstream_failure *failure)
{
	struct session_set *set = session->set;
	int fd = open_upstream(session, failure);

	if (fd != -1 || failure->reason != REASON_DESCRIPTORS || set->spare == -1)
		return fd;
	close(set->spare);
	set->spare = -1;
	return open_upstream(session, failure);
}

enum address_kind session_set_address_kind(struct session_set *set, const struct addr *address)
{
	enum address_kind kind = socket_address_kind(address);

	if (kind != ADDRESS_UNKNOWN || set->spare == -1)
		return kind;
	close(set->spare);
	set->spare = -1;
	kind = socket_address_kind(address);
	refill_spare(set);
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
	direction_clear(&session->directions[CLIENT], &set->pool);
	direction_clear(&session->directions[SERVER], &set->pool);
	refill_spare(set);
	if (session->server != NULL)
		limits_unuse(set->limits, session->backend, session->server);
	limits_leave(set->limits, session->frontend);
	TAILQ_REMOVE(&set->live, session, link);
	TAILQ_INSERT_TAIL(&set->dead, session, link);
	set->count--;
}
