/*
 * The PROXY protocol: the header that names the client whose connection a proxy relays.
 *
 * Both versions are read and written as HAProxy's proxy-protocol.txt (revision 2020/03/05) says; section numbers
 * below are its. These are pure functions over bytes: they open, allocate and remember nothing.
 */
#ifndef TPROXY_PROXY_HEADER_H
#define TPROXY_PROXY_HEADER_H

#include "tproxy/addr.h"

#include <stddef.h>

enum {
	PROXY_HEADER_LONGEST_LINE = 107, /* bytes of a version 1 header (section 2.1) */
	PROXY_HEADER_FIXED = 16, /* of a version 2 header, before its addresses (section 2.2) */
	PROXY_HEADER_WRITTEN_MAX = PROXY_HEADER_LONGEST_LINE /* room for proxy_header_write() */
};

enum proxy_header_version {
	PROXY_HEADER_NONE,
	PROXY_HEADER_V1, /* a line of text */
	PROXY_HEADER_V2  /* binary */
};

enum proxy_header_state {
	PROXY_HEADER_PARTIAL, /* right so far; more bytes must come */
	PROXY_HEADER_WHOLE,
	PROXY_HEADER_MALFORMED
};

struct proxy_header {
	/*
	 * WHOLE: bytes of the header; what follows is the client's. PARTIAL: bytes that it has at most, as far as
	 * can be known now.
	 */
	size_t length;
	/*
	 * WHOLE: the addresses that the header names, IPv4-mapped ones as IPv4. The family is AF_UNSPEC where it
	 * names none (LOCAL, UNKNOWN) or none of TCP: then the connection's own addresses hold.
	 */
	struct addr source, destination;
	const char *problem; /* MALFORMED: what is wrong, for a log. Static. */
};

/*
 * Reads a header of either version from the first LENGTH bytes of DATA, and fills HEADER. Bytes behind the header do
 * not matter. A version 2 header with a CRC32C is MALFORMED where that is wrong (section 2.2.3).
 */
enum proxy_header_state proxy_header_parse(
	struct proxy_header *header, const void *data, size_t length);

/*
 * Writes a header of VERSION (V1 or V2) that names a TCP connection from SOURCE to DESTINATION. Where their families
 * differ, the IPv4 address is written IPv4-mapped. Returns its length; there is no final NUL.
 */
size_t proxy_header_write(char text[PROXY_HEADER_WRITTEN_MAX], enum proxy_header_version version,
	const struct addr *source, const struct addr *destination);

#endif
