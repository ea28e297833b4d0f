/*
 * Names of hosts to addresses, for the configuration.
 *
 * How a name is looked up differs: a program that starts asks the C library, and a daemon that has given up opening files
 * asks another process. The program says which; before it does, no name is found. For the main thread alone.
 */
#ifndef TPROXY_LOOKUP_H
#define TPROXY_LOOKUP_H

#include "tproxy/addr.h"

enum {
	LOOKUP_NAME_MAX = 254 /* bytes of a name with its NUL (RFC 1035, section 2.3.4) */
};

/*
 * Looks NAME up, for addresses of FAMILY, or of any (AF_UNSPEC). Returns NULL and fills *FOUND, with port 0, or returns what
 * went wrong, for a person; that text is valid until the next call.
 */
typedef const char *(*lookup_way)(void *context, const char *name, int family, struct addr *found);

/* The way of the C library, by getaddrinfo(3), which reads files and asks servers; it may take many seconds. */
const char *lookup_by_library(void *context, const char *name, int family, struct addr *found);

/* From now on lookup_name() goes that way. NULL: no name is found. */
void lookup_use(lookup_way way, void *context);

const char *lookup_name(const char *name, int family, struct addr *found);

/* Whether TEXT is written as the name of a host, and cannot be a number that was mistyped. */
bool lookup_is_name(const char *text);

#endif
