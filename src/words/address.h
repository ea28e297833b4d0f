/* Addresses as HAProxy writes them: ADDRESS:PORT, with its short forms (HAProxy manual, Address formats). */
#ifndef TPROXY_WORDS_ADDRESS_H
#define TPROXY_WORDS_ADDRESS_H

#include "tproxy/addr.h"
#include "tproxy/lookup.h"

enum address_options {
	PORT_REQUIRED = 1 << 0, /* there must be a port, and it is not 0 */
	PORT_RANGE = 1 << 1,    /* FIRST-LAST is possible */
	DATAGRAMS = 1 << 2,     /* for UDP, else for TCP: which prefixes fit */
	NAMES = 1 << 3,         /* a host's name is possible */
};

struct address {
	struct addr addr; /* with its first port, or 0 */
	uint16_t last_port;
	int family; /* of NAMES: of what the name is to be looked up as, or AF_UNSPEC */
	char name
		[LOOKUP_NAME_MAX]; /* of NAMES: the name in place of an address, which is then not set but for its port; or empty */
};

/*
 * Reads TEXT, which is at most one line; OPTIONS are of enum address_options. Returns NULL, or what is wrong
 * with the text, as a constant; *ADDRESS is then undefined.
 */
const char *address_parse(const char *text, unsigned options, struct address *address);

#endif
