/*
 * Rules: what becomes of a client, by conditions. `tcp-request`, `use_backend` and `use-server`.
 *
 * They are kept in the order of the file, and each kind is asked at its stage. Names of backends and servers become pointers after the last
 * line.
 */
#include "parser.h"

#include "tproxy/units.h"

#include <string.h>

/* The line's words, parted by spaces. NULL without memory. */
static const char *line_text(struct parser *parser)
{
	size_t size = 0, used = 0;
	char *text;

	for (size_t i = 0; i < parser->words.count; i++)
		size += strlen(parser->words.list[i]) + 1;
	text = memory_alloc(parser->memory, size + 1);
	for (size_t i = 0; text != NULL && i < parser->words.count; i++)
		used += (size_t)snprintf(text + used, size + 1 - used, "%s%s", i == 0 ? "" : " ",
			parser->words.list[i]);
	return text;
}

static bool at_condition(const struct parser *parser)
{
	const char *word = parser_peek_word(parser);

	return word != NULL && (strcmp(word, "if") == 0 || strcmp(word, "unless") == 0);
}

/* Reads the condition, and adds the rule to the section. TARGET is the name that it gives, or NULL. */
static void parse_rule(struct parser *parser, enum rule_stage stage, enum client_rule_action action,
	const char *target)
{
	struct section *section = parser->section;
	struct rule_line line = {.stage = stage,
		.rule = {.action = action, .text = line_text(parser), .line = parser->line},
		.target = target};
	struct rule_line *grown;

	if (at_condition(parser) && !parse_condition(parser, &line.rule.condition))
		return;
	grown = memory_grow(parser->memory, section->rules, section->rule_count, sizeof(*grown));
	if (grown == NULL)
		return;
	section->rules = grown;
	section->rules[section->rule_count++] = line;
}

/* `tcp-request` and the word NAME, which stand in front. */
static void parse_tcp_request(struct parser *parser, enum rule_stage stage, const char *name)
{
	bool may_expect = stage == STAGE_CONNECTION;
	const char *action = parser_require_word(
		parser, may_expect ? "accept, reject or expect-proxy layer4" : "accept or reject");

	if (action == NULL)
		return;
	if (parser->section->use_backend_line != 0)
		parser_warn_at(parser, parser->line, name,
			"it is asked before the 'use_backend' of line %u, although it follows it; "
			"write it above",
			parser->section->use_backend_line);
	if (strcmp(action, "accept") == 0) {
		parse_rule(parser, stage, RULE_ACCEPT, NULL);
	} else if (strcmp(action, "reject") == 0) {
		parse_rule(parser, stage, RULE_REJECT, NULL);
	} else if (may_expect && strcmp(action, "expect-proxy") == 0) {
		if (!parser_take_word(parser, "layer4"))
			parser_fail(parser, action, "'layer4' is missing after it");
		parse_rule(parser, stage, RULE_EXPECT_PROXY, NULL);
	} else {
		parser_fail(parser, action, "not supported: the actions are accept%s",
			may_expect ? ", reject and expect-proxy layer4" : " and reject");
		parser->next = parser->words.count;
	}
}

void parse_tcp_request_connection(struct parser *parser)
{
	parse_tcp_request(parser, STAGE_CONNECTION, "tcp-request connection");
}

void parse_tcp_request_session(struct parser *parser)
{
	parse_tcp_request(parser, STAGE_SESSION, "tcp-request session");
}

void parse_tcp_request_content(struct parser *parser)
{
	parse_tcp_request(parser, STAGE_CONTENT, "tcp-request content");
}

/* A test of addresses never waits for bytes. */
void parse_tcp_request_inspect_delay(struct parser *parser)
{
	const char *word = parser_require_word(parser, "a duration"), *error = NULL;
	unsigned unused;

	if (word != NULL)
		error = duration_parse(word, &unused);
	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else if (word != NULL)
		parser_warn_at(parser, parser->line, "tcp-request inspect-delay",
			"no effect: no rule waits for what the client sends");
}

void parse_use_backend(struct parser *parser)
{
	const char *name = parser_require_text(parser, "the backend's name");

	if (name == NULL)
		return;
	if (strchr(name, '%') != NULL) {
		parser_fail(parser, name, "not supported: write the name of a backend");
		parser->next = parser->words.count;
		return;
	}
	if (parser->section->use_backend_line == 0)
		parser->section->use_backend_line = parser->line;
	parse_rule(parser, STAGE_BACKEND, RULE_CHOOSE, name);
}

void parse_use_server(struct parser *parser)
{
	const char *name = parser_require_text(parser, "the server's name");

	if (name == NULL)
		return;
	if (!at_condition(parser))
		parser_fail(parser, name, "'if' or 'unless' with a condition is missing after it");
	parse_rule(parser, STAGE_SERVER, RULE_CHOOSE, name);
}

/* --- after the last line --- */

static void resolve_backend(
	struct parser *parser, const struct proxy *proxy, struct rule_line *line)
{
	const struct claim *backend = claims_find(&parser->backends, line->target);

	if (backend != NULL)
		line->rule.backend = &parser->config->proxies[backend->index];
	else if (!parser->skipped)
		parser_fail_at(parser, line->rule.line, line->target,
			"no backend or listen section of this file has this name");
	if (line->rule.backend == proxy)
		parser_fail_at(parser, line->rule.line, line->target,
			"the section itself; leave the line out, since its servers are used without it");
}

static void resolve_server(struct parser *parser, const struct section *section,
	const struct proxy *proxy, struct rule_line *line)
{
	const struct claim *server = claims_find(&section->server_names, line->target);

	if (server == NULL)
		parser_fail_at(parser, line->rule.line, line->target,
			"no 'server' line of '%s' has this name", proxy->name);
	else if (server->index < proxy->server_count)
		line->rule.server = &proxy->servers[server->index];
}

static void take_rule(
	struct parser *parser, struct client_rules *rules, const struct client_rule *rule)
{
	struct client_rule *grown =
		memory_grow(parser->memory, rules->list, rules->count, sizeof(*grown));

	if (grown == NULL)
		return;
	rules->list = grown;
	rules->list[rules->count++] = *rule;
}

static void resolve_section(struct parser *parser, struct section *section, struct proxy *proxy)
{
	for (size_t i = 0; i < section->rule_count; i++) {
		struct rule_line *line = &section->rules[i];

		if (line->stage == STAGE_BACKEND)
			resolve_backend(parser, proxy, line);
		else if (line->stage == STAGE_SERVER)
			resolve_server(parser, section, proxy, line);
		take_rule(parser, &proxy->rules[line->stage], &line->rule);
	}
}

static void resolve_counting_tests(struct parser *parser)
{
	for (size_t i = 0; i < parser->counting_test_count; i++) {
		const struct counting_test *counting = &parser->counting_tests[i];
		const struct claim *backend = claims_find(&parser->backends, counting->backend);

		if (backend != NULL)
			counting->test->backend = &parser->config->proxies[backend->index];
		else if (!parser->skipped)
			parser_fail_at(parser, counting->line, counting->backend,
				"no backend or listen section of this file has this name");
	}
}

/* Adds a backend to those of PROXY, unless it is there. MARKS has the proxy for which each backend was added last. */
static void add_target(struct parser *parser, struct proxy *proxy, const struct proxy *backend,
	const struct proxy **marks)
{
	const struct proxy **grown;

	if (backend == NULL || marks[backend->index] == proxy)
		return;
	grown = memory_grow(
		parser->memory, proxy->targets, proxy->target_count, sizeof(struct proxy *));
	if (grown == NULL)
		return;
	proxy->targets = grown;
	proxy->targets[proxy->target_count++] = backend;
	marks[backend->index] = proxy;
}

void config_resolve_rules(struct parser *parser)
{
	struct config *config = parser->config;
	struct section *section = parser->sections;
	const struct proxy **marks =
		memory_alloc(parser->memory, config->proxy_count * sizeof(struct proxy *));

	if (marks == NULL)
		return;
	resolve_counting_tests(parser);
	for (size_t i = 0; i < config->proxy_count; i++, section = section->next) {
		struct proxy *proxy = &config->proxies[i];

		resolve_section(parser, section, proxy);
		add_target(parser, proxy, proxy->default_backend, marks);
		for (size_t j = 0; j < proxy->rules[STAGE_BACKEND].count; j++)
			add_target(
				parser, proxy, proxy->rules[STAGE_BACKEND].list[j].backend, marks);
	}
}

bool config_reads_header(const struct proxy *frontend, const struct bind *bind)
{
	const struct client_rules *rules = &frontend->rules[STAGE_CONNECTION];

	for (size_t i = 0; i < rules->count; i++)
		if (rules->list[i].action == RULE_EXPECT_PROXY)
			return true;
	return bind->accept_proxy;
}

bool config_logs_sessions(const struct proxy *frontend)
{
	return frontend->options & (OPTION_TCPLOG | OPTION_JSONLOG) ||
	       frontend->log_format.count > 0;
}

bool config_logs_sockets(const struct proxy *frontend)
{
	if (frontend->options & (OPTION_TCPLOG | OPTION_JSONLOG))
		return frontend->options & OPTION_JSONLOG;
	return frontend->log_format.needs_sockets;
}
