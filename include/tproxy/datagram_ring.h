/*
 * Datagrams of many connected sockets by one system call (io_uring(7)).
 *
 * A system call for each datagram lets the receiver's thread run first, each time; that costs more than the call. Not every
 * kernel or host has rings, so each user of one can do without.
 */
#ifndef TPROXY_DATAGRAM_RING_H
#define TPROXY_DATAGRAM_RING_H

#include <stdbool.h>
#include <stddef.h>

enum {
	DATAGRAM_RING_SIZE = 64
};

struct datagram_ring;

/*
 * Returns NULL where the kernel has none (Linux 5.17 has), where the host forbids them, or without memory. It can send, and the
 * kernel refuses everything else, so that it is no way out of a sandbox that forbids io_uring_setup(2). One thread uses
 * it, and any may have made it. It has one descriptor.
 */
struct datagram_ring *datagram_ring_new(void);

/* NULL is allowed. */
void datagram_ring_free(struct datagram_ring *ring);

/*
 * Adds a datagram of LENGTH bytes, which must stay there until datagram_ring_send(), for the peer of the connected socket
 * FD. There is room for DATAGRAM_RING_SIZE of them.
 */
void datagram_ring_add(struct datagram_ring *ring, int fd, const void *data, size_t length);

/*
 * Sends what was added, in that order. Returns how many of them, the first ones, the kernel took: all, unless it had no memory
 * or the like. ERRORS[i] is 0 for the one that was added as number i, or the errno with which it could not be sent. Those that
 * it did not take are not sent, and have to be sent in another way.
 */
unsigned datagram_ring_send(struct datagram_ring *ring, int errors[DATAGRAM_RING_SIZE]);

#endif
