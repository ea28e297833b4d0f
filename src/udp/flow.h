/*
 * Flows: the datagrams between one client and one server, and the socket that the server sees.
 *
 * Datagrams have no beginning and no end. A flow begins with the first datagram of a client to an address of a listener,
 * and ends when neither side has sent one for as long as its timeout says. The set's observer is notified of its begin
 * and end.
 *
 * Each configuration has a set of its own, with its servers, timeouts and limits. A worker's loop has one table with the
 * flows of all its sets, so after a reload a client's next datagram finds the flow that began under an older one. A loop
 * and its sets belong to one thread; nothing here is locked.
 *
 * Each datagram is relayed as it came, or it is lost: nothing is kept for later, and no side waits for the other.
 *
 * Times are milliseconds of the monotonic clock, unless a member says otherwise.
 */
#ifndef TPROXY_FLOW_H
#define TPROXY_FLOW_H

#include "servers/counterparts.h"
#include "servers/limits.h"
#include "servers/reason.h"
#include "tproxy/addr.h"
#include "tproxy/config.h"
#include "tproxy/datagram_batch.h"
#include "tproxy/datagram_ring.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct own_connection;
struct receivers; /* receiver.h */

/* A socket, of one worker, and of all receivers at its address. */
struct receiver_socket {
	int fd; /* -1: closed */
	struct event event;
	struct receiver *reader; /* the newest of them; NULL: closed */
	unsigned users;
};

/* Where the datagrams of clients arrive, and where the replies leave. */
struct receiver {
	struct receiver_socket *socket;     /* NULL: not yet inherited */
	const struct counterpart *inherits; /* whose socket it takes over; NULL: it has its own */
	const struct proxy *frontend;
	const struct bind *bind;
	struct flow_set *flows; /* those that begin here */
	struct receivers *set;
};

/*
 * What distinguishes flows: who sent a datagram, where to, the interface that the receiver's `bind` line names, and what the
 * datagram's PROXY header names. The sender is as the receiver's socket reports it, IPv4 maybe in the mapped form.
 */
struct flow_key {
	struct receiver *receiver;
	struct addr sender, destination;
	struct proxied {
		struct addr client,
			destination; /* AF_UNSPEC: there is no header, or it names none */
	} proxied;
	unsigned interface; /* by which the datagram came; of no account */
};

struct flow {
	struct flow *next;      /* in its bucket */
	TAILQ_ENTRY(flow) link; /* in its group, or among the dead */
	struct flow_set *set;
	uint64_t id;         /* servers/session_id.h */
	struct flow_key key; /* the receiver where it began */
	const struct proxy *frontend, *backend;
	const struct server *server; /* NULL until one is chosen */
	struct own_connection *noted;
	struct client *counted; /* NULL: the frontend has no limits of clients */
	struct event readable;
	uint64_t began, active, ended; /* ACTIVE: when the last datagram came */
	struct timespec began_at;      /* wall clock */
	uint64_t to_server, to_client; /* bytes that were sent on */
	enum reason reason;            /* why it ended, or never began */
	int error;                     /* errno behind it, or 0 */
	struct addr client;            /* who sends, or whom the PROXY header names; never mapped */
	struct addr server_address;
	int fd;                  /* connected to the server */
	uint32_t reply_turn;     /* of the loop: when it had a reply last */
	unsigned short expected; /* how many replies it may have at once */
	bool is_joined;          /* the kernel may put several replies into one place */
	/* What it sends has the addresses and ports of what it gets: only the interface tells them apart. */
	bool is_mirror;
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
	uint64_t seed;      /* of the hash */
};

enum flow_change {
	FLOW_BEGAN,
	FLOW_REFUSED, /* it never began: its datagram was dropped */
	FLOW_ENDED,
	FLOW_LIMITED, /* datagrams were dropped for its reason; it goes on */
};

struct flow_observer {
	void (*changed)(void *arg, const struct flow *flow, enum flow_change change);
	void *arg;
};

/* What all sets of a worker have in common. */
struct flow_loop {
	struct event_base *base;
	unsigned index;              /* the worker's, 0 unless it is set */
	uint64_t begun;              /* flows; their ids come from it */
	uint32_t turn;               /* counts them, and goes round */
	uint64_t now;                /* when the datagrams came that are relayed now */
	struct receivers *receivers; /* those at which flows begin; NULL: none does any more */
	struct flow_table table;
	struct flow_list dead;           /* ended, but not freed yet */
	struct datagram_batch *arrivals; /* from clients, while they are relayed */
	/* Of those, the ones that leave together, each by another socket; NULL: each leaves at once. */
	struct datagram_ring *ring;
	struct question {
		struct flow *flow;
		unsigned place;
	} waiting[DATAGRAM_RING_SIZE];
	unsigned waiting_count;
	/* From servers, until the end of the turn: they leave together, by one socket. */
	struct datagram_batch *replies;
	struct flow *reply_flows[DATAGRAM_BATCH_SIZE];
	const struct receiver_socket *reply_socket;
	unsigned reply_count;
	uint64_t report_second; /* in which REPORTS were sent to clients */
	unsigned reports;
};

/* The flows that began under one configuration. */
struct flow_set {
	struct flow_loop *loop;
	const struct config *config;
	struct limits *limits;
	struct flow_observer observer;
	struct flow_group *groups; /* by frontend->index */
	size_t count;
};

/* Makes a loop without flows. BASE must outlive it. HAS_DATAGRAMS: there will be some. Returns 0, or -1 with errno; it must be freed then, too. */
int flow_loop_init(struct flow_loop *loop, struct event_base *base, bool has_datagrams);

/* Frees it; all flows must have ended. A zeroed one is allowed. */
void flow_loop_free(struct flow_loop *loop);

/* Sends the replies that came in this turn of the event loop, and frees flows that have ended. Never call it from an event. */
void flow_loop_end_turn(struct flow_loop *loop);

/*
 * Makes an empty set. LOOP, CONFIG and LIMITS must outlive it; the loop may be made later, before the first flow.
 * Returns 0, or -1 with errno; the set must be freed then, too.
 */
int flow_set_init(struct flow_set *set, struct flow_loop *loop, const struct config *config,
	struct limits *limits, struct flow_observer observer);

/* Ends the flow of this id with REASON. False: there is none. */
bool flow_loop_end(struct flow_loop *loop, uint64_t id, enum reason reason);

/* Ends all flows with REASON_SHUTDOWN. */
void flow_set_end_all(struct flow_set *set);

/* Frees what the flows shared; all of them must have ended. The set must have been made, if without success. */
void flow_set_free(struct flow_set *set);

/* Begins a flow in the set of KEY's receiver, which must have none for KEY. NULL: it was refused, which the observer knows. */
struct flow *flow_begin(const struct flow_key *key);

/* Drops a datagram of KEY for REASON, which the observer knows. */
void flow_refuse(const struct flow_key *key, enum reason reason);

/*
 * Whether a datagram for the flow that came by INTERFACE is one that the flow itself has sent, and that was diverted to
 * this process again. The observer knows then.
 */
bool flow_comes_back(struct flow *flow, unsigned interface);

/* The network reported ERROR about replies to the flow's client: the server gets that report, about its own datagram. */
void flow_client_unreachable(const struct flow *flow, int error);

/* Relays datagrams of the flow's client, in the places of its loop's arrivals from FIRST to before END; some may wait. */
void flow_relay(struct flow *flow, unsigned first, unsigned end);

/* Relays what waits; call it before other datagrams get the places. */
void flow_loop_relay(struct flow_loop *loop);

#endif
