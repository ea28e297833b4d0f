/*
 * Judges links, sysctls, routes to servers and firewall tools: what they do to the proxy's packets, and
 * whether the packets arrive at all.
 *
 * Sysctls count as in the kernel: of rp_filter the larger one of the link's and of `all`'s, of
 * src_valid_mark and accept_local either (Documentation/networking/ip-sysctl.rst). Only links that the
 * proxy's packets arrive on are looked at: elsewhere a value does no harm.
 *
 * Whether clients find an address is certain in two cases only: the address is in the network of one of
 * the links, so that clients ask for it there; or packets were captured (capture.h).
 */
#include "commands.h"
#include "endpoints.h"
#include "fixes.h"
#include "hoststate/sysctl.h"
#include "report.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

/* --- the checks of a packet's source --- */

/* Whether the mark makes a source local: the mark's table has a local route for it. */
static bool marked_sources_are_local(const struct check *check, const struct addr *source)
{
	const struct network *network = &check->snapshot->network;
	unsigned table = check_table_in_use(check, AF_INET);

	for (size_t i = 0; i < network->rule_count; i++)
		if (network->rules[i].family == AF_INET && network->rules[i].has_mark &&
			network->rules[i].table == table)
			return network_find_local_route(network, table, source) != NULL;
	return false;
}

/* Sets a sysctl of an IPv4 link, or of `all`. */
static void fix_link_sysctl(struct check *check, struct check_finding *finding, const char *link,
	const char *key, const char *value)
{
	char *path = text_format("net/ipv4/conf/%s/%s", link, key);

	check_fix_sysctl(check, finding, path, value);
	free(path);
}

static int rp_filter_of(const struct check *check, const char *link)
{
	int all, own = snapshot_link_sysctl(check->snapshot, AF_INET, link, "rp_filter", &all);

	return own > all ? own : all;
}

static bool accepts_local(const struct check *check, const char *link)
{
	int all, own = snapshot_link_sysctl(check->snapshot, AF_INET, link, "accept_local", &all);

	return own > 0 || all > 0;
}

bool check_accepts_local_sources(const struct check *check, const char *link)
{
	return accepts_local(check, link) && rp_filter_of(check, link) != 1;
}

static void judge_src_valid_mark(struct check *check, const char *link, const struct addr *source)
{
	int all, marks = snapshot_link_sysctl(
			 check->snapshot, AF_INET, link, "src_valid_mark", &all);
	const char *where = all > 0 ? "all" : link;
	struct check_finding *finding;

	if (marks == -1 && all == -1)
		check_unknown(check, CHECK_SRC_VALID_MARK, check_remedy_of_reading(check), link,
			"cannot read src_valid_mark");
	else if (marks <= 0 && all <= 0)
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link, "src_valid_mark is 0");
	else if (!marked_sources_are_local(check, source))
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link,
			"src_valid_mark is 1, but with the mark sources do not count as local");
	else if (!accepts_local(check, link)) {
		finding = check_add(check, CHECK_SRC_VALID_MARK, CHECK_HARMFUL, link,
			"net.ipv4.conf.%s.src_valid_mark is 1, but accept_local is 0 there and in `all`",
			where);
		fix_link_sysctl(check, finding, where, "accept_local", "1");
	} else if (rp_filter_of(check, link) == 1) {
		finding = check_add(check, CHECK_RP_FILTER, CHECK_HARMFUL, link,
			"src_valid_mark is 1, and rp_filter is 1 (strict)");
		fix_link_sysctl(check, finding, link, "rp_filter", "2");
	} else
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link,
			"src_valid_mark is 1, and accept_local is on");
}

/* A packet is taken to arrive on the link that leads back to its sender; --watch sees where it does not. */
static void judge_rp_filter(struct check *check, const char *link)
{
	int filter = rp_filter_of(check, link);

	if (filter == -1)
		check_unknown(check, CHECK_RP_FILTER, check_remedy_of_reading(check), link,
			"cannot read rp_filter");
	else
		check_add(check, CHECK_RP_FILTER, CHECK_OK, link, "rp_filter is %d%s", filter,
			filter == 1 ? " (strict), and packets arrive on the link that leads back"
				    : ": packets pass if there is a route back");
}

/* The kernel's checks of packets from a client or a server. */
static void judge_peer(struct check *check, const struct addr *peer)
{
	struct route_answer back;

	if (addr_family(peer) != AF_INET)
		return;
	check->snapshot->route(&(struct route_question){.to = *peer}, &back);
	if (!back.found || back.local)
		return;
	judge_src_valid_mark(check, back.link, peer);
	judge_rp_filter(check, back.link);
}

/* Captured packets that arrived on another link than the one that leads back to their sender. */
static void judge_captured(struct check *check, const struct captured *seen)
{
	struct check_finding *finding;
	struct route_answer back;
	int all, filter;

	check->snapshot->route(&(struct route_question){.to = seen->from}, &back);
	filter = snapshot_link_sysctl(
		check->snapshot, AF_INET, seen->packet_link, "rp_filter", &all);
	if (addr_family(&seen->from) != AF_INET || back.local ||
		strcmp(back.link, seen->packet_link) == 0 || (filter > all ? filter : all) != 1)
		return;
	finding = check_add(check, CHECK_RP_FILTER, CHECK_HARMFUL, seen->packet_link,
		"rp_filter is 1 (strict), but the route back to clients that arrive here uses %s",
		back.found ? back.link : "no link");
	fix_link_sysctl(check, finding, all > filter ? "all" : seen->packet_link, "rp_filter", "2");
}

static void judge_sources(struct check *check)
{
	const struct snapshot *snapshot = check->snapshot;
	const struct service *service = snapshot->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, AF_INET, clients);

	if (check->not_used[CHECK_RP_FILTER])
		return;
	for (size_t i = 0; i < count; i++)
		judge_peer(check, &clients[i]);
	for (size_t i = 0; service->spoofs && i < service->server_count; i++)
		judge_peer(check, &service->servers[i]);
	for (size_t i = 0; i < snapshot->captured_count; i++)
		if (snapshot->captured[i].packets > 0)
			judge_captured(check, &snapshot->captured[i]);
}

/* --- whether clients find the address --- */

/* The entry of `ip neigh show proxy` for an address, or NULL. */
static const struct network_proxied *neighbour_proxy(
	const struct network *network, const struct addr *address)
{
	for (size_t i = 0; i < network->proxied_count; i++)
		if (addr_compare_ip(&network->proxied[i].address, address) == 0)
			return &network->proxied[i];
	return NULL;
}

/* The link whose network the address is in, or NULL. Hosts there ask on the link who has the address. */
static const char *link_of_network(const struct network *network, const struct addr *address)
{
	for (size_t i = 0; i < network->address_count; i++) {
		const struct network_address *own = &network->addresses[i];

		if (own->length < family_bits(addr_family(&own->address)) &&
			strcmp(own->link, "lo") != 0 &&
			network_covers(&own->address, own->length, address))
			return own->link;
	}
	return NULL;
}

static void report_not_announced(
	struct check *check, const struct addr *address, const char *link, bool seen)
{
	char ip[ADDR_TEXT_MAX], *path;
	struct check_finding *finding = check_add(check, CHECK_ANNOUNCE, CHECK_MISSING,
		addr_format_ip(address, ip),
		seen ? "a host on %s asked who has the address, but this host did not answer"
		     : "the address is in the network of %s, but this host does not answer for it there",
		link);

	if (addr_family(address) == AF_INET) {
		check_fix_local_address(check, finding, address, NULL);
		return;
	}
	path = text_format("net/ipv6/conf/%s/proxy_ndp", link);
	check_fix_sysctl(check, finding, "net/ipv6/conf/all/forwarding", "1");
	check_fix_sysctl(check, finding, path, "1");
	check_fix(finding, ON_HOST, shell_format("ip -6 neigh replace proxy %s dev %s", ip, link),
		shell_format("ip -6 neigh del proxy %s dev %s", ip, link));
	free(path);
}

/* An entry `ip neigh proxy` answers only on links that forward (Linux: arp_process(), ndisc_recv_ns()). */
static void judge_neighbour_proxy(
	struct check *check, const struct addr *address, const struct network_proxied *entry)
{
	bool ipv6 = addr_family(address) == AF_INET6;
	const char *path = ipv6 ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward";
	const char *name = ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward";
	int forwards = snapshot_sysctl(check->snapshot, path);
	char ip[ADDR_TEXT_MAX];
	struct check_finding *finding;

	addr_format_ip(address, ip);
	if (forwards > 0)
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, ip,
			"%s answers for it (`ip neigh show proxy`)", entry->link);
	else if (forwards == -1)
		check_unknown(check, CHECK_IP_FORWARD, check_remedy_of_reading(check), ip,
			"cannot read %s", name);
	else {
		finding = check_add(check, CHECK_IP_FORWARD, CHECK_MISSING, ip,
			"%s is 0, so the `ip neigh proxy` entry for the address on %s has no effect",
			name, entry->link);
		check_fix_sysctl(check, finding, path, "1");
	}
}

/*
 * A local address of IPv4 is answered for on every link, unless arp_ignore is not 0: 1 and 2 want it among the
 * addresses of the link, 8 answers for none (ip-sysctl.rst). The larger value of the link and of `all` counts.
 */
static void judge_arp_ignore(struct check *check, const struct addr *address, const char *link)
{
	const struct network *network = &check->snapshot->network;
	const struct network_address *own = network_find_address(network, address);
	int all, value = snapshot_link_sysctl(check->snapshot, AF_INET, link, "arp_ignore", &all);
	bool by_all = all > value;
	struct check_finding *finding;
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(address, ip);
	value = by_all ? all : value;
	if (value <= 0 || (value < 8 && own != NULL && strcmp(own->link, link) == 0)) {
		if (own != NULL)
			check_add(check, CHECK_ANNOUNCE, CHECK_OK, ip, "it is an address of %s",
				own->link);
		else
			check_add(check, CHECK_ANNOUNCE, CHECK_OK, ip, "it has a local route");
		return;
	}
	finding = check_add(check, CHECK_ANNOUNCE, CHECK_MISSING, ip,
		"net.ipv4.conf.%s.arp_ignore is %d, so this host does not answer for it on %s",
		by_all ? "all" : link, value, link);
	if (all > 0)
		fix_link_sysctl(check, finding, "all", "arp_ignore", "0");
	if (value != all || !by_all)
		fix_link_sysctl(check, finding, link, "arp_ignore", "0");
}

static const struct captured *captured_for(const struct check *check, const struct addr *address)
{
	for (size_t i = 0; i < check->snapshot->captured_count; i++) {
		const struct captured *each = &check->snapshot->captured[i];

		if (addr_equal(&each->address, address) ||
			(addr_is_any(&each->address) &&
				addr_family(&each->address) == addr_family(address)))
			return each;
	}
	return NULL;
}

/* Whether clients are behind the link, so that they may ask there for the address; a server answers for its own. */
static bool is_clients_link(const struct check *check, const struct addr *address, const char *link)
{
	const struct service *service = check->snapshot->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, addr_family(address), clients);
	struct route_answer back;
	bool found = false;

	for (size_t i = 0; i < service->server_count; i++)
		if (addr_compare_ip(&service->servers[i], address) == 0)
			return false;
	for (size_t i = 0; i < count; i++) {
		check->snapshot->route(&(struct route_question){.to = clients[i]}, &back);
		found |= back.found && strcmp(back.link, link) == 0;
	}
	return found;
}

/* Whether clients that ask for the address, or a router, send its packets here. */
static void judge_announced(struct check *check, const struct addr *address)
{
	const struct network *network = &check->snapshot->network;
	const struct network_proxied *entry = neighbour_proxy(network, address);
	const struct network_address *own = network_find_address(network, address);
	const struct captured *seen = captured_for(check, address);
	bool local = snapshot_is_local(check->snapshot, address);
	const char *link = link_of_network(network, address);
	bool unanswered = seen != NULL && seen->requests > 0 && seen->replies == 0;
	char text[ADDR_TEXT_MAX];

	addr_format_ip(address, text);
	if (own != NULL && (link == NULL || addr_family(address) != AF_INET))
		check_add(
			check, CHECK_ANNOUNCE, CHECK_OK, text, "it is an address of %s", own->link);
	else if (own != NULL)
		judge_arp_ignore(check, address, unanswered ? seen->request_link : link);
	else if (entry != NULL)
		judge_neighbour_proxy(check, address, entry);
	else if (local && addr_family(address) == AF_INET && (unanswered || link != NULL))
		judge_arp_ignore(check, address, unanswered ? seen->request_link : link);
	else if (local && addr_family(address) == AF_INET)
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text, "it has a local route");
	else if (seen != NULL && seen->packets > 0)
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text, "packets for it arrive on %s",
			seen->packet_link);
	else if (unanswered)
		report_not_announced(check, address, seen->request_link, true);
	else if (link != NULL && !is_clients_link(check, address, link))
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text,
			"clients do not ask for it on %s, the link of its network", link);
	else if (link != NULL)
		report_not_announced(check, address, link, false);
	else
		check_unknown(check, CHECK_ANNOUNCE, REMEDY_TRAFFIC, text,
			"no link of this host is in its network. To see whether its packets arrive, let a client connect while `tproxyctl check --watch 10` runs");
}

/* --- the rest --- */

/* The value of a sysctl that makes no difference to the proxy, and NOTE behind it. */
static void report_sysctl(
	struct check *check, enum check_item item, const char *path, const char *note)
{
	char *value = check->snapshot->sysctl(path), *name = sysctl_name(path);

	if (value != NULL)
		check_add(check, item, CHECK_OK, "", "%s is %s%s", name, value, note);
	else
		check_add(check, item, CHECK_OK, "", "cannot read %s%s", name, note);
	free(name);
	free(value);
}

static void judge_server_routes(struct check *check)
{
	const struct service *service = check->snapshot->service;
	struct route_answer way;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < service->server_count; i++) {
		addr_format_ip(&service->servers[i], text);
		check->snapshot->route(&(struct route_question){.to = service->servers[i]}, &way);
		if (!way.found)
			check_add(check, CHECK_SERVER_ROUTE, CHECK_MISSING, text,
				"this host has no route to the server: %s", way.error);
		else if (way.local && service->spoofs)
			check_unknown(check, CHECK_SERVER_ROUTE, REMEDY_TRY, text,
				"the server is on this host, so its answers do not pass PREROUTING");
		else
			check_add(check, CHECK_SERVER_ROUTE, CHECK_OK, text, "the route uses %s",
				way.link);
	}
}

/* Whether iptables-legacy has rules, or, without LEGACY, nftables has. */
static bool tool_has_rules(const struct ruleset *rules, bool legacy)
{
	for (size_t i = 0; i < rules->table_count; i++)
		for (size_t j = 0; j < rules->tables[i].chain_count; j++)
			if ((rules->tables[i].tool == TOOL_LEGACY) == legacy &&
				rules->tables[i].chains[j].rule_count > 0)
				return true;
	return false;
}

static void judge_firewall_tools(struct check *check)
{
	const struct ruleset *rules = &check->snapshot->rules;
	struct check_finding *finding;

	if (!check->snapshot->rules_known)
		check_unknown(check, CHECK_BACKENDS, check_remedy_of_reading(check), "", "%s",
			check->snapshot->rules_problem);
	else if (tool_has_rules(rules, true) && tool_has_rules(rules, false)) {
		finding = check_add(check, CHECK_BACKENDS, CHECK_HARMFUL, "",
			"iptables-legacy and nftables (iptables, nft) both have rules. The command lists them: move all rules to one tool");
		check_fix(finding, ON_HOST, shell_format("iptables-legacy-save; nft list ruleset"),
			NULL);
	} else if (check->snapshot->rules_unseen != NULL)
		check_unknown(check, CHECK_BACKENDS, REMEDY_TOOL, "", "%s",
			check->snapshot->rules_unseen);
	else
		check_add(check, CHECK_BACKENDS, CHECK_OK, "",
			tool_has_rules(rules, true) ? "only iptables-legacy has rules"
						    : "iptables-legacy has no rules");
}

void check_links(struct check *check)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct service *service = check->snapshot->service;
	struct addr destinations[CLIENTS_MAX];

	judge_firewall_tools(check);
	report_sysctl(check, CHECK_NONLOCAL_BIND, "net/ipv4/ip_nonlocal_bind",
		"; transparent listeners do not need it");
	report_sysctl(check, CHECK_EARLY_DEMUX, "net/ipv4/ip_early_demux", "");
	if (!check->snapshot->network_known)
		return;
	judge_sources(check);
	for (size_t i = 0; i < service->listener_count; i++)
		for (size_t f = 0; f < 2; f++) {
			int family = families[f];
			size_t count = 0;

			if (check_hears(check, &service->listeners[i], family))
				count = check_destinations(
					check, &service->listeners[i], family, destinations);
			for (size_t j = 0; j < count; j++)
				judge_announced(check, &destinations[j]);
		}
	judge_server_routes(check);
	if (!check_has_findings(check->report, CHECK_IP_FORWARD))
		report_sysctl(check, CHECK_IP_FORWARD, "net/ipv4/ip_forward",
			"; proxied packets do not need it");
}
