/*
 * Where a configuration listens, in an order that lets everything be found by halving.
 *
 * Ports come first, so that all that listens on one port stands together, and of those the wildcard
 * first, since its bytes are zero.
 */
#include "places.h"

#include <stdlib.h>
#include <string.h>

int places_compare(const struct addr *a, const struct addr *b)
{
	if (addr_port(a) != addr_port(b))
		return addr_port(a) < addr_port(b) ? -1 : 1;
	if (addr_family(a) != addr_family(b))
		return addr_family(a) < addr_family(b) ? -1 : 1;
	if (addr_family(a) == AF_INET6)
		return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
	return memcmp(&a->in4.sin_addr, &b->in4.sin_addr, sizeof(a->in4.sin_addr));
}

static int compare_listenings(const void *left, const void *right)
{
	const struct bind *a = ((const struct listening *)left)->bind;
	const struct bind *b = ((const struct listening *)right)->bind;
	int order = places_compare(&a->address, &b->address);

	if (order == 0)
		order = strcmp(a->interface ? a->interface : "", b->interface ? b->interface : "");
	if (order != 0 || a->line == b->line)
		return order;
	return a->line < b->line ? -1 : 1;
}

bool places_sort(struct places *places, const struct config *config, enum mode mode,
	struct config_memory *memory)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		count += config->proxies[i].bind_count;
	places->count = 0;
	places->list = memory_alloc(memory, count * sizeof(*places->list));
	if (places->list == NULL)
		return false;
	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *proxy = &config->proxies[i];

		for (size_t j = 0; j < proxy->bind_count && proxy->mode == mode; j++)
			places->list[places->count++] = (struct listening){&proxy->binds[j], proxy};
	}
	qsort(places->list, places->count, sizeof(*places->list), compare_listenings);
	return true;
}

size_t places_find(const struct places *places, const struct addr *address)
{
	size_t low = 0, high = places->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (places_compare(&places->list[middle].bind->address, address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t places_next(const struct places *places, size_t first)
{
	const struct addr *address = &places->list[first].bind->address;
	size_t next = first + 1;

	while (next < places->count &&
		places_compare(&places->list[next].bind->address, address) == 0)
		next++;
	return next;
}

struct addr server_address(const struct server *server, const struct addr *asked)
{
	struct addr address = server_is_original(server) ? *asked : server->address;
	uint16_t port = addr_port(&server->address);

	addr_set_port(&address, port != 0 ? port : addr_port(asked));
	return address;
}

bool server_is_original(const struct server *server)
{
	return addr_is_any(&server->address);
}
