/*
 * The rate of lines about refusals, for each frontend and reason.
 *
 * A rate is one number, a time: each line moves it forward by the interval. While it is less than
 * REFUSALS_AT_ONCE intervals ahead of now, a refusal has its own line. Beyond that refusals are
 * counted, and a timer logs the count a second later. That line moves the time like the others, so
 * in a steady flood there are only such lines, one a second. The invariant: each refusal has its own
 * line or is in a count.
 */
#include "refusal_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct refusals {
	SLIST_ENTRY(refusals) link; /* in the list while COUNT is not 0 */
	uint64_t used_until;        /* a time as session->closed */
	uint64_t count;             /* refusals that no line has reported */
};

struct refusal_log {
	const struct config *config;
	struct log *log;
	struct event timer;
	SLIST_HEAD(refusals_list, refusals) counted;
	struct refusals refusals[]; /* by frontend->index, then by reason */
};

static void on_refusal_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	refusal_log_flush(arg);
}

struct refusal_log *refusal_log_new(
	struct event_base *base, const struct config *config, struct log *log)
{
	size_t count = config->proxy_count * REASON_COUNT;
	struct refusal_log *made = calloc(1, sizeof(*made) + count * sizeof(made->refusals[0]));

	if (made == NULL)
		return NULL;
	made->config = config;
	made->log = log;
	evtimer_assign(&made->timer, base, on_refusal_timer, made);
	return made;
}

void refusal_log_free(struct refusal_log *refusals)
{
	if (refusals == NULL)
		return;
	refusal_log_flush(refusals);
	if (evtimer_pending(&refusals->timer, NULL))
		evtimer_del(&refusals->timer);
	free(refusals);
}

/* Counts one line at the time NOW. */
static void use_line(struct refusals *rate, uint64_t now)
{
	if (rate->used_until < now)
		rate->used_until = now;
	rate->used_until += REFUSALS_INTERVAL;
}

static void log_refusal(struct log *log, const struct session *session)
{
	char client[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];
	bool is_original = session->server != NULL && server_is_original(session->server) &&
			   addr_family(&session->server_address) != AF_UNSPEC;

	log_line(log, session->frontend, LOG_WARNING,
		"refused %s: frontend %s, server %s/%s%s%s: %s%s%s (%s)",
		addr_format(&session->client, client), session->frontend->name,
		session->backend == NULL ? "<none>" : session->backend->name,
		session->server == NULL ? "<none>" : session->server->name,
		is_original ? " at " : "",
		is_original ? addr_format(&session->server_address, server) : "",
		reason_text(session->reason), session->error == 0 ? "" : ": ",
		session->error == 0 ? "" : strerror(session->error), reason_name(session->reason));
}

void refusal_log_add(struct refusal_log *refusals, const struct session *session)
{
	static const struct timeval interval = {.tv_sec = REFUSALS_INTERVAL / 1000};
	size_t place = session->frontend->index * (size_t)REASON_COUNT + session->reason;
	struct refusals *rate = &refusals->refusals[place];

	if (rate->count == 0 &&
		rate->used_until < session->closed + REFUSALS_AT_ONCE * REFUSALS_INTERVAL) {
		use_line(rate, session->closed);
		log_refusal(refusals->log, session);
		return;
	}
	if (rate->count++ > 0)
		return;
	use_line(rate, session->closed);
	SLIST_INSERT_HEAD(&refusals->counted, rate, link);
	if (!evtimer_pending(&refusals->timer, NULL))
		evtimer_add(&refusals->timer, &interval);
}

void refusal_log_flush(struct refusal_log *refusals)
{
	struct refusals *rate;

	while ((rate = SLIST_FIRST(&refusals->counted)) != NULL) {
		size_t place = (size_t)(rate - refusals->refusals);
		const struct proxy *frontend = &refusals->config->proxies[place / REASON_COUNT];
		enum reason reason = (enum reason)(place % REASON_COUNT);

		SLIST_REMOVE_HEAD(&refusals->counted, link);
		log_line(refusals->log, frontend, LOG_WARNING,
			"refused %" PRIu64 " more: frontend %s: %s (%s)", rate->count,
			frontend->name, reason_text(reason), reason_name(reason));
		rate->count = 0;
	}
}
