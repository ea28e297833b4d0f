/*
 * What comes in for some addresses, seen by a packet socket: whether clients' requests reach the host at
 * all, by which link, and whether anybody answers when a link is asked who has the address.
 *
 * Watching sends nothing and changes nothing; links do not become promiscuous. So what a link's hardware
 * leaves out is not seen: questions of neighbour discovery go to a multicast address, and may be among
 * it while no socket has joined that. It takes CAP_NET_RAW.
 */
#ifndef TPROXY_CAPTURE_H
#define TPROXY_CAPTURE_H

#include "tproxy/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * One address to look out for, and what was seen of it. Zero but for `address` and `protocol` before it
 * begins.
 *
 * A packet that passes links on top of each other (a bridge's port, then the bridge) is seen on each. So
 * it is counted on the link alone where such a one was seen first; the name told is that of the last.
 */
struct captured {
	struct addr address; /* with its port; the wildcard: every address of its family */
	int protocol;        /* IPPROTO_TCP or IPPROTO_UDP */
	unsigned requests;   /* how often a link was asked who has it (ARP, neighbour discovery) */
	unsigned replies;    /* how often this host told that it has it, on each link */
	char request_link[IF_NAMESIZE];
	unsigned packets; /* packets that begin something: TCP with SYN alone, any datagram */
	struct addr from; /* the last one's sender */
	char packet_link[IF_NAMESIZE];
	char request_first_link[IF_NAMESIZE];
	char packet_first_link[IF_NAMESIZE];
};

/*
 * Watches until every address has had a packet that began something; or until one was asked for three
 * times (as often as Linux asks: once a second) and this host has not answered for a second more, nor
 * did anything come for it; or for MILLISECONDS. False with *PROBLEM (to be freed) where packets cannot be
 * seen.
 */
bool capture_run(struct captured *list, size_t count, unsigned milliseconds, char **problem);

/*
 * The pure part, for tests: takes one packet, FRAME beginning with its network header (IPv4, IPv6 or ARP,
 * as PROTOCOL says: ETH_P_… in host order), that was seen on LINK; OUTGOING: this host sent it.
 */
void capture_frame(struct captured *list, size_t count, unsigned protocol,
	const unsigned char *frame, size_t length, const char *link, bool outgoing);

#endif
