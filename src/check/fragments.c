/*
 * Judges whether datagrams that come in fragments are diverted, too. Only the first fragment has the ports.
 *
 * A rule that looks up a socket needs the whole datagram. iptables' `-m socket`, TPROXY of any tool and
 * connection tracking make the kernel reassemble fragments before it looks at the first rule. nft's
 * `socket` does not: small datagrams arrive, large ones are lost. One `tproxy` rule reassembles for all
 * rules of the host (Linux: net/netfilter/nft_tproxy.c and xt_socket.c; nft_socket.c has no such call).
 */
#include "endpoints.h"
#include "fixes.h"
#include "packet.h"
#include "tproxy/text.h"

#include <stdlib.h>

/* Whether fragments are reassembled. In this order: what is found later only makes it larger. */
enum reassembly {
	REASSEMBLY_NO,
	REASSEMBLY_UNSURE, /* a match or target that the model does not know */
	REASSEMBLY_YES
};

static enum reassembly reassembly_by_rule(const struct rule *rule, enum firewall_tool tool)
{
	enum reassembly result = REASSEMBLY_NO;

	for (size_t i = 0; i < rule->match_count; i++) {
		enum match_kind kind = rule->matches[i].kind;

		if (kind == MATCH_CT_STATE || (kind == MATCH_SOCKET && tool != TOOL_NFT))
			return REASSEMBLY_YES;
		if (kind == MATCH_UNKNOWN)
			result = REASSEMBLY_UNSURE;
	}
	for (size_t i = 0; i < rule->target_count; i++) {
		enum target_kind kind = rule->targets[i].kind;

		if (kind == TARGET_TPROXY || kind == TARGET_NAT_SOURCE ||
			kind == TARGET_NAT_DESTINATION)
			return REASSEMBLY_YES;
		if (kind == TARGET_UNKNOWN)
			result = REASSEMBLY_UNSURE;
	}
	return result;
}

static enum reassembly reassembly_by_host(const struct ruleset *rules, int family)
{
	enum reassembly result = REASSEMBLY_NO;

	for (size_t i = 0; i < rules->table_count; i++) {
		const struct table *table = &rules->tables[i];

		if (table->family != family && table->family != AF_UNSPEC)
			continue;
		for (size_t j = 0; j < table->chain_count; j++)
			for (size_t k = 0; k < table->chains[j].rule_count; k++) {
				enum reassembly by =
					reassembly_by_rule(&table->chains[j].rules[k], table->tool);

				result = by > result ? by : result;
			}
	}
	return result;
}

/* Adds a `tproxy` rule for a listener, in front of the chain that looks up its socket. */
static void fix_listener(struct check *check, struct check_finding *finding,
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

void packet_judge_fragments(struct check *check, const struct packet_path *path)
{
	int family = addr_family(&path->packet.destination);
	const char *subject = family_name(family);
	struct trace trace = packet_trace(check, HOOK_PREROUTING, &path->packet);
	const struct ruleset *rules = &check->snapshot->rules;
	const struct service *service = check->snapshot->service;
	struct check_finding *finding;
	const struct table *table;
	const struct chain *chain;
	enum reassembly reassembly;
	char *rule;

	if (trace.socket == NULL || !ruleset_place(rules, trace.socket, &table, &chain) ||
		table->tool != TOOL_NFT) {
		check_add(check, CHECK_FRAGMENTS, CHECK_OK, subject,
			packet_diverted(&trace)
				? "the rule that diverts datagrams reassembles fragments first"
				: "datagrams are delivered without a rule that looks up sockets");
		return;
	}
	reassembly = reassembly_by_host(rules, family);
	if (reassembly == REASSEMBLY_YES) {
		check_add(
			check, CHECK_FRAGMENTS, CHECK_OK, subject, "a rule reassembles fragments");
		return;
	}
	rule = check_rule_text(check, trace.socket);
	finding = check_add(check, CHECK_FRAGMENTS,
		reassembly == REASSEMBLY_UNSURE ? CHECK_UNKNOWN : CHECK_MISSING, subject,
		"%s looks up sockets, and no rule %sreassembles fragments first", rule,
		reassembly == REASSEMBLY_UNSURE ? "that check understands " : "");
	free(rule);
	for (size_t i = 0; i < service->listener_count; i++)
		if (service->listeners[i].protocol == IPPROTO_UDP &&
			check_hears(check, &service->listeners[i], family))
			fix_listener(check, finding, table, chain, &service->listeners[i], family);
}
