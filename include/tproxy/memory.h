/* Memory of one configuration: everything is freed together, nothing alone. */
#ifndef TPROXY_MEMORY_H
#define TPROXY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct config_memory;

/* LIMIT, in bytes: an allocation beyond it fails as without memory. NULL: there is no memory. */
struct config_memory *memory_new(size_t limit);
void memory_free(struct config_memory *memory);

/* SIZE zeroed bytes, freed by memory_free(), or NULL; after the first NULL memory_exhausted() stays true. */
void *memory_alloc(struct config_memory *memory, size_t size);
/* A copy of TEXT, or NULL, in the same way. */
char *memory_copy(struct config_memory *memory, const char *text);

/*
 * Returns LIST, or a copy of it, with room for one more element of SIZE bytes behind its COUNT elements, or NULL.
 * Only for lists that always grew by this function.
 */
void *memory_grow(struct config_memory *memory, void *list, size_t count, size_t size);

/* Calls CLEAN with OBJECT, which lies in MEMORY and holds more than memory, before it is freed. False: no memory. */
bool memory_clean(struct config_memory *memory, void (*clean)(void *object), void *object);

bool memory_exhausted(const struct config_memory *memory);

#endif
