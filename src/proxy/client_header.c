/*
 * Reads a PROXY header from a client's socket.
 *
 * How long a header is shows only when it is there. So bytes are looked at first (MSG_PEEK), and then as many are taken
 * as belong to the header: what is behind it stays in the socket, and relaying begins there as for any other client,
 * by splice(), too. Bytes of a header that is not whole are taken as well. The trap: left in the socket, they would
 * make its event fire without end.
 *
 * The buffer grows with what came, never with what a length announces: a client that announces 64 KiB holds as much
 * memory as it has sent.
 */
#include "client_header.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	ROOM_MIN = 128 /* for every line, and for nearly every binary header */
};

static bool make_room(struct client_header *header)
{
	size_t room = header->room == 0 ? ROOM_MIN : header->room * 2;
	char *bytes;

	if (header->length < header->room)
		return true;
	bytes = realloc(header->bytes, room);
	if (bytes == NULL)
		return false;
	header->bytes = bytes;
	header->room = room;
	return true;
}

static enum client_header_result failed(enum reason *reason, enum reason why)
{
	*reason = why;
	return CLIENT_HEADER_FAILED;
}

/* Takes COUNT bytes that were looked at, to the end of what was taken before. */
static bool take(struct client_header *header, int fd, size_t count)
{
	if (recv(fd, header->bytes + header->length, count, 0) != (ssize_t)count)
		return false;
	header->length += count;
	return true;
}

static enum client_header_result read_failed(ssize_t got, enum reason *reason, int *error)
{
	if (got == 0)
		return failed(reason, REASON_HEADER_CUT);
	if (errno == EAGAIN || errno == EINTR)
		return CLIENT_HEADER_PARTIAL;
	*error = errno;
	return failed(reason, REASON_CLIENT_RESET);
}

enum client_header_result client_header_read(struct client_header *header, int fd,
	struct proxy_header *found, enum reason *reason, int *error)
{
	enum proxy_header_state state = proxy_header_parse(found, header->bytes, header->length);

	*error = 0;
	while (state == PROXY_HEADER_PARTIAL) {
		size_t wanted = found->length - header->length, room;
		ssize_t got;

		if (!make_room(header))
			return failed(reason, REASON_MEMORY);
		room = header->room - header->length;
		got = recv(fd, header->bytes + header->length, wanted < room ? wanted : room,
			MSG_PEEK);
		if (got <= 0)
			return read_failed(got, reason, error);
		state = proxy_header_parse(found, header->bytes, header->length + (size_t)got);
		if (state == PROXY_HEADER_WHOLE)
			got = (ssize_t)(found->length - header->length);
		if (!take(header, fd, (size_t)got))
			return failed(reason, REASON_CLIENT_RESET);
	}
	return state == PROXY_HEADER_WHOLE ? CLIENT_HEADER_WHOLE
					   : failed(reason, REASON_HEADER_MALFORMED);
}

void client_header_clear(struct client_header *header)
{
	free(header->bytes);
	*header = (struct client_header){0};
}
