/*
 * The host's links, addresses, policy rules and routes, as `ip -j` tells them, and what the kernel itself
 * answers when it is asked where a packet would go.
 *
 * The lists say what there is; which of it decides is never worked out here: network_route() asks the
 * kernel, with its own rules, marks and checks of sources. Reading needs no root.
 */
#ifndef TPROXY_NETWORK_H
#define TPROXY_NETWORK_H

#include "tproxy/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TABLE_LOCAL = 255,
	TABLE_MAIN = 254,
	TABLE_DEFAULT = 253 /* the first of the three that are the kernel's own */
};

struct network_link {
	char name[IF_NAMESIZE];
	bool up, bridge;
	char mac[24]; /* "" where it has none */
};

struct network_address {
	char link[IF_NAMESIZE];
	struct addr address;
	unsigned length; /* of its prefix */
};

/* An address that the host answers for on a link without having it (`ip neigh add proxy`). */
struct network_proxied {
	char link[IF_NAMESIZE];
	struct addr address;
};

struct network_rule {
	int family;
	unsigned priority, table;
	bool has_mark; /* it is for packets with (mark & mask) == mark */
	uint32_t mark, mask;
	char *text; /* as JSON, for people */
};

struct network_route {
	struct addr to;
	unsigned length, table;
	bool local; /* delivers to the host itself */
	char link[IF_NAMESIZE];
};

struct network {
	struct network_link *links;
	size_t link_count;
	struct network_address *addresses;
	size_t address_count;
	struct network_proxied *proxied;
	size_t proxied_count;
	struct network_rule *rules; /* in the order in which they are asked, IPv4's first */
	size_t rule_count;
	struct network_route *routes;
	size_t route_count;
};

/* Reads all of it. False with *PROBLEM (to be freed) where `ip` fails; *NETWORK is empty then. */
bool network_read(struct network *network, char **problem);
void network_free(struct network *network);

/*
 * What network_read() takes from the answers of `ip`; false where that is not what it writes. An entry that
 * is not whole is never in the lists; those before it are.
 */
bool network_parse_links(struct network *network, const char *json);
bool network_parse_proxied(struct network *network, const char *json);
bool network_parse_rules(struct network *network, int family, const char *json);
bool network_parse_routes(struct network *network, int family, const char *json);

const struct network_link *network_find_link(const struct network *network, const char *name);

/* The entry with this very address on one of the host's links, or NULL. */
const struct network_address *network_find_address(
	const struct network *network, const struct addr *address);

/* The first route of a table that covers an address and delivers locally, or NULL. TABLE 0: any but local. */
const struct network_route *network_find_local_route(
	const struct network *network, unsigned table, const struct addr *address);

/* Whether ADDRESS is in the network of NET with a prefix of so many bits; families may differ, and are then no. */
bool network_covers(const struct addr *net, unsigned length, const struct addr *address);

#endif
