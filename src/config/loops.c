/*
 * Loops: servers that are the proxy's own listeners. Each connection makes the next one, until maxconn is
 * reached.
 *
 * A connection is at a place (an address and port that is listened on), takes the way of that
 * listener (its backend, and the port, which a server without one takes over), and goes on to
 * another place where a server of the backend is one. Places, ways and backends are the nodes of a
 * graph; a server is in a loop when its edge lies on a cycle. So a chain of frontends that ends at
 * real servers is none. An exact address goes before a wildcard, as in the kernel's lookup.
 *
 * Whether the address is this host's own is not in the file. A wildcard listener covers real servers
 * with its port, too, as in every plain file; those are marked, and only what is certain is warned of.
 *
 * Time: each server is looked up once, one without a port once for each port that its backend is
 * reached by. For these the shorter one of two lists is walked: the backend's servers, or what
 * listens on that port; so n lines take at most n times the root of n steps, and n log n in any file
 * that was not made to take more.
 */
#include "parser.h"

#include "tproxy/cycles.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>

#define FAMILIES 2

/* What can become of a connection to a listener: one for each backend of its frontend. Those that are equal share a node. */
struct way {
	const struct proxy *backend;
	uint16_t port;
	size_t listener; /* in places->list */
	size_t place;    /* the first listener of its place, which stands for the place */
};

/* Servers of one backend that have no port, by address. */
struct portless {
	struct server **list;
	size_t count;
	size_t distinct[FAMILIES]; /* addresses */
	/* Those of each family that are not known to be in a loop. */
	struct server **left[FAMILIES];
	size_t left_count[FAMILIES];
};

/* A server that may be a place; or, at a wildcard, those of a backend that have no port. */
struct link {
	uint32_t from;
	size_t place;
	struct server *server; /* NULL: all of the family */
	const struct proxy *backend;
	int family;
};

struct graph {
	struct config *config;
	struct config_memory *memory;
	const struct places *places;
	bool *takes_ipv4; /* of a place: an IPv6 wildcard that is not v6only */
	struct way *ways; /* by backend, then port */
	size_t way_count;
	struct portless *portless; /* of each backend, by its index */
	struct link *links;
	size_t link_count;
};

static int family_index(int family)
{
	return family == AF_INET ? 0 : 1;
}

/* Nodes: the places, then the ways (a run of equal ones by its first), then the backends. */
static uint32_t way_node(const struct graph *graph, size_t way)
{
	return (uint32_t)(graph->places->count + way);
}

static uint32_t backend_node(const struct graph *graph, const struct proxy *backend)
{
	return (uint32_t)(graph->places->count + graph->way_count + backend->index);
}

static int compare_ways(const void *left, const void *right)
{
	const struct way *a = left, *b = right;

	if (a->backend != b->backend)
		return a->backend->index < b->backend->index ? -1 : 1;
	return a->port < b->port ? -1 : a->port > b->port;
}

static bool sort_ways(struct graph *graph)
{
	const struct places *places = graph->places;

	size_t ways = 0;

	for (size_t i = 0; i < places->count; i++)
		ways += places->list[i].frontend->target_count;
	graph->ways = memory_alloc(graph->memory, ways * sizeof(*graph->ways));
	graph->takes_ipv4 = memory_alloc(graph->memory, places->count * sizeof(*graph->takes_ipv4));
	if (graph->ways == NULL || graph->takes_ipv4 == NULL)
		return false;
	for (size_t place = 0, next; place < places->count; place = next) {
		next = places_next(places, place);
		for (size_t i = place; i < next; i++) {
			const struct bind *bind = places->list[i].bind;
			const struct proxy *frontend = places->list[i].frontend;

			graph->takes_ipv4[place] |= bind->v6_mode != V6_ONLY;
			for (size_t j = 0; j < frontend->target_count; j++)
				graph->ways[graph->way_count++] = (struct way){
					frontend->targets[j], addr_port(&bind->address), i, place};
		}
	}
	qsort(graph->ways, graph->way_count, sizeof(*graph->ways), compare_ways);
	return true;
}

static void add_link(struct graph *graph, struct link link)
{
	struct link *grown =
		memory_grow(graph->memory, graph->links, graph->link_count, sizeof(*grown));

	if (grown == NULL)
		return;
	graph->links = grown;
	graph->links[graph->link_count++] = link;
}

/* The place of exactly this address and port. */
static bool find_exact(const struct graph *graph, const struct addr *address, size_t *place)
{
	*place = places_find(graph->places, address);
	return *place < graph->places->count &&
	       places_compare(&graph->places->list[*place].bind->address, address) == 0;
}

static struct addr wildcard(int family, uint16_t port)
{
	struct addr any = addr_any(family);

	addr_set_port(&any, port);
	return any;
}

/* The wildcard that covers the addresses of a family at a port. */
static bool find_wildcard(const struct graph *graph, int family, uint16_t port, size_t *place)
{
	struct addr any = wildcard(family, port);

	if (find_exact(graph, &any, place) || family == AF_INET6)
		return find_exact(graph, &any, place);
	any = wildcard(AF_INET6, port);
	return find_exact(graph, &any, place) && graph->takes_ipv4[*place];
}

static int compare_servers(const void *left, const void *right)
{
	const struct server *a = *(struct server *const *)left;
	const struct server *b = *(struct server *const *)right;

	return places_compare(&a->address, &b->address);
}

static bool is_repeated(const struct portless *portless, size_t i)
{
	return i > 0 && compare_servers(&portless->list[i - 1], &portless->list[i]) == 0;
}

static bool count_portless(struct graph *graph, struct portless *portless)
{
	for (int family = 0; family < FAMILIES; family++) {
		portless->left[family] = memory_alloc(
			graph->memory, portless->count * sizeof(*portless->left[family]));
		if (portless->left[family] == NULL)
			return false;
	}
	for (size_t i = 0; i < portless->count; i++) {
		int family = family_index(addr_family(&portless->list[i]->address));

		portless->left[family][portless->left_count[family]++] = portless->list[i];
		portless->distinct[family] += !is_repeated(portless, i);
	}
	return true;
}

/* Links the servers of a backend that have a port, and puts the others aside. */
static bool link_servers(struct graph *graph, struct proxy *backend)
{
	struct portless *portless = &graph->portless[backend->index];
	size_t place;

	portless->list =
		memory_alloc(graph->memory, backend->server_count * sizeof(*portless->list));
	if (portless->list == NULL)
		return false;
	for (size_t i = 0; i < backend->server_count; i++) {
		struct server *server = &backend->servers[i];
		const struct addr *address = &server->address;

		if (server_is_original(server))
			continue; /* which address that is shows when a client comes */
		if (addr_port(address) == 0)
			portless->list[portless->count++] = server;
		else if (find_exact(graph, address, &place) ||
			 find_wildcard(graph, addr_family(address), addr_port(address), &place))
			add_link(graph, (struct link){.from = backend_node(graph, backend),
						.place = place,
						.server = server,
						.backend = backend});
	}
	qsort(portless->list, portless->count, sizeof(*portless->list), compare_servers);
	return count_portless(graph, portless);
}

/* The first server of the list that has the address, whatever its port; NULL: none. */
static struct server *find_portless(const struct portless *portless, struct addr address)
{
	size_t low = 0, high = portless->count;

	addr_set_port(&address, 0);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (places_compare(&portless->list[middle]->address, &address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == portless->count || places_compare(&portless->list[low]->address, &address) != 0)
		return NULL;
	return portless->list[low];
}

/* Links the servers of a way's backend that take over its port. */
static void link_portless(struct graph *graph, size_t at)
{
	const struct way *way = &graph->ways[at];
	const struct portless *portless = &graph->portless[way->backend->index];
	struct addr from = wildcard(AF_INET, way->port), to = wildcard(AF_INET, way->port + 1);
	size_t begin = places_find(graph->places, &from);
	size_t end =
		way->port == UINT16_MAX ? graph->places->count : places_find(graph->places, &to);
	struct link link = {.from = way_node(graph, at), .backend = way->backend};
	size_t matched[FAMILIES] = {0, 0};

	for (size_t i = 0; portless->count <= end - begin && i < portless->count; i++) {
		struct addr address = portless->list[i]->address;

		addr_set_port(&address, way->port);
		link.server = portless->list[i];
		if (is_repeated(portless, i) || !find_exact(graph, &address, &link.place))
			continue;
		matched[family_index(addr_family(&address))]++;
		add_link(graph, link);
	}
	for (size_t i = begin; portless->count > end - begin && i < end;
		i = places_next(graph->places, i)) {
		const struct addr *address = &graph->places->list[i].bind->address;

		link.place = i;
		link.server = find_portless(portless, *address);
		if (link.server == NULL)
			continue;
		matched[family_index(addr_family(address))]++;
		add_link(graph, link);
	}
	link.server = NULL;
	for (int i = 0; i < FAMILIES; i++) {
		link.family = i == 0 ? AF_INET : AF_INET6;
		if (matched[i] < portless->distinct[i] &&
			find_wildcard(graph, link.family, way->port, &link.place))
			add_link(graph, link);
	}
}

static bool link_all(struct graph *graph)
{
	size_t size = graph->config->proxy_count * sizeof(*graph->portless);

	graph->portless = memory_alloc(graph->memory, size);
	if (graph->portless == NULL || !sort_ways(graph))
		return false;
	for (size_t i = 0; i < graph->config->proxy_count; i++)
		if (!link_servers(graph, &graph->config->proxies[i]))
			return false;
	for (size_t i = 0; i < graph->way_count; i++)
		if (i == 0 || compare_ways(&graph->ways[i - 1], &graph->ways[i]) != 0)
			link_portless(graph, i);
	return true;
}

/* The graph's edges: from places to ways, from ways to backends, and the links. */
static const uint32_t *find_components(struct graph *graph)
{
	size_t count = 2 * graph->way_count + graph->link_count, first = 0;
	size_t nodes = graph->places->count + graph->way_count + graph->config->proxy_count;
	struct edge *edges = memory_alloc(graph->memory, count * sizeof(*edges));

	if (edges == NULL)
		return NULL;
	count = 0;
	for (size_t i = 0; i < graph->way_count; i++) {
		const struct way *way = &graph->ways[i];

		if (compare_ways(&graph->ways[first], way) != 0)
			first = i;
		edges[count++] = (struct edge){(uint32_t)way->place, way_node(graph, first)};
		edges[count++] =
			(struct edge){way_node(graph, first), backend_node(graph, way->backend)};
	}
	for (size_t i = 0; i < graph->link_count; i++)
		edges[count++] =
			(struct edge){graph->links[i].from, (uint32_t)graph->links[i].place};
	return cycles_components(graph->memory, nodes, edges, count);
}

static void mark_server(struct server *server, const struct bind *loop)
{
	if (server->loop == NULL)
		server->loop = loop;
}

/*
 * Marks those without a port that a wildcard covers at the port of LOOP, and keeps the others: each
 * of these has a place of its own there, so there are no more of them than listeners on that port.
 */
static void mark_left(
	struct graph *graph, struct portless *portless, int family, const struct bind *loop)
{
	size_t kept = 0, place;

	for (size_t i = 0; i < portless->left_count[family]; i++) {
		struct server *server = portless->left[family][i];
		struct addr address = server->address;

		addr_set_port(&address, addr_port(&loop->address));
		if (find_exact(graph, &address, &place))
			portless->left[family][kept++] = server;
		else
			mark_server(server, loop);
	}
	portless->left_count[family] = kept;
}

/* Servers with the same address and no port share the fate of the first of them. */
static void mark_repeated(struct graph *graph)
{
	for (size_t i = 0; i < graph->config->proxy_count; i++) {
		const struct portless *portless = &graph->portless[i];

		for (size_t j = 1; j < portless->count; j++)
			if (is_repeated(portless, j))
				mark_server(portless->list[j], portless->list[j - 1]->loop);
	}
}

/* A link lies on a cycle when both of its ends are in one component. */
static void mark_loops(struct graph *graph, const uint32_t *components)
{
	const struct bind **back =
		memory_alloc(graph->memory, graph->places->count * sizeof(*back));
	size_t first = 0;

	if (back == NULL)
		return;
	for (size_t i = 0; i < graph->way_count; i++) {
		const struct way *way = &graph->ways[i];

		if (compare_ways(&graph->ways[first], way) != 0)
			first = i;
		if (components[way_node(graph, first)] == components[way->place])
			back[way->place] = graph->places->list[way->listener].bind;
	}
	for (size_t i = 0; i < graph->link_count; i++) {
		const struct link *link = &graph->links[i];

		if (components[link->from] != components[link->place])
			continue;
		if (link->server != NULL)
			mark_server(link->server, back[link->place]);
		else
			mark_left(graph, &graph->portless[link->backend->index],
				family_index(link->family), back[link->place]);
	}
	mark_repeated(graph);
}

static bool is_loopback(const struct addr *address)
{
	if (addr_family(address) == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
	return ntohl(address->in4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static const char *frontend_name(const struct places *places, const struct bind *bind)
{
	size_t i = places_find(places, &bind->address);

	while (places->list[i].bind != bind)
		i++;
	return places->list[i].frontend->name;
}

/* A wildcard covers real servers, too: only its loopback addresses are surely this host's own. */
static void warn_of_server(
	struct parser *parser, const struct places *places, const struct server *server)
{
	struct addr address = server_address(server, &server->loop->address);
	bool certain = is_loopback(&address);
	char text[ADDR_TEXT_MAX];

	if (!certain && addr_is_any(&server->loop->address))
		return;
	parser_warn_at(parser, server->line, server->name,
		"%s is also what '%s' listens on (line %u)%s connections come back to the proxy "
		"and "
		"are refused (loop); write an address that the proxy does not listen on",
		addr_format(&address, text), frontend_name(places, server->loop),
		server->loop->line, certain ? ":" : ": where that address is this host's own,");
}

/*
 * Marks servers that are at the address that the client connected to, or move, with a port that is listened on. They are no
 * loop where clients connect to addresses of other hosts, so there is no warning.
 */
static void mark_originals(struct config *config, const struct places *places)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			struct server *server = &config->proxies[i].servers[j];
			struct addr lowest = wildcard(AF_INET, addr_port(&server->address));
			size_t place = places_find(places, &lowest);

			if (config->proxies[i].mode == MODE_TCP &&
				(server_is_original(server) || server->resolvers != NULL) &&
				server->loop == NULL && place < places->count &&
				addr_port(&places->list[place].bind->address) == addr_port(&lowest))
				server->loop = places->list[place].bind;
		}
}

static void warn_of_certain_loops(struct parser *parser, const struct places *places)
{
	struct graph graph = {.config = parser->config, .memory = parser->memory, .places = places};
	const uint32_t *components;

	if (!link_all(&graph) || graph.link_count == 0)
		return;
	components = find_components(&graph);
	if (components == NULL)
		return;
	mark_loops(&graph, components);
	for (size_t i = 0; i < graph.config->proxy_count; i++) {
		const struct proxy *proxy = &graph.config->proxies[i];

		for (size_t j = 0; j < proxy->server_count; j++)
			if (proxy->servers[j].loop != NULL)
				warn_of_server(parser, places, &proxy->servers[j]);
	}
}

void config_warn_of_loops(struct parser *parser, const struct places *places)
{
	warn_of_certain_loops(parser, places);
	mark_originals(parser->config, places);
}
