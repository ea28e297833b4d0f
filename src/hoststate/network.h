/*
 * The host's links, addresses, policy rules and routes, as `ip -j` of iproute2 prints them.
 *
 * These lists say what there is. Which route the kernel takes is asked of the kernel itself: see route.h.
 * Reading takes no privileges.
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
	TABLE_DEFAULT = 253 /* the three tables of the kernel itself are 253 to 255 */
};

struct network_link {
	char name[IF_NAMESIZE];
	bool up, bridge, macvlan;
	char mac[24]; /* "aa:bb:cc:dd:ee:ff"; "": none */
};

struct network_address {
	char link[IF_NAMESIZE];
	struct addr address;
	unsigned length;  /* of the prefix, in bits */
	bool passed_over; /* secondary, tentative or deprecated: TPROXY does not take it */
};

/* An address that the host answers for on a link, though it is not its own (`ip neigh add proxy`). */
struct network_proxied {
	char link[IF_NAMESIZE];
	struct addr address;
};

/* What a policy rule does with a packet that it selects. */
enum rule_action {
	RULE_LOOKUP, /* in `table` */
	RULE_REFUSE, /* blackhole, unreachable, prohibit */
	RULE_GOTO,   /* `target`: a priority */
	RULE_NOTHING,
	RULE_UNKNOWN /* it selects by something that is not read here */
};

/* Addresses that a rule selects; LENGTH 0: all. */
struct rule_prefix {
	struct addr net;
	unsigned length;
};

/* 0 to 0: all. */
struct rule_range {
	unsigned first, last;
};

struct network_rule {
	int family;
	unsigned priority, table;
	enum rule_action action;
	unsigned target;
	bool has_mark;       /* the rule is for packets whose (mark & mask) is `mark` */
	bool inverted;       /* `not`: the rule is for packets that it would not select otherwise */
	uint32_t mark, mask; /* mask 0: any mark */
	struct rule_prefix from, to;
	char iif[IF_NAMESIZE], oif[IF_NAMESIZE]; /* "": any; `lo`: packets of this host */
	unsigned ip_protocol, tos;               /* 0: any */
	struct rule_range source_ports, destination_ports, uids;
	int suppressed; /* routes of at most so many bits do not count; -1: all count */
	unsigned
		protocol; /* which program made it (rtnetlink(7), rtm_protocol); 0: `ip` does not say */
	char *text;       /* the rule in the words of `ip rule`, to show */
};

struct network_route {
	struct addr to;
	unsigned length, table;
	unsigned protocol; /* as of a rule */
	unsigned metric;   /* the lowest comes first */
	bool local;        /* of type `local`: delivers to this host */
	bool refuses;      /* blackhole, unreachable, prohibit */
	bool thrown;       /* `throw`: the next policy rule decides */
	bool has_gateway;
	char link[IF_NAMESIZE]; /* that it leaves by; "": none */
};

struct network {
	struct network_link *links;
	size_t link_count;
	struct network_address *addresses;
	size_t address_count;
	struct network_proxied *proxied;
	size_t proxied_count;
	struct network_rule *rules; /* in the order in which the kernel asks them, IPv4 first */
	size_t rule_count;
	struct network_route *routes;
	size_t route_count;
};

/*
 * Fills in *NETWORK (zeroed before), to be freed by network_free(). False with *PROBLEM (to be freed) where `ip`
 * fails or prints something else; *NETWORK is empty then.
 */
bool network_read(struct network *network, char **problem);
void network_free(struct network *network);

/*
 * The pure part: each adds the entries of lists, JSON as `ip -j` prints it, to *NETWORK: links with their addresses; and the
 * policy rules, routes and proxied addresses of a FAMILY (AF_INET or AF_INET6). False where the text is something else.
 * Entries are added whole or not at all; those before the bad one stay.
 */
bool network_parse_links(struct network *network, const char *json);
bool network_parse_family(struct network *network, int family, const char *json);

/* The link of that name, part of NETWORK, or NULL. */
const struct network_link *network_find_link(const struct network *network, const char *name);

/* The entry with this address (the port does not matter), part of NETWORK, or NULL: not the host's own. */
const struct network_address *network_find_address(
	const struct network *network, const struct addr *address);

/* The first `local` route that covers ADDRESS in TABLE, or NULL. TABLE 0: any table but TABLE_LOCAL. */
const struct network_route *network_find_local_route(
	const struct network *network, unsigned table, const struct addr *address);

/* The first address of a family on a link that is not passed over, part of NETWORK, or NULL. */
const struct network_address *network_first_address(
	const struct network *network, int family, const char *link);

/* Whether ADDRESS shares its first LENGTH bits with NET. False for different families or a LENGTH too long. */
bool network_covers(const struct addr *net, unsigned length, const struct addr *address);

#endif
