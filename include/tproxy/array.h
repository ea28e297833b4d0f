/*
 * Lists that grow by doubling, so that adding an element takes the same time however many there are.
 */
#ifndef TPROXY_ARRAY_H
#define TPROXY_ARRAY_H

#include <stddef.h>

/*
 * LIST (NULL at first) with room for one more element of SIZE bytes behind the COUNT that it has; that
 * element is zeroed. The list may move, and belongs to the caller, who frees it. Use it for every element
 * of a list from the first on. Where memory is exhausted, the program ends.
 */
void *array_room(void *list, size_t count, size_t size);

#endif
