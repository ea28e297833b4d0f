/*
 * Captures incoming packets for some addresses with a packet socket (packet(7)): whether requests of clients reach
 * this host at all, by which link, and whether this host replies when a neighbour asks who has the address.
 *
 * A capture sends nothing and changes nothing; links do not become promiscuous. So packets that a link's hardware
 * filters out are not seen. Requests of neighbour discovery go to a multicast address and may be among them, as
 * long as no socket has joined it. A capture takes CAP_NET_RAW.
 */
#ifndef TPROXY_CAPTURE_H
#define TPROXY_CAPTURE_H

#include "drops.h"
#include "tproxy/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * One address to capture packets for, and what was seen. Set `address` and `protocol` before the capture, and
 * leave the rest zero.
 *
 * A packet that passes several stacked links (a bridge's port, then the bridge) is seen on each of them. It counts
 * only on the link where the first one was seen; the name that stays is that of another link, where there was one.
 */
struct captured {
	struct addr address; /* with its port; the wildcard: every address of its family */
	int protocol;        /* IPPROTO_TCP or IPPROTO_UDP */
	unsigned requests;   /* how often a neighbour asked who has it (ARP, neighbour discovery) */
	unsigned replies;    /* how often this host replied that it has it, on all links */
	char request_link[IF_NAMESIZE];
	unsigned packets; /* that begin something: TCP with SYN and no ACK, any datagram */
	unsigned answers; /* of this host to such packets: TCP with SYN and ACK, any datagram */
	struct addr from; /* the sender of the last one */
	char packet_link[IF_NAMESIZE];
	char request_first_link[IF_NAMESIZE];
	char packet_first_link[IF_NAMESIZE];
};

/*
 * Captures for MILLISECONDS, or less or more: see capture_time.h. Reads DROPS (or NULL) meanwhile. Returns how many packets came
 * faster than they could be read: where that is not 0, what was not seen may have come all the same. -1 with *PROBLEM (to be
 * freed): packets cannot be captured.
 */
int capture_run(struct captured *list, size_t count, unsigned milliseconds, struct drops *drops,
	char **problem);

/*
 * The pure part: adds one packet of LENGTH bytes to LIST. FRAME begins with the network header, PROTOCOL is its
 * ETH_P_… in host order, LINK is where it was seen; OUTGOING: this host sent it.
 */
void capture_frame(struct captured *list, size_t count, unsigned protocol,
	const unsigned char *frame, size_t length, const char *link, bool outgoing);

#endif
