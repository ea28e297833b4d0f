/*
 * Sessions: a client's connection, the server's connection made for it, and what passes between.
 *
 *   ACCEPTED [-> HEADER] [-> WAITING] -> CONNECTING -> RELAYING -> CLOSING -> freed at the end of the loop turn
 *   RELAYING: one side breaks or times out -> DRAINING -> CLOSING(reason)
 *   any other phase: error | that phase's timeout | shutdown -> CLOSING(reason)
 *
 * A session belongs to one set of sessions, a set to one event loop and its thread; nothing here is
 * locked. A loop has a set for each configuration under which sessions are open: after a reload, the
 * older ones go on under the configuration that they began with. The set's observer is notified of every change of state, and reads from the session what
 * it wants to log or count. So this folder needs no logs.
 *
 * Times are milliseconds of the monotonic clock, unless a member says otherwise.
 */
#ifndef TPROXY_SESSION_H
#define TPROXY_SESSION_H

#include "client_header.h"
#include "relay.h"
#include "servers/limits.h"
#include "servers/reason.h"
#include "tproxy/addr.h"
#include "tproxy/config.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <time.h>

enum session_state {
	SESSION_ACCEPTED,   /* the client's connection is here, no server is chosen */
	SESSION_HEADER,     /* `accept-proxy`: waiting for the client's PROXY header */
	SESSION_WAITING,    /* its servers are full: waiting for a place (waiting.h) */
	SESSION_CONNECTING, /* connecting to the server, or waiting for the next attempt */
	SESSION_RELAYING,
	SESSION_DRAINING, /* one side is gone; the other one gets what it sent before */
	SESSION_CLOSING,  /* final; `reason` says why, the descriptors are closed */
	SESSION_STATE_COUNT
};

enum side_name {
	CLIENT,
	SERVER
};

/* One of a session's two connections. */
struct side {
	int fd; /* -1: not open */
	struct addr
		local; /* this host's end, once it was asked for: by the log, or by a list of sessions */
	struct event read, write;
	bool awaited;      /* it is read or written: its timeout runs */
	uint64_t activity; /* when it last sent or took bytes, or when AWAITED last changed */
};

struct session {
	TAILQ_ENTRY(session) link;
	uint64_t id; /* unlike that of any other session of the process */
	struct session_set *set;
	enum session_state state;
	enum reason reason;
	int error;           /* errno behind the reason, or 0 */
	enum side_name gone; /* DRAINING: the side that broke or timed out */
	const struct proxy *frontend, *backend;
	const struct server *server; /* NULL until one is chosen */
	bool admitted;               /* no rule for connections refuses it */
	bool by_rule;                /* `use-server` chose it */
	bool redispatched;           /* it is another one than at first */
	struct waiting *waiting;     /* NULL: it has never waited for a server */
	struct addr client; /* where its connection came from, or what its PROXY header names */
	struct addr destination;      /* what the header names; without one, AF_UNSPEC */
	struct addr server_address;   /* where it connects to, once it does; AF_UNSPEC before */
	struct own_connection *noted; /* of the server's side (own_traffic.h), or NULL */
	struct client_header header;  /* what has come of it; kept until the server has its own */
	struct side sides[2];
	struct direction directions[2]; /* named by their source: [CLIENT] is client to server */
	unsigned greeting;              /* bytes of the header that the server gets */
	unsigned failures;              /* attempts to connect to the server that failed */
	uint64_t
		wait_due; /* HEADER, WAITING, CONNECTING: the end of the wait, attempt or pause; 0: never */
	uint64_t drain_due; /* DRAINING: when to ask again what was delivered; 0: not yet */
	size_t undelivered; /* DRAINING: bytes that the kernel held when it was last asked */
	struct event timer;
	uint64_t timer_due;                   /* 0: not running */
	struct event hangup;                  /* shows the reset of a quiet side (interest.c) */
	struct timespec accepted_at;          /* wall clock */
	uint64_t accepted, connected, closed; /* 0: did not happen */
};

TAILQ_HEAD(session_list, session);

/* What happens between two changes of state, and is counted. */
enum session_attempt {
	SESSION_TRIES,       /* it connects to this server */
	SESSION_TRIES_AGAIN, /* an attempt at this server failed, and the next one is for it, too */
	SESSION_TRIES_ANOTHER, /* the next one is for another server than this */
};

/*
 * CHANGED is called after each change of state, and once with SESSION_ACCEPTED at the beginning; ATTEMPTED, which may be NULL, at
 * each attempt to connect.
 */
struct session_observer {
	void (*changed)(void *arg, const struct session *session, enum session_state from);
	void *arg;
	void (*attempted)(void *arg, const struct session *session, enum session_attempt what,
		const struct server *server);
};

/* What all sets of one event loop share. */
struct session_loop {
	struct event_base *base;
	struct relay_pool pool;
	struct session_list dead; /* closed, not yet freed */
	int spare;                /* a descriptor kept for a server's side; -1: a session uses it */
	struct wakers *wakers;    /* of all loops; this one's number is INDEX, 0 unless it is set */
	unsigned index;
	uint64_t begun;            /* sessions; their ids come from it */
	struct queue_parts queues; /* where its sessions wait for servers */
	bool serves;               /* one of them may be ready: session_loop_serve() looks */
};

/* The sessions of one event loop that began under one configuration. */
struct session_set {
	struct session_loop *loop;
	const struct config *config;
	struct limits *limits;
	struct session_observer observer;
	struct session_list live;
	unsigned count;         /* of the live ones */
	bool notes_own_traffic; /* what it connects to might be diverted to itself */
};

/*
 * BASE and PROCESS must outlive it. Returns 0, or -1 with errno where memory or a descriptor is missing;
 * it must be freed then, too.
 */
int session_loop_init(
	struct session_loop *loop, struct event_base *base, struct process_limits *process);

/* All sets must have been freed before. */
void session_loop_free(struct session_loop *loop);

/*
 * Opens the spare descriptor again where it was used. False where none can be had: a session begun
 * now might find no descriptor for its server's side.
 */
bool session_loop_keep_spare(struct session_loop *loop);

/* Another loop has woken this one: it looks at what they share. */
void session_loop_look(struct session_loop *loop);

/* Gives servers to sessions that wait for them. Call it where loop->serves, after a turn of the event loop, before the next. */
void session_loop_serve(struct session_loop *loop);

/* Frees closed sessions. Call it after each turn of the event loop, never from an event. */
void session_loop_reap(struct session_loop *loop);

/* Makes an empty set. LOOP, CONFIG and LIMITS must outlive it. All its sessions must end before: session_close_all(). */
void session_set_init(struct session_set *set, struct session_loop *loop,
	const struct config *config, struct limits *limits, struct session_observer observer);

/*
 * Begins a session on FD, a connection from CLIENT that was accepted for a BIND of FRONTEND. The
 * caller has taken its place in the limits with limits_enter(). The session owns both from now on,
 * even where it ends at once. False: no memory; the caller then still owns both.
 */
bool session_begin(struct session_set *set, const struct proxy *frontend, const struct bind *bind,
	int fd, const struct addr *client);

/*
 * Ends a session: closes its connections, with a reset unless REASON is REASON_DONE. ERROR is the
 * errno behind it, or 0. Only the first call counts; a session that is draining keeps its reason.
 */
void session_close(struct session *session, enum reason reason, int error);

/* Ends all sessions of a set, with REASON_SHUTDOWN. */
void session_close_all(struct session_set *set);

/* "relaying": the state's name in logs. Static. */
const char *session_state_name(enum session_state state);

#endif
