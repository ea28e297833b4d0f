/*
 * Balancing without a lock. Workers share two kinds of atomic counts (limits.h): a backend's turns, and each server's
 * sessions. A choice is a look at these, and one step that takes the place; where another worker was faster, it
 * looks again.
 *
 * Where clients may wait, no one overtakes: a server's place is none for a client that came later than one who waits for it
 * (queue.h). As in HAProxy, a client whose server is given (by source, or the first backup) waits for that server alone, and with
 * least sessions for one with room in its `maxqueue`; all others wait for any server.
 *
 * Turns: the configuration has a cycle of them, in which each server has as many as its weight says. Every choice takes
 * the next number, from whichever worker. A turn of a server that cannot serve is passed over, number and all,
 * so the others keep their weights among each other. Least sessions: the server's count must still be what it was when
 * the servers were compared, or they are compared again; so no two workers choose for the same gap.
 *
 * By source: the hash is HAProxy's map-based one, the address modulo the cycle, as long as that server is usable. Its clients
 * then go by rendezvous: each server has a score for the client, from the server's name, and the best one gets it. So they
 * spread over the others, and no other client moves. `hash-type consistent` goes by rendezvous alone.
 */
#include "balance.h"

#include <math.h>
#include <string.h>

enum {
	ATTEMPTS = 100 /* then another worker was faster each time */
};

struct choice {
	struct limits *limits;
	const struct proxy *backend;
	const struct addr *client;
	const struct server *avoid;  /* NULL: none */
	bool backup;                 /* among the backups, else among the active servers */
	uint64_t ticket;             /* NO_TICKET: it has not waited */
	const struct server *wanted; /* the one that it has to wait for; NULL: any */
};

bool balance_is_usable(const struct limits *limits, const struct server *server)
{
	struct addr somewhere;

	return limits_state(limits, server) != SERVER_MAINT && limits_is_up(limits, server) &&
	       (server->resolvers == NULL || limits_address(limits, server, &somewhere));
}

/* An operator has changed weights or states, so the configuration's turns do not hold. */
static bool is_set(const struct choice *choice)
{
	return limits_are_set(choice->limits, choice->backend);
}

static bool is_slow(const struct choice *choice, const struct server *server)
{
	return choice->backend->ramps && !choice->backend->static_weights && server->slowstart != 0;
}

/* In sixteenths, so that one that starts slowly can have less than 1. */
static unsigned weight_of(const struct choice *choice, const struct server *server)
{
	unsigned weight = 16;

	if (is_set(choice))
		weight = limits_state(choice->limits, server) == SERVER_DRAIN
				 ? 0
				 : 16 * limits_weight(choice->limits, server);
	else if (choice->backend->weighted)
		weight = 16 * server->weight;
	if (weight == 0 || !is_slow(choice, server))
		return weight;
	weight = weight * limits_progress(choice->limits, server) / 100;
	return weight == 0 ? 1 : weight;
}

/* Of so many turns in the order of their numbers, a server that starts slowly takes as many as it has come far. */
static bool takes_turn(const struct choice *choice, const struct server *server, uint64_t turn)
{
	unsigned progress = is_slow(choice, server) ? limits_progress(choice->limits, server) : 100;

	if (progress >= 100)
		return true;
	if (progress < 6)
		progress = 6; /* a sixteenth, as in HAProxy */
	return (turn + 1) * progress / 100 > turn * progress / 100;
}

/* Whether clients of this choice can come to the server, if it has room. */
static bool is_candidate(const struct choice *choice, const struct server *server)
{
	return server->backup == choice->backup && weight_of(choice, server) > 0 &&
	       balance_is_usable(choice->limits, server);
}

static bool has_room(const struct choice *choice, const struct server *server)
{
	if (!server_is_limited(server))
		return true;
	if (!limits_has_place(choice->limits, server))
		return false;
	return !choice->backend->queues ||
	       !queue_has_older(limits_server_queue(choice->limits, server),
		       choice->ticket == NO_TICKET ? UINT64_MAX : choice->ticket);
}

static bool can_serve(const struct choice *choice, const struct server *server)
{
	return server != choice->avoid && is_candidate(choice, server) && has_room(choice, server);
}

static size_t cycle_length(const struct choice *choice)
{
	const struct proxy *backend = choice->backend;

	if (backend->weighted)
		return backend->turns[choice->backup].count;
	return choice->backup ? 0 : backend->server_count;
}

/* The server of a turn. The cycle is not empty. */
static const struct server *turn_of(const struct choice *choice, uint64_t turn)
{
	const struct proxy *backend = choice->backend;
	size_t place = turn % cycle_length(choice);

	return backend->weighted ? backend->turns[choice->backup].list[place]
				 : &backend->servers[place];
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* In sixteenths only where a server starts slowly: else few numbers are a whole cycle. */
static uint64_t share_of(const struct choice *choice, const struct server *server)
{
	if (!can_serve(choice, server))
		return 0;
	return weight_of(choice, server) / (choice->backend->ramps ? 1 : 16);
}

/*
 * Of the servers that can serve now, the one whose share of all weights has this NUMBER. SPREADS: one number after the other,
 * each share is spread over the whole, by steps of the golden section.
 */
static const struct server *by_weights(const struct choice *choice, uint64_t turn, bool spreads)
{
	const struct proxy *backend = choice->backend;
	uint64_t all = 0, step = 1, place;

	for (size_t i = 0; i < backend->server_count; i++)
		all += share_of(choice, &backend->servers[i]);
	if (all == 0)
		return NULL;
	for (step = spreads ? all * 618 / 1000 + 1 : 1; greatest_divisor(all, step) != 1;)
		step++;
	place = turn % all * step % all;
	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];
		uint64_t share = share_of(choice, server);

		if (place < share)
			return server;
		place -= share;
	}
	return NULL; /* one of them has lost its place meanwhile */
}

/* SLOWLY: a server that starts slowly passes some of its turns on. */
static const struct server *try_turns(const struct choice *choice, bool slowly)
{
	size_t length = cycle_length(choice);

	for (size_t i = length; i > 0; i--) {
		uint64_t turn = limits_next_turn(choice->limits, choice->backend);
		const struct server *server = turn_of(choice, turn);

		if (can_serve(choice, server) &&
			(!slowly || takes_turn(choice, server, turn / length)))
			return server;
	}
	return NULL;
}

static const struct server *next_in_turn(const struct choice *choice)
{
	const struct server *server;

	if (is_set(choice))
		return by_weights(choice, limits_next_turn(choice->limits, choice->backend), true);
	server = try_turns(choice, choice->backend->ramps);
	if (server == NULL && choice->backend->ramps)
		server = try_turns(choice, false);
	return server;
}

/* Of the backups, where only the first one that is usable serves: it may be full. */
static const struct server *first_backup(const struct choice *choice)
{
	for (size_t i = 0; i < choice->backend->server_count; i++)
		if (is_candidate(choice, &choice->backend->servers[i]))
			return &choice->backend->servers[i];
	return NULL;
}

static const struct server *first_with_room(const struct choice *choice)
{
	for (size_t i = 0; i < choice->backend->server_count; i++)
		if (can_serve(choice, &choice->backend->servers[i]))
			return &choice->backend->servers[i];
	return NULL;
}

/* --- fewest sessions --- */

/* Those that wait for it alone; they count as its sessions. */
static unsigned waiting_for(const struct choice *choice, const struct server *server)
{
	if (!choice->backend->queues)
		return 0;
	return queue_length(limits_server_queue(choice->limits, server));
}

/* As HAProxy compares them: a server without sessions comes first, whatever its weight. */
static bool is_less_busy(const struct choice *choice, const struct server *a, unsigned a_sessions,
	const struct server *b, unsigned b_sessions)
{
	uint64_t a_load = a_sessions == 0 ? 0 : a_sessions + 1ULL;
	uint64_t b_load = b_sessions == 0 ? 0 : b_sessions + 1ULL;

	return a_load * weight_of(choice, b) < b_load * weight_of(choice, a);
}

/* Servers that are equally busy take turns. *SESSIONS is what the choice has seen. */
static const struct server *least_busy(const struct choice *choice, unsigned *sessions)
{
	const struct proxy *backend = choice->backend;
	size_t first = limits_next_turn(choice->limits, backend);
	const struct server *best = NULL;
	unsigned best_load = 0;

	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server =
			&backend->servers[(first + i) % backend->server_count];
		unsigned seen, load, maxconn = limits_maxconn(choice->limits, server);

		if (server == choice->avoid || !is_candidate(choice, server))
			continue;
		seen = limits_server_sessions(choice->limits, server);
		load = seen + waiting_for(choice, server);
		if (server->maxqueue == 0
				? !limits_has_place(choice->limits, server)
				: maxconn != 0 && load >= (uint64_t)maxconn + server->maxqueue)
			continue;
		if (best != NULL && !is_less_busy(choice, server, load, best, best_load))
			continue;
		best = server;
		best_load = load;
		*sessions = seen;
	}
	return best;
}

/* --- by the client's address --- */

/* The finishing step of MurmurHash3, which is in the public domain: every bit depends on every other. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 33) * 0xff51afd7ed558ccdULL;
	value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return value ^ value >> 33;
}

/* The exclusive or of the address's words, as HAProxy's map-based hash has it. */
static uint32_t hash_address(const struct addr *client)
{
	const unsigned char *bytes = (const unsigned char *)&client->in6.sin6_addr;
	size_t length = sizeof(client->in6.sin6_addr);
	uint32_t hash = 0;

	if (addr_family(client) == AF_INET) {
		bytes = (const unsigned char *)&client->in4.sin_addr;
		length = sizeof(client->in4.sin_addr);
	}
	for (size_t i = 0; i < length; i++)
		hash ^= (uint32_t)bytes[i] << 8 * (3 - i % 4);
	return hash;
}

/* A server's score for a client, below 0. Over all clients, the chance to have the best one is as the weight. */
static double rendezvous_score(uint64_t client, const struct server *server, unsigned weight)
{
	uint64_t hash = mix(client + 1);

	for (const char *at = server->name; *at != '\0'; at++)
		hash = (hash ^ (unsigned char)*at) * 0x100000001b3ULL;             /* FNV */
	return log(((double)(mix(hash) >> 11) + 1) / 9007199254740993.0) / weight; /* 2^53 + 1 */
}

static const struct server *by_rendezvous(const struct choice *choice, uint32_t client)
{
	const struct server *best = NULL;
	double best_score = 0;

	for (size_t i = 0; i < choice->backend->server_count; i++) {
		const struct server *server = &choice->backend->servers[i];
		double score;

		if (server == choice->avoid || !is_candidate(choice, server))
			continue;
		score = rendezvous_score(client, server, weight_of(choice, server));
		if (best != NULL && score <= best_score)
			continue;
		best = server;
		best_score = score;
	}
	return best;
}

static const struct server *by_source(const struct choice *choice)
{
	uint32_t hash = hash_address(choice->client);
	const struct server *server = NULL;

	if (is_set(choice) && !choice->backend->consistent)
		server = by_weights(choice, hash, false);
	else if (cycle_length(choice) > 0)
		server = turn_of(choice, hash);
	if (!choice->backend->consistent && server != NULL && server != choice->avoid &&
		is_candidate(choice, server))
		return server;
	return by_rendezvous(choice, hash);
}

/* --- at random --- */

static const struct server *at_random(const struct choice *choice)
{
	const struct server *best = NULL;

	for (unsigned i = 0; i < choice->backend->draws; i++) {
		uint64_t number = mix(limits_next_turn(choice->limits, choice->backend) + 1ULL);
		const struct server *server = NULL;

		if (is_set(choice))
			server = by_weights(choice, number, false);
		else if (cycle_length(choice) > 0)
			server = turn_of(choice, number);
		if (server == NULL || !can_serve(choice, server) ||
			!takes_turn(choice, server, number % 100))
			continue;
		if (best == NULL ||
			is_less_busy(choice, server, limits_server_sessions(choice->limits, server),
				best, limits_server_sessions(choice->limits, best)))
			best = server;
	}
	return best != NULL ? best : next_in_turn(choice);
}

/* --- all of them --- */

static const struct server *find(const struct choice *choice)
{
	if (choice->backup && !(choice->backend->options & OPTION_ALLBACKUPS))
		return first_backup(choice);
	switch (choice->backend->balance) {
	case BALANCE_FIRST:
		return first_with_room(choice);
	case BALANCE_SOURCE:
		return by_source(choice);
	case BALANCE_RANDOM:
		return at_random(choice);
	case BALANCE_ROUNDROBIN:
	case BALANCE_LEASTCONN:
		break;
	}
	return next_in_turn(choice);
}

/* Whether a client waits for this server alone where it is full. Else another worker was faster, and others may have room. */
static bool waits_for(const struct choice *choice, const struct server *server)
{
	if (choice->backup && !(choice->backend->options & OPTION_ALLBACKUPS))
		return true;
	if (choice->backend->balance == BALANCE_LEASTCONN)
		return server->maxqueue != 0;
	return choice->backend->balance == BALANCE_SOURCE;
}

/* Finds a server and takes its place. NULL: none has room; the choice says then which one is to be waited for. */
static const struct server *find_and_use(struct choice *choice)
{
	bool by_sessions = choice->backend->balance == BALANCE_LEASTCONN &&
			   (!choice->backup || choice->backend->options & OPTION_ALLBACKUPS);
	unsigned sessions = 0;

	for (unsigned i = 0; i < ATTEMPTS; i++) {
		const struct server *server =
			by_sessions ? least_busy(choice, &sessions) : find(choice);

		if (server == NULL)
			return NULL;
		if (!has_room(choice, server) && waits_for(choice, server)) {
			choice->wanted = server;
			return NULL;
		}
		if (by_sessions ? limits_use_at(choice->limits, choice->backend, server, sessions)
				: limits_use(choice->limits, choice->backend, server))
			return server;
	}
	return NULL;
}

static unsigned count_candidates(const struct choice *choice)
{
	unsigned count = 0;

	for (size_t i = 0; i < choice->backend->server_count; i++)
		count += is_candidate(choice, &choice->backend->servers[i]);
	return count;
}

void balance_count(
	struct limits *limits, const struct proxy *backend, unsigned *active, unsigned *backups)
{
	struct choice choice = {.limits = limits, .backend = backend};

	*active = count_candidates(&choice);
	choice.backup = true;
	*backups = count_candidates(&choice);
}

unsigned balance_usable(struct limits *limits, const struct proxy *backend)
{
	unsigned active, backups;

	balance_count(limits, backend, &active, &backups);
	if (active > 0)
		return active;
	return backups > 0 && !(backend->options & OPTION_ALLBACKUPS) ? 1 : backups;
}

bool balance_shares(struct limits *limits, const struct proxy *backend, const struct server *server)
{
	struct choice choice = {.limits = limits, .backend = backend, .backup = server->backup};

	if (!is_candidate(&choice, server))
		return false;
	if (!server->backup)
		return true;
	choice.backup = false;
	if (count_candidates(&choice) > 0)
		return false;
	choice.backup = true;
	return backend->options & OPTION_ALLBACKUPS || server == first_backup(&choice);
}

/* Whether it has to stand behind those that wait for any server. One who comes may not overtake them. */
static bool is_behind_others(const struct choice *choice)
{
	return choice->backend->queues && choice->ticket == NO_TICKET &&
	       choice->backend->balance != BALANCE_SOURCE &&
	       queue_length(limits_backend_queue(choice->limits, choice->backend)) > 0 &&
	       balance_usable(choice->limits, choice->backend) > 0;
}

static enum reason choose(struct choice *choice, const struct server **server)
{
	*server = NULL;
	if (is_behind_others(choice))
		return REASON_SERVERS_FULL;
	*server = find_and_use(choice);
	if (*server != NULL)
		return REASON_DONE;
	if (count_candidates(choice) == 0) {
		choice->backup = true;
		*server = find_and_use(choice);
	}
	if (*server == NULL && choice->avoid != NULL) {
		choice->avoid = NULL;
		*server = find_and_use(choice);
	}
	if (*server != NULL)
		return REASON_DONE;
	return count_candidates(choice) > 0 ? REASON_SERVERS_FULL : REASON_NO_SERVER;
}

enum reason balance_choose(struct limits *limits, const struct proxy *backend,
	const struct addr *client, const struct server *avoid, const struct server **server)
{
	struct choice choice = {
		.limits = limits, .backend = backend, .client = client, .avoid = avoid};

	return choose(&choice, server);
}

enum reason balance_choose_or_wait(struct limits *limits, const struct proxy *backend,
	const struct addr *client, uint64_t ticket, const struct server **server,
	const struct server **wanted)
{
	struct choice choice = {
		.limits = limits, .backend = backend, .client = client, .ticket = ticket};
	enum reason reason = choose(&choice, server);

	*wanted = choice.wanted;
	return reason;
}
