/*
 * Makes the packet rules that a fix needs, for the tool that the host uses.
 *
 * A new rule goes to the front of its chain and depends on no other rule. So it works whatever is wrong behind
 * it: a rule that is missing, too late, without its mark, or too narrow. Rules that are there are never deleted,
 * since they may be good for something else.
 */
#include "fixes.h"
#include "firewall/trace.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static const char *protocol_name(int family, int protocol)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return family == AF_INET6 ? "ipv6-icmp" : "icmp";
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

/* --- what is in use --- */

static bool rule_diverts(const struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_SOCKET)
			return true;
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind == TARGET_TPROXY)
			return true;
	return false;
}

bool check_table_diverts(const struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		for (size_t j = 0; j < table->chains[i].rule_count; j++)
			if (rule_diverts(&table->chains[i].rules[j]))
				return true;
	return false;
}

static bool has_rules(const struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (table->chains[i].rule_count > 0)
			return true;
	return false;
}

enum firewall_tool check_tool(const struct check *check)
{
	const struct ruleset *rules = &check->snapshot->rules;

	for (size_t i = 0; i < rules->table_count; i++)
		if (check_table_diverts(&rules->tables[i]))
			return rules->tables[i].tool;
	for (size_t i = 0; i < rules->table_count; i++)
		if (has_rules(&rules->tables[i]))
			return rules->tables[i].tool;
	return TOOL_IPTABLES;
}

static bool is_local_table(const struct check *check, int family, unsigned table)
{
	const struct network *network = &check->snapshot->network;

	for (size_t i = 0; i < network->route_count; i++)
		if (network->routes[i].table == table && network->routes[i].local &&
			addr_family(&network->routes[i].to) == family)
			return true;
	return false;
}

bool check_leads_away(const struct check *check, int family, unsigned table)
{
	const struct network *network = &check->snapshot->network;

	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *route = &network->routes[i];

		if (route->table == table && addr_family(&route->to) == family &&
			*route->link != '\0' && strcmp(route->link, "lo") != 0)
			return true;
	}
	return false;
}

/* The first rule by which a mark chooses a table that delivers locally; else one whose table could become it. */
static const struct network_rule *rule_in_use(const struct check *check, int family)
{
	const struct network *network = &check->snapshot->network;
	const struct network_rule *any = NULL;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family != family || !rule->has_mark || rule->mark == 0)
			continue;
		if (is_local_table(check, family, rule->table))
			return rule;
		if (any == NULL && !check_leads_away(check, family, rule->table))
			any = rule;
	}
	return any;
}

/* The first mark that a rule of the table sets, or 0. */
static uint32_t mark_of_table(const struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		for (size_t j = 0; j < table->chains[i].rule_count; j++) {
			const struct rule *rule = &table->chains[i].rules[j];

			for (size_t k = 0; k < rule->target_count; k++)
				if ((rule->targets[k].kind == TARGET_MARK ||
					    rule->targets[k].kind == TARGET_TPROXY) &&
					rule->targets[k].number != 0)
					return rule->targets[k].number;
		}
	return 0;
}

const struct network_rule *check_rule_for_mark(const struct check *check, int family, uint32_t mark)
{
	const struct network *network = &check->snapshot->network;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family == family && rule->has_mark && (mark & rule->mask) == rule->mark)
			return rule;
	}
	return NULL;
}

uint32_t check_mark_in_use(const struct check *check, int family)
{
	const struct network_rule *rule = rule_in_use(check, family);
	const struct ruleset *rules = &check->snapshot->rules;

	if (rule != NULL)
		return rule->mark;
	for (size_t i = 0; i < rules->table_count; i++) {
		const struct table *table = &rules->tables[i];
		uint32_t mark = check_table_diverts(table) ? mark_of_table(table) : 0;

		if (mark != 0 && (table->family == family || table->family == AF_UNSPEC))
			return mark;
	}
	for (uint32_t mark = 1; mark != 0; mark <<= 1)
		if (check_rule_for_mark(check, family, mark) == NULL)
			return mark;
	return 1;
}

unsigned check_table_in_use(const struct check *check, int family)
{
	const struct network_rule *rule = rule_in_use(check, family);
	const struct network *network = &check->snapshot->network;
	unsigned table = 100; /* of HAProxy's walk-through */

	if (rule != NULL)
		return rule->table;
	for (size_t i = 0; i < network->route_count; i++)
		if (network->routes[i].local && network->routes[i].table != TABLE_LOCAL &&
			addr_family(&network->routes[i].to) == family)
			return network->routes[i].table;
	while (check_leads_away(check, family, table))
		table++;
	return table;
}

char *check_rule_text(const struct check *check, const struct rule *rule)
{
	const struct table *table;
	const struct chain *chain;

	if (!ruleset_place(&check->snapshot->rules, rule, &table, &chain))
		return text_format("a rule");
	if (table->tool == TOOL_NFT)
		return text_format("`%s`", rule->text);
	return text_format("`%s -t %s %s`", firewall_tool_program(table->tool, table->family),
		table->name, rule->text);
}

/* --- diverting --- */

static void divert_iptables(struct check *check, struct check_finding *finding,
	const struct divert_selection *selection, enum firewall_tool tool)
{
	char *rule = text_format("-p %s -m socket%s%s -j MARK --set-mark 0x%x",
		protocol_name(selection->family, selection->protocol),
		selection->any_socket ? "" : " --transparent",
		selection->wildcard_sockets ? " --nowildcard" : "",
		check_mark_in_use(check, selection->family));

	check_fix_iptables(finding, ON_HOST, firewall_tool_program(tool, selection->family),
		"mangle", "PREROUTING", CHECK_FRONT, rule);
}

/* The nft chain at PREROUTING of a table that diverts: there a packet gets its mark before it is routed. */
static const struct chain *divert_chain_of_nft(
	const struct check *check, int family, const struct table **table)
{
	const struct ruleset *rules = &check->snapshot->rules;

	for (size_t i = 0; i < rules->table_count; i++) {
		*table = &rules->tables[i];
		if ((*table)->tool != TOOL_NFT ||
			((*table)->family != family && (*table)->family != AF_UNSPEC) ||
			!check_table_diverts(*table))
			continue;
		for (size_t j = 0; j < (*table)->chain_count; j++)
			if ((*table)->chains[j].hook == HOOK_PREROUTING && !(*table)->chains[j].nat)
				return &(*table)->chains[j];
	}
	return NULL;
}

static void divert_nft(struct check *check, struct check_finding *finding,
	const struct divert_selection *selection)
{
	const char *protocol = protocol_name(selection->family, selection->protocol);
	const struct table *table;
	const struct chain *chain = divert_chain_of_nft(check, selection->family, &table);
	char *rule = text_format("meta l4proto %s socket %s meta mark set 0x%x accept", protocol,
		selection->any_socket ? "wildcard 0" : "transparent 1",
		check_mark_in_use(check, selection->family));
	char *name = text_format("divert_%s%s", protocol, selection->any_socket ? "_any" : "");
	char *own = text_format("tproxyctl_%s", name);

	for (char *at = own; *at != '\0'; at++)
		if (*at == '-')
			*at = '_';
	if (chain != NULL)
		check_fix_nft(finding, table, chain, CHECK_FRONT, name, rule);
	else
		check_fix_nft_table(finding, selection->family, own, rule);
	free(own);
	free(name);
}

void check_fix_divert(struct check *check, struct check_finding *finding,
	const struct divert_selection *selection)
{
	enum firewall_tool tool = check_tool(check);

	if (tool == TOOL_NFT)
		divert_nft(check, finding, selection);
	else
		divert_iptables(check, finding, selection, tool);
}

/* --- accepting --- */

/*
 * A match for the packet in the tool's language: by its mark if it has one, else by the service's address and
 * port, which are its destination, or in an answer its source.
 */
static char *packet_match(
	const struct packet *packet, const struct trace *trace, enum firewall_tool tool, int family)
{
	bool nft = tool == TOOL_NFT, answers = packet->ct == CT_ESTABLISHED;
	const struct addr *service = answers ? &packet->source : &packet->destination;
	const char *protocol = protocol_name(family, packet->protocol);
	char ip[ADDR_TEXT_MAX];

	if (trace->mark != 0)
		return text_format(nft ? "meta mark 0x%x" : "-m mark --mark 0x%x", trace->mark);
	addr_format_ip(service, ip);
	if (nft)
		return text_format("%s %caddr %s %s %cport %u", family == AF_INET6 ? "ip6" : "ip",
			answers ? 's' : 'd', ip, protocol, answers ? 's' : 'd', addr_port(service));
	return text_format("-p %s -%c %s --%cport %u", protocol, answers ? 's' : 'd', ip,
		answers ? 's' : 'd', addr_port(service));
}

/* The base chain of the hook whose policy drops, or NULL. */
static const struct chain *chain_that_drops(const struct table *table, enum hook hook)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (table->chains[i].hook == hook && table->chains[i].drops)
			return &table->chains[i];
	return NULL;
}

void check_fix_drop(struct check *check, struct check_finding *finding, enum hook hook,
	const struct packet *packet, const struct trace *trace)
{
	const struct table *table = trace->table;
	const struct chain *chain = NULL;
	bool by_policy = trace->ended == NULL;
	char *match, *name;

	if (!by_policy)
		ruleset_place(&check->snapshot->rules, trace->ended, &table, &chain);
	else if (table != NULL)
		chain = chain_that_drops(table, hook);
	if (chain == NULL)
		return;
	match = packet_match(packet, trace, table->tool, addr_family(&packet->destination));
	name = text_format("accept-%s", match);
	if (table->tool == TOOL_NFT)
		check_fix_nft(finding, table, chain, by_policy ? CHECK_BACK : CHECK_FRONT, name,
			text_format("%s accept", match));
	else
		check_fix_iptables(finding, ON_HOST,
			firewall_tool_program(table->tool, table->family), table->name, chain->name,
			CHECK_FRONT, text_format("%s -j ACCEPT", match));
	free(name);
	free(match);
}

void check_fix_nat(struct check *check, struct check_finding *finding, const struct packet *packet,
	const struct trace *trace)
{
	check_fix_drop(check, finding, HOOK_NONE, packet,
		&(struct trace){.mark = trace->mark, .ended = trace->nat});
}
