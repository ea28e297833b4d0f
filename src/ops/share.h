/*
 * Shares: what one worker has of a generation, its listeners and the sessions that began at them, and the
 * same for datagrams: receivers and flows.
 *
 * The current share accepts clients. A reload puts another one in its place; the one before then drains:
 * it closes the listeners that were not taken over, and is freed when its last session and flow end.
 */
#ifndef TPROXY_OPS_SHARE_H
#define TPROXY_OPS_SHARE_H

#include "generation.h"
#include "proxy/counters.h"
#include "proxy/listener.h"
#include "proxy/session.h"
#include "stats/view.h"
#include "udp/flow.h"

#include <time.h>

struct share;

TAILQ_HEAD(share_list, share);

/* All shares of a worker, and what they have in common; its thread's alone. */
struct shares {
	struct event_base *base;
	int reports; /* an eventfd, of the daemon: 1 is added when a generation has no user */
	struct session_loop loop;   /* filled before the first share starts */
	struct flow_loop flow_loop; /* the same */
	struct counters counters;
	struct share *current;      /* NULL before the first one starts */
	struct share_list draining; /* the older ones */
	bool drains;                /* the current one does, too */
	bool sweeps;                /* one of those may be done */
	unsigned ends;              /* the last of limits_ends() that it has seen */
	time_t pause_line_due; /* monotonic seconds: no line about a lack of resources before */
};

/*
 * Makes a share of GENERATION and binds what has no counterpart in the generation before. FIRST is for the
 * first worker: an address that another process serves is refused. SHARES must outlive it. Returns NULL and
 * fills FAILURE where an address cannot be bound, or (BIND is NULL) a resource is missing. The main thread
 * may call it while the worker runs, share_listen() and share_free(), too.
 */
struct share *share_new(struct shares *shares, struct generation *generation, bool first,
	struct listener_failure *failure);

/*
 * Gives its sockets to the owner that the generation names. Sockets of one user only may share an address
 * (SO_REUSEPORT, socket(7)), so what root has bound gets the owner of what a reload will bind, or else no wildcard
 * could replace an address. Call it when the sockets of all workers are bound, for the same reason.
 */
void share_give_sockets(const struct share *share);

/* Lets its new sockets listen. Returns 0, or -1 and fills FAILURE. */
int share_listen(struct share *share, struct listener_failure *failure);

/* Puts a worker's first share in force: listens, and accepts. Returns 0, or -1 and fills FAILURE. */
int share_start(struct share *share, struct listener_failure *failure);

/* Puts a share, which listens, in force in place of the current one, which then drains. */
void share_take_over(struct share *share);

/* Frees one that was never in force; NULL is allowed. */
void share_free(struct share *share);

struct log *share_log(const struct share *share);
bool share_has_datagrams(const struct share *share);
struct process_limits *share_process_limits(const struct share *share);

/* Frees the shares that are done, and what ended in them. Call it after each turn of the event loop. */
void shares_sweep(struct shares *shares);

/*
 * Another thread has something new to say: of servers, whose sessions are to end or may have a place, or of generations; the next
 * sweep looks at all of those.
 */
void shares_look(struct shares *shares);

/* Answers a question of the main thread, but for saying so. */
void shares_answer(struct shares *shares, struct session_query *query);

/* Each listener accepts the clients in its queue, and closes then; no flow begins any more. */
void shares_drain(struct shares *shares);

/* Closes all listeners and receivers, resets all sessions, and ends all flows. */
void shares_close(struct shares *shares);

/* Sessions and flows of all shares. */
unsigned shares_sessions(const struct shares *shares);

/* Whether a listener, a receiver, a session or a flow is open. */
bool shares_are_busy(const struct shares *shares);

/* Closes and frees all of them. */
void shares_free(struct shares *shares);

#endif
