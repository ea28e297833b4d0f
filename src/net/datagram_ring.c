/*
 * A ring of io_uring, without a library: the queue of entries and that of results are memory shared with the kernel.
 *
 * Each entry is a send that does not wait, so it is done when the system call returns. Only those that fail have a result
 * (IOSQE_CQE_SKIP_SUCCESS), with the datagram's number.
 *
 * The ring is made disabled, so that its restrictions can be set: it sends, and nothing else, whoever has its descriptor.
 */
#include "tproxy/datagram_ring.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif

#if defined(IOSQE_CQE_SKIP_SUCCESS) && defined(__NR_io_uring_setup)
#include <sys/mman.h>

struct datagram_ring {
	int fd;
	unsigned count; /* that were added */
	char *queues;
	size_t queues_size;
	struct io_uring_sqe *entries;
	size_t entries_size;
	struct io_sqring_offsets sent;
	struct io_cqring_offsets results;
};

static unsigned *word_at(const struct datagram_ring *ring, unsigned offset)
{
	return (unsigned *)(void *)(ring->queues + offset);
}

/* Sending is all it does from now on. Returns 0, or -1. */
static int restrict_to_sending(int fd)
{
	struct io_uring_restriction allowed[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SEND},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
			.sqe_flags = IOSQE_CQE_SKIP_SUCCESS},
	};

	if (syscall(__NR_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, allowed, 2) == -1)
		return -1;
	return (int)syscall(__NR_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static void *map_ring(int fd, size_t size, off_t offset)
{
	void *made =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	return made == MAP_FAILED ? NULL : made;
}

static int map_queues(struct datagram_ring *ring, const struct io_uring_params *parameters)
{
	size_t sent = parameters->sq_off.array + parameters->sq_entries * sizeof(unsigned);
	size_t results =
		parameters->cq_off.cqes + parameters->cq_entries * sizeof(struct io_uring_cqe);

	ring->sent = parameters->sq_off;
	ring->results = parameters->cq_off;
	ring->queues_size = sent > results ? sent : results;
	ring->entries_size = parameters->sq_entries * sizeof(struct io_uring_sqe);
	ring->queues = map_ring(ring->fd, ring->queues_size, IORING_OFF_SQ_RING);
	ring->entries = map_ring(ring->fd, ring->entries_size, IORING_OFF_SQES);
	return ring->queues == NULL || ring->entries == NULL ? -1 : 0;
}

struct datagram_ring *datagram_ring_new(void)
{
	const unsigned needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_CQE_SKIP;
	struct io_uring_params parameters = {.flags = IORING_SETUP_R_DISABLED};
	struct datagram_ring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL)
		return NULL;
	ring->fd = (int)syscall(__NR_io_uring_setup, DATAGRAM_RING_SIZE, &parameters);
	if (ring->fd != -1 && (parameters.features & needed) == needed &&
		map_queues(ring, &parameters) == 0 && restrict_to_sending(ring->fd) == 0)
		return ring;
	datagram_ring_free(ring);
	return NULL;
}

void datagram_ring_free(struct datagram_ring *ring)
{
	if (ring == NULL)
		return;
	if (ring->queues != NULL)
		munmap(ring->queues, ring->queues_size);
	if (ring->entries != NULL)
		munmap(ring->entries, ring->entries_size);
	if (ring->fd != -1)
		close(ring->fd);
	free(ring);
}

void datagram_ring_add(struct datagram_ring *ring, int fd, const void *data, size_t length)
{
	unsigned *tail = word_at(ring, ring->sent.tail);
	unsigned place = *tail & *word_at(ring, ring->sent.ring_mask);

	ring->entries[place] = (struct io_uring_sqe){.opcode = IORING_OP_SEND,
		.flags = IOSQE_CQE_SKIP_SUCCESS,
		.fd = fd,
		.addr = (uint64_t)(uintptr_t)data,
		.len = (uint32_t)length,
		.msg_flags = MSG_DONTWAIT,
		.user_data = ring->count++};
	word_at(ring, ring->sent.array)[place] = place;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

/* Hands entries to the kernel. Returns how many it took; errno says why it did not take all. */
static unsigned submit(const struct datagram_ring *ring)
{
	unsigned taken = 0;

	while (taken < ring->count) {
		long now =
			syscall(__NR_io_uring_enter, ring->fd, ring->count - taken, 0, 0, NULL, 0);

		if (now == -1 && errno == EINTR)
			continue;
		if (now <= 0)
			break;
		taken += (unsigned)now;
	}
	return taken;
}

static void take_results(const struct datagram_ring *ring, int *errors)
{
	const struct io_uring_cqe *results = (void *)(ring->queues + ring->results.cqes);
	unsigned mask = *word_at(ring, ring->results.ring_mask);
	unsigned *head = word_at(ring, ring->results.head), next = *head;
	unsigned tail = __atomic_load_n(word_at(ring, ring->results.tail), __ATOMIC_ACQUIRE);

	for (; next != tail; next++)
		errors[results[next & mask].user_data] = -results[next & mask].res;
	__atomic_store_n(head, next, __ATOMIC_RELEASE);
}

unsigned datagram_ring_send(struct datagram_ring *ring, int errors[DATAGRAM_RING_SIZE])
{
	unsigned count = ring->count, taken = submit(ring), *tail = word_at(ring, ring->sent.tail);
	int error = errno;

	memset(errors, 0, count * sizeof(*errors));
	take_results(ring, errors);
	for (unsigned i = taken; i < count; i++)
		errors[i] = error;
	*tail -= count - taken;
	ring->count = 0;
	return count;
}

#else /* Headers of a kernel without. */

struct datagram_ring *datagram_ring_new(void)
{
	return NULL;
}

void datagram_ring_free(struct datagram_ring *ring)
{
	(void)ring;
}

void datagram_ring_add(struct datagram_ring *ring, int fd, const void *data, size_t length)
{
	(void)ring;
	(void)fd;
	(void)data;
	(void)length;
}

unsigned datagram_ring_send(struct datagram_ring *ring, int errors[DATAGRAM_RING_SIZE])
{
	(void)ring;
	(void)errors;
	return 0;
}

#endif
