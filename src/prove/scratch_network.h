/*
 * Three scratch hosts in a row: client, proxy, server, and the routing that the proxy's host needs.
 *
 *     client 198.51.100.10 --- .1 proxy .1 --- 203.0.113.20 server
 *            2001:db8:c::10      ::1      ::1  2001:db8:5::20
 *
 * Client and server send everything to the proxy's host, which does not forward: what reaches the
 * other side went through sockets. 192.0.2.0/24 and 2001:db8:f::/64 are on no link.
 */
#ifndef TPROXY_SCRATCH_NETWORK_H
#define TPROXY_SCRATCH_NETWORK_H

#include "hoststate/capability.h"

struct scratch_network {
	int client, proxy, server; /* as scratch_host() returns them */
};

/* Addresses by family: IPv4, IPv6. */
extern const char *const scratch_network_client[2], *const scratch_network_server[2];
extern const char *const scratch_network_vip[2];       /* on no host and no link */
extern const char *const scratch_network_elsewhere[2]; /* the same, and no proxy is bound to it */
extern const char
	*const scratch_network_local[2]; /* the same, with a local route on the proxy's host */

/*
 * Makes the hosts and notes in FINDINGS whether links, policy rules and local routes work. CAPABILITY_IPV6 has
 * to be tried before. Returns false if the links do not work; NETWORK may have descriptors then, too. They stay
 * open until the process ends. The process is on the proxy's host afterwards.
 */
bool scratch_network_build(struct scratch_network *network, struct findings *findings);

#endif
