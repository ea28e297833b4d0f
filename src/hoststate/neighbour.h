/*
 * Whether a neighbour answers when this host asks for its link-layer address (ARP, neighbour discovery).
 */
#ifndef TPROXY_NEIGHBOUR_H
#define TPROXY_NEIGHBOUR_H

#include "tproxy/addr.h"

#include <stdbool.h>

/*
 * Whether the kernel asked for ADDRESS on LINK and got no answer, or none yet. False where it has one, never asked, or
 * does not say.
 */
bool neighbour_is_silent(const struct addr *address, const char *link);

#endif
