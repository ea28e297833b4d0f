/*
 * The packet rules that a fix needs, and the marks, tables and tools that the host's rules use.
 */
#ifndef CHECK_FIXES_H
#define CHECK_FIXES_H

#include "commands.h"
#include "firewall/trace.h"

/*
 * The mark that a fix uses: the one of the host's policy rule for a local table, else the one that rules
 * set, else the lowest free bit.
 */
uint32_t check_mark_in_use(const struct check *check, int family);

/*
 * The first policy rule of a family that matches a mark and looks into a table with a local route; else the first that
 * matches it, or NULL. The snapshot's.
 */
const struct network_rule *check_rule_for_mark(
	const struct check *check, int family, uint32_t mark);

/* A policy rule without a mark that looks into the table, or NULL. The snapshot's. */
const struct network_rule *check_other_user(const struct check *check, int family, unsigned table);

/* A table that no rule and no route uses. */
unsigned check_free_table(const struct check *check);

/*
 * Whether no rule of other software uses the bits of a mark, so that a policy rule may look at them alone. EXCEPT: a
 * rule that does not count.
 */
bool check_is_bit_free(
	const struct check *check, int family, uint32_t bits, const struct rule *except);

/* The routing table that a fix uses: that of the same policy rule, else one with a local route, else 100. */
unsigned check_table_in_use(const struct check *check, int family);

/*
 * Whether a route sends packets to a link with link-layer addresses without a gateway, although their destinations
 * are not in the link's network: `local` is missing in the command that made it, or the link is wrong. On a VPN's
 * link, which has no such addresses, a route like that is in order.
 */
bool check_is_mistaken(const struct check *check, const struct network_route *route);

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
	bool accepts;          /* rules of the chain that follow must not see them */
};

/* Adds the command that diverts and marks packets, in front of all other rules. */
void check_fix_divert(struct check *check, struct check_finding *finding,
	const struct divert_selection *selection);

/*
 * Adds the command that gives packets like this one to LISTENER by TPROXY, in front of all other rules; none for a
 * listener of another family.
 */
void check_fix_tproxy(struct check *check, struct check_finding *finding,
	const struct packet *packet, const struct addr *listener);

/*
 * Adds the command that accepts a packet in a base chain, before it gets to chains of other programs. MARK is the
 * packet's there; 0: it is recognized by its addresses.
 */
void check_fix_accept(struct check *check, struct check_finding *finding,
	const struct packet *packet, uint32_t mark, const struct trace_place *place,
	enum check_end end);

/* Whether a rule of the table matches sockets or has a target TPROXY. */
bool check_table_diverts(const struct table *table);

/*
 * A rule as its tool shows it, in backquotes: for findings, not for commands. The text is the caller's, to be
 * freed.
 */
char *check_rule_text(const struct check *check, const struct rule *rule);

#endif
