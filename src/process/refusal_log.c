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

#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct refusals {
	SLIST_ENTRY(refusals) link; /* in the list while COUNT is not 0 */
	uint64_t used_until;        /* a time as refusal->at */
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

static void log_refusal(struct log *log, const struct refusal *refusal)
{
	char client[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];
	bool is_original = refusal->server != NULL && server_is_original(refusal->server) &&
			   addr_family(&refusal->server_address) != AF_UNSPEC;

	log_line(log, refusal->frontend, LOG_WARNING,
		"refused %s: frontend %s, server %s/%s%s%s: %s%s%s (%s)",
		addr_format(&refusal->client, client), refusal->frontend->name,
		refusal->backend == NULL ? "<none>" : refusal->backend->name,
		refusal->server == NULL ? "<none>" : refusal->server->name,
		is_original ? " at " : "",
		is_original ? addr_format(&refusal->server_address, server) : "",
		reason_text(refusal->reason), refusal->error == 0 ? "" : ": ",
		refusal->error == 0 ? "" : strerror(refusal->error), reason_name(refusal->reason));
}

void refusal_log_add(struct refusal_log *refusals, const struct refusal *refusal)
{
	static const struct timeval interval = {.tv_sec = REFUSALS_INTERVAL / 1000};
	size_t place = refusal->frontend->index * (size_t)REASON_COUNT + refusal->reason;
	struct refusals *rate = &refusals->refusals[place];

	if (rate->count == 0 &&
		rate->used_until < refusal->at + REFUSALS_AT_ONCE * REFUSALS_INTERVAL) {
		use_line(rate, refusal->at);
		log_refusal(refusals->log, refusal);
		return;
	}
	if (rate->count++ > 0)
		return;
	use_line(rate, refusal->at);
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
