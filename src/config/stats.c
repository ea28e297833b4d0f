/*
 * `stats socket`: where commands are taken, and what they may do; and `metrics`, where Prometheus asks.
 *
 * The words are HAProxy's (configuration manual, section 3.1). A socket is a path here; HAProxy's may be an address, too, to which
 * any host of the network could come. What says how a socket is handed to another process is accepted, since it changes nothing:
 * a reload is no other process.
 */
#include "parser.h"

#include "words/address.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
	/* unix(7). While it is made, a socket's name ends with a dot, a process's number and ".tmp". */
	PATH_MAX_BYTES = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1 - 15,
	MODE_MAX = 0777,
};

static void parse_socket_mode(struct parser *parser, struct stats_socket *made)
{
	const char *word = parser_require_word(parser, "the access mode, such as 660,");
	char *end;

	if (word == NULL)
		return;
	made->mode = (unsigned)strtoul(word, &end, 8);
	made->has_mode = true;
	if (*end != '\0' || made->mode > MODE_MAX)
		parser_fail(parser, word,
			"not an access mode; write octal digits as chmod(1) has them, 0 to 777");
}

static void parse_level(struct parser *parser, struct stats_socket *made)
{
	static const char *const levels[] = {"user", "operator", "admin"};
	const char *word = parser_require_word(parser, "user, operator or admin");

	for (int i = STATS_USER; word != NULL && i <= STATS_ADMIN; i++)
		if (strcmp(word, levels[i]) == 0) {
			made->level = (enum stats_level)i;
			return;
		}
	if (word != NULL)
		parser_fail(parser, word, "not a level; they are user, operator and admin");
}

static void parse_id(struct parser *parser, unsigned *id, bool *is_set)
{
	*is_set = parser_require_number(parser, 0, INT32_MAX, id);
}

/* False where the word is no parameter. */
static bool parse_parameter(struct parser *parser, struct stats_socket *made)
{
	if (parser_take_word(parser, "mode"))
		parse_socket_mode(parser, made);
	else if (parser_take_word(parser, "level"))
		parse_level(parser, made);
	else if (parser_take_word(parser, "user"))
		made->user = parser_require_text(parser, "the user's name");
	else if (parser_take_word(parser, "group"))
		made->group = parser_require_text(parser, "the group's name");
	else if (parser_take_word(parser, "uid"))
		parse_id(parser, &made->uid, &made->has_uid);
	else if (parser_take_word(parser, "gid"))
		parse_id(parser, &made->gid, &made->has_gid);
	else if (parser_take_word(parser, "name"))
		parser_require_word(parser, "the socket's name");
	else if (parser_take_word(parser, "expose-fd"))
		parser_require_word(parser, "listeners");
	else
		return false;
	return true;
}

static bool parse_socket_path(struct parser *parser, struct stats_socket *made)
{
	const char *word = parser_require_word(parser, "the socket's path");

	if (word == NULL)
		return false;
	if (strncmp(word, "unix@", strlen("unix@")) == 0)
		word += strlen("unix@");
	if (*word != '/')
		parser_fail(parser, word,
			"not supported: commands are taken at a path of this host alone; write one that begins with a slash");
	else if (strlen(word) > PATH_MAX_BYTES)
		parser_fail(parser, word, "too long: the path of this socket has at most %d bytes",
			(int)PATH_MAX_BYTES);
	made->path = memory_copy(parser->memory, word);
	return true;
}

static void check_other_sockets(struct parser *parser, const struct stats_socket *made)
{
	const struct global *global = &parser->config->global;

	for (size_t i = 0; i < global->stats_socket_count && made->path != NULL; i++)
		if (strcmp(global->stats_sockets[i].path, made->path) == 0)
			parser_fail(parser, made->path,
				"stands in line %u already; keep one of them",
				global->stats_sockets[i].line);
}

static void add_socket(struct parser *parser, const struct stats_socket *made)
{
	struct global *global = &parser->config->global;
	struct stats_socket *grown = memory_grow(
		parser->memory, global->stats_sockets, global->stats_socket_count, sizeof(*grown));

	if (grown == NULL || made->path == NULL)
		return;
	global->stats_sockets = grown;
	grown[global->stats_socket_count++] = *made;
}

void parse_stats_socket(struct parser *parser)
{
	struct stats_socket made = {.level = STATS_OPERATOR, .line = parser->line};
	const char *word;

	if (!parse_socket_path(parser, &made))
		return;
	while ((word = parser_peek_word(parser)) != NULL && parse_parameter(parser, &made))
		;
	if (word != NULL) {
		parser_fail(parser, word,
			"not a parameter of this line; there are mode, user, uid, group, gid and level");
		parser->next = parser->words.count;
	}
	check_other_sockets(parser, &made);
	add_socket(parser, &made);
}

static bool is_loopback(const struct addr *address)
{
	static const uint8_t of_ipv6[16] = {[15] = 1};
	const uint8_t *bytes = addr_bytes(address);

	return addr_family(address) == AF_INET ? bytes[0] == 127
					       : memcmp(bytes, of_ipv6, sizeof(of_ipv6)) == 0;
}

void parse_metrics(struct parser *parser)
{
	const char *word = parser_require_word(parser, "ADDRESS:PORT");
	struct address address;
	const char *error = word == NULL ? NULL : address_parse(word, PORT_REQUIRED, &address);

	if (word == NULL)
		return;
	if (error == NULL && !is_loopback(&address.addr))
		error = "not an address of this host alone: statistics have no password; write 127.0.0.1 or [::1], and let another program protect them";
	if (error != NULL) {
		parser_fail(parser, word, "%s", error);
		return;
	}
	parser->config->global.metrics = address.addr;
	parser->config->global.metrics_line = parser->line;
}
