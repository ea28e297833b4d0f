/*
 * A ring of io_uring, by liburing. Each entry is a send that does not wait, so it is done when the system call returns. Only those
 * that fail have a result (IOSQE_CQE_SKIP_SUCCESS), with the datagram's number.
 *
 * The ring is made disabled, so that its restrictions can be set: it sends, and does nothing else for any holder of its
 * descriptor.
 *
 * The trap: an entry that the kernel did not take stays in the queue, and would be sent with the next ones, whose bytes lie
 * elsewhere. It is taken back.
 */
#include "tproxy/datagram_ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct datagram_ring {
	struct io_uring uring;
	unsigned count; /* that were added */
};

/* Sending is all it does from now on. liburing 2.3 has functions for this, and its library does not export them. */
static bool restrict_to_sending(int fd)
{
	struct io_uring_restriction allowed[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SEND},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
			.sqe_flags = IOSQE_CQE_SKIP_SUCCESS},
	};

	return syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, allowed, 2) == 0 &&
	       syscall(SYS_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0;
}

struct datagram_ring *datagram_ring_new(void)
{
	const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_CQE_SKIP;
	struct io_uring_params parameters = {.flags = IORING_SETUP_R_DISABLED};
	struct datagram_ring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL)
		return NULL;
	if (io_uring_queue_init_params(DATAGRAM_RING_SIZE, &ring->uring, &parameters) != 0) {
		free(ring);
		return NULL;
	}
	if ((parameters.features & needed) == needed && restrict_to_sending(ring->uring.ring_fd))
		return ring;
	datagram_ring_free(ring);
	return NULL;
}

void datagram_ring_free(struct datagram_ring *ring)
{
	if (ring == NULL)
		return;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

void datagram_ring_add(struct datagram_ring *ring, int fd, const void *data, size_t length)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);

	io_uring_prep_send(entry, fd, data, length, MSG_DONTWAIT);
	io_uring_sqe_set_flags(entry, IOSQE_CQE_SKIP_SUCCESS);
	io_uring_sqe_set_data64(entry, ring->count++);
}

/* Hands entries to the kernel, which stops behind each that it refuses. Some are left where it takes none: it has no memory, say. */
static void submit(struct io_uring *uring)
{
	while (io_uring_sq_ready(uring) > 0) {
		int taken = io_uring_submit(uring);

		if (taken <= 0 && taken != -EINTR)
			return;
	}
}

static void take_results(struct io_uring *uring, int *errors)
{
	struct io_uring_cqe *result;
	unsigned head, seen = 0;

	io_uring_for_each_cqe(uring, head, result)
	{
		errors[result->user_data] = -result->res;
		seen++;
	}
	io_uring_cq_advance(uring, seen);
}

/* Takes back what the kernel did not take; liburing counts what it has shown to the kernel (sqe_head), too. Returns how many of COUNT entries it took. */
static unsigned take_back(struct io_uring *uring, unsigned count)
{
	unsigned left = io_uring_sq_ready(uring);

	uring->sq.sqe_tail -= left;
	uring->sq.sqe_head = uring->sq.sqe_tail;
	*uring->sq.ktail = uring->sq.sqe_tail;
	return count - left;
}

unsigned datagram_ring_send(struct datagram_ring *ring, int errors[DATAGRAM_RING_SIZE])
{
	unsigned taken;

	memset(errors, 0, ring->count * sizeof(*errors));
	submit(&ring->uring);
	take_results(&ring->uring, errors);
	taken = take_back(&ring->uring, ring->count);
	ring->count = 0;
	return taken;
}
