/*
 * Chooses source and destination of the simulated packets.
 *
 * No host has a list of its proxy's clients. If the user names none, the routes say behind which links
 * there may be clients: each link that a route leads to stands for one, with an address out of the route's
 * network. A link to the servers counts only if there is no other. The trap: such an address is a guess.
 * It is good for everything that depends on links; rules that match sources need clients that the user
 * names.
 *
 * Clients connect to the address of a listener. If that is a wildcard, or if TPROXY rules give the
 * listener packets for other addresses, the rules say which, else an address of the documentation ranges
 * (RFC 5737, 3849).
 */
#include "endpoints.h"

#include <string.h>

static const char *const example_vips[] = {"192.0.2.80", "2001:db8:f::80"};
static const char *const example_clients[][3] = {{"198.51.100.10", "192.0.2.10", "203.0.113.10"},
	{"2001:db8:c::10", "2001:db8:fffe::10", "2001:db8:ffff::10"}};

static struct addr parse_address(const char *text)
{
	struct addr address = addr_any(AF_INET);

	addr_parse(&address, text);
	return address;
}

/* Adds to a list of COUNT what is not in it, while there is room; returns the new count. */
static size_t add_address(struct addr list[CLIENTS_MAX], size_t count, const struct addr *address)
{
	for (size_t i = 0; i < count; i++)
		if (addr_equal(&list[i], address))
			return count;
	if (count < CLIENTS_MAX)
		list[count++] = *address;
	return count;
}

/* --- clients --- */

static bool leads_to_server(const struct service *service, const struct network_route *route)
{
	for (size_t i = 0; i < service->server_count; i++)
		if (network_covers(&route->to, route->length, &service->servers[i]))
			return true;
	return false;
}

/* Whether the address is a listener's, a server's or this host's: then no client has it. */
static bool is_in_use(const struct check *check, const struct addr *address)
{
	const struct service *service = check->snapshot->service;

	for (size_t i = 0; i < service->listener_count; i++)
		if (addr_compare_ip(&service->listeners[i].address, address) == 0)
			return true;
	for (size_t i = 0; i < service->server_count; i++)
		if (addr_compare_ip(&service->servers[i], address) == 0)
			return true;
	return network_find_address(&check->snapshot->network, address) != NULL;
}

/* Whether a route for a smaller network sends the address out by another link. */
static bool leaves_elsewhere(const struct network *network, const struct network_route *route,
	const struct addr *address)
{
	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *other = &network->routes[i];

		if (other->length > route->length && other->table == route->table &&
			network_covers(&other->to, other->length, address) &&
			strcmp(other->link, route->link) != 0)
			return true;
	}
	return false;
}

static bool is_free_for_client(
	const struct check *check, const struct network_route *route, const struct addr *address)
{
	return !is_in_use(check, address) &&
	       !leaves_elsewhere(&check->snapshot->network, route, address);
}

/*
 * An address for a client in the route's network. Networks of one or two addresses use all of them (RFC
 * 3021); in larger ones no host has the first and, in IPv4, the last. Where there is room, the tenth is
 * tried first.
 */
static bool find_client_behind(
	const struct check *check, const struct network_route *route, struct addr *address)
{
	bool ipv6 = addr_family(&route->to) == AF_INET6;
	unsigned bits = (ipv6 ? 128 : 32) - route->length, size = 1U << (bits < 8 ? bits : 8);
	unsigned first = size > 2, count = size > 2 ? size - 2 : size, start = bits > 4 ? 9 : 0;
	unsigned char *last;

	*address = route->to;
	last = ipv6 ? &address->in6.sin6_addr.s6_addr[15]
		    : (unsigned char *)&address->in4.sin_addr + 3;
	for (unsigned i = 0; i < count; i++) {
		*last = (unsigned char)((*last & ~(size - 1)) | (first + (start + i) % count));
		if (is_free_for_client(check, route, address))
			return true;
	}
	return false;
}

/* A default route leads to every network: an address for a client out of a documentation range. */
static bool find_client_anywhere(
	const struct check *check, const struct network_route *route, struct addr *address)
{
	bool ipv6 = addr_family(&route->to) == AF_INET6;

	for (size_t i = 0; i < sizeof(example_clients[0]) / sizeof(example_clients[0][0]); i++) {
		*address = parse_address(example_clients[ipv6][i]);
		if (is_free_for_client(check, route, address))
			return true;
	}
	return false;
}

static bool leads_out(const struct network *network, const struct network_route *route)
{
	const struct network_link *link = network_find_link(network, route->link);

	return !route->local && route->table != TABLE_LOCAL && link != NULL && link->up &&
	       strcmp(route->link, "lo") != 0;
}

/* Multicast and IPv6 link-local networks have no clients. */
static bool has_hosts(const struct addr *net)
{
	if (addr_family(net) == AF_INET6)
		return net->in6.sin6_addr.s6_addr[0] < 0xfe;
	return (ntohl(net->in4.sin_addr.s_addr) >> 28) != 0xe;
}

/* One client for each link that a route leads to, with servers behind it or without. */
static size_t clients_of_routes(const struct check *check, int family, bool behind_servers,
	struct addr clients[CLIENTS_MAX])
{
	const struct network *network = &check->snapshot->network;
	const char *links[CLIENTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < network->route_count && count < CLIENTS_MAX; i++) {
		const struct network_route *route = &network->routes[i];
		bool known = false;
		struct addr *client = &clients[count];

		if (addr_family(&route->to) != family || !leads_out(network, route) ||
			!has_hosts(&route->to))
			continue;
		for (size_t j = 0; j < count; j++)
			known |= strcmp(links[j], route->link) == 0;
		if (known || leads_to_server(check->snapshot->service, route) != behind_servers ||
			!(route->length == 0 ? find_client_anywhere(check, route, client)
					     : find_client_behind(check, route, client)))
			continue;
		links[count++] = route->link;
	}
	return count;
}

size_t check_clients(const struct check *check, int family, struct addr clients[CLIENTS_MAX])
{
	const struct service *service = check->snapshot->service;
	size_t count = 0;

	for (size_t i = 0; i < service->client_count; i++)
		if (addr_family(&service->clients[i]) == family)
			count = add_address(clients, count, &service->clients[i]);
	if (count == 0)
		count = clients_of_routes(check, family, false, clients);
	return count > 0 ? count : clients_of_routes(check, family, true, clients);
}

size_t check_sources(const struct check *check, size_t server, struct addr sources[CLIENTS_MAX])
{
	const struct service *service = check->snapshot->service;
	const struct addr unspecified = {0}; /* stands for "the client's" */
	struct addr fixed = service_source(service, server, &unspecified);
	int family = addr_family(&service->servers[server]);

	if (!service->spoofs)
		return 0;
	if (addr_family(&fixed) == AF_UNSPEC)
		return check_clients(check, family, sources);
	if (addr_family(&fixed) != family || addr_is_any(&fixed))
		return 0;
	sources[0] = fixed;
	return 1;
}

/* --- destinations --- */

bool check_hears(const struct check *check, const struct service_listener *listener, int family)
{
	const struct host_socket *socket =
		snapshot_listener(check->snapshot, listener->protocol, &listener->address);

	if (addr_family(&listener->address) == family)
		return true;
	return listener->transparent && service_listener_accepts(listener, family) &&
	       (socket == NULL || !socket->v6only);
}

/* Whether a TPROXY target hands packets to the listener. */
static bool hands_over_to(const struct target *target, const struct service_listener *listener)
{
	uint16_t port = addr_port(&target->to);

	if (target->kind != TARGET_TPROXY || (port != 0 && port != addr_port(&listener->address)))
		return false;
	return addr_is_any(&target->to) || addr_is_any(&listener->address) ||
	       addr_equal(&target->to, &listener->address);
}

static const struct match *match_of(const struct rule *rule, enum match_kind kind)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == kind && !rule->matches[i].negated &&
			rule->matches[i].range_count > 0)
			return &rule->matches[i];
	return NULL;
}

/* Whether the rule is for packets of this family and protocol. */
static bool rule_is_for(
	const struct rule *rule, const struct table *table, int family, int protocol)
{
	if (table->family != AF_UNSPEC && table->family != family)
		return false;
	for (size_t i = 0; i < rule->match_count; i++) {
		const struct match *match = &rule->matches[i];

		if (match->kind == MATCH_PROTOCOL && match->range_count == 0 &&
			((int)match->number == protocol) == match->negated)
			return false;
		if (match->kind == MATCH_FAMILY && ((int)match->number == family) == match->negated)
			return false;
	}
	return true;
}

/* The destination that RULE, a TPROXY rule for the listener, is for; false if it is of another family. */
static bool destination_of_rule(const struct rule *rule, const struct service_listener *listener,
	int family, struct addr *destination)
{
	const struct match *to = match_of(rule, MATCH_DESTINATION);
	const struct match *port = match_of(rule, MATCH_DESTINATION_PORT);
	bool bound = !addr_is_any(&listener->address);

	if (to != NULL && addr_family(&to->ranges[0].first) != family)
		return false;
	if (to != NULL)
		*destination = to->ranges[0].first;
	else
		*destination =
			bound ? listener->address : parse_address(example_vips[family == AF_INET6]);
	addr_set_port(destination,
		port != NULL ? addr_port(&port->ranges[0].first) : addr_port(&listener->address));
	return true;
}

static size_t destinations_of_chain(const struct table *table, const struct chain *chain,
	const struct service_listener *listener, int family, struct addr destinations[CLIENTS_MAX],
	size_t count)
{
	for (size_t i = 0; i < chain->rule_count; i++) {
		const struct rule *rule = &chain->rules[i];
		struct addr address;

		for (size_t j = 0; j < rule->target_count; j++)
			if (hands_over_to(&rule->targets[j], listener) &&
				rule_is_for(rule, table, family, listener->protocol) &&
				destination_of_rule(rule, listener, family, &address))
				count = add_address(destinations, count, &address);
	}
	return count;
}

size_t check_destinations(const struct check *check, const struct service_listener *listener,
	int family, struct addr destinations[CLIENTS_MAX])
{
	const struct ruleset *rules = &check->snapshot->rules;
	struct addr own = listener->address;
	size_t count = 0;

	if (!addr_is_any(&own) && addr_family(&own) == family)
		destinations[count++] = own;
	for (size_t i = 0; i < rules->table_count; i++)
		for (size_t j = 0; j < rules->tables[i].chain_count; j++)
			count = destinations_of_chain(&rules->tables[i],
				&rules->tables[i].chains[j], listener, family, destinations, count);
	if (count == 0 && addr_is_any(&own)) {
		destinations[0] = parse_address(example_vips[family == AF_INET6]);
		addr_set_port(&destinations[0], addr_port(&own));
		count = 1;
	}
	return count;
}
