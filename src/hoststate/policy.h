/*
 * Which policy rule decides about a packet, and what: the model of ip-rule(8) and of the longest prefix.
 *
 * The kernel answers where a packet goes (route.h), but not by which rule, and it cannot be asked about packets
 * that this host sends from an address of another host. Here both are worked out from the lists of rules and routes.
 */
#ifndef TPROXY_POLICY_H
#define TPROXY_POLICY_H

#include "network.h"

struct policy_flow {
	struct addr from, to; /* with ports, where the protocol has them */
	const char *iif;      /* the link that the packet comes in by; NULL: this host sends it */
	uint32_t mark;
	unsigned protocol; /* IPPROTO_TCP, … */
};

enum policy_result {
	POLICY_NONE,    /* no rule finds a route */
	POLICY_LINK,    /* it leaves by a link */
	POLICY_LOCAL,   /* it is delivered to this host */
	POLICY_REFUSED, /* a rule or a route refuses it */
	POLICY_UNKNOWN  /* a rule selects by something that is not known of the packet */
};

struct policy_answer {
	enum policy_result result;
	const struct network_rule *rule;   /* that decides, part of NETWORK, or NULL */
	const struct network_route *route; /* that it finds, or NULL: the rule itself refuses */
};

/* The route of a table that decides about TO: the longest prefix, of equal ones the lowest metric; or NULL. */
const struct network_route *policy_find_route(
	const struct network *network, unsigned table, const struct addr *to);

struct policy_answer policy_decide(const struct network *network, const struct policy_flow *flow);

#endif
