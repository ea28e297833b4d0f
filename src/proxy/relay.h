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

#include "servers/limits.h"

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

/* What the directions of one event loop share. relay_pool_init() makes it valid. */
struct relay_pool {
	char *scratch;              /* what is copied passes through here */
	struct relay_pipe idle[16]; /* empty pipes, kept for later */
	unsigned idle_count;
	unsigned leased_count; /* pipes that hold bytes of a direction */
	struct process_limits *limits;
	uint64_t bytes_copied, bytes_spliced; /* read from sources, by the path that they took */
};

/*
 * Pipes are taken from the process's LIMITS, which all pools share and which must outlive this
 * one; where none is left, bytes are copied. Returns 0, or -1 with errno where memory is missing;
 * POOL may be freed then, too.
 */
int relay_pool_init(struct relay_pool *pool, struct process_limits *limits);

/* Closes the idle pipes. Every direction that used POOL must have been cleared before. */
void relay_pool_free(struct relay_pool *pool);

/* A zeroed direction is a valid one at its start. */
struct direction {
	enum relay_path path;
	bool eof_in;    /* nothing more is read: the source has ended, or cut_short */
	bool cut_short; /* it ended without an orderly end: the source broke, or was given up */
	bool shut_out;  /* the end was passed on to the destination; set by the caller */
	bool bulk;      /* RELAY_AUTO: the last turn moved much, so splicing pays */
	bool moved_in, moved_out; /* the last relay_move() read something, wrote something */
	size_t held;            /* bytes read and not yet written: in BUFFER, if it is not NULL, */
	struct relay_pipe pipe; /* else in this pipe; without held bytes, the direction has none */
	char *buffer;
	size_t buffer_start; /* where the held bytes begin */
	uint64_t bytes;      /* written to the destination's socket */
};

enum relay_result {
	RELAY_OK,
	RELAY_SOURCE_FAILED,      /* errno is the source's; what it sent before is moved or held */
	RELAY_DESTINATION_FAILED, /* errno is the destination's */
	RELAY_NO_MEMORY,
};

/*
 * Moves what can be moved now from SOURCE to DESTINATION. It reads at most 256 KiB, so that other
 * sessions get their turn. Call it whenever the source can be read or the destination can be written. Both must
 * be non-blocking, SIGPIPE must be ignored (splice() cannot suppress it), and a source that is a TCP
 * socket needs SO_OOBINLINE, or its urgent bytes are lost (RFC 6093, section 3.3).
 *
 * The end of the stream is not passed on: the caller does so once direction_has_ended().
 */
enum relay_result relay_move(
	struct direction *direction, int source, int destination, struct relay_pool *pool);

/* Whether it waits for its source to be readable, for its destination to be writable. Never for both. */
bool direction_wants_read(const struct direction *direction);
bool direction_wants_write(const struct direction *direction);

/* Whether the source has ended, and everything read from it was written to the destination. */
bool direction_has_ended(const struct direction *direction);

/* Stops reading, as after an end that is not orderly. What is held can still be written. */
void direction_cut(struct direction *direction);

/*
 * Holds a copy of LENGTH bytes, which are written before anything that is read; the direction must hold nothing. False:
 * no memory.
 */
bool direction_hold(struct direction *direction, const char *bytes, size_t length);

/* Drops what is held; POOL is the one that relay_move() used. */
void direction_clear(struct direction *direction, struct relay_pool *pool);

#endif
