/*
 * Whom a packet in thought comes from, and whom it is for.
 *
 * Nobody lists a proxy's clients. Where the user names none, routes tell behind which links there may be
 * some: each link that a route leads to stands for one client, an address out of the route's own network.
 * A link with the servers behind it counts only when there is no other. The address itself is a guess,
 * good for whatever goes by links; rules that go by sources are judged by the clients that are named.
 *
 * A listener bound to an address is called by that. One bound to none, or one that TPROXY rules hand
 * packets of other addresses, is called by what those rules say, else by the walk-through's example.
 */
#include "report.h"

#include <string.h>

static const char *const examples[] = {"192.0.2.80", "2001:db8:f::80"};
static const char *const strangers[][3] = {{"198.51.100.10", "192.0.2.10", "203.0.113.10"},
	{"2001:db8:c::10", "2001:db8:fffe::10", "2001:db8:ffff::10"}};

static struct addr literal(const char *text)
{
	struct addr address = addr_any(AF_INET);

	addr_parse(&address, text);
	return address;
}

static bool is_again(const struct addr *list, size_t count, const struct addr *address)
{
	for (size_t i = 0; i < count; i++)
		if (addr_equal(&list[i], address))
			return true;
	return false;
}

static size_t add(struct addr list[CLIENTS_MAX], size_t count, const struct addr *address)
{
	if (count < CLIENTS_MAX && !is_again(list, count, address))
		list[count++] = *address;
	return count;
}

/* --- clients --- */

static bool has_server(const struct service *service, const struct network_route *route)
{
	for (size_t i = 0; i < service->server_count; i++)
		if (network_covers(&route->to, route->length, &service->servers[i]))
			return true;
	return false;
}

/* Addresses that some host has already, or that a proxy serves: no client is there. */
static bool is_in_use(const struct check *check, const struct addr *address)
{
	const struct service *service = check->at->service;
	unsigned bits = addr_family(address) == AF_INET6 ? 128 : 32;

	for (size_t i = 0; i < service->listener_count; i++)
		if (network_covers(&service->listeners[i].address, bits, address))
			return true;
	for (size_t i = 0; i < service->server_count; i++)
		if (network_covers(&service->servers[i], bits, address))
			return true;
	return network_find_address(&check->at->network, address) != NULL;
}

/* Whether a route to a smaller network sends the address by another link. */
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

static bool is_client(
	const struct check *check, const struct network_route *route, const struct addr *address)
{
	return !is_in_use(check, address) && !leaves_elsewhere(&check->at->network, route, address);
}

/*
 * A client's address in the route's network. Networks of one and two addresses use all of them; of larger
 * ones the first and, in IPv4, the last one are no host's. In networks with room the tenth is tried first.
 */
static bool client_behind(
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
		if (is_client(check, route, address))
			return true;
	}
	return false;
}

/* Behind a default route there is all the world: one of the networks for examples that leads that way. */
static bool client_of_the_world(
	const struct check *check, const struct network_route *route, struct addr *address)
{
	bool ipv6 = addr_family(&route->to) == AF_INET6;

	for (size_t i = 0; i < sizeof(strangers[0]) / sizeof(strangers[0][0]); i++) {
		*address = literal(strangers[ipv6][i]);
		if (is_client(check, route, address))
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

/* Multicast and link-local networks have no clients. */
static bool is_for_hosts(const struct addr *net)
{
	if (addr_family(net) == AF_INET6)
		return net->in6.sin6_addr.s6_addr[0] < 0xfe;
	return (ntohl(net->in4.sin_addr.s_addr) >> 28) != 0xe;
}

static size_t of_routes(const struct check *check, int family, bool behind_servers,
	struct addr clients[CLIENTS_MAX])
{
	const struct network *network = &check->at->network;
	const char *links[CLIENTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < network->route_count && count < CLIENTS_MAX; i++) {
		const struct network_route *route = &network->routes[i];
		bool known = false;
		struct addr *client = &clients[count];

		if (addr_family(&route->to) != family || !leads_out(network, route) ||
			!is_for_hosts(&route->to))
			continue;
		for (size_t j = 0; j < count; j++)
			known |= strcmp(links[j], route->link) == 0;
		if (known || has_server(check->at->service, route) != behind_servers ||
			!(route->length == 0 ? client_of_the_world(check, route, client)
					     : client_behind(check, route, client)))
			continue;
		links[count++] = route->link;
	}
	return count;
}

size_t check_clients(const struct check *check, int family, struct addr clients[CLIENTS_MAX])
{
	const struct service *service = check->at->service;
	size_t count = 0;

	for (size_t i = 0; i < service->client_count; i++)
		if (addr_family(&service->clients[i]) == family)
			count = add(clients, count, &service->clients[i]);
	if (count == 0)
		count = of_routes(check, family, false, clients);
	return count > 0 ? count : of_routes(check, family, true, clients);
}

size_t check_sources(const struct check *check, size_t server, struct addr sources[CLIENTS_MAX])
{
	const struct service *service = check->at->service;
	const struct addr the_clients = {0};
	struct addr fixed = service_source(service, server, &the_clients);
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

/* --- what they call --- */

bool check_hears(const struct check *check, const struct service_listener *listener, int family)
{
	const struct host_socket *socket =
		snapshot_listener(check->at, listener->protocol, &listener->address);

	if (addr_family(&listener->address) == family)
		return true;
	return listener->transparent && service_listener_accepts(listener, family) &&
	       (socket == NULL || !socket->v6only);
}

/* Whether a TPROXY target hands packets to the listener. */
static bool names(const struct target *target, const struct service_listener *listener)
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
static bool is_for(const struct rule *rule, const struct table *table, int family, int protocol)
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

/* What RULE, which hands over to the listener, has called; false where it is of another family. */
static bool called_by(const struct rule *rule, const struct service_listener *listener, int family,
	struct addr *called)
{
	const struct match *to = match_of(rule, MATCH_DESTINATION);
	const struct match *port = match_of(rule, MATCH_DESTINATION_PORT);
	bool bound = !addr_is_any(&listener->address);

	if (to != NULL && addr_family(&to->ranges[0].first) != family)
		return false;
	if (to != NULL)
		*called = to->ranges[0].first;
	else
		*called = bound ? listener->address : literal(examples[family == AF_INET6]);
	addr_set_port(called,
		port != NULL ? addr_port(&port->ranges[0].first) : addr_port(&listener->address));
	return true;
}

static size_t of_chain(const struct table *table, const struct chain *chain,
	const struct service_listener *listener, int family, struct addr called[CLIENTS_MAX],
	size_t count)
{
	for (size_t i = 0; i < chain->rule_count; i++) {
		const struct rule *rule = &chain->rules[i];
		struct addr address;

		for (size_t j = 0; j < rule->target_count; j++)
			if (names(&rule->targets[j], listener) &&
				is_for(rule, table, family, listener->protocol) &&
				called_by(rule, listener, family, &address))
				count = add(called, count, &address);
	}
	return count;
}

size_t check_called(const struct check *check, const struct service_listener *listener, int family,
	struct addr called[CLIENTS_MAX])
{
	const struct ruleset *rules = &check->at->rules;
	struct addr own = listener->address;
	size_t count = 0;

	if (!addr_is_any(&own) && addr_family(&own) == family)
		called[count++] = own;
	for (size_t i = 0; i < rules->table_count; i++)
		for (size_t j = 0; j < rules->tables[i].chain_count; j++)
			count = of_chain(&rules->tables[i], &rules->tables[i].chains[j], listener,
				family, called, count);
	if (count == 0 && addr_is_any(&own)) {
		called[0] = literal(examples[family == AF_INET6]);
		addr_set_port(&called[0], addr_port(&own));
		count = 1;
	}
	return count;
}
