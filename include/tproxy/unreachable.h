/*
 * "Destination unreachable": an ICMP error about a client's datagram, as the host that it was sent to would report it
 * (RFC 792; RFC 4443 section 3.1).
 */
#ifndef TPROXY_UNREACHABLE_H
#define TPROXY_UNREACHABLE_H

#include "tproxy/addr.h"

enum unreachable {
	UNREACHABLE_NETWORK, /* there is no route */
	UNREACHABLE_HOST,
	UNREACHABLE_PORT, /* no program receives there */
};

/*
 * Reports to CLIENT that a datagram of its to DESTINATION did not arrive; the report comes from DESTINATION, which need
 * not be an address of this host. Both are of one family, never mapped. Needs CAP_NET_RAW. Returns 0, or -1 with errno.
 */
int unreachable_report(
	enum unreachable what, const struct addr *client, const struct addr *destination);

#endif
