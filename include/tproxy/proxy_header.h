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
	PROXY_HEADER_WRITTEN_MAX = PROXY_HEADER_LONGEST_LINE, /* room for proxy_header_write() */
	PROXY_FIELD_HEAD = 3,                                 /* of a field, before its value */
	PROXY_AUTHORITY_MAX = 255,
	PROXY_UNIQUE_ID_MAX = 128, /* section 2.2.5 */
	PROXY_CHECKSUM_LENGTH = 4
};

/* Types of fields behind the addresses of version 2 (section 2.2). */
enum proxy_field_type {
	PROXY_FIELD_AUTHORITY = 0x02, /* the name of the host that the client asked for */
	PROXY_FIELD_CRC32C = 0x03,    /* a checksum of the header */
	PROXY_FIELD_UNIQUE_ID = 0x05, /* what tells the connection from all others */
};

/* The value of a field, part of other bytes; length 0: none, or an empty one. */
struct proxy_field {
	const char *value;
	size_t length;
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
	 * names none (LOCAL, UNKNOWN): then the connection's own addresses hold.
	 */
	struct addr source, destination;
	struct proxy_field authority, unique_id; /* WHOLE: parts of the bytes that were read */
	const char *problem;                     /* MALFORMED: what is wrong, for a log. Static. */
};

/*
 * Reads a header of either version from the first LENGTH bytes of DATA, and fills HEADER. Bytes behind the header do
 * not matter. A version 2 header with a CRC32C is MALFORMED where that is wrong (section 2.2.3). So is one that relays a
 * connection other than TCP over IPv4 or IPv6: a receiver may refuse it (section 2.2), and HAProxy does.
 */
enum proxy_header_state proxy_header_parse(
	struct proxy_header *header, const void *data, size_t length);

/*
 * The same for a datagram, whose LENGTH bytes at DATA begin with a header of version 2, for UDP over IPv4 or IPv6. Nothing
 * follows that could complete it, so one that is cut is MALFORMED, too.
 */
enum proxy_header_state proxy_header_parse_datagram(
	struct proxy_header *header, const void *data, size_t length);

/*
 * Writes a header of VERSION (V1 or V2) that names a TCP connection from SOURCE to DESTINATION. Where their families
 * differ, the IPv4 address is written IPv4-mapped. Returns its length; there is no final NUL.
 */
size_t proxy_header_write(char text[PROXY_HEADER_WRITTEN_MAX], enum proxy_header_version version,
	const struct addr *source, const struct addr *destination);

/* Writes the header of version 2 that names no client: the connection is the proxy's own (LOCAL, section 2.2). */
size_t proxy_header_write_local(char text[PROXY_HEADER_WRITTEN_MAX]);

/*
 * The same for a datagram (UDP over IPv4 or IPv6, section 2.2). It is of version 2: version 1 has no word for UDP. Each
 * datagram has its own header, since each may be the first one that arrives.
 */
size_t proxy_header_write_datagram(char text[PROXY_HEADER_WRITTEN_MAX], const struct addr *source,
	const struct addr *destination);

/*
 * Adds a field to the LENGTH bytes of a version 2 header at TEXT, which has ROOM. Returns the new length; it is LENGTH where
 * there is no room.
 */
size_t proxy_header_add(char *text, size_t length, size_t room, unsigned type, const void *value,
	size_t value_length);

/* Puts the checksum of the LENGTH bytes at TEXT into their field of that type, whose value is 0 so far. */
void proxy_header_sum(char *text, size_t length);

#endif
