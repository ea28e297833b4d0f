/*
 * The firewall as a model: memory, building, searching.
 *
 * Each element belongs to the list that it is in. When a parser's result joins the rest, nothing may be in the model
 * twice: a base chain that iptables-save printed is removed from nft's table of the same name.
 *
 * The trap is what iptables-save does not print: a whole table that nft wrote to, and base chains with a name or
 * priority that iptables does not know. They are in the kernel all the same, so nft's copy of them stays.
 */
#include "ruleset_build.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

struct table *ruleset_add_table(
	struct ruleset *ruleset, enum firewall_tool tool, int family, const char *name)
{
	struct table *table;

	ruleset->tables = array_room(ruleset->tables, ruleset->table_count, sizeof(*table));
	table = &ruleset->tables[ruleset->table_count++];
	table->tool = tool;
	table->family = family;
	table->name = text_copy(name);
	return table;
}

struct chain *ruleset_add_chain(struct table *table, const char *name)
{
	struct chain *chain;

	if (!names_add(&table->names, name, table->chain_count))
		return NULL;
	table->chains = array_room(table->chains, table->chain_count, sizeof(*chain));
	chain = &table->chains[table->chain_count++];
	chain->name = text_copy(name);
	return chain;
}

struct rule *ruleset_add_rule(struct chain *chain)
{
	struct rule *rule;

	chain->rules = array_room(chain->rules, chain->rule_count, sizeof(*rule));
	rule = &chain->rules[chain->rule_count++];
	rule->number = (unsigned)chain->rule_count;
	return rule;
}

struct match *ruleset_add_match(struct rule *rule, enum match_kind kind, bool negated)
{
	struct match *match;

	rule->matches = array_room(rule->matches, rule->match_count, sizeof(*match));
	match = &rule->matches[rule->match_count++];
	match->kind = kind;
	match->negated = negated;
	return match;
}

static void free_match(struct match *match)
{
	if (match->borrowed)
		return;
	free(match->ranges);
	free(match->text);
}

void ruleset_drop_match(struct rule *rule)
{
	free_match(&rule->matches[--rule->match_count]);
}

struct target *ruleset_add_target(struct rule *rule, enum target_kind kind)
{
	struct target *target;

	rule->targets = array_room(rule->targets, rule->target_count, sizeof(*target));
	target = &rule->targets[rule->target_count++];
	target->kind = kind;
	return target;
}

int ruleset_protocol(const char *name)
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
	unsigned number;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].number;
	return text_number(name, &number) && number <= UINT8_MAX ? (int)number : -1;
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
	free(chain->links);
	free(chain->name);
}

static void free_table(struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		free_chain(&table->chains[i]);
	free(table->chains);
	free(table->name);
	names_free(&table->names);
}

void ruleset_free(struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		free_table(&ruleset->tables[i]);
	for (size_t i = 0; i < ruleset->set_count; i++)
		free_match(&ruleset->sets[i]);
	free(ruleset->tables);
	free(ruleset->bases);
	free(ruleset->sets);
	free(ruleset->arp);
	free(ruleset->bridge);
	*ruleset = (struct ruleset){0};
}

struct chain *ruleset_chain(const struct table *table, const char *name)
{
	size_t place;

	return names_find(&table->names, name, &place) ? &table->chains[place] : NULL;
}

bool ruleset_has_effect(const struct rule *rule)
{
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind != TARGET_NONE)
			return true;
	return false;
}

/* Compares numbers, because C does not define < for pointers into different lists. */
static bool has_rule(const struct chain *chain, const struct rule *rule)
{
	uintptr_t begin = (uintptr_t)chain->rules, at = (uintptr_t)rule;

	return at >= begin && at < begin + chain->rule_count * sizeof(*rule);
}

bool ruleset_place(const struct ruleset *ruleset, const struct rule *rule,
	const struct table **table, const struct chain **chain)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		for (size_t j = 0; j < ruleset->tables[i].chain_count; j++)
			if (has_rule(&ruleset->tables[i].chains[j], rule)) {
				*table = &ruleset->tables[i];
				*chain = &ruleset->tables[i].chains[j];
				return true;
			}
	return false;
}

/* Removes the base chains that iptables-save printed (PRINTED) from nft's copy of the same table. */
static void remove_printed(struct table *seen, const struct table *printed)
{
	size_t kept = 0;

	names_free(&seen->names);
	for (size_t i = 0; i < seen->chain_count; i++) {
		struct chain *chain = &seen->chains[i];
		const struct chain *same = ruleset_chain(printed, chain->name);

		if (chain->hook != HOOK_NONE && same != NULL && same->hook == chain->hook)
			free_chain(chain);
		else {
			names_add(&seen->names, chain->name, kept);
			seen->chains[kept++] = *chain;
		}
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

/* The table in PRINTED that is nft's table SEEN, or NULL. */
static const struct table *find_printed(const struct ruleset *printed, const struct table *seen)
{
	for (size_t i = 0; i < printed->table_count; i++)
		if (printed->tables[i].family == seen->family &&
			strcmp(printed->tables[i].name, seen->name) == 0)
			return &printed->tables[i];
	return NULL;
}

/* A table that iptables-save printed was made when nft says. */
static void take_order(struct ruleset *ruleset, const struct table *seen)
{
	for (size_t i = 0; i < ruleset->table_count; i++) {
		struct table *table = &ruleset->tables[i];

		if (table->tool == TOOL_IPTABLES && table->family == seen->family &&
			strcmp(table->name, seen->name) == 0)
			table->order = seen->order;
	}
}

/* Removes what nft lists of tables that iptables-save printed: a few for each family, however many nft has. */
static void remove_duplicates(struct ruleset *ruleset)
{
	struct ruleset printed = {0};
	size_t kept = 0;

	for (size_t i = 0; i < ruleset->table_count; i++)
		if (ruleset->tables[i].tool == TOOL_IPTABLES) {
			printed.tables = array_room(
				printed.tables, printed.table_count, sizeof(struct table));
			printed.tables[printed.table_count++] = ruleset->tables[i];
		}
	for (size_t i = 0; i < ruleset->table_count; i++)
		if (ruleset->tables[i].tool == TOOL_NFT)
			take_order(ruleset, &ruleset->tables[i]);
	for (size_t i = 0; i < ruleset->table_count; i++) {
		struct table *table = &ruleset->tables[i];
		const struct table *same =
			table->tool == TOOL_NFT ? find_printed(&printed, table) : NULL;

		if (same != NULL)
			remove_printed(table, same);
		if (same != NULL && !has_base_chain(table))
			free_table(table);
		else
			ruleset->tables[kept++] = *table;
	}
	ruleset->table_count = kept;
	free(printed.tables);
}

static int by_passage(const void *a, const void *b)
{
	const struct base_chain *one = a, *other = b;
	const struct chain *first = one->chain, *second = other->chain;

	if (first->hook != second->hook)
		return first->hook < second->hook ? -1 : 1;
	if (first->priority != second->priority)
		return first->priority < second->priority ? -1 : 1;
	/* The kernel puts a new chain before those of its priority (nf_hook_entries_grow()). */
	if (one->table->order != other->table->order)
		return one->table->order > other->table->order ? -1 : 1;
	return (one->place < other->place) - (one->place > other->place);
}

/* Lists the base chains, when no table moves any more. */
static void list_bases(struct ruleset *ruleset)
{
	ruleset->base_count = 0;
	free(ruleset->bases);
	ruleset->bases = NULL;
	for (size_t i = 0; i < ruleset->table_count; i++) {
		const struct table *table = &ruleset->tables[i];

		for (size_t j = 0; j < table->chain_count; j++) {
			size_t count = ruleset->base_count;

			if (table->chains[j].hook == HOOK_NONE)
				continue;
			ruleset->bases =
				array_room(ruleset->bases, count, sizeof(struct base_chain));
			ruleset->bases[count] =
				(struct base_chain){table, &table->chains[j], count};
			ruleset->base_count++;
		}
	}
	if (ruleset->base_count > 1)
		qsort(ruleset->bases, ruleset->base_count, sizeof(struct base_chain), by_passage);
}

static void move_text(char **to, char *from)
{
	if (from == NULL)
		return;
	free(*to);
	*to = from;
}

void ruleset_join(struct ruleset *ruleset, struct ruleset *added)
{
	for (size_t i = 0; i < added->table_count; i++) {
		ruleset->tables =
			array_room(ruleset->tables, ruleset->table_count, sizeof(struct table));
		ruleset->tables[ruleset->table_count++] = added->tables[i];
	}
	for (size_t i = 0; i < added->set_count; i++) {
		ruleset->sets = array_room(ruleset->sets, ruleset->set_count, sizeof(struct match));
		ruleset->sets[ruleset->set_count++] = added->sets[i];
	}
	move_text(&ruleset->arp, added->arp);
	move_text(&ruleset->bridge, added->bridge);
	free(added->tables);
	free(added->sets);
	*added = (struct ruleset){0};
	remove_duplicates(ruleset);
	list_bases(ruleset);
}
