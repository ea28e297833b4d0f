/*
 * Atomic counts behind maxconn, behind the budget of pipes, and behind the counts of the log line.
 *
 * A place is taken by adding first and comparing afterwards; a worker that got beyond the limit
 * subtracts again. So no more places than the limit are ever used. The trap: two workers at its edge
 * may both subtract, and find a place a moment later; a refusal is no proof that all are taken.
 */
#include "limits.h"

#include <stdatomic.h>
#include <stdlib.h>

struct limits {
	unsigned maxconn, pipes_max;
	atomic_uint process, pipes;
	atomic_uint *frontends, *backends; /* by proxy->index */
	atomic_uint *servers;              /* by server->index */
	atomic_uint counts[];              /* what the three point into */
};

struct limits *limits_new(const struct config *config, unsigned maxconn)
{
	size_t sections = config->proxy_count;
	size_t counts = 2 * sections + config->server_count;
	struct limits *limits = calloc(1, sizeof(*limits) + counts * sizeof(limits->counts[0]));

	if (limits == NULL)
		return NULL;
	limits->maxconn = maxconn;
	limits->pipes_max = maxconn / 4;
	limits->frontends = limits->counts;
	limits->backends = limits->counts + sections;
	limits->servers = limits->counts + 2 * sections;
	return limits;
}

void limits_free(struct limits *limits)
{
	free(limits);
}

static unsigned count_up(atomic_uint *count)
{
	return atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static void count_down(atomic_uint *count)
{
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

/* A LIMIT of 0 is none. */
static bool take_place(atomic_uint *count, unsigned limit)
{
	if (count_up(count) < limit || limit == 0)
		return true;
	count_down(count);
	return false;
}

static unsigned read_count(const atomic_uint *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

bool limits_take_pipe(struct limits *limits)
{
	return limits->pipes_max > 0 && take_place(&limits->pipes, limits->pipes_max);
}

void limits_give_pipe(struct limits *limits)
{
	count_down(&limits->pipes);
}

bool limits_enter(struct limits *limits, const struct proxy *frontend)
{
	if (!take_place(&limits->process, limits->maxconn))
		return false;
	if (take_place(&limits->frontends[frontend->index], frontend->maxconn))
		return true;
	count_down(&limits->process);
	return false;
}

void limits_leave(struct limits *limits, const struct proxy *frontend)
{
	count_down(&limits->frontends[frontend->index]);
	count_down(&limits->process);
}

void limits_use(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	count_up(&limits->backends[backend->index]);
	count_up(&limits->servers[server->index]);
}

void limits_unuse(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	count_down(&limits->backends[backend->index]);
	count_down(&limits->servers[server->index]);
}

struct limits_counts limits_counts(const struct limits *limits, const struct proxy *frontend,
	const struct proxy *backend, const struct server *server)
{
	return (struct limits_counts){
		.process = read_count(&limits->process),
		.frontend = read_count(&limits->frontends[frontend->index]),
		.backend = backend == NULL ? 0 : read_count(&limits->backends[backend->index]),
		.server = server == NULL ? 0 : read_count(&limits->servers[server->index]),
	};
}
