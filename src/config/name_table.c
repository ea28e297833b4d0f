/*
 * Names by hash: open addressing in a table that is a power of two and never more than half full.
 *
 * A table that grows leaves its former self behind in the configuration's memory, as lists do. The
 * hash is FNV-1a: who writes the file is trusted, so nobody aims at its collisions.
 */
#include "name_table.h"

#include <stdint.h>
#include <string.h>

enum {
	ROOM_LEAST = 8
};

static size_t hash(const char *text)
{
	uint64_t value = 14695981039346656037ULL;

	for (; *text != '\0'; text++)
		value = (value ^ (unsigned char)*text) * 1099511628211ULL;
	return (size_t)(value ^ value >> 32);
}

/* The slot that TEXT has, or the free one that it would get. */
static struct name *slot_of(const struct name_table *names, const char *text)
{
	size_t at = hash(text) & (names->room - 1);

	while (names->slots[at].text != NULL && strcmp(names->slots[at].text, text) != 0)
		at = (at + 1) & (names->room - 1);
	return &names->slots[at];
}

static bool grow(struct name_table *names, struct config_memory *memory)
{
	struct name_table larger = {.room = names->room == 0 ? ROOM_LEAST : 2 * names->room};

	larger.count = names->count;
	larger.slots = memory_take(memory, larger.room * sizeof(*larger.slots));
	if (larger.slots == NULL)
		return false;
	for (size_t i = 0; i < names->room; i++)
		if (names->slots[i].text != NULL)
			*slot_of(&larger, names->slots[i].text) = names->slots[i];
	*names = larger;
	return true;
}

const struct name *name_table_find(const struct name_table *names, const char *text)
{
	const struct name *slot = names->room == 0 ? NULL : slot_of(names, text);

	return slot != NULL && slot->text != NULL ? slot : NULL;
}

void name_table_add(struct name_table *names, struct config_memory *memory, struct name name)
{
	if (2 * (names->count + 1) > names->room && !grow(names, memory))
		return;
	*slot_of(names, name.text) = name;
	names->count++;
}
