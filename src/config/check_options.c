/*
 * Which check a section has, by `option tcp-check`, `option httpchk` and the like, and the request of HTTP; and the agent of a
 * server.
 *
 * The last option holds. Only after the last line of the file, the option and the lines beside it become one script.
 */
#include "checks.h"

#include "tproxy/lookup.h"
#include "words/address.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	NAME_LONGEST = 255 /* bytes, of a user or a host */
};

/* --- an agent --- */

void parse_server_no_agent(struct parser *parser)
{
	parser->server->server.agent.on = false;
}

/* No port belongs to it, so an IPv6 address needs no brackets. */
void parse_server_agent_addr(struct parser *parser)
{
	const char *word = parser_require_word(parser, "an address"), *error = NULL;
	struct addr *addr = &parser->server->server.agent.addr;
	struct address address = {0};

	if (word == NULL)
		return;
	if (!addr_parse(addr, word)) {
		error = address_parse(word, NAMES, &address);
		*addr = address.addr;
	}
	if (error == NULL && address.name[0] != '\0' && parser->text_alone)
		return;
	if (error == NULL && address.name[0] != '\0') {
		parser->config->has_names = true;
		error = lookup_name(address.name, address.family, addr);
	}
	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else if (addr_port(&address.addr) != 0)
		parser_fail(parser, word, "a port does not belong here; write 'agent-port'");
	else if (addr_is_any(addr))
		parser_fail(parser, word, "not an address that can be asked");
}

void parse_server_agent_send(struct parser *parser)
{
	parser->server->server.agent.send = parser_require_text(parser, "what the agent is asked");
}

/* --- a request of HTTP --- */

/* A word of the request's first line, or the name of a field. */
static const char *require_token(struct parser *parser, const char *what)
{
	const char *text = parser_require_text(parser, what);

	for (const char *at = text; at != NULL && *at != '\0'; at++)
		if (!isgraph((unsigned char)*at)) {
			parser_fail(parser, text, "cannot hold a space or a control character");
			break;
		}
	return text;
}

static void add_field(
	struct parser *parser, struct health_request *request, const char *name, const char *value)
{
	static const char *const own[] = {"connection", "content-length", "transfer-encoding"};
	struct health_field *grown;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcasecmp(name, own[i]) == 0) {
			parser_fail(
				parser, name, "the check writes this field itself; leave it out");
			return;
		}
	if (strpbrk(value, "\r\n") != NULL)
		parser_fail(parser, value, "a field of HTTP is one line");
	if (strchr(value, '%') != NULL)
		parser_fail(parser, value, "%s", CHECKS_NO_FORMAT);
	grown = memory_grow(parser->memory, request->fields, request->field_count, sizeof(*grown));
	if (grown == NULL)
		return;
	request->fields = grown;
	request->fields[request->field_count++] = (struct health_field){name, value};
}

/* Fields and a body behind the version, as files for HAProxy before 2.2 have them. */
static void parse_hidden(struct parser *parser, struct health_request *request, char *text)
{
	char *body = strstr(text, "\r\n\r\n"), *line;

	parser_warn_at(parser, parser->line, "option httpchk",
		"fields behind the version are read as HAProxy does; write 'http-check send' instead");
	if (body != NULL) {
		*body = '\0';
		request->body = body + 4;
	}
	while ((line = strsep(&text, "\n")) != NULL) {
		char *colon = strchr(line, ':');

		line[strcspn(line, "\r")] = '\0';
		if (*line == '\0')
			continue;
		if (colon == NULL) {
			parser_fail(parser, line, "not a field of HTTP; a colon is missing");
			continue;
		}
		*colon = '\0';
		add_field(parser, request, line, colon + 1 + strspn(colon + 1, " "));
	}
}

static void parse_version(struct parser *parser, struct health_request *request)
{
	const char *word = parser_require_word(parser, "the version");
	char *text = word == NULL ? NULL : memory_copy(parser->memory, word), *end;

	if (text == NULL)
		return;
	end = strstr(text, "\r\n");
	if (end != NULL) {
		*end = '\0';
		parse_hidden(parser, request, end + 2);
	}
	if (strcmp(text, "HTTP/1.0") != 0 && strcmp(text, "HTTP/1.1") != 0)
		parser_fail(parser, text, "not supported: write HTTP/1.0 or HTTP/1.1");
	request->version = text;
}

void parse_httpchk(struct parser *parser)
{
	struct section_checks *checks = &parser->section->checks;
	struct health_request *request = &checks->option_request;
	bool has_method = parser->next + 1 < parser->words.count;

	checks->option = CHECK_OPTION_HTTP;
	*request = (struct health_request){0};
	if (has_method)
		request->method = require_token(parser, "the method");
	if (parser_peek_word(parser) != NULL)
		request->uri = require_token(parser, "the path");
	if (parser_peek_word(parser) != NULL)
		parse_version(parser, request);
}

/* Takes what may stand in a `http-check send`. False: it is unknown. */
static bool take_request_part(struct parser *parser, struct health_request *request)
{
	struct health_step
		comment; /* of no use: nothing can go wrong with a request that names it */

	if (parser_take_word(parser, "meth")) {
		request->method = require_token(parser, "the method");
	} else if (parser_take_word(parser, "uri")) {
		request->uri = require_token(parser, "the path");
	} else if (parser_take_word(parser, "ver")) {
		parse_version(parser, request);
	} else if (parser_take_word(parser, "body")) {
		request->body = parser_require_text(parser, "the body");
	} else if (parser_take_word(parser, "hdr")) {
		const char *name = require_token(parser, "the field's name");
		const char *value = parser_require_text(parser, "the field's value");

		if (name != NULL && value != NULL)
			add_field(parser, request, name, value);
	} else {
		return checks_take_comment(parser, &comment);
	}
	return true;
}

void parse_http_check_send(struct parser *parser)
{
	struct check_rules *rules = checks_http_rules(parser);

	if (rules->has_request)
		parser_fail(parser, "send",
			"a check of HTTP has one request here; leave the others out");
	rules->has_request = true;
	rules->lines++;
	while (parser_peek_word(parser) != NULL)
		if (!take_request_part(parser, &rules->request)) {
			parser_fail(parser, parser_peek_word(parser),
				"not supported; there are meth, uri, ver, hdr, body and comment");
			parser->next = parser->words.count;
		}
}

/* --- options --- */

void parse_tcp_check(struct parser *parser)
{
	parser->section->checks.option = CHECK_OPTION_TCP;
}

static void set_protocol(struct parser *parser, struct health_script script)
{
	parser->section->checks.option = CHECK_OPTION_PROTOCOL;
	parser->section->checks.protocol = script;
}

void parse_redis_check(struct parser *parser)
{
	set_protocol(parser, health_script_redis(parser->memory));
}

void parse_ssl_hello_chk(struct parser *parser)
{
	set_protocol(parser, health_script_tls(parser->memory));
}

/* A word of bounded length; NULL after an error. */
static const char *require_name(struct parser *parser, const char *what)
{
	const char *word = parser_require_word(parser, what);

	if (word == NULL || strlen(word) <= NAME_LONGEST)
		return word;
	parser_fail(parser, word, "too long; it can have %d bytes", NAME_LONGEST);
	return NULL;
}

/* As in HAProxy, a greeting without a name is the default one. */
void parse_smtpchk(struct parser *parser)
{
	const char *greeting = parser_next_word(parser), *name = NULL;
	char hello[NAME_LONGEST + 8] = "HELO localhost";

	if (greeting != NULL && parser_peek_word(parser) != NULL)
		name = require_name(parser, "the host's name");
	if (name != NULL && strcmp(greeting, "HELO") != 0 && strcmp(greeting, "EHLO") != 0)
		parser_fail(parser, greeting, "unknown greeting; write 'HELO' or 'EHLO'");
	else if (name != NULL)
		snprintf(hello, sizeof(hello), "%s %s", greeting, name);
	set_protocol(parser, health_script_smtp(parser->memory, hello));
}

void parse_mysql_check(struct parser *parser)
{
	const char *user = NULL, *word;
	bool before_41 = false;

	if (parser_take_word(parser, "user"))
		user = require_name(parser, "the user's name");
	word = user == NULL ? NULL : parser_next_word(parser);
	if (word != NULL && strcmp(word, "pre-41") == 0)
		before_41 = true;
	else if (word != NULL && strcmp(word, "post-41") != 0)
		parser_fail(parser, word, "unknown protocol; write 'post-41' or 'pre-41'");
	set_protocol(parser, health_script_mysql(parser->memory, user, before_41));
}

void parse_pgsql_check(struct parser *parser)
{
	const char *user = NULL;

	if (parser_take_word(parser, "user"))
		user = require_name(parser, "the user's name");
	else
		parser_fail(
			parser, "option pgsql-check", "'user' and its name are missing after it");
	if (user != NULL)
		set_protocol(parser, health_script_postgres(parser->memory, user));
}

/* --- after the last line --- */

/* The steps, behind a connection where they do not begin with one. */
static void add_steps(
	struct parser *parser, struct health_script *script, const struct check_rules *rules)
{
	if (rules->script.count == 0 || rules->script.steps[0].action != HEALTH_CONNECT)
		health_add_step(script, parser->memory,
			(struct health_step){.action = HEALTH_CONNECT, .as_server = true});
	for (size_t i = 0; i < rules->script.count; i++)
		health_add_step(script, parser->memory, rules->script.steps[i]);
}

/* What `http-check send` leaves open, `option httpchk` says. */
static struct health_request request_of(const struct section_checks *checks)
{
	struct health_request request = checks->http.request;
	const struct health_request *option = &checks->option_request;

	if (request.method == NULL)
		request.method = option->method;
	if (request.uri == NULL)
		request.uri = option->uri;
	if (request.version == NULL)
		request.version = option->version;
	if (request.field_count == 0) {
		request.fields = option->fields;
		request.field_count = option->field_count;
	}
	if (request.body == NULL)
		request.body = option->body;
	return request;
}

/* Codes 200 to 399 are fit, where nothing else is expected. */
static void add_http_steps(
	struct parser *parser, struct health_script *script, const struct section_checks *checks)
{
	static struct health_codes fit = {200, 399};
	const struct check_rules *rules = &checks->http;
	struct health_request request = request_of(checks);
	struct health_step ask = {
		.action = HEALTH_SEND, .data = health_write_request(parser->memory, &request)};
	struct health_step answer = health_expectation(MATCH_STATUS, HEALTH_BY_HTTP);
	bool connects = rules->script.count > 0 && rules->script.steps[0].action == HEALTH_CONNECT;

	if (connects && !rules->has_request)
		parser_fail_at(parser, rules->line, "http-check connect",
			"a request is missing after it; write 'http-check send'");
	answer.codes = &fit;
	answer.code_count = 1;
	health_add_step(script, parser->memory,
		connects ? rules->script.steps[0]
			 : (struct health_step){.action = HEALTH_CONNECT, .as_server = true});
	health_add_step(script, parser->memory, ask);
	for (size_t i = connects; i < rules->script.count; i++)
		health_add_step(script, parser->memory, rules->script.steps[i]);
	if (rules->script.count == (size_t)connects)
		health_add_step(script, parser->memory, answer);
}

static void warn_of_unused(struct parser *parser, const struct section *section,
	const struct check_rules *rules, enum check_option option, const char *lines,
	const char *missing)
{
	if (rules->lines > 0 && rules->owner == section && section->checks.option != option)
		parser_warn_at(parser, rules->line, lines,
			"no effect: the section has no '%s', or another check after it", missing);
}

const struct health_script *config_check_script(
	struct parser *parser, const struct section *section)
{
	static const enum health_kind kinds[] = {[CHECK_OPTION_TCP] = HEALTH_BY_RULES,
		[CHECK_OPTION_HTTP] = HEALTH_BY_HTTP,
		[CHECK_OPTION_PROTOCOL] = HEALTH_BY_PROTOCOL};
	const struct section_checks *checks = &section->checks;
	struct health_script *script;

	warn_of_unused(
		parser, section, &checks->tcp, CHECK_OPTION_TCP, "tcp-check", "option tcp-check");
	warn_of_unused(
		parser, section, &checks->http, CHECK_OPTION_HTTP, "http-check", "option httpchk");
	if (checks->option == CHECK_OPTION_NONE)
		return NULL;
	script = memory_alloc(parser->memory, sizeof(*script));
	if (script == NULL)
		return NULL;
	script->kind = kinds[checks->option];
	if (checks->option == CHECK_OPTION_TCP)
		add_steps(parser, script, &checks->tcp);
	else if (checks->option == CHECK_OPTION_HTTP)
		add_http_steps(parser, script, checks);
	else
		*script = checks->protocol;
	return script;
}
