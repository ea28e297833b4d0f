/*
 * A set of networks, IPv4 and IPv6, that is asked whether an address is in one of them.
 *
 * It is filled while a configuration is read, lies in the configuration's memory, and is only asked afterwards; any
 * thread may ask.
 */
#ifndef TPROXY_NETWORKS_H
#define TPROXY_NETWORKS_H

#include "tproxy/addr.h"
#include "tproxy/memory.h"

#include <stddef.h>

struct network_node;

/* Zeroed: the empty set. */
struct networks {
	struct network_node *nodes; /* the first one stands for "none" */
	uint32_t count, room;
	uint32_t roots[2]; /* of IPv4 and of IPv6 */
};

/*
 * Reads "192.0.2.1", "192.0.2.0/24", "192.0.2.0/255.255.255.0" or the like of IPv6 (bit counts only). Bits behind the
 * network's length have no part in it, as in HAProxy. Returns NULL, or what is wrong, for a message.
 */
const char *network_parse(const char *text, struct addr *address, unsigned *bits);

/* Makes room for COUNT further networks, so that adding them moves nothing. False: no memory. */
bool networks_reserve(struct networks *networks, struct config_memory *memory, size_t count);

/* Adds the network of the first BITS bits of ADDRESS. False: no memory. */
bool networks_add(struct networks *networks, struct config_memory *memory,
	const struct addr *address, unsigned bits);

/*
 * Whether ADDRESS is in one of them, by the rules of HAProxy's manual, section 7.1.6: an IPv4 address is in an IPv6
 * network also as ::ffff:ADDRESS, and an IPv6 address that contains an IPv4 one (::ffff:…, ::… or 2002:…::) is in its
 * network, too.
 */
bool networks_contain(const struct networks *networks, const struct addr *address);

#endif
