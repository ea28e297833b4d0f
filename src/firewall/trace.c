/*
 * Following a packet through a hook, in thought.
 *
 * Whether a match holds has three answers: yes, no, and nobody knows; a rule is passed by only when
 * one of its matches certainly fails, and is gone by only when all certainly hold. Jumps are followed
 * by recursion, as deep as the kernel does at most, and all rules together are counted, so that no text
 * can keep us here. The trap is what the packet has at a place: connections are known only after
 * conntrack's priority, and a nat chain is asked once, for the packet that begins a connection.
 */
#include "trace.h"

#include <string.h>

enum {
	DEPTH_MAX = 64,
	STEPS_MAX = 1000000,      /* rules; a packet passes so many in 20 ms */
	CONNTRACK_PRIORITY = -200 /* NF_IP_PRI_CONNTRACK */
};

enum answer {
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

/* --- does a match hold? --- */

static enum answer answer(bool holds)
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

/* Whether NAME is one of PATTERNS, which are divided by blanks; one that ends with ANY is a prefix. */
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

/* A hook without such an interface has one without a name; where there is one, it may not be known. */
static enum answer interface_holds(
	const struct walk *walk, const struct match *match, const char *name, bool there_is_one)
{
	char any = walk->table->tool == TOOL_NFT ? '*' : '+';

	if (name == NULL && there_is_one)
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

/* Without its negation. */
static enum answer plain_answer(const struct walk *walk, const struct match *match)
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

/* What the packet does not have at all fails, negated or not. */
static bool cannot_be_asked(const struct match *match, const struct packet *packet)
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

static enum answer match_holds(const struct walk *walk, const struct match *match)
{
	enum answer plain;

	if (cannot_be_asked(match, walk->packet))
		return NO;
	plain = plain_answer(walk, match);
	if (plain == UNKNOWN || !match->negated)
		return plain;
	return answer(plain == NO);
}

static enum answer rule_holds(const struct walk *walk, const struct rule *rule)
{
	enum answer all = YES;

	for (size_t i = 0; i < rule->match_count; i++) {
		enum answer one = match_holds(walk, &rule->matches[i]);

		if (one == NO)
			return NO;
		if (one == UNKNOWN)
			all = UNKNOWN;
	}
	return all;
}

/* --- what a rule does --- */

static enum verdict run_chain(struct walk *walk, const struct chain *chain, unsigned depth);

static void doubt(struct walk *walk, const struct rule *rule)
{
	if (walk->trace.unsure == NULL)
		walk->trace.unsure = rule;
}

static enum verdict end(struct walk *walk, const struct rule *rule, enum verdict verdict)
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

static enum verdict give_to_listener(
	struct walk *walk, const struct rule *rule, const struct target *target)
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
	return walk->table->tool == TOOL_NFT ? GOES_ON : end(walk, rule, ACCEPTED);
}

static enum verdict follow(
	struct walk *walk, const struct rule *rule, const struct target *target, unsigned depth)
{
	const struct chain *chain = ruleset_chain(walk->table, target->text);

	if (chain == NULL || depth == DEPTH_MAX) {
		doubt(walk, rule);
		return GOES_ON;
	}
	return run_chain(walk, chain, depth + 1);
}

/* Does one target. *LEAVES: the rest of the chain is not for this packet. */
static enum verdict act(struct walk *walk, const struct rule *rule, const struct target *target,
	unsigned depth, bool *leaves)
{
	*leaves = target->kind == TARGET_GOTO || target->kind == TARGET_RETURN;
	switch (target->kind) {
	case TARGET_ACCEPT:
		return end(walk, rule, ACCEPTED);
	case TARGET_DROP:
		return end(walk, rule, DROPPED);
	case TARGET_JUMP:
	case TARGET_GOTO:
		return follow(walk, rule, target, depth);
	case TARGET_MARK:
		set_mark(walk, rule, target);
		return GOES_ON;
	case TARGET_TPROXY:
		return give_to_listener(walk, rule, target);
	case TARGET_NAT_SOURCE:
	case TARGET_NAT_DESTINATION:
		walk->trace.nat = rule;
		return end(walk, rule, ACCEPTED);
	case TARGET_UNKNOWN:
		doubt(walk, rule);
		return GOES_ON;
	default:
		return GOES_ON;
	}
}

/* Whether doing RULE or not makes no difference. */
static bool is_idle(const struct rule *rule)
{
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind != TARGET_NONE)
			return false;
	return true;
}

static bool asks_for_a_socket(const struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_SOCKET && !rule->matches[i].negated)
			return true;
	return false;
}

static enum verdict run_rule(
	struct walk *walk, const struct rule *rule, unsigned depth, bool *leaves)
{
	enum answer holds = rule_holds(walk, rule);
	enum verdict verdict = GOES_ON;

	if (holds == UNKNOWN && !is_idle(rule))
		doubt(walk, rule);
	if (holds != YES)
		return GOES_ON;
	if (walk->trace.socket == NULL && asks_for_a_socket(rule))
		walk->trace.socket = rule;
	for (size_t i = 0; verdict == GOES_ON && !*leaves && i < rule->target_count; i++)
		verdict = act(walk, rule, &rule->targets[i], depth, leaves);
	return verdict;
}

static enum verdict run_chain(struct walk *walk, const struct chain *chain, unsigned depth)
{
	enum verdict verdict = GOES_ON;
	bool leaves = false;

	for (size_t i = 0; verdict == GOES_ON && !leaves && i < chain->rule_count; i++) {
		if (++walk->steps > STEPS_MAX) {
			doubt(walk, &chain->rules[i]);
			return GOES_ON;
		}
		verdict = run_rule(walk, &chain->rules[i], depth, &leaves);
	}
	return verdict;
}

/* --- the chains of a hook --- */

static bool is_asked(const struct walk *walk, const struct table *table, const struct chain *chain)
{
	if (chain->nat && (walk->packet->ct != CT_NEW || walk->trace.nat != NULL))
		return false;
	return table->family == AF_UNSPEC ||
	       table->family == addr_family(&walk->packet->destination);
}

/* Where the base chains of a hook begin among those of the rule set. */
static size_t first_of(const struct ruleset *ruleset, enum hook hook)
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

	for (size_t i = first_of(ruleset, hook); i < ruleset->base_count; i++) {
		const struct base_chain *base = &ruleset->bases[i];
		enum verdict verdict;

		if (base->chain->hook != hook)
			break;
		if (!is_asked(&walk, base->table, base->chain))
			continue;
		walk.table = base->table;
		walk.base = base->chain;
		verdict = run_chain(&walk, base->chain, 0);
		if (verdict == GOES_ON && base->chain->drops)
			verdict = end(&walk, NULL, DROPPED);
		walk.trace.dropped = verdict == DROPPED;
		if (walk.trace.dropped)
			break;
	}
	return walk.trace;
}
