/*
 * Connections of the proxy that do not get on, as their sockets show.
 *
 * A request to a server that is sent again and again has no answer. If this host would take the answer
 * (check_flow.c has followed it), it does not come here: the server's way back leads past this host. In
 * the same way a connection that sends the same large packets again and again has a hop in its path that
 * does not take them. Only connections from addresses that are not this host's are looked at.
 */
#include "check_report.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STALLED = 2,  /* times that the same data went out again */
	LARGE = 1100, /* a packet that some hop may be too narrow for, in bytes */
	MAC_BYTES_SHOWN = 17
};

static bool same_ip(const struct addr *a, const struct addr *b)
{
	return network_covers(a, addr_family(a) == AF_INET6 ? 128 : 32, b);
}

/* A connection that the proxy made from an address that is not this host's, to one of its servers. */
static bool is_spoofed(const struct check *check, const struct host_socket *socket)
{
	const struct needs *needs = check->at->needs;
	struct addr remote = socket->remote;

	bool foreign = socket->options_known ? socket->transparent
					     : !situation_is_local(check->at, &socket->local);

	if (socket->protocol != IPPROTO_TCP || !foreign || addr_is_any(&remote))
		return false;
	for (size_t i = 0; i < needs->server_count; i++) {
		addr_set_port(&remote,
			addr_port(&needs->servers[i]) != 0 ? addr_port(&socket->remote) : 0);
		if (addr_equal(&remote, &needs->servers[i]))
			return true;
	}
	return false;
}

/* --- nobody answers --- */

/* On a server of this host's own network. */
static void by_the_server(struct check_finding *finding, const struct host_socket *socket,
	const struct route_answer *way)
{
	int version = check_version(addr_family(&socket->local)), bits = version == 6 ? 128 : 32;
	char client[ADDR_TEXT_MAX], here[ADDR_TEXT_MAX];

	addr_format_ip(&socket->local, client);
	addr_format_ip(&way->source, here);
	check_mend(finding, ON_SERVER,
		text_format("ip -%d route add %s/%d via %s", version, client, bits, here),
		text_format("ip -%d route del %s/%d via %s", version, client, bits, here));
}

/* A number for this host that no other proxy beside it is likely to have: the end of its address. */
static unsigned number_of(const struct addr *address)
{
	const unsigned char *last = addr_family(address) == AF_INET6
					    ? &address->in6.sin6_addr.s6_addr[14]
					    : (const unsigned char *)&address->in4.sin_addr + 2;

	return 0x10000U + ((unsigned)last[0] << 8) + last[1];
}

/*
 * On a router in between: connections that this host began are known by its link-layer address, and
 * what comes from the server for them goes back here, whoever else proxies beside.
 */
static void by_the_router(struct check *check, struct check_finding *finding,
	const struct host_socket *socket, const struct route_answer *way)
{
	const struct network_link *link = network_link_named(&check->at->network, way->link);
	int version = check_version(addr_family(&socket->local));
	const char *program = version == 6 ? "ip6tables" : "iptables";
	unsigned number = number_of(&way->source);
	char here[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];

	if (link == NULL || strlen(link->mac) != MAC_BYTES_SHOWN)
		return;
	addr_format_ip(&way->source, here);
	addr_format_ip(&socket->remote, server);
	check_mend(finding, ON_ROUTER,
		text_format("%s -w -t mangle -A PREROUTING -m mac --mac-source %s -j CONNMARK "
			    "--set-mark 0x%x",
			program, link->mac, number),
		NULL);
	check_mend(finding, ON_ROUTER,
		text_format("%s -w -t mangle -A PREROUTING -s %s -j CONNMARK --restore-mark",
			program, server),
		NULL);
	check_mend(finding, ON_ROUTER,
		text_format("ip -%d rule add fwmark 0x%x lookup %u", version, number, number),
		NULL);
	check_mend(finding, ON_ROUTER,
		text_format("ip -%d route add default via %s table %u", version, here, number),
		NULL);
}

/* The finding about a server, however many clients wait for it. */
static struct check_finding *unanswered(const struct check *check, const char *server)
{
	for (size_t i = 0; i < check->report->count; i++) {
		struct check_finding *each = &check->report->findings[i];

		if (each->item == CHECK_RETURN_PATH && strcmp(each->subject, server) == 0)
			return each;
	}
	return NULL;
}

static void nobody_answers(struct check *check, const struct host_socket *socket)
{
	char client[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];
	struct check_finding *finding;
	struct route_answer way;

	check->at->route(&(struct route_question){.to = socket->remote}, &way);
	addr_format_ip(&socket->local, client);
	addr_format_ip(&socket->remote, server);
	finding = unanswered(check, server);
	if (finding == NULL)
		finding = check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
			"requests from %s are sent again, for no answer comes here", client);
	if (!way.there || addr_is_any(&way.source))
		return;
	if (addr_is_any(&way.gateway))
		by_the_server(finding, socket, &way);
	else
		by_the_router(check, finding, socket, &way);
}

/* Whether something on this host explains that answers are lost. */
static bool is_explained(const struct check *check)
{
	static const enum check_item items[] = {CHECK_CAPABILITY, CHECK_DIVERT, CHECK_RULE_ORDER,
		CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE, CHECK_FILTER, CHECK_NAT_SOURCE,
		CHECK_SRC_VALID_MARK, CHECK_RP_FILTER, CHECK_SERVER_ROUTE};

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (check_failed(check, items[i]))
			return true;
	return false;
}

static unsigned answered(const struct check *check, const struct addr *server)
{
	const struct host_sockets *sockets = &check->at->sockets;
	unsigned count = 0;

	for (size_t i = 0; i < sockets->count; i++)
		if (sockets->list[i].state == SOCKET_STATE_CONNECTED &&
			same_ip(&sockets->list[i].remote, server) &&
			is_spoofed(check, &sockets->list[i]))
			count++;
	return count;
}

/* A connection that is there shows that the server's answers come; else only the server can tell. */
static void nobody_waits(struct check *check, const struct addr *server)
{
	struct addr clients[CLIENTS_MAX];
	char text[ADDR_TEXT_MAX], client[ADDR_TEXT_MAX], here[ADDR_TEXT_MAX];
	unsigned count = answered(check, server);
	struct route_answer way;

	addr_format_ip(server, text);
	check->at->route(&(struct route_question){.to = *server}, &way);
	if (count > 0)
		check_add(check, CHECK_RETURN_PATH, CHECK_OK, text,
			"connections from clients' addresses are there: %u", count);
	else if (way.there && !way.local && !addr_is_any(&way.source) &&
		 check_clients(check, addr_family(server), clients) > 0)
		check_add(check, CHECK_RETURN_PATH, CHECK_UNKNOWN, text,
			"no connection from a client's address is there now. On the server "
			"`ip route get %s` has to lead to %s%s",
			addr_format_ip(&clients[0], client), addr_format_ip(&way.source, here),
			addr_is_any(&way.gateway) ? "" : ", by way of the router in between");
}

static void return_path(struct check *check)
{
	const struct host_sockets *sockets = &check->at->sockets;
	bool explained = is_explained(check), waits = false;

	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];

		if (socket->state != SOCKET_STATE_CONNECTING || socket->retransmits == 0 ||
			!is_spoofed(check, socket))
			continue;
		waits = true;
		if (!explained && !check->in_doubt)
			nobody_answers(check, socket);
	}
	if (waits && explained)
		check_add(check, CHECK_RETURN_PATH, CHECK_UNKNOWN, "",
			"requests to servers wait for an answer; mend the rest first");
	else if (waits && check->in_doubt)
		check_add(check, CHECK_RETURN_PATH, CHECK_UNKNOWN, "",
			"requests to servers wait for an answer; whether this host would take it "
			"is not known");
	for (size_t i = 0; !waits && i < check->at->needs->server_count; i++)
		nobody_waits(check, &check->at->needs->servers[i]);
}

/* --- large packets do not get through --- */

static bool is_stalled(const struct host_socket *socket)
{
	return socket->state == SOCKET_STATE_CONNECTED && socket->retransmits >= STALLED &&
	       socket->unacked >= 2 && socket->mss > LARGE;
}

static void stalls(struct check *check, const struct host_socket *socket)
{
	int family = addr_family(&socket->local);
	enum check_item item = check->errors_lost[family == AF_INET6] ? CHECK_ICMP : CHECK_PATH_MTU;
	char server[ADDR_TEXT_MAX];
	struct check_finding *finding;

	addr_format_ip(&socket->remote, server);
	if (item == CHECK_PATH_MTU && check->in_doubt) {
		check_add(check, item, CHECK_UNKNOWN, server,
			"packets of %u bytes are sent again and again; whether ICMP errors are "
			"caught is not known",
			socket->mss);
		return;
	}
	finding = check_add(check, item, item == CHECK_ICMP ? CHECK_MISSING : CHECK_HARMFUL, server,
		"packets of %u bytes are sent again and again%s", socket->mss,
		item == CHECK_ICMP ? ", and ICMP errors about the client's address are not caught"
				   : "; no ICMP error reaches this host");
	if (item == CHECK_ICMP)
		check_mend_divert(check, finding,
			&(struct catching){.family = family, .protocol = IPPROTO_ICMP});
	else
		check_sysctl(check, finding, "net/ipv4/tcp_mtu_probing", "2");
}

/* --- no port is left --- */

static bool ports(const struct check *check, unsigned *first, unsigned *last)
{
	char *text = check->at->sysctl("net/ipv4/ip_local_port_range");
	bool well = text != NULL && sscanf(text, "%u %u", first, last) == 2 && *first <= *last;

	free(text);
	return well;
}

/* How many ports the client's address has in use that a further connection like SOCKET cannot have. */
static unsigned used_beside(
	const struct check *check, const struct host_socket *socket, unsigned first, unsigned last)
{
	const struct host_sockets *sockets = &check->at->sockets;
	unsigned used = 0;

	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *each = &sockets->list[i];
		unsigned port = addr_port(&each->local);

		if (port < first || port > last || !is_spoofed(check, each) ||
			!same_ip(&each->local, &socket->local))
			continue;
		if (!socket->late_port || addr_equal(&each->remote, &socket->remote))
			used++;
	}
	return used;
}

static void source_ports(struct check *check)
{
	const struct host_sockets *sockets = &check->at->sockets;
	unsigned first, last;

	if (!ports(check, &first, &last)) {
		check_add(check, CHECK_SOURCE_PORTS, CHECK_UNKNOWN, "",
			"net.ipv4.ip_local_port_range cannot be read");
		return;
	}
	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];
		struct check_finding *finding;
		char client[ADDR_TEXT_MAX];

		if (!is_spoofed(check, socket) ||
			used_beside(check, socket, first, last) < last - first + 1)
			continue;
		finding = check_add(check, CHECK_SOURCE_PORTS, CHECK_HARMFUL,
			addr_format_ip(&socket->local, client), "all of %u ports are in use%s",
			last - first + 1,
			socket->late_port
				? " for one server"
				: ", for the proxy chooses them before it knows the server "
				  "(it lacks IP_BIND_ADDRESS_NO_PORT)");
		check_sysctl(check, finding, "net/ipv4/ip_local_port_range", "1024 65535");
		return;
	}
	check_add(check, CHECK_SOURCE_PORTS, CHECK_OK, "",
		"net.ipv4.ip_local_port_range has %u ports, for each client and server",
		last - first + 1);
}

void check_answers(struct check *check)
{
	const struct host_sockets *sockets = &check->at->sockets;

	if (!check->at->needs->spoofs)
		return;
	if (!check->at->sockets_known) {
		check_add(check, CHECK_RETURN_PATH, CHECK_UNKNOWN, "", "%s",
			check->at->sockets_problem);
		return;
	}
	return_path(check);
	for (size_t i = 0; i < sockets->count; i++)
		if (is_stalled(&sockets->list[i]) && is_spoofed(check, &sockets->list[i]))
			stalls(check, &sockets->list[i]);
	source_ports(check);
}
