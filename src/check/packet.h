/*
 * One packet that has to be delivered here, and what becomes of it: see check_packet.c.
 */
#ifndef CHECK_PACKET_H
#define CHECK_PACKET_H

#include "report.h"

struct leg {
	struct packet packet;
	struct route_answer back; /* the way to its sender; it comes by that link */
	char subject[2 * ADDR_TEXT_MAX + 32];
	const struct service_listener *listener; /* that it is for, or NULL */
};

struct trace packet_traced(const struct check *check, enum hook hook, const struct packet *packet);

/* Whether a rule asked for its socket and found it, or handed it to a listener. */
bool packet_is_caught(const struct trace *trace);

/* It was not dropped; but a rule whose words are not known may apply to it, and adds what is unknown then. */
void packet_in_doubt(struct check *check, const struct leg *leg, const struct trace *trace);

/* Follows it, and adds what is wrong; whether it gets to its socket, as far as routing goes. */
bool packet_comes_in(struct check *check, const struct leg *leg);

/* Adds that a hook drops a packet of the leg. */
void packet_is_dropped(struct check *check, const struct leg *leg, enum hook hook,
	const struct packet *packet, const struct trace *trace);

/* Adds the commands that would have a packet like this caught. */
void packet_fix_divert(struct check *check, struct check_finding *finding, const struct leg *leg);

/* A datagram that comes in: adds whether it would do so in fragments, too (check_fragments.c). */
void packet_in_fragments(struct check *check, const struct leg *leg);

/* The policy rule for a mark, or NULL. */
const struct network_rule *packet_rule_for_mark(
	const struct check *check, int family, uint32_t mark);

#endif
