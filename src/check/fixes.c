/*
 * Which packet rules a fix needs, in the language of the tool that is in use.
 *
 * What is added goes to the front of its chain and says everything by itself, so that it fixes whatever
 * was wrong behind it: a rule left out, in the wrong place, without its mark, or too narrow. Nothing that is there is
 * taken away, for who knows what else it is good for.
 */
#include "firewall/trace.h"
#include "report.h"
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

static bool catches(const struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_SOCKET)
			return true;
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind == TARGET_TPROXY)
			return true;
	return false;
}

bool check_table_catches(const struct table *table)
{
	for (size_t i = 0; i < table->chain_count; i++)
		for (size_t j = 0; j < table->chains[i].rule_count; j++)
			if (catches(&table->chains[i].rules[j]))
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
	const struct ruleset *rules = &check->at->rules;

	for (size_t i = 0; i < rules->table_count; i++)
		if (check_table_catches(&rules->tables[i]))
			return rules->tables[i].tool;
	for (size_t i = 0; i < rules->table_count; i++)
		if (has_rules(&rules->tables[i]))
			return rules->tables[i].tool;
	return TOOL_IPTABLES;
}

static bool is_local_table(const struct check *check, int family, unsigned table)
{
	const struct network *network = &check->at->network;

	for (size_t i = 0; i < network->route_count; i++)
		if (network->routes[i].table == table && network->routes[i].local &&
			addr_family(&network->routes[i].to) == family)
			return true;
	return false;
}

/* A table with ways out is somebody else's, such as a VPN's. */
bool check_leads_away(const struct check *check, int family, unsigned table)
{
	const struct network *network = &check->at->network;

	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *route = &network->routes[i];

		if (route->table == table && addr_family(&route->to) == family &&
			*route->link != '\0' && strcmp(route->link, "lo") != 0)
			return true;
	}
	return false;
}

/* The rule by which a mark chooses a table that delivers locally; else one whose table may be meant to. */
static const struct network_rule *rule_in_use(const struct check *check, int family)
{
	const struct network *network = &check->at->network;
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

/* The mark that a rule which catches packets sets itself, or the first rule behind it in a chain. */
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

static bool goes_by(const struct network *network, int family, uint32_t mark)
{
	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family == family && rule->has_mark && (mark & rule->mask) == rule->mark)
			return true;
	}
	return false;
}

/* The first bit that no policy rule goes by, from the walk-through's on. */
static uint32_t free_mark(const struct check *check, int family)
{
	for (uint32_t mark = 1; mark != 0; mark <<= 1)
		if (!goes_by(&check->at->network, family, mark))
			return mark;
	return 1;
}

uint32_t check_mark_in_use(const struct check *check, int family)
{
	const struct network_rule *rule = rule_in_use(check, family);
	const struct ruleset *rules = &check->at->rules;

	if (rule != NULL)
		return rule->mark;
	for (size_t i = 0; i < rules->table_count; i++) {
		const struct table *table = &rules->tables[i];
		uint32_t mark = check_table_catches(table) ? mark_of_table(table) : 0;

		if (mark != 0 && (table->family == family || table->family == AF_UNSPEC))
			return mark;
	}
	return free_mark(check, family);
}

unsigned check_table_in_use(const struct check *check, int family)
{
	const struct network_rule *rule = rule_in_use(check, family);
	const struct network *network = &check->at->network;
	unsigned table = 100; /* the walk-through's */

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

	if (!ruleset_place(&check->at->rules, rule, &table, &chain))
		return text_format("a rule");
	if (table->tool == TOOL_NFT)
		return text_format("`%s`", rule->text);
	return text_format("`%s -t %s %s`", firewall_tool_program(table->tool, table->family),
		table->name, rule->text);
}

/* --- catching --- */

static void divert_iptables(struct check *check, struct check_finding *finding,
	const struct catching *what, enum firewall_tool tool)
{
	char *rule = text_format("-p %s -m socket%s%s -j MARK --set-mark 0x%x",
		protocol_name(what->family, what->protocol),
		what->any_socket ? "" : " --transparent", what->wildcard ? " --nowildcard" : "",
		check_mark_in_use(check, what->family));

	check_fix_iptables(finding, ON_HOST, firewall_tool_program(tool, what->family), "mangle",
		"PREROUTING", CHECK_FRONT, rule);
}

/* A chain of nft's own in which a packet's mark can be set before it is routed. */
static const struct chain *nft_chain(
	const struct check *check, int family, const struct table **table)
{
	const struct ruleset *rules = &check->at->rules;

	for (size_t i = 0; i < rules->table_count; i++) {
		*table = &rules->tables[i];
		if ((*table)->tool != TOOL_NFT ||
			((*table)->family != family && (*table)->family != AF_UNSPEC) ||
			!check_table_catches(*table))
			continue;
		for (size_t j = 0; j < (*table)->chain_count; j++)
			if ((*table)->chains[j].hook == HOOK_PREROUTING && !(*table)->chains[j].nat)
				return &(*table)->chains[j];
	}
	return NULL;
}

static void divert_nft(
	struct check *check, struct check_finding *finding, const struct catching *what)
{
	const char *protocol = protocol_name(what->family, what->protocol);
	const struct table *table;
	const struct chain *chain = nft_chain(check, what->family, &table);
	char *rule = text_format("meta l4proto %s socket %s meta mark set 0x%x accept", protocol,
		what->any_socket ? "wildcard 0" : "transparent 1",
		check_mark_in_use(check, what->family));
	char *name = text_format("divert_%s%s", protocol, what->any_socket ? "_any" : "");
	char *own = text_format("tproxyctl_%s", name);

	for (char *at = own; *at != '\0'; at++)
		if (*at == '-')
			*at = '_';
	if (chain != NULL)
		check_fix_nft(finding, table, chain, CHECK_FRONT, name, rule);
	else
		check_fix_nft_table(finding, what->family, own, rule);
	free(own);
	free(name);
}

void check_fix_divert(
	struct check *check, struct check_finding *finding, const struct catching *what)
{
	enum firewall_tool tool = check_tool(check);

	if (tool == TOOL_NFT)
		divert_nft(check, finding, what);
	else
		divert_iptables(check, finding, what, tool);
}

/* --- letting through --- */

/*
 * What tells the packet, in the words of a tool: its mark where it has one, else the service's end of it:
 * where it is for, or of an answer where it is from.
 */
static char *selection(
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

/* The base chain whose policy dropped the packet: the last of its hook in that table. */
static const struct chain *policy_of(const struct table *table, enum hook hook)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (table->chains[i].hook == hook && table->chains[i].drops)
			return &table->chains[i];
	return NULL;
}

/*
 * Has a chain accept WHAT: behind what else decides where nft's policy dropped the packet, before it where a
 * rule did.
 */
static void accept_in(struct check_finding *finding, const struct table *table,
	const struct chain *chain, const char *what, bool behind)
{
	char *name;

	if (table->tool == TOOL_NFT) {
		name = text_format("accept-%s", what);
		check_fix_nft(finding, table, chain, behind ? CHECK_BACK : CHECK_FRONT, name,
			text_format("%s accept", what));
		free(name);
	} else
		check_fix_iptables(finding, ON_HOST,
			firewall_tool_program(table->tool, table->family), table->name, chain->name,
			CHECK_FRONT, text_format("%s -j ACCEPT", what));
}

void check_fix_drop(struct check *check, struct check_finding *finding, enum hook hook,
	const struct packet *packet, const struct trace *trace)
{
	const struct table *table = trace->table;
	const struct chain *chain = NULL;
	char *what;

	if (trace->ended != NULL)
		ruleset_place(&check->at->rules, trace->ended, &table, &chain);
	else if (table != NULL)
		chain = policy_of(table, hook);
	if (chain == NULL)
		return;
	what = selection(packet, trace, table->tool, addr_family(&packet->destination));
	accept_in(finding, table, chain, what, trace->ended == NULL);
	free(what);
}

void check_fix_nat(struct check *check, struct check_finding *finding, const struct packet *packet,
	const struct trace *trace)
{
	check_fix_drop(check, finding, HOOK_NONE, packet,
		&(struct trace){.mark = trace->mark, .ended = trace->nat});
}
