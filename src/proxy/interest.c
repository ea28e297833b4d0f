/*
 * Which events a session waits for, and until when: functions of its state and its directions.
 *
 * A side's timeout runs while the session waits for that side: to send, or to take what is held for
 * it. A client that is not read because the server is slow does not time out.
 *
 * A side that is neither read nor written (a client that has finished, or whose server is slow) has
 * no event that would show its reset. After HANGUP_AFTER the hangup event watches it. That event is
 * edge-triggered, so that data which is not read yet wakes the loop only once. A client that waits for a server is watched at
 * once, as it may be long.
 *
 * The trap: libevent cannot have edge-triggered and ordinary events on one descriptor. So the hangup
 * event is removed before the others are added, and added after they are removed.
 */
#include "interest.h"

#include "session_set.h"

enum {
	HANGUP_AFTER = 20 /* ms that a side is quiet before it is watched; most never need it */
};

static bool is_relaying(const struct session *session)
{
	return session->state == SESSION_RELAYING || session->state == SESSION_DRAINING;
}

static bool side_wants_read(const struct session *session, enum side_name side)
{
	if (session->state == SESSION_HEADER)
		return side == CLIENT;
	return is_relaying(session) && direction_wants_read(&session->directions[side]);
}

static bool side_wants_write(const struct session *session, enum side_name side)
{
	if (session->state == SESSION_CONNECTING)
		return side == SERVER;
	return is_relaying(session) &&
	       direction_wants_write(&session->directions[side_other(side)]);
}

bool interest_watch(struct event *event, bool wanted)
{
	bool pending = event_pending(event, EV_READ | EV_WRITE, NULL);

	if (wanted && !pending)
		return event_add(event, NULL) == 0;
	if (!wanted && pending)
		return event_del(event) == 0;
	return true;
}

static unsigned side_timeout(const struct session *session, enum side_name side)
{
	const unsigned *timeouts =
		side == CLIENT ? session->frontend->timeouts : session->backend->timeouts;
	unsigned fin = timeouts[side == CLIENT ? TIMEOUT_CLIENT_FIN : TIMEOUT_SERVER_FIN];
	bool ending = session->directions[CLIENT].eof_in || session->directions[SERVER].eof_in;

	if (ending && fin != 0)
		return fin;
	if (session->backend->timeouts[TIMEOUT_TUNNEL] != 0)
		return session->backend->timeouts[TIMEOUT_TUNNEL];
	return timeouts[side == CLIENT ? TIMEOUT_CLIENT : TIMEOUT_SERVER];
}

/* When this side times out; 0: never. */
static uint64_t side_due(const struct session *session, enum side_name side)
{
	unsigned timeout = side_timeout(session, side);

	if (!session->sides[side].awaited || timeout == 0)
		return 0;
	return session->sides[side].activity + timeout;
}

/* The earlier of two times, where 0 is never. */
static uint64_t earlier_due(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* The side that is open and neither read nor written, or NULL. There is one at most. */
static struct side *quiet_side(struct session *session)
{
	if (session->state == SESSION_DRAINING)
		return NULL;
	for (int i = 0; i < 2; i++)
		if (session->sides[i].fd != -1 && !session->sides[i].awaited)
			return &session->sides[i];
	return NULL;
}

static uint64_t hangup_due(struct session *session)
{
	const struct side *quiet = quiet_side(session);

	if (quiet == NULL || event_pending(&session->hangup, EV_READ, NULL))
		return 0;
	return quiet->activity + HANGUP_AFTER;
}

static uint64_t session_due(struct session *session)
{
	uint64_t sides;

	if (session->state == SESSION_HEADER || session->state == SESSION_WAITING ||
		session->state == SESSION_CONNECTING)
		return earlier_due(session->wait_due, hangup_due(session));
	sides = earlier_due(side_due(session, CLIENT), side_due(session, SERVER));
	if (session->state == SESSION_DRAINING)
		return earlier_due(sides, session->drain_due);
	return earlier_due(sides, hangup_due(session));
}

/* The timer may fire early, and then starts again; it is moved only when it would fire too late. */
static bool update_timer(struct session *session)
{
	uint64_t at = session_due(session), from = session_now();
	uint64_t wait = at > from ? at - from : 0;
	struct timeval after = {
		.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};

	if (at == 0 || (session->timer_due != 0 && session->timer_due <= at))
		return true;
	session->timer_due = at;
	return event_add(&session->timer, &after) == 0;
}

static void update_awaited(struct session *session, enum side_name name)
{
	struct side *side = &session->sides[name];
	bool receives = session->state == SESSION_DRAINING && name != session->gone;
	bool awaited =
		receives || side_wants_read(session, name) || side_wants_write(session, name);

	if (awaited != side->awaited)
		side->activity = session_now();
	side->awaited = awaited;
}

static bool update_side(struct session *session, enum side_name name)
{
	struct side *side = &session->sides[name];

	return side->fd == -1 ||
	       (interest_watch(&side->read, side_wants_read(session, name)) &&
		       interest_watch(&side->write, side_wants_write(session, name)));
}

/* Whether the quiet side, if there is one, is to be watched by now. */
static bool wants_hangup(struct session *session, const struct side *quiet)
{
	return quiet != NULL && (session->state == SESSION_WAITING ||
					quiet->activity + HANGUP_AFTER <= session_now());
}

static bool watch_hangup(struct session *session, const struct side *quiet)
{
	struct event *hangup = &session->hangup;

	if (!event_pending(hangup, EV_READ, NULL))
		event_assign(hangup, session->set->loop->base, quiet->fd,
			EV_READ | EV_ET | EV_PERSIST, event_get_callback(hangup), session);
	return interest_watch(hangup, true);
}

bool interest_update(struct session *session)
{
	const struct side *quiet;
	bool watched;

	update_awaited(session, CLIENT);
	update_awaited(session, SERVER);
	quiet = quiet_side(session);
	watched = wants_hangup(session, quiet);
	return (watched || interest_watch(&session->hangup, false)) &&
	       update_side(session, CLIENT) && update_side(session, SERVER) &&
	       (!watched || watch_hangup(session, quiet)) && update_timer(session);
}

bool interest_expired(const struct session *session, enum side_name *side)
{
	uint64_t client = side_due(session, CLIENT), server = side_due(session, SERVER);
	uint64_t at = earlier_due(client, server);

	*side = at == client && client != 0 ? CLIENT : SERVER;
	return at != 0 && at <= session_now();
}
