/*
 * Connection tracking, as far as a handshake and the packets after it need it (Linux: nf_conntrack_proto_tcp.c).
 *
 * A SYN begins a connection, and so does a later packet of one that is under way, unless tcp_loose is off; a SYN-ACK never does.
 * Both sides may be left out by rules, each on its own. The trap: a connection of which only one side is seen stays new, and one
 * whose SYN was seen but not the answer takes the client's ACK for invalid.
 */
#include "tracking.h"

#include <netinet/in.h>

enum {
	SYN = 0x02
};

enum ct_state tracking_state(
	const struct tracking *tracking, const struct packet *packet, bool loose)
{
	bool tcp = packet->protocol == IPPROTO_TCP;

	if (tracking->begun && (tracking->answered || packet->reply != tracking->by_reply))
		return CT_ESTABLISHED;
	if (!tcp || packet->tcp_flags == SYN)
		return CT_NEW;
	if (packet->tcp_flags & SYN)
		return CT_INVALID;
	return loose && !(tracking->begun && tracking->by_syn) ? CT_NEW : CT_INVALID;
}

void tracking_note(struct tracking *tracking, const struct packet *packet, enum ct_state after)
{
	if (after == CT_UNTRACKED || after == CT_INVALID)
		return;
	if (!tracking->begun)
		*tracking = (struct tracking){.begun = true,
			.by_syn = packet->tcp_flags == SYN,
			.by_reply = packet->reply};
	else if (packet->reply != tracking->by_reply)
		tracking->answered = true;
}
