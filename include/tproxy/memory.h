/* Memory of one configuration: everything is freed together, nothing by itself. */
#ifndef TPROXY_CONFIG_MEMORY_H
#define TPROXY_CONFIG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct config_memory;

/* LIMIT is in bytes; what would go beyond it fails as if the machine had no more. */
struct config_memory *memory_new(size_t limit);
void memory_free(struct config_memory *memory);

/* Zeroed memory, or NULL. After the first NULL, memory_exhausted() says so until the end. */
void *memory_alloc(struct config_memory *memory, size_t size);
char *memory_copy(struct config_memory *memory, const char *text);

/*
 * Makes room for one more element after COUNT in a list that grew by this function alone. Returns
 * the list, which may have moved, or NULL; its new element is zero.
 */
void *memory_grow(struct config_memory *memory, void *list, size_t count, size_t size);

bool memory_exhausted(const struct config_memory *memory);

#endif
