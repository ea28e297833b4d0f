/* Names that a file has given so far, each with its place: found by hash, however many there are. */
#ifndef TPROXY_CONFIG_NAME_TABLE_H
#define TPROXY_CONFIG_NAME_TABLE_H

#include "memory.h"

struct name {
	const char *text; /* not copied */
	unsigned line;
	unsigned index; /* of what has the name, in a list of the caller's */
};

/* All zero is an empty one. The memory is the configuration's. */
struct name_table {
	struct name *slots;
	size_t room, count;
};

/* The entry of TEXT, or NULL where the name is new. */
const struct name *name_table_find(const struct name_table *names, const char *text);

/* Adds a name that is new. Without memory it is left out, and memory_exhausted() says so. */
void name_table_add(struct name_table *names, struct config_memory *memory, struct name name);

#endif
