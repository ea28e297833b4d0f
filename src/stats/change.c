/*
 * Commands that change something. Their answers are HAProxy's, word for word, since programs compare them.
 */
#include "command.h"

#include <string.h>

enum {
	NAME_ROOM = 256
};

struct place {
	const struct proxy *backend;
	const struct server *server;
};

static const struct server *find_server(const struct proxy *backend, const char *name)
{
	for (size_t i = 0; i < backend->server_count; i++)
		if (strcmp(backend->servers[i].name, name) == 0)
			return &backend->servers[i];
	return NULL;
}

/* "backend/server". False: there is none, which was said. */
static bool find_place(struct cli *cli, const char *text, struct place *place)
{
	const struct config *config = cli->core->subject.config;
	const char *slash = strchr(text, '/');
	size_t length = slash == NULL ? 0 : (size_t)(slash - text);

	if (slash == NULL) {
		cli_say(cli, "Require 'backend/server'.");
		return false;
	}
	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *backend = &config->proxies[i];

		if (!(backend->role & ROLE_BACKEND) || strlen(backend->name) != length ||
			memcmp(backend->name, text, length) != 0)
			continue;
		place->backend = backend;
		place->server = find_server(backend, slash + 1);
		if (place->server == NULL)
			cli_say(cli, "No such server.");
		return place->server != NULL;
	}
	cli_say(cli, "No such backend.");
	return false;
}

/* --- states --- */

static void set_state(struct cli *cli, const char *text, enum server_state state)
{
	struct place place;

	if (find_place(cli, text, &place))
		cli->core->host.set_state(cli->core->host.arg, place.backend, place.server, state);
}

void run_disable_server(struct cli *cli, const struct arguments *arguments)
{
	set_state(cli, arguments->words[0], SERVER_MAINT);
}

void run_enable_server(struct cli *cli, const struct arguments *arguments)
{
	set_state(cli, arguments->words[0], SERVER_READY);
}

static void set_state_by_name(struct cli *cli, const char *text, const char *name)
{
	static const char *const names[] = {
		[SERVER_READY] = "ready", [SERVER_DRAIN] = "drain", [SERVER_MAINT] = "maint"};

	for (int state = SERVER_READY; state <= SERVER_MAINT; state++)
		if (strcmp(name, names[state]) == 0) {
			set_state(cli, text, (enum server_state)state);
			return;
		}
	cli_say(cli, "'set server <srv> state' expects 'ready', 'drain' and 'maint'.");
}

/* --- weights --- */

static void set_weight(struct cli *cli, const char *where, const char *text)
{
	struct limits *limits = cli->core->subject.limits;
	struct place place;
	const char *error;
	unsigned weight;

	if (!find_place(cli, where, &place))
		return;
	error = setting_parse_weight(place.backend, place.server, text, &weight);
	if (error != NULL)
		cli_say(cli, error);
	else
		limits_set_weight(limits, place.backend, place.server, weight);
}

void run_set_weight(struct cli *cli, const struct arguments *arguments)
{
	set_weight(cli, arguments->words[0], arguments->words[1]);
}

void run_get_weight(struct cli *cli, const struct arguments *arguments)
{
	struct place place;

	if (find_place(cli, arguments->words[0], &place))
		evbuffer_add_printf(cli->out, "%u (initial %u)\n",
			limits_weight(cli->core->subject.limits, place.server),
			place.server->weight);
}

void run_set_server(struct cli *cli, const struct arguments *arguments)
{
	const char *where = arguments->words[0], *what = arguments->words[1];
	struct place place;

	if (!find_place(cli, where, &place))
		return;
	if (strcmp(what, "state") == 0)
		set_state_by_name(cli, where, arguments->words[2]);
	else if (strcmp(what, "weight") == 0)
		set_weight(cli, where, arguments->words[2]);
	else
		cli_say(cli, "usage: set server <backend>/<server> state | weight");
}

/* --- the rest --- */

void run_shutdown_sessions_server(struct cli *cli, const struct arguments *arguments)
{
	struct place place;

	if (find_place(cli, arguments->words[0], &place))
		limits_end_sessions(cli->core->subject.limits, place.server, REASON_KILLED);
}

static void clear_proxy(const struct stats_subject *subject, const struct proxy *proxy, bool all)
{
	struct limits *limits = subject->limits;
	struct limits_counts counts = limits_counts(limits, proxy, proxy, NULL);

	tally_clear(tally_of_frontend(subject->tallies, proxy), all, counts.frontend, 0);
	tally_clear(tally_of_backend(subject->tallies, proxy), all, counts.backend,
		proxy->queues ? queue_length(limits_backend_queue(limits, proxy)) : 0);
	for (size_t i = 0; i < proxy->server_count; i++) {
		const struct server *server = &proxy->servers[i];
		struct tally *tally = tally_of_server(subject->tallies, server);
		struct health_report report;

		tally_clear(tally, all, limits_server_sessions(limits, server),
			proxy->queues ? queue_length(limits_server_queue(limits, server)) : 0);
		if (all && health_report(subject->health, server, &report))
			tally_standing(tally)->failures = report.failures;
	}
}

void run_clear_counters(struct cli *cli, const struct arguments *arguments)
{
	const struct stats_subject *subject = &cli->core->subject;
	bool all = strcmp(arguments->words[0], "all") == 0;

	if (all && cli->level < STATS_ADMIN) {
		cli_say(cli, "Permission denied");
		return;
	}
	for (size_t i = 0; i < subject->config->proxy_count; i++)
		clear_proxy(subject, &subject->config->proxies[i], all);
	cli->core->process.most_rate = cli->core->process.most_connection_rate = 0;
}
