/*
 * Atomic counts behind maxconn, behind balancing, behind the budget of pipes, and behind the counts of the log line.
 *
 * A place is taken by adding first and comparing afterwards; a worker that got beyond the limit
 * subtracts again. So no more places than the limit are ever used. The trap: two workers at its edge
 * may both subtract, and find a place a moment later; a refusal is no proof that all are taken.
 */
#include "limits.h"

#include <stdatomic.h>
#include <stdlib.h>

/* `users` is the main thread's: how many limits refer to it. */
struct count {
	atomic_uint value;
	atomic_uint turn; /* of a backend: the next one */
	atomic_bool down; /* of a server */
	unsigned users;
};

struct process_limits {
	atomic_uint maxconn;
	atomic_uint sessions, pipes;
	struct clients *clients;
	unsigned users;
};

struct limits {
	struct process_limits *process;
	size_t count;
	struct count **frontends, **backends; /* by proxy->index */
	struct count **servers;               /* by server->index */
	struct count *counts[];               /* what the three point into */
};

static struct limits *limits_alloc(const struct config *config)
{
	size_t sections = config->proxy_count, count = 2 * sections + config->server_count;
	struct limits *limits = calloc(1, sizeof(*limits) + count * sizeof(limits->counts[0]));

	if (limits == NULL)
		return NULL;
	limits->count = count;
	limits->frontends = limits->counts;
	limits->backends = limits->counts + sections;
	limits->servers = limits->counts + 2 * sections;
	return limits;
}

/* Those of OLDER that have a counterpart; FOUND says which, for each of COUNT. */
static void share_counts(
	struct count **counts, struct count *const *older, const size_t *found, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (found[i] != COUNTERPART_NONE) {
			counts[i] = older[found[i]];
			counts[i]->users++;
		}
}

/* Makes the counts that are still missing. Returns LIMITS, or without memory frees them and returns NULL. */
static struct limits *complete_counts(struct limits *limits)
{
	for (size_t i = 0; i < limits->count; i++) {
		if (limits->counts[i] != NULL)
			continue;
		limits->counts[i] = calloc(1, sizeof(*limits->counts[i]));
		if (limits->counts[i] == NULL) {
			limits_free(limits);
			return NULL;
		}
		limits->counts[i]->users = 1;
	}
	return limits;
}

struct limits *limits_new(const struct config *config, unsigned maxconn)
{
	struct limits *limits = limits_alloc(config);

	if (limits == NULL)
		return NULL;
	limits->process = calloc(1, sizeof(*limits->process));
	if (limits->process == NULL) {
		free(limits);
		return NULL;
	}
	limits->process->users = 1;
	limits->process->clients = clients_new();
	if (limits->process->clients == NULL) {
		limits_free(limits);
		return NULL;
	}
	limits_set_maxconn(limits, maxconn);
	return complete_counts(limits);
}

struct limits *limits_renew(
	struct limits *before, const struct config *config, const struct counterparts *counterparts)
{
	struct limits *limits = limits_alloc(config);
	size_t sections = config->proxy_count;

	if (limits == NULL)
		return NULL;
	limits->process = before->process;
	limits->process->users++;
	share_counts(limits->frontends, before->frontends, counterparts->frontends, sections);
	share_counts(limits->backends, before->backends, counterparts->backends, sections);
	share_counts(limits->servers, before->servers, counterparts->servers, config->server_count);
	return complete_counts(limits);
}

void limits_set_maxconn(struct limits *limits, unsigned maxconn)
{
	atomic_store_explicit(&limits->process->maxconn, maxconn, memory_order_relaxed);
}

void limits_free(struct limits *limits)
{
	if (limits == NULL)
		return;
	for (size_t i = 0; i < limits->count; i++)
		if (limits->counts[i] != NULL && --limits->counts[i]->users == 0)
			free(limits->counts[i]);
	if (--limits->process->users == 0) {
		clients_free(limits->process->clients);
		free(limits->process);
	}
	free(limits);
}

struct process_limits *limits_process(struct limits *limits)
{
	return limits->process;
}

struct clients *limits_clients(const struct limits *limits)
{
	return limits->process->clients;
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

static unsigned process_maxconn(const struct process_limits *process)
{
	return read_count(&process->maxconn);
}

bool limits_take_pipe(struct process_limits *process)
{
	unsigned pipes_max = process_maxconn(process) / 4;

	return pipes_max > 0 && take_place(&process->pipes, pipes_max);
}

void limits_give_pipe(struct process_limits *process)
{
	count_down(&process->pipes);
}

bool limits_enter(struct limits *limits, const struct proxy *frontend)
{
	struct process_limits *process = limits->process;

	if (!take_place(&process->sessions, process_maxconn(process)))
		return false;
	if (take_place(&limits->frontends[frontend->index]->value, frontend->maxconn))
		return true;
	count_down(&process->sessions);
	return false;
}

void limits_leave(struct limits *limits, const struct proxy *frontend)
{
	count_down(&limits->frontends[frontend->index]->value);
	count_down(&limits->process->sessions);
}

bool limits_use(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	if (!take_place(&limits->servers[server->index]->value, server->maxconn))
		return false;
	count_up(&limits->backends[backend->index]->value);
	return true;
}

bool limits_use_at(struct limits *limits, const struct proxy *backend, const struct server *server,
	unsigned sessions)
{
	if (!atomic_compare_exchange_strong_explicit(&limits->servers[server->index]->value,
		    &sessions, sessions + 1, memory_order_relaxed, memory_order_relaxed))
		return false;
	count_up(&limits->backends[backend->index]->value);
	return true;
}

void limits_unuse(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	count_down(&limits->backends[backend->index]->value);
	count_down(&limits->servers[server->index]->value);
}

unsigned limits_server_sessions(const struct limits *limits, const struct server *server)
{
	return read_count(&limits->servers[server->index]->value);
}

void limits_set_up(struct limits *limits, const struct server *server, bool up)
{
	atomic_store_explicit(&limits->servers[server->index]->down, !up, memory_order_relaxed);
}

bool limits_is_up(const struct limits *limits, const struct server *server)
{
	return !atomic_load_explicit(&limits->servers[server->index]->down, memory_order_relaxed);
}

unsigned limits_next_turn(struct limits *limits, const struct proxy *backend)
{
	return count_up(&limits->backends[backend->index]->turn);
}

struct limits_counts limits_counts(const struct limits *limits, const struct proxy *frontend,
	const struct proxy *backend, const struct server *server)
{
	return (struct limits_counts){
		.process = read_count(&limits->process->sessions),
		.frontend = read_count(&limits->frontends[frontend->index]->value),
		.backend =
			backend == NULL ? 0 : read_count(&limits->backends[backend->index]->value),
		.server = server == NULL ? 0 : read_count(&limits->servers[server->index]->value),
	};
}
