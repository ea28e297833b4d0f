/*
 * A table of connections by their two addresses and ports, which are the same where they leave and where they come
 * back, as no address is translated in between.
 *
 * The trap is time: the kernel chooses the source port within connect(), and another worker may accept what comes back
 * before connect() has returned. So the lock is held over connect(), and a worker that accepts waits until the connection is
 * noted. The lock is that of the server's address and port, which are known before; nothing within it blocks.
 *
 * Clients choose parts of the key. The hash begins with a random number, so that they cannot make all keys meet.
 */
#include "own_traffic.h"

#include "tproxy/socket.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

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

static struct shard *shard_of(const struct addr *to)
{
	return &shards[addr_hash(addr_hash_start(), to) % SHARDS];
}

static struct own_connection **bucket_of(
	struct shard *shard, const struct addr *from, const struct addr *to)
{
	uint64_t hash = addr_hash(addr_hash(addr_hash_start(), to), from);

	return &shard->buckets[hash % BUCKETS];
}

static bool is_one(const struct own_connection *one, int type, const struct addr *peer,
	const struct addr *destination)
{
	return one->type == type && addr_equal(&one->from, peer) &&
	       addr_equal(&one->to, destination);
}

static bool has_one(struct shard *shard, int type, const struct addr *from, const struct addr *to)
{
	const struct own_connection *one = *bucket_of(shard, from, to);

	while (one != NULL && !is_one(one, type, from, to))
		one = one->next;
	return one != NULL;
}

/* Whether a bound socket would be the second of its address with this server. */
static bool is_taken(int fd, struct shard *shard, const struct own_connection *made)
{
	struct addr from;

	return made->type == SOCK_DGRAM && socket_local_address(fd, &from) &&
	       addr_port(&from) != 0 && has_one(shard, SOCK_DGRAM, &from, &made->to);
}

/* Whether it is noted; *RESULT is what socket_connect() returned. */
static bool connect_and_note(int fd, struct shard *shard, struct own_connection *made, int *result)
{
	struct own_connection **bucket;

	*result = -1;
	if (is_taken(fd, shard, made)) {
		errno = EADDRINUSE;
		return false;
	}
	*result = socket_connect(fd, &made->to);
	if ((*result == -1 && errno != EINPROGRESS) || !socket_local_address(fd, &made->from))
		return false;
	bucket = bucket_of(shard, &made->from, &made->to);
	made->next = *bucket;
	*bucket = made;
	return true;
}

int own_traffic_connect(int type, int fd, const struct addr *server, struct own_connection **noted)
{
	struct own_connection *made = malloc(sizeof(*made));
	struct shard *shard = shard_of(server);
	int result, error;

	*noted = NULL;
	if (made == NULL)
		return -1;
	made->type = type;
	made->to = *server;
	pthread_mutex_lock(&shard->lock);
	if (connect_and_note(fd, shard, made, &result))
		*noted = made;
	error = errno;
	pthread_mutex_unlock(&shard->lock);
	if (*noted == NULL)
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

bool own_traffic_has(int type, const struct addr *peer, const struct addr *destination)
{
	struct shard *shard = shard_of(destination);
	bool has;

	pthread_mutex_lock(&shard->lock);
	has = has_one(shard, type, peer, destination);
	pthread_mutex_unlock(&shard->lock);
	return has;
}
