/*
 * A session counts at its frontend when it begins, at its backend when that is chosen, and at a server with each attempt.
 * All else is known at its end, bytes too, so relaying counts nothing.
 */
#include "count.h"

#include "proxy/interest.h"
#include "proxy/waiting.h"

/* Where a session or a flow counts: its frontend, and what was chosen of the other two. */
struct places {
	struct tally *frontend, *backend, *server;
	unsigned worker;
};

static struct places places_of(const struct tallies *tallies, unsigned worker,
	const struct proxy *frontend, const struct proxy *backend, const struct server *server)
{
	return (struct places){.frontend = tally_of_frontend(tallies, frontend),
		.backend = backend == NULL ? NULL : tally_of_backend(tallies, backend),
		.server = server == NULL ? NULL : tally_of_server(tallies, server),
		.worker = worker};
}

static void add_at(struct tally *tally, unsigned worker, unsigned item, uint64_t count)
{
	if (tally != NULL)
		tally_add(tally, worker, item, count);
}

static void add_everywhere(const struct places *places, unsigned item, uint64_t count)
{
	add_at(places->frontend, places->worker, item, count);
	add_at(places->backend, places->worker, item, count);
	add_at(places->server, places->worker, item, count);
}

static void note_most(const struct places *places, const struct limits_counts *counts)
{
	tally_most(places->frontend, TALLY_MOST_SESSIONS, counts->frontend);
	if (places->backend != NULL)
		tally_most(places->backend, TALLY_MOST_SESSIONS, counts->backend);
	if (places->server != NULL)
		tally_most(places->server, TALLY_MOST_SESSIONS, counts->server);
}

/* --- the end --- */

static bool is_header_reason(enum reason reason)
{
	return reason >= REASON_HEADER_TIMEOUT && reason <= REASON_HEADER_ADDRESS;
}

/* What an end counts as beside its reason. BEFORE: the session had not reached its server. */
static void add_cause(const struct places *places, enum reason reason, bool before)
{
	unsigned worker = places->worker;

	if (reason == REASON_REJECTED || reason == REASON_CONTENT_REJECTED)
		return;
	if (is_header_reason(reason))
		tally_add(places->frontend, worker, TALLY_BAD_REQUESTS, 1);
	if (before && reason_is_refusal(reason)) {
		add_at(places->backend, worker, TALLY_CONNECT_ERRORS, 1);
		add_at(places->server, worker, TALLY_CONNECT_ERRORS, 1);
	}
	if (reason == REASON_CLIENT_RESET || reason == REASON_CLIENT_TIMEOUT ||
		reason == REASON_CLIENT_LEFT)
		add_everywhere(places, TALLY_CLIENT_ABORTS, 1);
	if (reason == REASON_SERVER_RESET || reason == REASON_SERVER_TIMEOUT)
		add_everywhere(places, TALLY_SERVER_ABORTS, 1);
	if (reason == REASON_SERVER_RESET) {
		add_at(places->backend, worker, TALLY_SERVER_ERRORS, 1);
		add_at(places->server, worker, TALLY_SERVER_ERRORS, 1);
	}
}

static void add_end(
	const struct places *places, enum reason reason, bool before, uint64_t in, uint64_t out)
{
	add_everywhere(places, TALLY_REASONS + (unsigned)reason, 1);
	add_everywhere(places, TALLY_IN, in);
	add_everywhere(places, TALLY_OUT, out);
	add_cause(places, reason, before);
}

static void add_time(const struct places *places, enum tally_time time, uint64_t milliseconds)
{
	unsigned value = milliseconds > UINT32_MAX ? UINT32_MAX : (unsigned)milliseconds;

	if (places->backend != NULL)
		tally_time(places->backend, places->worker, time, value);
	if (places->server != NULL)
		tally_time(places->server, places->worker, time, value);
}

static void add_times(const struct places *places, const struct session *session)
{
	const struct waiting *waiting = session->waiting;
	uint64_t queued =
		waiting == NULL || waiting->until == 0 ? 0 : waiting->until - waiting->since;

	if (session->connected == 0)
		return;
	add_time(places, TALLY_QUEUE_TIME, queued);
	add_time(places, TALLY_CONNECT_TIME, session->connected - session->accepted - queued);
	add_time(places, TALLY_TOTAL_TIME, session->closed - session->accepted);
}

/* The server that it had, or the one that it waited for alone. */
static const struct server *server_of(const struct session *session)
{
	if (session->server == NULL && session->waiting != NULL)
		return session->waiting->server;
	return session->server;
}

static void count_end(const struct places *places, const struct session *session)
{
	unsigned denied = session->admitted ? TALLY_DENIED_SESSION : TALLY_DENIED_CONNECTION;

	if (session->reason == REASON_REJECTED)
		tally_add(places->frontend, places->worker, denied, 1);
	if (session->reason == REASON_CONTENT_REJECTED) {
		tally_add(places->frontend, places->worker, TALLY_DENIED_REQUEST, 1);
		add_at(places->backend, places->worker, TALLY_DENIED_REQUEST, 1);
	}
	add_end(places, session->reason, session->connected == 0, session->directions[CLIENT].bytes,
		session->directions[SERVER].bytes);
	add_times(places, session);
}

/* --- what sessions report --- */

static void count_waiting(
	const struct places *places, const struct session *session, struct limits *limits)
{
	const struct server *server = session->waiting->server;
	struct queue *queue = server != NULL ? limits_server_queue(limits, server)
					     : limits_backend_queue(limits, session->backend);

	tally_most(server != NULL ? places->server : places->backend, TALLY_MOST_WAITING,
		queue_length(queue));
}

/* It is a session of its frontend now: its client is known, and no rule refuses it. */
static bool has_begun(const struct session *session, enum session_state from)
{
	if (from > SESSION_HEADER || session->state <= SESSION_HEADER)
		return false;
	return session->state != SESSION_CLOSING ||
	       (session->reason != REASON_REJECTED && !is_header_reason(session->reason));
}

void count_session(const struct tallies *tallies, unsigned worker, const struct session *session,
	enum session_state from)
{
	struct limits *limits = session->set->limits;
	struct places places =
		places_of(tallies, worker, session->frontend, session->backend, server_of(session));
	struct limits_counts counts =
		limits_counts(limits, session->frontend, session->backend, session->server);

	if (has_begun(session, from))
		tally_add(places.frontend, worker, TALLY_SESSIONS, 1);
	switch (session->state) {
	case SESSION_ACCEPTED:
		tally_add(places.frontend, worker, TALLY_CONNECTIONS, 1);
		tally_came(places.frontend, worker, session->accepted);
		note_most(&places, &counts);
		break;
	case SESSION_WAITING:
		count_waiting(&places, session, limits);
		tally_add(places.backend, worker, TALLY_SESSIONS, 1);
		note_most(&places, &counts);
		break;
	case SESSION_CONNECTING:
		if (from != SESSION_WAITING) {
			tally_add(places.backend, worker, TALLY_SESSIONS, 1);
			tally_add(places.backend, worker, TALLY_CHOSEN, 1);
			tally_add(places.server, worker, TALLY_CHOSEN, 1);
		}
		note_most(&places, &counts);
		break;
	case SESSION_CLOSING:
		count_end(&places, session);
		break;
	default:
		break;
	}
}

void count_attempt(const struct tallies *tallies, unsigned worker, const struct session *session,
	enum session_attempt what, const struct server *server)
{
	static const unsigned items[] = {[SESSION_TRIES] = TALLY_SESSIONS,
		[SESSION_TRIES_AGAIN] = TALLY_RETRIES,
		[SESSION_TRIES_ANOTHER] = TALLY_REDISPATCHES};
	struct tally *at = tally_of_server(tallies, server);
	struct tally *backend = tally_of_backend(tallies, session->backend);

	tally_add(at, worker, items[what], 1);
	if (what != SESSION_TRIES) {
		tally_add(backend, worker, items[what], 1);
		if (what == SESSION_TRIES_ANOTHER) {
			tally_add(backend, worker, TALLY_CHOSEN, 1);
			tally_add(
				tally_of_server(tallies, session->server), worker, TALLY_CHOSEN, 1);
		}
		return;
	}
	tally_add(at, worker, TALLY_ATTEMPTS, 1);
	tally_add(backend, worker, TALLY_ATTEMPTS, 1);
	tally_came(at, worker, session_now());
	tally_came(backend, worker, session_now());
	tally_most(at, TALLY_MOST_SESSIONS, limits_server_sessions(session->set->limits, server));
}

/* --- what flows report --- */

void count_flow(const struct tallies *tallies, unsigned worker, const struct flow *flow,
	enum flow_change change)
{
	struct places places =
		places_of(tallies, worker, flow->frontend, flow->backend, flow->server);
	struct limits_counts counts =
		limits_counts(flow->set->limits, flow->frontend, flow->backend, flow->server);

	if (change == FLOW_BEGAN || change == FLOW_REFUSED) {
		tally_add(places.frontend, worker, TALLY_CONNECTIONS, 1);
		tally_add(places.frontend, worker, TALLY_SESSIONS, 1);
		tally_came(places.frontend, worker, flow->began);
	}
	if (change == FLOW_BEGAN) {
		add_at(places.backend, worker, TALLY_SESSIONS, 1);
		add_at(places.server, worker, TALLY_SESSIONS, 1);
		add_at(places.backend, worker, TALLY_CHOSEN, 1);
		add_at(places.server, worker, TALLY_CHOSEN, 1);
		tally_came(places.backend, worker, flow->began);
		tally_came(places.server, worker, flow->began);
		note_most(&places, &counts);
	}
	if (change == FLOW_ENDED || change == FLOW_REFUSED)
		add_end(&places, flow->reason, change == FLOW_REFUSED, flow->to_server,
			flow->to_client);
	if (change == FLOW_ENDED)
		add_time(&places, TALLY_TOTAL_TIME, flow->ended - flow->began);
}
