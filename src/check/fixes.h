/*
 * The packet rules that a fix needs, and the marks, tables and tools that the host's rules use.
 */
#ifndef CHECK_FIXES_H
#define CHECK_FIXES_H

#include "commands.h"

/*
 * The mark that a fix uses: the one of the host's policy rule for a local table, else the one that rules
 * set, else the lowest free bit.
 */
uint32_t check_mark_in_use(const struct check *check, int family);

/* The first policy rule of a family that matches a mark, or NULL. The snapshot's. */
const struct network_rule *check_rule_for_mark(
	const struct check *check, int family, uint32_t mark);

/* The routing table that a fix uses: that of the same policy rule, else one with a local route, else 100. */
unsigned check_table_in_use(const struct check *check, int family);

/* Whether a table has routes to other hosts, such as a VPN's table. */
bool check_leads_away(const struct check *check, int family, unsigned table);

/* The tool of the first table that diverts, else of the first that has rules, else iptables. */
enum firewall_tool check_tool(const struct check *check);

/* Which packets a rule has to divert. */
struct divert_selection {
	int family;
	int protocol;          /* IPPROTO_TCP, _UDP, _ICMP or _ICMPV6 */
	bool any_socket;       /* of sockets that are not transparent, too */
	bool wildcard_sockets; /* of listeners on wildcard addresses, too */
};

/* Adds the command that diverts and marks packets, in front of all other rules. */
void check_fix_divert(struct check *check, struct check_finding *finding,
	const struct divert_selection *selection);

/* Adds the command that accepts a packet in the chain that dropped it at HOOK. TRACE is of that packet. */
void check_fix_drop(struct check *check, struct check_finding *finding, enum hook hook,
	const struct packet *packet, const struct trace *trace);

/* Adds the command that accepts a packet in front of the NAT rule of its trace. */
void check_fix_nat(struct check *check, struct check_finding *finding, const struct packet *packet,
	const struct trace *trace);

/* Whether a rule of the table matches sockets or has a target TPROXY. */
bool check_table_diverts(const struct table *table);

/*
 * A rule as its tool shows it, in backquotes: for findings, not for commands. The text is the caller's, to be
 * freed.
 */
char *check_rule_text(const struct check *check, const struct rule *rule);

#endif
