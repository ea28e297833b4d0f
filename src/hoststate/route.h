/*
 * The kernel's answer to "where would this packet go?": RTM_GETROUTE of rtnetlink(7), as `ip route get` asks.
 *
 * The kernel decides with its own rules, marks and checks of the source. Nothing of that is worked out here.
 */
#ifndef TPROXY_ROUTE_H
#define TPROXY_ROUTE_H

#include "tproxy/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route_question {
	struct addr to; /* IPv4 or IPv6; the port matters with `protocol` */
	const struct addr
		*from;   /* with `iif`: the packet's source, of the same family; else NULL */
	const char *iif; /* the link that the packet comes in by; NULL: this host sends it */
	uint32_t mark;   /* of the packet (fwmark) */
	unsigned
		protocol; /* IPPROTO_TCP or _UDP: with the ports of `to` and `from`; 0: TCP, no ports */
};

struct route_answer {
	bool found; /* there is a route, and a packet from this source may come in by `iif` */
	bool local; /* the packet is delivered to this host */
	char link[IF_NAMESIZE]; /* that it leaves by; "" where the kernel names none */
	struct addr gateway;    /* the wildcard: none */
	struct addr
		source;  /* that this host sends from on that route; the wildcard: not reported */
	char error[128]; /* where no route was found: why, as strerror(3) writes it */
};

/*
 * Asks the kernel and fills in *ANSWER. It asks each question once: a thousand listeners on one address ask
 * the same, and a report is of one moment. So an answer stays as long as the program runs.
 */
void route_get(const struct route_question *question, struct route_answer *answer);

/*
 * The pure part: reads LENGTH bytes of netlink messages at DATA, aligned as struct nlmsghdr is, into *ANSWER.
 * FAMILY is that of the question. True with `found` set; else `error` says why.
 */
bool route_parse_answer(struct route_answer *answer, int family, const void *data, size_t length);

/*
 * Whether the kernel asked for the link-layer address of ADDRESS on LINK (ARP, neighbour discovery), and got no answer, or
 * none yet. False where it has one, never asked, or does not say.
 */
bool neighbour_is_silent(const struct addr *address, const char *link);

#endif
