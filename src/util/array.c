/*
 * Lists that grow.
 *
 * No list stores its capacity, which is the next power of two. So it is full exactly when its count is a power of
 * two.
 */
#include "tproxy/array.h"

#include <stdlib.h>
#include <string.h>

void *array_room(void *list, size_t count, size_t size)
{
	char *larger = list;

	if ((count & (count - 1)) == 0) {
		larger = reallocarray(list, count == 0 ? 1 : 2 * count, size);
		if (larger == NULL)
			abort(); /* out of memory */
	}
	memset(larger + count * size, 0, size);
	return larger;
}
