/*
 * Judges connections of the proxy that make no progress, by their sockets.
 *
 * A request that is sent again and again gets no answer. If this host would take an answer (check_flows()
 * has simulated it), none arrives: the server's way back does not lead through this host. In the same way,
 * a connection that sends large packets again and again has a router on its way that does not take them.
 * Only connections from addresses that are not this host's are looked at.
 */
#include "commands.h"
#include "endpoints.h"
#include "fixes.h"
#include "report.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STALLED = 2,  /* retransmissions of the same data */
	LARGE = 1100, /* a packet that may be too large for some router, in bytes */
	MAC_TEXT_LENGTH = 17
};

/* A connection that the proxy made from an address that is not this host's, to one of its servers. */
static bool is_spoofed(const struct check *check, const struct host_socket *socket)
{
	const struct service *service = check->snapshot->service;
	struct addr remote = socket->remote;
	bool foreign = socket->options_known ? socket->transparent
					     : !snapshot_is_local(check->snapshot, &socket->local);

	if (socket->protocol != IPPROTO_TCP || !foreign || addr_is_any(&remote))
		return false;
	for (size_t i = 0; i < service->server_count; i++) {
		addr_set_port(&remote,
			addr_port(&service->servers[i]) != 0 ? addr_port(&socket->remote) : 0);
		if (addr_equal(&remote, &service->servers[i]))
			return true;
	}
	return false;
}

/* --- requests without an answer --- */

/* For a server in the network of one of this host's links: a route to the client through this host. */
static void fix_on_server(
	struct check_finding *finding, const struct addr *address, const struct route_answer *way)
{
	int family = addr_family(address), version = family_version(family);
	unsigned bits = family_bits(family);
	char client[ADDR_TEXT_MAX], here[ADDR_TEXT_MAX];

	addr_format_ip(address, client);
	addr_format_ip(&way->source, here);
	check_fix(finding, ON_SERVER,
		shell_format("ip -%d route replace %s/%u via %s", version, client, bits, here),
		shell_format("ip -%d route del %s/%u via %s", version, client, bits, here));
}

/* A mark for this host that other proxies in its network do not have: the end of its address. */
static unsigned router_mark(const struct addr *address)
{
	const unsigned char *last = addr_family(address) == AF_INET6
					    ? &address->in6.sin6_addr.s6_addr[14]
					    : (const unsigned char *)&address->in4.sin_addr + 2;

	return 0x10000U + ((unsigned)last[0] << 8) + last[1];
}

/*
 * For a router between this host and the server. It recognizes connections of this host by this host's
 * link-layer address, and sends what the server answers on them back to this host. Other proxies may do
 * the same.
 */
static void fix_on_router(struct check *check, struct check_finding *finding, const struct addr *to,
	const struct route_answer *way)
{
	const struct network_link *link = network_find_link(&check->snapshot->network, way->link);
	int family = addr_family(to);
	const char *program = family == AF_INET6 ? "ip6tables" : "iptables";
	unsigned number = router_mark(&way->source);
	char here[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];

	if (link == NULL || strlen(link->mac) != MAC_TEXT_LENGTH)
		return;
	addr_format_ip(&way->source, here);
	addr_format_ip(to, server);
	check_fix_iptables(finding, ON_ROUTER, program, "mangle", "PREROUTING", CHECK_BACK,
		shell_format(
			"-m mac --mac-source %s -j CONNMARK --set-mark 0x%x", link->mac, number));
	check_fix_iptables(finding, ON_ROUTER, program, "mangle", "PREROUTING", CHECK_BACK,
		shell_format("-s %s -j CONNMARK --restore-mark", server));
	check_fix_ip_rule(finding, ON_ROUTER, family, -1, number, UINT32_MAX, number);
	check_fix(finding, ON_ROUTER,
		shell_format("ip -%d route replace default via %s table %u", family_version(family),
			here, number),
		shell_format("ip -%d route del default via %s table %u", family_version(family),
			here, number));
}

void check_fix_way_back(struct check *check, struct check_finding *finding,
	const struct addr *client, const struct addr *server, const struct route_answer *way)
{
	if (!way->found || way->local || addr_is_any(&way->source))
		return;
	if (addr_is_any(&way->gateway))
		fix_on_server(finding, client, way);
	else
		fix_on_router(check, finding, server, way);
}

/* The finding about a server: one for all of its clients. NULL if there is none yet. */
static struct check_finding *find_unanswered(const struct check *check, const char *server)
{
	for (size_t i = 0; i < check->report->count; i++) {
		struct check_finding *each = &check->report->findings[i];

		if (each->item == CHECK_RETURN_PATH && strcmp(each->subject, server) == 0)
			return each;
	}
	return NULL;
}

static void report_unanswered(struct check *check, const struct host_socket *socket)
{
	char client[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX], next[ADDR_TEXT_MAX];
	struct check_finding *finding;
	struct route_answer way;
	struct addr hop;

	check_way_to(check, &socket->remote, IPPROTO_TCP, &way);
	if (way.found && way.local)
		return; /* check_flows() has judged a server on this host */
	addr_format_ip(&socket->local, client);
	addr_format_ip(&socket->remote, server);
	finding = find_unanswered(check, server);
	hop = addr_is_any(&way.gateway) ? socket->remote : way.gateway;
	if (finding == NULL && way.found && check->snapshot->silent(&hop, way.link)) {
		addr_format_ip(&hop, next);
		check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
			"%s does not answer on %s when this host asks for its link-layer address: it is down, or has another address",
			next, way.link);
		return;
	}
	if (finding == NULL)
		finding = check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
			"requests from %s are sent again and again, because no answer reaches this host. Either the server's way back to the client does not lead through this host, or the server drops them (its firewall, its rp_filter): `tproxyctl check --probe` tells them apart",
			client);
	check_fix_way_back(check, finding, &socket->local, &socket->remote, &way);
}

bool check_has_other_cause(const struct check *check)
{
	static const enum check_item items[] = {CHECK_CAPABILITY, CHECK_DIVERT, CHECK_RULE_ORDER,
		CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE, CHECK_FILTER, CHECK_NAT_SOURCE,
		CHECK_NAT_DESTINATION, CHECK_MARK_SHARED, CHECK_SRC_VALID_MARK, CHECK_RP_FILTER,
		CHECK_SERVER_ROUTE};

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (check_failed(check, items[i]))
			return true;
	return false;
}

static unsigned count_established(const struct check *check, const struct addr *server)
{
	const struct host_sockets *sockets = &check->snapshot->sockets;
	unsigned count = 0;

	for (size_t i = 0; i < sockets->count; i++)
		if (sockets->list[i].state == SOCKET_STATE_CONNECTED &&
			addr_compare_ip(&sockets->list[i].remote, server) == 0 &&
			is_spoofed(check, &sockets->list[i]))
			count++;
	return count;
}

/* A server that no request waits for. An established connection shows that its answers arrive. */
static void judge_idle_server(struct check *check, size_t number)
{
	const struct addr *server = &check->snapshot->service->servers[number];
	struct addr sources[CLIENTS_MAX];
	char text[ADDR_TEXT_MAX], client[ADDR_TEXT_MAX], here[ADDR_TEXT_MAX];
	unsigned count = count_established(check, server);
	struct route_answer way;

	addr_format_ip(server, text);
	check_way_to(check, server, IPPROTO_TCP, &way);
	if (count > 0)
		check_add(check, CHECK_RETURN_PATH, CHECK_OK, text,
			"established connections from clients' addresses: %u", count);
	else if (way.found && !way.local && !addr_is_any(&way.source) &&
		 check_sources(check, number, sources) > 0)
		check_unknown(check, CHECK_RETURN_PATH, REMEDY_TRAFFIC, text,
			"no connection from a client's address is open. On the server, `ip route get %s` has to lead to %s%s",
			addr_format_ip(&sources[0], client), addr_format_ip(&way.source, here),
			addr_is_any(&way.gateway) ? "" : ", through the router between them");
}

static void judge_return_path(struct check *check)
{
	const struct host_sockets *sockets = &check->snapshot->sockets;
	bool explained = check_has_other_cause(check), waits = false;

	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];

		if (socket->state != SOCKET_STATE_CONNECTING || socket->retransmits == 0 ||
			!is_spoofed(check, socket))
			continue;
		waits = true;
		if (!explained && !check->answers_uncertain && check->snapshot->probe_count == 0)
			report_unanswered(check, socket);
	}
	if (waits && explained)
		check_unknown(check, CHECK_RETURN_PATH, REMEDY_FIRST, "",
			"requests to servers get no answer; fix the other items first");
	else if (waits && check->answers_uncertain)
		check_unknown(check, CHECK_RETURN_PATH, REMEDY_RULES, "",
			"requests to servers get no answer, and check cannot tell whether this host would accept one");
	for (size_t i = 0; !waits && check->snapshot->probe_count == 0 &&
			   i < check->snapshot->service->server_count;
		i++)
		judge_idle_server(check, i);
}

/* --- large packets --- */

static bool is_stalled(const struct host_socket *socket)
{
	return socket->state == SOCKET_STATE_CONNECTED && socket->retransmits >= STALLED &&
	       socket->unacked >= 2 && socket->mss > LARGE;
}

static void judge_stalled(struct check *check, const struct host_socket *socket)
{
	int family = addr_family(&socket->local);
	enum check_item item =
		check->icmp_undiverted[family == AF_INET6] ? CHECK_ICMP : CHECK_PATH_MTU;
	char server[ADDR_TEXT_MAX];
	struct check_finding *finding;

	addr_format_ip(&socket->remote, server);
	if (item == CHECK_PATH_MTU && check->answers_uncertain) {
		check_unknown(check, item, REMEDY_RULES, server,
			"packets of %u bytes are sent again and again, and check cannot tell whether ICMP errors are diverted",
			socket->mss);
		return;
	}
	finding = check_add(check, item, item == CHECK_ICMP ? CHECK_MISSING : CHECK_HARMFUL, server,
		"packets of %u bytes are sent again and again%s", socket->mss,
		item == CHECK_ICMP ? ", and ICMP errors about the client's address are not diverted"
				   : ", and no ICMP error reaches this host");
	if (item == CHECK_ICMP)
		check_fix_divert(check, finding,
			&(struct divert_selection){.family = family, .protocol = IPPROTO_ICMP});
	else
		check_fix_sysctl(check, finding, "net/ipv4/tcp_mtu_probing", "2");
}

/* A connection is stalled only if it retransmits: data that is not acknowledged yet proves nothing. */
static void judge_path_mtu(struct check *check)
{
	const struct host_sockets *sockets = &check->snapshot->sockets;
	unsigned count = 0;

	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];

		if (socket->state != SOCKET_STATE_CONNECTED || !is_spoofed(check, socket))
			continue;
		count++;
		if (is_stalled(socket))
			judge_stalled(check, socket);
	}
	if (count == 0)
		check_unknown(check, CHECK_PATH_MTU, REMEDY_TRAFFIC, "",
			"no connection from a client's address is open");
	else if (!check_has_findings(check->report, CHECK_PATH_MTU))
		check_add(check, CHECK_PATH_MTU, CHECK_OK, "",
			"none of %u connections sends large packets again and again", count);
}

/* --- source ports --- */

static bool read_port_range(const struct check *check, unsigned *first, unsigned *last)
{
	char *text = check->snapshot->sysctl("net/ipv4/ip_local_port_range");
	bool well = text != NULL && sscanf(text, "%u %u", first, last) == 2 && *first <= *last &&
		    *last <= UINT16_MAX;

	free(text);
	return well;
}

/* Whether it is in TIME-WAIT: its process has closed it, and the kernel keeps its port for a minute. */
static bool in_time_wait(const struct host_socket *socket)
{
	return socket->inode == 0 && !socket->options_known;
}

/* By client, then by server. */
static int compare_ends(const void *a, const void *b)
{
	const struct host_socket *one = *(const struct host_socket *const *)a,
				 *other = *(const struct host_socket *const *)b;
	int order = addr_compare_ip(&one->local, &other->local);

	if (order == 0)
		order = addr_compare_ip(&one->remote, &other->remote);
	if (order == 0)
		order = addr_port(&one->remote) - addr_port(&other->remote);
	return order;
}

/* The proxy's connections from clients' addresses, in the order of compare_ends(). */
static const struct host_socket **list_spoofed(const struct check *check, size_t *count)
{
	const struct host_sockets *sockets = &check->snapshot->sockets;
	const struct host_socket **list = calloc(sockets->count + 1, sizeof(struct host_socket *));

	if (list == NULL)
		abort(); /* out of memory */
	*count = 0;
	for (size_t i = 0; i < sockets->count; i++)
		if (is_spoofed(check, &sockets->list[i]))
			list[(*count)++] = &sockets->list[i];
	qsort(list, *count, sizeof(struct host_socket *), compare_ends);
	return list;
}

struct port_range {
	unsigned first, last;
	bool reused; /* connections in TIME-WAIT do not keep their ports */
};

/* Whether the COUNT connections of LIST leave no port of the range. *ENDED: some of them are in TIME-WAIT. */
static bool is_used_up(const struct host_socket *const *list, size_t count,
	const struct port_range *range, bool *ended)
{
	unsigned char seen[(UINT16_MAX + 1) / 8] = {0};
	unsigned used = 0;

	*ended = false;
	for (size_t i = 0; i < count; i++) {
		unsigned port = addr_port(&list[i]->local);

		if (port < range->first || port > range->last ||
			(in_time_wait(list[i]) && range->reused))
			continue;
		*ended |= in_time_wait(list[i]);
		used += (seen[port / 8] >> port % 8 & 1) == 0;
		seen[port / 8] |= (unsigned char)(1U << port % 8);
	}
	return used == range->last - range->first + 1;
}

static void report_ports_used_up(struct check *check, const struct addr *client,
	const struct port_range *range, bool late, bool ended)
{
	char text[ADDR_TEXT_MAX];
	struct check_finding *finding = check_add(check, CHECK_SOURCE_PORTS, CHECK_HARMFUL,
		addr_format_ip(client, text), "all %u ports are in use%s%s",
		range->last - range->first + 1,
		late ? " for one server"
		     : " for all servers, because the proxy does not set IP_BIND_ADDRESS_NO_PORT",
		ended ? "; some of them are in TIME-WAIT" : "");

	if (ended)
		check_fix_sysctl(check, finding, "net/ipv4/tcp_tw_reuse", "1");
	check_fix_sysctl(check, finding, "net/ipv4/ip_local_port_range", "1024 65535");
}

/*
 * One client's connections. Those to one server share the ports; if bind() chose a port, all of the client's
 * connections do (ip(7), IP_BIND_ADDRESS_NO_PORT). Returns false if no port is left.
 */
static bool judge_client_ports(struct check *check, const struct host_socket *const *list,
	size_t count, const struct port_range *range)
{
	bool ended, early = false;

	for (size_t from = 0, to; from < count; from = to) {
		for (to = from; to < count && addr_equal(&list[to]->remote, &list[from]->remote);
			to++)
			/* In TIME-WAIT it is unknown which of the two chose the port. */
			early |= list[to]->options_known && !list[to]->bind_no_port;
		if (!is_used_up(list + from, to - from, range, &ended))
			continue;
		report_ports_used_up(check, &list[0]->local, range, true, ended);
		return false;
	}
	if (!early || !is_used_up(list, count, range, &ended))
		return true;
	report_ports_used_up(check, &list[0]->local, range, false, ended);
	return false;
}

/*
 * Judges the ports of each client, then advises to reuse ports. The kernel tries one port after the other:
 * if most of a client's ports are in TIME-WAIT, a connection starts only after milliseconds, unless such
 * ports may be used again (Linux: __inet_hash_connect()).
 */
static void judge_source_ports(struct check *check)
{
	int reuse = snapshot_sysctl(check->snapshot, "net/ipv4/tcp_tw_reuse");
	struct port_range range = {.reused = reuse == 1};
	const struct host_socket **list;
	struct check_finding *finding;
	size_t count;
	bool enough = true;

	if (!read_port_range(check, &range.first, &range.last)) {
		check_unknown(check, CHECK_SOURCE_PORTS, check_remedy_of_reading(check), "",
			"cannot read net.ipv4.ip_local_port_range");
		return;
	}
	list = list_spoofed(check, &count);
	for (size_t from = 0, to; enough && from < count; from = to) {
		for (to = from;
			to < count && addr_compare_ip(&list[to]->local, &list[from]->local) == 0;
			to++)
			;
		enough = judge_client_ports(check, list + from, to - from, &range);
	}
	free(list);
	if (!enough)
		return;
	check_add(check, CHECK_SOURCE_PORTS, CHECK_OK, "",
		"net.ipv4.ip_local_port_range has %u ports for each client and server",
		range.last - range.first + 1);
	if (reuse == 1 || reuse == -1)
		return;
	finding = check_add(check, CHECK_SOURCE_PORTS, CHECK_ADVICE, "",
		"net.ipv4.tcp_tw_reuse is %d%s. If a client has thousands of connections to one server in TIME-WAIT, new ones start slowly and have fewer ports",
		reuse, reuse == 2 ? " (loopback only)" : "");
	check_fix_sysctl(check, finding, "net/ipv4/tcp_tw_reuse", "1");
}

void check_connections(struct check *check)
{
	const struct service *service = check->snapshot->service;

	if (!service->spoofs || service->server_count == 0 || !check->snapshot->sockets_known)
		return;
	judge_return_path(check);
	judge_path_mtu(check);
	judge_source_ports(check);
}
