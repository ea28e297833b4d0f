/*
 * How the parsers put a rule set together. Elements are added at the end of their list, which may move:
 * a pointer to one is good until the next is added beside it. No function fails; memory that is not
 * there ends the program.
 */
#ifndef TPROXY_HOST_RULESET_BUILD_H
#define TPROXY_HOST_RULESET_BUILD_H

#include "ruleset.h"

struct table *add_table(
	struct ruleset *ruleset, enum firewall_tool tool, int family, const char *name);

/* NULL where the table has a chain of that name already. */
struct chain *add_chain(struct table *table, const char *name);

struct rule *add_rule(struct chain *chain);
struct match *add_match(struct rule *rule, enum match_kind kind, bool negated);

/* Takes the match that was added last back. */
void drop_match(struct rule *rule);

struct target *add_target(struct rule *rule, enum target_kind kind);

void add_range(struct match *match, struct addr first, struct addr last);

/* Ports, or protocols. */
void add_numbers(struct match *match, uint16_t first, uint16_t last);

/* The range of all addresses that share their first LENGTH bits with ADDRESS; false: too long. */
bool add_prefix(struct match *match, struct addr address, unsigned length);

/* Brings the ranges of a match into their order, once all of them are added. */
void settle_ranges(struct match *match);

/* The same for all matches of a rule. */
void settle_rule(struct rule *rule);

/* The number of a protocol that the tools print by name or number, or -1. */
int protocol_number(const char *name);

/* IPv4 or IPv6 alone: 32 or 128. */
unsigned address_bits(int family);

/* Moves all that ADDED has to RULESET, and settles which tool speaks for a table that two show. */
void ruleset_join(struct ruleset *ruleset, struct ruleset *added);

#endif
