/*
 * The firewall as a model: memory, building, looking up.
 *
 * Lists grow by doubling and everything has one owner, the list that it is in. What two tools show of
 * the same thing is settled when a parser's result joins the rest: a base chain that iptables-save
 * printed is taken out of nft's table of that name. The trap is what iptables-save does not print: a
 * table that nft wrote to is left out as a whole, and a base chain of a foreign name or priority alone;
 * both are in the kernel all the same, and stay as nft's.
 */
#include "ruleset_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LIST with room for one more after COUNT: it is full exactly when the count is a power of two. */
static void *room(void *list, size_t count, size_t size)
{
	char *larger = list;

	if ((count & (count - 1)) == 0) {
		larger = reallocarray(list, count == 0 ? 1 : 2 * count, size);
		if (larger == NULL)
			abort(); /* out of memory */
	}
	memset(larger + count * size, 0, size);
	return larger;
}

char *text_printed(const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length == -1)
		abort(); /* out of memory */
	return text;
}

char *text_copy(const char *text)
{
	return text_printed("%s", text);
}

struct table *add_table(struct ruleset *ruleset, enum backend backend, int family, const char *name)
{
	struct table *table;

	ruleset->tables = room(ruleset->tables, ruleset->table_count, sizeof(*table));
	table = &ruleset->tables[ruleset->table_count++];
	table->backend = backend;
	table->family = family;
	table->name = text_copy(name);
	return table;
}

struct chain *add_chain(struct table *table, const char *name)
{
	struct chain *chain;

	table->chains = room(table->chains, table->chain_count, sizeof(*chain));
	chain = &table->chains[table->chain_count++];
	chain->name = text_copy(name);
	return chain;
}

struct rule *add_rule(struct chain *chain)
{
	struct rule *rule;

	chain->rules = room(chain->rules, chain->rule_count, sizeof(*rule));
	rule = &chain->rules[chain->rule_count++];
	rule->number = (unsigned)chain->rule_count;
	return rule;
}

struct match *add_match(struct rule *rule, enum match_kind kind, bool negated)
{
	struct match *match;

	rule->matches = room(rule->matches, rule->match_count, sizeof(*match));
	match = &rule->matches[rule->match_count++];
	match->kind = kind;
	match->negated = negated;
	return match;
}

static void free_match(struct match *match)
{
	free(match->ranges);
	free(match->text);
}

void drop_match(struct rule *rule)
{
	free_match(&rule->matches[--rule->match_count]);
}

struct target *add_target(struct rule *rule, enum target_kind kind)
{
	struct target *target;

	rule->targets = room(rule->targets, rule->target_count, sizeof(*target));
	target = &rule->targets[rule->target_count++];
	target->kind = kind;
	return target;
}

void add_range(struct match *match, struct addr first, struct addr last)
{
	match->ranges = room(match->ranges, match->range_count, sizeof(*match->ranges));
	match->ranges[match->range_count++] = (struct range){first, last};
}

void add_numbers(struct match *match, uint16_t first, uint16_t last)
{
	struct addr from = addr_any(AF_UNSPEC), to = from;

	addr_set_port(&from, first);
	addr_set_port(&to, last);
	add_range(match, from, to);
}

unsigned address_bits(int family)
{
	return family == AF_INET6 ? 128 : 32;
}

bool add_prefix(struct match *match, struct addr address, unsigned length)
{
	unsigned bits = address_bits(addr_family(&address));
	struct addr first = address, last = address;
	uint8_t *low = first.in6.sin6_addr.s6_addr, *high = last.in6.sin6_addr.s6_addr;

	if (length > bits)
		return false;
	if (bits == 32) {
		low = (uint8_t *)&first.in4.sin_addr;
		high = (uint8_t *)&last.in4.sin_addr;
	}
	for (unsigned bit = length; bit < bits; bit++) {
		low[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		high[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
	add_range(match, first, last);
	return true;
}

int protocol_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP},
		{"ipv6-icmp", IPPROTO_ICMPV6}, {"icmpv6", IPPROTO_ICMPV6}, {"gre", IPPROTO_GRE},
		{"esp", IPPROTO_ESP}, {"ah", IPPROTO_AH}, {"sctp", IPPROTO_SCTP},
		{"dccp", IPPROTO_DCCP}, {"udplite", IPPROTO_UDPLITE}, {"igmp", IPPROTO_IGMP},
		{"ipip", IPPROTO_IPIP}, {"ipencap", IPPROTO_IPIP}, {"ipv6", IPPROTO_IPV6},
		{"comp", IPPROTO_COMP}, {"ipcomp", IPPROTO_COMP}, {"pim", IPPROTO_PIM},
		{"ospf", 89}, {"vrrp", 112}, {"mobility-header", IPPROTO_MH},
		{"ipv6-mh", IPPROTO_MH}, {"mh", IPPROTO_MH}};
	char *end = NULL;
	long number;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].number;
	number = strtol(name, &end, 10);
	return end != name && *end == '\0' && number >= 0 && number <= 255 ? (int)number : -1;
}

static void free_rule(struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		free_match(&rule->matches[i]);
	for (size_t i = 0; i < rule->target_count; i++)
		free(rule->targets[i].text);
	free(rule->matches);
	free(rule->targets);
	free(rule->text);
}

static void free_chain(struct chain *chain)
{
	for (size_t i = 0; i < chain->rule_count; i++)
		free_rule(&chain->rules[i]);
	free(chain->rules);
	free(chain->name);
}

static void free_table(struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		free_chain(&table->chains[i]);
	free(table->chains);
	free(table->name);
}

void ruleset_free(struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		free_table(&ruleset->tables[i]);
	free(ruleset->tables);
	*ruleset = (struct ruleset){0};
}

const struct chain *table_chain(const struct table *table, const char *name)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (strcmp(table->chains[i].name, name) == 0)
			return &table->chains[i];
	return NULL;
}

/* Whether the addresses of both are in one list: comparing them with < is not C. */
static bool holds(const struct chain *chain, const struct rule *rule)
{
	for (size_t i = 0; i < chain->rule_count; i++)
		if (&chain->rules[i] == rule)
			return true;
	return false;
}

bool ruleset_place(const struct ruleset *ruleset, const struct rule *rule,
	const struct table **table, const struct chain **chain)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		for (size_t j = 0; j < ruleset->tables[i].chain_count; j++)
			if (holds(&ruleset->tables[i].chains[j], rule)) {
				*table = &ruleset->tables[i];
				*chain = &ruleset->tables[i].chains[j];
				return true;
			}
	return false;
}

/* Takes the base chains that iptables-save printed, in PRINTED, out of nft's view of the same table. */
static void take_out(struct table *seen, const struct table *printed)
{
	size_t kept = 0;

	for (size_t i = 0; i < seen->chain_count; i++) {
		struct chain *chain = &seen->chains[i];
		const struct chain *same = table_chain(printed, chain->name);

		if (chain->hook != HOOK_NONE && same != NULL && same->hook == chain->hook)
			free_chain(chain);
		else
			seen->chains[kept++] = *chain;
	}
	seen->chain_count = kept;
}

static bool has_base_chain(const struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (table->chains[i].hook != HOOK_NONE)
			return true;
	return false;
}

/* Whether nothing is left of nft's table SEEN but what iptables-save printed, too. */
static bool told_by_iptables(const struct ruleset *ruleset, struct table *seen)
{
	bool told = false;

	for (size_t i = 0; i < ruleset->table_count; i++) {
		const struct table *table = &ruleset->tables[i];

		if (table->backend == BACKEND_IPTABLES && table->family == seen->family &&
			strcmp(table->name, seen->name) == 0) {
			take_out(seen, table);
			told = true;
		}
	}
	return told && !has_base_chain(seen);
}

/* Removes what nft shows of tables that iptables-save printed. */
static void settle(struct ruleset *ruleset)
{
	size_t i = 0;

	while (i < ruleset->table_count) {
		struct table *table = &ruleset->tables[i];

		if (table->backend != BACKEND_NFT || !told_by_iptables(ruleset, table)) {
			i++;
			continue;
		}
		free_table(table);
		ruleset->table_count--;
		memmove(table, table + 1, (ruleset->table_count - i) * sizeof(*table));
	}
}

void ruleset_join(struct ruleset *ruleset, struct ruleset *added)
{
	for (size_t i = 0; i < added->table_count; i++) {
		ruleset->tables = room(ruleset->tables, ruleset->table_count, sizeof(struct table));
		ruleset->tables[ruleset->table_count++] = added->tables[i];
	}
	free(added->tables);
	*added = (struct ruleset){0};
	settle(ruleset);
}
