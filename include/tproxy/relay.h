/*
 * Relaying: one direction of a session, bytes from one socket to another.
 *
 * A direction holds bytes only while its destination does not take them; while it does, nothing
 * more is read, and TCP's own window holds the sender back. An idle direction holds neither a
 * buffer nor a pipe. What two directions share (idle pipes, the buffer to copy through) is a
 * relay_pool, one for each event loop.
 */
#ifndef TPROXY_RELAY_H
#define TPROXY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum relay_path {
	RELAY_AUTO,   /* copy what is small, splice what is large */
	RELAY_COPY,   /* never splice */
	RELAY_SPLICE, /* splice as soon as a pipe can be had */
};

struct relay_pipe {
	int read, write;
};

/* Zeroed pools are not valid: relay_pool_init(). */
struct relay_pool {
	char *scratch;
	struct relay_pipe idle[16];
	unsigned idle_count;
	unsigned leased_count, leased_max;
	uint64_t bytes_copied, bytes_spliced;
};

/* At most PIPES pipes are held at the same time; beyond that, bytes are copied. -1: no memory. */
int relay_pool_init(struct relay_pool *pool, unsigned pipes);
void relay_pool_free(struct relay_pool *pool);

/* A zeroed direction is a valid one at its start. */
struct direction {
	enum relay_path path;
	bool eof_in;              /* the source said that it had finished */
	bool shut_out;            /* the destination was told so */
	bool bulk;                /* RELAY_AUTO: the last turn moved much, so splicing pays */
	bool moved_in, moved_out; /* the last relay_move() read something, wrote something */
	size_t held;              /* bytes read and not yet written; in exactly one of the two: */
	struct relay_pipe pipe;
	char *buffer;
	size_t buffer_start;
	uint64_t bytes; /* written to the destination */
};

enum relay_result {
	RELAY_OK,
	RELAY_SOURCE_FAILED,      /* errno is the source's */
	RELAY_DESTINATION_FAILED, /* errno is the destination's */
	RELAY_NO_MEMORY,
};

/*
 * Moves what can be moved now, within a bound that is fair to other sessions, and passes the end of
 * the stream on once nothing is held any more. Call it whenever the source can be read or the
 * destination written; both must be non-blocking, and SIGPIPE ignored: splice() cannot leave it out.
 */
enum relay_result relay_move(
	struct direction *direction, int source, int destination, struct relay_pool *pool);

/* What the direction waits for. Both may be false: it has ended. */
bool direction_wants_read(const struct direction *direction);
bool direction_wants_write(const struct direction *direction);

/* Gives up what is held. */
void direction_clear(struct direction *direction, struct relay_pool *pool);

#endif
