/*
 * `log`: targets, facilities and levels.
 *
 * `log global` is noted, not copied: what it stands for is known at the end of the file, so the
 * order of the sections does not matter. `no log` forgets what the section has so far, hence also
 * what it took from `defaults`.
 *
 * Without a level it is `info`. HAProxy's is `debug`, but HAProxy says nothing of a connection at that
 * level, and tproxyd says each change of its state: who writes no level is to get the same lines.
 */
#include "parser.h"

#include "words/address.h"

#include <string.h>
#include <sys/un.h>
#include <syslog.h>

enum {
	SYSLOG_PORT = 514,
	/* unix(7): a socket's path has so many bytes at most, its end left out. */
	SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1,
};

/* By number, as the protocol has them (RFC 5424 section 6.2.1), under HAProxy's names. */
static const char *const facilities[] = {"kern", "user", "mail", "daemon", "auth", "syslog", "lpr",
	"news", "uucp", "cron", "auth2", "ftp", "ntp", "audit", "alert", "cron2", "local0",
	"local1", "local2", "local3", "local4", "local5", "local6", "local7", NULL};
static const char *const levels[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", NULL};

static int index_of(const char *const *names, const char *name)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static void add_log_line(struct parser *parser, const struct log_line *line)
{
	struct section *section = parser->section;
	struct log_line **list = section == NULL ? &parser->logs : &section->logs;
	size_t *count = section == NULL ? &parser->log_count : &section->log_count;
	struct log_line *grown = memory_grow(parser->memory, *list, *count, sizeof(*grown));

	if (grown == NULL)
		return;
	*list = grown;
	grown[(*count)++] = *line;
}

static void forget_logs(struct parser *parser)
{
	struct section *section = parser->section;
	struct log_line **list = section == NULL ? &parser->logs : &section->logs;

	*list = NULL;
	*(section == NULL ? &parser->log_count : &section->log_count) = 0;
}

static bool parse_path(struct parser *parser, struct log_target *target, const char *path)
{
	if (*path != '/') {
		parser_fail(parser, path, "the path must begin with a slash");
		return false;
	}
	if (target->kind == LOG_TO_UNIX && strlen(path) > SOCKET_PATH_MAX) {
		parser_fail(parser, path, "too long: the path of a socket has at most %d bytes",
			(int)SOCKET_PATH_MAX);
		return false;
	}
	target->path = memory_copy(parser->memory, path);
	return true;
}

static void parse_host(struct parser *parser, struct log_target *target, const char *text)
{
	struct address address;
	const char *error = address_parse(text, DATAGRAMS, &address);

	if (error == NULL && addr_is_any(&address.addr))
		error = "not an address to send to";
	if (error != NULL) {
		parser_fail(parser, text, "%s", error);
		return;
	}
	target->address = address.addr;
	if (addr_port(&target->address) == 0)
		addr_set_port(&target->address, SYSLOG_PORT);
}

static void parse_target(struct parser *parser, struct log_target *target, const char *text)
{
	target->kind = LOG_TO_SYSLOG;
	if (strcmp(text, "stdout") == 0)
		target->kind = LOG_TO_STDOUT;
	else if (strcmp(text, "stderr") == 0)
		target->kind = LOG_TO_STDERR;
	else if (strncmp(text, "file@", strlen("file@")) == 0)
		target->kind = LOG_TO_FILE;
	else if (*text == '/')
		target->kind = LOG_TO_UNIX;
	if (target->kind == LOG_TO_FILE)
		parse_path(parser, target, text + strlen("file@"));
	else if (target->kind == LOG_TO_UNIX)
		parse_path(parser, target, text);
	else if (target->kind == LOG_TO_SYSLOG)
		parse_host(parser, target, text);
}

static bool parse_format(struct parser *parser, struct log_target *target)
{
	const char *word;

	target->format = LOG_RFC3164;
	if (!parser_take_word(parser, "format"))
		return true;
	word = parser_require_word(parser, "raw or rfc3164");
	if (word == NULL)
		return false;
	if (strcmp(word, "raw") == 0)
		target->format = LOG_RAW;
	else if (strcmp(word, "rfc3164") != 0)
		parser_fail(parser, word, "not supported: the formats are raw and rfc3164");
	return true;
}

/* The words between the target and the facility that HAProxy has and tproxyd has not. */
static void refuse_parameters(struct parser *parser)
{
	static const char *const names[] = {"len", "sample", NULL};
	const char *word;

	while ((word = parser_peek_word(parser)) != NULL && index_of(names, word) != -1) {
		parser_fail(parser, word, "not supported: every message is logged in full");
		parser_next_word(parser);
		parser_next_word(parser);
	}
}

static void parse_facility(struct parser *parser, struct log_target *target)
{
	const char *facility = parser_require_word(parser, "the facility, such as local0,");
	const char *level = parser_next_word(parser);

	if (facility == NULL)
		return;
	target->facility = index_of(facilities, facility) * 8;
	if (target->facility < 0)
		parser_fail(
			parser, facility, "not a facility; local0 to local7 are free for any use");
	target->max_level = level == NULL ? LOG_INFO : index_of(levels, level);
	if (target->max_level == -1)
		parser_fail(parser, level,
			"not a level; they are emerg, alert, crit, err, warning, notice, info and "
			"debug");
	if (parser_peek_word(parser) != NULL && index_of(levels, parser_peek_word(parser)) != -1)
		parser_fail(parser, parser_next_word(parser),
			"not supported: a minimum level; each message keeps its own");
}

void parse_log(struct parser *parser)
{
	struct log_line line = {.global = false};
	const char *target;

	if (parser->negated) {
		forget_logs(parser);
		return;
	}
	target = parser_require_word(parser, "a target or 'global'");
	if (target == NULL)
		return;
	line.global = strcmp(target, "global") == 0;
	if (line.global && parser->section == NULL) {
		parser_fail(parser, target,
			"write a target here; 'log global' belongs in the other sections");
	} else if (!line.global && index_of(facilities, target) != -1) {
		parser_fail(parser, target,
			"this is a facility; write the target before it, as in 'log /dev/log %s'",
			target);
		parser->next = parser->words.count;
	} else if (!line.global) {
		parse_target(parser, &line.target, target);
		refuse_parameters(parser);
		if (parse_format(parser, &line.target)) {
			refuse_parameters(parser);
			parse_facility(parser, &line.target);
		}
	}
	add_log_line(parser, &line);
}
