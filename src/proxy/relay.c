/*
 * One direction of a session: read, write, and remember what did not fit.
 *
 * Bytes take one of two paths: recv() and send() through the pool's scratch buffer, or splice()
 * through a pipe, which saves the copies but costs two more calls. Small messages are copied, bulk is
 * spliced. On both paths the invariant is the same: `held` bytes, and only they, are in the pipe or
 * in the buffer, and while there are any, nothing is read.
 *
 * The trap: splice() returns EAGAIN for an empty socket, for a full pipe, and where urgent data comes
 * next; behind urgent data it returns 0, as if the stream had ended. So reading starts with an empty
 * pipe only, and recv(), which reads across urgent data, decides what is empty and what has ended.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CHUNK = 64 * 1024,    /* one read; the size of a pipe, too */
	TURNS = 4,            /* reads in one relay_move(), so that other sessions get their turn */
	BULK_MIN = 16 * 1024, /* a read of this much makes splicing worth its calls */
};

/* What one step found; everything but MORE ends the turn. */
enum step {
	MORE,
	SOURCE_EMPTY,
	DESTINATION_FULL,
	SOURCE_ENDED,
	SOURCE_BROKE,
	DESTINATION_BROKE,
	NO_MEMORY
};

int relay_pool_init(struct relay_pool *pool, struct process_limits *limits)
{
	memset(pool, 0, sizeof(*pool));
	pool->limits = limits;
	pool->scratch = malloc(CHUNK);
	return pool->scratch == NULL ? -1 : 0;
}

/* Two descriptors of a pipe within the limit, or false. */
static bool pipe_open(struct relay_pool *pool, struct relay_pipe *pipe)
{
	int ends[2];

	if (!limits_take_pipe(pool->limits))
		return false;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) == -1) {
		limits_give_pipe(pool->limits);
		return false;
	}
	*pipe = (struct relay_pipe){.read = ends[0], .write = ends[1]};
	return true;
}

static void pipe_close(struct relay_pool *pool, struct relay_pipe pipe)
{
	close(pipe.read);
	close(pipe.write);
	limits_give_pipe(pool->limits);
}

void relay_pool_free(struct relay_pool *pool)
{
	while (pool->idle_count > 0)
		pipe_close(pool, pool->idle[--pool->idle_count]);
	free(pool->scratch);
	pool->scratch = NULL;
}

/*
 * False when no pipe can be had or none of full size: past pipe-user-pages-soft the kernel makes
 * small ones, through which splicing is slower than copying.
 */
static bool pipe_lease(struct relay_pool *pool, struct relay_pipe *pipe)
{
	if (pool->idle_count > 0) {
		*pipe = pool->idle[--pool->idle_count];
	} else {
		if (!pipe_open(pool, pipe))
			return false;
		if (fcntl(pipe->write, F_GETPIPE_SZ) < CHUNK) {
			pipe_close(pool, *pipe);
			return false;
		}
	}
	pool->leased_count++;
	return true;
}

/* A pipe that still holds bytes must not be used again: they would reach another session. */
static void pipe_return(struct relay_pool *pool, struct relay_pipe pipe, bool empty)
{
	pool->leased_count--;
	if (empty && pool->idle_count < sizeof(pool->idle) / sizeof(pool->idle[0]))
		pool->idle[pool->idle_count++] = pipe;
	else
		pipe_close(pool, pipe);
}

static enum step read_failure(ssize_t got)
{
	if (got == 0)
		return SOURCE_ENDED;
	if (errno == EAGAIN || errno == EINTR)
		return SOURCE_EMPTY;
	return SOURCE_BROKE;
}

static enum step write_failure(void)
{
	return errno == EAGAIN || errno == EINTR ? DESTINATION_FULL : DESTINATION_BROKE;
}

static void count_written(struct direction *direction, size_t bytes)
{
	direction->bytes += bytes;
	direction->moved_out = true;
}

bool direction_hold(struct direction *direction, const char *bytes, size_t length)
{
	direction->buffer = malloc(length);
	if (direction->buffer == NULL)
		return false;
	memcpy(direction->buffer, bytes, length);
	direction->buffer_start = 0;
	direction->held = length;
	return true;
}

static enum step flush_buffer(struct direction *direction, int destination)
{
	while (direction->held > 0) {
		ssize_t sent = send(destination, direction->buffer + direction->buffer_start,
			direction->held, MSG_NOSIGNAL);

		if (sent == -1)
			return write_failure();
		direction->buffer_start += (size_t)sent;
		direction->held -= (size_t)sent;
		count_written(direction, (size_t)sent);
	}
	free(direction->buffer);
	direction->buffer = NULL;
	return MORE;
}

static enum step flush_pipe(struct direction *direction, int destination, struct relay_pool *pool)
{
	while (direction->held > 0) {
		ssize_t sent = splice(direction->pipe.read, NULL, destination, NULL,
			direction->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (sent == -1)
			return write_failure();
		if (sent == 0) { /* an empty pipe: `held` would be wrong, and bytes lost */
			errno = EIO;
			return DESTINATION_BROKE;
		}
		direction->held -= (size_t)sent;
		count_written(direction, (size_t)sent);
	}
	pipe_return(pool, direction->pipe, true);
	return MORE;
}

static enum step flush_held(struct direction *direction, int destination, struct relay_pool *pool)
{
	if (direction->held == 0)
		return MORE;
	if (direction->buffer != NULL)
		return flush_buffer(direction, destination);
	return flush_pipe(direction, destination, pool);
}

/* Reads once and writes once, through the scratch buffer. */
static enum step copy_once(
	struct direction *direction, int source, int destination, struct relay_pool *pool)
{
	ssize_t got = recv(source, pool->scratch, CHUNK, 0);
	ssize_t sent;

	if (got <= 0)
		return read_failure(got);
	direction->moved_in = true;
	direction->bulk = got >= BULK_MIN;
	pool->bytes_copied += (size_t)got;
	sent = send(destination, pool->scratch, (size_t)got, MSG_NOSIGNAL);
	if (sent == -1 && write_failure() == DESTINATION_BROKE)
		return DESTINATION_BROKE;
	if (sent > 0)
		count_written(direction, (size_t)sent);
	else
		sent = 0;
	if (sent < got && !direction_hold(direction, pool->scratch + sent, (size_t)(got - sent)))
		return NO_MEMORY;
	if (sent < got)
		return DESTINATION_FULL;
	return got < CHUNK ? SOURCE_EMPTY : MORE;
}

/*
 * Where splice() reports an empty or an ended source, urgent data may come next, and recv() decides.
 * It need not where bytes were moved in this call: the event loop comes back if there is more.
 */
static enum step splice_once(
	struct direction *direction, int source, int destination, struct relay_pool *pool)
{
	ssize_t got = splice(source, NULL, direction->pipe.write, NULL, CHUNK,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	int error = got == -1 ? errno : 0;

	if (got <= 0) {
		pipe_return(pool, direction->pipe, true);
		errno = error; /* which closing the pipe may have changed */
		if (got == -1 && read_failure(got) == SOURCE_BROKE)
			return SOURCE_BROKE;
		if (got == -1 && direction->moved_in)
			return SOURCE_EMPTY;
		return copy_once(direction, source, destination, pool);
	}
	direction->moved_in = true;
	direction->bulk = got >= BULK_MIN;
	direction->held = (size_t)got;
	pool->bytes_spliced += (size_t)got;
	return flush_pipe(direction, destination, pool);
}

static enum step move_once(
	struct direction *direction, int source, int destination, struct relay_pool *pool)
{
	bool wants_pipe = direction->path == RELAY_SPLICE ||
			  (direction->path == RELAY_AUTO && direction->bulk);

	if (wants_pipe && pipe_lease(pool, &direction->pipe))
		return splice_once(direction, source, destination, pool);
	return copy_once(direction, source, destination, pool);
}

enum relay_result relay_move(
	struct direction *direction, int source, int destination, struct relay_pool *pool)
{
	enum step found;

	direction->moved_in = direction->moved_out = false;
	found = flush_held(direction, destination, pool);
	for (int turn = 0; found == MORE && !direction->eof_in && turn < TURNS; turn++)
		found = move_once(direction, source, destination, pool);
	switch (found) {
	case SOURCE_ENDED:
		direction->eof_in = true;
		return RELAY_OK;
	case SOURCE_BROKE:
		direction_cut(direction);
		return RELAY_SOURCE_FAILED;
	case DESTINATION_BROKE:
		return RELAY_DESTINATION_FAILED;
	case NO_MEMORY:
		return RELAY_NO_MEMORY;
	default:
		return RELAY_OK;
	}
}

bool direction_has_ended(const struct direction *direction)
{
	return direction->eof_in && direction->held == 0;
}

bool direction_wants_read(const struct direction *direction)
{
	return !direction->eof_in && direction->held == 0;
}

bool direction_wants_write(const struct direction *direction)
{
	return direction->held > 0;
}

void direction_cut(struct direction *direction)
{
	direction->cut_short |= !direction->eof_in;
	direction->eof_in = true;
}

void direction_clear(struct direction *direction, struct relay_pool *pool)
{
	if (direction->held > 0 && direction->buffer == NULL)
		pipe_return(pool, direction->pipe, false);
	free(direction->buffer);
	direction->buffer = NULL;
	direction->held = 0;
}
