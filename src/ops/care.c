/*
 * Health, agents and names ask servers on the main thread's event loop, and write what they find into the limits, where all workers see
 * it. Here it is put into the log of the generation in force.
 */
#include "care.h"

#include "servers/balance.h"

#include <stdio.h>
#include <stdlib.h>

static void report_no_server(struct log *log, const struct proxy *backend)
{
	log_line(log, backend, LOG_EMERG, "%s %s has no server available!",
		backend->role == ROLE_LISTEN ? "proxy" : "backend", backend->name);
}

static void on_health_changed(void *arg, const struct health_change *change)
{
	const struct care *care = arg;
	struct log *log = care->generation->log;
	char line[LOG_LINE_MAX];

	stats_look(care->stats);
	health_format(change, line, sizeof(line));
	log_line(log, change->backend, change->up || change->of_check ? LOG_NOTICE : LOG_ALERT,
		"%s", line);
	if (!change->of_check && !change->up && change->active + change->backups == 0)
		report_no_server(log, change->backend);
}

static void on_server_moved(void *arg, const struct proxy *backend, bool lost, const char *line)
{
	const struct care *care = arg;
	struct log *log = care->generation->log;
	unsigned active, backups;

	stats_look(care->stats);
	log_line(log, backend, lost ? LOG_ALERT : LOG_NOTICE, "%s", line);
	balance_count(care->generation->limits, backend, &active, &backups);
	if (lost && active + backups == 0)
		report_no_server(log, backend);
}

static void on_state_said(void *arg, const struct proxy *backend, const struct server *server,
	enum server_state state)
{
	care_set_state(arg, backend, server, state);
}

void care_begin(struct care *care, struct event_base *base, const struct generation *generation)
{
	care->generation = generation;
	care->moving = moving_start(base, generation->config, generation->limits, care->moving,
		generation->counterparts, on_server_moved, care);
	care->health = health_start(base, generation->config, generation->limits, care->health,
		generation->counterparts, on_health_changed, care);
	care->agents = agents_start(base, generation->config, generation->limits, care->agents,
		generation->counterparts,
		&(struct agents_host){on_health_changed, on_state_said, care});
}

void care_observe(const struct care *care)
{
	health_observe(care->health);
}

/* --- what an operator sets --- */

/* The end of HAProxy's line about a server that has no new clients any more. */
static void format_left(const struct care *care, const struct proxy *backend,
	const struct server *server, char *out, size_t room)
{
	struct limits *limits = care->generation->limits;
	unsigned active, backups;
	unsigned waiting = backend->queues ? queue_length(limits_server_queue(limits, server)) : 0;
	const char *by_backup;

	balance_count(limits, backend, &active, &backups);
	by_backup = active == 0 && backups > 0 && !server->backup ? " Running on backup." : "";
	if (limits_state(limits, server) == SERVER_MAINT)
		snprintf(out, room,
			"%u active and %u backup servers left.%s %u sessions active, 0 requeued, %u remaining in queue.",
			active, backups, by_backup, limits_server_sessions(limits, server),
			waiting);
	else
		snprintf(out, room,
			"%u active and %u backup servers online.%s 0 sessions requeued, %u total in queue.",
			active, backups, by_backup, waiting);
}

/* As HAProxy's log has it. WAS_UP: clients could come to it before. */
static void report_state(const struct care *care, const struct proxy *backend,
	const struct server *server, enum server_state before, bool was_up)
{
	struct limits *limits = care->generation->limits;
	enum server_state now = limits_state(limits, server);
	bool goes = now > before && was_up;
	char left[160], what[256];

	format_left(care, backend, server, left, sizeof(left));
	if (now == SERVER_MAINT && was_up)
		snprintf(what, sizeof(what), "is going DOWN for maintenance. %s", left);
	else if (now == SERVER_MAINT)
		snprintf(what, sizeof(what), "was DOWN and now enters maintenance.");
	else if (before == SERVER_MAINT)
		snprintf(what, sizeof(what), "is %s/%s (leaving forced maintenance).",
			limits_is_up(limits, server) ? "UP" : "DOWN",
			now == SERVER_DRAIN ? "DRAIN" : "READY");
	else if (now == SERVER_DRAIN)
		snprintf(what, sizeof(what), "enters drain state. %s", left);
	else
		snprintf(what, sizeof(what), "is %s (leaving forced drain).",
			was_up ? "UP" : "DOWN");
	log_line(care->generation->log, backend, goes ? LOG_ALERT : LOG_NOTICE, "%sServer %s/%s %s",
		server->backup ? "Backup " : "", backend->name, server->name, what);
}

static void follow_state(struct care *care, const struct proxy *backend,
	const struct server *server, enum server_state before)
{
	struct limits *limits = care->generation->limits;
	enum server_state now = limits_state(limits, server);
	bool was_up = limits_is_up(limits, server);

	if (now == before)
		return;
	if (before == SERVER_MAINT)
		health_recover(care->health, limits, server);
	else if (now == SERVER_MAINT && server->ends_sessions_down)
		limits_end_sessions(limits, server, REASON_SERVER_DOWN);
	report_state(care, backend, server, before, was_up);
	if (balance_usable(limits, backend) == 0)
		report_no_server(care->generation->log, backend);
}

static bool tracks(const struct server *server, const struct server *other)
{
	while (server != NULL && server != other)
		server = server->track;
	return server != NULL;
}

void care_set_state(struct care *care, const struct proxy *backend, const struct server *server,
	enum server_state state)
{
	const struct config *config = care->generation->config;
	struct limits *limits = care->generation->limits;
	enum server_state *before = calloc(config->server_count, sizeof(*before));

	for (size_t i = 0; before != NULL && i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			before[config->proxies[i].servers[j].index] =
				limits_state(limits, &config->proxies[i].servers[j]);
	limits_set_state(limits, backend, server, state);
	for (size_t i = 0; before != NULL && i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct server *each = &config->proxies[i].servers[j];

			if (tracks(each, server))
				follow_state(care, &config->proxies[i], each, before[each->index]);
		}
	free(before);
	stats_look(care->stats);
}

void care_end(struct care *care)
{
	agents_free(care->agents);
	health_free(care->health);
	moving_free(care->moving);
	*care = (struct care){0};
}
