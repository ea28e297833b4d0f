/*
 * Judges links, sysctls, routes to servers and firewall tools: what they do to the proxy's packets, and
 * whether the packets arrive at all.
 *
 * Sysctls count as in the kernel: of rp_filter the larger one of the link's and of `all`'s, of
 * src_valid_mark and accept_local either (Documentation/networking/ip-sysctl.rst). Only links that the
 * proxy's packets arrive on are looked at: elsewhere a value does no harm.
 */
#include "commands.h"
#include "endpoints.h"
#include "fixes.h"
#include "hoststate/policy.h"
#include "hoststate/sysctl.h"
#include "report.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

/* --- the checks of a packet's source --- */

/*
 * Whether the mark makes a source local: the kernel asks for the way back from the packet's DESTINATION as for a packet of its own,
 * by `lo`. Where the rule for the mark does not decide yet, and is a finding, it will: one report has to name both faults.
 */
static bool marked_source_is_local(
	const struct check *check, const struct addr *source, const struct addr *destination)
{
	const struct network *network = &check->snapshot->network;
	struct policy_flow back = {.from = *destination,
		.to = *source,
		.mark = check_mark_in_use(check, AF_INET),
		.protocol = IPPROTO_TCP};

	if (policy_decide(network, &back).result == POLICY_LOCAL)
		return true;
	return check_failed(check, CHECK_IP_RULE) &&
	       network_find_local_route(network, check_table_in_use(check, AF_INET), source) !=
		       NULL;
}

/* Packets of one peer, and where they are to come. */
struct peer_packets {
	struct addr source;
	const struct addr *destinations;
	size_t count;
};

static bool marked_sources_are_local(const struct check *check, const struct peer_packets *packets)
{
	for (size_t i = 0; i < packets->count; i++)
		if (marked_source_is_local(check, &packets->source, &packets->destinations[i]))
			return true;
	return false;
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

static void judge_src_valid_mark(
	struct check *check, const char *link, const struct peer_packets *packets)
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
	else if (!marked_sources_are_local(check, packets))
		check_add(check, CHECK_SRC_VALID_MARK, CHECK_OK, link,
			"src_valid_mark is 1, but with the mark sources do not count as local");
	else if (!accepts_local(check, link)) {
		finding = check_add(check, CHECK_SRC_VALID_MARK, CHECK_HARMFUL, link,
			"net.ipv4.conf.%s.src_valid_mark is 1, but accept_local is 0 there and in `all`",
			where);
		check_fix_link_sysctl(check, finding, where, "accept_local", "1");
	} else if (rp_filter_of(check, link) == 1) {
		finding = check_add(check, CHECK_RP_FILTER, CHECK_HARMFUL, link,
			"src_valid_mark is 1, and rp_filter is 1 (strict)");
		check_fix_link_sysctl(check, finding, link, "rp_filter", "2");
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
static void judge_peer(struct check *check, const struct peer_packets *packets)
{
	struct route_answer back;

	if (addr_family(&packets->source) != AF_INET)
		return;
	check_way_to(check, &packets->source, IPPROTO_TCP, &back);
	if (!back.found || back.local)
		return;
	judge_src_valid_mark(check, back.link, packets);
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
	check_fix_link_sysctl(
		check, finding, all > filter ? "all" : seen->packet_link, "rp_filter", "2");
}

/* Whether the route back to a client or a server uses the link. */
static bool leads_back(const struct check *check, const char *link)
{
	const struct service *service = check->snapshot->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, AF_INET, clients);
	struct route_answer back;

	for (size_t i = 0; i < count + service->server_count; i++) {
		check_way_to(check, i < count ? &clients[i] : &service->servers[i - count],
			IPPROTO_TCP, &back);
		if (back.found && strcmp(back.link, link) == 0)
			return true;
	}
	return false;
}

/* Whether the link has an address that clients connect to. */
static bool has_destination(const struct check *check, const struct network_link *link)
{
	const struct service *service = check->snapshot->service;
	struct addr destinations[CLIENTS_MAX];

	for (size_t i = 0; i < service->listener_count; i++) {
		size_t count = check_hears(check, &service->listeners[i], AF_INET)
				       ? check_destinations(check, &service->listeners[i], AF_INET,
						 destinations)
				       : 0;

		for (size_t j = 0; j < count; j++) {
			const struct network_address *own =
				network_find_address(&check->snapshot->network, &destinations[j]);

			if (own != NULL && strcmp(own->link, link->name) == 0)
				return true;
		}
	}
	return false;
}

/*
 * A link that no route back uses, but that has an address, so that clients' packets may arrive there. On
 * a macvlan (keepalived's use_vmac) with the address that clients connect to they do: it alone has the virtual router's MAC
 * address, and the route back uses the link below it.
 */
static void judge_other_links(struct check *check)
{
	const struct network *network = &check->snapshot->network;
	struct check_finding *finding;

	for (size_t i = 0; i < network->link_count; i++) {
		const struct network_link *link = &network->links[i];

		if (!link->up || strcmp(link->name, "lo") == 0 ||
			network_first_address(network, AF_INET, link->name) == NULL ||
			rp_filter_of(check, link->name) != 1 || leads_back(check, link->name))
			continue;
		if (link->macvlan && has_destination(check, link)) {
			finding = check_add(check, CHECK_RP_FILTER, CHECK_HARMFUL, link->name,
				"rp_filter is 1 (strict) on this macvlan, which has the address that clients connect to. The route back to them uses another link, so their packets are dropped");
			check_fix_link_sysctl(check, finding, link->name, "rp_filter", "2");
		} else
			check_add(check, CHECK_RP_FILTER, CHECK_ADVICE, link->name,
				"rp_filter is 1 (strict), and no route back to the clients uses this link: their packets are dropped if they arrive here");
	}
}

static void judge_clients(struct check *check, const struct service_listener *listener,
	const struct addr *clients, size_t count)
{
	struct addr destinations[CLIENTS_MAX];
	size_t destination_count =
		check_hears(check, listener, AF_INET)
			? check_destinations(check, listener, AF_INET, destinations)
			: 0;

	for (size_t i = 0; destination_count > 0 && i < count; i++)
		judge_peer(
			check, &(struct peer_packets){clients[i], destinations, destination_count});
}

static void judge_sources(struct check *check)
{
	const struct snapshot *snapshot = check->snapshot;
	const struct service *service = snapshot->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, AF_INET, clients);

	if (check->not_used[CHECK_RP_FILTER])
		return;
	for (size_t i = 0; i < service->listener_count; i++)
		judge_clients(check, &service->listeners[i], clients, count);
	for (size_t i = 0; service->spoofs && i < service->server_count; i++)
		judge_peer(check, &(struct peer_packets){service->servers[i], clients, count});
	for (size_t i = 0; i < snapshot->captured_count; i++)
		if (snapshot->captured[i].packets > 0)
			judge_captured(check, &snapshot->captured[i]);
	judge_other_links(check);
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

/* Whether a server of this family is there, or one that is connected to from an address of the proxy's own choice. */
static bool has_server_for(const struct check *check, int family)
{
	const struct service *service = check->snapshot->service;
	const struct addr client = {0}; /* stands for "the client's" */

	for (size_t i = 0; i < service->server_count; i++) {
		struct addr source = service_source(service, i, &client);

		if (addr_family(&service->servers[i]) == family ||
			addr_family(&source) != AF_UNSPEC)
			return true;
	}
	return service->server_count == 0;
}

/* A client's address is no source for a connection of the other family: the proxy refuses such clients. */
static void judge_families(struct check *check, const struct service_listener *listener)
{
	static const int families[] = {AF_INET, AF_INET6};
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < 2; i++) {
		bool both = check_hears(check, listener, families[!i]);

		if (check_hears(check, listener, families[i]) &&
			!has_server_for(check, families[i]))
			check_add(check, CHECK_SERVER_ROUTE, both ? CHECK_ADVICE : CHECK_MISSING,
				addr_format(&listener->address, text),
				"no server has an %s address, so clients of %s cannot be the source of the proxy's connections, and are refused",
				family_name(families[i]), family_name(families[i]));
	}
}

/* Whether a program other than the proxy listens at a server's address, so that it may be on this host. */
static bool has_own_server(const struct check *check, const struct addr *server)
{
	const struct service *service = check->snapshot->service;

	for (int udp = 0; udp < 2; udp++) {
		int protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
		const struct host_socket *socket =
			snapshot_listener(check->snapshot, protocol, server);
		bool proxys = false;

		for (size_t i = 0; socket != NULL && i < service->listener_count; i++)
			proxys |= service->listeners[i].protocol == protocol &&
				  addr_equal(&service->listeners[i].address, &socket->local);
		if (socket != NULL && !proxys)
			return true;
	}
	return false;
}

/* The route to a server is local. */
static void judge_local_server(struct check *check, const struct addr *server)
{
	const struct network_rule *keeps = check_rule_that_keeps(check, server);
	struct check_finding *finding;
	char text[ADDR_TEXT_MAX];

	addr_format_ip(server, text);
	if (keeps != NULL && !check->snapshot->sockets_known)
		check_unknown(check, CHECK_SERVER_ROUTE, check_remedy_of_reading(check), text,
			"`%s` keeps packets to the server on this host, and it is unknown whether a program listens there",
			keeps->text);
	else if (keeps == NULL || has_own_server(check, server))
		check_add(check, CHECK_SERVER_ROUTE, CHECK_OK, text, "the server is on this host");
	else {
		finding = check_add(check, CHECK_SERVER_ROUTE, CHECK_HARMFUL, text,
			"`%s` keeps packets to the server on this host, which has no such address, and no program listens there",
			keeps->text);
		check_fix_ip_rule_away(finding, keeps);
	}
}

static void judge_server_routes(struct check *check)
{
	const struct service *service = check->snapshot->service;
	struct route_answer way;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; service->spoofs && i < service->listener_count; i++)
		judge_families(check, &service->listeners[i]);
	for (size_t i = 0; i < service->server_count; i++) {
		addr_format_ip(&service->servers[i], text);
		check_way_to(check, &service->servers[i], IPPROTO_TCP, &way);
		if (!way.found)
			check_no_route(check, CHECK_SERVER_ROUTE, "server", &service->servers[i],
				way.error);
		else if (way.local)
			judge_local_server(check, &service->servers[i]);
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

	if (!check->snapshot->rules_known)
		check_unknown(check, CHECK_BACKENDS, check_remedy_of_reading(check), "", "%s",
			check->snapshot->rules_problem);
	else if (tool_has_rules(rules, true) && tool_has_rules(rules, false)) {
		check_add(check, CHECK_BACKENDS, CHECK_ADVICE, "",
			"iptables-legacy and nftables (iptables, nft) both have rules. Packets pass all of them, but each tool lists only its own: `iptables-legacy-save` and `nft list ruleset`");
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
	judge_firewall_tools(check);
	report_sysctl(check, CHECK_NONLOCAL_BIND, "net/ipv4/ip_nonlocal_bind",
		"; transparent listeners do not need it");
	report_sysctl(check, CHECK_EARLY_DEMUX, "net/ipv4/ip_early_demux", "");
	if (!check->snapshot->network_known)
		return;
	judge_sources(check);
	check_announced(check);
	judge_server_routes(check);
	if (!check_has_findings(check->report, CHECK_IP_FORWARD))
		report_sysctl(check, CHECK_IP_FORWARD, "net/ipv4/ip_forward",
			"; proxied packets do not need it");
}
