/*
 * What connection tracking knows of a simulated connection, of which it may see one side alone (NOTRACK).
 */
#ifndef CHECK_TRACKING_H
#define CHECK_TRACKING_H

#include "firewall/trace.h"

/* Begins with zeroes. */
struct tracking {
	bool begun;    /* it has seen a packet of it */
	bool by_syn;   /* and that was a SYN */
	bool by_reply; /* that packet was one of the side that was connected to */
	bool answered; /* it has seen one of the other side, too */
};

/* The state that the next packet has before its rules. LOOSE: net.netfilter.nf_conntrack_tcp_loose. */
enum ct_state tracking_state(
	const struct tracking *tracking, const struct packet *packet, bool loose);

/* The packet passed; AFTER is its state after the rules, which may have left it out. */
void tracking_note(struct tracking *tracking, const struct packet *packet, enum ct_state after);

#endif
