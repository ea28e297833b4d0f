/*
 * A hash table under one lock, which is held for a few instructions. It is asked when a flow begins and ends, and at
 * datagrams where their rate is limited; a section without these limits never comes here.
 *
 * Sections are told apart by a hash of their names, since a name does not outlive its configuration. Like that of the
 * addresses it begins with a random number.
 */
#include "clients.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	BUCKETS_MIN = 64,
	NETWORK_BITS = 64 /* of IPv6 */
};

struct client {
	struct client *next;
	struct addr address; /* without a port; of IPv6 the network's */
	uint64_t section;    /* hash of its name */
	uint64_t second;     /* in which TAKEN were sent */
	unsigned flows, taken;
	bool has_lost; /* in this second */
};

struct clients {
	pthread_mutex_t lock;
	struct client **buckets;
	size_t size, count; /* the size is a power of two */
};

struct clients *clients_new(void)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (clients == NULL)
		return NULL;
	clients->size = BUCKETS_MIN;
	clients->buckets = calloc(clients->size, sizeof(struct client *));
	if (clients->buckets == NULL || pthread_mutex_init(&clients->lock, NULL) != 0) {
		free(clients->buckets);
		free(clients);
		return NULL;
	}
	return clients;
}

void clients_free(struct clients *clients)
{
	if (clients == NULL)
		return;
	pthread_mutex_destroy(&clients->lock);
	free(clients->buckets);
	free(clients);
}

static struct addr client_address(const struct addr *address)
{
	struct addr client = *address;

	addr_set_port(&client, 0);
	if (addr_family(&client) == AF_INET6) {
		memset(&client.in6.sin6_addr.s6_addr[NETWORK_BITS / 8], 0, NETWORK_BITS / 8);
		client.in6.sin6_scope_id = 0;
	}
	return client;
}

/* FNV-1a. */
static uint64_t hash_name(const char *name)
{
	uint64_t hash = addr_hash_start();

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
	return hash;
}

static struct client **bucket_of(const struct clients *clients, const struct client *client)
{
	return &clients->buckets[addr_hash(client->section, &client->address) &
				 (clients->size - 1)];
}

static void push(struct clients *clients, struct client *client)
{
	struct client **bucket = bucket_of(clients, client);

	client->next = *bucket;
	*bucket = client;
}

/* Where there is no memory for a larger table, the chains grow. */
static void grow(struct clients *clients)
{
	struct client **older = clients->buckets, *client;
	size_t size = clients->size;
	struct client **larger = calloc(2 * size, sizeof(struct client *));

	if (larger == NULL)
		return;
	clients->buckets = larger;
	clients->size = 2 * size;
	for (size_t i = 0; i < size; i++)
		while ((client = older[i]) != NULL) {
			older[i] = client->next;
			push(clients, client);
		}
	free(older);
}

/* The client that is as WANTED, new where there was none; NULL without memory. */
static struct client *find_or_add(struct clients *clients, const struct client *wanted)
{
	struct client *client = *bucket_of(clients, wanted);

	while (client != NULL && !(client->section == wanted->section &&
					 addr_equal(&client->address, &wanted->address)))
		client = client->next;
	if (client != NULL)
		return client;
	client = malloc(sizeof(*client));
	if (client == NULL)
		return NULL;
	*client = *wanted;
	if (clients->count == clients->size)
		grow(clients);
	push(clients, client);
	clients->count++;
	return client;
}

struct client *clients_enter(struct clients *clients, const char *section,
	const struct addr *address, unsigned most, bool *no_memory)
{
	struct client wanted = {.address = client_address(address), .section = hash_name(section)};
	struct client *client;

	pthread_mutex_lock(&clients->lock);
	client = find_or_add(clients, &wanted);
	*no_memory = client == NULL;
	if (client != NULL && most != 0 && client->flows >= most)
		client = NULL;
	if (client != NULL)
		client->flows++;
	pthread_mutex_unlock(&clients->lock);
	return client;
}

void clients_leave(struct clients *clients, struct client *client)
{
	pthread_mutex_lock(&clients->lock);
	if (--client->flows == 0) {
		struct client **link = bucket_of(clients, client);

		while (*link != client)
			link = &(*link)->next;
		*link = client->next;
		clients->count--;
		free(client);
	}
	pthread_mutex_unlock(&clients->lock);
}

unsigned clients_take(struct clients *clients, struct client *client, unsigned rate,
	unsigned wanted, uint64_t now, bool *first_lost)
{
	unsigned left;

	pthread_mutex_lock(&clients->lock);
	if (client->second != now) {
		client->second = now;
		client->taken = 0;
		client->has_lost = false;
	}
	left = client->taken < rate ? rate - client->taken : 0;
	*first_lost = wanted > left && !client->has_lost;
	client->has_lost |= wanted > left;
	wanted = wanted < left ? wanted : left;
	client->taken += wanted;
	pthread_mutex_unlock(&clients->lock);
	return wanted;
}
