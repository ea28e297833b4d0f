/*
 * Atomic counts behind maxconn, behind balancing, behind the budget of pipes, and behind the counts of the log line.
 *
 * A place is taken by adding first and comparing afterwards; a worker that got beyond the limit
 * subtracts again. So no more places than the limit are ever used. The trap: two workers at its edge
 * may both subtract, and find a place a moment later; a refusal is no proof that all are taken. A server's places
 * are another thing, since clients wait for them (queue.h): there a refusal must be true, so the count is compared
 * before it changes. These counts are sequentially consistent, as queues need it, which costs nothing on x86.
 */
#include "limits.h"

#include "tproxy/clock.h"

#include <string.h>

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

/* `users` is the main thread's: how many limits refer to it. */
/*
 * An address that one thread changes while others read it. The number is odd while it changes, and has changed where a reader
 * may have seen half of it; the reader then reads again.
 */
struct place {
	atomic_uint number;
	atomic_int family; /* AF_UNSPEC: nowhere */
	atomic_uint words[4];
};

struct count {
	atomic_uint value;
	atomic_uint maxconn; /* of a server, in the newest configuration that has it; 0: none */
	atomic_uint turn;    /* of a backend: the next one */
	atomic_uint down;    /* of a server: bits of enum down_by */
	atomic_bool are_set; /* of a backend: its servers have settings */
	struct setting setting;
	/* Who waits for a place; NULL: no configuration so far had a maxconn here. Set once. */
	_Atomic(struct queue *) queue;
	struct place place;   /* of a server with `resolvers` */
	atomic_llong came_up; /* of a server with `slowstart`, in milliseconds; 0: long ago */
	atomic_uint
		ends; /* of a server: four times the number of limits_end_sessions(), and the reason's place */
	atomic_uint errors;   /* of a server that is observed, in a row */
	atomic_uint too_many; /* how often, since its observer looked */
	unsigned users;
};

struct process_limits {
	atomic_uint maxconn;
	atomic_uint sessions, pipes;
	struct wakers wakers;
	atomic_uint ends; /* how often sessions were to end */
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

static bool add_queue(struct count *count)
{
	if (atomic_load(&count->queue) == NULL)
		atomic_store(&count->queue, queue_new());
	return atomic_load(&count->queue) != NULL;
}

/* For each backend where clients may wait, and for its servers. False: no memory. */
static bool add_queues(struct limits *limits, const struct config *config)
{
	bool all = true;

	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *backend = &config->proxies[i];

		if (!backend->queues)
			continue;
		all &= add_queue(limits->backends[backend->index]);
		for (size_t j = 0; j < backend->server_count; j++)
			all &= add_queue(limits->servers[backend->servers[j].index]);
	}
	return all;
}

/* Makes the counts that are still missing. Returns LIMITS, or without memory frees them and returns NULL. */
static struct limits *complete_counts(struct limits *limits, const struct config *config)
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
	if (add_queues(limits, config))
		return limits;
	limits_free(limits);
	return NULL;
}

/* Servers that move are where the file says before the first answer, and before the first client. */
static void set_addresses(struct limits *limits, const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct server *server = &config->proxies[i].servers[j];

			if (server->resolvers != NULL && !server->unresolved)
				limits_set_address(limits, server, &server->address);
		}
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
	limits = complete_counts(limits, config);
	if (limits == NULL)
		return NULL;
	limits_set_places(limits, config);
	set_addresses(limits, config);
	return limits;
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
	return complete_counts(limits, config);
}

void limits_set_maxconn(struct limits *limits, unsigned maxconn)
{
	atomic_store_explicit(&limits->process->maxconn, maxconn, memory_order_relaxed);
}

void limits_set_places(struct limits *limits, const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct server *server = &config->proxies[i].servers[j];
			struct count *count = limits->servers[server->index];

			atomic_store(&count->maxconn, setting_maxconn(&count->setting, server));
		}
}

void limits_free(struct limits *limits)
{
	if (limits == NULL)
		return;
	for (size_t i = 0; i < limits->count; i++)
		if (limits->counts[i] != NULL && --limits->counts[i]->users == 0) {
			queue_free(atomic_load(&limits->counts[i]->queue));
			free(limits->counts[i]);
		}
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

struct wakers *limits_wakers(struct process_limits *process)
{
	return &process->wakers;
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

unsigned limits_maxconn(const struct limits *limits, const struct server *server)
{
	return atomic_load(&limits->servers[server->index]->maxconn);
}

void limits_set_server_maxconn(struct limits *limits, const struct server *server, unsigned maxconn)
{
	struct count *count = limits->servers[server->index];

	setting_set_maxconn(&count->setting, server, maxconn);
	atomic_store(&count->maxconn, maxconn);
	wakers_wake_all(&limits->process->wakers);
}

/* Of sessions, now. */
static unsigned places_of(const struct limits *limits, const struct server *server)
{
	unsigned maxconn = limits_maxconn(limits, server);
	uint64_t places;

	if (maxconn == 0)
		return UINT_MAX;
	if (server->slowstart == 0)
		return maxconn;
	places = (uint64_t)maxconn * limits_progress(limits, server) / 100;
	return places == 0 ? 1 : (unsigned)places;
}

/* Takes one of the server's places, if it has one left. */
static bool use_place(const struct limits *limits, const struct server *server, atomic_uint *count)
{
	unsigned sessions = atomic_load(count);

	while (sessions < places_of(limits, server))
		if (atomic_compare_exchange_weak(count, &sessions, sessions + 1))
			return true;
	return false;
}

bool limits_use(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	atomic_uint *count = &limits->servers[server->index]->value;

	if (!server_is_limited(server))
		atomic_fetch_add(count, 1);
	else if (!use_place(limits, server, count))
		return false;
	count_up(&limits->backends[backend->index]->value);
	return true;
}

bool limits_use_at(struct limits *limits, const struct proxy *backend, const struct server *server,
	unsigned sessions)
{
	if (!atomic_compare_exchange_strong(
		    &limits->servers[server->index]->value, &sessions, sessions + 1))
		return false;
	count_up(&limits->backends[backend->index]->value);
	return true;
}

void limits_unuse(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	count_down(&limits->backends[backend->index]->value);
	atomic_fetch_sub(&limits->servers[server->index]->value, 1);
}

unsigned limits_server_sessions(const struct limits *limits, const struct server *server)
{
	return atomic_load(&limits->servers[server->index]->value);
}

bool limits_has_place(const struct limits *limits, const struct server *server)
{
	return !server_is_limited(server) ||
	       limits_server_sessions(limits, server) < places_of(limits, server);
}

struct queue *limits_backend_queue(const struct limits *limits, const struct proxy *backend)
{
	return atomic_load(&limits->backends[backend->index]->queue);
}

struct queue *limits_server_queue(const struct limits *limits, const struct server *server)
{
	return atomic_load(&limits->servers[server->index]->queue);
}

void limits_wait(struct limits *limits, const struct proxy *backend)
{
	count_up(&limits->backends[backend->index]->value);
}

void limits_wait_no_more(struct limits *limits, const struct proxy *backend)
{
	count_down(&limits->backends[backend->index]->value);
}

void limits_set_up(struct limits *limits, const struct server *server, enum down_by by, bool up)
{
	atomic_uint *down = &limits->servers[server->index]->down;
	unsigned bit = by, before = up ? atomic_fetch_and(down, ~bit) : atomic_fetch_or(down, bit);

	if ((before & ~bit) == 0 && ((before & bit) == 0) != up)
		wakers_wake_all(&limits->process->wakers);
}

unsigned limits_down(const struct limits *limits, const struct server *server)
{
	return atomic_load_explicit(&limits->servers[server->index]->down, memory_order_relaxed);
}

bool limits_is_up(const struct limits *limits, const struct server *server)
{
	return limits_down(limits, server) == 0;
}

static void note_setting(struct limits *limits, const struct proxy *backend)
{
	atomic_store(&limits->backends[backend->index]->are_set, true);
	wakers_wake_all(&limits->process->wakers);
}

void limits_set_state(struct limits *limits, const struct proxy *backend,
	const struct server *server, enum server_state state)
{
	setting_set_state(&limits->servers[server->index]->setting, state);
	note_setting(limits, backend);
}

enum server_state limits_own_state(const struct limits *limits, const struct server *server)
{
	return setting_state(&limits->servers[server->index]->setting, server);
}

enum server_state limits_state(const struct limits *limits, const struct server *server)
{
	enum server_state state = SERVER_READY, own;

	for (; server != NULL; server = server->track) {
		own = limits_own_state(limits, server);
		state = own > state ? own : state;
	}
	return state;
}

void limits_set_weight(struct limits *limits, const struct proxy *backend,
	const struct server *server, unsigned weight)
{
	setting_set_weight(&limits->servers[server->index]->setting, server, weight);
	note_setting(limits, backend);
}

unsigned limits_weight(const struct limits *limits, const struct server *server)
{
	return setting_weight(&limits->servers[server->index]->setting, server);
}

bool limits_are_set(const struct limits *limits, const struct proxy *backend)
{
	return atomic_load_explicit(
		&limits->backends[backend->index]->are_set, memory_order_relaxed);
}

void limits_set_address(
	struct limits *limits, const struct server *server, const struct addr *address)
{
	struct place *place = &limits->servers[server->index]->place;
	int family = address == NULL ? AF_UNSPEC : addr_family(address);
	size_t length = family == AF_INET6 ? 16 : 4;
	unsigned words[4] = {0};
	int before;

	if (address != NULL)
		memcpy(words, addr_bytes(address), length);
	atomic_fetch_add(&place->number, 1);
	before = atomic_exchange(&place->family, family);
	for (int i = 0; i < 4; i++)
		atomic_store(&place->words[i], words[i]);
	atomic_fetch_add(&place->number, 1);
	if ((before == AF_UNSPEC) != (family == AF_UNSPEC))
		wakers_wake_all(&limits->process->wakers);
}

bool limits_address(const struct limits *limits, const struct server *server, struct addr *address)
{
	const struct place *place = &limits->servers[server->index]->place;
	unsigned number, words[4];
	int family;

	do {
		number = atomic_load(&place->number) & ~1U;
		family = atomic_load(&place->family);
		for (int i = 0; i < 4; i++)
			words[i] = atomic_load(&place->words[i]);
	} while (atomic_load(&place->number) != number);
	if (family != AF_UNSPEC)
		*address = addr_from_bytes(family, words);
	return family != AF_UNSPEC;
}

struct addr limits_target(
	const struct limits *limits, const struct server *server, const struct addr *asked)
{
	struct addr target = server_address(server, asked), moved;

	if (server->resolvers == NULL || !limits_address(limits, server, &moved))
		return target;
	addr_set_port(&moved, addr_port(&target));
	return moved;
}

void limits_start_slowly(struct limits *limits, const struct server *server)
{
	if (server->slowstart != 0)
		atomic_store(&limits->servers[server->index]->came_up, clock_ms());
}

unsigned limits_progress(const struct limits *limits, const struct server *server)
{
	long long since = atomic_load(&limits->servers[server->index]->came_up);
	long long passed = since == 0 ? server->slowstart : clock_ms() - since;

	return passed >= server->slowstart ? 100 : (unsigned)(100 * passed / server->slowstart);
}

enum {
	END_REASONS = 3
};
static const enum reason end_reasons[END_REASONS] = {
	REASON_SERVER_DOWN, REASON_SERVER_UP, REASON_KILLED};

void limits_end_sessions(struct limits *limits, const struct server *server, enum reason reason)
{
	unsigned number = atomic_fetch_add(&limits->process->ends, 1) + 1, place = 0;

	while (place < END_REASONS - 1 && end_reasons[place] != reason)
		place++;
	atomic_store(&limits->servers[server->index]->ends, 4 * number + place);
	wakers_wake_all(&limits->process->wakers);
}

unsigned limits_ends(struct process_limits *process)
{
	return atomic_load(&process->ends);
}

enum reason limits_end_reason(
	const struct limits *limits, const struct server *server, unsigned seen)
{
	unsigned ends = atomic_load(&limits->servers[server->index]->ends);

	return ends / 4 <= seen ? REASON_DONE : end_reasons[ends % 4];
}

unsigned limits_error_limit(const struct server *server)
{
	return server->check.error_limit == 0 ? 10 : server->check.error_limit;
}

void limits_observe(struct limits *limits, const struct server *server, bool good)
{
	struct count *count = limits->servers[server->index];
	if (good) {
		if (atomic_load(&count->errors) != 0)
			atomic_store(&count->errors, 0);
		return;
	}
	if (atomic_fetch_add(&count->errors, 1) + 1 < limits_error_limit(server))
		return;
	atomic_store(&count->errors, 0);
	atomic_fetch_add(&count->too_many, 1);
	wakers_wake(&limits->process->wakers, LIMITS_OBSERVER);
}

unsigned limits_take_errors(struct limits *limits, const struct server *server)
{
	return atomic_exchange(&limits->servers[server->index]->too_many, 0);
}

unsigned limits_next_turn(struct limits *limits, const struct proxy *backend)
{
	return count_up(&limits->backends[backend->index]->turn);
}

unsigned limits_sessions(const struct process_limits *process)
{
	return read_count(&process->sessions);
}

unsigned limits_pipes(const struct process_limits *process)
{
	return read_count(&process->pipes);
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
