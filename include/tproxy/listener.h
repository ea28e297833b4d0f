/*
 * Listeners: where clients arrive. Each worker has its own socket for every address.
 *
 * Accepting pauses, and the kernel's backlog holds the clients, while a limit is reached or
 * descriptors are short; it goes on when a session ends, and in any case after a short while, since
 * what was missing may have been held by another worker or by another process.
 */
#ifndef TPROXY_LISTENER_H
#define TPROXY_LISTENER_H

#include "tproxy/config.h"
#include "tproxy/session.h"

#include <event2/event.h>
#include <event2/event_struct.h>

struct listener {
	int fd; /* -1: closed */
	const struct proxy *frontend;
	const struct bind *bind;
	struct listeners *set;
	struct event event;
	bool paused;
	unsigned accepts; /* how many the next turn may accept */
	unsigned drain;   /* how many are still to be accepted before it closes; 0: not draining */
};

/* Called when accepting pauses, with the errno that forced it. 0: a limit was reached. */
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

/* What could not be listened on, and why. */
struct listener_failure {
	const struct proxy *frontend;
	const struct bind *bind;
	int error;
};

/*
 * Binds every address of the configuration without listening yet; with FIRST, for the first worker,
 * an address that another process serves is refused. Returns -1 and fills FAILURE where one fails.
 * Needs no event loop, so that it can happen before privileges are dropped and threads started.
 */
int listeners_bind(struct listeners *set, const struct config *config, bool first,
	struct listener_failure *failure);

/* Starts to accept. Returns -1 and fills FAILURE where an address can't be listened on. */
int listeners_start(struct listeners *set, struct event_base *base, struct session_set *sessions,
	listeners_paused on_pause, void *arg, struct listener_failure *failure);

/* Tries again to accept where it was paused; cheap where nothing was. */
void listeners_resume(struct listeners *set);

/*
 * Begins to close: each listener accepts the clients that are in its queue now, as far as the limits
 * let it, over the next turns of the loop, and closes then. Clients that come later are reset by the
 * kernel.
 */
void listeners_drain(struct listeners *set);

/* Whether any listener is not closed yet. */
bool listeners_are_open(const struct listeners *set);

/* Closes the sockets; the kernel resets the clients that are still in their queues. */
void listeners_close(struct listeners *set);

void listeners_free(struct listeners *set);

#endif
