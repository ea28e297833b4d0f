/*
 * A share is the observer of its sessions: it logs and counts what they do, and resumes listeners when one
 * ends. The current share's listeners resume then, too, since limits hold for all generations together.
 *
 * Flows are counted in the generation, too: receivers that drain close when no worker has a flow that needs
 * them (receiver.c), which only the main thread can see. It says so in generation->silent.
 *
 * The trap is when an older share may be freed: never from an event, since its own may be queued. So what
 * ends a session only leaves a note, and shares_sweep() looks after the turn.
 */
#include "share.h"

#include "process/advice.h"
#include "process/flow_log.h"
#include "process/privileges.h"
#include "process/refusal_log.h"
#include "process/tcplog.h"
#include "stats/count.h"
#include "udp/receiver.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	PAUSES_INTERVAL = 60 /* seconds between two lines about a lack of resources */
};

struct share {
	TAILQ_ENTRY(share) link; /* while it drains */
	struct shares *shares;
	struct generation *generation;
	bool started; /* the event loop knows all of its listeners */
	struct listeners listeners;
	struct session_set sessions;
	struct session *listed; /* the next one of a list that is being made */
	struct receivers receivers;
	struct flow_set flows;
	struct refusal_log *refusals;
};

struct log *share_log(const struct share *share)
{
	return share->generation->log;
}

bool share_has_datagrams(const struct share *share)
{
	return share->generation->config->has_datagrams;
}

struct process_limits *share_process_limits(const struct share *share)
{
	return limits_process(share->generation->limits);
}

/* --- what sessions report --- */

static void log_accepted(const struct share *share, const struct session *session)
{
	const struct proxy *frontend = session->frontend;
	char client[ADDR_TEXT_MAX];

	if (frontend->logs.count > 0 && !config_logs_sessions(frontend))
		log_line(share_log(share), frontend, LOG_INFO, "Connect from %s (%s/TCP)",
			addr_format(&session->client, client), frontend->name);
}

/* The line of a session, if it has one in this state. */
static void log_session(const struct share *share, const struct session *session)
{
	char line[LOG_LINE_MAX];

	if (!tcplog_is_due(session))
		return;
	tcplog_format(session, line, sizeof(line));
	log_line(share_log(share), session->frontend, tcplog_level(session), "%s", line);
}

static void log_closed(const struct share *share, const struct session *session)
{
	if (reason_is_refusal(session->reason))
		refusal_log_add(share->refusals,
			&(struct refusal){session->frontend, session->backend, session->server,
				session->client, session->server_address, session->reason,
				session->error, session->closed});
	log_session(share, session);
}

static void log_state(
	const struct share *share, const struct session *session, enum session_state from)
{
	char client[ADDR_TEXT_MAX];

	if (log_wants(share_log(share), session->frontend, LOG_DEBUG))
		log_line(share_log(share), session->frontend, LOG_DEBUG, "session %s: %s -> %s",
			addr_format(&session->client, client), session_state_name(from),
			session_state_name(session->state));
}

static void on_session_changed(void *arg, const struct session *session, enum session_state from)
{
	struct share *share = arg, *current = share->shares->current;
	struct counters *counters = &share->shares->counters;

	count_session(share->generation->tallies, share->shares->loop.index, session, from);
	log_state(share, session, from);
	if (from == SESSION_ACCEPTED && session->state != from &&
		session->reason != REASON_REJECTED)
		log_accepted(share, session);
	if (session->state == SESSION_ACCEPTED) {
		counters->accepted++;
	} else if (session->state == SESSION_RELAYING) {
		log_session(share, session);
	} else if (session->state == SESSION_CLOSING) {
		counters->ended[session->reason]++;
		counters->to_servers += session->directions[CLIENT].bytes;
		counters->to_clients += session->directions[SERVER].bytes;
		log_closed(share, session);
		listeners_resume(&current->listeners);
		if (share == current)
			return;
		listeners_resume(&share->listeners);
		share->shares->sweeps = true;
	}
}

static void on_session_attempted(void *arg, const struct session *session,
	enum session_attempt what, const struct server *server)
{
	const struct share *share = arg;

	count_attempt(share->generation->tallies, share->shares->loop.index, session, what, server);
}

/* A pause at maxconn (ERROR is 0) is normal; a lack of resources is logged, at most once a minute. */
static void on_accept_paused(void *arg, const struct listener *listener, int error)
{
	struct share *share = arg;
	struct timespec now;

	share->shares->counters.pauses++;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (error == 0 || now.tv_sec < share->shares->pause_line_due)
		return;
	share->shares->pause_line_due = now.tv_sec + PAUSES_INTERVAL;
	log_line(share_log(share), listener->frontend, LOG_WARNING,
		"frontend %s: accepting pauses until a session ends: %s%s (logged once a minute)",
		listener->frontend->name, strerror(error), advice_on_errno(error));
}

/* --- what flows report --- */

/* Listeners may have paused for want of its place. */
static void on_flow_ended(struct share *share)
{
	struct shares *shares = share->shares;
	bool last = atomic_fetch_sub(&share->generation->flows, 1) == 1;

	listeners_resume(&shares->current->listeners);
	if (share == shares->current && !shares->drains)
		return;
	shares->sweeps = true;
	if (last)
		eventfd_write(shares->reports, 1);
}

static void on_flow_changed(void *arg, const struct flow *flow, enum flow_change change)
{
	struct share *share = arg;
	struct shares *shares = share->shares;
	struct counters *counters = &shares->counters;

	count_flow(share->generation->tallies, shares->flow_loop.index, flow, change);
	if (change == FLOW_BEGAN)
		atomic_fetch_add(&share->generation->flows, 1);
	if (change == FLOW_BEGAN || change == FLOW_REFUSED)
		counters->accepted++;
	if (change == FLOW_ENDED || change == FLOW_REFUSED) {
		counters->ended[flow->reason]++;
		counters->to_servers += flow->to_server;
		counters->to_clients += flow->to_client;
	}
	flow_log(share_log(share), share->refusals, flow, change);
	if (change == FLOW_ENDED)
		on_flow_ended(share);
}

/* --- beginning and end --- */

/* Without this it works, too, but for a reload that needs it, which is then refused. */
void share_give_sockets(const struct share *share)
{
	const struct identity *owner = share->generation->owner;
	const struct listeners *listeners = &share->listeners;
	const struct receivers *receivers = &share->receivers;

	for (size_t i = 0; i < listeners->count && owner != NULL; i++)
		(void)!fchown(listeners->list[i].fd, owner->uid, owner->gid);
	for (size_t i = 0; i < receivers->count && owner != NULL; i++)
		if (receivers->list[i].socket != NULL)
			(void)!fchown(receivers->list[i].socket->fd, owner->uid, owner->gid);
}

struct share *share_new(struct shares *shares, struct generation *generation, bool first,
	struct listener_failure *failure)
{
	struct share *share = calloc(1, sizeof(*share));
	const struct config *config = generation->config;

	*failure = (struct listener_failure){.error = ENOMEM};
	if (share == NULL)
		return NULL;
	share->shares = shares;
	share->generation = generation;
	atomic_fetch_add(&generation->users, 1);
	share->refusals = refusal_log_new(shares->base, config, generation->log);
	session_set_init(&share->sessions, &shares->loop, config, generation->limits,
		(struct session_observer){on_session_changed, share, on_session_attempted});
	if (flow_set_init(&share->flows, &shares->flow_loop, config, generation->limits,
		    (struct flow_observer){on_flow_changed, share}) == -1 ||
		share->refusals == NULL)
		goto fail;
	if (listeners_bind_new(
		    &share->listeners, config, generation->counterparts, first, failure) == 0 &&
		receivers_bind(
			&share->receivers, config, generation->counterparts, first, failure) == 0)
		return share;
fail:
	share_free(share);
	return NULL;
}

int share_listen(struct share *share, struct listener_failure *failure)
{
	return listeners_listen(&share->listeners, failure);
}

int share_start(struct share *share, struct listener_failure *failure)
{
	struct shares *shares = share->shares;

	shares->current = share;
	share->started = listeners_start(&share->listeners, shares->base, &share->sessions,
				 on_accept_paused, share, failure) == 0 &&
			 receivers_start(&share->receivers, &share->flows, failure) == 0;
	return share->started ? 0 : -1;
}

void share_take_over(struct share *share)
{
	struct shares *shares = share->shares;
	struct share *before = shares->current, *older;
	struct listener_failure tried_again;

	shares->current = share;
	share->started = true;
	listeners_take_over(&share->listeners, &before->listeners, shares->base, &share->sessions,
		on_accept_paused, share);
	listeners_drain(&before->listeners);
	TAILQ_INSERT_TAIL(&shares->draining, before, link);
	for (older = TAILQ_FIRST(&shares->draining); older != NULL; older = TAILQ_NEXT(older, link))
		receivers_inherit(&share->receivers, older->generation->config, &older->receivers);
	receivers_start(&share->receivers, &share->flows, &tried_again);
	shares->loop.serves = true; /* a limit of a server may be higher now */
	shares->sweeps = true;
}

/* The generation may be freed once its last user has gone, so that comes last. */
void share_free(struct share *share)
{
	struct generation *generation;
	int reports;

	if (share == NULL)
		return;
	generation = share->generation;
	reports = share->shares->reports;
	if (share->started)
		listeners_close(&share->listeners);
	listeners_free(&share->listeners);
	assert(share->sessions.count == 0);
	receivers_free(&share->receivers);
	flow_set_free(&share->flows);
	refusal_log_free(share->refusals);
	free(share);
	if (atomic_fetch_sub(&generation->users, 1) == 1)
		eventfd_write(reports, 1);
}

/* --- all of a worker --- */

static bool share_is_busy(const struct share *share)
{
	return listeners_are_open(&share->listeners) || share->sessions.count > 0 ||
	       receivers_are_open(&share->receivers) || share->flows.count > 0;
}

static void close_silent(struct share *share)
{
	if (atomic_load(&share->generation->silent))
		receivers_close(&share->receivers);
}

void shares_sweep(struct shares *shares)
{
	struct share *next;

	if (shares->loop.serves)
		session_loop_serve(&shares->loop);
	session_loop_reap(&shares->loop);
	flow_loop_end_turn(&shares->flow_loop);
	if (!shares->sweeps)
		return;
	shares->sweeps = false;
	close_silent(shares->current);
	for (struct share *share = TAILQ_FIRST(&shares->draining); share != NULL; share = next) {
		next = TAILQ_NEXT(share, link);
		close_silent(share);
		if (!share_is_busy(share)) {
			TAILQ_REMOVE(&shares->draining, share, link);
			share_free(share);
		} else if (listeners_are_open(&share->listeners)) {
			shares->sweeps = true;
		}
	}
}

void shares_drain(struct shares *shares)
{
	listeners_drain(&shares->current->listeners);
	receivers_drain(&shares->flow_loop);
	shares->drains = true;
}

static void end_sessions(struct session_set *set, unsigned seen)
{
	struct session *session = TAILQ_FIRST(&set->live), *next;

	for (; session != NULL; session = next) {
		enum reason reason = REASON_DONE;

		next = TAILQ_NEXT(session, link);
		if (session->server != NULL)
			reason = limits_end_reason(set->limits, session->server, seen);
		if (reason != REASON_DONE)
			session_close(session, reason, 0);
	}
}

/* Where a server went down, say, and its sessions are to end with it. */
static void end_sessions_of_servers(struct shares *shares)
{
	unsigned ends = limits_ends(share_process_limits(shares->current));

	if (ends == shares->ends)
		return;
	end_sessions(&shares->current->sessions, shares->ends);
	for (struct share *share = TAILQ_FIRST(&shares->draining); share != NULL;
		share = TAILQ_NEXT(share, link))
		end_sessions(&share->sessions, shares->ends);
	shares->ends = ends;
}

void shares_look(struct shares *shares)
{
	session_loop_look(&shares->loop);
	end_sessions_of_servers(shares);
	shares->sweeps = true;
}

/* --- questions of the main thread --- */

static struct share *next_share(struct shares *shares, const struct share *share)
{
	if (share == shares->current)
		return NULL;
	return TAILQ_NEXT(share, link) != NULL ? TAILQ_NEXT(share, link) : shares->current;
}

static struct share *first_share(struct shares *shares)
{
	return TAILQ_EMPTY(&shares->draining) ? shares->current : TAILQ_FIRST(&shares->draining);
}

/* The sessions of a set are in the order of their ids. */
static struct session *session_after(const struct session_set *set, uint64_t id)
{
	struct session *session = TAILQ_FIRST(&set->live);

	while (session != NULL && session->id <= id)
		session = TAILQ_NEXT(session, link);
	return session;
}

static void begin_list(struct shares *shares, uint64_t id)
{
	for (struct share *share = first_share(shares); share != NULL;
		share = next_share(shares, share))
		share->listed = session_after(&share->sessions, id);
}

/* The one with the smallest id that was not listed yet, of all shares; or NULL. */
static struct session *next_listed(struct shares *shares)
{
	struct share *first = NULL;
	struct session *session;

	for (struct share *share = first_share(shares); share != NULL;
		share = next_share(shares, share))
		if (share->listed != NULL &&
			(first == NULL || share->listed->id < first->listed->id))
			first = share;
	if (first == NULL)
		return NULL;
	session = first->listed;
	first->listed = TAILQ_NEXT(session, link);
	return session;
}

static void list_sessions(struct shares *shares, struct session_query *query)
{
	struct session *session;

	begin_list(shares, query->after);
	while (query->count < VIEWS_MAX && (session = next_listed(shares)) != NULL)
		view_session(query, session);
	query->more = query->count == VIEWS_MAX;
}

static void end_session(struct shares *shares, struct session_query *query)
{
	struct session *session;

	begin_list(shares, query->after - 1);
	session = next_listed(shares);
	query->found = session != NULL && session->id == query->after;
	if (query->found)
		session_close(session, REASON_KILLED, 0);
}

void shares_answer(struct shares *shares, struct session_query *query)
{
	if (query->kind == QUERY_LIST && query->flows)
		view_flows(query, &shares->flow_loop);
	else if (query->kind == QUERY_LIST)
		list_sessions(shares, query);
	else if (query->flows)
		query->found = flow_loop_end(&shares->flow_loop, query->after, REASON_KILLED);
	else
		end_session(shares, query);
}

static void share_close(struct share *share)
{
	if (share->started)
		listeners_close(&share->listeners);
	session_close_all(&share->sessions);
	receivers_close(&share->receivers);
}

void shares_close(struct shares *shares)
{
	struct share *share;

	receivers_drain(&shares->flow_loop);
	flow_set_end_all(&shares->current->flows);
	for (share = TAILQ_FIRST(&shares->draining); share != NULL; share = TAILQ_NEXT(share, link))
		flow_set_end_all(&share->flows);
	share_close(shares->current);
	for (share = TAILQ_FIRST(&shares->draining); share != NULL; share = TAILQ_NEXT(share, link))
		share_close(share);
}

unsigned shares_sessions(const struct shares *shares)
{
	unsigned count = shares->current->sessions.count + (unsigned)shares->flow_loop.table.count;
	const struct share *share = TAILQ_FIRST(&shares->draining);

	for (; share != NULL; share = TAILQ_NEXT(share, link))
		count += share->sessions.count;
	return count;
}

bool shares_are_busy(const struct shares *shares)
{
	const struct share *share = shares->current;

	if (share_is_busy(share))
		return true;
	for (share = TAILQ_FIRST(&shares->draining); share != NULL; share = TAILQ_NEXT(share, link))
		if (share_is_busy(share))
			return true;
	return false;
}

void shares_free(struct shares *shares)
{
	struct share *share;

	if (shares->current == NULL)
		return;
	shares_close(shares);
	while ((share = TAILQ_FIRST(&shares->draining)) != NULL) {
		TAILQ_REMOVE(&shares->draining, share, link);
		share_free(share);
	}
	share_free(shares->current);
}
