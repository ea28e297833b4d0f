/*
 * Memory of one configuration: a chain of blocks, freed together.
 *
 * A configuration is built once and then only read. So no block is freed alone, and an error half-way needs no
 * clean-up. A list that grows leaves its old copy behind; because lists double, these copies are smaller than the
 * list.
 *
 * The trap: a list that a section inherits must be copied before it grows, or two sections would write into the same
 * spare room.
 *
 * The limit keeps a few lines of port ranges from using all memory of the machine, and lets the tests make every
 * allocation fail.
 */
#include "tproxy/memory.h"

#include <stdlib.h>
#include <string.h>

struct block {
	struct block *next;
	max_align_t bytes[];
};

struct cleaning {
	struct cleaning *next;
	void (*clean)(void *object);
	void *object;
};

struct config_memory {
	struct block *blocks;
	struct cleaning *cleanings;
	size_t left;
	bool exhausted;
};

struct config_memory *memory_new(size_t limit)
{
	struct config_memory *memory = calloc(1, sizeof(*memory));

	if (memory != NULL)
		memory->left = limit;
	return memory;
}

void memory_free(struct config_memory *memory)
{
	struct block *block, *next;

	if (memory == NULL)
		return;
	for (struct cleaning *at = memory->cleanings; at != NULL; at = at->next)
		at->clean(at->object);
	for (block = memory->blocks; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	free(memory);
}

void *memory_alloc(struct config_memory *memory, size_t size)
{
	struct block *block = NULL;

	if (size <= memory->left)
		block = calloc(1, sizeof(*block) + size);
	if (block == NULL) {
		memory->exhausted = true;
		return NULL;
	}
	memory->left -= size;
	block->next = memory->blocks;
	memory->blocks = block;
	return block->bytes;
}

char *memory_copy(struct config_memory *memory, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory_alloc(memory, size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

void *memory_grow(struct config_memory *memory, void *list, size_t count, size_t size)
{
	void *larger;

	/* The capacity is always a power of two, so the list is full exactly when its count is one. */
	if (count != 0 && (count & (count - 1)) != 0)
		return list;
	larger = memory_alloc(memory, (count == 0 ? 1 : 2 * count) * size);
	if (larger != NULL && count != 0)
		memcpy(larger, list, count * size);
	return larger;
}

bool memory_clean(struct config_memory *memory, void (*clean)(void *object), void *object)
{
	struct cleaning *cleaning = memory_alloc(memory, sizeof(*cleaning));

	if (cleaning == NULL)
		return false;
	*cleaning = (struct cleaning){memory->cleanings, clean, object};
	memory->cleanings = cleaning;
	return true;
}

bool memory_exhausted(const struct config_memory *memory)
{
	return memory->exhausted;
}
