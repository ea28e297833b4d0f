/*
 * Where neither `stats socket` nor `metrics` is configured, nothing here ever runs: no timer, no descriptor.
 */
#include "stats.h"

#include "standing.h"
#include "tproxy/clock.h"

#include <time.h>
#include <unistd.h>

enum {
	TIMEOUT_DEFAULT = 10000, /* ms; HAProxy's defaults */
	MAXCONN_DEFAULT = 10
};

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct stats *stats = arg;

	(void)fd;
	(void)what;
	standings_count(&stats->core.subject, &stats->core.process);
	sockets_resume(&stats->sockets);
}

static void on_client_left(void *sockets)
{
	sockets_resume(sockets);
}

void stats_init(struct stats *stats, struct event_base *base, struct stats_host host)
{
	*stats = (struct stats){
		.core = {.host = host, .started = clock_ms(), .started_at = time(NULL)}};
	if (gethostname(stats->core.node, sizeof(stats->core.node) - 1) == -1)
		stats->core.node[0] = '\0';
	http_init(&stats->http, base, &stats->core);
	TAILQ_INIT(&stats->clients.list);
	stats->clients.base = base;
	stats->clients.core = &stats->core;
	stats->clients.left = on_client_left;
	stats->clients.arg = &stats->sockets;
	event_assign(&stats->second, base, -1, EV_PERSIST, on_second, stats);
}

int stats_prepare(struct stats *stats, const struct global *global, struct socket_failure *failure)
{
	int error;

	if (sockets_prepare(&stats->next, &stats->sockets, global, failure) == -1)
		return -1;
	error = http_prepare(&stats->http, &global->metrics);
	if (error == 0)
		return 0;
	sockets_abandon(&stats->next);
	*failure = (struct socket_failure){.error = error};
	return -1;
}

void stats_abandon(struct stats *stats)
{
	sockets_abandon(&stats->next);
	http_abandon(&stats->http);
}

void stats_use(struct stats *stats, const struct stats_subject *subject)
{
	static const struct timeval second = {1, 0};
	const struct global *global = &subject->config->global;

	stats->core.subject = *subject;
	stats->clients.timeout =
		global->stats_timeout != 0 ? global->stats_timeout : TIMEOUT_DEFAULT;
	stats->clients.most = global->stats_maxconn != 0 ? global->stats_maxconn : MAXCONN_DEFAULT;
	if (stats->next.list != NULL)
		sockets_replace(&stats->sockets, &stats->next, &stats->clients);
	http_use(&stats->http);
	stats->runs = stats->sockets.count > 0 || http_is_open(&stats->http);
	if (stats->sockets.count == 0)
		clients_end(&stats->clients);
	if (!stats->runs) {
		event_del(&stats->second);
		return;
	}
	standings_look(subject);
	event_add(&stats->second, &second);
}

void stats_look(struct stats *stats)
{
	if (stats->runs)
		standings_look(&stats->core.subject);
}

void stats_go_on(struct stats *stats)
{
	if (stats->core.asking > 0 || stats->clients.count > 0)
		clients_go_on(&stats->clients);
}

bool stats_is_asking(const struct stats *stats)
{
	return stats->core.asking > 0;
}

void stats_end(struct stats *stats)
{
	if (stats->clients.base == NULL)
		return;
	clients_end(&stats->clients);
	for (struct session_query *query = stats->core.orphans; query != NULL; query = query->next)
		atomic_store(&query->answered, true); /* no worker has it any more */
	core_collect(&stats->core);
	http_end(&stats->http);
	sockets_close(&stats->sockets);
	sockets_abandon(&stats->next);
	event_del(&stats->second);
	stats->runs = false;
}
