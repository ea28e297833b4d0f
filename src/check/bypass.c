/*
 * Judges what becomes of clients' packets while nothing listens for them.
 *
 * A socket match finds no socket then, and nft's `tproxy` has no effect; only iptables' TPROXY drops the packet. What
 * is not dropped is routed like any other packet. Where this host forwards, and has a route, the client gets a
 * connection to the real server, past the proxy, and nothing shows it.
 *
 * It is advice while the proxy runs, and for an address of a listener alone: whether such packets should pass is the
 * user's choice. Where packets for other hosts are intercepted, and the proxy does not run, something is missing.
 */
#include "fixes.h"
#include "packet.h"
#include "tproxy/text.h"

#include <stdlib.h>

/* Whether the packet leaves this host by FORWARD; *LINK is the link. */
static bool passes_by(
	const struct check *check, const struct packet_path *path, char link[IF_NAMESIZE])
{
	bool ipv6 = addr_family(&path->packet.destination) == AF_INET6;
	struct packet packet = path->packet;
	struct route_answer way;
	struct trace trace;

	packet.socket = SOCKET_NONE;
	packet.proxy_down = true;
	trace = packet_trace(check, HOOK_PREROUTING, &packet);
	if (trace.dropped || snapshot_sysctl(check->snapshot, ipv6 ? "net/ipv6/conf/all/forwarding"
								   : "net/ipv4/ip_forward") <= 0)
		return false;
	check->snapshot->route(&(struct route_question){.to = packet.destination,
				       .from = &packet.source,
				       .iif = packet.in,
				       .mark = trace.mark,
				       .protocol = (unsigned)packet.protocol},
		&way);
	if (!way.found || way.local)
		return false;
	packet.mark = trace.mark;
	packet.ct = trace.ct;
	packet.out = way.link;
	snprintf(link, IF_NAMESIZE, "%s", way.link);
	return !packet_trace(check, HOOK_FORWARD, &packet).dropped;
}

static const struct match *destination_match(const struct rule *rule)
{
	for (size_t i = 0; rule != NULL && i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_DESTINATION)
			return &rule->matches[i];
	return NULL;
}

/* Whether the destinations of the rule that diverts (or NULL) can be said by one range. */
static bool has_one_range(const struct rule *rule)
{
	const struct match *to = destination_match(rule);

	return to == NULL || (!to->negated && to->range_count == 1);
}

/* "192.0.2.0-192.0.2.127": the destinations of the rule that diverts, or the packet's own; NULL: all. */
static char *destinations_of(const struct packet_path *path, const struct rule *rule)
{
	const struct match *to = destination_match(rule);
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];

	if (to != NULL)
		return text_format("%s-%s", addr_format_ip(&to->ranges[0].first, first),
			addr_format_ip(&to->ranges[0].last, last));
	if (rule != NULL || addr_is_any(&path->listener->address))
		return NULL;
	addr_format_ip(&path->packet.destination, first);
	return text_format("%s-%s", first, first);
}

/*
 * Behind the rules that divert, drops what they did not, of the same destinations. For many of them there is no command: a rule for
 * all destinations would drop what the rules never intercepted.
 */
static void fix_bypass(struct check *check, struct check_finding *finding,
	const struct packet_path *path, const struct trace *trace)
{
	const struct trace_place *place = &trace->marked_at;
	const struct packet *packet = &path->packet;
	const char *protocol = packet->protocol == IPPROTO_UDP ? "udp" : "tcp";
	bool ipv6 = addr_family(&packet->destination) == AF_INET6;
	uint32_t mark = check_mark_in_use(check, addr_family(&packet->destination));
	char *to = destinations_of(path, trace->tproxy);
	unsigned port = addr_port(&packet->destination);

	if (place->table == NULL || !has_one_range(trace->tproxy))
		goto out;
	if (place->table->tool == TOOL_NFT) {
		char *name = text_format("close-%s-%u", protocol, port);
		char *where = to != NULL ? text_format("%s daddr %s ", ipv6 ? "ip6" : "ip", to)
					 : text_copy("");

		check_fix_nft(finding, place->table, place->base, CHECK_BACK, name,
			text_format(
				"%s%s dport %u meta mark and 0x%x != 0x%x fib daddr type != local drop",
				where, protocol, port, mark, mark));
		free(where);
		free(name);
	} else {
		char *where =
			to != NULL ? text_format(" -m iprange --dst-range %s", to) : text_copy("");

		check_fix_iptables(finding, ON_HOST,
			firewall_tool_program(place->table->tool, place->table->family),
			place->table->name, place->base->name, CHECK_BACK,
			text_format(
				"-p %s --dport %u%s -m mark ! --mark 0x%x/0x%x -m addrtype ! --dst-type LOCAL -j DROP",
				protocol, port, where, mark, mark));
		free(where);
	}
out:
	free(to);
}

/* Clients of a wildcard listener connect to any address; the servers' are some that this host has a route to. */
static bool passes_to_a_server(
	const struct check *check, struct packet_path *path, char link[IF_NAMESIZE])
{
	const struct service *service = check->snapshot->service;
	uint16_t port = addr_port(&path->packet.destination);

	if (!addr_is_any(&path->listener->address))
		return false;
	for (size_t i = 0; i < service->server_count; i++) {
		struct trace trace;

		if (addr_family(&service->servers[i]) != addr_family(&path->packet.destination))
			continue;
		path->packet.destination = service->servers[i];
		addr_set_port(&path->packet.destination, port);
		trace = packet_trace(check, HOOK_PREROUTING, &path->packet);
		if (packet_diverted(&trace) && passes_by(check, path, link))
			return true;
	}
	return false;
}

void packet_judge_bypass(struct check *check, const struct packet_path *arrived)
{
	struct packet_path copy = *arrived, *path = &copy;
	const struct service_listener *listener = path->listener;
	struct trace trace = packet_trace(check, HOOK_PREROUTING, &path->packet);
	bool runs =
		snapshot_listener(check->snapshot, listener->protocol, &listener->address) != NULL;
	bool others = !addr_equal(&listener->address, &path->packet.destination);
	struct check_finding *finding;
	char link[IF_NAMESIZE] = "";

	if (path->packet.destination_local ||
		(!passes_by(check, path, link) && !passes_to_a_server(check, path, link))) {
		check_add(check, CHECK_BYPASS, CHECK_OK, path->subject,
			"while the proxy is down they do not pass this host");
		return;
	}
	finding = check_add(check, CHECK_BYPASS,
		others && !runs && check->snapshot->sockets_known ? CHECK_MISSING : CHECK_ADVICE,
		path->subject,
		"while nothing listens for them, they pass this host to their destination, by %s",
		link);
	fix_bypass(check, finding, path, &trace);
}
