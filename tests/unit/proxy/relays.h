/*
 * One direction on a pair of socket pairs: writer -> [source  destination] -> reader.
 *
 * After each test no descriptor and no memory of the pool is left.
 */
#ifndef TESTS_RELAYS_H
#define TESTS_RELAYS_H

#include "proxy/relay.h"
#include "unit.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct rig {
	int writer, source, destination, reader;
	struct direction direction;
	struct limits *limits;
	struct relay_pool pool;
};

enum {
	PIPES = 20
};

static const struct config no_sections;
static struct rig rig;
static size_t memory_before;
static unsigned descriptors_before;

static inline void pair(int *a, int *b)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	*a = ends[0];
	*b = ends[1];
}

static inline int set_up(enum relay_path path)
{
	memset(&rig, 0, sizeof(rig));
	memory_before = mallinfo2().uordblks;
	descriptors_before = descriptors_open();
	pair(&rig.writer, &rig.source);
	pair(&rig.destination, &rig.reader);
	rig.direction.path = path;
	rig.limits = limits_new(&no_sections, 4 * PIPES);
	memset(&rig.pool, 0xff, sizeof(rig.pool)); /* it is made, whatever was there */
	return relay_pool_init(&rig.pool, limits_process(rig.limits));
}

static inline unsigned take_all_pipes(void)
{
	unsigned count = 0;

	while (limits_take_pipe(limits_process(rig.limits)))
		count++;
	return count;
}

static inline int tear_down(void **state)
{
	(void)state;
	direction_clear(&rig.direction, &rig.pool);
	assert_null(rig.direction.buffer);
	assert_int_equal(rig.pool.leased_count, 0);
	relay_pool_free(&rig.pool);
	assert_null(rig.pool.scratch);
	assert_int_equal(take_all_pipes(), PIPES);
	limits_free(rig.limits);
	close(rig.writer);
	close(rig.source);
	close(rig.destination);
	close(rig.reader);
	assert_int_equal(descriptors_open(), descriptors_before);
	/* malloc() keeps small pieces; the buffers are larger. */
	assert_in_range(mallinfo2().uordblks, 0, memory_before + 4096);
	return 0;
}

static inline enum relay_result moved(void)
{
	return relay_move(&rig.direction, rig.source, rig.destination, &rig.pool);
}

static inline void write_text(const char *text)
{
	assert_int_equal(send(rig.writer, text, strlen(text), 0), strlen(text));
}

static inline void assert_reads(const char *text)
{
	char got[256];
	ssize_t length = recv(rig.reader, got, sizeof(got) - 1, 0);

	assert_int_equal(length, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

/* Fills the way until neither the destination nor the direction takes any more. */
static inline size_t fill(char *bytes, size_t length)
{
	size_t written = 0;

	while (written < length && rig.direction.held == 0) {
		ssize_t sent = send(rig.writer, bytes + written, length - written, MSG_NOSIGNAL);

		if (sent > 0)
			written += (size_t)sent;
		assert_int_equal(moved(), RELAY_OK);
	}
	return written;
}

static inline char *random_bytes(size_t length)
{
	char *bytes = malloc(length);

	assert_non_null(bytes);
	srandom(1);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)random();
	return bytes;
}

/* Fills the destination past the direction, so that it takes nothing. */
static inline void stuff_destination(void)
{
	static const char stuff[4096];

	while (send(rig.destination, stuff, sizeof(stuff), MSG_NOSIGNAL) > 0)
		;
	while (send(rig.destination, stuff, 1, MSG_NOSIGNAL) > 0)
		;
}

static inline void empty_reader(void)
{
	char part[65536];

	while (recv(rig.reader, part, sizeof(part), 0) > 0)
		;
}

#endif
