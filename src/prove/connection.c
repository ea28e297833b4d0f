/*
 * Tries whole connections through the scratch network.
 *
 * A recipe is a row: where the client connects to, where the proxy listens, and which rules lead from one to
 * the other. The server side is tried even if the client side fails, because each is a profile of its own.
 * The trap: with nft, datagrams need `tproxy`, too, because its `socket` does not reassemble fragments, while
 * the match of iptables does.
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

const struct connection_recipe connection_recipes[] = {
	{"local-route", scratch_network_local, IPPROTO_TCP, 0, 0, SCRATCH_RULES_PORT_DIVERT, 0,
		false, false},
	{"divert", scratch_network_vip, IPPROTO_TCP, IPTABLES | NFT, DIVERTS,
		SCRATCH_RULES_PORT_DIVERT, 0, false, true},
	{"tproxy", scratch_network_vip, IPPROTO_TCP, IPTABLES, TPROXIES, SCRATCH_RULES_PORT_TPROXY,
		SCRATCH_RULES_PORT_BEHIND, false, true},
	{"nft", scratch_network_vip, IPPROTO_TCP, NFT, TPROXIES, SCRATCH_RULES_PORT_TPROXY,
		SCRATCH_RULES_PORT_BEHIND, false, true},
	{"intercept", scratch_network_elsewhere, IPPROTO_TCP, IPTABLES | NFT, TPROXIES,
		SCRATCH_RULES_PORT_INTERCEPT, SCRATCH_RULES_PORT_BEHIND, true, true},
	{"udp", scratch_network_vip, IPPROTO_UDP, IPTABLES, DIVERTS, SCRATCH_RULES_PORT_UDP, 0,
		false, true},
	{"udp", scratch_network_vip, IPPROTO_UDP, NFT, TPROXIES, SCRATCH_RULES_PORT_UDP, 0, false,
		true},
	{"udp-intercept", scratch_network_elsewhere, IPPROTO_UDP, IPTABLES | NFT, TPROXIES,
		SCRATCH_RULES_PORT_UDP_ANY, SCRATCH_RULES_PORT_BEHIND, true, true},
};
const size_t connection_recipe_count = sizeof(connection_recipes) / sizeof(connection_recipes[0]);

const char *connection_state_name(enum connection_state state)
{
	static const char *const names[] = {"untried", "works", "failed"};

	return names[state];
}

const char *connection_tool_name(const struct connection *connection)
{
	return connection->tool == -1 ? "none" : firewall_tool_names[connection->tool];
}

size_t connection_capabilities(const struct connection *connection,
	enum capability_name needed[CONNECTION_CAPABILITIES_MAX])
{
	const struct connection_recipe *recipe = connection->recipe;
	size_t count = 0;

	if (connection->family == AF_INET6)
		needed[count++] = CAPABILITY_IPV6;
	needed[count++] = CAPABILITY_VETH;
	needed[count++] = CAPABILITY_TRANSPARENT;
	if (recipe->spoofs && recipe->protocol == IPPROTO_TCP)
		needed[count++] = CAPABILITY_BIND_NO_PORT;
	/* Without packet rules the route is in the table local, which every kernel has. */
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

/* Notes the first capability that is missing; true where there is none. */
static bool has_capabilities(struct connection *connection, const struct findings *findings)
{
	enum capability_name needed[CONNECTION_CAPABILITIES_MAX];
	size_t count = connection_capabilities(connection, needed);
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

static void prepare_attempt(struct connection_attempt *attempt)
{
	const struct connection_recipe *recipe = attempt->connection->recipe;
	int place = attempt->family == AF_INET6, port = recipe->port + recipe->behind;

	attempt->destination = address(recipe->destination[place], recipe->port);
	attempt->listening = address(recipe->destination[place], port);
	if (recipe->any) {
		attempt->listening = addr_any(attempt->family);
		addr_set_port(&attempt->listening, (uint16_t)port);
	}
	attempt->client = address(scratch_network_client[place], 0);
	attempt->server = address(scratch_network_server[place], SERVER_PORT);
	for (int i = 0; i < ENDS; i++)
		attempt->ends[i] = -1;
}

static void note_what_was_seen(const struct connection_attempt *attempt)
{
	struct connection *connection = attempt->connection;
	char destination[ADDR_TEXT_MAX], client[ADDR_TEXT_MAX];

	snprintf(connection->detail, sizeof(connection->detail),
		"the client connected to %s, and the server saw %s",
		addr_format(&attempt->destination, destination),
		connection->client_seen ? addr_format_ip(&attempt->client, client) : "the proxy");
}

static void try_sides(struct connection_attempt *attempt, int milliseconds)
{
	bool tcp = attempt->connection->recipe->protocol == IPPROTO_TCP;
	struct connection *connection = attempt->connection;
	bool to_server, whole = false;

	attempt->deadline = clock_ms() + milliseconds;
	connection->listener_reached =
		tcp ? connection_tcp_client_side(attempt) : connection_udp_client_side(attempt);
	attempt->deadline = clock_ms() + milliseconds;
	to_server = tcp ? connection_tcp_server_side(attempt) : connection_udp_server_side(attempt);
	if (connection->listener_reached && to_server)
		whole = tcp ? connection_tcp_both_ways(attempt) : connection_udp_both_ways(attempt);
	connection->state = whole ? CONNECTION_WORKS : CONNECTION_FAILED;
	if (whole)
		note_what_was_seen(attempt);
}

void connection_try(struct connection *connection, const struct scratch_network *network,
	const struct findings *findings, int milliseconds)
{
	struct connection_attempt attempt = {
		.connection = connection, .network = network, .family = connection->family};

	if (!has_capabilities(connection, findings))
		return;
	prepare_attempt(&attempt);
	try_sides(&attempt, milliseconds);
	for (int i = 0; i < ENDS; i++) {
		if (attempt.ends[i] == -1)
			continue;
		/* Without TIME-WAIT, so that the next connection can use the port again. */
		if (connection->recipe->protocol == IPPROTO_TCP)
			socket_reset_on_close(attempt.ends[i]);
		close(attempt.ends[i]);
	}
}
