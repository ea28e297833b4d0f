/* Where a configuration listens: all of its listeners, sorted by address and port. */
#ifndef TPROXY_CONFIG_PLACES_H
#define TPROXY_CONFIG_PLACES_H

#include "tproxy/config.h"

#include "tproxy/memory.h"

struct listening {
	const struct bind *bind;
	const struct proxy *frontend;
};

/* By port, then address, then interface, then line. */
struct places {
	struct listening *list;
	size_t count;
};

/* Lists the listeners of CONFIG of one mode. CONFIG must outlive PLACES. The list is in MEMORY. False without memory. */
bool places_sort(struct places *places, const struct config *config, enum mode mode,
	struct config_memory *memory);

/* The order of two addresses with their ports, as places have it: below, equal to or above 0. */
int places_compare(const struct addr *a, const struct addr *b);

/* The first listener on ADDRESS, its port included, or where it would stand: up to places->count. */
size_t places_find(const struct places *places, const struct addr *address);

/* The first listener behind those that listen where the one at FIRST does, on other interfaces. */
size_t places_next(const struct places *places, size_t first);

#endif
