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

#include "tproxy/limits.h"

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
	unsigned leased_count;
	struct limits *limits;
	uint64_t bytes_copied, bytes_spliced;
};

/*
 * Pipes are taken from LIMITS, which all pools of the process share and which must outlive this
 * one; where none is left, bytes are copied. Returns -1 where memory is missing.
 */
int relay_pool_init(struct relay_pool *pool, struct limits *limits);
void relay_pool_free(struct relay_pool *pool);

/* A zeroed direction is a valid one at its start. */
struct direction {
	enum relay_path path;
	bool eof_in;    /* nothing more is read: the source has ended, or see cut_short */
	bool cut_short; /* without an orderly end: it broke, or the direction was given up */
	bool shut_out;  /* the end was passed on to the destination */
	bool bulk;      /* RELAY_AUTO: the last turn moved much, so splicing pays */
	bool moved_in, moved_out; /* the last relay_move() read something, wrote something */
	size_t held;              /* bytes read and not yet written; in exactly one of the two: */
	struct relay_pipe pipe;
	char *buffer;
	size_t buffer_start;
	uint64_t bytes; /* written to the destination's socket */
};

enum relay_result {
	RELAY_OK,
	RELAY_SOURCE_FAILED,      /* errno is the source's; what it sent before is moved or held */
	RELAY_DESTINATION_FAILED, /* errno is the destination's */
	RELAY_NO_MEMORY,
};

/*
 * Moves what can be moved now, within a bound that is fair to other sessions. Call it whenever the
 * source can be read or the destination written. Both must be non-blocking, SIGPIPE must be ignored
 * (splice() cannot suppress it), and a source that is a TCP socket needs SO_OOBINLINE, or its urgent
 * bytes are lost (RFC 6093, section 3.3).
 *
 * The caller passes the end of the stream on, once direction_has_ended().
 */
enum relay_result relay_move(
	struct direction *direction, int source, int destination, struct relay_pool *pool);

/* What the direction waits for. Both are false once it has ended. */
bool direction_wants_read(const struct direction *direction);
bool direction_wants_write(const struct direction *direction);

/* The source has ended, and everything that it sent was written to the destination's socket. */
bool direction_has_ended(const struct direction *direction);

/* Stops reading, as after an end that is not an orderly one. What is held can still be written. */
void direction_cut(struct direction *direction);

/* Drops what is held. */
void direction_clear(struct direction *direction, struct relay_pool *pool);

#endif
