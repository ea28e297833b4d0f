/*
 * A table of connections by their two addresses and ports, which are the same where they leave and where they come
 * back, as no address is translated in between.
 *
 * The trap is time: the kernel chooses the source port within connect(), and another worker may accept what comes back
 * before connect() has returned. So the lock is held over connect(), and whoever accepts waits until the connection is
 * noted. The lock is that of the server's address and port, which are known before; nothing within it blocks.
 *
 * Clients choose parts of the key. The hash begins with a random number, so that they cannot make all keys meet.
 */
#include "own_traffic.h"

#include "tproxy/socket.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum {
	SHARDS = 64,
	BUCKETS = 1024 /* of one shard; memory that is never used is never there */
};

struct own_connection {
	struct own_connection *next;
	int type;
	struct addr from, to;
};

static struct shard {
	pthread_mutex_t lock;
	struct own_connection *buckets[BUCKETS];
} shards[SHARDS] = {[0 ... SHARDS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

static uint64_t hash_address(uint64_t hash, const struct addr *addr)
{
	const uint8_t *bytes = addr_bytes(addr);
	uint32_t word;

	for (unsigned i = 0; i < family_bits(addr_family(addr)) / 8; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		hash = mix(hash, word);
	}
	return mix(hash, addr_port(addr));
}

/* The kernel gives every process 16 random bytes (getauxval(3)). */
static uint64_t random_start(void)
{
	uint64_t start;

	memcpy(&start, (const void *)getauxval(AT_RANDOM), sizeof(start));
	return start;
}

static struct shard *shard_of(const struct addr *to)
{
	return &shards[(hash_address(random_start(), to) >> 32) % SHARDS];
}

static struct own_connection **bucket_of(
	struct shard *shard, const struct addr *from, const struct addr *to)
{
	uint64_t hash = hash_address(hash_address(random_start(), to), from);

	return &shard->buckets[(hash >> 32) % BUCKETS];
}

static int connect_and_note(int fd, struct shard *shard, struct own_connection *made)
{
	struct own_connection **bucket;
	int result = socket_connect(fd, &made->to);

	if (result == -1 && errno != EINPROGRESS)
		return -1;
	if (!socket_local_address(fd, &made->from))
		return -1;
	bucket = bucket_of(shard, &made->from, &made->to);
	made->next = *bucket;
	*bucket = made;
	return result;
}

int own_traffic_connect(int type, int fd, const struct addr *server, struct own_connection **noted)
{
	struct own_connection *made = calloc(1, sizeof(*made));
	struct shard *shard = shard_of(server);
	int result, error;

	*noted = NULL;
	if (made == NULL)
		return -1;
	made->type = type;
	made->to = *server;
	pthread_mutex_lock(&shard->lock);
	result = connect_and_note(fd, shard, made);
	error = errno;
	pthread_mutex_unlock(&shard->lock);
	if (result == 0 || error == EINPROGRESS)
		*noted = made;
	else
		free(made);
	errno = error;
	return result;
}

void own_traffic_forget(struct own_connection *noted)
{
	struct own_connection **link;
	struct shard *shard;

	if (noted == NULL)
		return;
	shard = shard_of(&noted->to);
	pthread_mutex_lock(&shard->lock);
	link = bucket_of(shard, &noted->from, &noted->to);
	while (*link != noted)
		link = &(*link)->next;
	*link = noted->next;
	pthread_mutex_unlock(&shard->lock);
	free(noted);
}

static bool is_one(const struct own_connection *one, int type, const struct addr *peer,
	const struct addr *destination)
{
	return one->type == type && addr_equal(&one->from, peer) &&
	       addr_equal(&one->to, destination);
}

bool own_traffic_has(int type, const struct addr *peer, const struct addr *destination)
{
	struct shard *shard = shard_of(destination);
	const struct own_connection *one;

	pthread_mutex_lock(&shard->lock);
	one = *bucket_of(shard, peer, destination);
	while (one != NULL && !is_one(one, type, peer, destination))
		one = one->next;
	pthread_mutex_unlock(&shard->lock);
	return one != NULL;
}
