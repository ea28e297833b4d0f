/*
 * Waiting: what a session does while its servers are full, and who comes next where a place is given back.
 */
#ifndef PROXY_WAITING_H
#define PROXY_WAITING_H

#include "session.h"

/* One session's wait; kept until the session is freed, since the log line has it. */
struct waiting {
	struct waiter waiter;
	struct session *session;
	const struct server *server; /* the only one that it waits for; NULL: any of its backend */
	uint64_t since, until;       /* as all times of a session; 0: it waits, or could not */
	/* How many were served or left before it, in the queue of a server and of the backend, and itself; HAProxy's srv_queue and backend_queue. */
	unsigned server_place, backend_place;
};

/*
 * The session waits for SERVER, or any server of its backend (NULL), from now on; it has none. Returns REASON_DONE,
 * REASON_QUEUE_FULL where SERVER has its maxqueue of clients that wait, or REASON_MEMORY.
 */
enum reason waiting_begin(struct session *session, const struct server *server);

/* The session, which has waited, waits no more, if it still does: it ends. */
void waiting_leave(struct session *session);

/* Frees what is left of the wait. */
void waiting_free(struct session *session);

/*
 * Of all sessions of LOOP that wait, one that is ready: *REASON is REASON_DONE where it has got a server, which counts as used; else
 * the session must be closed with it. NULL: none is ready. Clears loop->serves before it looks, and sets it where it found one.
 */
struct session *waiting_next(struct session_loop *loop, enum reason *reason);

/*
 * The parts of it. waiting_join() lets it stand in the queue of its server, or of its backend (NULL); waiting_leave_queue() takes it
 * out again, SERVED where it has got a place, and waiting_end() ends the wait as a whole. waiting_comes_later() says whether an older one,
 * of any worker, has to come first; its worker is woken, if there is a place for it.
 */
void waiting_join(struct waiting *waiting);
void waiting_leave_queue(struct waiting *waiting, bool served);
void waiting_end(struct waiting *waiting);
bool waiting_comes_later(struct waiting *waiting);

/* Gives the session's place at SERVER back, and wakes the worker of the one who has waited for it longest. */
void waiting_give_back(struct session *session, const struct server *server);

#endif
