/* Names that a file has given so far, each with its place: found by hash, however many there are. */
#ifndef TPROXY_CLAIMS_H
#define TPROXY_CLAIMS_H

#include "tproxy/memory.h"

struct claim {
	const char *text; /* not copied */
	unsigned line;
	unsigned index; /* of what has the name, in the list of its kind */
};

/* All zero is an empty one. The memory is the configuration's. */
struct claims {
	struct claim *slots;
	size_t room, count;
};

/* The entry of TEXT, or NULL where the name is new. It is valid until the next claims_add(). */
const struct claim *claims_find(const struct claims *claims, const char *text);

/*
 * Adds a name that is new; its text must live as long as MEMORY. Without memory it is left out, and
 * memory_exhausted() says so.
 */
void claims_add(struct claims *claims, struct config_memory *memory, struct claim claim);

#endif
