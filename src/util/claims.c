/*
 * Claimed names, by hash: open addressing in a table that is a power of two and never more than half full.
 *
 * A table that grows leaves its former self behind in the configuration's memory, as lists do. The
 * hash is FNV-1a: the file's writer is trusted, so collisions are never aimed at.
 */
#include "tproxy/claims.h"

#include <stdint.h>
#include <string.h>

enum {
	ROOM_LEAST = 8
};

static size_t hash_of(const char *text)
{
	uint64_t value = 14695981039346656037ULL;

	for (; *text != '\0'; text++)
		value = (value ^ (unsigned char)*text) * 1099511628211ULL;
	return (size_t)(value ^ value >> 32);
}

/* The slot that TEXT has, or the free one that it would get. */
static struct claim *slot_of(const struct claims *claims, const char *text)
{
	size_t at = hash_of(text) & (claims->room - 1);

	while (claims->slots[at].text != NULL && strcmp(claims->slots[at].text, text) != 0)
		at = (at + 1) & (claims->room - 1);
	return &claims->slots[at];
}

static bool claims_grow(struct claims *claims, struct config_memory *memory)
{
	struct claims larger = {.room = claims->room == 0 ? ROOM_LEAST : 2 * claims->room};

	larger.count = claims->count;
	larger.slots = memory_alloc(memory, larger.room * sizeof(*larger.slots));
	if (larger.slots == NULL)
		return false;
	for (size_t i = 0; i < claims->room; i++)
		if (claims->slots[i].text != NULL)
			*slot_of(&larger, claims->slots[i].text) = claims->slots[i];
	*claims = larger;
	return true;
}

const struct claim *claims_find(const struct claims *claims, const char *text)
{
	const struct claim *slot = claims->room == 0 ? NULL : slot_of(claims, text);

	return slot != NULL && slot->text != NULL ? slot : NULL;
}

void claims_add(struct claims *claims, struct config_memory *memory, struct claim claim)
{
	if (2 * (claims->count + 1) > claims->room && !claims_grow(claims, memory))
		return;
	*slot_of(claims, claim.text) = claim;
	claims->count++;
}
