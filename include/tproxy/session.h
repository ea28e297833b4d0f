/*
 * Sessions: a client's connection, the server's connection made for it, and what passes between.
 *
 *   ACCEPTED -> CONNECTING -> RELAYING -> CLOSING -> freed at the end of the loop turn
 *   RELAYING: one side breaks or times out -> DRAINING -> CLOSING(reason)
 *   any other phase: error | that phase's timeout | shutdown -> CLOSING(reason)
 *
 * A session belongs to one set of sessions, a set to one event loop and its thread; nothing here is
 * locked. The set's observer is notified of every change of state and reads from the session what it
 * wants to log or count; that is how this folder does without knowing about logs.
 *
 * Times are milliseconds of the monotonic clock, save where a member says otherwise.
 */
#ifndef TPROXY_SESSION_H
#define TPROXY_SESSION_H

#include "tproxy/addr.h"
#include "tproxy/config.h"
#include "tproxy/limits.h"
#include "tproxy/reason.h"
#include "tproxy/relay.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <time.h>

enum session_state {
	SESSION_ACCEPTED,   /* the client's connection is here, no server is chosen */
	SESSION_CONNECTING, /* a connection to the server is under way, or waits for its next
			       attempt */
	SESSION_RELAYING,
	SESSION_DRAINING, /* one side is gone; what it sent before is delivered to the other */
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
	struct event read, write;
	bool awaited;      /* the side is to send or to take something: its timeout runs */
	uint64_t activity; /* when it last did, or when waiting for it began or ended */
};

struct session {
	TAILQ_ENTRY(session) link;
	struct session_set *set;
	enum session_state state, closed_in; /* closed_in: the state before CLOSING */
	enum reason reason;
	int error;           /* errno behind the reason, or 0 */
	enum side_name gone; /* DRAINING: the side that broke or timed out */
	const struct proxy *frontend, *backend;
	const struct server *server; /* NULL until one is chosen */
	struct addr client;          /* where the client's connection came from */
	struct side sides[2];
	struct direction directions[2]; /* named by their source: [CLIENT] is client to server */
	unsigned failures;              /* attempts to connect to the server that failed */
	uint64_t connect_due; /* CONNECTING: when this attempt, or the pause before it, ends; 0:
				 never */
	uint64_t drain_due;   /* DRAINING: when to ask again what was delivered; 0: not waiting */
	size_t undelivered;   /* DRAINING: bytes that the kernel held when it was last asked */
	struct event timer;
	uint64_t timer_due;                   /* 0: not running */
	struct event hangup;                  /* see session.c */
	struct timespec accepted_at;          /* wall clock */
	uint64_t accepted, connected, closed; /* 0: did not happen */
};

TAILQ_HEAD(session_list, session);

struct session_observer {
	void (*changed)(void *arg, const struct session *session, enum session_state from);
	void *arg;
};

/* All sessions of one event loop, and what they share. */
struct session_set {
	struct event_base *base;
	const struct config *config;
	struct limits *limits;
	struct session_observer observer;
	struct relay_pool pool;
	struct session_list live, dead;
	unsigned count;        /* of the live ones */
	unsigned *next_server; /* round robin, by proxy->index */
	int spare;             /* a descriptor kept for the server's side; -1: it is in use */
};

/*
 * SEED makes the workers' round robins start at different servers. Returns -1 where memory or a
 * descriptor is missing. The base, configuration and limits must outlive the set.
 */
int session_set_init(struct session_set *set, struct event_base *base, const struct config *config,
	struct limits *limits, struct session_observer observer, unsigned seed);

/* Frees what the sessions shared. All of them must have been closed: session_close_all(). */
void session_set_free(struct session_set *set);

/* Whether a session begun now is sure to get a descriptor for its server's side. */
bool session_set_have_room(struct session_set *set);

/* Frees what was closed; call it after each turn of the event loop, never from within. */
void session_set_reap(struct session_set *set);

/*
 * Begins a session on an accepted connection. The place in the limits must have been taken with
 * limits_enter(). The session takes over both; only where memory is missing it takes neither, and
 * false is returned.
 */
bool session_begin(
	struct session_set *set, const struct proxy *frontend, int fd, const struct addr *client);

/* Ends a session. Any number of calls is as good as one; the first reason counts. */
void session_close(struct session *session, enum reason reason, int error);

/* Ends all sessions of a set, with REASON_SHUTDOWN. */
void session_close_all(struct session_set *set);

const char *session_state_name(enum session_state state);

#endif
