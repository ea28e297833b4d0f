/*
 * Flows: the datagrams between one client and one server, and the socket that the server sees.
 *
 * Datagrams have no beginning and no end. A flow begins with the first datagram of a client to an address of a listener,
 * and ends when neither side has sent one for as long as its timeout says. All flows of a set belong to one event loop
 * and its thread; nothing here is locked. The set's observer is notified of their begin and end.
 *
 * Each datagram is relayed as it came, or it is lost: nothing is kept for later, and no side waits for the other.
 *
 * Times are milliseconds of the monotonic clock, unless a member says otherwise.
 */
#ifndef TPROXY_FLOW_H
#define TPROXY_FLOW_H

#include "proxy/limits.h"
#include "proxy/reason.h"
#include "tproxy/addr.h"
#include "tproxy/config.h"
#include "tproxy/datagram_batch.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct own_connection;

/* Where the datagrams of clients arrive, and where the replies leave: a listener's socket. */
struct receiver {
	int fd; /* -1: closed */
	const struct proxy *frontend;
	const struct bind *bind;
	struct receivers *set;
	struct event event;
};

/* What distinguishes flows. The client is as the socket of its receiver reports it, IPv4 maybe in the mapped form. */
struct flow_key {
	struct receiver *receiver;
	struct addr client, destination;
};

struct flow {
	struct flow *next;      /* in its bucket */
	TAILQ_ENTRY(flow) link; /* in its group, or among the dead */
	struct flow_set *set;
	struct flow_key key;
	struct addr client; /* never mapped */
	const struct proxy *backend;
	const struct server *server; /* NULL until one is chosen */
	struct addr server_address;
	int fd; /* connected to the server */
	struct own_connection *noted;
	struct event readable;
	uint64_t began, active, ended; /* ACTIVE: when the last datagram came */
	struct timespec began_at;      /* wall clock */
	uint64_t to_server, to_client; /* bytes that were sent on */
	enum reason reason;            /* why it ended, or never began */
	int error;                     /* errno behind it, or 0 */
};

TAILQ_HEAD(flow_list, flow);

/* Flows of one frontend: they have one timeout, so the one that is silent for longest is always the first. */
struct flow_group {
	struct flow_list list;
	struct event timer;
	unsigned timeout;
};

struct flow_table {
	struct flow **buckets;
	size_t size, count; /* the size is a power of two */
};

enum flow_change {
	FLOW_BEGAN,
	FLOW_REFUSED, /* it never began: its datagram was dropped */
	FLOW_ENDED,
};

struct flow_observer {
	void (*changed)(void *arg, const struct flow *flow, enum flow_change change);
	void *arg;
};

struct flow_set {
	struct event_base *base;
	const struct config *config;
	struct limits *limits;
	struct flow_observer observer;
	struct flow_table table;
	struct flow_list dead;           /* ended, but not freed yet */
	struct flow_group *groups;       /* by frontend->index */
	unsigned *next_server;           /* round robin, by backend->index */
	struct datagram_batch *arrivals; /* from clients, while they are relayed */
	/* From servers, until the end of the turn: they leave together, by the socket of one receiver. */
	struct datagram_batch *replies;
	struct flow *reply_flows[DATAGRAM_BATCH_SIZE];
	const struct receiver *reply_receiver;
	unsigned reply_count;
};

/*
 * Makes an empty set; SEED, a worker's number, makes the workers' round robins start at different servers. BASE, CONFIG
 * and LIMITS must outlive it. Returns 0, or -1 with errno; the set must be freed then, too.
 */
int flow_set_init(struct flow_set *set, struct event_base *base, const struct config *config,
	struct limits *limits, struct flow_observer observer, unsigned seed);

/* Ends all flows with REASON_SHUTDOWN. */
void flow_set_end_all(struct flow_set *set);

/* Sends the replies that came in this turn of the event loop, and frees flows that have ended. Never call it from an event. */
void flow_set_end_turn(struct flow_set *set);

/* Frees what the flows shared; all of them must have ended. The set must have been made, if without success. */
void flow_set_free(struct flow_set *set);

/* How many flows there are. */
size_t flow_set_count(const struct flow_set *set);

/* Relays one datagram of LENGTH bytes from a client; it begins a flow where there is none for KEY. */
void flow_set_relay(
	struct flow_set *set, const struct flow_key *key, const void *data, size_t length);

#endif
