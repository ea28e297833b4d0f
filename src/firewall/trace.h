/*
 * Simulates a packet's way through the rules of a hook.
 *
 * The order is the kernel's: base chains of the hook by priority; a drop ends the way, an accept ends its chain.
 * Where the result depends on a match or target that the model does not know, `unsure` names the rule. Then both
 * outcomes are possible, and the trace goes on as if the match did not hold, or the target had no effect.
 *
 * The trace assumes that TPROXY finds its listener. Without one, iptables' target drops the packet and nft's rule
 * ends there; compare `listener` with the host's sockets.
 */
#ifndef TPROXY_TRACE_H
#define TPROXY_TRACE_H

#include "ruleset.h"

enum packet_socket {
	SOCKET_NONE,
	SOCKET_LISTENER, /* bound to the packet's destination */
	SOCKET_WILDCARD, /* a listener bound to no address */
	SOCKET_CONNECTED
};

struct packet {
	struct addr source, destination; /* with ports, where the protocol has them */
	int protocol;                    /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 */
	const char *in, *out;            /* interfaces; NULL: unknown, or the hook has none */
	uint8_t tcp_flags;
	enum ct_state ct;
	enum packet_socket
		socket; /* of the host for it; an ICMP error: for the packet that it quotes */
	bool socket_transparent;
	bool destination_local; /* to an address of the host */
	uint32_t mark;          /* before the rules */
};

struct trace {
	bool dropped;
	uint32_t mark;             /* after the rules */
	const struct rule *socket; /* the first whose socket match found a socket, or NULL */
	const struct rule *marked; /* the last that set the mark, or NULL */
	const struct rule *tproxy; /* that diverted it to a listener, or NULL */
	/*
	 * Of tproxy: address and port, completed from the packet. For a rule without an address, the
	 * kernel looks for a listener on the first address of the interface that the packet came in by,
	 * which finds wildcard listeners, too; here it is the packet's destination.
	 */
	struct addr listener;
	const struct rule *nat; /* that changes its source (POSTROUTING) or destination, or NULL */
	const struct rule *ended;  /* that accepted or dropped it, or NULL: a policy */
	const struct table *table; /* of `ended`, else of the last policy that dropped */
	const struct rule
		*unsure; /* the first with an unknown match or target that counts, or NULL */
};

/* The way of PACKET through the chains of HOOK. The rules in the result are part of RULESET. */
struct trace trace_packet(
	const struct ruleset *ruleset, enum hook hook, const struct packet *packet);

#endif
