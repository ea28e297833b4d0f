/*
 * `balance` and what belongs to it, and the turns that weights make.
 *
 * Turn K of a server with weight W has its place at (2K + 1) / 2W of the cycle, so that its turns lie at equal
 * distances; all servers' turns are sorted by it. Weights are divided by their greatest common divisor before, so servers of
 * equal weight have one turn each, and need no list: that is nearly every file.
 */
#include "parser.h"
#include "tproxy/units.h"

#include <stdlib.h>
#include <string.h>

/* What may follow in parentheses: how many servers are drawn. */
static bool parse_draws(struct parser *parser, const char *word, unsigned *draws)
{
	char number[16];
	size_t length = strlen(word);

	*draws = 2;
	if (strcmp(word, "random") == 0)
		return true;
	if (strncmp(word, "random(", strlen("random(")) != 0)
		return false;
	snprintf(number, sizeof(number), "%.*s", (int)(length - strlen("random(") - 1),
		word + strlen("random("));
	if (word[length - 1] != ')' || number_parse(number, 1, 1000, draws) != NULL)
		parser_fail(parser, word, "not a number of draws; write 'random', or 'random(2)'");
	return true;
}

void parse_balance(struct parser *parser)
{
	static const struct {
		const char *name;
		enum balance balance;
		bool is_static;
	} algorithms[] = {{"roundrobin", BALANCE_ROUNDROBIN, false},
		{"static-rr", BALANCE_ROUNDROBIN, true}, {"leastconn", BALANCE_LEASTCONN, false},
		{"first", BALANCE_FIRST, false}, {"source", BALANCE_SOURCE, false}};
	const char *word = parser_require_word(parser, "an algorithm such as roundrobin");
	struct proxy *proxy = &parser->section->proxy;

	parser->section->balance_line = parser->line;
	if (word == NULL)
		return;
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
		if (strcmp(word, algorithms[i].name) == 0) {
			proxy->balance = algorithms[i].balance;
			proxy->static_weights = algorithms[i].is_static;
			return;
		}
	if (parse_draws(parser, word, &proxy->draws)) {
		proxy->balance = BALANCE_RANDOM;
		return;
	}
	parser_fail(parser, word,
		"not supported: write 'roundrobin', 'static-rr', 'leastconn', 'first', 'source' or "
		"'random'; the others belong to HTTP, or look into what clients send");
	parser->next = parser->words.count;
}

/* The methods are HAProxy's; which function hashes the address is tproxyd's choice. */
void parse_hash_type(struct parser *parser)
{
	const char *word = parser_require_word(parser, "consistent or map-based");

	if (word == NULL)
		return;
	if (strcmp(word, "consistent") != 0 && strcmp(word, "map-based") != 0)
		parser_fail(parser, word, "unknown hash type; write 'consistent' or 'map-based'");
	parser->section->proxy.consistent = strcmp(word, "consistent") == 0;
	word = parser_peek_word(parser);
	if (word == NULL)
		return;
	parser_fail(parser, word, "not supported: the hash function is fixed; leave it out");
	parser->next = parser->words.count;
}

void parse_redispatch(struct parser *parser)
{
	const char *word = parser_next_word(parser), *error = NULL;
	bool backwards = word != NULL && *word == '-';
	unsigned interval = 1;

	if (word != NULL)
		error = number_parse(word + backwards, 0, 1000000, &interval);
	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	parser->section->proxy.redispatch =
		backwards || word == NULL ? -(int)interval : (int)interval;
	if (parser->negated)
		parser->section->proxy.redispatch = 0;
}

/* --- turns --- */

static unsigned common_divisor(unsigned a, unsigned b)
{
	while (b != 0) {
		unsigned rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static bool takes_turns(const struct server *server, bool backup)
{
	return server->backup == backup && !server->disabled && server->weight > 0;
}

struct turn {
	const struct server *server;
	unsigned place; /* 2K + 1 */
};

static int compare_turns(const void *left, const void *right)
{
	const struct turn *a = left, *b = right;
	uint64_t a_place = (uint64_t)a->place * b->server->weight;
	uint64_t b_place = (uint64_t)b->place * a->server->weight;

	if (a_place != b_place)
		return a_place < b_place ? -1 : 1;
	return a->server < b->server ? -1 : a->server > b->server;
}

static void spread(
	struct parser *parser, const struct proxy *proxy, bool backup, struct turns *turns)
{
	unsigned divisor = 0;
	size_t count = 0;
	struct turn *sorted;

	for (size_t i = 0; i < proxy->server_count; i++)
		if (takes_turns(&proxy->servers[i], backup)) {
			divisor = common_divisor(proxy->servers[i].weight, divisor);
			count += proxy->servers[i].weight;
		}
	if (count == 0)
		return;
	count /= divisor;
	turns->list = memory_alloc(parser->memory, count * sizeof(struct server *));
	sorted = calloc(count, sizeof(*sorted));
	if (turns->list == NULL || sorted == NULL) {
		free(sorted);
		return;
	}
	for (size_t i = 0, next = 0; i < proxy->server_count; i++)
		if (takes_turns(&proxy->servers[i], backup))
			for (unsigned turn = 0; turn < proxy->servers[i].weight / divisor; turn++)
				sorted[next++] = (struct turn){&proxy->servers[i], 2 * turn + 1};
	qsort(sorted, count, sizeof(*sorted), compare_turns);
	for (size_t i = 0; i < count; i++)
		turns->list[turns->count++] = sorted[i].server;
	free(sorted);
}

void config_spread_turns(struct parser *parser, struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->server_count; i++) {
		const struct server *server = &proxy->servers[i];

		proxy->weighted |=
			!takes_turns(server, false) || server->weight != proxy->servers[0].weight;
	}
	for (int backup = 0; proxy->weighted && backup <= 1; backup++)
		spread(parser, proxy, backup, &proxy->turns[backup]);
}
