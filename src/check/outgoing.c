/*
 * Follows one simulated packet that this host sends: its route, the rules of OUTPUT and POSTROUTING, and the route
 * again where a rule marked it.
 *
 * The proxy's packets have source addresses that are not this host's. The kernel does not say which way such a packet
 * would go, so the model of the policy rules does (policy.h), where it agrees with the kernel about the same packet
 * without its source. The trap is the mark: only tables `mangle` and chains of type `route` choose the way again.
 */
#include "commands.h"
#include "fixes.h"
#include "hoststate/policy.h"
#include "packet.h"
#include "tproxy/text.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

static struct policy_answer decide(
	const struct check *check, const struct packet *packet, bool plainly)
{
	struct policy_flow flow = {.from = addr_any(addr_family(&packet->destination)),
		.to = packet->destination,
		.protocol = IPPROTO_TCP};

	if (plainly)
		addr_set_port(&flow.to, 0);
	else {
		flow.from = packet->source;
		flow.mark = packet->mark;
		flow.protocol = (unsigned)packet->protocol;
	}
	return policy_decide(&check->snapshot->network, &flow);
}

/*
 * Whether the model of policy rules may be believed: of a packet without source, ports and mark it says what the
 * kernel says, that it leaves this host, or is refused. The kernel cannot be asked about packets that this host sends from addresses of others.
 */
static bool model_holds(const struct check *check, const struct packet *packet)
{
	struct policy_answer plain = decide(check, packet, true);
	struct addr to = packet->destination;
	struct route_answer kernel;

	check->snapshot->route(&(struct route_question){.to = to}, &kernel);
	if (!kernel.found)
		return plain.result == POLICY_REFUSED;
	return !kernel.local && plain.result == POLICY_LINK;
}

/*
 * A rule for the source, the port or the protocol: the packets' own way comes before it. The kernel's check of the source of
 * what comes back asks the same rules, but sees no ports there (Linux: fib_rule_requires_fldissect() leaves out rules with
 * `iif lo`). So the new rule has ports only if the other one has them.
 */
static void fix_own_route(struct check *check, struct check_finding *finding,
	const struct packet *packet, const struct network_rule *rule)
{
	bool answers = packet->reply;
	const struct addr *service = answers ? &packet->source : &packet->destination;
	const struct policy_answer plain = decide(check, packet, true);
	char ip[ADDR_TEXT_MAX], *selectors;

	if (plain.rule == NULL)
		return;
	selectors =
		text_format("iif lo %s %s", answers ? "from" : "to", addr_format_ip(service, ip));
	if (rule->ip_protocol != 0 || rule->source_ports.last != 0 ||
		rule->destination_ports.last != 0)
		text_add(&selectors, " ipproto %s %cport %u",
			packet->protocol == IPPROTO_UDP ? "udp" : "tcp", answers ? 's' : 'd',
			addr_port(service));
	check_fix_ip_rule_before(
		check, finding, addr_family(service), rule, selectors, plain.rule->table);
}

/*
 * Where the packet goes, by all that it has: source, ports, protocol and mark. Sets its link. Returns whether it
 * leaves this host. ITEM is what is wrong if it does not.
 */
static bool judge_own_route(struct check *check, const struct packet_path *path,
	struct packet *packet, enum check_item item)
{
	struct policy_answer way = decide(check, packet, false);
	struct check_finding *finding;

	if (!model_holds(check, packet))
		return true;
	if (way.result == POLICY_LINK) {
		packet->out = way.route->link;
		return true;
	}
	if (way.result == POLICY_UNKNOWN) {
		check_unknown(check, item, REMEDY_TRY, path->subject,
			"`%s` may decide where they go, by what is not known of them",
			way.rule->text);
		return true;
	}
	if (way.rule == NULL) {
		check_add(check, item, CHECK_HARMFUL, path->subject,
			"no ip rule has a route for them");
		return false;
	}
	finding = check_add(check, item, CHECK_HARMFUL, path->subject,
		way.result == POLICY_LOCAL ? "`%s` keeps them on this host" : "`%s` refuses them",
		way.rule->text);
	fix_own_route(check, finding, packet, way.rule);
	return false;
}

bool packet_judge_routed_again(struct check *check, const struct packet_path *path,
	struct packet *packet, const struct trace *trace)
{
	struct packet marked = *packet;
	struct check_finding *finding;
	struct policy_answer way;
	char *rule;

	marked.mark = trace->route_mark;
	way = decide(check, &marked, false);
	if (!trace->routed_again || way.result == POLICY_UNKNOWN || !model_holds(check, packet))
		return true;
	if (way.result == POLICY_LINK) {
		packet->out = way.route->link;
		return true;
	}
	rule = check_rule_text(check, trace->routed);
	finding = check_add(check, CHECK_MARK_SHARED,
		trace->unsure == NULL ? CHECK_HARMFUL : CHECK_UNKNOWN, path->subject,
		"%s sets mark 0x%x on them, so `%s` keeps them on this host", rule,
		trace->route_mark, way.rule != NULL ? way.rule->text : "no rule");
	if (trace->unsure == NULL)
		check_fix_accept(check, finding, packet, 0, &trace->routed_at, CHECK_FRONT);
	free(rule);
	return false;
}

enum {
	OWNERS_MAX = 16
};

/* The user that the listener's processes run as: sockets that they make belong to it. False: they disagree. */
static bool find_user_of_owners(
	const struct check *check, const struct host_socket *socket, unsigned *uid)
{
	struct socket_owner owners[OWNERS_MAX];
	size_t count = check->snapshot->owners(socket, owners, OWNERS_MAX);

	for (size_t i = 1; i < count && i < OWNERS_MAX; i++)
		if (owners[i].uid != owners[0].uid)
			return false;
	if (count > 0)
		*uid = owners[0].uid;
	return count > 0;
}

/*
 * The user whose socket sends a packet, for matches of owners. A socket belongs to the user that made it: a listener
 * often to root, and connections to the user that the proxy became.
 */
static bool find_user(const struct check *check, const struct packet *packet, unsigned *uid)
{
	const struct service *service = check->snapshot->service;
	bool answers = packet->reply;

	for (size_t i = 0; i < service->listener_count; i++) {
		const struct host_socket *socket = snapshot_listener(check->snapshot,
			service->listeners[i].protocol, &service->listeners[i].address);

		if (socket == NULL || service->listeners[i].protocol != packet->protocol)
			continue;
		if (!answers)
			return find_user_of_owners(check, socket, uid);
		*uid = socket->uid;
		return true;
	}
	return false;
}

void packet_judge_way_back(struct check *check, const struct packet_path *path)
{
	struct packet_path back = {.packet = path->packet};
	struct packet *packet = &back.packet;
	bool to_client = !path->packet.reply;

	packet->source = path->packet.destination;
	packet->destination = path->packet.source;
	packet->reply = to_client;
	packet->mark = 0;
	snprintf(back.subject, sizeof(back.subject), "%s (IPv%d)",
		to_client ? "answers to clients" : "requests to the servers",
		family_version(addr_family(&packet->destination)));
	judge_own_route(check, &back, packet, to_client ? CHECK_IP_RULE : CHECK_SERVER_ROUTE);
}

bool packet_judge_outgoing(struct check *check, const struct packet_path *other,
	struct packet_path *path, enum check_item item, struct trace *trace)
{
	struct packet *packet = &path->packet;

	packet->source = other->packet.destination;
	packet->destination = other->packet.source;
	packet->in = NULL;
	packet->out = other->back.link;
	packet->destination_local = false;
	packet->has_uid = find_user(check, packet, &packet->uid);
	*trace = (struct trace){0};
	if (!judge_own_route(check, path, packet, item))
		return false;
	for (enum hook hook = HOOK_OUTPUT; hook <= HOOK_POSTROUTING; hook++) {
		*trace = packet_trace(check, hook, packet);
		if (trace->dropped) {
			packet_report_drop(check, path, packet, trace);
			return false;
		}
		packet_judge_limits(check, path, hook, packet, trace);
		packet_report_uncertain(check, path, trace);
		if (trace->nat != NULL)
			return true;
		if (hook == HOOK_OUTPUT && !packet_judge_routed_again(check, path, packet, trace))
			return false;
		packet->mark = trace->mark;
		packet->ct = trace->ct;
		packet->ct_mark = trace->ct_mark;
	}
	check_add(check, CHECK_FILTER, CHECK_OK, path->subject, "no rule drops them");
	return true;
}

/*
 * With tcp_fwmark_accept the accepted socket sends with the mark that the client's packet had when it ARRIVED. A rule
 * of OUTPUT may give its packets another mark, and so another route. All rules of that hook see the link of the first one.
 */
static bool is_kept_by_mark(
	const struct check *check, const struct packet_path *path, uint32_t mark)
{
	struct packet answer = path->packet;
	struct trace trace;
	bool kept;

	answer.source = path->packet.destination;
	answer.destination = path->packet.source;
	answer.in = NULL;
	answer.mark = mark;
	kept = decide(check, &answer, false).result != POLICY_LINK;
	answer.out = kept ? "lo" : path->back.link;
	answer.tcp_flags = TH_SYN | TH_ACK;
	answer.ct = CT_ESTABLISHED;
	trace = packet_trace(check, HOOK_OUTPUT, &answer);
	if (trace.dropped || !trace.routed_again)
		return kept;
	answer.mark = trace.route_mark;
	return decide(check, &answer, false).result != POLICY_LINK;
}

void packet_judge_fwmark_accept(
	struct check *check, const struct packet_path *path, const struct trace *arrived)
{
	int accepts = snapshot_sysctl(check->snapshot, "net/ipv4/tcp_fwmark_accept");
	struct check_finding *finding;

	if (arrived->mark == 0 || !is_kept_by_mark(check, path, arrived->mark))
		check_add(check, CHECK_FWMARK_ACCEPT, CHECK_OK, path->subject,
			"they have no mark that would keep answers on this host");
	else if (accepts == 0)
		check_add(check, CHECK_FWMARK_ACCEPT, CHECK_OK, "",
			"net.ipv4.tcp_fwmark_accept is 0");
	else if (accepts == -1)
		check_unknown(check, CHECK_FWMARK_ACCEPT, check_remedy_of_reading(check), "",
			"cannot read net.ipv4.tcp_fwmark_accept");
	else {
		finding = check_add(check, CHECK_FWMARK_ACCEPT, CHECK_HARMFUL, path->subject,
			"net.ipv4.tcp_fwmark_accept is %d, and rules set mark 0x%x on them",
			accepts, arrived->mark);
		check_fix_sysctl(check, finding, "net/ipv4/tcp_fwmark_accept", "0");
	}
}

bool check_no_route(struct check *check, enum check_item item, const char *role,
	const struct addr *peer, const char *error)
{
	const struct network *network = &check->snapshot->network;
	struct policy_answer way = policy_decide(network,
		&(struct policy_flow){
			.from = addr_any(addr_family(peer)), .to = *peer, .protocol = IPPROTO_TCP});
	const struct network_route *route = policy_find_route(network, TABLE_MAIN, peer);
	bool by_rule = way.result == POLICY_REFUSED && way.route == NULL;
	char text[ADDR_TEXT_MAX];
	struct check_finding *finding;

	addr_format_ip(peer, text);
	if (!by_rule && item != CHECK_SERVER_ROUTE)
		return false;
	finding = check_add(check, item, CHECK_MISSING, text,
		"this host has no route to the %s: %s%s%s%s", role, error, by_rule ? " (`" : "",
		by_rule ? way.rule->text : "", by_rule ? "` refuses it)" : "");
	if (by_rule && route != NULL && !route->refuses && !route->thrown)
		check_fix_ip_rule_before(check, finding, addr_family(peer), way.rule,
			text_format("iif lo to %s", text), TABLE_MAIN);
	return true;
}

void check_way_to(
	const struct check *check, const struct addr *peer, int protocol, struct route_answer *way)
{
	struct route_question question = {.to = *peer};

	check->snapshot->route(&question, way);
	question.protocol = (unsigned)protocol;
	if (!way->found)
		check->snapshot->route(&question, way);
}

const struct network_rule *check_rule_that_keeps(const struct check *check, const struct addr *peer)
{
	const struct network *network = &check->snapshot->network;
	struct policy_answer way = policy_decide(network,
		&(struct policy_flow){
			.from = addr_any(addr_family(peer)), .to = *peer, .protocol = IPPROTO_TCP});
	struct route_answer kernel;

	check->snapshot->route(&(struct route_question){.to = *peer}, &kernel);
	return kernel.local && way.result == POLICY_LOCAL && way.rule->table != TABLE_LOCAL &&
			       network_find_address(network, peer) == NULL
		       ? way.rule
		       : NULL;
}

bool check_way_without(const struct check *check, const struct addr *peer, struct route_answer *way)
{
	const struct network_route *route =
		policy_find_route(&check->snapshot->network, TABLE_MAIN, peer);

	*way = (struct route_answer){
		.gateway = addr_any(addr_family(peer)), .source = addr_any(addr_family(peer))};
	if (route == NULL || route->local || route->refuses || route->thrown)
		return false;
	way->found = true;
	snprintf(way->link, sizeof(way->link), "%s", route->link);
	return true;
}

/* --- a server on this host --- */

/* Whether the proxy's own request to a server on this host is intercepted again, when it comes in by lo. */
static bool judge_loop(struct check *check, const struct packet_path *answer)
{
	struct packet request = answer->packet;
	struct check_finding *finding;
	struct trace trace;
	char *rule;

	request.source = answer->packet.destination;
	request.destination = answer->packet.source;
	request.in = "lo";
	request.tcp_flags = TH_SYN;
	request.reply = false;
	request.ct = CT_NEW;
	request.socket = SOCKET_LISTENER; /* the server's own */
	request.socket_transparent = false;
	request.destination_local = true;
	trace = packet_trace(check, HOOK_PREROUTING, &request);
	if (trace.tproxy == NULL)
		return false;
	rule = check_rule_text(check, trace.tproxy);
	finding = check_add(check, CHECK_RULE_ORDER, CHECK_HARMFUL, answer->subject,
		"%s intercepts the proxy's own connections to the server, so it connects to itself again and again",
		rule);
	check_fix_accept(check, finding, &request, 0, &trace.marked_at, CHECK_FRONT);
	free(rule);
	return true;
}

/* Whether no other host can be reached from that address. */
static bool is_loopback(const struct addr *address)
{
	static const uint8_t one[16] = {[15] = 1};

	return addr_family(address) == AF_INET ? addr_bytes(address)[0] == 127
					       : memcmp(addr_bytes(address), one, sizeof(one)) == 0;
}

void packet_judge_own_server(struct check *check, struct packet_path *path)
{
	static const enum check_item items[] = {CHECK_NAT_SOURCE, CHECK_ICMP, CHECK_RETURN_PATH};
	struct packet *packet = &path->packet;
	struct policy_flow flow = {.from = packet->source,
		.to = packet->destination,
		.protocol = (unsigned)packet->protocol};
	bool loopback = is_loopback(&packet->source);
	struct check_finding *finding;
	struct policy_answer way;
	struct route_answer out;
	struct trace trace;
	char ip[ADDR_TEXT_MAX];

	check->snapshot->route(&(struct route_question){.to = packet->destination}, &out);
	packet->in = NULL;
	packet->out = out.link;
	addr_format_ip(&packet->source, path->subject);
	trace = packet_trace(check, HOOK_OUTPUT, packet);
	flow.mark = trace.route_mark;
	way = policy_decide(&check->snapshot->network, &flow);
	if (judge_loop(check, path))
		return;
	if (way.result == POLICY_LOCAL) {
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
			check_add(check, items[i], CHECK_OK, path->subject,
				"the server is on this host, and its answers come back by lo");
		return;
	}
	finding = check_add(check, CHECK_RETURN_PATH, CHECK_MISSING, path->subject,
		"the server is on this host, and its answers to the client's address leave by %s instead of coming back to the proxy%s",
		way.route != NULL ? way.route->link : "no link",
		loopback
			? ""
			: ". Let the server listen on 127.0.0.1 or ::1, so that a rule for its answers concerns no other client");
	if (loopback && way.rule != NULL)
		check_fix_ip_rule_before(check, finding, addr_family(&packet->destination),
			way.rule,
			text_format("iif lo from %s ipproto %s sport %u",
				addr_format_ip(&packet->source, ip),
				packet->protocol == IPPROTO_UDP ? "udp" : "tcp",
				addr_port(&packet->source)),
			check_table_in_use(check, addr_family(&packet->destination)));
}
