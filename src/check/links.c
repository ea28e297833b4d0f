/*
 * What links and sysctls do to the proxy's packets, and whether packets come at all.
 *
 * A value counts as the kernel counts it: rp_filter is the larger one of the link's and of `all`,
 * src_valid_mark and accept_local are on when either is (Documentation/networking/ip-sysctl.rst). A
 * value does harm only on a link that the proxy's packets come by, so only those are looked at.
 *
 * Whether clients find an address is known for certain in two cases only: the address is in the network
 * of one of the links, so clients ask the link for it; or somebody watched (watch.h).
 */
#include "hoststate/sysctl.h"
#include "report.h"
#include "setup/plan.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

/* --- the checks of a packet's source --- */

/* Whether sources that come by the link are looked up with the mark, and then count as local. */
static bool marked_sources_are_local(const struct check *check, const struct addr *source)
{
	const struct network *network = &check->at->network;
	unsigned table = check_table_in_use(check, AF_INET);

	for (size_t i = 0; i < network->rule_count; i++)
		if (network->rules[i].family == AF_INET && network->rules[i].has_mark &&
			network->rules[i].table == table)
			return network_find_local_route(network, table, source) != NULL;
	return false;
}

static void accept_local_sources(struct check *check, const char *link, bool everywhere)
{
	const char *where = everywhere ? "all" : link;
	char *path = text_format("net/ipv4/conf/%s/accept_local", where);
	struct check_finding *finding = check_add(check, CHECK_SRC_VALID_MARK, CHECK_HARMFUL, link,
		"net.ipv4.conf.%s.src_valid_mark is 1, and accept_local is 0 there and in `all`",
		where);

	check_fix_sysctl(check, finding, path, "1");
	free(path);
}

static void loosen(struct check *check, const char *link)
{
	char *path = text_format("net/ipv4/conf/%s/rp_filter", link);
	struct check_finding *finding = check_add(check, CHECK_RP_FILTER, CHECK_HARMFUL, link,
		"rp_filter is 1 (strict) where src_valid_mark looks sources up with the mark");

	check_fix_sysctl(check, finding, path, "2");
	free(path);
}

/* The larger of the link's and of `all`'s. */
static int filter_of(const struct check *check, const char *link)
{
	int all, own = snapshot_link_sysctl(check->at, AF_INET, link, "rp_filter", &all);

	return own > all ? own : all;
}

static bool accepts_local(const struct check *check, const char *link)
{
	int all, own = snapshot_link_sysctl(check->at, AF_INET, link, "accept_local", &all);

	return own > 0 || all > 0;
}

bool check_lets_local_sources_in(const struct check *check, const char *link)
{
	return accepts_local(check, link) && filter_of(check, link) != 1;
}

static void sources_by_mark(struct check *check, const char *link, const struct addr *source)
{
	int all, marks = snapshot_link_sysctl(check->at, AF_INET, link, "src_valid_mark", &all);

	if (marks == -1 && all == -1)
		check_unknown(check, CHECK_SRC_VALID_MARK, check_remedy_of_reading(check), link,
			"src_valid_mark cannot be read");
	else if (marks <= 0 && all <= 0)
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link, "0");
	else if (!marked_sources_are_local(check, source))
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link,
			"1, and sources do not count as local with the mark either");
	else if (!accepts_local(check, link))
		accept_local_sources(check, link, all > 0);
	else if (filter_of(check, link) == 1)
		loosen(check, link);
	else
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link,
			"1, and accept_local lets such sources in");
}

/* A packet of a peer is taken to come by the link that leads back; --watch sees where it does not. */
static void sources_by_link(struct check *check, const char *link)
{
	int filter = filter_of(check, link);

	if (filter == -1)
		check_unknown(check, CHECK_RP_FILTER, check_remedy_of_reading(check), link,
			"rp_filter cannot be read");
	else
		check_add(check, CHECK_RP_FILTER, CHECK_OK, link, "%d%s", filter,
			filter == 1 ? " (strict): what comes by the link that leads back passes"
				    : ": it turns nothing away that has a way back");
}

/* The host's checks of what comes from a client or a server. */
static void sources_of(struct check *check, const struct addr *peer)
{
	struct route_answer back;

	if (addr_family(peer) != AF_INET)
		return;
	check->at->route(&(struct route_question){.to = *peer}, &back);
	if (!back.found || back.local)
		return;
	sources_by_mark(check, back.link, peer);
	sources_by_link(check, back.link);
}

/* Packets that were seen to come by another link than the one that leads back to their sender. */
static void came_by_another_link(struct check *check, const struct captured *seen)
{
	const struct snapshot *at = check->at;
	struct check_finding *finding;
	struct route_answer back;
	char *path;
	int all, filter;

	at->route(&(struct route_question){.to = seen->from}, &back);
	filter = snapshot_link_sysctl(at, AF_INET, seen->packet_link, "rp_filter", &all);
	if (addr_family(&seen->from) != AF_INET || back.local ||
		strcmp(back.link, seen->packet_link) == 0 || (filter > all ? filter : all) != 1)
		return;
	finding = check_add(check, CHECK_RP_FILTER, CHECK_HARMFUL, seen->packet_link,
		"rp_filter is 1 (strict), and the way back to clients that come by it leads out by "
		"%s",
		back.found ? back.link : "no link");
	path = text_format("net/ipv4/conf/%s/rp_filter", all > filter ? "all" : seen->packet_link);
	check_fix_sysctl(check, finding, path, "2");
	free(path);
}

static void sources(struct check *check)
{
	const struct service *service = check->at->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, AF_INET, clients);

	if (check->unconcerned[CHECK_RP_FILTER])
		return;
	for (size_t i = 0; i < count; i++)
		sources_of(check, &clients[i]);
	for (size_t i = 0; service->spoofs && i < service->server_count; i++)
		sources_of(check, &service->servers[i]);
	for (size_t i = 0; i < check->at->captured_count; i++)
		if (check->at->captured[i].packets > 0)
			came_by_another_link(check, &check->at->captured[i]);
}

/* --- whether clients find the address --- */

static const struct network_proxied *proxied(
	const struct network *network, const struct addr *address)
{
	unsigned bits = addr_family(address) == AF_INET6 ? 128 : 32;

	for (size_t i = 0; i < network->proxied_count; i++)
		if (network_covers(&network->proxied[i].address, bits, address))
			return &network->proxied[i];
	return NULL;
}

/* The link whose own network the address is in: whoever is there asks for the address itself. */
static const char *on_link(const struct network *network, const struct addr *address)
{
	for (size_t i = 0; i < network->address_count; i++) {
		const struct network_address *own = &network->addresses[i];
		unsigned bits = addr_family(&own->address) == AF_INET6 ? 128 : 32;

		if (own->length < bits && strcmp(own->link, "lo") != 0 &&
			network_covers(&own->address, own->length, address))
			return own->link;
	}
	return NULL;
}

static void fix_announce(struct check *check, struct check_finding *finding,
	const struct addr *address, const char *link)
{
	char ip[ADDR_TEXT_MAX], *path;

	addr_format_ip(address, ip);
	if (addr_family(address) == AF_INET) {
		check_fix(finding, ON_HOST,
			shell_format("ip -4 route replace local %s/32 dev lo", ip),
			shell_format("ip -4 route del local %s/32 dev lo", ip));
		return;
	}
	path = text_format("net/ipv6/conf/%s/proxy_ndp", link);
	check_fix_sysctl(check, finding, "net/ipv6/conf/all/forwarding", "1");
	check_fix_sysctl(check, finding, path, "1");
	check_fix(finding, ON_HOST, shell_format("ip -6 neigh replace proxy %s dev %s", ip, link),
		shell_format("ip -6 neigh del proxy %s dev %s", ip, link));
	free(path);
}

static void not_announced(
	struct check *check, const struct addr *address, const char *link, bool seen)
{
	char text[ADDR_TEXT_MAX];
	struct check_finding *finding =
		check_add(check, CHECK_ANNOUNCE, CHECK_MISSING, addr_format_ip(address, text),
			seen ? "%s was asked who has the address, and this host did not answer"
			     : "the address is in the network of %s, and this host does not answer "
			       "for it there",
			link);

	fix_announce(check, finding, address, link);
}

/* The host answers for an address that it does not have, where it forwards. */
static void answers_for(
	struct check *check, const struct addr *address, const struct network_proxied *entry)
{
	bool ipv6 = addr_family(address) == AF_INET6;
	const char *path = ipv6 ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward";
	const char *name = ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward";
	int forwards = snapshot_sysctl(check->at, path);
	char text[ADDR_TEXT_MAX];
	struct check_finding *finding;

	addr_format_ip(address, text);
	if (forwards > 0) {
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text,
			"%s answers for it (`ip neigh show proxy`)", entry->link);
		return;
	}
	if (forwards == -1) {
		check_unknown(check, CHECK_IP_FORWARD, check_remedy_of_reading(check), text,
			"%s cannot be read", name);
		return;
	}
	finding = check_add(check, CHECK_IP_FORWARD, CHECK_MISSING, text,
		"%s is 0, and %s has `neigh proxy` for the address: links that do not forward do "
		"not answer",
		name, entry->link);
	check_fix_sysctl(check, finding, path, "1");
}

static const struct captured *seen_for(const struct check *check, const struct addr *address)
{
	for (size_t i = 0; i < check->at->captured_count; i++) {
		const struct captured *each = &check->at->captured[i];

		if (addr_equal(&each->address, address) ||
			(addr_is_any(&each->address) &&
				addr_family(&each->address) == addr_family(address)))
			return each;
	}
	return NULL;
}

static void announced(struct check *check, const struct addr *address)
{
	const struct network *network = &check->at->network;
	const struct network_proxied *entry = proxied(network, address);
	const struct network_address *own = network_find_address(network, address);
	const struct captured *seen = seen_for(check, address);
	bool local = snapshot_is_local(check->at, address);
	const char *link = on_link(network, address);
	char text[ADDR_TEXT_MAX];

	addr_format_ip(address, text);
	if (own != NULL)
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text, "%s has it", own->link);
	else if (entry != NULL)
		answers_for(check, address, entry);
	else if (local && addr_family(address) == AF_INET)
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text, "it has a local route");
	else if (seen != NULL && seen->packets > 0)
		check_add(check, CHECK_ANNOUNCE, CHECK_OK, text, "packets for it come by %s",
			seen->packet_link);
	else if (seen != NULL && seen->requests > 0 && seen->replies == 0)
		not_announced(check, address, seen->request_link, true);
	else if (link != NULL)
		not_announced(check, address, link, false);
	else
		check_unknown(check, CHECK_ANNOUNCE, REMEDY_TRAFFIC, text,
			"no link of this host is in its network: a router has to send it here, or "
			"clients' links ask for it. `check --watch 5` looks while a client tries");
}

/* --- the rest --- */

/* A sysctl that makes no difference to the proxy, with the value that it has. */
static void makes_no_difference(
	struct check *check, enum check_item item, const char *path, const char *why)
{
	char *value = check->at->sysctl(path), *name = sysctl_name(path);

	check_add(check, item, CHECK_OK, "", "%s %s%s%s", name,
		value != NULL ? "is " : "cannot be read", value != NULL ? value : "", why);
	free(name);
	free(value);
}

static void forwarding(struct check *check)
{
	if (!check_has_findings(check->report, CHECK_IP_FORWARD))
		makes_no_difference(check, CHECK_IP_FORWARD, "net/ipv4/ip_forward",
			": what is proxied needs no forwarding");
}

static void not_needed(struct check *check)
{
	makes_no_difference(check, CHECK_NONLOCAL_BIND, "net/ipv4/ip_nonlocal_bind",
		": transparent listeners do not need it");
	makes_no_difference(check, CHECK_EARLY_DEMUX, "net/ipv4/ip_early_demux", "");
}

static void server_routes(struct check *check)
{
	const struct service *service = check->at->service;
	struct route_answer way;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < service->server_count; i++) {
		addr_format_ip(&service->servers[i], text);
		check->at->route(&(struct route_question){.to = service->servers[i]}, &way);
		if (!way.found)
			check_add(check, CHECK_SERVER_ROUTE, CHECK_MISSING, text, "%s", way.error);
		else if (way.local && service->spoofs)
			check_unknown(check, CHECK_SERVER_ROUTE, REMEDY_TRY, text,
				"the server is on this host: its answers do not pass PREROUTING");
		else
			check_add(check, CHECK_SERVER_ROUTE, CHECK_OK, text, "by %s", way.link);
	}
}

static bool has_rules(const struct ruleset *rules, bool legacy)
{
	for (size_t i = 0; i < rules->table_count; i++)
		for (size_t j = 0; j < rules->tables[i].chain_count; j++)
			if ((rules->tables[i].tool == TOOL_LEGACY) == legacy &&
				rules->tables[i].chains[j].rule_count > 0)
				return true;
	return false;
}

static void tools(struct check *check)
{
	const struct ruleset *rules = &check->at->rules;
	struct check_finding *finding;

	if (!check->at->rules_known)
		check_unknown(check, CHECK_BACKENDS, check_remedy_of_reading(check), "", "%s",
			check->at->rules_problem);
	else if (has_rules(rules, true) && has_rules(rules, false)) {
		finding = check_add(check, CHECK_BACKENDS, CHECK_HARMFUL, "",
			"both iptables-legacy and nftables (iptables, nft) hold rules");
		check_fix(finding, ON_HOST, shell_format("iptables-legacy-save; nft list ruleset"),
			NULL);
	} else if (check->at->rules_unseen != NULL)
		check_unknown(
			check, CHECK_BACKENDS, REMEDY_TOOL, "", "%s", check->at->rules_unseen);
	else
		check_add(check, CHECK_BACKENDS, CHECK_OK, "", "%s",
			has_rules(rules, true) ? "iptables-legacy" : "nftables (iptables, nft)");
}

void check_links(struct check *check)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct service *service = check->at->service;
	struct addr called[CLIENTS_MAX];

	tools(check);
	not_needed(check);
	if (!check->at->network_known)
		return;
	sources(check);
	for (size_t i = 0; i < service->listener_count; i++)
		for (size_t f = 0; f < 2; f++) {
			int family = families[f];
			size_t count = 0;

			if (check_hears(check, &service->listeners[i], family))
				count = check_called(check, &service->listeners[i], family, called);
			for (size_t j = 0; j < count; j++)
				announced(check, &called[j]);
		}
	server_routes(check);
	forwarding(check);
}
