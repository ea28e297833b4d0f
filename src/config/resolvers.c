/*
 * `resolvers` sections, and the parameters of servers that move with their names.
 *
 * The words and their defaults are HAProxy's (configuration manual, section 5.3.2). A section may stand behind those that
 * name it.
 */
#include "parser.h"

#include "tproxy/file.h"
#include "tproxy/units.h"
#include "words/address.h"

#include <stdlib.h>
#include <string.h>

enum {
	DNS_PORT = 53,
	NAMESERVERS_MAX = 16
};

static struct resolvers *current(struct parser *parser)
{
	return parser->resolvers;
}

void parse_resolvers(struct parser *parser)
{
	const char *name = parser_require_text(parser, "the section's name");
	struct resolvers *made = memory_alloc(parser->memory, sizeof(*made));
	struct resolvers **end = &parser->config->resolvers;

	parser->where = IN_RESOLVERS;
	parser->section = NULL;
	parser->resolvers = made;
	parser->skipping = made == NULL;
	if (made == NULL || name == NULL)
		return;
	for (; *end != NULL; end = &(*end)->next)
		if (strcmp((*end)->name, name) == 0)
			parser_fail(parser, name, "line %u has a section of this name already",
				(*end)->line);
	*end = made;
	parser_check_name(parser, name);
	*made = (struct resolvers){.name = name,
		.line = parser->line,
		.retries = 3,
		.timeout_resolve = 1000,
		.timeout_retry = 1000,
		.hold = {[HOLD_VALID] = 10000,
			[HOLD_NX] = 30000,
			[HOLD_REFUSED] = 30000,
			[HOLD_TIMEOUT] = 30000,
			[HOLD_OTHER] = 30000}};
}

static void add_nameserver(struct parser *parser, const char *name, const struct addr *address)
{
	struct resolvers *resolvers = current(parser);
	struct nameserver *grown = memory_grow(parser->memory, resolvers->nameservers,
		resolvers->nameserver_count, sizeof(*grown));

	if (grown == NULL || name == NULL)
		return;
	resolvers->nameservers = grown;
	if (resolvers->nameserver_count == NAMESERVERS_MAX) {
		parser_fail(parser, name, "a section has %d name servers at most", NAMESERVERS_MAX);
		return;
	}
	grown[resolvers->nameserver_count] = (struct nameserver){.name = name, .address = *address};
	if (addr_port(address) == 0)
		addr_set_port(&grown[resolvers->nameserver_count].address, DNS_PORT);
	resolvers->nameserver_count++;
}

void parse_nameserver(struct parser *parser)
{
	const char *name = parser_require_text(parser, "the name server's name");
	const char *word = name == NULL ? NULL : parser_require_word(parser, "its address"), *error;
	struct address address;

	if (word == NULL)
		return;
	error = strncmp(word, "tcp", 3) == 0
			? "name servers are asked by UDP; leave the prefix out"
			: address_parse(word, DATAGRAMS | PORT_REQUIRED, &address);
	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else if (addr_is_any(&address.addr))
		parser_fail(parser, word, "not the address of a name server");
	else
		add_nameserver(parser, name, &address.addr);
}

/* Of resolv.conf(5), the addresses alone, which are the names, too, as in HAProxy. */
void parse_resolv_conf(struct parser *parser)
{
	static const char path[] = "/etc/resolv.conf";
	size_t length;
	char *text = parser->text_alone ? NULL : file_read(path, &length), *line, *next = text;

	if (parser->text_alone)
		return;
	if (text == NULL) {
		parser_fail(parser, path, "cannot be read; write 'nameserver' lines");
		return;
	}
	while ((line = strsep(&next, "\n")) != NULL) {
		char word[128];
		struct addr address;

		if (sscanf(line, "nameserver %127s", word) == 1 && addr_parse(&address, word))
			add_nameserver(parser, memory_copy(parser->memory, word), &address);
	}
	free(text);
}

void parse_hold(struct parser *parser)
{
	static const char *const names[] = {[HOLD_VALID] = "valid",
		[HOLD_OBSOLETE] = "obsolete",
		[HOLD_NX] = "nx",
		[HOLD_REFUSED] = "refused",
		[HOLD_TIMEOUT] = "timeout",
		[HOLD_OTHER] = "other"};
	const char *word = parser_require_word(parser, "an answer such as valid"), *value;
	const char *error = NULL;

	for (size_t i = 0; i < HOLD_COUNT && word != NULL; i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		value = parser_require_word(parser, "a duration");
		if (value != NULL)
			error = duration_parse(value, &current(parser)->hold[i]);
		if (error != NULL)
			parser_fail(parser, value, "%s", error);
		return;
	}
	if (word == NULL)
		return;
	parser_fail(parser, word,
		"not an answer; there are valid, obsolete, nx, refused, timeout and other");
	parser->next = parser->words.count;
}

/* --- parameters of servers --- */

void parse_server_resolvers(struct parser *parser)
{
	parser->server->resolvers =
		parser_require_text(parser, "the name of a 'resolvers' section");
}

void parse_server_resolve_prefer(struct parser *parser)
{
	const char *word = parser_require_word(parser, "ipv4 or ipv6");

	if (word != NULL && strcmp(word, "ipv4") != 0 && strcmp(word, "ipv6") != 0)
		parser_fail(parser, word, "not a family; write 'ipv4' or 'ipv6'");
	else if (word != NULL)
		parser->server->server.prefers_ipv4 = strcmp(word, "ipv4") == 0;
}

void parse_server_resolve_opts(struct parser *parser)
{
	const char *list = parser_require_word(parser, "allow-dup-ip or prevent-dup-ip");
	char copy[sizeof(parser->words.text)], *option, *next = copy;

	if (list == NULL)
		return;
	memcpy(copy, list, strlen(list) + 1);
	while ((option = strsep(&next, ",")) != NULL) {
		if (strcmp(option, "allow-dup-ip") == 0)
			parser->server->server.shares_address = true;
		else if (strcmp(option, "prevent-dup-ip") == 0)
			parser->server->server.shares_address = false;
		else if (strcmp(option, "ignore-weight") !=
			 0) /* records of services have weights */
			parser_fail(parser, option,
				"not an option; there are allow-dup-ip, prevent-dup-ip and ignore-weight");
	}
}

/* --- after the last line --- */

static const struct resolvers *find(const struct config *config, const char *name)
{
	const struct resolvers *each = config->resolvers;

	while (each != NULL && strcmp(each->name, name) != 0)
		each = each->next;
	return each;
}

void config_resolve_resolvers(struct parser *parser)
{
	struct config *config = parser->config;
	const struct section *section = parser->sections;

	for (size_t i = 0; i < config->proxy_count; i++, section = section->next)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			struct server *server = &config->proxies[i].servers[j];
			const char *name = section->servers[j].resolvers;

			if (name == NULL || server->host == NULL)
				continue; /* as HAProxy: an address needs none */
			server->resolvers = find(config, name);
			if (server->resolvers == NULL)
				parser_fail_at(parser, server->line, name,
					"no 'resolvers' section of this file has this name");
			else if (server->resolvers->nameserver_count == 0 && !parser->text_alone)
				parser_fail_at(parser, server->resolvers->line, name,
					"the section has no name server; write a 'nameserver' line");
		}
}
