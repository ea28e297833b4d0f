/*
 * An index from names to numbers, such as from a chain's name to its place in a table.
 *
 * Looking a name up takes the logarithm of how many there are. Zero before the first is added.
 */
#ifndef TPROXY_NAMES_H
#define TPROXY_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
	void *root;
};

/* Adds NAME (copied) with its number; false where the name is there already. */
bool names_add(struct names *names, const char *name, size_t number);

/* The number of NAME in *NUMBER; false where there is no such name. */
bool names_find(const struct names *names, const char *name, size_t *number);

void names_free(struct names *names);

#endif
