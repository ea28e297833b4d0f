/*
 * Simulates a packet's way through the rules of a hook.
 *
 * The order is the kernel's: base chains of the hook by priority; a drop ends the way, an accept ends its chain.
 * Where the result depends on a match or target that the model does not know, `unsure` names the rule. Then both
 * outcomes are possible, and the trace goes on as if the match did not hold, or the target had no effect.
 *
 * Where TPROXY finds no listener, iptables' target drops the packet and nft's rule ends there.
 */
#ifndef TPROXY_TRACE_H
#define TPROXY_TRACE_H

#include "ruleset.h"

/* What the routing tables say of an address. */
struct trace_route {
	unsigned type;    /* one of enum address_type */
	const char *link; /* that the route leads to, or NULL */
};

/* What rules ask of the host. A member that is NULL, or returns false, leaves the match unknown. */
struct trace_host {
	void *context;
	/* The type of ADDRESS as addrtype and `fib … type` see it: IPv4 ignores MARK, IPv6 does not. */
	bool (*type)(void *context, const struct addr *address, uint32_t mark,
		struct trace_route *answer);
	/* The route to ADDRESS by the policy rules. */
	bool (*route)(void *context, const struct addr *address, uint32_t mark,
		struct trace_route *answer);
	/* The address that TPROXY takes where a rule names none: the first of LINK. False: it has none. */
	bool (*first_address)(void *context, int family, const char *link, struct addr *address);
	/* Whether TPROXY finds a listener there. NULL: it does. */
	bool (*listens)(void *context, int protocol, const struct addr *address);
};

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
	uint8_t icmp_type, hop_limit; /* 0: not known; what has a type has the code 0 */
	bool reply;                   /* of the side that was connected to */
	enum ct_state ct;
	enum packet_socket
		socket; /* of the host for it; an ICMP error: for the packet that it quotes */
	bool socket_transparent;
	bool destination_local; /* to an address of the host; for matches, where `host` is NULL */
	uint32_t mark;          /* before the rules */
	uint32_t ct_mark;       /* of its connection */
	bool has_uid;           /* this host sends it, and its socket is of user `uid` */
	unsigned uid;
	bool of_kernel;      /* the kernel sends it, by a socket of its own, which has no user */
	bool limits_reached; /* rules with a limit do not match any more */
	bool proxy_down;     /* nothing listens where TPROXY looks */
	const struct trace_host *host; /* that rules ask, or NULL */
};

enum {
	UNSURE_MAX = 8 /* rules that are listed */
};

/* The base chain that led a packet to a rule, and its table. */
struct trace_place {
	const struct table *table;
	const struct chain *base;
};

struct trace {
	bool dropped;
	uint32_t mark;       /* after the rules */
	uint32_t ct_mark;    /* of the connection, after the rules */
	enum ct_state ct;    /* after the rules: NOTRACK changes it */
	bool routed_again;   /* at OUTPUT: a chain changed the mark and chose the route anew, by: */
	uint32_t route_mark; /* the mark behind the last such chain; later ones may change it */
	const struct rule *socket; /* the first whose socket match found a socket, or NULL */
	const struct rule *marked; /* the last that set the mark, or NULL */
	const struct rule *routed; /* the last that set route_mark, or NULL */
	const struct rule *tproxy; /* that diverted it to a listener, or NULL */
	const struct rule *missed; /* TPROXY that found no listener, or NULL */
	/*
	 * Of tproxy, or of missed: address and port. Where the rule has no address, the first one of the link that the
	 * packet came in by, and without such an address the packet's destination; where it has no port,
	 * that of the packet (Linux: nf_tproxy_laddr4()).
	 */
	struct addr listener;
	const struct rule *nat; /* that changes its source (POSTROUTING) or destination, or NULL */
	const struct rule *ended;  /* that accepted or dropped it, or NULL: a policy */
	const struct table *table; /* of `ended`, else of the last policy that dropped */
	const struct rule
		*changed;     /* the first that gave a packet with a mark another one, or NULL */
	uint32_t mark_before; /* the mark that it had before that */
	struct trace_place ended_at, nat_at, marked_at, routed_at, changed_at;
	const struct rule *limited;             /* the first that depends on a limit, or NULL */
	uint32_t rate;                          /* the lowest such limit, in packets a minute */
	const struct rule *unsure;              /* the first of those, or NULL: */
	const struct rule *unsures[UNSURE_MAX]; /* with an unknown match or target that counts */
	size_t unsure_count;
};

/* The way of PACKET through the chains of HOOK. The rules in the result are part of RULESET. */
struct trace trace_packet(
	const struct ruleset *ruleset, enum hook hook, const struct packet *packet);

#endif
