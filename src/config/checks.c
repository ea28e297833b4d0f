/*
 * What a check does, line by line: `tcp-check` and `http-check`, save for the request of HTTP.
 *
 * The lines are kept beside the option that makes them hold, as HAProxy keeps them: it may come before or after them, and a
 * section that has lines of its own has none of those of `defaults`.
 */
#include "checks.h"

#include "tproxy/units.h"
#include "words/address.h"

#include <stdio.h>
#include <string.h>

enum {
	STEPS_MAX = 1000
};

/* The lines of a kind so far; those that were taken from `defaults` are dropped. */
static struct check_rules *own_rules(struct parser *parser, struct check_rules *rules)
{
	if (rules->owner != parser->section)
		*rules = (struct check_rules){.owner = parser->section, .line = parser->line};
	return rules;
}

static struct check_rules *tcp_rules(struct parser *parser)
{
	return own_rules(parser, &parser->section->checks.tcp);
}

struct check_rules *checks_http_rules(struct parser *parser)
{
	return own_rules(parser, &parser->section->checks.http);
}

/* Adds a step. A comment goes with it, and with those of its kind that follow it at once, as in HAProxy. */
static void add_step(struct parser *parser, struct check_rules *rules, struct health_step step)
{
	if (!rules->commented && step.action != rules->last)
		rules->comment = NULL;
	rules->commented = false;
	rules->last = step.action;
	step.number = ++rules->lines;
	if (step.comment == NULL)
		step.comment = rules->comment;
	if (step.action == HEALTH_CONNECT)
		rules->comment = NULL;
	if (rules->script.count == STEPS_MAX)
		parser_fail(parser, NULL, "a check has %d steps at most", STEPS_MAX);
	else
		health_add_step(&rules->script, parser->memory, step);
}

static void parse_comment(struct parser *parser, struct check_rules *rules)
{
	rules->comment = parser_require_text(parser, "the comment");
	rules->commented = true;
	rules->lines++;
}

void parse_tcp_check_comment(struct parser *parser)
{
	parse_comment(parser, tcp_rules(parser));
}

void parse_http_check_comment(struct parser *parser)
{
	parse_comment(parser, checks_http_rules(parser));
}

/* Takes `comment` and its text, if they are next. */
bool checks_take_comment(struct parser *parser, struct health_step *step)
{
	if (!parser_take_word(parser, "comment"))
		return false;
	step->comment = parser_require_text(parser, "the comment");
	return true;
}

/* --- connect --- */

static void parse_connect_address(struct parser *parser, struct health_step *step)
{
	const char *word = parser_require_word(parser, "an address");
	struct address address;
	const char *error = word == NULL ? NULL : address_parse(word, 0, &address);

	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else if (word != NULL && addr_is_any(&address.addr))
		parser_fail(parser, word, "not an address that can be checked");
	else if (word != NULL)
		step->address = address.addr;
}

/* Takes an unknown parameter, which is reported. */
static void refuse_parameter(struct parser *parser)
{
	static const char *const of_tls[] = {"ssl", "sni", "alpn"};
	const char *word = parser_next_word(parser);

	for (size_t i = 0; i < sizeof(of_tls) / sizeof(of_tls[0]); i++)
		if (strcmp(word, of_tls[i]) == 0) {
			parser_fail(parser, word, "not supported: tproxyd does not speak TLS");
			parser->next = parser->words.count;
			return;
		}
	parser_fail(parser, word,
		"not supported; there are comment, port, addr, send-proxy, linger and default");
	parser->next = parser->words.count;
}

static void parse_connect(struct parser *parser, struct check_rules *rules)
{
	struct health_step step = {.action = HEALTH_CONNECT};

	if (rules->script.count > 0 && rules->script.steps[0].action != HEALTH_CONNECT)
		parser_fail(parser, "connect",
			"the steps before it have no connection of their own; let the first one be a 'connect', too");
	while (parser_peek_word(parser) != NULL)
		if (parser_take_word(parser, "default"))
			step.as_server = true;
		else if (parser_take_word(parser, "send-proxy"))
			step.send_proxy = true;
		else if (parser_take_word(parser, "linger"))
			step.linger = true;
		else if (parser_take_word(parser, "port"))
			parser_require_number(parser, 1, 65535, &step.port);
		else if (parser_take_word(parser, "addr"))
			parse_connect_address(parser, &step);
		else if (!checks_take_comment(parser, &step))
			refuse_parameter(parser);
	add_step(parser, rules, step);
}

void parse_tcp_check_connect(struct parser *parser)
{
	parse_connect(parser, tcp_rules(parser));
}

void parse_http_check_connect(struct parser *parser)
{
	struct check_rules *rules = checks_http_rules(parser);

	if (rules->script.count > 0)
		parser_fail(parser, "connect",
			"a check of HTTP has one connection and one request; let it be the first line");
	parse_connect(parser, rules);
}

/* --- send --- */

/* Digits of hexadecimal, two for each byte. */
static bool parse_hex(struct parser *parser, const char *text, struct health_bytes *data)
{
	size_t length = strlen(text);
	char *bytes = memory_alloc(parser->memory, length / 2 + 1);

	if (length % 2 != 0 || strspn(text, "0123456789abcdefABCDEF") != length) {
		parser_fail(parser, text, "not bytes in hexadecimal, with two digits for each");
		return false;
	}
	for (size_t i = 0; bytes != NULL && i < length / 2; i++) {
		unsigned byte;

		sscanf(text + 2 * i, "%2x", &byte);
		bytes[i] = (char)byte;
	}
	*data = (struct health_bytes){bytes, bytes == NULL ? 0 : length / 2};
	return bytes != NULL;
}

static void parse_send(struct parser *parser, bool binary)
{
	const char *text = parser_require_text(parser, "what is sent");
	struct health_step step = {.action = HEALTH_SEND};

	if (text == NULL)
		return;
	if (binary)
		parse_hex(parser, text, &step.data);
	else
		step.data = (struct health_bytes){text, strlen(text)};
	checks_take_comment(parser, &step);
	add_step(parser, tcp_rules(parser), step);
}

void parse_tcp_check_send(struct parser *parser)
{
	parse_send(parser, false);
}

void parse_tcp_check_send_binary(struct parser *parser)
{
	parse_send(parser, true);
}

/* --- expect --- */

static void parse_status(struct parser *parser, enum health_status *status,
	const enum health_status *allowed, size_t count)
{
	static const char *const names[] = {[HEALTH_L4OK] = "L4OK",
		[HEALTH_L4TOUT] = "L4TOUT",
		[HEALTH_L4CON] = "L4CON",
		[HEALTH_L6OK] = "L6OK",
		[HEALTH_L6TOUT] = "L6TOUT",
		[HEALTH_L6RSP] = "L6RSP",
		[HEALTH_L7OK] = "L7OK",
		[HEALTH_L7TOUT] = "L7TOUT",
		[HEALTH_L7RSP] = "L7RSP",
		[HEALTH_L7STS] = "L7STS"};
	const char *word = parser_require_word(parser, "a status such as L7OK");

	for (size_t i = 0; word != NULL && i < count; i++)
		if (strcmp(word, names[allowed[i]]) == 0) {
			*status = allowed[i];
			return;
		}
	if (word != NULL)
		parser_fail(parser, word, "not supported here; the first one of them is %s",
			names[allowed[0]]);
}

static void parse_note(struct parser *parser, struct health_note *note)
{
	const char *text = parser_require_text(parser, "the text");

	if (text != NULL && strchr(text, '%') != NULL)
		parser_fail(parser, text, "%s", CHECKS_NO_FORMAT);
	*note = (struct health_note){.kind = NOTE_TEXT, .text = text};
}

/* Takes a parameter that may stand before what is expected. False: it is none. */
static bool take_parameter(struct parser *parser, struct health_step *step)
{
	static const enum health_status good[] = {HEALTH_L7OK, HEALTH_L6OK, HEALTH_L4OK};
	static const enum health_status bad[] = {
		HEALTH_L7RSP, HEALTH_L7STS, HEALTH_L6RSP, HEALTH_L4CON};
	static const enum health_status late[] = {HEALTH_L7TOUT, HEALTH_L6TOUT, HEALTH_L4TOUT};
	unsigned least;

	if (parser_take_word(parser, "min-recv")) {
		if (parser_take_word(parser, "-1"))
			step->least = -1;
		else if (parser_require_number(parser, 0, HEALTH_INPUT_MAX, &least))
			step->least = (int)least;
	} else if (parser_take_word(parser, "ok-status")) {
		parse_status(parser, &step->passed, good, sizeof(good) / sizeof(good[0]));
	} else if (parser_take_word(parser, "error-status")) {
		parse_status(parser, &step->failed, bad, sizeof(bad) / sizeof(bad[0]));
	} else if (parser_take_word(parser, "tout-status")) {
		parse_status(parser, &step->silent, late, sizeof(late) / sizeof(late[0]));
	} else if (parser_take_word(parser, "on-success")) {
		parse_note(parser, &step->on_success);
	} else if (parser_take_word(parser, "on-error")) {
		parse_note(parser, &step->on_error);
	} else {
		return checks_take_comment(parser, step);
	}
	return true;
}

static void parse_regex(struct parser *parser, const char *text, struct health_step *step)
{
	const char *error = health_compile(parser->memory, text, &step->regex);

	if (error != NULL)
		parser_fail(parser, text, "%s", error);
}

/* Codes and ranges of them, such as 200-299,304. */
static void parse_codes(struct parser *parser, const char *list, struct health_step *step)
{
	char copy[sizeof(parser->words.text)], *item, *next = copy;

	memcpy(copy, list, strlen(list) + 1);
	while ((item = strsep(&next, ",")) != NULL) {
		struct health_codes codes, *grown;
		char *dash = strchr(item, '-');

		if (dash != NULL)
			*dash = '\0';
		if (number_parse(item, 100, 999, &codes.low) != NULL ||
			number_parse(dash == NULL ? item : dash + 1, 100, 999, &codes.high) !=
				NULL ||
			codes.low > codes.high) {
			parser_fail(parser, list, "not codes of HTTP, as in 200-299,304");
			return;
		}
		grown = memory_grow(parser->memory, step->codes, step->code_count, sizeof(codes));
		if (grown == NULL)
			return;
		step->codes = grown;
		step->codes[step->code_count++] = codes;
	}
}

static void parse_pattern(struct parser *parser, struct health_step *step)
{
	const char *text = parser_require_text(parser, "what is expected");

	if (text == NULL)
		return;
	switch (step->match) {
	case MATCH_STRING:
	case MATCH_BODY:
		step->wanted = (struct health_bytes){text, strlen(text)};
		break;
	case MATCH_BINARY:
		parse_hex(parser, text, &step->wanted);
		break;
	case MATCH_STATUS:
		parse_codes(parser, text, step);
		break;
	case MATCH_REGEX:
	case MATCH_BINARY_REGEX:
	case MATCH_STATUS_REGEX:
	case MATCH_BODY_REGEX:
		parse_regex(parser, text, step);
		break;
	case MATCH_MYSQL:
	case MATCH_LINE:
		break;
	}
}

struct match_name {
	const char *name;
	enum health_match match;
};

/* The exclamation mark may be a word of its own. False after an error. */
static bool parse_match(struct parser *parser, struct health_step *step,
	const struct match_name *names, size_t count)
{
	const char *word;

	step->negated = parser_take_word(parser, "!");
	word = parser_require_word(parser, "what is expected");
	if (word == NULL)
		return false;
	if (*word == '!') {
		step->negated = true;
		word++;
	}
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, names[i].name) == 0) {
			step->match = names[i].match;
			return true;
		}
	parser_fail(parser, word,
		count == 4 && names[0].match == MATCH_STATUS
			? "not supported; there are status, rstatus, string and rstring"
			: "not supported; there are string, rstring, binary and rbinary");
	parser->next = parser->words.count;
	return false;
}

static void parse_expect(struct parser *parser, struct check_rules *rules, enum health_kind kind,
	const struct match_name *names, size_t count)
{
	struct health_step step = health_expectation(MATCH_STRING, kind);
	const enum health_status unsaid = HEALTH_SOCKERR; /* no line can say it */
	bool matched = false;

	step.failed = unsaid;
	while (parser_peek_word(parser) != NULL || !matched) {
		if (take_parameter(parser, &step))
			continue;
		if (matched)
			return; /* an unexpected word, which is reported */
		if (!parse_match(parser, &step, names, count))
			return;
		parse_pattern(parser, &step);
		matched = true;
	}
	if (step.failed == unsaid)
		step.failed = health_expectation(step.match, kind).failed;
	add_step(parser, rules, step);
}

void parse_tcp_check_expect(struct parser *parser)
{
	static const struct match_name names[] = {{"string", MATCH_STRING},
		{"rstring", MATCH_REGEX}, {"binary", MATCH_BINARY},
		{"rbinary", MATCH_BINARY_REGEX}};

	parse_expect(parser, tcp_rules(parser), HEALTH_BY_RULES, names, 4);
}

void parse_http_check_expect(struct parser *parser)
{
	static const struct match_name names[] = {{"status", MATCH_STATUS},
		{"rstatus", MATCH_STATUS_REGEX}, {"string", MATCH_BODY},
		{"rstring", MATCH_BODY_REGEX}};

	parse_expect(parser, checks_http_rules(parser), HEALTH_BY_HTTP, names, 4);
}
