/*
 * The order counts, and is HAProxy's: what a change makes of clients that wait is computed before workers can see it; the change is
 * reported before sessions end; and those that track a server follow last, the last one of the file first.
 */
#include "availability.h"

#include "balance.h"

/* As far as it can be known before the workers act on it. */
static void count_queued(struct limits *limits, struct health_change *change)
{
	const struct server *server = change->server;
	const struct proxy *backend = change->backend;
	unsigned any, maxconn = limits_maxconn(limits, server), places;

	if (!backend->queues)
		return;
	change->waiting = queue_length(limits_server_queue(limits, server));
	if (!change->up && backend->redispatch != 0) {
		change->requeued = change->waiting;
		change->waiting = 0;
	}
	if (!change->up)
		return;
	any = queue_length(limits_backend_queue(limits, backend));
	places = maxconn > change->sessions ? maxconn - change->sessions : 0;
	change->requeued = maxconn != 0 && any > places ? places : any;
}

static void end_sessions(struct limits *limits, const struct health_change *change)
{
	const struct server *server = change->server;
	const struct proxy *backend = change->backend;

	if (!change->up && server->ends_sessions_down)
		limits_end_sessions(limits, server, REASON_SERVER_DOWN);
	if (!change->up || !server->ends_backups_up || server->backup || server->weight == 0)
		return;
	for (size_t i = 0; i < backend->server_count; i++)
		if (backend->servers[i].backup)
			limits_end_sessions(limits, &backend->servers[i], REASON_SERVER_UP);
}

static void report(const struct availability *availability, struct health_change *change)
{
	balance_count(availability->limits, change->backend, &change->active, &change->backups);
	availability->observer(availability->arg, change);
	end_sessions(availability->limits, change);
}

static void change_trackers(
	const struct availability *availability, const struct health_change *change)
{
	for (size_t i = availability->config->proxy_count; i-- > 0;) {
		const struct proxy *backend = &availability->config->proxies[i];

		for (size_t j = backend->server_count; j-- > 0;) {
			const struct server *server = &backend->servers[j];
			struct health_change follows = {.backend = backend,
				.server = server,
				.via = change->server,
				.via_backend = change->backend,
				.up = change->up};

			if (server->track == change->server)
				availability_change(availability, &follows);
		}
	}
}

void availability_change(const struct availability *availability, struct health_change *change)
{
	struct limits *limits = availability->limits;
	const struct server *server = change->server;
	enum down_by by = change->by_agent ? DOWN_BY_AGENT : DOWN_BY_CHECK;
	unsigned before = limits_down(limits, server);
	unsigned after = change->up ? before & ~(unsigned)by : before | by;
	bool changes = (before == 0) != (after == 0);

	if (changes) {
		change->sessions = limits_server_sessions(limits, server);
		count_queued(limits, change);
		if (change->up)
			limits_start_slowly(limits, server);
	}
	limits_set_up(limits, server, by, change->up);
	if (!changes)
		return;
	if (limits_state(limits, server) != SERVER_MAINT)
		report(availability, change);
	change_trackers(availability, change);
}

void availability_note(const struct availability *availability, struct health_change *change)
{
	if (!(change->backend->options & OPTION_LOG_HEALTH_CHECKS))
		return;
	change->of_check = true;
	change->drains = change->up && limits_weight(availability->limits, change->server) == 0;
	availability->observer(availability->arg, change);
}

void availability_begin(const struct availability *availability, const struct server *server,
	enum down_by by, bool up)
{
	const struct config *config = availability->config;

	limits_set_up(availability->limits, server, by, up);
	up = limits_is_up(availability->limits, server);
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			if (config->proxies[i].servers[j].track == server)
				availability_begin(availability, &config->proxies[i].servers[j],
					DOWN_BY_CHECK, up);
}
