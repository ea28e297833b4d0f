/*
 * How the parsers build a rule set. An element is added at the end of its list, and the list may move: a pointer to
 * an element is valid only until the next one is added to the list. No function fails; without memory the program
 * ends. Strings are copied.
 */
#ifndef TPROXY_RULESET_BUILD_H
#define TPROXY_RULESET_BUILD_H

#include "ruleset.h"

struct table *ruleset_add_table(
	struct ruleset *ruleset, enum firewall_tool tool, int family, const char *name);

/* NULL: the table already has a chain of that name. */
struct chain *ruleset_add_chain(struct table *table, const char *name);

struct rule *ruleset_add_rule(struct chain *chain);
struct match *ruleset_add_match(struct rule *rule, enum match_kind kind, bool negated);

/* Removes the match that was added last. */
void ruleset_drop_match(struct rule *rule);

struct target *ruleset_add_target(struct rule *rule, enum target_kind kind);

void ruleset_add_range(struct match *match, struct addr first, struct addr last);

/* The same for ports or protocols, FIRST to LAST. */
void ruleset_add_numbers(struct match *match, uint16_t first, uint16_t last);

/* Adds all addresses that share their first LENGTH bits with ADDRESS. False: LENGTH is too long. */
bool ruleset_add_prefix(struct match *match, struct addr address, unsigned length);

/* Sorts and joins the ranges of a match, after all of them are added. */
void ruleset_sort_ranges(struct match *match);

/* The same for all matches of a rule that own their ranges. */
void ruleset_sort_rule(struct rule *rule);

/* The number of a protocol from its name or number as the tools print it, or -1. */
int ruleset_protocol(const char *name);

/* Moves everything in ADDED to RULESET, and drops what nft lists of a table that iptables-save lists, too. */
void ruleset_join(struct ruleset *ruleset, struct ruleset *added);

#endif
