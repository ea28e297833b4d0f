/*
 * Makes the packet rules that a fix needs, for the tool that the host uses.
 *
 * A new rule goes to the front of its chain and depends on no other rule. So it works whatever is wrong
 * behind it: a rule that is missing, too late, without its mark, or too narrow. Rules that are there are
 * never deleted, since they may be good for something else.
 */
#include "fixes.h"
#include "tproxy/text.h"

#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>

enum {
	TABLE_USUAL = 100 /* that of HAProxy's walk-through */
};

static const char *protocol_name(int family, int protocol)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return family == AF_INET6 ? "ipv6-icmp" : "icmp";
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

/* --- what is in use --- */

/* TPROXY, or a match of sockets with a mark, which a chain further on may set. A drop of what has a socket diverts nothing. */
static bool rule_diverts(const struct rule *rule)
{
	bool socket = false, marks = false;

	for (size_t i = 0; i < rule->match_count; i++)
		socket |= rule->matches[i].kind == MATCH_SOCKET;
	for (size_t i = 0; i < rule->target_count; i++)
		switch (rule->targets[i].kind) {
		case TARGET_TPROXY:
			return true;
		case TARGET_MARK:
		case TARGET_JUMP:
		case TARGET_GOTO:
		case TARGET_UNKNOWN:
			marks = true;
			break;
		default:
			break;
		}
	return socket && marks;
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

/* Whether the prefix is that of a network which this host has an address in, on the route's link. */
static bool is_own_network(const struct network *network, const struct network_route *route)
{
	for (size_t i = 0; i < network->address_count; i++)
		if (strcmp(network->addresses[i].link, route->link) == 0 &&
			network_covers(&route->to, route->length, &network->addresses[i].address))
			return true;
	return false;
}

bool check_is_mistaken(const struct check *check, const struct network_route *route)
{
	const struct network *network = &check->snapshot->network;
	const struct network_link *link = network_find_link(network, route->link);

	return !route->local && !route->has_gateway && link != NULL && *link->mac != '\0' &&
	       strcmp(route->link, "lo") != 0 &&
	       (route->length == 0 || !is_own_network(network, route));
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

/* The first rule whose mark chooses a local table; else one whose table could become local. */
static const struct network_rule *rule_in_use(const struct check *check, int family)
{
	const struct network *network = &check->snapshot->network;
	const struct network_rule *any = NULL;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family != family || !rule->has_mark || rule->mark == 0 ||
			rule->action != RULE_LOOKUP)
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
	const struct network_rule *first = NULL;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family != family || !rule->has_mark || rule->action != RULE_LOOKUP ||
			(mark & rule->mask) != rule->mark)
			continue;
		if (is_local_table(check, family, rule->table))
			return rule;
		if (first == NULL)
			first = rule;
	}
	return first;
}

const struct network_rule *check_other_user(const struct check *check, int family, unsigned table)
{
	const struct network *network = &check->snapshot->network;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family == family && !rule->has_mark && rule->action == RULE_LOOKUP &&
			rule->table == table)
			return rule;
	}
	return NULL;
}

unsigned check_free_table(const struct check *check)
{
	const struct network *network = &check->snapshot->network;
	unsigned table = TABLE_USUAL;
	bool taken = true;

	while (taken) {
		taken = false;
		for (size_t i = 0; i < network->rule_count; i++)
			taken |= network->rules[i].table == table;
		for (size_t i = 0; i < network->route_count; i++)
			taken |= network->routes[i].table == table;
		if (taken)
			table++;
		if (table == TABLE_DEFAULT)
			table = TABLE_LOCAL + 1;
	}
	return table;
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
	unsigned table = TABLE_USUAL;

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

bool check_is_bit_free(
	const struct check *check, int family, uint32_t bits, const struct rule *except)
{
	const struct network *network = &check->snapshot->network;
	const struct ruleset *rules = &check->snapshot->rules;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family == family && rule->mask != 0 && rule->mark != bits &&
			(rule->mark & bits) != 0)
			return false;
	}
	for (size_t i = 0; i < rules->base_count; i++)
		for (size_t j = 0; j < rules->bases[i].chain->rule_count; j++) {
			const struct rule *rule = &rules->bases[i].chain->rules[j];

			for (size_t k = 0; rule != except && k < rule->target_count; k++)
				if (rule->targets[k].kind == TARGET_MARK &&
					rule->targets[k].number != bits &&
					(rule->targets[k].number & bits) != 0)
					return false;
		}
	return true;
}

/* Software that writes its rules anew, and the setting of its own that keeps it from doing harm. */
struct writer {
	const char *prefix, *name; /* of its chains, or of its tables */
	bool table;
	const char *place;
};

static const struct writer *writer_of(const struct table *table, const struct chain *chain)
{
	static const struct writer writers[] = {
		{"KUBE-", "kube-proxy", false, "it leaves what stands before its own chains"},
		{"cali-", "Calico", false, "`chainInsertMode: Append` in its FelixConfiguration"},
		{"CILIUM_", "Cilium", false, NULL},
		{"DOCKER", "Docker", false, "it leaves what is in DOCKER-USER"},
		{"ts-", "Tailscale", false, "`tailscale up --netfilter-mode=nodivert`"},
		{"ISTIO_", "Istio", false, "its annotation excludeInboundPorts leaves ports out"},
		{"ufw", "ufw", false, "/etc/ufw/before.rules and before6.rules"},
		{"LIBVIRT_", "libvirt", false, "/etc/libvirt/hooks/network"},
		{"f2b-", "fail2ban", false, "`ignoreip` in /etc/fail2ban/jail.local"},
		{"mihomo", "mihomo", false, "`route-exclude-address` of its tun"},
		{"kube-proxy", "kube-proxy", true, NULL},
		{"firewalld", "firewalld", true, "`firewall-cmd --permanent --direct --add-rule`"},
		{"fw4", "OpenWrt's fw4", true, "a file in /etc/nftables.d"},
		{"sing-box", "sing-box", true, "`route_exclude_address` of its tun"},
		{"mihomo", "mihomo", true, "`route-exclude-address` of its tun"},
		{"f2b-", "fail2ban", true, "`ignoreip` in /etc/fail2ban/jail.local"}};

	for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++)
		if (strncmp(writers[i].table ? table->name : chain->name, writers[i].prefix,
			    strlen(writers[i].prefix)) == 0)
			return &writers[i];
	return NULL;
}

/* "ip f in handle 7", and what stands there, if it can be read. */
static char *nft_rule_text(const struct check *check, const struct rule *rule)
{
	char *where =
		text_format("%.*s", (int)(strstr(rule->text, " handle ") - rule->text), rule->text);
	char *text = check->snapshot->rule_text != NULL
			     ? check->snapshot->rule_text(where, rule->handle)
			     : NULL;
	char *shown = text != NULL ? text_format("`nft %s: %s`", where, text)
				   : text_format("`%s`", rule->text);

	free(text);
	free(where);
	return shown;
}

char *check_rule_text(const struct check *check, const struct rule *rule)
{
	const struct table *table;
	const struct chain *chain;
	const struct writer *writer;
	char *text;

	if (!ruleset_place(&check->snapshot->rules, rule, &table, &chain))
		return text_format("a rule");
	if (table->tool == TOOL_NFT)
		text = nft_rule_text(check, rule);
	else
		text = text_format("`%s -t %s %s`",
			firewall_tool_program(table->tool, table->family), table->name, rule->text);
	writer = writer_of(table, chain);
	if (writer != NULL)
		text_add(&text, " (of %s, which may undo a command: configure it, too%s%s)",
			writer->name, writer->place != NULL ? ": " : "",
			writer->place != NULL ? writer->place : "");
	return text;
}

/* --- diverting --- */

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
	int family = selection->family;
	uint32_t mark = check_mark_in_use(check, family);
	const char *program = firewall_tool_program(tool, family);
	char *match;

	if (tool == TOOL_NFT) {
		divert_nft(check, finding, selection);
		return;
	}
	match = text_format("-p %s -m socket%s%s", protocol_name(family, selection->protocol),
		selection->any_socket ? "" : " --transparent",
		selection->wildcard_sockets ? " --nowildcard" : "");
	/* The later command goes first in the chain: the packet gets its mark, and no rule after that sees it. */
	if (selection->accepts)
		check_fix_iptables(finding, ON_HOST, program, "mangle", "PREROUTING", CHECK_FRONT,
			text_format("%s -m mark --mark 0x%x -j ACCEPT", match, mark));
	check_fix_iptables(finding, ON_HOST, program, "mangle", "PREROUTING", CHECK_FRONT,
		text_format("%s -j MARK --set-mark 0x%x", match, mark));
	free(match);
}

/* A `tproxy` rule of nft, in the chain that diverts. */
static void tproxy_nft(struct check *check, struct check_finding *finding,
	const struct packet *packet, const struct addr *listener)
{
	int family = addr_family(listener);
	const char *ip = family == AF_INET6 ? "ip6" : "ip";
	const struct table *table;
	const struct chain *chain = divert_chain_of_nft(check, family, &table);
	char to[ADDR_TEXT_MAX], at[ADDR_TEXT_MAX], *name;
	bool inet = chain != NULL && table->family == AF_UNSPEC;

	if (chain == NULL)
		return;
	name = text_format("tproxy-%s", addr_format(&packet->destination, to));
	addr_format_ip(&packet->destination, to);
	check_fix_nft(finding, table, chain, CHECK_FRONT, name,
		text_format("%s daddr %s %s dport %u tproxy %s%sto '%s' meta mark set 0x%x accept",
			ip, to, protocol_name(family, packet->protocol),
			addr_port(&packet->destination), inet ? ip : "", inet ? " " : "",
			addr_format(listener, at), check_mark_in_use(check, family)));
	free(name);
}

void check_fix_tproxy(struct check *check, struct check_finding *finding,
	const struct packet *packet, const struct addr *listener)
{
	enum firewall_tool tool = check_tool(check);
	int family = addr_family(listener);
	char to[ADDR_TEXT_MAX], at[ADDR_TEXT_MAX];
	uint32_t mark = check_mark_in_use(check, family);

	if (addr_family(&packet->destination) != family)
		return;
	if (tool == TOOL_NFT) {
		tproxy_nft(check, finding, packet, listener);
		return;
	}
	check_fix_iptables(finding, ON_HOST, firewall_tool_program(tool, family), "mangle",
		"PREROUTING", CHECK_FRONT,
		text_format(
			"-p %s -d %s --dport %u -j TPROXY --on-ip %s --on-port %u --tproxy-mark 0x%x/0x%x",
			protocol_name(family, packet->protocol),
			addr_format_ip(&packet->destination, to), addr_port(&packet->destination),
			addr_format_ip(listener, at), addr_port(listener), mark, mark));
}

/* --- accepting --- */

/* The mark, with its mask if the policy rule for it has one. */
static char *mark_match(const struct check *check, uint32_t mark, bool nft, int family)
{
	const struct network_rule *rule = check_rule_for_mark(check, family, mark);

	if (rule == NULL || rule->mask == UINT32_MAX || (rule->mark & rule->mask) == 0)
		return text_format(nft ? "meta mark 0x%x" : "-m mark --mark 0x%x", mark);
	return nft ? text_format("meta mark and 0x%x == 0x%x", rule->mask, rule->mark)
		   : text_format("-m mark --mark 0x%x/0x%x", rule->mark, rule->mask);
}

/* Of neighbour discovery. */
static const char *discovery_match(uint8_t type, bool nft)
{
	if (type == ND_NEIGHBOR_SOLICIT)
		return nft ? "icmpv6 type nd-neighbor-solicit"
			   : "-p ipv6-icmp --icmpv6-type neighbour-solicitation";
	return nft ? "icmpv6 type nd-neighbor-advert"
		   : "-p ipv6-icmp --icmpv6-type neighbour-advertisement";
}

/*
 * A match for the packet in the tool's language: by its type if it has one, else by MARK if it has one, else by the
 * service's address and port, which are its destination, or in an answer its source.
 */
static char *packet_match(const struct check *check, const struct packet *packet, uint32_t mark,
	enum firewall_tool tool)
{
	int family = addr_family(&packet->destination);
	bool nft = tool == TOOL_NFT, answers = packet->reply;
	const struct addr *service = answers ? &packet->source : &packet->destination;
	const char *protocol = protocol_name(family, packet->protocol);
	char ip[ADDR_TEXT_MAX];

	if (packet->icmp_type != 0)
		return text_copy(discovery_match(packet->icmp_type, nft));
	if (mark != 0)
		return mark_match(check, mark, nft, family);
	addr_format_ip(service, ip);
	if (nft)
		return text_format("%s %caddr %s %s %cport %u", family == AF_INET6 ? "ip6" : "ip",
			answers ? 's' : 'd', ip, protocol, answers ? 's' : 'd', addr_port(service));
	return text_format("-p %s -%c %s --%cport %u", protocol, answers ? 's' : 'd', ip,
		answers ? 's' : 'd', addr_port(service));
}

void check_fix_accept(struct check *check, struct check_finding *finding,
	const struct packet *packet, uint32_t mark, const struct trace_place *place,
	enum check_end end)
{
	const struct table *table = place->table;
	char *match, *name;

	if (table == NULL || place->base == NULL)
		return;
	match = packet_match(check, packet, mark, table->tool);
	name = text_format("accept-%s", match);
	if (table->tool == TOOL_NFT)
		check_fix_nft(
			finding, table, place->base, end, name, text_format("%s accept", match));
	else
		check_fix_iptables(finding, ON_HOST,
			firewall_tool_program(table->tool, table->family), table->name,
			place->base->name, CHECK_FRONT, text_format("%s -j ACCEPT", match));
	free(name);
	free(match);
}
