/*
 * recvmmsg() and sendmmsg() over one array of message headers.
 *
 * The trap: the kernel changes the headers. A received one has the lengths of its addresses where the room was, so these
 * are set anew before each call.
 */
#include "tproxy/datagram_batch.h"

#include "datagram_message.h"

#include <stdlib.h>
#include <string.h>

enum {
	DATAGRAM_ROOM = 65536 /* no datagram of UDP is longer */
};

struct place {
	struct sockaddr_storage peer;
	struct iovec part;
	union datagram_control control; /* has a member without a size, so it is the last */
};

struct datagram_batch {
	struct mmsghdr headers[DATAGRAM_BATCH_SIZE];
	struct place places[DATAGRAM_BATCH_SIZE];
	char *data;
};

struct datagram_batch *datagram_batch_new(void)
{
	struct datagram_batch *batch = calloc(1, sizeof(*batch));

	if (batch == NULL)
		return NULL;
	batch->data = malloc((size_t)DATAGRAM_BATCH_SIZE * DATAGRAM_ROOM);
	if (batch->data == NULL) {
		free(batch);
		return NULL;
	}
	for (size_t i = 0; i < DATAGRAM_BATCH_SIZE; i++)
		batch->places[i].part.iov_base = batch->data + i * DATAGRAM_ROOM;
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
		.msg_iov = &place->part,
		.msg_iovlen = 1,
		.msg_control = &place->control,
		.msg_controllen = sizeof(place->control)};
	return header;
}

int datagram_batch_receive(struct datagram_batch *batch, unsigned first, unsigned count, int fd)
{
	int received;

	for (unsigned i = first; i < first + count; i++) {
		set_header(batch, i);
		batch->places[i].part.iov_len = DATAGRAM_ROOM;
	}
	received = recvmmsg(fd, &batch->headers[first], count, MSG_DONTWAIT, NULL);
	for (int i = 0; i < received; i++)
		batch->places[first + (unsigned)i].part.iov_len =
			batch->headers[first + (unsigned)i].msg_len;
	return received;
}

const void *datagram_batch_data(const struct datagram_batch *batch, unsigned place, size_t *length)
{
	*length = batch->places[place].part.iov_len;
	return batch->places[place].part.iov_base;
}

bool datagram_batch_addresses(
	struct datagram_batch *batch, unsigned place, struct addr *from, struct addr *destination)
{
	*destination = addr_any(AF_UNSPEC);
	datagram_read_destination(&batch->headers[place].msg_hdr, destination);
	return addr_from_sockaddr(from, (struct sockaddr *)&batch->places[place].peer) &&
	       addr_family(destination) != AF_UNSPEC;
}

void datagram_batch_address(struct datagram_batch *batch, unsigned place, const struct addr *to,
	const struct addr *from)
{
	struct msghdr *header = set_header(batch, place);

	memcpy(&batch->places[place].peer, &to->sa, addr_length(to));
	header->msg_namelen = addr_length(to);
	if (from == NULL)
		header->msg_controllen = 0;
	else
		datagram_write_source(header, addr_family(to), from);
}

unsigned datagram_batch_send(struct datagram_batch *batch, unsigned first, unsigned end, int fd)
{
	int sent = sendmmsg(fd, &batch->headers[first], end - first, MSG_DONTWAIT);

	return sent == -1 ? 0 : (unsigned)sent;
}
