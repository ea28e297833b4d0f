/*
 * recvmmsg() and sendmmsg() over one array of message headers.
 *
 * Datagrams of one size to one address, one behind the other, leave as one message, which the kernel cuts into datagrams
 * again as late as it can (UDP_SEGMENT, udp(7)): the way through the network's layers, which is most of what a datagram
 * costs, is gone once for all of them. Only the last may be shorter. What the kernel refuses so is sent one by one: it
 * cuts to no more than a packet, and not every interface can. A connected socket may get datagrams in the same form
 * (UDP_GRO), in one place, from which they leave as they came.
 *
 * The trap: the kernel changes the headers. A received one has the lengths of its addresses where the room was, so these
 * are set anew before each call.
 */
#include "tproxy/datagram_batch.h"

#include "datagram_message.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	DATAGRAM_ROOM = 65536, /* no datagram of UDP is longer */
	PLACE_ROOM = DATAGRAM_PREFIX_MAX + DATAGRAM_ROOM,
	SEGMENT_MAX = 1472, /* a packet of Ethernet has no room for more */
	SEGMENTS_MAX =
		44, /* of 1472 bytes: a message has no more bytes than a datagram, and at most 64 segments */
};

struct place {
	struct addr peer;               /* as the kernel wrote it */
	union datagram_control control; /* has a member without a size, so it is the last */
};

struct datagram_batch {
	struct mmsghdr headers[DATAGRAM_BATCH_SIZE];
	/* Of one place each; those of neighbours make a message. */
	struct iovec parts[DATAGRAM_BATCH_SIZE];
	size_t segments
		[DATAGRAM_BATCH_SIZE]; /* how long each datagram of a place is but the last; 0: it has one */
	struct place places[DATAGRAM_BATCH_SIZE];
	char *data;
};

struct datagram_batch *datagram_batch_new(void)
{
	struct datagram_batch *batch = calloc(1, sizeof(*batch));

	if (batch == NULL)
		return NULL;
	batch->data = malloc((size_t)DATAGRAM_BATCH_SIZE * PLACE_ROOM);
	if (batch->data == NULL) {
		free(batch);
		return NULL;
	}
	return batch;
}

void datagram_batch_free(struct datagram_batch *batch)
{
	if (batch == NULL)
		return;
	free(batch->data);
	free(batch);
}

/* Makes a header with all of its place's room. */
static struct msghdr *set_header(struct datagram_batch *batch, unsigned i)
{
	struct place *place = &batch->places[i];
	struct msghdr *header = &batch->headers[i].msg_hdr;

	*header = (struct msghdr){.msg_name = &place->peer,
		.msg_namelen = sizeof(place->peer),
		.msg_iov = &batch->parts[i],
		.msg_iovlen = 1,
		.msg_control = &place->control,
		.msg_controllen = sizeof(place->control)};
	return header;
}

/* Makes the part of a place that is to be received into: all of its room. */
static struct iovec *set_part(struct datagram_batch *batch, unsigned i)
{
	char *place = batch->data + (size_t)i * PLACE_ROOM;

	batch->segments[i] = 0;
	batch->parts[i] = (struct iovec){place + DATAGRAM_PREFIX_MAX, DATAGRAM_ROOM};
	return &batch->parts[i];
}

int datagram_batch_receive(struct datagram_batch *batch, unsigned first, unsigned count, int fd)
{
	int received;

	for (unsigned i = first; i < first + count; i++) {
		set_header(batch, i);
		set_part(batch, i);
	}
	received = recvmmsg(fd, &batch->headers[first], count, MSG_DONTWAIT, NULL);
	for (int i = 0; i < received; i++)
		batch->parts[first + (unsigned)i].iov_len =
			batch->headers[first + (unsigned)i].msg_len;
	return received;
}

int datagram_batch_join(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
}

/* Notes the length of a place that was received from a connected socket, and how it is cut. */
static void take_connected(struct datagram_batch *batch, unsigned place)
{
	struct mmsghdr *header = &batch->headers[place];
	struct cmsghdr *part = CMSG_FIRSTHDR(&header->msg_hdr);
	int size;

	batch->parts[place].iov_len = header->msg_len;
	if (part == NULL || part->cmsg_level != SOL_UDP || part->cmsg_type != UDP_GRO)
		return;
	memcpy(&size, CMSG_DATA(part), sizeof(size));
	if (size > 0 && (size_t)size < header->msg_len)
		batch->segments[place] = (size_t)size;
}

int datagram_batch_receive_one(struct datagram_batch *batch, unsigned place, int fd)
{
	struct iovec *part = set_part(batch, place);
	ssize_t length = recv(fd, part->iov_base, part->iov_len, MSG_DONTWAIT);

	if (length == -1)
		return -1;
	part->iov_len = (size_t)length;
	return 1;
}

int datagram_batch_receive_connected(
	struct datagram_batch *batch, unsigned first, unsigned count, int fd)
{
	struct mmsghdr *headers = &batch->headers[first];
	int received;

	for (unsigned i = 0; i < count; i++)
		headers[i].msg_hdr = (struct msghdr){.msg_iov = set_part(batch, first + i),
			.msg_iovlen = 1,
			.msg_control = &batch->places[first + i].control,
			.msg_controllen = CMSG_SPACE(sizeof(int))};
	if (count == 1) {
		ssize_t length = recvmsg(fd, &headers->msg_hdr, MSG_DONTWAIT);

		headers->msg_len = length == -1 ? 0 : (unsigned)length;
		received = length == -1 ? -1 : 1;
	} else {
		received = recvmmsg(fd, headers, count, MSG_DONTWAIT, NULL);
	}
	for (int i = 0; i < received; i++)
		take_connected(batch, first + (unsigned)i);
	return received;
}

const void *datagram_batch_data(const struct datagram_batch *batch, unsigned place)
{
	return batch->parts[place].iov_base;
}

size_t datagram_batch_length(const struct datagram_batch *batch, unsigned place)
{
	return batch->parts[place].iov_len;
}

bool datagram_batch_source(const struct datagram_batch *batch, unsigned place, struct addr *from)
{
	return addr_from_sockaddr(from, &batch->places[place].peer.sa);
}

bool datagram_batch_addresses(
	struct datagram_batch *batch, unsigned place, struct addr *from, struct addr *destination)
{
	*destination = addr_any(AF_UNSPEC);
	datagram_read_destination(&batch->headers[place].msg_hdr, destination);
	return addr_from_sockaddr(from, &batch->places[place].peer.sa) &&
	       addr_family(destination) != AF_UNSPEC;
}

unsigned datagram_batch_interface(struct datagram_batch *batch, unsigned place)
{
	return datagram_read_interface(&batch->headers[place].msg_hdr);
}

void datagram_batch_address(struct datagram_batch *batch, unsigned place, const struct addr *to,
	const struct addr *from)
{
	struct msghdr *header = set_header(batch, place);

	header->msg_namelen = to == NULL ? 0 : addr_length(to);
	if (to != NULL)
		batch->places[place].peer = *to;
	if (from == NULL)
		header->msg_controllen = 0;
	else
		datagram_write_source(header, addr_family(to), from);
}

void datagram_batch_prefix(
	struct datagram_batch *batch, unsigned place, const void *data, size_t length)
{
	struct iovec *part = &batch->parts[place];

	part->iov_base = (char *)part->iov_base - length;
	part->iov_len += length;
	memcpy(part->iov_base, data, length);
}

void datagram_batch_cut_front(struct datagram_batch *batch, unsigned place, size_t length)
{
	struct iovec *part = &batch->parts[place];

	part->iov_base = (char *)part->iov_base + length;
	part->iov_len -= length;
}

/* --- sending --- */

/* Whether PLACE goes where the one before it does. */
static bool has_the_same_way(const struct datagram_batch *batch, unsigned place)
{
	const struct msghdr *one = &batch->headers[place - 1].msg_hdr;
	const struct msghdr *other = &batch->headers[place].msg_hdr;

	return one->msg_namelen == other->msg_namelen &&
	       one->msg_controllen == other->msg_controllen &&
	       memcmp(one->msg_name, other->msg_name, one->msg_namelen) == 0 &&
	       memcmp(one->msg_control, other->msg_control, one->msg_controllen) == 0;
}

/* How many places from FIRST on leave as one message. */
static unsigned count_segments(const struct datagram_batch *batch, unsigned first, unsigned end)
{
	size_t size = batch->parts[first].iov_len;
	unsigned last = first;

	if (batch->segments[first] != 0)
		return 1;
	while (size <= SEGMENT_MAX && last + 1 < end && last + 1 - first < SEGMENTS_MAX &&
		batch->parts[last].iov_len == size && batch->parts[last + 1].iov_len > 0 &&
		batch->parts[last + 1].iov_len <= size && batch->segments[last + 1] == 0 &&
		has_the_same_way(batch, last + 1))
		last++;
	return last + 1 - first;
}

/* Makes the header of a message of COUNT places; its control messages are those of the first, and the segments' size. */
static void set_message(
	struct datagram_batch *batch, struct mmsghdr *message, unsigned first, unsigned count)
{
	bool is_cut = batch->segments[first] != 0;
	uint16_t size = (uint16_t)(is_cut ? batch->segments[first] : batch->parts[first].iov_len);
	struct msghdr *header = &message->msg_hdr;
	struct cmsghdr *part;

	*header = batch->headers[first].msg_hdr;
	if (count == 1 && !is_cut)
		return;
	header->msg_iovlen = count;
	part = (struct cmsghdr *)(void *)((char *)header->msg_control + header->msg_controllen);
	*part = (struct cmsghdr){.cmsg_level = SOL_UDP,
		.cmsg_type = UDP_SEGMENT,
		.cmsg_len = CMSG_LEN(sizeof(size))};
	memcpy(CMSG_DATA(part), &size, sizeof(size));
	header->msg_controllen += CMSG_SPACE(sizeof(size));
}

/* Whether datagrams that could not leave as one message may leave one by one. */
static bool is_of_the_message(int error)
{
	return error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP;
}

/* Without a header the kernel has less to read. */
static unsigned send_one(struct datagram_batch *batch, unsigned place, int fd)
{
	const struct msghdr *header = &batch->headers[place].msg_hdr;

	return sendto(fd, batch->parts[place].iov_base, batch->parts[place].iov_len, MSG_DONTWAIT,
		       header->msg_namelen == 0 ? NULL : header->msg_name,
		       header->msg_namelen) == -1
		       ? 0
		       : 1;
}

/* Sends the datagrams of one place one by one. Returns 1, or 0 where the first could not be sent. */
static unsigned send_pieces(struct datagram_batch *batch, unsigned place, int fd)
{
	struct iovec piece = {batch->parts[place].iov_base, 0};
	struct msghdr header = batch->headers[place].msg_hdr;
	size_t left = batch->parts[place].iov_len, size = batch->segments[place];
	unsigned sent = 0;

	header.msg_iov = &piece;
	for (; left > 0; left -= piece.iov_len) {
		piece.iov_len = left < size ? left : size;
		if (sendmsg(fd, &header, MSG_DONTWAIT) == -1 && sent == 0)
			return 0;
		sent = 1;
		piece.iov_base = (char *)piece.iov_base + piece.iov_len;
	}
	return sent;
}

/* The places from FIRST on that could not leave as one message. */
static unsigned send_singly(struct datagram_batch *batch, unsigned first, unsigned count, int fd)
{
	int sent;

	if (batch->segments[first] != 0)
		return send_pieces(batch, first, fd);
	sent = sendmmsg(fd, &batch->headers[first], count, MSG_DONTWAIT);
	return sent == -1 ? 0 : (unsigned)sent;
}

unsigned datagram_batch_send(struct datagram_batch *batch, unsigned first, unsigned end, int fd)
{
	struct mmsghdr messages[DATAGRAM_BATCH_SIZE];
	unsigned counts[DATAGRAM_BATCH_SIZE], made = 0, places = 0;
	int sent;

	if (end - first == 1 && batch->segments[first] == 0 &&
		batch->headers[first].msg_hdr.msg_controllen == 0)
		return send_one(batch, first, fd);
	for (unsigned place = first; place < end; place += counts[made++]) {
		counts[made] = count_segments(batch, place, end);
		set_message(batch, &messages[made], place, counts[made]);
	}
	sent = sendmmsg(fd, messages, made, MSG_DONTWAIT);
	if (sent == -1 && made > 0 && (counts[0] > 1 || batch->segments[first] != 0) &&
		is_of_the_message(errno))
		return send_singly(batch, first, counts[0], fd);
	for (unsigned i = 0; i < made && (int)i < sent; i++)
		places += counts[i];
	return places;
}
