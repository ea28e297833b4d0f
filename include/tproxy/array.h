/*
 * Lists that grow by doubling, so that the time to add an element does not depend on how many there are.
 */
#ifndef TPROXY_ARRAY_H
#define TPROXY_ARRAY_H

#include <stddef.h>

/*
 * Returns LIST (NULL at first) with room for one more element of SIZE bytes behind its COUNT elements; the new one
 * is zeroed. The list may move; free() frees it. Use this for every element of a list. Without memory the program
 * ends.
 */
void *array_room(void *list, size_t count, size_t size);

#endif
