/*
 * How the parsers put a rule set together. Elements are added at the end of their list, which may move:
 * a pointer to one is good until the next is added beside it. No function fails; memory that is not
 * there ends the program.
 */
#ifndef TPROXY_HOST_RULESET_BUILD_H
#define TPROXY_HOST_RULESET_BUILD_H

#include "ruleset.h"

struct table *ruleset_add_table(
	struct ruleset *ruleset, enum firewall_tool tool, int family, const char *name);

/* NULL where the table has a chain of that name already. */
struct chain *ruleset_add_chain(struct table *table, const char *name);

struct rule *ruleset_add_rule(struct chain *chain);
struct match *ruleset_add_match(struct rule *rule, enum match_kind kind, bool negated);

/* Takes the match that was added last back. */
void ruleset_drop_match(struct rule *rule);

struct target *ruleset_add_target(struct rule *rule, enum target_kind kind);

void ruleset_add_range(struct match *match, struct addr first, struct addr last);

/* Ports, or protocols. */
void ruleset_add_numbers(struct match *match, uint16_t first, uint16_t last);

/* The range of all addresses that share their first LENGTH bits with ADDRESS; false: too long. */
bool ruleset_add_prefix(struct match *match, struct addr address, unsigned length);

/* Brings the ranges of a match into their order, once all of them are added. */
void ruleset_sort_ranges(struct match *match);

/* The same for all matches of a rule. */
void ruleset_sort_rule(struct rule *rule);

/* The number of a protocol that the tools print by name or number, or -1. */
int ruleset_protocol(const char *name);

/* Moves all that ADDED has to RULESET, and settles which tool speaks for a table that two show. */
void ruleset_join(struct ruleset *ruleset, struct ruleset *added);

#endif
