/*
 * An index from names to numbers, such as from the name of a chain to its place in a table.
 *
 * A search takes the logarithm of the number of names. Zeroed, it is empty.
 */
#ifndef TPROXY_NAMES_H
#define TPROXY_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
	void *root;
};

/* Adds NAME (copied) with its number. False: the index already has it, and is unchanged. */
bool names_add(struct names *names, const char *name, size_t number);

/* Sets *NUMBER to the number of NAME. False: the index does not have it. */
bool names_find(const struct names *names, const char *name, size_t *number);

void names_free(struct names *names);

#endif
