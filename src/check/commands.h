/*
 * The commands of findings. Each of them may be run twice: the second time changes nothing.
 */
#ifndef CHECK_COMMANDS_H
#define CHECK_COMMANDS_H

#include "report.h"
#include "tproxy/shell.h"

/*
 * Adds a command to a finding, unless the finding has it already or is full (CHECK_COMMANDS_MAX). Takes RUN
 * and UNDO, which are made by shell_format(). A RUN that is NULL or has control characters is left out; UNDO
 * is NULL where no single line takes RUN back.
 */
void check_fix(struct check_finding *finding, enum check_place place, char *run, char *undo);

/* Sets a sysctl on this host. PATH is below /proc/sys, as for sysctl_read(). */
void check_fix_sysctl(
	struct check *check, struct check_finding *finding, const char *path, const char *value);

/* The same for net/ipv4/conf/LINK/KEY; LINK may be "all". */
void check_fix_link_sysctl(struct check *check, struct check_finding *finding, const char *link,
	const char *key, const char *value);

/*
 * Adds a policy rule for a mark and a table. PREFERENCE -1: the kernel chooses one. Adds nothing for a mark of 0,
 * which every packet has.
 */
void check_fix_ip_rule(struct check_finding *finding, enum check_place place, int family,
	int preference, uint32_t mark, uint32_t mask, unsigned table);

/* Adds a policy rule on this host before another one, at a free priority. Takes SELECTORS, plain words of `ip`. */
void check_fix_ip_rule_before(struct check *check, struct check_finding *finding, int family,
	const struct network_rule *before, char *selectors, unsigned table);

/*
 * Deletes a policy rule on this host. Adds nothing for a rule with a link whose name would need quotes, or that the
 * words of `ip` here do not describe in full.
 */
void check_fix_ip_rule_away(struct check_finding *finding, const struct network_rule *rule);

/*
 * Adds a route of type local on this host for ADDRESS with a prefix of LENGTH bits. TABLE 0: the command
 * names no table. SOURCE, or NULL: the address that packets of this host get on that route.
 */
void check_fix_local_route(struct check_finding *finding, const struct addr *address,
	unsigned length, unsigned table, const struct addr *source);

/*
 * The same for one address, in no particular table. Adds nothing for the address of a server, a client or a
 * network: this host would no longer reach it.
 */
void check_fix_local_address(struct check *check, struct check_finding *finding,
	const struct addr *address, const struct addr *source);

/* Where a rule goes in its chain. A rule that is there already moves to that place. */
enum check_end {
	CHECK_FRONT,
	CHECK_BACK
};

/* Adds a rule by iptables or another PROGRAM with its options. Takes RULE, made by shell_format(). */
void check_fix_iptables(struct check_finding *finding, enum check_place place, const char *program,
	const char *table, const char *chain, enum check_end end, char *rule);

/*
 * Adds a rule by nft to a chain that is there, on this host. NAME goes into the rule's comment, by which it
 * is found again. Takes RULE.
 */
void check_fix_nft(struct check_finding *finding, const struct table *table,
	const struct chain *chain, enum check_end end, const char *name, char *rule);

/* Adds a table NAME with one chain at PREROUTING and one rule in it. Takes RULE, which has no quotes. */
void check_fix_nft_table(struct check_finding *finding, int family, const char *name, char *rule);

#endif
