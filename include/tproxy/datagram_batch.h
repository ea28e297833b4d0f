/*
 * Many datagrams by one system call: a row of places, each with room for the largest datagram and its addresses.
 *
 * Places are received into, and may then be sent as they are, to another address.
 */
#ifndef TPROXY_DATAGRAM_BATCH_H
#define TPROXY_DATAGRAM_BATCH_H

#include "tproxy/addr.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	DATAGRAM_BATCH_SIZE = 64,
	DATAGRAM_PREFIX_MAX = 128
};

struct datagram_batch;

/* Returns NULL without memory. Memory of places that are never used is never there. */
struct datagram_batch *datagram_batch_new(void);

/* NULL is allowed. */
void datagram_batch_free(struct datagram_batch *batch);

/*
 * Receives up to COUNT datagrams into the places from FIRST on; FIRST + COUNT is at most DATAGRAM_BATCH_SIZE. Returns how
 * many there were, at least 1, or -1 with the errno of recvmmsg(2): EAGAIN without a datagram.
 */
int datagram_batch_receive(struct datagram_batch *batch, unsigned first, unsigned count, int fd);

/*
 * Receives one datagram into PLACE at a socket that is connected, so that the addresses are known, and that does not join
 * datagrams. The addresses are not kept. Returns 1, or -1 with errno. No call costs less.
 */
int datagram_batch_receive_one(struct datagram_batch *batch, unsigned place, int fd);

/* As datagram_batch_receive(), at a socket that is connected, and may join datagrams; the addresses are not kept. */
int datagram_batch_receive_connected(
	struct datagram_batch *batch, unsigned first, unsigned count, int fd);

/*
 * Lets the kernel put several datagrams of one size into a place, at a socket that is read by
 * datagram_batch_receive_connected(): they leave as the datagrams that they were. Returns 0, or -1 where it cannot.
 */
int datagram_batch_join(int fd);

/* The bytes of a place, and how many there are. */
const void *datagram_batch_data(const struct datagram_batch *batch, unsigned place);
size_t datagram_batch_length(const struct datagram_batch *batch, unsigned place);

/*
 * The addresses of a received datagram, as datagram_receive() sets them. False: its source is not of IPv4 or IPv6, or
 * the kernel did not report its destination.
 */
bool datagram_batch_addresses(
	struct datagram_batch *batch, unsigned place, struct addr *from, struct addr *destination);

/* Where a received datagram came from. False: its source is not of IPv4 or IPv6. */
bool datagram_batch_source(const struct datagram_batch *batch, unsigned place, struct addr *from);

/* The index of the interface by which a received datagram came; 0: not reported. */
unsigned datagram_batch_interface(struct datagram_batch *batch, unsigned place);

/*
 * Says where a place is to be sent to; without TO, to the peer that the socket is connected to. With FROM it leaves from that address, and from the port of the socket that it is
 * sent by; an address that is not this host's needs a transparent socket. Without, the kernel chooses the address.
 * FROM needs TO.
 */
void datagram_batch_address(struct datagram_batch *batch, unsigned place, const struct addr *to,
	const struct addr *from);

/* Puts LENGTH bytes, at most DATAGRAM_PREFIX_MAX, in front of those of a received place; once. */
void datagram_batch_prefix(
	struct datagram_batch *batch, unsigned place, const void *data, size_t length);

/* Takes LENGTH bytes off the front of a received place, which has as many. */
void datagram_batch_cut_front(struct datagram_batch *batch, unsigned place, size_t length);

/*
 * Sends the places from FIRST to before END, in their order, until one cannot be sent; each is a datagram of its own. May
 * leave some for a next call. Returns how many were; 0, with
 * the errno of sendmmsg(2), where it was the first.
 */
unsigned datagram_batch_send(struct datagram_batch *batch, unsigned first, unsigned end, int fd);

#endif
