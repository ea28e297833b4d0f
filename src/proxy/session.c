/*
 * One session, from accept to close.
 *
 * Every event has the same two steps: the state or a direction changes, and then interest in events
 * and the time at which waiting ends are computed from it (interest.c). set_state() is the only
 * function that changes the state; session_close() is the only way out.
 *
 * What a side sent before it broke or timed out is not lost: DRAINING delivers it to the other side,
 * and only then resets that one. The kernel has no event for "everything was acknowledged", so a
 * timer asks.
 *
 * The traps: a timer and data can be due in the same turn of the loop, so an expired timer looks for
 * data before it closes. A write that fails with ECONNRESET clears the socket's error: the next read
 * returns 0, as after an orderly end, so the side that is gone is remembered. And an event of a
 * closed session may be queued already, so memory is freed after the turn (session_loop_reap()).
 */
#include "session.h"

#include "destination.h"
#include "interest.h"
#include "routing.h"
#include "server_header.h"
#include "servers/own_traffic.h"
#include "servers/session_id.h"
#include "servers/upstream.h"
#include "session_set.h"
#include "tproxy/socket.h"
#include "waiting.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	RETRY_PAUSE = 1000, /* ms; as HAProxy, unless `timeout connect` is shorter */
	DRAIN_PAUSE = 20,   /* ms between two questions whether everything was delivered */
	SERVED_MAX = 64     /* sessions that get a server after one turn of the loop */
};

static void connect_to_server(struct session *session);
static void read_header(struct session *session);

static void set_state(struct session *session, enum session_state state)
{
	struct session_observer *observer = &session->set->observer;
	enum session_state from = session->state;

	session->state = state;
	observer->changed(observer->arg, session, from);
}

static void note_attempt(
	struct session *session, enum session_attempt what, const struct server *server)
{
	struct session_observer *observer = &session->set->observer;

	if (observer->attempted != NULL)
		observer->attempted(observer->arg, session, what, server);
}

static void update_interest(struct session *session)
{
	if (session->state != SESSION_CLOSING && !interest_update(session))
		session_close(session, REASON_MEMORY, errno);
}

/* --- the end of a side --- */

/* Bytes that the kernel still holds for a side were written, but not delivered: a reset drops them. */
static void close_side(struct session *session, enum side_name name, bool reset)
{
	struct side *side = &session->sides[name];
	struct direction *towards = &session->directions[side_other(name)];

	if (side->fd == -1)
		return;
	if (config_logs_sockets(session->frontend))
		socket_local_address(side->fd, &side->local);
	event_del(&session->hangup);
	event_del(&side->read);
	event_del(&side->write);
	if (reset) {
		size_t undelivered = socket_undelivered(side->fd);

		if (undelivered > 0 && towards->shut_out) /* the end itself */
			undelivered--;
		towards->bytes -= undelivered < towards->bytes ? undelivered : towards->bytes;
		socket_reset_on_close(side->fd);
	}
	close(side->fd);
	side->fd = -1;
	if (name == SERVER) {
		own_traffic_forget(session->noted);
		session->noted = NULL;
	}
}

/* Delivers what the side that is gone sent before. The other side is reset when it has all of that. */
static void drain_gone_side(struct session *session)
{
	enum side_name gone = session->gone;
	struct side *to = &session->sides[side_other(gone)];
	struct direction *direction = &session->directions[gone];
	enum relay_result result =
		relay_move(direction, session->sides[gone].fd, to->fd, &session->set->loop->pool);
	size_t undelivered;

	if (direction->eof_in)
		close_side(session, gone, true);
	if (direction->moved_out)
		to->activity = session_now();
	if (result == RELAY_OK || result == RELAY_SOURCE_FAILED) {
		if (!direction_has_ended(direction))
			return;
		undelivered = socket_has_failed(to->fd) ? 0 : socket_undelivered(to->fd);
		if (undelivered > 0) {
			if (undelivered != session->undelivered)
				to->activity = session_now();
			session->undelivered = undelivered;
			session->drain_due = session_now() + DRAIN_PAUSE;
			return;
		}
	}
	session_close(session, session->reason, session->error);
}

/* A side broke or timed out: nothing is delivered to it any more. */
static void side_failed(struct session *session, enum side_name side, enum reason reason, int error)
{
	struct direction *from = &session->directions[side];
	struct direction *towards = &session->directions[side_other(side)];
	bool broke = reason == REASON_CLIENT_RESET || reason == REASON_SERVER_RESET;

	session->reason = reason;
	session->error = error;
	session->gone = side;
	direction_cut(towards);
	direction_clear(towards, &session->set->loop->pool);
	if (broke)
		from->cut_short |= !from->eof_in; /* what arrived before the reset is still read */
	else
		direction_cut(from);
	set_state(session, SESSION_DRAINING);
	drain_gone_side(session);
}

static void side_broke(struct session *session, enum side_name side, int error)
{
	side_failed(
		session, side, side == CLIENT ? REASON_CLIENT_RESET : REASON_SERVER_RESET, error);
}

static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;
	enum side_name side = fd == session->sides[CLIENT].fd ? CLIENT : SERVER;

	(void)what;
	if (!socket_has_failed(fd)) {
		if (session->state == SESSION_WAITING && socket_has_nothing_more(fd))
			session_close(session, REASON_CLIENT_LEFT, 0);
		return;
	}
	if (session->state == SESSION_RELAYING)
		side_broke(session, side, socket_take_error(fd));
	else if (session->state == SESSION_CONNECTING || session->state == SESSION_WAITING)
		session_close(session, REASON_CLIENT_RESET, socket_take_error(fd));
	update_interest(session);
}

/* --- relaying --- */

/* The last end needs no shutdown(): close() sends it, since both sides were read to their ends. */
static void pass_end(struct session *session, enum side_name source)
{
	struct direction *direction = &session->directions[source];

	if (!direction_has_ended(direction) || direction->shut_out)
		return;
	direction->shut_out = true;
	if (session->directions[side_other(source)].shut_out)
		session_close(session, REASON_DONE, 0);
	else if (shutdown(session->sides[side_other(source)].fd, SHUT_WR) == -1)
		side_broke(session, side_other(source), errno);
}

static void relay_from(struct session *session, enum side_name source)
{
	struct direction *direction = &session->directions[source];
	struct side *from = &session->sides[source], *to = &session->sides[side_other(source)];
	enum relay_result result =
		relay_move(direction, from->fd, to->fd, &session->set->loop->pool);

	if (direction->moved_in)
		from->activity = session_now();
	if (direction->moved_out)
		to->activity = session_now();
	if (result == RELAY_SOURCE_FAILED)
		side_broke(session, source, errno);
	else if (result == RELAY_DESTINATION_FAILED)
		side_broke(session, side_other(source), errno);
	else if (result == RELAY_NO_MEMORY)
		session_close(session, REASON_MEMORY, ENOMEM);
	else
		pass_end(session, source);
}

/* --- connecting --- */

static void connect_failed(struct session *session, enum reason reason, int error)
{
	const struct server *left;
	unsigned timeout = session->backend->timeouts[TIMEOUT_CONNECT];
	unsigned pause = timeout != 0 && timeout < RETRY_PAUSE ? timeout : RETRY_PAUSE;

	session->failures++;
	if (session->server->check.observes && reason_is_retried(reason))
		limits_observe(session->set->limits, session->server, false);
	if (!reason_is_retried(reason) || session->failures > session->backend->retries) {
		session_close(session, reason, error);
		return;
	}
	close_side(session, SERVER, false);
	left = routing_redispatch(session);
	note_attempt(session, left != NULL ? SESSION_TRIES_ANOTHER : SESSION_TRIES_AGAIN,
		left != NULL ? left : session->server);
	if (left != NULL)
		waiting_give_back(session, left);
	if (left != NULL || reason == REASON_CONNECT_TIMEOUT)
		connect_to_server(session);
	else
		session->wait_due = session_now() + pause;
}

/*
 * While connecting, the server's write event asks for reading, too: so the change to reading alone
 * costs one epoll_ctl(), not two.
 */
static bool watch_connected(struct side *server)
{
	return interest_watch(&server->read, true) && interest_watch(&server->write, false) &&
	       event_assign(&server->write, event_get_base(&server->write), server->fd,
		       EV_WRITE | EV_PERSIST, event_get_callback(&server->write),
		       event_get_callback_arg(&server->write)) == 0;
}

/*
 * Puts the PROXY header in front of the client's bytes, if the server expects one. The client's own is not needed any
 * more then. False: no memory.
 */
static bool send_header(struct session *session)
{
	char header[SERVER_HEADER_MAX];
	bool sends = session->server->send_proxy != PROXY_HEADER_NONE;

	if (sends)
		session->greeting = (unsigned)server_header_write(session, header);
	client_header_clear(&session->header);
	return !sends || (session->greeting > 0 && direction_hold(&session->directions[CLIENT],
							   header, session->greeting));
}

static void connect_finished(struct session *session)
{
	int error = socket_take_error(session->sides[SERVER].fd);

	if (error != 0) {
		connect_failed(
			session, upstream_connect_reason(&session->server->source, error), error);
		return;
	}
	session->connected = session_now();
	if (session->server->check.observes)
		limits_observe(session->set->limits, session->server, true);
	set_state(session, SESSION_RELAYING);
	if (send_header(session) && watch_connected(&session->sides[SERVER]))
		relay_from(session, CLIENT);
	else
		session_close(session, REASON_MEMORY, errno);
}

/* The source can be read, or the other side can be written. */
static void on_side_ready(struct session *session, enum side_name source)
{
	if (session->state == SESSION_HEADER)
		read_header(session);
	else if (session->state == SESSION_CONNECTING)
		connect_finished(session);
	else if (session->state == SESSION_RELAYING)
		relay_from(session, source);
	else if (session->state == SESSION_DRAINING)
		drain_gone_side(session);
	update_interest(session);
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_side_ready(arg, CLIENT);
}

static void on_response(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_side_ready(arg, SERVER);
}

static void side_open(struct session *session, enum side_name name, int fd)
{
	struct side *side = &session->sides[name];
	event_callback_fn readable = name == CLIENT ? on_request : on_response;
	event_callback_fn writable = name == CLIENT ? on_response : on_request;
	unsigned keep_alive = name == CLIENT ? session->frontend->options & OPTION_CLITCPKA
					     : session->backend->options & OPTION_SRVTCPKA;
	short connecting = name == SERVER ? EV_READ : 0;

	side->fd = fd;
	side->local = (struct addr){0};
	side->activity = session_now();
	event_assign(
		&side->read, session->set->loop->base, fd, EV_READ | EV_PERSIST, readable, session);
	event_assign(&side->write, session->set->loop->base, fd, EV_WRITE | EV_PERSIST | connecting,
		writable, session);
	if (keep_alive)
		socket_keep_alive(fd);
}

static void connect_to_server(struct session *session)
{
	unsigned timeout = session->backend->timeouts[TIMEOUT_CONNECT];
	struct upstream_failure failure;
	enum reason reason;
	int fd, error;

	reason = destination_choose(session, &session->server_address, &error);
	if (reason != REASON_DONE) {
		session_close(session, reason, error);
		return;
	}
	if (!destination_allows_source(session)) {
		session_close(session, REASON_HEADER_ADDRESS, 0);
		return;
	}
	fd = session_set_open_upstream(session, &failure);
	if (fd == -1) {
		connect_failed(session, failure.reason, failure.error);
		return;
	}
	note_attempt(session, SESSION_TRIES, session->server);
	session->wait_due = timeout == 0 ? 0 : session_now() + timeout;
	side_open(session, SERVER, fd);
}

static enum relay_path choose_path(const struct session *session, enum proxy_option always)
{
	if (session->set->config->global.nosplice)
		return RELAY_COPY;
	if ((session->frontend->options | session->backend->options) & always)
		return RELAY_SPLICE;
	return RELAY_AUTO;
}

/* --- choosing a server, or waiting for one --- */

static void go_to_server(struct session *session)
{
	session->directions[CLIENT].path = choose_path(session, OPTION_SPLICE_REQUEST);
	session->directions[SERVER].path = choose_path(session, OPTION_SPLICE_RESPONSE);
	set_state(session, SESSION_CONNECTING);
	connect_to_server(session);
}

static void wait_for_server(struct session *session)
{
	const unsigned *timeouts = session->backend->timeouts;
	unsigned timeout =
		timeouts[TIMEOUT_QUEUE] != 0 ? timeouts[TIMEOUT_QUEUE] : timeouts[TIMEOUT_CONNECT];

	session->wait_due = timeout == 0 ? 0 : session_now() + timeout;
	set_state(session, SESSION_WAITING);
}

static void choose_server(struct session *session)
{
	const struct server *wanted;
	enum reason reason = routing_choose(session, &wanted);
	bool waits = reason == REASON_SERVERS_FULL;

	if (waits)
		reason = waiting_begin(session, wanted);
	if (reason != REASON_DONE)
		session_close(session, reason, 0);
	else if (waits)
		wait_for_server(session);
	else
		go_to_server(session);
}

void session_loop_serve(struct session_loop *loop)
{
	for (unsigned i = 0; loop->serves && i < SERVED_MAX; i++) {
		enum reason reason;
		struct session *session = waiting_next(loop, &reason);

		if (session == NULL)
			continue;
		if (reason == REASON_DONE)
			go_to_server(session);
		else
			session_close(session, reason, 0);
		update_interest(session);
	}
	if (loop->serves) /* after the next turn */
		wakers_wake(loop->wakers, loop->index);
}

/* --- the client's header --- */

static void read_header(struct session *session)
{
	struct proxy_header found;
	enum reason reason;
	int error;

	switch (client_header_read(
		&session->header, session->sides[CLIENT].fd, &found, &reason, &error)) {
	case CLIENT_HEADER_PARTIAL:
		return;
	case CLIENT_HEADER_FAILED:
		session_close(session, reason, error);
		return;
	case CLIENT_HEADER_WHOLE:
		break;
	}
	if (found.authority.length == 0 && found.unique_id.length == 0)
		client_header_clear(&session->header);
	if (addr_family(&found.source) != AF_UNSPEC) {
		session->client = found.source;
		session->destination = found.destination;
	}
	choose_server(session);
}

/* The whole header has to come within `timeout client`, however it comes. */
static void await_header(struct session *session)
{
	unsigned timeout = session->frontend->timeouts[TIMEOUT_CLIENT];

	session->wait_due = timeout == 0 ? 0 : session_now() + timeout;
	set_state(session, SESSION_HEADER);
	read_header(session);
}

/* --- time --- */

static void header_expired(struct session *session)
{
	if (session->wait_due == 0 || session->wait_due > session_now())
		return;
	read_header(session);
	if (session->state == SESSION_HEADER)
		session_close(session, REASON_HEADER_TIMEOUT, 0);
}

static void wait_expired(struct session *session)
{
	if (session->wait_due != 0 && session->wait_due <= session_now())
		session_close(session, REASON_QUEUE_TIMEOUT, 0);
}

static void connect_expired(struct session *session)
{
	struct pollfd answer = {.fd = session->sides[SERVER].fd, .events = POLLOUT};

	if (session->wait_due == 0 || session->wait_due > session_now())
		return;
	if (session->sides[SERVER].fd == -1)
		connect_to_server(session);
	else if (poll(&answer, 1, 0) == 1)
		connect_finished(session);
	else
		connect_failed(session, REASON_CONNECT_TIMEOUT, 0);
}

static void relay_expired(struct session *session)
{
	enum side_name side;

	if (!interest_expired(session, &side))
		return;
	relay_from(session, CLIENT);
	if (session->state == SESSION_RELAYING)
		relay_from(session, SERVER);
	if (session->state == SESSION_RELAYING && interest_expired(session, &side))
		side_failed(session, side,
			side == CLIENT ? REASON_CLIENT_TIMEOUT : REASON_SERVER_TIMEOUT, 0);
}

static void drain_expired(struct session *session)
{
	enum side_name side;

	if (interest_expired(session, &side))
		session_close(session, session->reason, session->error);
	else
		drain_gone_side(session);
}

static void on_session_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd;
	(void)what;
	session->timer_due = 0;
	if (session->state == SESSION_HEADER)
		header_expired(session);
	else if (session->state == SESSION_WAITING)
		wait_expired(session);
	else if (session->state == SESSION_CONNECTING)
		connect_expired(session);
	else if (session->state == SESSION_RELAYING)
		relay_expired(session);
	else if (session->state == SESSION_DRAINING)
		drain_expired(session);
	update_interest(session);
}

/* --- beginning and end --- */

bool session_begin(struct session_set *set, const struct proxy *frontend, const struct bind *bind,
	int fd, const struct addr *client)
{
	struct session *session = calloc(1, sizeof(*session));
	bool header = bind->accept_proxy;

	if (session == NULL)
		return false;
	session->set = set;
	session->id = session_id(set->loop->index, false, ++set->loop->begun);
	session->frontend = frontend;
	session->client = *client;
	session->accepted = session_now();
	clock_gettime(CLOCK_REALTIME, &session->accepted_at);
	session->sides[SERVER].fd = -1;
	side_open(session, CLIENT, fd);
	event_assign(&session->hangup, set->loop->base, fd, EV_READ | EV_ET, on_hangup, session);
	evtimer_assign(&session->timer, set->loop->base, on_session_timer, session);
	session_set_insert(session);
	set_state(session, SESSION_ACCEPTED);
	session->admitted = routing_admits(session, &header);
	if (destination_is_own_traffic(session, bind))
		session_close(session, REASON_DIVERTED_AGAIN, 0);
	else if (!session->admitted)
		session_close(session, REASON_REJECTED, 0);
	else if (header)
		await_header(session);
	else
		choose_server(session);
	update_interest(session);
	return true;
}

void session_close(struct session *session, enum reason reason, int error)
{
	if (session->state == SESSION_CLOSING)
		return;
	if (session->state != SESSION_DRAINING) { /* which began with its reason */
		session->reason = reason;
		session->error = error;
	}
	session->closed = session_now();
	event_del(&session->timer);
	close_side(session, CLIENT, session->reason != REASON_DONE);
	close_side(session, SERVER, session->reason != REASON_DONE);
	client_header_clear(&session->header);
	session_set_remove(session);
	set_state(session, SESSION_CLOSING);
}

void session_close_all(struct session_set *set)
{
	while (!TAILQ_EMPTY(&set->live))
		session_close(TAILQ_FIRST(&set->live), REASON_SHUTDOWN, 0);
}
