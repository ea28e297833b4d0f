/* Addresses as HAProxy writes them: ADDRESS:PORT, with its short forms. */
#ifndef TPROXY_CONFIG_ADDRESS_H
#define TPROXY_CONFIG_ADDRESS_H

#include "tproxy/addr.h"

enum address_options {
	PORT_REQUIRED = 1 << 0, /* there must be a port, and it is not 0 */
	PORT_RANGE = 1 << 1,    /* FIRST-LAST is possible */
	DATAGRAMS = 1 << 2,     /* for UDP, else for TCP: which prefixes fit */
};

struct address {
	struct addr addr; /* with its first port, or 0 */
	uint16_t last_port;
};

/* Reads an address of at most one line. Returns NULL, or what is wrong with the text. */
const char *address_parse(const char *text, unsigned options, struct address *address);

#endif
