/*
 * The statistics know no workers and no generations; this is what they ask in their place.
 *
 * A worker whose thread has ended answers nothing more: its question is given back without an answer.
 */
#include "observe.h"

#include "process/advice.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

static enum query_fate ask(void *arg, struct session_query *query)
{
	const struct observing *observing = arg;
	const struct workers *workers = observing->workers;

	if (query->worker >= workers->started || worker_has_ended(workers->list[query->worker]))
		return QUERY_LOST;
	return worker_query(workers->list[query->worker], query) ? QUERY_SENT : QUERY_BUSY;
}

static void set_state(void *arg, const struct proxy *backend, const struct server *server,
	enum server_state state)
{
	const struct observing *observing = arg;

	care_set_state(observing->care, backend, server, state);
}

static uint64_t lost_lines(void *arg)
{
	const struct observing *observing = arg;

	return log_lost(observing->generation->log);
}

/* The daemon looks then, as at any report. */
static void rest(void *arg)
{
	const struct observing *observing = arg;

	eventfd_write(observing->workers->reports, 1);
}

void observing_begin(struct observing *observing, struct event_base *base, struct workers *workers,
	struct care *care)
{
	observing->workers = workers;
	observing->care = care;
	care->stats = &observing->stats;
	stats_init(&observing->stats, base,
		(struct stats_host){.arg = observing,
			.ask = ask,
			.set_state = set_state,
			.lost_lines = lost_lines,
			.rest = rest});
}

static const char *advice(const struct socket_failure *failure)
{
	if (failure->error == 0)
		return "; write the name of one that exists";
	if (failure->error == EEXIST)
		return "; no socket is there: move it away, or write another path";
	if (failure->error == ENOSYS)
		return "; tproxyd started without a `stats socket`, so it may not make one now: restart it";
	return "; its folder must exist, and the user that tproxyd runs as must be able to write there";
}

int observing_prepare(struct observing *observing, const struct generation *generation,
	const char *path, struct log *log)
{
	struct socket_failure failure;
	char address[ADDR_TEXT_MAX];

	if (stats_prepare(&observing->stats, &generation->config->global, &failure) == 0)
		return 0;
	if (failure.socket == NULL)
		log_complain(log, "%s:%u: cannot serve metrics at %s: %s%s", path,
			generation->config->global.metrics_line,
			addr_format(&generation->config->global.metrics, address),
			strerror(failure.error), advice_on_bind(failure.error, false));
	else
		log_complain(log, "%s:%u: stats socket %s: cannot %s%s%s%s", path,
			failure.socket->line, failure.socket->path, failure.doing,
			failure.error != 0 ? ": " : "",
			failure.error != 0 ? strerror(failure.error) : "", advice(&failure));
	return -1;
}

void observing_abandon(struct observing *observing)
{
	stats_abandon(&observing->stats);
}

void observing_use(struct observing *observing, const struct generation *generation,
	const struct descriptors *descriptors)
{
	observing->generation = generation;
	stats_use(&observing->stats, &(struct stats_subject){.config = generation->config,
					     .limits = generation->limits,
					     .tallies = generation->tallies,
					     .health = observing->care->health,
					     .agents = observing->care->agents,
					     .maxconn = generation->maxconn,
					     .descriptors = descriptors->limit,
					     .workers = descriptors->workers});
}

void observing_report(struct observing *observing)
{
	const struct workers *workers = observing->workers;

	for (unsigned i = 0; i < workers->started; i++) {
		struct session_query *query = worker_take_query_back(workers->list[i]);

		if (query != NULL)
			atomic_store(&query->answered, true);
	}
	stats_go_on(&observing->stats);
}

void observing_count_reload(struct observing *observing, bool well)
{
	stats_count_reload(&observing->stats, well);
}

bool observing_is_asking(const struct observing *observing)
{
	return stats_is_asking(&observing->stats);
}

void observing_end(struct observing *observing)
{
	stats_end(&observing->stats);
}
