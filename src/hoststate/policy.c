/*
 * Follows a packet through the policy rules.
 *
 * Rules are asked by priority. One that selects the packet looks into its table, and the longest prefix decides, of
 * equal ones the lowest metric. Without a route there, or with one that is suppressed or of type `throw`, the next
 * rule is asked (Linux: fib_rules_lookup()).
 *
 * A packet that this host sends comes "in by lo", and has no outgoing link yet: rules with `oif` are for sockets that
 * are bound to a link. The trap is `uidrange`: whose a packet is, is not known here.
 */
#include "policy.h"

#include <string.h>

enum {
	GOTO_MAX = 64
};

static bool is_in_range(const struct rule_range *range, unsigned value)
{
	return (range->first == 0 && range->last == 0) ||
	       (value >= range->first && value <= range->last);
}

static bool selects_address(const struct rule_prefix *prefix, const struct addr *address)
{
	return prefix->length == 0 || network_covers(&prefix->net, prefix->length, address);
}

/* Whether the rule selects the packet, before `not`. */
static bool selects(const struct network_rule *rule, const struct policy_flow *flow)
{
	const char *iif = flow->iif != NULL ? flow->iif : "lo";

	return selects_address(&rule->from, &flow->from) && selects_address(&rule->to, &flow->to) &&
	       (rule->iif[0] == '\0' || strcmp(rule->iif, iif) == 0) && rule->oif[0] == '\0' &&
	       (flow->mark & rule->mask) == (rule->mark & rule->mask) &&
	       (rule->ip_protocol == 0 || rule->ip_protocol == flow->protocol) && rule->tos == 0 &&
	       is_in_range(&rule->source_ports, addr_port(&flow->from)) &&
	       is_in_range(&rule->destination_ports, addr_port(&flow->to));
}

const struct network_route *policy_find_route(
	const struct network *network, unsigned table, const struct addr *to)
{
	const struct network_route *best = NULL;

	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *each = &network->routes[i];

		if (each->table == table && network_covers(&each->to, each->length, to) &&
			(best == NULL || each->length > best->length ||
				(each->length == best->length && each->metric < best->metric)))
			best = each;
	}
	return best;
}

/* What a rule that selects the packet finds; POLICY_NONE: the next rule is asked. */
static struct policy_answer ask_rule(const struct network *network, const struct network_rule *rule,
	const struct policy_flow *flow)
{
	struct policy_answer answer = {POLICY_NONE, rule, NULL};
	const struct network_route *route;

	if (rule->action == RULE_UNKNOWN || rule->uids.last != 0)
		answer.result = POLICY_UNKNOWN;
	else if (rule->action == RULE_REFUSE)
		answer.result = POLICY_REFUSED;
	else if (rule->action == RULE_LOOKUP) {
		route = policy_find_route(network, rule->table, &flow->to);
		if (route == NULL || route->thrown || (int)route->length <= rule->suppressed)
			return answer;
		answer.route = route;
		answer.result = route->local     ? POLICY_LOCAL
				: route->refuses ? POLICY_REFUSED
						 : POLICY_LINK;
	}
	return answer;
}

struct policy_answer policy_decide(const struct network *network, const struct policy_flow *flow)
{
	struct policy_answer answer = {POLICY_NONE, NULL, NULL};
	unsigned from = 0, jumps = 0;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family != addr_family(&flow->to) || rule->priority < from ||
			selects(rule, flow) == rule->inverted)
			continue;
		if (rule->action == RULE_GOTO && rule->target > rule->priority &&
			jumps++ < GOTO_MAX) {
			from = rule->target;
			continue;
		}
		answer = ask_rule(network, rule, flow);
		if (answer.result != POLICY_NONE)
			return answer;
	}
	return (struct policy_answer){POLICY_NONE, NULL, NULL};
}
