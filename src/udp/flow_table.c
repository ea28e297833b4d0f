/*
 * A hash table with chains, which doubles when it has as many flows as buckets, so that a flow is found in constant
 * time. Where the larger one cannot be had, the chains grow instead.
 *
 * Clients choose the keys. The hash begins with a random number, so that they cannot make all keys meet.
 */
#include "flow_table.h"

#include <stdlib.h>
#include <string.h>

enum {
	BUCKETS_MIN = 64
};

static struct flow **bucket_of(const struct flow_table *table, const struct flow_key *key)
{
	uint64_t hash = addr_hash(addr_hash(table->seed, &key->sender), &key->destination);

	if (addr_family(&key->proxied.client) != AF_UNSPEC)
		hash = addr_hash(hash, &key->proxied.client);
	return &table->buckets[hash & (table->size - 1)];
}

int flow_table_init(struct flow_table *table)
{
	table->count = 0;
	table->size = BUCKETS_MIN;
	table->seed = addr_hash_start();
	table->buckets = calloc(table->size, sizeof(struct flow *));
	return table->buckets == NULL ? -1 : 0;
}

void flow_table_free(struct flow_table *table)
{
	free(table->buckets);
	*table = (struct flow_table){0};
}

static bool is_of_key(const struct flow *flow, const struct flow_key *key)
{
	const char *one = flow->key.receiver->bind->interface;
	const char *other = key->receiver->bind->interface;

	return addr_equal(&flow->key.sender, &key->sender) &&
	       addr_equal(&flow->key.destination, &key->destination) &&
	       addr_equal(&flow->key.proxied.client, &key->proxied.client) &&
	       addr_equal(&flow->key.proxied.destination, &key->proxied.destination) &&
	       (one == other || (one != NULL && other != NULL && strcmp(one, other) == 0));
}

struct flow *flow_table_find(const struct flow_table *table, const struct flow_key *key)
{
	struct flow *flow = *bucket_of(table, key);

	while (flow != NULL && !is_of_key(flow, key))
		flow = flow->next;
	return flow;
}

static void push(struct flow_table *table, struct flow *flow)
{
	struct flow **bucket = bucket_of(table, &flow->key);

	flow->next = *bucket;
	*bucket = flow;
}

static void grow(struct flow_table *table)
{
	struct flow_table larger = *table;

	larger.size *= 2;
	larger.buckets = calloc(larger.size, sizeof(struct flow *));
	if (larger.buckets == NULL)
		return;
	for (size_t i = 0; i < table->size; i++)
		for (struct flow *flow = table->buckets[i], *next; flow != NULL; flow = next) {
			next = flow->next;
			push(&larger, flow);
		}
	free(table->buckets);
	*table = larger;
}

void flow_table_add(struct flow_table *table, struct flow *flow)
{
	if (table->count == table->size)
		grow(table);
	push(table, flow);
	table->count++;
}

void flow_table_remove(struct flow_table *table, struct flow *flow)
{
	struct flow **link = bucket_of(table, &flow->key);

	while (*link != flow)
		link = &(*link)->next;
	*link = flow->next;
	table->count--;
}
