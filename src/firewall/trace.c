/*
 * Simulates a packet's way through a hook.
 *
 * A match holds, does not hold, or is unknown. A rule is skipped only if one of its matches certainly does not hold,
 * and applied only if all certainly hold. Jumps are followed by recursion, as deep as the kernel does; all rules
 * together are counted, so that no rule set can keep the trace running.
 *
 * The trap is what is known of a packet at a place: connection tracking knows its state only behind conntrack's own
 * priority, and only the first packet of a connection passes a nat chain.
 */
#include "trace.h"

#include <string.h>

enum {
	DEPTH_MAX = 64,
	STEPS_MAX = 1000000,      /* rules; a packet passes so many in 20 ms */
	CONNTRACK_PRIORITY = -200 /* NF_IP_PRI_CONNTRACK */
};

enum match_answer {
	NO,
	YES,
	UNKNOWN
};

enum verdict {
	GOES_ON,
	ACCEPTED,
	DROPPED
};

struct walk {
	const struct packet *packet;
	enum hook hook;
	const struct table *table;
	const struct chain *base;
	unsigned steps;
	struct trace trace;
};

/* --- matches --- */

static enum match_answer answer(bool holds)
{
	return holds ? YES : NO;
}

static bool has_number(const struct match *match, unsigned number)
{
	struct addr value = addr_any(AF_UNSPEC);

	addr_set_port(&value, (uint16_t)number);
	return ruleset_match_has(match, &value);
}

static bool has_ports(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
}

/* Whether NAME is one of PATTERNS (blanks between them); a pattern that ends with ANY is a prefix. */
static bool is_named(const char *patterns, const char *name, char any)
{
	while (*patterns != '\0') {
		size_t length = strcspn(patterns, " ");
		bool open = length > 0 && patterns[length - 1] == any;

		if (strncmp(patterns, name, open ? length - 1 : length) == 0 &&
			(open || name[length] == '\0'))
			return true;
		patterns += length;
		patterns += *patterns == ' ';
	}
	return false;
}

/* HAS_ONE: the hook has such an interface, whose name may be unknown. Else its name is "" in the kernel. */
static enum match_answer interface_holds(
	const struct walk *walk, const struct match *match, const char *name, bool has_one)
{
	char any = walk->table->tool == TOOL_NFT ? '*' : '+';

	if (name == NULL && has_one)
		return UNKNOWN;
	return answer(is_named(match->text, name == NULL ? "" : name, any));
}

static bool socket_holds(const struct match *match, const struct packet *packet)
{
	if (packet->socket == SOCKET_NONE || (match->transparent && !packet->socket_transparent))
		return false;
	return packet->socket != SOCKET_WILDCARD || !match->no_wildcard_sockets;
}

static bool protocol_holds(const struct match *match, const struct packet *packet)
{
	if (match->range_count > 0)
		return has_number(match, (unsigned)packet->protocol);
	return (int)match->number == packet->protocol;
}

static bool state_holds(const struct walk *walk, const struct match *match)
{
	bool known = walk->base->priority > CONNTRACK_PRIORITY ||
		     (walk->hook != HOOK_PREROUTING && walk->hook != HOOK_OUTPUT);

	return (match->number & (known ? walk->packet->ct : CT_INVALID)) != 0;
}

/* The answer without negation. */
static enum match_answer answer_without_negation(const struct walk *walk, const struct match *match)
{
	const struct packet *packet = walk->packet;

	switch (match->kind) {
	case MATCH_FAMILY:
		return answer((int)match->number == addr_family(&packet->destination));
	case MATCH_PROTOCOL:
		return answer(protocol_holds(match, packet));
	case MATCH_SOURCE:
		return answer(ruleset_match_has(match, &packet->source));
	case MATCH_DESTINATION:
		return answer(ruleset_match_has(match, &packet->destination));
	case MATCH_SOURCE_PORT:
		return answer(has_number(match, addr_port(&packet->source)));
	case MATCH_DESTINATION_PORT:
		return answer(has_number(match, addr_port(&packet->destination)));
	case MATCH_IN:
		return interface_holds(walk, match, packet->in,
			walk->hook != HOOK_OUTPUT && walk->hook != HOOK_POSTROUTING);
	case MATCH_OUT:
		return interface_holds(walk, match, packet->out,
			walk->hook != HOOK_PREROUTING && walk->hook != HOOK_INPUT);
	case MATCH_MARK:
		return answer((walk->trace.mark & match->mask) == match->number);
	case MATCH_SOCKET:
		return answer(socket_holds(match, packet));
	case MATCH_TCP_FLAGS:
		return answer((packet->tcp_flags & match->mask) == match->number);
	case MATCH_CT_STATE:
		return answer(state_holds(walk, match));
	case MATCH_LOCAL:
		return answer(packet->destination_local);
	case MATCH_ALWAYS:
		return YES;
	default:
		return UNKNOWN;
	}
}

/* A match about a field that the packet does not have fails, negated or not. */
static bool lacks_field(const struct match *match, const struct packet *packet)
{
	switch (match->kind) {
	case MATCH_SOURCE_PORT:
	case MATCH_DESTINATION_PORT:
		return !has_ports(packet);
	case MATCH_TCP_FLAGS:
		return packet->protocol != IPPROTO_TCP;
	default:
		return false;
	}
}

static enum match_answer match_holds(const struct walk *walk, const struct match *match)
{
	enum match_answer plain;

	if (lacks_field(match, walk->packet))
		return NO;
	plain = answer_without_negation(walk, match);
	if (plain == UNKNOWN || !match->negated)
		return plain;
	return answer(plain == NO);
}

static enum match_answer rule_holds(const struct walk *walk, const struct rule *rule)
{
	enum match_answer all = YES;

	for (size_t i = 0; i < rule->match_count; i++) {
		enum match_answer one = match_holds(walk, &rule->matches[i]);

		if (one == NO)
			return NO;
		if (one == UNKNOWN)
			all = UNKNOWN;
	}
	return all;
}

/* --- targets --- */

static enum verdict run_chain(struct walk *walk, const struct chain *chain, unsigned depth);

static void note_unsure(struct walk *walk, const struct rule *rule)
{
	if (walk->trace.unsure == NULL)
		walk->trace.unsure = rule;
}

static enum verdict end_trace(struct walk *walk, const struct rule *rule, enum verdict verdict)
{
	walk->trace.ended = rule;
	walk->trace.table = walk->table;
	return verdict;
}

static void set_mark(struct walk *walk, const struct rule *rule, const struct target *target)
{
	if (target->kind == TARGET_TPROXY && target->mask == 0 && target->number == 0)
		return;
	walk->trace.mark = (walk->trace.mark & ~target->mask) ^ target->number;
	walk->trace.marked = rule;
}

static enum verdict divert(struct walk *walk, const struct rule *rule, const struct target *target)
{
	struct addr listener = walk->packet->destination;
	uint16_t port = addr_port(&target->to);

	if (!has_ports(walk->packet))
		return GOES_ON;
	if (!addr_is_any(&target->to))
		listener = target->to;
	addr_set_port(&listener, port != 0 ? port : addr_port(&walk->packet->destination));
	walk->trace.listener = listener;
	walk->trace.tproxy = rule;
	set_mark(walk, rule, target);
	return walk->table->tool == TOOL_NFT ? GOES_ON : end_trace(walk, rule, ACCEPTED);
}

static enum verdict follow_jump(
	struct walk *walk, const struct rule *rule, const struct target *target, unsigned depth)
{
	const struct chain *chain = ruleset_chain(walk->table, target->text);

	if (chain == NULL || depth == DEPTH_MAX) {
		note_unsure(walk, rule);
		return GOES_ON;
	}
	return run_chain(walk, chain, depth + 1);
}

/* Applies one target. *LEAVES: the packet leaves the chain. */
static enum verdict apply_target(struct walk *walk, const struct rule *rule,
	const struct target *target, unsigned depth, bool *leaves)
{
	*leaves = target->kind == TARGET_GOTO || target->kind == TARGET_RETURN;
	switch (target->kind) {
	case TARGET_ACCEPT:
		return end_trace(walk, rule, ACCEPTED);
	case TARGET_DROP:
		return end_trace(walk, rule, DROPPED);
	case TARGET_JUMP:
	case TARGET_GOTO:
		return follow_jump(walk, rule, target, depth);
	case TARGET_MARK:
		set_mark(walk, rule, target);
		return GOES_ON;
	case TARGET_TPROXY:
		return divert(walk, rule, target);
	case TARGET_NAT_SOURCE:
	case TARGET_NAT_DESTINATION:
		walk->trace.nat = rule;
		return end_trace(walk, rule, ACCEPTED);
	case TARGET_UNKNOWN:
		note_unsure(walk, rule);
		return GOES_ON;
	default:
		return GOES_ON;
	}
}

static bool has_socket_match(const struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_SOCKET && !rule->matches[i].negated)
			return true;
	return false;
}

static enum verdict run_rule(
	struct walk *walk, const struct rule *rule, unsigned depth, bool *leaves)
{
	enum match_answer holds = rule_holds(walk, rule);
	enum verdict verdict = GOES_ON;

	if (holds == UNKNOWN && ruleset_has_effect(rule))
		note_unsure(walk, rule);
	if (holds != YES)
		return GOES_ON;
	if (walk->trace.socket == NULL && has_socket_match(rule))
		walk->trace.socket = rule;
	for (size_t i = 0; verdict == GOES_ON && !*leaves && i < rule->target_count; i++)
		verdict = apply_target(walk, rule, &rule->targets[i], depth, leaves);
	return verdict;
}

static enum verdict run_chain(struct walk *walk, const struct chain *chain, unsigned depth)
{
	enum verdict verdict = GOES_ON;
	bool leaves = false;

	for (size_t i = 0; verdict == GOES_ON && !leaves && i < chain->rule_count; i++) {
		if (++walk->steps > STEPS_MAX) {
			note_unsure(walk, &chain->rules[i]);
			return GOES_ON;
		}
		verdict = run_rule(walk, &chain->rules[i], depth, &leaves);
	}
	return verdict;
}

/* --- the chains of a hook --- */

static bool passes_chain(
	const struct walk *walk, const struct table *table, const struct chain *chain)
{
	if (chain->nat && (walk->packet->ct != CT_NEW || walk->trace.nat != NULL))
		return false;
	return table->family == AF_UNSPEC ||
	       table->family == addr_family(&walk->packet->destination);
}

/* The place of the first base chain of a hook. */
static size_t first_base(const struct ruleset *ruleset, enum hook hook)
{
	size_t low = 0, high = ruleset->base_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ruleset->bases[middle].chain->hook < hook)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct trace trace_packet(
	const struct ruleset *ruleset, enum hook hook, const struct packet *packet)
{
	struct walk walk = {.packet = packet, .hook = hook, .trace = {.mark = packet->mark}};

	for (size_t i = first_base(ruleset, hook); i < ruleset->base_count; i++) {
		const struct base_chain *base = &ruleset->bases[i];
		enum verdict verdict;

		if (base->chain->hook != hook)
			break;
		if (!passes_chain(&walk, base->table, base->chain))
			continue;
		walk.table = base->table;
		walk.base = base->chain;
		verdict = run_chain(&walk, base->chain, 0);
		if (verdict == GOES_ON && base->chain->drops)
			verdict = end_trace(&walk, NULL, DROPPED);
		walk.trace.dropped = verdict == DROPPED;
		if (walk.trace.dropped)
			break;
	}
	return walk.trace;
}
