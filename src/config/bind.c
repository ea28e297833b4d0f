/*
 * `bind`: one line, one listener for each address and port that it names.
 *
 * The addresses come first, then the parameters that hold for all of them; so the parameters are
 * read into one pattern, and the listeners are made of it at the end of the line.
 */
#include "parser.h"

#include "words/address.h"

#include <string.h>

static void add_listener(struct parser *parser, const struct bind *bind)
{
	struct proxy *proxy = &parser->section->proxy;
	struct bind *grown =
		memory_grow(parser->memory, proxy->binds, proxy->bind_count, sizeof(*grown));

	if (grown == NULL)
		return;
	proxy->binds = grown;
	proxy->binds[proxy->bind_count++] = *bind;
}

/* One of the addresses between commas. Returns its family, or AF_UNSPEC after an error. */
static int parse_one(struct parser *parser, const char *text, const struct bind *pattern)
{
	struct bind bind = *pattern;
	struct address address;
	const char *error = address_parse(text, PORT_REQUIRED | PORT_RANGE, &address);

	if (error != NULL) {
		parser_fail(parser, text, "%s", error);
		return AF_UNSPEC;
	}
	bind.address = address.addr;
	for (unsigned port = addr_port(&address.addr); port <= address.last_port; port++) {
		addr_set_port(&bind.address, (uint16_t)port);
		add_listener(parser, &bind);
	}
	return addr_family(&bind.address);
}

static void parse_addresses(struct parser *parser, const char *list, const struct bind *pattern)
{
	char copy[sizeof(parser->words.text)], *text, *next = copy;
	bool has_ipv6 = false, has_error = false;
	int family;

	/* A word is never longer than the text of all words. */
	memcpy(copy, list, strlen(list) + 1);
	while ((text = strsep(&next, ",")) != NULL) {
		family = parse_one(parser, text, pattern);
		has_ipv6 |= family == AF_INET6;
		has_error |= family == AF_UNSPEC;
	}
	if (pattern->v6_mode != V6_SYSTEM && !has_ipv6 && !has_error)
		parser_fail(parser, pattern->v6_mode == V6_ONLY ? "v6only" : "v4v6",
			"none of the line's addresses is an IPv6 address");
}

void parse_bind(struct parser *parser)
{
	struct bind pattern = {.line = parser->line};
	const char *list = parser_require_word(parser, "an address");

	if (list == NULL)
		return;
	parser->bind = &pattern;
	parse_parameters(parser, ON_BIND);
	parser->bind = NULL;
	parse_addresses(parser, list, &pattern);
}

static void v6_mode(struct parser *parser, enum v6_mode mode)
{
	if (parser->bind->v6_mode != V6_SYSTEM && parser->bind->v6_mode != mode)
		parser_fail(parser, NULL,
			"'v4v6' and 'v6only' contradict each other; keep one of them");
	parser->bind->v6_mode = mode;
}

void parse_bind_v4v6(struct parser *parser)
{
	v6_mode(parser, V6_AND_V4);
}

void parse_bind_v6only(struct parser *parser)
{
	v6_mode(parser, V6_ONLY);
}
