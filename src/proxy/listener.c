/*
 * Listeners: accept, or pause.
 *
 * A client is accepted only when everything that its session needs is at hand: a place within
 * maxconn, and a descriptor for the server's side. Otherwise it stays in the backlog, and the
 * listener takes its event off the loop: one that stays on would fire without end, since the client
 * that could not be accepted keeps the socket readable.
 *
 * A turn of the loop accepts a bounded number, so that sessions get theirs. It begins with one, as
 * most turns have just one client; a turn that took all it could doubles what the next one may.
 *
 * A socket that is taken over is changed to what its new `bind` line says while it listens; what cannot
 * be changed (address, interface, IPV6_V6ONLY) makes it another listener (counterparts.c).
 *
 * Draining accepts what is in the queue at that moment, turn by turn, and then closes the socket. In
 * a flood the queue never is empty, so its length is asked once and counted down. Threads that share a queue (inherited.h)
 * each count what others may take, so they look again after a while.
 *
 * The trap is accept() failing for the connection itself (it was reset while it waited, say). That
 * is not a reason to pause, and must not end the daemon.
 */
#include "listener.h"

#include "inherited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ACCEPTS_MAX = 64,      /* in one turn of the loop */
	RESUME_MS = 50,        /* how long a pause lasts when no session ends */
	BACKLOG_DEFAULT = 4096 /* the kernel cuts it to net.core.somaxconn */
};

int listener_socket(const struct bind *bind, enum mode mode, bool first)
{
	struct socket_listener place = inherited_place(bind, mode);

	return inherited_has(&place, false) ? inherited_take(&place)
					    : socket_bind_listener(&place, first);
}

size_t listeners_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		if (config->proxies[i].mode == MODE_TCP)
			count += config->proxies[i].bind_count;
	return count;
}

static void list_frontend(struct listeners *set, const struct proxy *frontend,
	const struct counterparts *counterparts)
{
	for (size_t i = 0; i < frontend->bind_count; i++) {
		struct listener *listener = &set->list[set->count];

		*listener = (struct listener){
			.fd = -1,
			.inherits = counterparts == NULL ? COUNTERPART_NONE
							 : counterparts->listeners[set->count],
			.accepts = 1,
			.frontend = frontend,
			.bind = &frontend->binds[i],
			.set = set,
		};
		set->count++;
	}
}

/* One closed listener for each `bind`. */
static int list_listeners(struct listeners *set, const struct config *config,
	const struct counterparts *counterparts, struct listener_failure *failure)
{
	memset(set, 0, sizeof(*set));
	set->list = calloc(listeners_count(config) + 1, sizeof(*set->list));
	if (set->list == NULL) {
		*failure = (struct listener_failure){NULL, NULL, ENOMEM};
		return -1;
	}
	for (size_t i = 0; i < config->proxy_count; i++)
		if (config->proxies[i].mode == MODE_TCP)
			list_frontend(set, &config->proxies[i], counterparts);
	return 0;
}

int listeners_bind_new(struct listeners *set, const struct config *config,
	const struct counterparts *counterparts, bool first, struct listener_failure *failure)
{
	if (list_listeners(set, config, counterparts, failure) == -1)
		return -1;
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];
		bool shares = counterparts != NULL && counterparts->overlaps[i];

		if (listener->inherits != COUNTERPART_NONE)
			continue;
		listener->fd = listener_socket(listener->bind, MODE_TCP, first && !shares);
		if (listener->fd == -1) {
			*failure = (struct listener_failure){
				listener->frontend, listener->bind, errno};
			return -1;
		}
	}
	return 0;
}

int listeners_bind(struct listeners *set, const struct config *config, bool first,
	struct listener_failure *failure)
{
	return listeners_bind_new(set, config, NULL, first, failure);
}

static void resume_later(struct listeners *set)
{
	static const struct timeval after = {.tv_usec = RESUME_MS * 1000};

	if (!evtimer_pending(&set->resume, NULL))
		evtimer_add(&set->resume, &after);
}

static void pause_listener(struct listener *listener, int error)
{
	struct listeners *set = listener->set;

	if (listener->paused)
		return;
	listener->paused = true;
	set->paused_count++;
	event_del(&listener->event);
	resume_later(set);
	set->on_pause(set->arg, listener, error);
}

/* What an errno of accept() is about (accept(2)). Unknown errors pause, so that the loop does not spin. */
enum trouble {
	QUEUE_EMPTY,
	THIS_CLIENT,
	THIS_HOST
};

static enum trouble trouble_with_accept(int error)
{
	switch (error) {
	case EAGAIN:
		return QUEUE_EMPTY;
	case EINTR:
	case ECONNABORTED:
	case EPERM:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return THIS_CLIENT;
	default:
		return THIS_HOST;
	}
}

/* Accepts one client, or says why not: 0 or an errno. The place in the limits is taken already. */
static int accept_session(struct listener *listener)
{
	struct session_set *sessions = listener->set->sessions;
	struct addr client;
	int fd = socket_accept(listener->fd, &client);

	if (fd == -1)
		return errno;
	if (listener->early > 0) {
		listener->early--;
		socket_set_options(fd);
	}
	if (session_begin(sessions, listener->frontend, listener->bind, fd, &client))
		return 0;
	socket_reset_on_close(fd);
	close(fd);
	return ENOMEM;
}

/* False when no client is left to accept, or accepting is paused. */
static bool accept_one(struct listener *listener)
{
	struct session_set *sessions = listener->set->sessions;
	int error;

	if (!session_loop_keep_spare(sessions->loop)) {
		pause_listener(listener, EMFILE);
		return false;
	}
	if (!limits_enter(sessions->limits, listener->frontend)) {
		pause_listener(listener, 0);
		return false;
	}
	error = accept_session(listener);
	if (error == 0)
		return true;
	limits_leave(sessions->limits, listener->frontend);
	if (trouble_with_accept(error) == THIS_HOST)
		pause_listener(listener, error);
	return trouble_with_accept(error) == THIS_CLIENT;
}

/* Takes the socket of a started listener from it, and returns it; -1: it has none. */
static int listener_release(struct listener *listener)
{
	int fd = listener->fd;

	if (fd == -1)
		return -1;
	event_del(&listener->event);
	listener->fd = -1;
	listener->set->open_count--;
	listener->set->paused_count -= listener->paused;
	listener->paused = false;
	return fd;
}

static void listener_close(struct listener *listener)
{
	int fd = listener_release(listener);

	if (fd != -1)
		close(fd);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	unsigned wanted = listener->accepts, taken = 0;

	(void)fd;
	(void)what;
	if (listener->drain && wanted > listener->drain)
		wanted = listener->drain;
	while (taken < wanted && accept_one(listener))
		taken++;
	if (taken < wanted)
		listener->accepts = 1;
	else if (listener->accepts < ACCEPTS_MAX)
		listener->accepts *= 2;
	if (listener->drain && (taken < wanted || (listener->drain -= taken) == 0))
		listener_close(listener);
}

/* Another thread may have emptied the queue of a listener that drains: then no event comes any more. */
static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listeners *set = arg;

	(void)fd;
	(void)what;
	listeners_resume(set);
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];

		if (listener->drain > 0 && listener->fd != -1)
			on_client(listener->fd, EV_READ, listener);
		if (listener->drain > 0 && listener->fd != -1)
			resume_later(set);
	}
}

static int listener_backlog(const struct listener *listener)
{
	const struct proxy *frontend = listener->frontend;

	if (listener->bind->backlog != 0)
		return (int)listener->bind->backlog;
	if (frontend->backlog != 0)
		return (int)frontend->backlog;
	return frontend->maxconn != 0 ? (int)frontend->maxconn : BACKLOG_DEFAULT;
}

static int listener_listen(const struct listener *listener)
{
	return listen(listener->fd, listener_backlog(listener));
}

/* An inherited socket has listened before this. Its queue is in the order of arrival, for any reader. */
static int listener_begin(struct listener *listener)
{
	listener->early = socket_accept_queue(listener->fd);
	return listener_listen(listener);
}

static void set_up_listeners(struct listeners *set, struct event_base *base,
	struct session_set *sessions, listeners_paused on_pause, void *arg)
{
	set->sessions = sessions;
	set->on_pause = on_pause;
	set->arg = arg;
	evtimer_assign(&set->resume, base, on_resume, set);
}

static int listener_watch(struct listener *listener, struct event_base *base)
{
	event_assign(
		&listener->event, base, listener->fd, EV_READ | EV_PERSIST, on_client, listener);
	return event_add(&listener->event, NULL);
}

int listeners_start(struct listeners *set, struct event_base *base, struct session_set *sessions,
	listeners_paused on_pause, void *arg, struct listener_failure *failure)
{
	set_up_listeners(set, base, sessions, on_pause, arg);
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];

		if (listener_begin(listener) == -1 || listener_watch(listener, base) == -1) {
			*failure = (struct listener_failure){
				listener->frontend, listener->bind, errno};
			return -1;
		}
		set->open_count++;
	}
	return 0;
}

/* --- a reload --- */

int listeners_listen(struct listeners *set, struct listener_failure *failure)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];

		if (listener->fd != -1 && listener_begin(listener) == -1) {
			*failure = (struct listener_failure){
				listener->frontend, listener->bind, errno};
			return -1;
		}
	}
	return 0;
}

/*
 * Neither of these can fail here: the socket has listened before, and a reload for which the capability
 * is missing does not get this far.
 */
static void listener_inherit(struct listener *listener, struct listener *before)
{
	int family = addr_family(&listener->bind->address);

	listener->fd = listener_release(before);
	if (listener->fd == -1)
		return;
	if (listener->bind->transparent && !before->bind->transparent)
		socket_set_transparent(listener->fd, family);
	if (!listener->bind->transparent && before->bind->transparent)
		socket_clear_transparent(listener->fd, family);
	if (listener_backlog(listener) != listener_backlog(before))
		listener_listen(listener);
}

void listeners_take_over(struct listeners *set, struct listeners *before, struct event_base *base,
	struct session_set *sessions, listeners_paused on_pause, void *arg)
{
	set_up_listeners(set, base, sessions, on_pause, arg);
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];

		if (listener->inherits != COUNTERPART_NONE)
			listener_inherit(listener, &before->list[listener->inherits]);
		if (listener->fd == -1)
			continue;
		set->open_count++;
		if (listener_watch(listener, base) == 0)
			continue;
		listener->paused = true;
		set->paused_count++;
		resume_later(set);
	}
}

void listeners_resume(struct listeners *set)
{
	for (size_t i = 0; i < set->count && set->paused_count > 0; i++) {
		struct listener *listener = &set->list[i];

		if (!listener->paused)
			continue;
		if (event_add(&listener->event, NULL) == -1) {
			resume_later(set);
			return;
		}
		listener->paused = false;
		set->paused_count--;
	}
}

void listeners_drain(struct listeners *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];

		if (listener->fd != -1)
			listener->drain = socket_accept_queue(listener->fd);
		if (listener->drain == 0)
			listener_close(listener);
		else
			resume_later(set);
	}
	listeners_resume(set);
}

void listeners_close(struct listeners *set)
{
	for (size_t i = 0; i < set->count; i++)
		listener_close(&set->list[i]);
	evtimer_del(&set->resume);
}

bool listeners_are_open(const struct listeners *set)
{
	return set->open_count > 0;
}

void listeners_free(struct listeners *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct listener *listener = &set->list[i];

		if (listener->fd == -1)
			continue;
		if (event_initialized(&listener->event)) /* started, before one that could not be */
			event_del(&listener->event);
		close(listener->fd);
	}
	free(set->list);
	memset(set, 0, sizeof(*set));
}
