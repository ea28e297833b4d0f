/*
 * Capabilities of sockets, each tried by using it.
 */
#ifndef TPROXY_PROBE_H
#define TPROXY_PROBE_H

#include "hoststate/capability.h"

/* Tries those that need no other host and no packet rules. The host is scratch, its link lo is up. */
void probe_sockets(struct findings *findings, bool own_users);

/*
 * Whether the host routes a marked socket to an address that it has no other route to. 0, or -1 with
 * errno. Needs the policy rule and the table of the set-up.
 */
int probe_marked_route(int family);

/* The same for a socket without a mark, which the set-up gives no route. */
int probe_unmarked_route(int family);

#endif
