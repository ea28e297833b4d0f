/*
 * Datagrams in fragments, of which only the first one has ports.
 *
 * Who looks for a socket needs the whole datagram. iptables' `-m socket`, the TPROXY of any tool and
 * connection tracking have the kernel put fragments together before it asks the first rule. nft's `socket`
 * does not, and passes over them: small questions are answered, large ones are lost. One `tproxy` fixes
 * that for all rules of the host (Linux: net/netfilter/nft_tproxy.c, xt_socket.c; nft_socket.c lacks it).
 */
#include "packet.h"
#include "tproxy/text.h"

#include <stdlib.h>

/* Whether fragments are put together; what is read later may only add to it. */
enum answer {
	NO,
	UNSURE, /* words that are not known, such as a tracked connection's label */
	YES
};

static enum answer larger(enum answer one, enum answer other)
{
	return one > other ? one : other;
}

static enum answer by_match(const struct match *match, enum firewall_tool tool)
{
	if (match->kind == MATCH_CT_STATE || (match->kind == MATCH_SOCKET && tool != TOOL_NFT))
		return YES;
	return match->kind == MATCH_UNKNOWN ? UNSURE : NO;
}

static enum answer by_target(const struct target *target)
{
	switch (target->kind) {
	case TARGET_TPROXY:
	case TARGET_NAT_SOURCE:
	case TARGET_NAT_DESTINATION:
		return YES;
	case TARGET_UNKNOWN:
		return UNSURE;
	default:
		return NO;
	}
}

static enum answer by_rule(const struct rule *rule, enum firewall_tool tool)
{
	enum answer answer = NO;

	for (size_t i = 0; i < rule->match_count; i++)
		answer = larger(answer, by_match(&rule->matches[i], tool));
	for (size_t i = 0; i < rule->target_count; i++)
		answer = larger(answer, by_target(&rule->targets[i]));
	return answer;
}

static enum answer by_host(const struct ruleset *rules, int family)
{
	enum answer answer = NO;

	for (size_t i = 0; i < rules->table_count; i++) {
		const struct table *table = &rules->tables[i];

		if (table->family != family && table->family != AF_UNSPEC)
			continue;
		for (size_t j = 0; j < table->chain_count; j++)
			for (size_t k = 0; k < table->chains[j].rule_count; k++)
				answer = larger(
					answer, by_rule(&table->chains[j].rules[k], table->tool));
	}
	return answer;
}

/* What names a listener, in front of the chain that looks for its socket. */
static void name_listener(struct check *check, struct check_finding *finding,
	const struct table *table, const struct chain *chain,
	const struct service_listener *listener, int family)
{
	const char *ip = family == AF_INET6 ? "ip6" : "ip";
	bool any = addr_is_any(&listener->address), inet = table->family == AF_UNSPEC;
	unsigned port = addr_port(&listener->address);
	char address[ADDR_TEXT_MAX], both[ADDR_TEXT_MAX], *name, *rule = NULL, *to;

	addr_format_ip(&listener->address, address);
	addr_format(&listener->address, both);
	to = any ? shell_format(":%u", port) : shell_format("%s", both);
	if (!any)
		text_add(&rule, "%s daddr %s ", ip, address);
	text_add(&rule, "udp dport %u tproxy %s%sto %s meta mark set 0x%x accept", port,
		inet ? ip : "", inet ? " " : "", to, check_mark_in_use(check, family));
	free(to);
	name = text_format("tproxy-%s", both);
	check_fix_nft(finding, table, chain, CHECK_FRONT, name, rule);
	free(name);
}

static void name_listeners(struct check *check, struct check_finding *finding,
	const struct table *table, const struct chain *chain, int family)
{
	const struct service *service = check->at->service;

	for (size_t i = 0; i < service->listener_count; i++)
		if (service->listeners[i].protocol == IPPROTO_UDP &&
			check_hears(check, &service->listeners[i], family))
			name_listener(check, finding, table, chain, &service->listeners[i], family);
}

void packet_in_fragments(struct check *check, const struct leg *leg)
{
	int family = addr_family(&leg->packet.destination);
	const char *subject = check_family_name(family);
	struct trace trace = packet_traced(check, HOOK_PREROUTING, &leg->packet);
	const struct ruleset *rules = &check->at->rules;
	struct check_finding *finding;
	const struct table *table;
	const struct chain *chain;
	enum answer together;
	char *rule;

	if (trace.socket == NULL || !ruleset_place(rules, trace.socket, &table, &chain) ||
		table->tool != TOOL_NFT) {
		check_add(check, CHECK_FRAGMENTS, CHECK_OK, subject,
			trace.socket == NULL && trace.tproxy == NULL
				? "they are delivered without a rule that looks for sockets"
				: "the rule that takes datagrams in has them put together");
		return;
	}
	together = by_host(rules, family);
	if (together == YES) {
		check_add(
			check, CHECK_FRAGMENTS, CHECK_OK, subject, "a rule has them put together");
		return;
	}
	rule = check_rule_text(check, trace.socket);
	finding = check_add(check, CHECK_FRAGMENTS,
		together == UNSURE ? CHECK_UNKNOWN : CHECK_MISSING, subject,
		"%s looks for sockets, and no rule %shas fragments put together first", rule,
		together == UNSURE ? "whose words are known " : "");
	free(rule);
	name_listeners(check, finding, table, chain, family);
}
