/*
 * `server` and `source`: where connections go to, and where they come from.
 *
 * `source ADDRESS usesrc WHOSE` names two addresses. HAProxy uses the first one for its own health
 * checks alone, and only the second for the connections of clients. Checks come from the address of the
 * route here, so a first address that is not the wildcard has no use, which a warning says. A server's own `source`
 * replaces all of its backend's, also where it says 0.0.0.0.
 */
#include "parser.h"

#include "tproxy/lookup.h"
#include "tproxy/networks.h"
#include "tproxy/spelling.h"
#include "tproxy/units.h"
#include "words/address.h"

#include <stdlib.h>
#include <string.h>

enum {
	SERVERS_MAX = 10000 /* of one server-template */
};

static bool read_address(struct parser *parser, const char *text, struct addr *addr)
{
	struct address address;
	const char *error = address_parse(text, 0, &address);

	if (error != NULL)
		parser_fail(parser, text, "%s", error);
	else
		*addr = address.addr;
	return error == NULL;
}

/* An address after `usesrc`, or a word that is none. */
static void parse_foreign(struct parser *parser, struct source *source, const char *word)
{
	static const char *const words[] = {"clientip", "client"};

	source->mode = SOURCE_FOREIGN;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (spelling_is_near(word, words[i])) {
			parser_fail(parser, word, "unknown word; did you mean '%s'?", words[i]);
			return;
		}
	if (read_address(parser, word, &source->address) && addr_is_any(&source->address))
		parser_fail(parser, word, "not a source address; write one, or 'clientip'");
}

/* What follows `usesrc`. The address before it has no part in the connections of clients. */
static void parse_usesrc(struct parser *parser, struct source *source)
{
	const char *word = parser_require_word(parser, "clientip, client, or an address");

	source->address = addr_any(AF_INET);
	if (word == NULL)
		return;
	if (strcmp(word, "clientip") == 0)
		source->mode = SOURCE_CLIENTIP;
	else if (strcmp(word, "client") == 0)
		source->mode = SOURCE_CLIENT;
	else if (strncmp(word, "hdr_ip", strlen("hdr_ip")) == 0)
		parser_fail(parser, word, "not supported: it belongs to HTTP; write 'clientip'");
	else
		parse_foreign(parser, source, word);
}

/* The words after `source`, on a line of their own or on a server's. */
static void parse_source_words(struct parser *parser, struct source *source)
{
	const char *word = parser_require_word(parser, "an address");
	struct source parsed = {.address = addr_any(AF_INET)};
	bool good, has_usesrc = false;

	if (word == NULL)
		return;
	good = read_address(parser, word, &parsed.address);
	if (!addr_is_any(&parsed.address) || addr_port(&parsed.address) != 0)
		parsed.mode = SOURCE_ADDRESS;
	for (;;) {
		if (parser_take_word(parser, "interface")) {
			parser_fail(parser, "interface",
				"not supported: the route to the server decides; add one for the "
				"mark or the source address");
			parser_next_word(parser);
		} else if (!parser_take_word(parser, "usesrc")) {
			break;
		} else if (has_usesrc) {
			parser_fail(
				parser, "usesrc", "stands on this line already; keep one of them");
			parser_next_word(parser);
		} else {
			has_usesrc = true;
			if (good && parsed.mode == SOURCE_ADDRESS)
				parser_warn_at(parser, parser->line, word,
					"not used: 'usesrc' sets the source address; write 0.0.0.0");
			parse_usesrc(parser, &parsed);
		}
	}
	*source = parsed;
}

void parse_source(struct parser *parser)
{
	parser->section->source_line = parser->line;
	parse_source_words(parser, &parser->section->source);
}

void parse_server_source(struct parser *parser)
{
	parser->server->has_source = true;
	parse_source_words(parser, &parser->server->server.source);
}

/* One on the line replaces what `default-server` says. */
static void send_proxy(struct parser *parser, enum proxy_header_version version)
{
	struct server_line *line = parser->server;

	if (line->proxy_line == parser->line && line->server.send_proxy != version)
		parser_fail(parser, NULL,
			"'send-proxy' and 'send-proxy-v2' contradict each other; keep one of them");
	line->proxy_line = parser->line;
	line->server.send_proxy = version;
}

void parse_server_enabled(struct parser *parser)
{
	parser->server->server.disabled = false;
}

void parse_server_weight(struct parser *parser)
{
	parser_require_number(parser, 0, WEIGHT_MAX, &parser->server->server.weight);
}

void parse_server_no_check(struct parser *parser)
{
	parser->server->server.check.on = false;
}

void parse_server_check_addr(struct parser *parser)
{
	const char *word = parser_require_word(parser, "an address");

	if (word != NULL && read_address(parser, word, &parser->server->server.check.addr) &&
		addr_is_any(&parser->server->server.check.addr))
		parser_fail(parser, word, "not an address that can be checked");
}

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

/* `usesrc` alone would be the clients' own addresses, which nothing is known of when a check begins. */
void parse_server_check_usesrc(struct parser *parser)
{
	struct server_check *check = &parser->server->server.check;
	bool is_network = parser_take_word(parser, "net");
	const char *word =
		parser_require_word(parser, "an address of clients, or 'net' and a network");
	const char *error =
		word == NULL ? NULL : network_parse(word, &check->usesrc, &check->usesrc_bits);

	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else if (word != NULL && !is_network &&
		 check->usesrc_bits != family_bits(addr_family(&check->usesrc)))
		parser_fail(parser, word, "a network; write 'net' before it");
	else if (word != NULL && !addr_is_unicast(&check->usesrc))
		parser_fail(parser, word, "not an address that a client can have");
}

void parse_server_no_backup(struct parser *parser)
{
	parser->server->server.backup = false;
}

void parse_server_send_proxy(struct parser *parser)
{
	send_proxy(parser, PROXY_HEADER_V1);
}

void parse_server_send_proxy_v2(struct parser *parser)
{
	send_proxy(parser, PROXY_HEADER_V2);
}

void parse_server_proxy_v2_options(struct parser *parser)
{
	struct header_fields *fields = &parser->server->server.send_proxy_fields;
	const char *list = parser_require_word(parser, "crc32c, authority or unique-id");
	char copy[sizeof(parser->words.text)], *option, *next = copy;

	if (list == NULL)
		return;
	memcpy(copy, list, strlen(list) + 1);
	while ((option = strsep(&next, ",")) != NULL) {
		if (strcmp(option, "crc32c") == 0)
			fields->checksum = true;
		else if (strcmp(option, "authority") == 0)
			fields->authority = true;
		else if (strcmp(option, "unique-id") == 0)
			fields->unique_id = true;
		else
			parser_fail(parser, option,
				"not supported: the options are crc32c, authority and unique-id; "
				"tproxyd does not speak TLS");
	}
}

/* The number in parentheses, in decimal or with 0x. */
static bool parse_field_type(struct parser *parser, const char *word, unsigned *type)
{
	const char *text = strchr(word, '(') + 1;
	unsigned long number;
	char *end;

	number = strtoul(text, &end, 0);
	if (end == text || strcmp(end, ")") != 0 || *text == '-' || number > 255) {
		parser_fail(parser, word, "not a type; write 0 to 255, as in (0xE0)");
		return false;
	}
	*type = (unsigned)number;
	return true;
}

void parse_server_proxy_v2_tlv(struct parser *parser)
{
	struct header_fields *fields = &parser->server->server.send_proxy_fields;
	struct header_field field = {0}, *grown;
	const char *word = parser->words.list[parser->next - 1], *text, *error;

	if (!parse_field_type(parser, word, &field.type))
		field.type = 0;
	text = parser_require_word(parser, "a format");
	error = text == NULL
			? NULL
			: value_format_parse(&field.value, parser->memory, text, FORMAT_OF_HEADER);
	if (error != NULL)
		parser_fail(parser, text, "%s", error);
	grown = memory_grow(parser->memory, fields->list, fields->count, sizeof(*grown));
	if (grown == NULL)
		return;
	fields->list = grown;
	fields->list[fields->count++] = field;
}

/* Fields belong to headers of version 2; HAProxy sends none, or even no such header. */
static void check_fields(struct parser *parser, const struct server *server)
{
	const struct header_fields *fields = &server->send_proxy_fields;
	bool has_options = fields->checksum || fields->authority || fields->unique_id;

	if (server->send_proxy != PROXY_HEADER_V2 && (has_options || fields->count > 0))
		parser_fail(parser, has_options ? "proxy-v2-options" : "set-proxy-v2-tlv-fmt",
			"'send-proxy-v2' is missing on this line");
}

bool config_has_family(const struct parser *parser, const struct server *server)
{
	return !parser->text_alone || !server->unresolved;
}

/* Those of a client's destination are not known. */
void config_check_target(
	struct parser *parser, const struct health_script *script, const struct server *server)
{
	const struct server_check *check = &server->check;
	bool has_address = addr_family(&check->addr) != AF_UNSPEC;
	bool has_port = check->port != 0 || addr_port(&server->address) != 0 ||
			(has_address && addr_port(&check->addr) != 0) ||
			(script != NULL && script->count > 0 && script->steps[0].port != 0);

	if (!check->on || addr_family(&server->address) == AF_UNSPEC)
		return;
	if (!has_port)
		parser_fail_at(parser, server->line, "check",
			"no port to check; write one behind the address, or 'port'");
	else if (!has_address && server_is_original(server))
		parser_fail_at(parser, server->line, "check",
			"the server is where clients connect to; write 'addr' and the address to check");
	else if (addr_family(&check->usesrc) != AF_UNSPEC && config_has_family(parser, server) &&
		 addr_family(&check->usesrc) !=
			 addr_family(has_address ? &check->addr : &server->address))
		parser_fail_at(parser, server->line, "check-usesrc",
			"%s, but what is checked is reached over the other family",
			family_name(addr_family(&check->usesrc)));
	else if (addr_family(&check->usesrc) != AF_UNSPEC &&
		 (server->source.mode == SOURCE_ROUTED || server->source.mode == SOURCE_ADDRESS))
		parser_warn_at(parser, server->line, "check-usesrc",
			"connections of clients come from this host's own address, so their answers take another way than those to a check; write 'source 0.0.0.0 usesrc clientip'");
}

/* As a check, and an agent is never where clients connect to. */
void config_check_agent(struct parser *parser, const struct server *server)
{
	const struct server_agent *agent = &server->agent;

	if (!agent->on || addr_family(&server->address) == AF_UNSPEC)
		return;
	if (agent->port == 0)
		parser_fail_at(
			parser, server->line, "agent-check", "no port to ask; write 'agent-port'");
	else if (addr_family(&agent->addr) == AF_UNSPEC && server_is_original(server))
		parser_fail_at(parser, server->line, "agent-check",
			"the server is where clients connect to; write 'agent-addr' and the agent's address");
}

/* Notes the server's name, which no other of its section may have. */
static void claim_server_name(struct parser *parser, const char *name)
{
	struct claims *claims = &parser->section->server_names;
	const struct claim *other = claims_find(claims, name);

	if (other != NULL)
		parser_fail(parser, name, "line %u has a server of this name already", other->line);
	else
		claims_add(claims, parser->memory,
			(struct claim){
				name, parser->line, (unsigned)parser->section->server_count});
}

static void add_server(struct parser *parser, const struct server_line *line)
{
	struct section *section = parser->section;
	struct server_line *grown = memory_grow(
		parser->memory, section->servers, section->server_count, sizeof(*grown));

	claim_server_name(parser, line->server.name);
	if (grown == NULL)
		return;
	section->servers = grown;
	section->servers[section->server_count++] = *line;
}

/* Lists of their own, since the line will add to them. */
static void copy_fields(struct parser *parser, struct header_fields *fields)
{
	const struct header_field *from = fields->list;
	size_t count = fields->count;

	fields->list = NULL;
	for (fields->count = 0; fields->count < count; fields->count++) {
		struct header_field *grown =
			memory_grow(parser->memory, fields->list, fields->count, sizeof(*grown));

		if (grown == NULL)
			return;
		fields->list = grown;
		fields->list[fields->count] = from[fields->count];
	}
}

/* The address of a server that has none: it is not used, and nothing is ever there (RFC 1112, RFC 6666). */
static struct addr nowhere(int family)
{
	struct addr address;

	addr_parse(&address, family == AF_INET6 ? "100::" : "240.0.0.0");
	return address;
}

/* The address of a name, by the ways of `init-addr`, which are `last,libc` by default. */
static void look_up(struct parser *parser, struct server_line *line, const struct address *named)
{
	const struct init_addr *ways = &line->init_addr;
	struct server *server = &line->server;
	const char *problem = "`init-addr` has no 'libc', and no address";
	struct addr found = nowhere(named->family);

	server->host = memory_copy(parser->memory, named->name);
	parser->config->has_names = true;
	if ((!ways->set || ways->libc) && parser->text_alone) {
		problem = NULL;
		server->unresolved = true;
	} else if (!ways->set || ways->libc) {
		problem = lookup_name(named->name, named->family, &found);
	}
	if (problem == NULL && addr_is_any(&found))
		problem = "the name stands for the wildcard, which is no server's address";
	if (problem != NULL && ways->has_address) {
		found = ways->address;
		if (line->resolvers == NULL || ways->libc)
			parser_warn_at(parser, parser->line, named->name,
				"cannot be looked up (%s), so the address of 'init-addr' is used",
				problem);
	} else if (problem != NULL && line->resolvers != NULL && (ways->none || ways->set)) {
		found = nowhere(named->family);
		server->unresolved = true;
	} else if (problem != NULL && ways->none) {
		found = nowhere(named->family);
		server->disabled = true;
		parser_warn_at(parser, parser->line, named->name,
			"cannot be looked up (%s), so the server is not used until a reload finds an address",
			problem);
	} else if (problem != NULL) {
		found = nowhere(named->family);
		parser_fail(parser, named->name, "cannot be looked up: %s", problem);
	}
	server->address = found;
	addr_set_port(&server->address, addr_port(&named->addr));
}

/* `last` is an address that HAProxy has in its file of states; there is none here. */
void parse_server_init_addr(struct parser *parser)
{
	const char *list = parser_require_word(parser, "last, libc, none or an address");
	char copy[sizeof(parser->words.text)], *way, *next = copy;
	struct init_addr ways = {.set = true};

	if (list == NULL)
		return;
	memcpy(copy, list, strlen(list) + 1);
	while ((way = strsep(&next, ",")) != NULL) {
		if (strcmp(way, "last") == 0)
			ways.last = true;
		else if (strcmp(way, "libc") == 0)
			ways.libc = true;
		else if (strcmp(way, "none") == 0)
			ways.none = true;
		else if (addr_parse(&ways.address, way) && !addr_is_any(&ways.address))
			ways.has_address = true;
		else
			parser_fail(parser, way,
				"not a way to an address; there are last, libc, none, and the address of a server");
	}
	parser->server->init_addr = ways;
}

/* The address and all that follows it, on top of what `default-server` says. False where the address is missing. */
static bool parse_server_line(struct parser *parser, struct server_line *line)
{
	const char *word = parser_require_word(parser, "the server's address"), *error;
	struct address address;

	if (word == NULL)
		return false;
	*line = parser->section->default_server;
	line->server.line = parser->line;
	copy_fields(parser, &line->server.send_proxy_fields);
	error = address_parse(word, NAMES, &address);
	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else
		line->server.address = address.addr;
	parser->server = line;
	parse_parameters(parser, ON_SERVER);
	check_fields(parser, &line->server);
	if (error == NULL && address.name[0] != '\0')
		look_up(parser, line, &address);
	parser->server = NULL;
	return true;
}

void parse_server(struct parser *parser)
{
	const char *name = parser_require_text(parser, "the server's name");
	struct server_line line;

	if (name == NULL)
		return;
	parser_check_name(parser, name);
	if (!parse_server_line(parser, &line))
		return;
	line.server.name = name;
	add_server(parser, &line);
}

/* N is 1 to N, as N-M is all of them. */
static bool parse_range(struct parser *parser, unsigned *first, unsigned *last)
{
	const char *word = parser_require_word(parser, "how many servers"), *dash;
	char low[16];

	if (word == NULL)
		return false;
	dash = strchr(word, '-');
	*first = 1;
	snprintf(low, sizeof(low), "%.*s", dash == NULL ? 0 : (int)(dash - word), word);
	if ((dash != NULL && number_parse(low, 1, SERVERS_MAX, first) != NULL) ||
		number_parse(dash == NULL ? word : dash + 1, 1, SERVERS_MAX, last) != NULL ||
		*last < *first) {
		parser_fail(parser, word,
			"not a range; write a number, or FIRST-LAST, from 1 to %d", SERVERS_MAX);
		parser->next = parser->words.count;
		return false;
	}
	return true;
}

void parse_server_template(struct parser *parser)
{
	const char *prefix = parser_require_text(parser, "the beginning of the servers' names");
	unsigned number, last;
	struct server_line line;

	if (prefix == NULL || !parse_range(parser, &number, &last))
		return;
	parser_check_name(parser, prefix);
	if (!parse_server_line(parser, &line))
		return;
	for (; number <= last; number++) {
		char digits[16], *name;

		snprintf(digits, sizeof(digits), "%u", number);
		name = memory_alloc(parser->memory, strlen(prefix) + strlen(digits) + 1);
		if (name == NULL)
			return;
		stpcpy(stpcpy(name, prefix), digits);
		line.server.name = name;
		add_server(parser, &line);
	}
}

void parse_default_server(struct parser *parser)
{
	parser->server = &parser->section->default_server;
	copy_fields(parser, &parser->server->server.send_proxy_fields);
	parse_parameters(parser, ON_SERVER);
	parser->server = NULL;
}
