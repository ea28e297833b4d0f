/*
 * Whole connections through the scratch network; see the header.
 *
 * A recipe is a row: who is called, where the proxy listens, which rules lead from one to the other.
 * Both legs are tried even where the first fails, since each is a profile of its own. By nft, datagrams
 * need `tproxy` too: its `socket` leaves fragments as they are, while iptables' has them put together.
 */
#include "connection_sides.h"
#include "scratch_rules.h"
#include "tproxy/clock.h"
#include "tproxy/socket.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BIT(feature) (1U << (feature))
#define IPTABLES     (BIT(TOOL_IPTABLES) | BIT(TOOL_LEGACY))
#define NFT          BIT(TOOL_NFT)
#define DIVERTS      (BIT(RULES_TABLE) | BIT(RULES_SOCKET) | BIT(RULES_MARK))
#define TPROXIES     (DIVERTS | BIT(RULES_TPROXY))

enum {
	SERVER_PORT = 8080
};

const struct recipe recipes[] = {
	{"local-route", network_local, IPPROTO_TCP, 0, 0, RULES_PORT_DIVERT, 0, false, false},
	{"divert", network_vip, IPPROTO_TCP, IPTABLES | NFT, DIVERTS, RULES_PORT_DIVERT, 0, false,
		true},
	{"tproxy", network_vip, IPPROTO_TCP, IPTABLES, TPROXIES, RULES_PORT_TPROXY,
		RULES_PORT_BEHIND, false, true},
	{"nft", network_vip, IPPROTO_TCP, NFT, TPROXIES, RULES_PORT_TPROXY, RULES_PORT_BEHIND,
		false, true},
	{"intercept", network_elsewhere, IPPROTO_TCP, IPTABLES | NFT, TPROXIES,
		RULES_PORT_INTERCEPT, RULES_PORT_BEHIND, true, true},
	{"udp", network_vip, IPPROTO_UDP, IPTABLES, DIVERTS, RULES_PORT_UDP, 0, false, true},
	{"udp", network_vip, IPPROTO_UDP, NFT, TPROXIES, RULES_PORT_UDP, 0, false, true},
	{"udp-intercept", network_elsewhere, IPPROTO_UDP, IPTABLES | NFT, TPROXIES,
		RULES_PORT_UDP_ANY, RULES_PORT_BEHIND, true, true},
};
const size_t recipe_count = sizeof(recipes) / sizeof(recipes[0]);

const char *connection_state_name(enum connection_state state)
{
	static const char *const names[] = {"untried", "works", "failed"};

	return names[state];
}

const char *connection_tool_name(const struct connection *connection)
{
	return connection->tool == -1 ? "none" : firewall_tool_names[connection->tool];
}

size_t connection_needs(
	const struct connection *connection, enum capability_name needed[CONNECTION_NEEDS_MAX])
{
	const struct recipe *recipe = connection->recipe;
	size_t count = 0;

	if (connection->family == AF_INET6)
		needed[count++] = CAPABILITY_IPV6;
	needed[count++] = CAPABILITY_VETH;
	needed[count++] = CAPABILITY_TRANSPARENT;
	if (recipe->spoofs && recipe->protocol == IPPROTO_TCP)
		needed[count++] = CAPABILITY_BIND_NO_PORT;
	/* Without packet rules it is a route of the table that every kernel has. */
	if (recipe->features != 0) {
		needed[count++] = CAPABILITY_LOCAL_ROUTE;
		needed[count++] = CAPABILITY_POLICY_RULE;
	}
	for (int feature = 0; feature < RULES_FEATURES; feature++)
		if (recipe->features & BIT(feature))
			needed[count++] = capability_of_rules(
				(enum firewall_tool)connection->tool, (enum rules_feature)feature);
	return count;
}

/* Notes the first need that is not met; true when there is none. */
static bool needs_are_met(struct connection *connection, const struct findings *findings)
{
	enum capability_name needed[CONNECTION_NEEDS_MAX];
	size_t count = connection_needs(connection, needed);
	char id[CAPABILITY_ID_MAX];

	for (size_t i = 0; i < count; i++)
		if (!findings_can(findings, needed[i], connection->family)) {
			connection->state = CONNECTION_UNTRIED;
			snprintf(connection->detail, sizeof(connection->detail), "needs %s",
				capability_id(needed[i], connection->family, id));
			return false;
		}
	return true;
}

static struct addr address(const char *text, int port)
{
	struct addr made = addr_any(AF_INET);

	addr_parse(&made, text);
	addr_set_port(&made, (uint16_t)port);
	return made;
}

static void prepare(struct call *call)
{
	const struct recipe *recipe = call->connection->recipe;
	int place = call->family == AF_INET6, port = recipe->port + recipe->behind;

	call->called = address(recipe->called[place], recipe->port);
	call->listening = address(recipe->called[place], port);
	if (recipe->any) {
		call->listening = addr_any(call->family);
		addr_set_port(&call->listening, (uint16_t)port);
	}
	call->client = address(network_client[place], 0);
	call->server = address(network_server[place], SERVER_PORT);
	for (int i = 0; i < ENDS; i++)
		call->ends[i] = -1;
}

static void tell_what_was_seen(const struct call *call)
{
	struct connection *connection = call->connection;
	char called[ADDR_TEXT_MAX], client[ADDR_TEXT_MAX];

	snprintf(connection->detail, sizeof(connection->detail), "called %s, the server saw %s",
		addr_format(&call->called, called),
		connection->client_seen ? addr_format_ip(&call->client, client) : "the proxy");
}

static void try_legs(struct call *call, int milliseconds)
{
	bool tcp = call->connection->recipe->protocol == IPPROTO_TCP;
	struct connection *connection = call->connection;
	bool to_server, whole = false;

	call->deadline = clock_ms() + milliseconds;
	connection->listener_reached = tcp ? tcp_to_listener(call) : udp_to_listener(call);
	call->deadline = clock_ms() + milliseconds;
	to_server = tcp ? tcp_to_server(call) : udp_to_server(call);
	if (connection->listener_reached && to_server)
		whole = tcp ? tcp_both_ways(call) : udp_both_ways(call);
	connection->state = whole ? CONNECTION_WORKS : CONNECTION_FAILED;
	if (whole)
		tell_what_was_seen(call);
}

void connection_try(struct connection *connection, const struct scratch_network *network,
	const struct findings *findings, int milliseconds)
{
	struct call call = {
		.connection = connection, .network = network, .family = connection->family};

	if (!needs_are_met(connection, findings))
		return;
	prepare(&call);
	try_legs(&call, milliseconds);
	for (int i = 0; i < ENDS; i++) {
		if (call.ends[i] == -1)
			continue;
		/* No end lingers: a port is used again by the next connection. */
		if (connection->recipe->protocol == IPPROTO_TCP)
			socket_reset_on_close(call.ends[i]);
		close(call.ends[i]);
	}
}
