/*
 * Capabilities of sockets, each tried by using it.
 */
#ifndef TPROXY_SOCKET_PROBES_H
#define TPROXY_SOCKET_PROBES_H

#include "hoststate/capability.h"

/*
 * Tries the capabilities that need no other host and no packet rules, and notes each in FINDINGS. The process
 * is on a scratch host with its link lo up. OWN_USERS: it is in a user namespace of its own.
 */
void probe_sockets(struct findings *findings, bool own_users);

/*
 * Whether a socket with the mark 1 is routed to an address that has no other route. Needs the policy rule and
 * the table of the set-up. Returns 0, or -1 with errno.
 */
int probe_marked_route(int family);

/* The same for a socket without a mark, which has no route in the set-up. */
int probe_unmarked_route(int family);

#endif
