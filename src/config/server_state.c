/*
 * Parameters of servers about their state: which server's it follows, what errors of clients' connections do to it, and what its
 * changes do to sessions.
 */
#include "parser.h"

#include <string.h>

/* Takes a word, which must be the only one that is supported. */
static bool take_only(struct parser *parser, const char *only, const char *why)
{
	const char *word = parser_require_word(parser, only);

	if (word != NULL && strcmp(word, only) != 0)
		parser_fail(parser, word, "%s; write '%s'", why, only);
	return word != NULL;
}

void parse_server_observe(struct parser *parser)
{
	parser->server->server.check.observes =
		take_only(parser, "layer4", "not supported: tproxyd reads nothing of what passes");
}

void parse_server_on_marked_down(struct parser *parser)
{
	parser->server->server.ends_sessions_down =
		take_only(parser, "shutdown-sessions", "not an action");
}

void parse_server_on_marked_up(struct parser *parser)
{
	parser->server->server.ends_backups_up =
		take_only(parser, "shutdown-backup-sessions", "not an action");
}

void parse_server_on_error(struct parser *parser)
{
	static const char *const names[] = {
		[ON_ERROR_FAIL_CHECK] = "fail-check",
		[ON_ERROR_FASTINTER] = "fastinter",
		[ON_ERROR_SUDDEN_DEATH] = "sudden-death",
		[ON_ERROR_MARK_DOWN] = "mark-down",
	};
	const char *word = parser_require_word(parser, "an action such as mark-down");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && word != NULL; i++)
		if (strcmp(word, names[i]) == 0) {
			parser->server->server.check.on_error = (enum on_error)i;
			return;
		}
	if (word != NULL)
		parser_fail(parser, word,
			"not an action; write 'fastinter', 'fail-check', 'sudden-death' or 'mark-down'");
}

void parse_server_track(struct parser *parser)
{
	parser->server->track = parser_require_text(parser, "a server, or BACKEND/SERVER");
}

/* --- after the last line --- */

static const struct server *find_server(const struct proxy *backend, const char *name)
{
	for (size_t i = 0; i < backend->server_count; i++)
		if (strcmp(backend->servers[i].name, name) == 0)
			return &backend->servers[i];
	return NULL;
}

/* The server that TEXT names, from within BACKEND; NULL: there is none. */
static const struct server *find_tracked(
	const struct parser *parser, const struct proxy *backend, const char *text)
{
	const char *slash = strchr(text, '/');

	if (slash == NULL)
		return find_server(backend, text);
	for (size_t i = 0; i < parser->config->proxy_count; i++) {
		const struct proxy *other = &parser->config->proxies[i];

		if (other->role & ROLE_BACKEND && strlen(other->name) == (size_t)(slash - text) &&
			strncmp(other->name, text, (size_t)(slash - text)) == 0)
			return find_server(other, slash + 1);
	}
	return NULL;
}

static void resolve_track(struct parser *parser, const struct proxy *backend,
	const struct server_line *line, struct server *server)
{
	if (line->track == NULL)
		return;
	server->track = find_tracked(parser, backend, line->track);
	if (server->check.on)
		parser_fail_at(parser, server->line, "track",
			"the server cannot be checked, too; leave 'check' out, or write 'no-check'");
	else if (server->track == NULL)
		parser_fail_at(parser, server->line, line->track,
			"no server of this file; write its name, or BACKEND/SERVER");
}

/* Whoever follows others must come to one that is checked. */
static void check_track(struct parser *parser, const struct server *server)
{
	const struct server *last = server;
	unsigned steps = 0;

	while (last->track != NULL && steps++ <= parser->config->server_count)
		last = last->track;
	if (server->track != NULL && !last->check.on)
		parser_fail_at(parser, server->line, server->name,
			"'track' leads to no server that is checked; write 'check' on the line of '%s'",
			last->name);
}

void config_resolve_tracks(struct parser *parser)
{
	struct config *config = parser->config;
	const struct section *section = parser->sections;

	for (size_t i = 0; i < config->proxy_count; i++, section = section->next)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			resolve_track(parser, &config->proxies[i], &section->servers[j],
				&config->proxies[i].servers[j]);
	if (diag_count(parser->diag, DIAG_ERROR) > 0)
		return;
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			check_track(parser, &config->proxies[i].servers[j]);
}
