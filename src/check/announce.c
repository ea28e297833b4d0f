/*
 * Judges whether clients find the address, whether this host and its neighbours find each other, and whether what clients
 * send is answered.
 *
 * That clients find it is certain in two cases only: the address is in the network of one of the links, so that clients ask for it
 * there; or packets were captured (capture.h). A capture without a packet says that the fault lies before this host;
 * one with packets that were not answered says that it lies here, whatever else was found.
 *
 * The traps: clients of an intercepting proxy connect to addresses of other hosts, which answer for themselves. And with
 * IPv6, rules see the questions and answers of neighbour discovery (RFC 4861), as they see any packet: connections
 * work for some seconds after a rule that drops those, until what the hosts know of each other is out of date.
 */
#include "commands.h"
#include "endpoints.h"
#include "packet.h"
#include "tproxy/array.h"
#include "tproxy/names.h"
#include "tproxy/text.h"

#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>

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

/* A neighbour asked, and this host was silent although it has an entry for the address. */
static void report_silent(struct check *check, const char *ip, const struct network_proxied *entry)
{
	const char *arp = check->snapshot->rules.arp;

	check_add(check, CHECK_ANNOUNCE, CHECK_MISSING, ip,
		"a host asked who has the address, and this host did not answer, although `ip neigh show proxy` has it for %s. Either %s%s, or the host asked on another link, or rp_filter drops its question",
		entry->link,
		arp != NULL ? "rules for ARP drop it, in the table arp "
			    : "its route leads back to that link",
		arp != NULL ? arp : "");
}

/* An entry `ip neigh proxy` answers only on links that forward (Linux: arp_process(), ndisc_recv_ns()). */
static void judge_neighbour_proxy(struct check *check, const struct addr *address,
	const struct network_proxied *entry, bool unanswered)
{
	bool ipv6 = addr_family(address) == AF_INET6;
	const char *path = ipv6 ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward";
	const char *name = ipv6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward";
	int forwards = snapshot_sysctl(check->snapshot, path);
	char ip[ADDR_TEXT_MAX];
	struct check_finding *finding;

	addr_format_ip(address, ip);
	if (forwards > 0 && unanswered)
		report_silent(check, ip, entry);
	else if (forwards > 0 && !ipv6 && check->snapshot->rules.arp != NULL)
		check_unknown(check, CHECK_ANNOUNCE, REMEDY_RULES, ip,
			"%s is to answer for it, but rules for ARP drop packets, and are not followed here: `nft list table arp %s`",
			entry->link, check->snapshot->rules.arp);
	else if (forwards > 0)
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
		check_fix_link_sysctl(check, finding, "all", "arp_ignore", "0");
	if (value != all || !by_all)
		check_fix_link_sysctl(check, finding, link, "arp_ignore", "0");
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

/*
 * Whether clients that ask for the address, or a router, send its packets here. Where packets arrive, a question without an answer
 * keeps no client away: the capture may have ended between the two, or rp_filter drops the question as it drops the packets.
 */
static void judge_announced(struct check *check, const struct addr *address)
{
	const struct network *network = &check->snapshot->network;
	const struct network_proxied *entry = neighbour_proxy(network, address);
	const struct network_address *own = network_find_address(network, address);
	const struct captured *seen = captured_for(check, address);
	bool local = snapshot_is_local(check->snapshot, address);
	const char *link = link_of_network(network, address);
	bool unanswered = seen != NULL && seen->requests > 0 && seen->replies == 0 &&
			  seen->packets == 0 && check->snapshot->captured_lost == 0;
	bool ipv4 = addr_family(address) == AF_INET;
	const char *asked = unanswered ? seen->request_link : link; /* where hosts ask for it */
	char text[ADDR_TEXT_MAX];

	addr_format_ip(address, text);
	if (ipv4 && asked != NULL && (own != NULL || (local && entry == NULL)))
		judge_arp_ignore(check, address, asked);
	else if (own != NULL)
		check_add(
			check, CHECK_ANNOUNCE, CHECK_OK, text, "it is an address of %s", own->link);
	else if (entry != NULL)
		judge_neighbour_proxy(check, address, entry, unanswered);
	else if (local && ipv4)
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
	else if (seen == NULL || !check->snapshot->captured_known || addr_is_any(&seen->address))
		check_unknown(check, CHECK_ANNOUNCE, REMEDY_TRAFFIC, text,
			"no link of this host is in its network. To see whether its packets arrive, let a client connect while `tproxyctl check --watch 10` runs");
}

/* --- neighbour discovery --- */

/* A host that this host sends packets to by a link with link-layer addresses: a client, a server, or a router before it. */
struct neighbour {
	struct addr address;
	const char *link; /* the snapshot's */
};

struct neighbours {
	struct neighbour *list;
	size_t count;
	struct names known; /* "ADDRESS LINK" of each */
};

/* Adds the neighbour that packets to an address go to first, unless it is there. */
static void add_neighbour(
	const struct check *check, struct neighbours *neighbours, const struct addr *to)
{
	const struct network_link *link;
	struct neighbour made;
	struct route_answer way;
	char ip[ADDR_TEXT_MAX], *key;

	check->snapshot->route(&(struct route_question){.to = *to}, &way);
	link = network_find_link(&check->snapshot->network, way.link);
	if (!way.found || way.local || link == NULL || *link->mac == '\0')
		return;
	made = (struct neighbour){addr_is_any(&way.gateway) ? *to : way.gateway, link->name};
	addr_set_port(&made.address, 0);
	key = text_format("%s %s", addr_format_ip(&made.address, ip), made.link);
	if (names_add(&neighbours->known, key, neighbours->count)) {
		neighbours->list =
			array_room(neighbours->list, neighbours->count, sizeof(*neighbours->list));
		neighbours->list[neighbours->count++] = made;
	}
	free(key);
}

/* The multicast address at which the owner of an address is asked (RFC 4291, 2.7.1). */
static struct addr solicited_node(const struct addr *address)
{
	const uint8_t *bytes = addr_bytes(address);
	struct addr made = addr_any(AF_INET6);
	char text[ADDR_TEXT_MAX];

	snprintf(text, sizeof(text), "ff02::1:ff%02x:%02x%02x", bytes[13], bytes[14], bytes[15]);
	addr_parse(&made, text);
	return made;
}

/* Multicast and link-local addresses: what goes there keeps its link, whatever mark it gets (Linux: ip6_route_me_harder()). */
static bool is_of_link(const struct addr *address)
{
	const uint8_t *bytes = addr_bytes(address);

	return bytes[0] == 0xff || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

/*
 * Whether no rule of the hooks, one after the other, drops the packet or keeps it here; they are PREROUTING and INPUT, or OUTPUT
 * and POSTROUTING.
 */
static bool judge_discovery_packet(
	struct check *check, const struct packet_path *path, const enum hook hooks[2])
{
	struct packet packet = path->packet;

	for (size_t i = 0; i < 2; i++) {
		struct trace trace = packet_trace(check, hooks[i], &packet);

		if (trace.dropped) {
			packet_report_drop(check, path, &packet, &trace);
			return false;
		}
		packet_judge_limits(check, path, hooks[i], &packet, &trace);
		packet_report_uncertain(check, path, &trace);
		if (hooks[i] == HOOK_OUTPUT && !is_of_link(&packet.destination) &&
			!packet_judge_routed_again(check, path, &packet, &trace))
			return false;
		packet.mark = trace.mark;
	}
	return true;
}

/* COMES: from the neighbour to OWN, an address of this host; else the other way. The kernel does not track connections of it. */
static struct packet discovery_packet(
	const struct neighbour *neighbour, const struct addr *own, bool comes, bool asks)
{
	const struct addr *to = comes ? own : &neighbour->address;

	return (struct packet){.source = comes ? neighbour->address : *own,
		.destination = asks ? solicited_node(to) : *to,
		.protocol = IPPROTO_ICMPV6,
		.icmp_type = asks ? ND_NEIGHBOR_SOLICIT : ND_NEIGHBOR_ADVERT,
		.hop_limit = UINT8_MAX,
		.in = comes ? neighbour->link : NULL,
		.out = comes ? NULL : neighbour->link,
		.of_kernel = !comes,
		.ct = CT_UNTRACKED,
		.destination_local = comes};
}

/* Each asks for the other's link-layer address, and answers. */
static void judge_neighbour(struct check *check, const struct neighbour *neighbour)
{
	static const enum hook in[] = {HOOK_PREROUTING, HOOK_INPUT};
	static const enum hook out[] = {HOOK_OUTPUT, HOOK_POSTROUTING};
	const struct network_address *first =
		network_first_address(&check->snapshot->network, AF_INET6, neighbour->link);
	struct addr own = first != NULL ? first->address : addr_any(AF_INET6);
	bool well = true;
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(&neighbour->address, ip);
	for (int i = 0; i < 4; i++) {
		bool comes = i < 2, asks = i % 2 == 0;
		struct packet_path path = {
			.packet = discovery_packet(neighbour, &own, comes, asks)};

		snprintf(path.subject, sizeof(path.subject), "neighbour %s %s %s on %s",
			asks ? "solicitations" : "advertisements", comes ? "from" : "to", ip,
			neighbour->link);
		well &= judge_discovery_packet(check, &path, comes ? in : out);
	}
	if (well)
		check_add(check, CHECK_FILTER, CHECK_OK, ip,
			"no rule drops neighbour discovery on %s", neighbour->link);
}

static void judge_neighbours(struct check *check)
{
	const struct service *service = check->snapshot->service;
	struct neighbours neighbours = {0};
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, AF_INET6, clients);

	for (size_t i = 0; i < count && service_has_family(service, AF_INET6); i++)
		add_neighbour(check, &neighbours, &clients[i]);
	for (size_t i = 0; i < service->server_count; i++)
		if (addr_family(&service->servers[i]) == AF_INET6)
			add_neighbour(check, &neighbours, &service->servers[i]);
	for (size_t i = 0; i < neighbours.count; i++)
		judge_neighbour(check, &neighbours.list[i]);
	names_free(&neighbours.known);
	free(neighbours.list);
}

/*
 * --- what was captured ---
 *
 * Where packets were lost, what was seen was there, and what was not seen is unknown.
 */

/* No packet came, although a capture was asked for. Of wildcard listeners the port is not known for sure. */
static void judge_nothing_arrived(struct check *check, const struct captured *seen)
{
	char text[ADDR_TEXT_MAX];

	if (seen->packets > 0 || seen->requests > 0 || addr_is_any(&seen->address))
		return;
	addr_format(&seen->address, text);
	if (check->snapshot->captured_lost > 0)
		check_unknown(check, CHECK_ANNOUNCE, REMEDY_AGAIN, text,
			"no packet for it was seen in %u s, but %u packets came faster than they could be read",
			check->snapshot->captured_seconds, check->snapshot->captured_lost);
	else
		check_unknown(check, CHECK_ANNOUNCE, REMEDY_UPSTREAM, text,
			"no packet for it arrived in %u s: if a client tried, the fault lies before this host",
			check->snapshot->captured_seconds);
}

/* Packets came, and this host answered none of them. If nothing else was found, this is the finding. */
static void judge_unanswered(struct check *check, const struct captured *seen)
{
	const char *moved = check->snapshot->counters_moved;
	const char *reasons = check->snapshot->drop_reasons;
	char text[ADDR_TEXT_MAX];

	if (seen->packets == 0 || seen->answers > 0 || seen->protocol != IPPROTO_TCP ||
		check_verdict(check->report) == CHECK_WRONG)
		return;
	addr_format(&seen->address, text);
	if (check->snapshot->captured_lost > 0) {
		check_unknown(check, CHECK_LISTENER, REMEDY_AGAIN, text,
			"connection requests for it came in by %s (%u), and no answer was seen, but %u packets came faster than they could be read",
			seen->packet_link, seen->packets, check->snapshot->captured_lost);
		return;
	}
	check_add(check, CHECK_LISTENER, CHECK_HARMFUL, text,
		"connection requests for it came in by %s (%u), and none was answered. Counters of the kernel that moved meanwhile: %s%s%s",
		seen->packet_link, seen->packets, moved != NULL ? moved : "none",
		reasons != NULL
			? ". The machine dropped packets meanwhile, those of containers included: "
			: "",
		reasons != NULL ? reasons : "");
}

void check_announced(struct check *check)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct service *service = check->snapshot->service;
	struct addr destinations[CLIENTS_MAX];

	for (size_t i = 0; i < service->listener_count; i++)
		for (size_t f = 0; f < 2; f++) {
			size_t count = 0;

			if (check_hears(check, &service->listeners[i], families[f]))
				count = check_destinations(
					check, &service->listeners[i], families[f], destinations);
			for (size_t j = 0; j < count; j++)
				judge_announced(check, &destinations[j]);
		}
	for (size_t i = 0; check->snapshot->captured_known && i < check->snapshot->captured_count;
		i++)
		judge_nothing_arrived(check, &check->snapshot->captured[i]);
	if (check->snapshot->rules_known)
		judge_neighbours(check);
}

void check_unanswered(struct check *check)
{
	for (size_t i = 0; i < check->snapshot->captured_count; i++)
		judge_unanswered(check, &check->snapshot->captured[i]);
}
