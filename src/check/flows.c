/*
 * Simulates the packets of a connection: the client's to the proxy and its answer, the proxy's request to the
 * server, the server's answer to the client's address, and ICMP errors about that.
 *
 * Here is which packets there are, on which links they arrive, and which sockets they find; packet.c says
 * what the host does with an incoming one. Socket options come from sock_diag if the proxy runs, else from
 * its configuration. Client side and server side do not depend on each other, so that one run reports the
 * faults of both.
 */
#include "commands.h"
#include "endpoints.h"
#include "fixes.h"
#include "hoststate/policy.h"
#include "packet.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

enum {
	SYN = 0x02,
	ACK = 0x10,
	SOME_PORT = 40000,
	DISCARD = 9 /* a port that no proxy serves (RFC 863) */
};

static const char *const far_away[] = {"203.0.113.250", "2001:db8:ffff::250"};

static int family_of(const struct packet_path *path)
{
	return addr_family(&path->packet.destination);
}

/* The path's packet follows those that were noted before. */
static void set_state(const struct check *check, struct packet_path *path)
{
	int loose = snapshot_sysctl(check->snapshot, "net/netfilter/nf_conntrack_tcp_loose");

	path->packet.ct = tracking_state(path->tracking, &path->packet, loose != 0);
}

/* --- the proxy's packets --- */

static bool changes_source(const struct rule *rule)
{
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind == TARGET_NAT_SOURCE)
			return true;
	return false;
}

/* Whether a NAT rule of the trace changes what the proxy sends; it is reported. */
static bool judge_nat(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	if (trace->nat == NULL)
		return false;
	packet_report_nat(check, path,
		changes_source(trace->nat) ? CHECK_NAT_SOURCE : CHECK_NAT_DESTINATION,
		&path->packet, trace);
	return true;
}

/* --- the client's packets --- */

/* The socket that the packet finds: the proxy's if it runs, else the one that it is going to make. */
static void set_socket(const struct check *check, struct packet_path *path)
{
	const struct service_listener *listener = path->listener;
	const struct addr *destination = &path->packet.destination;
	const struct snapshot *snapshot = check->snapshot;
	const struct host_socket *socket =
		snapshot_listener(snapshot, path->packet.protocol, destination);
	bool hears = addr_equal(&listener->address, destination) ||
		     (addr_is_any(&listener->address) &&
			     addr_port(&listener->address) == addr_port(destination));

	if (socket != NULL) {
		path->packet.socket =
			addr_is_any(&socket->local) ? SOCKET_WILDCARD : SOCKET_LISTENER;
		path->packet.socket_transparent =
			socket->options_known ? socket->transparent : listener->transparent;
	} else if (hears &&
		   snapshot_listener(snapshot, path->packet.protocol, &listener->address) == NULL) {
		path->packet.socket =
			addr_is_any(&listener->address) ? SOCKET_WILDCARD : SOCKET_LISTENER;
		path->packet.socket_transparent = listener->transparent;
	}
}

/* The client's second packet. After a SYN cookie there is no socket for it but the listener. */
static void judge_syncookies(struct check *check, const struct packet_path *path)
{
	int cookies = snapshot_sysctl(check->snapshot, "net/ipv4/tcp_syncookies");
	struct packet packet = path->packet;
	struct check_finding *finding;
	struct trace trace;

	packet.tcp_flags = ACK;
	packet.ct = CT_ESTABLISHED;
	trace = packet_trace(check, HOOK_PREROUTING, &packet);
	if (packet.destination_local || (packet_diverted(&trace) && trace.mark != 0))
		check_add(check, CHECK_SYNCOOKIES, CHECK_OK, path->subject,
			"packets after the SYN reach the proxy, too");
	else if (cookies == 2) {
		finding = check_add(check, CHECK_SYNCOOKIES, CHECK_HARMFUL, path->subject,
			"net.ipv4.tcp_syncookies is 2, but the rules divert only SYNs");
		check_fix_sysctl(check, finding, "net/ipv4/tcp_syncookies", "1");
	} else if (cookies == 1)
		check_add(check, CHECK_SYNCOOKIES, CHECK_ADVICE, path->subject,
			"net.ipv4.tcp_syncookies is 1, but the rules divert only SYNs: during a SYN flood connections fail");
	else
		check_add(check, CHECK_SYNCOOKIES, CHECK_OK, path->subject,
			cookies == 0 ? "net.ipv4.tcp_syncookies is 0"
				     : "this kernel has no SYN cookies");
}

/*
 * A bridge with br_netfilter runs PREROUTING, then the host drops the socket that TPROXY chose (Linux:
 * skb_orphan() in ip_rcv_core()). Mark and destination stay, so only a listener at that destination works.
 */
static void judge_bridge(struct check *check, const struct packet_path *path)
{
	const char *key = family_of(path) == AF_INET6 ? "net/bridge/bridge-nf-call-ip6tables"
						      : "net/bridge/bridge-nf-call-iptables";
	const struct network_link *link =
		network_find_link(&check->snapshot->network, path->packet.in);
	struct trace trace = packet_trace(check, HOOK_PREROUTING, &path->packet);
	char text[ADDR_TEXT_MAX];
	struct check_finding *finding;

	if (link == NULL)
		return;
	if (!link->bridge) {
		check_add(check, CHECK_BRIDGE, CHECK_OK, link->name, "not a bridge");
		return;
	}
	if (check->snapshot->rules.bridge != NULL)
		check_unknown(check, CHECK_FILTER, REMEDY_RULES, link->name,
			"rules for bridges drop packets, and are not followed here: `nft list table bridge %s`",
			check->snapshot->rules.bridge);
	/* Without br_netfilter there is no such sysctl, and rules do not run on bridges. */
	if (snapshot_sysctl(check->snapshot, key) <= 0) {
		check_add(check, CHECK_BRIDGE, CHECK_OK, link->name,
			"firewall rules do not run on this bridge");
		return;
	}
	if (trace.tproxy == NULL || addr_equal(&trace.listener, &path->packet.destination)) {
		check_add(check, CHECK_BRIDGE, CHECK_OK, link->name,
			"firewall rules run on this bridge, and the listener has the address that clients connect to");
		return;
	}
	finding = check_add(check, CHECK_BRIDGE, CHECK_HARMFUL, link->name,
		"%s is 1, so the kernel forgets the listener that TPROXY chose (%s)",
		strrchr(key, '/') + 1, addr_format(&trace.listener, text));
	check_fix_sysctl(check, finding, key, "0");
}

/* A client on this host: its packets pass OUTPUT, and PREROUTING only if their route leads to lo. */
static void judge_local_client(struct check *check, const struct packet_path *path)
{
	struct packet packet = path->packet;
	struct route_question question = {.to = packet.destination};
	struct route_answer answer;
	struct check_finding *finding;
	struct trace trace;

	check->snapshot->route(&question, &answer);
	packet.in = NULL;
	packet.out = answer.link;
	trace = packet_trace(check, HOOK_OUTPUT, &packet);
	question.mark = trace.route_mark;
	if (answer.found && !answer.local && trace.routed_again)
		check->snapshot->route(&question, &answer);
	if (answer.local) {
		check_note_delivery(check, NULL, NULL);
		check_add(check, CHECK_LOCAL_CLIENT, CHECK_OK, path->subject,
			"this host delivers the address to itself");
		return;
	}
	finding = check_add(check, CHECK_LOCAL_CLIENT, CHECK_MISSING, path->subject,
		"the client is this host, but this host does not deliver the address to itself");
	/* Without `src`, packets to a local address have that address as their source, too. */
	check_fix_local_address(check, finding, &packet.destination, &packet.source);
}

/* The proxy's answer to a client's packet that ARRIVED; FLAGS are those of TCP. Returns what becomes of it. */
static struct trace judge_answer_to_client(struct check *check, const struct packet_path *request,
	const struct trace *arrived, int flags)
{
	struct packet_path path = *request;
	struct trace trace;

	tracking_note(path.tracking, &request->packet, arrived->ct);
	path.packet.tcp_flags = (uint8_t)flags;
	path.packet.reply = true;
	set_state(check, &path);
	path.packet.ct_mark = arrived->ct_mark;
	snprintf(path.subject, sizeof(path.subject), "answers to clients (IPv%d)",
		family_version(family_of(request)));
	if (packet_judge_outgoing(check, request, &path, CHECK_IP_RULE, &trace)) {
		check_add(check, CHECK_MARK_SHARED, CHECK_OK, path.subject,
			"no mark keeps them on this host");
		judge_nat(check, &path, &trace);
	}
	tracking_note(path.tracking, &path.packet, trace.ct);
	return trace;
}

/* The packets after a handshake: the connection is established, and may have got a mark. ANSWER is the SYN-ACK's. */
static void judge_clients_later_packets(
	struct check *check, const struct packet_path *first, const struct trace *answer)
{
	struct packet_path path = *first;
	struct trace arrived;

	if (answer->dropped)
		return;
	path.packet.tcp_flags = ACK;
	set_state(check, &path);
	path.packet.ct_mark = answer->ct_mark;
	path.packet.socket = SOCKET_CONNECTED;
	if (packet_judge_incoming(check, &path, &arrived) && !arrived.dropped)
		judge_answer_to_client(check, &path, &arrived, ACK);
}

/* An ip rule may keep packets to the client on this host. Their way without that rule is judged further. */
static void judge_kept_client(
	struct check *check, const struct addr *client, struct route_answer *back)
{
	const struct network_rule *keeps = check_rule_that_keeps(check, client);
	struct check_finding *finding;
	char text[ADDR_TEXT_MAX];

	if (keeps == NULL)
		return;
	finding = check_add(check, CHECK_IP_RULE, CHECK_HARMFUL, addr_format_ip(client, text),
		"`%s` keeps packets to the client on this host, which has no such address",
		keeps->text);
	check_fix_ip_rule_away(finding, keeps);
	if (!check_way_without(check, client, back))
		snprintf(back->error, sizeof(back->error), "the table main has none");
}

/*
 * The packets between one client and one destination. They come in by LINK, or, where that is NULL, by the link that
 * leads back to the client.
 */
static void judge_client(struct check *check, const struct service_listener *listener,
	const struct addr *client, const struct addr *destination, const char *link)
{
	struct packet_path path = {
		.packet = {.source = *client,
			.destination = *destination,
			.protocol = listener->protocol,
			.tcp_flags = SYN,
			.ct = CT_NEW,
			.destination_local = snapshot_is_local(check->snapshot, destination)},
		.listener = listener,
		.tracking = &(struct tracking){0}};
	struct trace arrived, answer;
	char text[ADDR_TEXT_MAX];

	addr_set_port(&path.packet.source, SOME_PORT);
	snprintf(path.subject, sizeof(path.subject), "clients' %s to %s",
		listener->protocol == IPPROTO_UDP ? "datagrams" : "packets",
		addr_format(destination, text));
	set_socket(check, &path);
	if (network_find_address(&check->snapshot->network, client) != NULL) {
		judge_local_client(check, &path);
		return;
	}
	addr_format_ip(client, text);
	check_add(check, CHECK_LOCAL_CLIENT, CHECK_OK, text, "this client is another host");
	check->snapshot->route(&(struct route_question){.to = *client}, &path.back);
	judge_kept_client(check, client, &path.back);
	path.packet.in = link != NULL ? link : path.back.link;
	if (!path.back.found) {
		check_no_route(check, CHECK_IP_RULE, "client", client, path.back.error);
		check_unknown_basis(check, BY_CLIENTS, REMEDY_CLIENT, text,
			"this host has no route to the client: %s", path.back.error);
		return;
	}
	if (packet_judge_incoming(check, &path, &arrived)) {
		packet_judge_bypass(check, &path);
		answer = judge_answer_to_client(check, &path, &arrived, SYN | ACK);
		if (listener->protocol == IPPROTO_TCP) {
			judge_syncookies(check, &path);
			packet_judge_fwmark_accept(check, &path, &arrived);
			judge_clients_later_packets(check, &path, &answer);
		} else
			packet_judge_fragments(check, &path);
	}
	judge_bridge(check, &path);
}

/* --- the server's packets --- */

/*
 * The request to the server, with the client's address as its source. ANSWER is the server's, and learns what
 * connection tracking knows of the connection.
 */
static void judge_requests_to_server(struct check *check, struct packet_path *answer)
{
	struct packet_path path = *answer;
	struct trace trace;

	path.packet.tcp_flags = SYN;
	path.packet.reply = false;
	path.packet.ct = CT_NEW;
	snprintf(path.subject, sizeof(path.subject), "requests to the servers (IPv%d)",
		family_version(family_of(answer)));
	if (!packet_judge_outgoing(check, answer, &path, CHECK_SERVER_ROUTE, &trace))
		return;
	tracking_note(path.tracking, &path.packet, trace.ct);
	set_state(check, answer);
	answer->packet.ct_mark = trace.ct_mark;
	if (judge_nat(check, &path, &trace))
		return;
	check_add(check, CHECK_NAT_SOURCE, CHECK_OK, path.subject,
		"no rule changes the client's address");
	check_add(check, CHECK_NAT_DESTINATION, CHECK_OK, path.subject,
		"no rule changes their destination");
}

/*
 * What follows the server's first ANSWER: by then the connection may have a mark, which rules restore. ARRIVED is the
 * trace of that answer.
 */
static void judge_servers_later_packets(
	struct check *check, const struct packet_path *answer, const struct trace *arrived)
{
	struct packet_path data = *answer, back = *answer;
	struct trace trace;

	tracking_note(answer->tracking, &answer->packet, arrived->ct);
	data.packet.tcp_flags = ACK;
	data.packet.reply = false;
	set_state(check, &data);
	data.packet.ct_mark = arrived->ct_mark;
	snprintf(data.subject, sizeof(data.subject), "requests to the servers (IPv%d)",
		family_version(family_of(answer)));
	if (!packet_judge_outgoing(check, answer, &data, CHECK_SERVER_ROUTE, &trace) ||
		trace.dropped || judge_nat(check, &data, &trace))
		return;
	tracking_note(data.tracking, &data.packet, trace.ct);
	back.packet.tcp_flags = ACK;
	set_state(check, &back);
	back.packet.ct_mark = trace.ct_mark;
	packet_judge_incoming(check, &back, &trace);
}

/* Whether connection tracking knows the connection of an answer; else an error about it is related to nothing. */
static bool is_tracked(const struct packet_path *answer)
{
	return answer->tracking->begun || answer->packet.ct == CT_ESTABLISHED;
}

/* An ICMP error about the client's address, such as "packet too big". ANSWER is the server's packet. */
static void judge_icmp_errors(struct check *check, const struct packet_path *answer)
{
	struct packet_path path = *answer;
	struct check_finding *finding;
	struct trace trace;

	path.packet.protocol = family_of(answer) == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	path.packet.ct = is_tracked(answer) ? CT_RELATED : CT_INVALID;
	trace = packet_trace(check, HOOK_PREROUTING, &path.packet);
	if (packet_diverted(&trace) &&
		check_rule_for_mark(check, family_of(&path), trace.mark) != NULL) {
		check_add(
			check, CHECK_ICMP, CHECK_OK, path.subject, "ICMP errors are diverted, too");
		return;
	}
	check->icmp_undiverted[family_of(&path) == AF_INET6] = true;
	finding = check_add(check, CHECK_ICMP, CHECK_ADVICE, path.subject,
		"ICMP errors are not diverted. If a router towards the servers takes only smaller packets, uploads stall");
	packet_fix_divert(check, finding, &path);
}

static void judge_server_answers(
	struct check *check, const struct addr *server, const struct addr *client, int protocol)
{
	struct packet_path path = {
		.packet = {.source = *server,
			.destination = *client,
			.protocol = protocol,
			.tcp_flags = SYN | ACK,
			.reply = true,
			.ct = CT_ESTABLISHED,
			.socket = SOCKET_CONNECTED,
			.socket_transparent = true,
			.destination_local =
				network_find_address(&check->snapshot->network, client) != NULL},
		.tracking = &(struct tracking){0}};
	struct trace arrived;

	addr_set_port(&path.packet.destination, SOME_PORT);
	if (addr_port(server) == 0)
		addr_set_port(&path.packet.source, 80);
	check_way_to(check, server, protocol, &path.back);
	if (check_rule_that_keeps(check, server) != NULL)
		check_way_without(check, server, &path.back); /* check_links() reports the rule */
	path.packet.in = path.back.link;
	if (path.back.found && path.back.local) {
		packet_judge_own_server(check, &path);
		return;
	}
	if (!path.back.found) {
		addr_format_ip(server, path.subject);
		check_unknown_basis(check, BY_ANSWERS, REMEDY_FIRST, path.subject,
			"this host has no route to the server");
		return;
	}
	snprintf(path.subject, sizeof(path.subject), "servers' %s to the client's address (IPv%d)",
		protocol == IPPROTO_UDP ? "datagrams" : "answers",
		family_version(addr_family(client)));
	judge_requests_to_server(check, &path);
	if (!packet_judge_incoming(check, &path, &arrived))
		return;
	if (protocol == IPPROTO_TCP && !arrived.dropped)
		judge_servers_later_packets(check, &path, &arrived);
	if (path.packet.destination_local)
		check_add(check, CHECK_ICMP, CHECK_OK, path.subject,
			"not needed: the address is local to this host");
	else
		judge_icmp_errors(check, &path);
	if (protocol == IPPROTO_UDP)
		packet_judge_fragments(check, &path);
}

/* --- other packets --- */

/* A packet of a client to a port that the proxy does not serve: it has to be forwarded. */
static void judge_forwarded_packet(
	struct check *check, const struct addr *client, const struct addr *to)
{
	struct packet packet = {.source = *client,
		.destination = *to,
		.protocol = IPPROTO_TCP,
		.tcp_flags = SYN,
		.ct = CT_NEW};
	const char *family = family_name(addr_family(client));
	const struct network_rule *chosen;
	struct route_answer back;
	struct trace trace;
	char *rule;

	check->snapshot->route(&(struct route_question){.to = *client}, &back);
	if (!back.found || back.local) /* judge_client() has said so */
		return;
	packet.in = back.link;
	addr_set_port(&packet.source, SOME_PORT);
	addr_set_port(&packet.destination, DISCARD);
	trace = packet_trace(check, HOOK_PREROUTING, &packet);
	chosen = check_rule_for_mark(check, addr_family(client), trace.mark);
	if (trace.mark == 0 || trace.marked == NULL || trace.tproxy != NULL || chosen == NULL ||
		network_find_local_route(&check->snapshot->network, chosen->table, to) == NULL) {
		check_add(check, CHECK_MARK_SHARED, CHECK_OK, family,
			"packets that are not the proxy's are forwarded as before");
		return;
	}
	rule = check_rule_text(check, trace.marked);
	check_add(check, CHECK_MARK_SHARED, CHECK_HARMFUL, family,
		"%s sets mark 0x%x on packets that are not the proxy's, so they are not forwarded. Use another mark for the proxy (`tproxyctl plan --mark N`) or in that rule",
		rule, trace.mark);
	free(rule);
}

/* --- all of them --- */

/* Packets that were captured count as they came: from that client, by that link. */
static void judge_captured(struct check *check, const struct service_listener *listener, int family)
{
	const struct snapshot *snapshot = check->snapshot;

	for (size_t i = 0; i < snapshot->captured_count; i++) {
		const struct captured *seen = &snapshot->captured[i];
		struct addr client = seen->from;

		if (seen->packets == 0 || seen->protocol != listener->protocol ||
			!addr_equal(&seen->address, &listener->address) ||
			addr_is_any(&seen->address) || addr_family(&client) != family ||
			network_find_link(&snapshot->network, seen->packet_link) == NULL)
			continue;
		addr_set_port(&client, 0);
		judge_client(check, listener, &client, &listener->address, seen->packet_link);
	}
}

static void judge_listener(struct check *check, const struct service_listener *listener, int family)
{
	struct addr clients[CLIENTS_MAX], destinations[CLIENTS_MAX];
	size_t client_count = check_clients(check, family, clients);
	size_t destination_count = check_destinations(check, listener, family, destinations);

	if (client_count == 0)
		check_unknown_basis(check, BY_CLIENTS, REMEDY_CLIENT, "",
			"no link that is up leads to %s clients", family_name(family));
	for (size_t i = 0; i < client_count; i++)
		for (size_t j = 0; j < destination_count; j++)
			judge_client(check, listener, &clients[i], &destinations[j], NULL);
	judge_captured(check, listener, family);
}

static void judge_server(struct check *check, size_t number)
{
	const struct service *service = check->snapshot->service;
	const struct addr *server = &service->servers[number];
	struct addr sources[CLIENTS_MAX];
	size_t count = check_sources(check, number, sources);

	for (size_t i = 0; i < count; i++) {
		if (service_needs_divert(service, addr_family(server), IPPROTO_TCP))
			judge_server_answers(check, server, &sources[i], IPPROTO_TCP);
		if (service_needs_divert(service, addr_family(server), IPPROTO_UDP))
			judge_server_answers(check, server, &sources[i], IPPROTO_UDP);
	}
}

/* All servers of a family, and packets that only pass: to the servers, else to some address far away. */
static void judge_servers(struct check *check, int family)
{
	const struct service *service = check->snapshot->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, family, clients), known = 0;
	struct addr far = addr_any(family);

	addr_parse(&far, far_away[family == AF_INET6]);
	for (size_t j = 0; j < service->server_count; j++) {
		if (addr_family(&service->servers[j]) != family || !service->spoofs)
			continue;
		known++;
		judge_server(check, j);
		for (size_t i = 0; i < count; i++)
			judge_forwarded_packet(check, &clients[i], &service->servers[j]);
	}
	for (size_t i = 0; known == 0 && service_has_family(service, family) && i < count; i++)
		judge_forwarded_packet(check, &clients[i], &far);
}

void check_flows(struct check *check)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct service *service = check->snapshot->service;

	if (!check->snapshot->network_known || !check->snapshot->rules_known) {
		check->answers_uncertain = true;
		return;
	}
	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < service->listener_count; i++)
			if (check_hears(check, &service->listeners[i], families[f]))
				judge_listener(check, &service->listeners[i], families[f]);
		judge_servers(check, families[f]);
	}
}
