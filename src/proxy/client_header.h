/*
 * The PROXY header that a client sends first: it is taken from the client's socket, and no byte behind it is.
 */
#ifndef PROXY_CLIENT_HEADER_H
#define PROXY_CLIENT_HEADER_H

#include "servers/reason.h"
#include "tproxy/proxy_header.h"

/* What has come of a header. A zeroed one is valid at its start. */
struct client_header {
	char *bytes;
	size_t length, room;
};

enum client_header_result {
	CLIENT_HEADER_PARTIAL, /* the rest has not come; the socket is empty */
	CLIENT_HEADER_WHOLE,
	CLIENT_HEADER_FAILED
};

/*
 * Reads from FD, a non-blocking socket, what has come. WHOLE: FOUND is filled, and the next byte of FD is the client's
 * first. FAILED: REASON says why, and ERROR is the errno behind it or 0.
 */
enum client_header_result client_header_read(struct client_header *header, int fd,
	struct proxy_header *found, enum reason *reason, int *error);

/* Frees what was read. May be called again. */
void client_header_clear(struct client_header *header);

#endif
