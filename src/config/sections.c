/*
 * The sections, and those of their keywords that set nothing.
 *
 * A proxy starts as a copy of the last `defaults` before it, which itself starts from nothing: it
 * does not add to an earlier one. What a frontend takes from `defaults` that only a backend uses is
 * dropped at the end (resolve.c), so that the model never says more than what holds.
 *
 * Several `global` sections are one, as in HAProxy; a keyword may still stand only once, since
 * HAProxy takes the first of two in some cases and the last in others.
 */
#include "parser.h"

#include <string.h>

/* Notes the section's name. A frontend and a backend may share one, no others may. */
static void claim_section_name(struct parser *parser, const struct proxy *proxy)
{
	const struct claim *frontend = NULL, *backend = NULL;
	struct claim claim = {proxy->name, proxy->line, proxy->index};

	if (proxy->role & ROLE_FRONTEND)
		frontend = claims_find(&parser->frontends, proxy->name);
	if (proxy->role & ROLE_BACKEND)
		backend = claims_find(&parser->backends, proxy->name);
	if (frontend != NULL || backend != NULL)
		parser_fail(parser, proxy->name, "line %u has a section of this name already",
			(frontend != NULL ? frontend : backend)->line);
	if ((proxy->role & ROLE_FRONTEND) && frontend == NULL)
		claims_add(&parser->frontends, parser->memory, claim);
	if ((proxy->role & ROLE_BACKEND) && backend == NULL)
		claims_add(&parser->backends, parser->memory, claim);
}

/* A list of its own, since the section will add to it. */
static void copy_logs(struct parser *parser, struct section *section, const struct section *from)
{
	section->logs = NULL;
	section->log_count = 0;
	for (size_t i = 0; i < from->log_count; i++) {
		struct log_line *grown = memory_grow(
			parser->memory, section->logs, section->log_count, sizeof(*grown));

		if (grown == NULL)
			return;
		section->logs = grown;
		section->logs[section->log_count++] = from->logs[i];
	}
}

static struct section *section_new(struct parser *parser, const struct section *from)
{
	struct section *section = memory_alloc(parser->memory, sizeof(*section));

	if (section == NULL)
		return NULL;
	if (from != NULL) {
		*section = *from;
		section->next = NULL;
		copy_logs(parser, section, from);
	} else {
		section->proxy.retries = 3;
		section->default_server.server.weight = 1;
	}
	section->proxy.line = parser->line;
	return section;
}

/* Without memory, the section's lines have nowhere to go; the end of the file reports it. */
static void enter_section(struct parser *parser, enum where where, struct section *section)
{
	parser->where = where;
	parser->section = section;
	parser->skipping = section == NULL;
}

void parse_global(struct parser *parser)
{
	parser->where = IN_GLOBAL;
	parser->section = NULL;
}

void parse_defaults(struct parser *parser)
{
	if (parser_peek_word(parser) != NULL)
		parser_fail(parser, parser_next_word(parser),
			"a 'defaults' section has no name here; it holds for the sections after "
			"it");
	parser->defaults = section_new(parser, NULL);
	enter_section(parser, IN_DEFAULTS, parser->defaults);
}

static void parse_proxy(struct parser *parser, enum where where, enum role role)
{
	const char *name = parser_require_text(parser, "the section's name");
	struct section *section = section_new(parser, parser->defaults);

	enter_section(parser, where, section);
	if (section == NULL || name == NULL) {
		/* Its lines are read all the same, for their mistakes. */
		parser->skipped = true;
		return;
	}
	section->proxy.name = name;
	section->proxy.role = role;
	section->proxy.index = parser->section_count++;
	*parser->sections_end = section;
	parser->sections_end = &section->next;
	parser_check_name(parser, name);
	claim_section_name(parser, &section->proxy);
	if (parser_take_word(parser, "from")) {
		parser_fail(parser, "from",
			"not supported: the last 'defaults' section before this one holds");
		parser_next_word(parser);
	} else if (parser_peek_word(parser) != NULL && role != ROLE_BACKEND) {
		parser_fail(parser, parser_next_word(parser),
			"addresses go on a 'bind' line of their own");
	}
}

void parse_frontend(struct parser *parser)
{
	parse_proxy(parser, IN_FRONTEND, ROLE_FRONTEND);
}

void parse_backend(struct parser *parser)
{
	parse_proxy(parser, IN_BACKEND, ROLE_BACKEND);
}

void parse_listen(struct parser *parser)
{
	parse_proxy(parser, IN_LISTEN, ROLE_LISTEN);
}

void parse_default_backend(struct parser *parser)
{
	parser->section->default_backend = parser_require_text(parser, "the backend's name");
	parser->section->default_backend_line = parser->line;
}

/* `mode http` may stand in `defaults`, for sections that say `mode tcp` themselves. */
void parse_mode(struct parser *parser)
{
	const char *word = parser_require_word(parser, "tcp or udp");

	if (word == NULL)
		return;
	parser->section->http_mode_line = 0;
	parser->section->proxy.mode = strcmp(word, "udp") == 0 ? MODE_UDP : MODE_TCP;
	if (strcmp(word, "http") == 0 && parser->where == IN_DEFAULTS) {
		parser->section->http_mode_line = parser->line;
		parser_note_http(parser, "mode http");
	} else if (strcmp(word, "tcp") != 0 && strcmp(word, "udp") != 0) {
		parser_fail(parser, word,
			"not supported: tproxyd reads nothing of what it relays; write 'tcp', or "
			"'udp' for datagrams");
	}
}

void parse_httplog(struct parser *parser)
{
	parser_note_http(parser, "option httplog");
	parser->section->proxy.options |= OPTION_TCPLOG;
}

void parse_nbproc(struct parser *parser)
{
	const char *word = parser_require_word(parser, "1");

	if (word != NULL && strcmp(word, "1") != 0)
		parser_fail(parser, word, "not supported: there is one process; write 'nbthread'");
	else if (word != NULL)
		parser_warn_at(parser, parser->line, "nbproc", "no effect: there is one process");
}

static void parse_format(struct parser *parser, struct value_format *format, enum format_use use)
{
	const char *text = parser_require_word(parser, "a format");
	const char *error = NULL;

	if (text != NULL)
		error = value_format_parse(format, parser->memory, text, use);
	if (error != NULL)
		parser_fail(parser, text, "%s", error);
}

void parse_unique_id_format(struct parser *parser)
{
	parse_format(parser, &parser->section->proxy.unique_id, FORMAT_OF_HEADER);
}

void parse_log_format(struct parser *parser)
{
	/* As in HAProxy, of several ways to write the line the last one holds. */
	parser->section->proxy.options &= ~(unsigned)(OPTION_TCPLOG | OPTION_JSONLOG);
	parse_format(parser, &parser->section->proxy.log_format, FORMAT_OF_LOG);
}
