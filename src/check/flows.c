/*
 * The packets of a connection, followed in thought: the client's to the proxy, the proxy's to the server,
 * the server's to the client's address, and the errors about those.
 *
 * What the host does with each that comes in is check_packet.c's; here is which packets there are, by
 * which links they come, and what sockets they find. A socket that is there tells that itself; of a proxy
 * that does not run yet its configuration is believed.
 */
#include "packet.h"
#include "setup/plan.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

enum {
	SYN = 0x02,
	ACK = 0x10,
	SOME_PORT = 40000,
	DISCARD = 9 /* a port that nobody proxies (RFC 863) */
};

static const char *const far_away[] = {"203.0.113.250", "2001:db8:ffff::250"};

static int family_of(const struct leg *leg)
{
	return addr_family(&leg->packet.destination);
}

/* --- the client's packets --- */

/* What a socket that is there says of itself, or what the proxy says that it will be. */
static void put_socket(const struct check *check, struct leg *leg)
{
	const struct service_listener *listener = leg->listener;
	const struct addr *called = &leg->packet.destination;
	const struct snapshot *at = check->at;
	const struct host_socket *socket = snapshot_listener(at, leg->packet.protocol, called);
	bool hears = addr_equal(&listener->address, called) ||
		     (addr_is_any(&listener->address) &&
			     addr_port(&listener->address) == addr_port(called));

	if (socket != NULL) {
		leg->packet.socket =
			addr_is_any(&socket->local) ? SOCKET_WILDCARD : SOCKET_LISTENER;
		leg->packet.socket_transparent =
			socket->options_known ? socket->transparent : listener->transparent;
	} else if (hears &&
		   snapshot_listener(at, leg->packet.protocol, &listener->address) == NULL) {
		leg->packet.socket =
			addr_is_any(&listener->address) ? SOCKET_WILDCARD : SOCKET_LISTENER;
		leg->packet.socket_transparent = listener->transparent;
	}
}

/* The client's second packet, for which a SYN cookie leaves no socket of its own. */
static void acknowledges(struct check *check, const struct leg *leg)
{
	int cookies = snapshot_sysctl(check->at, "net/ipv4/tcp_syncookies");
	struct packet packet = leg->packet;
	struct check_finding *finding;
	struct trace trace;

	packet.tcp_flags = ACK;
	packet.ct = CT_ESTABLISHED;
	trace = packet_traced(check, HOOK_PREROUTING, &packet);
	if (packet.destination_local || (packet_is_caught(&trace) && trace.mark != 0))
		check_add(check, CHECK_SYNCOOKIES, CHECK_OK, leg->subject,
			"those that follow the SYN are taken in, too");
	else if (cookies == 2) {
		finding = check_add(check, CHECK_SYNCOOKIES, CHECK_HARMFUL, leg->subject,
			"net.ipv4.tcp_syncookies is 2, and only SYNs are handed to the listener");
		check_fix_sysctl(check, finding, "net/ipv4/tcp_syncookies", "1");
	} else if (cookies == 1)
		check_add(check, CHECK_SYNCOOKIES, CHECK_ADVICE, leg->subject,
			"net.ipv4.tcp_syncookies is 1: during a flood of SYNs connections will "
			"fail, for only SYNs are handed to the listener");
	else
		check_add(check, CHECK_SYNCOOKIES, CHECK_OK, leg->subject,
			cookies == 0 ? "net.ipv4.tcp_syncookies is 0"
				     : "this kernel has no SYN cookies");
}

/* The socket of a marked request sends with that mark, too, where the host says so. */
static void takes_over_the_mark(struct check *check, const struct leg *leg)
{
	struct trace trace = packet_traced(check, HOOK_PREROUTING, &leg->packet);
	int accepts = snapshot_sysctl(check->at, "net/ipv4/tcp_fwmark_accept");
	struct check_finding *finding;

	if (trace.mark == 0 || packet_rule_for_mark(check, family_of(leg), trace.mark) == NULL)
		check_add(check, CHECK_FWMARK_ACCEPT, CHECK_OK, leg->subject,
			"they have no mark that an ip rule goes by");
	else if (accepts == 0)
		check_add(check, CHECK_FWMARK_ACCEPT, CHECK_OK, "",
			"net.ipv4.tcp_fwmark_accept is 0");
	else if (accepts == -1)
		check_unknown(check, CHECK_FWMARK_ACCEPT, check_remedy_of_reading(check), "",
			"net.ipv4.tcp_fwmark_accept cannot be read");
	else {
		finding = check_add(check, CHECK_FWMARK_ACCEPT, CHECK_HARMFUL, leg->subject,
			"net.ipv4.tcp_fwmark_accept is %d, and requests bear mark 0x%x", accepts,
			trace.mark);
		check_fix_sysctl(check, finding, "net/ipv4/tcp_fwmark_accept", "0");
	}
}

/* A listener that TPROXY names has to be there, once the proxy runs. */
static void hands_over(struct check *check, const struct leg *leg)
{
	struct trace trace = packet_traced(check, HOOK_PREROUTING, &leg->packet);
	const struct snapshot *at = check->at;
	char text[ADDR_TEXT_MAX], *rule;

	if (trace.tproxy == NULL || !at->sockets_known ||
		snapshot_listener(at, leg->packet.protocol, &trace.listener) != NULL ||
		snapshot_listener(at, leg->packet.protocol, &leg->listener->address) == NULL)
		return;
	rule = check_rule_text(check, trace.tproxy);
	check_add(check, CHECK_LISTENER, CHECK_MISSING, leg->subject,
		"%s hands them to %s, where nothing listens", rule,
		addr_format(&trace.listener, text));
	free(rule);
}

/* On a bridge TPROXY's choice of a socket is forgotten; the mark stays, and the address that was called. */
static void crosses_a_bridge(struct check *check, const struct leg *leg)
{
	const char *key = family_of(leg) == AF_INET6 ? "net/bridge/bridge-nf-call-ip6tables"
						     : "net/bridge/bridge-nf-call-iptables";
	const struct network_link *link = network_find_link(&check->at->network, leg->packet.in);
	struct trace trace = packet_traced(check, HOOK_PREROUTING, &leg->packet);
	char text[ADDR_TEXT_MAX];
	struct check_finding *finding;

	if (link == NULL)
		return;
	if (!link->bridge) {
		check_add(check, CHECK_BRIDGE, CHECK_OK, link->name, "it is no bridge");
		return;
	}
	/* Without br_netfilter there is no such sysctl, and rules do not run on bridges. */
	if (snapshot_sysctl(check->at, key) <= 0) {
		check_add(check, CHECK_BRIDGE, CHECK_OK, link->name, "rules do not run on it");
		return;
	}
	if (trace.tproxy == NULL || addr_equal(&trace.listener, &leg->packet.destination)) {
		check_add(check, CHECK_BRIDGE, CHECK_OK, link->name,
			"rules run on the bridge, and the listener is where clients call");
		return;
	}
	finding = check_add(check, CHECK_BRIDGE, CHECK_HARMFUL, link->name,
		"%s is 1, and TPROXY chooses %s", strrchr(key, '/') + 1,
		addr_format(&trace.listener, text));
	check_fix_sysctl(check, finding, key, "0");
}

/* Packets of the host itself pass OUTPUT, and PREROUTING only if they are led to lo. */
static void calls_from_here(struct check *check, const struct leg *leg)
{
	struct packet packet = leg->packet;
	struct route_question question = {.to = packet.destination};
	struct route_answer answer;
	struct check_finding *finding;
	char ip[ADDR_TEXT_MAX], own[ADDR_TEXT_MAX];
	int version = check_version(family_of(leg)), bits = version == 6 ? 128 : 32;

	check->at->route(&question, &answer);
	packet.in = NULL;
	packet.out = answer.link;
	question.mark = packet_traced(check, HOOK_OUTPUT, &packet).mark;
	if (answer.found && !answer.local && question.mark != 0)
		check->at->route(&question, &answer);
	if (answer.local) {
		check_add(check, CHECK_LOCAL_CLIENT, CHECK_OK, leg->subject,
			"the address is local to what this host sends");
		return;
	}
	addr_format_ip(&packet.destination, ip);
	addr_format_ip(&packet.source, own);
	finding = check_add(check, CHECK_LOCAL_CLIENT, CHECK_MISSING, leg->subject,
		"the client is this host, and the address is not local to what it sends");
	/* Without `src` what the host sends to a local address comes from that address. */
	check_fix(finding, ON_HOST,
		shell_format(
			"ip -%d route replace local %s/%d dev lo src %s", version, ip, bits, own),
		shell_format("ip -%d route del local %s/%d dev lo", version, ip, bits));
}

/*
 * LEG gets the packet that goes against OTHER, and is followed through the hooks on its way out: until
 * one drops it, or changes an address of it.
 */
static struct trace goes_out(struct check *check, const struct leg *other, struct leg *leg)
{
	struct packet *packet = &leg->packet;
	struct trace trace = {0};

	packet->source = other->packet.destination;
	packet->destination = other->packet.source;
	packet->in = NULL;
	packet->out = other->back.link;
	packet->destination_local = false;
	for (enum hook hook = HOOK_OUTPUT; hook <= HOOK_POSTROUTING; hook++) {
		trace = packet_traced(check, hook, packet);
		if (trace.dropped)
			packet_is_dropped(check, leg, hook, packet, &trace);
		else
			packet_in_doubt(check, leg, &trace);
		if (trace.dropped || trace.nat != NULL)
			return trace;
		packet->mark = trace.mark;
	}
	check_add(check, CHECK_FILTER, CHECK_OK, leg->subject, "no rule drops them");
	return trace;
}

/* The proxy's answer to the client, from the address that was called. */
static void client_is_answered(struct check *check, const struct leg *call)
{
	struct leg leg = *call;

	leg.packet.tcp_flags = SYN | ACK;
	leg.packet.ct = CT_ESTABLISHED;
	snprintf(leg.subject, sizeof(leg.subject), "answers to clients (IPv%d)",
		check_version(family_of(call)));
	goes_out(check, call, &leg);
}

static void client_calls(struct check *check, const struct service_listener *listener,
	const struct addr *client, const struct addr *called)
{
	struct leg leg = {.packet = {.source = *client,
				  .destination = *called,
				  .protocol = listener->protocol,
				  .tcp_flags = SYN,
				  .ct = CT_NEW,
				  .destination_local = snapshot_is_local(check->at, called)},
		.listener = listener};
	char text[ADDR_TEXT_MAX];

	addr_set_port(&leg.packet.source, SOME_PORT);
	snprintf(leg.subject, sizeof(leg.subject), "clients' %s to %s",
		listener->protocol == IPPROTO_UDP ? "datagrams" : "packets",
		addr_format(called, text));
	put_socket(check, &leg);
	if (network_find_address(&check->at->network, client) != NULL) {
		calls_from_here(check, &leg);
		return;
	}
	addr_format_ip(client, text);
	check_add(check, CHECK_LOCAL_CLIENT, CHECK_OK, text, "this client is another host");
	check->at->route(&(struct route_question){.to = *client}, &leg.back);
	leg.packet.in = leg.back.link;
	if (!leg.back.found) {
		check_obstacle(check, BY_CLIENTS, REMEDY_CLIENT, text,
			"this host has no route to the client: %s", leg.back.error);
		return;
	}
	if (packet_comes_in(check, &leg)) {
		client_is_answered(check, &leg);
		if (listener->protocol == IPPROTO_TCP) {
			acknowledges(check, &leg);
			takes_over_the_mark(check, &leg);
		} else
			packet_in_fragments(check, &leg);
	}
	hands_over(check, &leg);
	crosses_a_bridge(check, &leg);
}

/* --- the server's packets --- */

static bool changes_source(const struct rule *rule)
{
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind == TARGET_NAT_SOURCE)
			return true;
	return false;
}

/* The request to the server, on its way out with the client's address. */
static void server_is_called(struct check *check, const struct leg *answer)
{
	struct leg leg = *answer;
	struct check_finding *finding;
	struct trace trace;
	char *rule;

	leg.packet.tcp_flags = SYN;
	leg.packet.ct = CT_NEW;
	snprintf(leg.subject, sizeof(leg.subject), "requests to the servers (IPv%d)",
		check_version(family_of(answer)));
	trace = goes_out(check, answer, &leg);
	if (trace.dropped)
		return;
	if (trace.nat == NULL) {
		check_add(check, CHECK_NAT_SOURCE, CHECK_OK, leg.subject,
			"no rule replaces the client's address");
		check_add(check, CHECK_NAT_DESTINATION, CHECK_OK, leg.subject,
			"no rule sends them elsewhere");
		return;
	}
	rule = check_rule_text(check, trace.nat);
	if (changes_source(trace.nat))
		finding = check_add(check, CHECK_NAT_SOURCE, CHECK_HARMFUL, leg.subject,
			"%s replaces the client's address", rule);
	else
		finding = check_add(check, CHECK_NAT_DESTINATION, CHECK_HARMFUL, leg.subject,
			"%s sends them elsewhere", rule);
	check_fix_nat(check, finding, &leg.packet, &trace);
	free(rule);
}

/* An error about the client's address, such as "packet too big". */
static void error_comes(struct check *check, const struct leg *answer)
{
	struct leg leg = *answer;
	struct check_finding *finding;
	struct trace trace;

	leg.packet.protocol = family_of(answer) == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	leg.packet.ct = CT_RELATED;
	trace = packet_traced(check, HOOK_PREROUTING, &leg.packet);
	if (packet_is_caught(&trace) &&
		packet_rule_for_mark(check, family_of(&leg), trace.mark) != NULL) {
		check_add(check, CHECK_ICMP, CHECK_OK, leg.subject, "ICMP errors are caught, too");
		return;
	}
	check->errors_lost[family_of(&leg) == AF_INET6] = true;
	finding = check_add(check, CHECK_ICMP, CHECK_ADVICE, leg.subject,
		"ICMP errors are not caught: large packets are lost where a hop towards the "
		"servers takes smaller ones only, and none is known to");
	packet_fix_divert(check, finding, &leg);
}

static void server_answers(
	struct check *check, const struct addr *server, const struct addr *client, int protocol)
{
	struct leg leg = {.packet = {.source = *server,
				  .destination = *client,
				  .protocol = protocol,
				  .tcp_flags = SYN | ACK,
				  .ct = CT_ESTABLISHED,
				  .socket = SOCKET_CONNECTED,
				  .socket_transparent = true,
				  .destination_local = network_find_address(&check->at->network,
							       client) != NULL}};

	addr_set_port(&leg.packet.destination, SOME_PORT);
	if (addr_port(server) == 0)
		addr_set_port(&leg.packet.source, 80);
	check->at->route(&(struct route_question){.to = *server}, &leg.back);
	leg.packet.in = leg.back.link;
	if (!leg.back.found || leg.back.local) {
		addr_format_ip(server, leg.subject);
		check_obstacle(check, BY_ANSWERS, leg.back.local ? REMEDY_TRY : REMEDY_FIRST,
			leg.subject,
			leg.back.local ? "the server is on this host: its answers do not pass "
					 "PREROUTING"
				       : "this host has no route to the server");
		return;
	}
	snprintf(leg.subject, sizeof(leg.subject), "servers' %s to the client's address (IPv%d)",
		protocol == IPPROTO_UDP ? "datagrams" : "answers",
		check_version(addr_family(client)));
	server_is_called(check, &leg);
	if (!packet_comes_in(check, &leg))
		return;
	if (leg.packet.destination_local)
		check_add(check, CHECK_ICMP, CHECK_OK, leg.subject,
			"not needed: the address is local to this host");
	else
		error_comes(check, &leg);
	if (protocol == IPPROTO_UDP)
		packet_in_fragments(check, &leg);
}

/* --- a packet that is none of the proxy's --- */

static void stranger_passes(struct check *check, const struct addr *client, const struct addr *to)
{
	struct packet packet = {.source = *client,
		.destination = *to,
		.protocol = IPPROTO_TCP,
		.tcp_flags = SYN,
		.ct = CT_NEW};
	const char *family = check_family_name(addr_family(client));
	const struct network_rule *chosen;
	struct route_answer back;
	struct trace trace;
	char *rule;

	check->at->route(&(struct route_question){.to = *client}, &back);
	if (!back.found || back.local) /* client_calls() has said so */
		return;
	packet.in = back.link;
	addr_set_port(&packet.source, SOME_PORT);
	addr_set_port(&packet.destination, DISCARD);
	trace = packet_traced(check, HOOK_PREROUTING, &packet);
	chosen = packet_rule_for_mark(check, addr_family(client), trace.mark);
	if (trace.mark == 0 || trace.marked == NULL || trace.tproxy != NULL || chosen == NULL ||
		network_find_local_route(&check->at->network, chosen->table, to) == NULL) {
		check_add(check, CHECK_MARK_SHARED, CHECK_OK, family,
			"packets that have no socket here are forwarded as ever");
		return;
	}
	rule = check_rule_text(check, trace.marked);
	check_add(check, CHECK_MARK_SHARED, CHECK_HARMFUL, family,
		"%s gives mark 0x%x to packets that have no socket here: they will not be "
		"forwarded. "
		"One of the two needs another mark (`tproxyctl plan --mark N`)",
		rule, trace.mark);
	free(rule);
}

/* --- all of them --- */

static void to_listener(struct check *check, const struct service_listener *listener, int family)
{
	struct addr clients[CLIENTS_MAX], called[CLIENTS_MAX];
	size_t client_count = check_clients(check, family, clients);
	size_t called_count = check_called(check, listener, family, called);

	if (client_count == 0)
		check_obstacle(check, BY_CLIENTS, REMEDY_CLIENT, "",
			"no link is up behind which %s clients could be",
			check_family_name(family));
	for (size_t i = 0; i < client_count; i++)
		for (size_t j = 0; j < called_count; j++)
			client_calls(check, listener, &clients[i], &called[j]);
}

static void to_server(struct check *check, size_t number)
{
	const struct service *service = check->at->service;
	const struct addr *server = &service->servers[number];
	struct addr sources[CLIENTS_MAX];
	size_t count = check_sources(check, number, sources);

	for (size_t i = 0; i < count; i++) {
		if (service_needs_divert(service, addr_family(server), IPPROTO_TCP))
			server_answers(check, server, &sources[i], IPPROTO_TCP);
		if (service_needs_divert(service, addr_family(server), IPPROTO_UDP))
			server_answers(check, server, &sources[i], IPPROTO_UDP);
	}
}

/* Where no server is known, packets to any address far away are none of the proxy's. */
static void to_servers(struct check *check, int family)
{
	const struct service *service = check->at->service;
	struct addr clients[CLIENTS_MAX];
	size_t count = check_clients(check, family, clients), known = 0;
	struct addr far = addr_any(family);

	addr_parse(&far, far_away[family == AF_INET6]);
	for (size_t j = 0; j < service->server_count; j++) {
		if (addr_family(&service->servers[j]) != family || !service->spoofs)
			continue;
		known++;
		to_server(check, j);
		for (size_t i = 0; i < count; i++)
			stranger_passes(check, &clients[i], &service->servers[j]);
	}
	for (size_t i = 0; known == 0 && service_has_family(service, family) && i < count; i++)
		stranger_passes(check, &clients[i], &far);
}

void check_flows(struct check *check)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct service *service = check->at->service;

	if (!check->at->network_known || !check->at->rules_known) {
		check->in_doubt = true;
		return;
	}
	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < service->listener_count; i++)
			if (check_hears(check, &service->listeners[i], families[f]))
				to_listener(check, &service->listeners[i], families[f]);
		to_servers(check, families[f]);
	}
}
