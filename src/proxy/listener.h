/*
 * Listeners: where clients arrive. Each worker has its own socket for every address.
 *
 * Accepting pauses, and the kernel's backlog holds the clients, while a limit is reached or
 * descriptors are short; it goes on when a session ends, and in any case after a short while, since
 * what was missing may have been held by another worker or by another process.
 *
 * A reload makes a new set of listeners. It takes over the sockets, with the clients that wait at them,
 * of those that listen where a listener before did; only the others are bound anew.
 */
#ifndef TPROXY_LISTENER_H
#define TPROXY_LISTENER_H

#include "session.h"
#include "tproxy/config.h"

#include <event2/event.h>
#include <event2/event_struct.h>

struct listener {
	int fd;          /* -1: closed, or not yet taken over */
	size_t inherits; /* which listener of the set before has its socket; COUNTERPART_NONE: none */
	const struct proxy *frontend;
	const struct bind *bind;
	struct listeners *set;
	struct event event;
	bool paused;
	unsigned accepts; /* how many the next turn may accept */
	unsigned early;   /* how many of the next ones may have come before its options were set */
	unsigned drain;   /* how many are still to be accepted before it closes; 0: not draining */
};

/*
 * Reports that a listener stopped accepting for a while. ERROR is the errno that forced it, 0 where a
 * limit was reached. ARG is what listeners_start() was given.
 */
typedef void (*listeners_paused)(void *arg, const struct listener *listener, int error);

/* The listeners of one worker. */
struct listeners {
	struct listener *list;
	size_t count;
	size_t open_count, paused_count;
	struct session_set *sessions;
	struct event resume;
	listeners_paused on_pause;
	void *arg;
};

/* What could not be listened on, and why. BIND is NULL where the failure is not that of an address. */
struct listener_failure {
	const struct proxy *frontend;
	const struct bind *bind;
	int error; /* errno */
};

/*
 * As socket_bind_listener(), of what a `bind` line says; for datagrams with MODE_UDP. Where the process was started with
 * that socket, as inherited_take(). The caller owns the socket.
 */
int listener_socket(const struct bind *bind, enum mode mode, bool first);

/* How many addresses the configuration listens on; each worker has a socket for each of them. */
size_t listeners_count(const struct config *config);

/*
 * Binds every address of CONFIG, which must outlive SET, without listening yet. FIRST is for the
 * first worker: an address that another process serves is refused. Returns 0, or -1 and fills
 * FAILURE; SET must then be freed as after success. Needs no event loop, so that it can happen before
 * privileges are dropped and threads are started.
 */
int listeners_bind(struct listeners *set, const struct config *config, bool first,
	struct listener_failure *failure);

/*
 * The same for a CONFIG that follows another one: binds what has no counterpart there. An address that
 * overlaps one of the configuration before (a wildcard, say) is shared with that listener for the moment.
 */
int listeners_bind_new(struct listeners *set, const struct config *config,
	const struct counterparts *counterparts, bool first, struct listener_failure *failure);

/*
 * Lets every bound socket listen: clients wait in its queue from now on. Returns 0, or -1 and fills
 * FAILURE.
 */
int listeners_listen(struct listeners *set, struct listener_failure *failure);

/*
 * Starts to accept; clients become sessions of SESSIONS. ON_PAUSE is called with ARG from the loop's
 * thread. BASE and SESSIONS must outlive SET. Returns 0, or -1 and fills FAILURE where an address
 * cannot be listened on; the listeners before it are then open.
 */
int listeners_start(struct listeners *set, struct event_base *base, struct session_set *sessions,
	listeners_paused on_pause, void *arg, struct listener_failure *failure);

/*
 * Starts to accept in place of BEFORE, in the thread of its loop: SET takes over the sockets that it
 * inherits, and BEFORE no longer has them. What listeners_bind_new() has bound must listen already. A
 * listener that the event loop cannot watch now is tried again. The other arguments are as above.
 */
void listeners_take_over(struct listeners *set, struct listeners *before, struct event_base *base,
	struct session_set *sessions, listeners_paused on_pause, void *arg);

/*
 * Accepts again where it was paused; costs nothing where it was not. A listener that the event loop
 * cannot watch now stays paused, and is tried again.
 */
void listeners_resume(struct listeners *set);

/*
 * Begins to close: each listener accepts the clients that are in its queue now, as far as the limits
 * let it, over the next turns of the loop, and closes then. Clients that come later are reset by the
 * kernel.
 */
void listeners_drain(struct listeners *set);

/* Whether any listener is not closed yet. */
bool listeners_are_open(const struct listeners *set);

/*
 * Closes the sockets of started listeners; the kernel resets the clients that are still in their
 * queues. May be called again.
 */
void listeners_close(struct listeners *set);

/*
 * Frees SET, and closes the sockets that are still open, started or not. The event loop that they were
 * started on must still be there. A zeroed set is allowed.
 */
void listeners_free(struct listeners *set);

#endif
