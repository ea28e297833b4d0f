/*
 * An index from names to numbers: the balanced tree of the C library (tsearch(3)).
 *
 * The name stands behind its node in the same block of memory, so tdestroy() with free() frees both.
 */
#include "tproxy/names.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct name {
	const char *name;
	size_t number;
};

static int by_name(const void *a, const void *b)
{
	const struct name *one = a, *other = b;

	return strcmp(one->name, other->name);
}

bool names_add(struct names *names, const char *name, size_t number)
{
	size_t size = strlen(name) + 1;
	struct name *made = malloc(sizeof(*made) + size);
	struct name **found;

	if (made == NULL)
		abort(); /* out of memory */
	*made = (struct name){memcpy(made + 1, name, size), number};
	found = tsearch(made, &names->root, by_name);
	if (found == NULL)
		abort(); /* out of memory */
	if (*found == made)
		return true;
	free(made);
	return false;
}

bool names_find(const struct names *names, const char *name, size_t *number)
{
	struct name *const *found = tfind(&(struct name){name, 0}, &names->root, by_name);

	if (found == NULL)
		return false;
	*number = (*found)->number;
	return true;
}

void names_free(struct names *names)
{
	tdestroy(names->root, free);
	names->root = NULL;
}
