/*
 * Tallies: what happened at each frontend, backend and server, and why sessions ended.
 *
 * Each worker adds to numbers of its own, so that no cache line is passed between processors, and nothing waits. They are
 * summed when they are read, which only the main thread does. After a reload, sections and servers that the configuration
 * before had, too, go on with its numbers (servers/counterparts.h).
 */
#ifndef TPROXY_STATS_TALLY_H
#define TPROXY_STATS_TALLY_H

#include "servers/counterparts.h"
#include "servers/reason.h"
#include "tproxy/config.h"

#include <stdint.h>

enum tally_item {
	TALLY_CONNECTIONS,       /* of clients, accepted; of a frontend */
	TALLY_SESSIONS,          /* that began; of a server, attempts to connect to it */
	TALLY_ATTEMPTS,          /* to connect to a server */
	TALLY_CHOSEN,            /* how often `balance` chose it for a client that had not waited */
	TALLY_IN,                /* bytes from clients to servers, of sessions that have ended */
	TALLY_OUT,               /* the reverse */
	TALLY_DENIED_CONNECTION, /* by a rule of `tcp-request connection` … */
	TALLY_DENIED_SESSION,    /* … `session` … */
	TALLY_DENIED_REQUEST,    /* … `content` */
	TALLY_BAD_REQUESTS,      /* PROXY headers that were missing or wrong */
	TALLY_CONNECT_ERRORS,    /* sessions that did not reach a server */
	TALLY_SERVER_ERRORS,     /* connections that the server broke */
	TALLY_RETRIES,           /* further attempts at the same server */
	TALLY_REDISPATCHES,      /* and at another one than this */
	TALLY_CLIENT_ABORTS,     /* sessions that the client broke, or let time out */
	TALLY_SERVER_ABORTS,     /* that the server did */
	TALLY_REASONS,           /* sessions that ended, by enum reason */
	TALLY_ITEMS = TALLY_REASONS + REASON_COUNT
};

/* Milliseconds, whose average is that of the newest sessions. */
enum tally_time {
	TALLY_QUEUE_TIME, /* from the wait for a server to its end */
	TALLY_CONNECT_TIME,
	TALLY_TOTAL_TIME,
	TALLY_TIMES
};

/* Most of something at the same time. */
enum tally_most {
	TALLY_MOST_SESSIONS,
	TALLY_MOST_WAITING,
	TALLY_MOST_TIME, /* as enum tally_time, from here on */
	TALLY_MOSTS = TALLY_MOST_TIME + TALLY_TIMES
};

struct tally;   /* of one frontend, backend or server */
struct tallies; /* of one configuration */

/* What was summed for a reader. */
struct tally_sums {
	uint64_t items[TALLY_ITEMS];
	unsigned most[TALLY_MOSTS];
	unsigned average[TALLY_TIMES];
	uint64_t last; /* monotonic milliseconds: when a session came last; 0: none has */
};

/*
 * What only the main thread counts: whether servers of a backend, or a server, can have clients; and how many came in the
 * last second.
 */
struct standing {
	bool is_down;
	bool is_known;                  /* it was looked at before */
	long long changed;              /* monotonic milliseconds */
	long long down_time;            /* milliseconds, of the times before this one */
	unsigned downs;                 /* how often it went down */
	unsigned failures;              /* checks that failed while it was up */
	uint64_t sessions, connections; /* when the second began */
	unsigned rate, most_rate;       /* sessions in the last whole second, and in any */
	unsigned connection_rate, most_connection_rate;
};

/* CONFIG must outlive it. WORKERS: how many threads add. NULL: no memory. */
struct tallies *tallies_new(const struct config *config, unsigned workers);

/* The same for a CONFIG that follows the one of BEFORE; each of the two may be freed first. */
struct tallies *tallies_renew(const struct tallies *before, const struct config *config,
	const struct counterparts *counterparts);

/* NULL is allowed. */
void tallies_free(struct tallies *tallies);

struct tally *tally_of_frontend(const struct tallies *tallies, const struct proxy *frontend);
struct tally *tally_of_backend(const struct tallies *tallies, const struct proxy *backend);
struct tally *tally_of_server(const struct tallies *tallies, const struct server *server);

/* By the thread of WORKER, each. */
void tally_add(struct tally *tally, unsigned worker, unsigned item, uint64_t count);
void tally_time(struct tally *tally, unsigned worker, enum tally_time time, unsigned milliseconds);
void tally_came(struct tally *tally, unsigned worker, uint64_t now);

/* There are COUNT now. By any thread. */
void tally_most(struct tally *tally, enum tally_most most, unsigned count);

/* By the main thread. */
void tally_sum(const struct tally *tally, struct tally_sums *sums);
struct standing *tally_standing(struct tally *tally);

/* The most of everything begins anew; with ALL every number does. NOW, of each: sessions at this moment. */
void tally_clear(struct tally *tally, bool all, unsigned sessions, unsigned waiting);

#endif
