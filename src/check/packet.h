/*
 * One simulated packet, and what the host does with it.
 */
#ifndef CHECK_PACKET_H
#define CHECK_PACKET_H

#include "report.h"
#include "tracking.h"

/* A packet and the way that it takes. */
struct packet_path {
	struct packet packet;
	struct route_answer back; /* the route to its sender; the packet arrives on that link */
	char subject[2 * ADDR_TEXT_MAX + 32];    /* what findings call such packets */
	const struct service_listener *listener; /* that clients' packets are for, or NULL */
	struct tracking *tracking;               /* of its connection; flows.c keeps it */
};

/* What the rules of a hook do with a packet. */
struct trace packet_trace(const struct check *check, enum hook hook, const struct packet *packet);

/* Whether a rule diverts it: it matched the packet's socket, or gave the packet to a listener (TPROXY). */
bool packet_diverted(const struct trace *trace);

/*
 * STATE, or CHECK_UNKNOWN if a rule of the trace is not understood. That rule may also be why a server's answers are
 * lost, which check_connections() has to know.
 */
enum check_state packet_certainty(struct check *check, const struct packet_path *path,
	const struct trace *trace, enum check_state state);

/* The address that TPROXY has to name for a client's packet. */
struct addr packet_listener(const struct packet_path *path);

/*
 * Adds the command that lets PACKET, which has MARK there, pass a place that drops or changes it. Where the same chain
 * diverts packets, it is diverted first: an accept would end the chain before that. BY_POLICY: no rule drops it.
 */
void packet_fix_passage(struct check *check, struct check_finding *finding,
	const struct packet_path *path, const struct packet *packet, uint32_t mark,
	const struct trace_place *place, bool by_policy);

/*
 * Judges an incoming packet: rules of PREROUTING, policy rule, route, rules of INPUT. Adds a finding for each
 * item that the packet reaches. Returns whether the packet gets to a socket of this host as far as rules of
 * PREROUTING and routes decide; *ARRIVED is then the trace of INPUT.
 */
bool packet_judge_incoming(
	struct check *check, const struct packet_path *path, struct trace *arrived);

/*
 * Gives PATH the packet in the opposite direction of OTHER, and judges its way out: its route by all that it has, and
 * the rules of OUTPUT and POSTROUTING. Returns whether it leaves this host; *TRACE is the last one, and a NAT rule in
 * it ends the way. ITEM is what is wrong if its route does not lead away.
 */
bool packet_judge_outgoing(struct check *check, const struct packet_path *other,
	struct packet_path *path, enum check_item item, struct trace *trace);

/*
 * Judges the route that a rule of OUTPUT chose for PACKET by a mark, which TRACE shows; sets the packet's link. Returns
 * whether it still leaves this host.
 */
bool packet_judge_routed_again(struct check *check, const struct packet_path *path,
	struct packet *packet, const struct trace *trace);

/*
 * Judges whether tcp_fwmark_accept keeps the proxy's answers on this host, by the mark that a client's packet had when it ARRIVED.
 */
void packet_judge_fwmark_accept(
	struct check *check, const struct packet_path *path, const struct trace *arrived);

/*
 * Judges the answers of a server on this host; PATH is the first of them. Its answers to the client's address pass OUTPUT, and have to come back by lo: by a mark that a
 * rule of OUTPUT sets, or by an ip rule for what this host sends from the server's address. A rule like that for an
 * address that other hosts reach, too, would keep answers to them.
 */
void packet_judge_own_server(struct check *check, struct packet_path *path);

/*
 * Judges whether datagrams like this one arrive, too, when they come in fragments. The packet itself has been
 * found to arrive.
 */
void packet_judge_fragments(struct check *check, const struct packet_path *path);

/* Judges what becomes of a client's packet while nothing listens for it. The packet has been found to arrive. */
void packet_judge_bypass(struct check *check, const struct packet_path *path);

/*
 * Reports that a hook drops PACKET, which is the path's at that hook, with the commands against it. TRACE is
 * of that packet.
 */
void packet_report_drop(struct check *check, const struct packet_path *path,
	const struct packet *packet, const struct trace *trace);

/* Judges whether a hook drops PACKET when the limits of its rules are reached. TRACE is from before that. */
void packet_judge_limits(struct check *check, const struct packet_path *path, enum hook hook,
	const struct packet *packet, const struct trace *trace);

/* Reports that the NAT rule of TRACE changes PACKET, for CHECK_NAT_SOURCE or CHECK_NAT_DESTINATION. */
void packet_report_nat(struct check *check, const struct packet_path *path, enum check_item item,
	const struct packet *packet, const struct trace *trace);

/* Reports the rule of a trace that might apply to the packet but is not understood, if there is one. */
void packet_report_uncertain(
	struct check *check, const struct packet_path *path, const struct trace *trace);

/*
 * Whether packets that are not the proxy's get a mark with these bits, so that a policy rule for it would keep them here: what
 * passes between the path's source and others, and what this host sends.
 */
bool packet_mark_is_shared(
	const struct check *check, const struct packet_path *path, uint32_t mark, uint32_t mask);

/*
 * Judges the way of what this host sends against a packet that came in. An ip rule that keeps it here is bad for the packet
 * itself, too: its source counts as this host's own, and IPv4 drops it (Linux: fib_validate_source()).
 */
void packet_judge_way_back(struct check *check, const struct packet_path *path);

/* Why it is not known whether a rule applies: half a sentence. */
const char *packet_why_unsure(const struct rule *rule);

/* Adds the commands that divert packets like this one. */
void packet_fix_divert(
	struct check *check, struct check_finding *finding, const struct packet_path *path);

#endif
