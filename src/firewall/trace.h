/*
 * Follows a packet, not a real one, through the rules of a hook: what would become of it.
 *
 * The order is the kernel's: base chains of the hook by priority, a drop ends it, an accept ends its
 * chain. Where the result hangs on a match that the model does not know, `unsure` names the rule; both
 * ways are then possible and the trace goes on as if it did not match. The same goes for a target that
 * the model does not know; the trace goes on as if it did nothing.
 *
 * TPROXY is taken to find its listener: without one, iptables' target drops the packet and nft's rule
 * ends there. Whoever asks compares `listener` with the sockets there are.
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
	const char *in, *out;            /* interfaces; NULL: not known, or the hook has none */
	uint8_t tcp_flags;
	enum ct_state ct;
	enum packet_socket socket; /* that the host has for it; an ICMP error: for what it quotes */
	bool socket_transparent;
	bool destination_local; /* an address of the host */
	uint32_t mark;          /* that it comes with */
};

struct trace {
	bool dropped;
	uint32_t mark;             /* that it leaves with */
	const struct rule *socket; /* the first that asked for a socket and found it, or NULL */
	const struct rule *marked; /* that set the mark, or NULL */
	const struct rule *tproxy; /* that gave it to a listener, or NULL */
	/*
	 * Of tproxy: address and port, completed from the packet. Where the rule names no address, the
	 * kernel looks for a listener on the first address of the interface that the packet came by;
	 * that one finds wildcard listeners as well, and here the packet's destination stands for it.
	 */
	struct addr listener;
	const struct rule *nat; /* that changes its source (POSTROUTING) or destination, or NULL */
	const struct rule *ended;  /* that accepted or dropped it, or NULL: a policy */
	const struct table *table; /* of `ended`, else of the last policy that dropped */
	const struct rule *unsure; /* the first whose match is not known, or NULL */
};

struct trace trace_packet(
	const struct ruleset *ruleset, enum hook hook, const struct packet *packet);

#endif
