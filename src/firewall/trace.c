/*
 * Simulates a packet's way through a hook.
 *
 * A match holds, does not hold, or is unknown. A rule is skipped only if one of its matches certainly does not hold,
 * and applied only if all certainly hold. Jumps are followed by recursion, as deep as the kernel does; all rules
 * together are counted, so that no rule set can keep the trace running.
 *
 * The trap: only the first packet of a connection passes a nat chain. What else is known of a packet at a place,
 * trace_match.c says.
 */
#include "trace_match.h"

#include <string.h>

enum {
	DEPTH_MAX = 64,
	STEPS_MAX = 1000000 /* rules; a packet passes so many in 20 ms */
};

enum verdict {
	GOES_ON,
	ACCEPTED,
	DROPPED
};

/* Notes a rule that applies, or does not, only when its limit is reached. */
static void note_limit(struct walk *walk, const struct rule *rule, uint32_t rate)
{
	if (!ruleset_has_effect(rule))
		return;
	if (walk->trace.limited == NULL || rate < walk->trace.rate)
		walk->trace.rate = rate;
	if (walk->trace.limited == NULL)
		walk->trace.limited = rule;
}

static enum match_answer rule_holds(struct walk *walk, const struct rule *rule)
{
	enum match_answer all = YES;
	const struct match *limit = NULL;

	for (size_t i = 0; i < rule->match_count; i++) {
		enum match_answer one;

		if (rule->matches[i].kind == MATCH_LIMIT) {
			limit = &rule->matches[i];
			continue;
		}
		one = trace_match_holds(walk, &rule->matches[i]);
		if (one == NO)
			return NO;
		if (one == UNKNOWN)
			all = UNKNOWN;
	}
	if (limit == NULL)
		return all;
	note_limit(walk, rule, limit->number);
	return trace_match_holds(walk, limit) == NO ? NO : all;
}

/* --- targets --- */

static enum verdict run_chain(struct walk *walk, const struct chain *chain, unsigned depth);

static void note_unsure(struct walk *walk, const struct rule *rule)
{
	struct trace *trace = &walk->trace;

	for (size_t i = 0; i < trace->unsure_count; i++)
		if (trace->unsures[i] == rule)
			return;
	if (trace->unsure_count < UNSURE_MAX)
		trace->unsures[trace->unsure_count++] = rule;
	trace->unsure = trace->unsures[0];
}

static struct trace_place place_of(const struct walk *walk)
{
	return (struct trace_place){walk->table, walk->base};
}

static enum verdict end_trace(struct walk *walk, const struct rule *rule, enum verdict verdict)
{
	walk->trace.ended = rule;
	walk->trace.table = walk->table;
	walk->trace.ended_at = place_of(walk);
	return verdict;
}

static void put_mark(struct walk *walk, const struct rule *rule, uint32_t mark)
{
	struct trace *trace = &walk->trace;

	if (trace->changed == NULL && trace->mark != 0 && trace->mark != mark) {
		trace->changed = rule;
		trace->mark_before = trace->mark;
		trace->changed_at = place_of(walk);
	}
	trace->mark = mark;
	trace->marked = rule;
	trace->marked_at = place_of(walk);
}

static void set_mark(struct walk *walk, const struct rule *rule, const struct target *target)
{
	if (target->kind == TARGET_TPROXY && target->mask == 0 && target->number == 0)
		return;
	put_mark(walk, rule, (walk->trace.mark & ~target->mask) ^ target->number);
}

/* Marks of connections; the packet has one. */
static void copy_mark(struct walk *walk, const struct rule *rule, const struct target *target)
{
	struct trace *trace = &walk->trace;

	if (target->kind == TARGET_CT_MARK)
		trace->ct_mark = (trace->ct_mark & ~target->mask) ^ target->number;
	else if (target->kind == TARGET_CT_MARK_SAVE)
		trace->ct_mark = (trace->ct_mark & ~target->mask) ^ (trace->mark & target->number);
	else
		put_mark(walk, rule,
			(trace->mark & ~target->number) ^ (trace->ct_mark & target->mask));
}

/* The address and port at which TPROXY looks for a listener. */
static struct addr listener_of(const struct walk *walk, const struct target *target)
{
	const struct packet *packet = walk->packet;
	const struct trace_host *host = packet->host;
	struct addr listener = packet->destination;
	uint16_t port = addr_port(&target->to);

	if (!addr_is_any(&target->to))
		listener = target->to;
	else if (host != NULL && host->first_address != NULL && packet->in != NULL)
		host->first_address(host->context, addr_family(&listener), packet->in, &listener);
	addr_set_port(&listener, port != 0 ? port : addr_port(&packet->destination));
	return listener;
}

/* Whether TPROXY finds a socket: that of the packet's connection, or a listener. */
static bool finds_socket(const struct packet *packet, const struct addr *listener)
{
	const struct trace_host *host = packet->host;

	if (packet->socket == SOCKET_CONNECTED)
		return true;
	return !packet->proxy_down &&
	       (host == NULL || host->listens == NULL ||
		       host->listens(host->context, packet->protocol, listener));
}

/* *STOPS: without a listener, the rest of a rule of nft has no effect. */
static enum verdict divert(
	struct walk *walk, const struct rule *rule, const struct target *target, bool *stops)
{
	struct addr listener;

	if (!trace_has_ports(walk->packet))
		return GOES_ON;
	listener = listener_of(walk, target);
	walk->trace.listener = listener;
	if (!finds_socket(walk->packet, &listener)) {
		walk->trace.missed = rule;
		*stops = true;
		return walk->table->tool == TOOL_NFT ? GOES_ON : end_trace(walk, rule, DROPPED);
	}
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

/* Applies one target. *LEAVES: the packet leaves the chain. *STOPS: it leaves the rule. */
static enum verdict apply_target(struct walk *walk, const struct rule *rule,
	const struct target *target, unsigned depth, bool *leaves, bool *stops)
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
	case TARGET_CT_MARK:
	case TARGET_CT_MARK_SAVE:
	case TARGET_CT_MARK_RESTORE:
		if (trace_has_connection(walk))
			copy_mark(walk, rule, target);
		else /* a rule of nft ends where it reads what is not there */
			*stops = target->kind == TARGET_CT_MARK_RESTORE &&
				 walk->table->tool == TOOL_NFT;
		return GOES_ON;
	case TARGET_NOTRACK:
		walk->ct = CT_UNTRACKED;
		walk->left_out = true;
		return GOES_ON;
	case TARGET_TPROXY:
		return divert(walk, rule, target, stops);
	case TARGET_NAT_SOURCE:
	case TARGET_NAT_DESTINATION:
		walk->trace.nat = rule;
		walk->trace.nat_at = place_of(walk);
		return end_trace(walk, rule, ACCEPTED);
	case TARGET_UNKNOWN:
		note_unsure(walk, rule);
		return GOES_ON;
	default:
		return GOES_ON;
	}
}

static bool has_match(const struct rule *rule, enum match_kind kind)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == kind && !rule->matches[i].negated)
			return true;
	return false;
}

static enum verdict run_rule(
	struct walk *walk, const struct rule *rule, unsigned depth, bool *leaves)
{
	enum match_answer holds = rule_holds(walk, rule);
	enum verdict verdict = GOES_ON;
	bool stops = false;

	if (holds == UNKNOWN && ruleset_has_effect(rule))
		note_unsure(walk, rule);
	if (holds != YES)
		return GOES_ON;
	if (walk->trace.socket == NULL && has_match(rule, MATCH_SOCKET))
		walk->trace.socket = rule;
	for (size_t i = 0; verdict == GOES_ON && !*leaves && !stops && i < rule->target_count; i++)
		verdict = apply_target(walk, rule, &rule->targets[i], depth, leaves, &stops);
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
	if (chain->nat && (walk->ct != CT_NEW || walk->trace.nat != NULL))
		return false;
	/* Where it is not known which links a chain is for, it may be for this one. */
	if (walk->hook == HOOK_INGRESS && chain->links != NULL && walk->packet->in != NULL &&
		!trace_is_named(chain->links, walk->packet->in, '*'))
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

/* Behind a chain that had the packet with the mark BEFORE (Linux: ipt_mangle_out(), nf_route_table_hook4()). */
static void choose_route(struct walk *walk, uint32_t before)
{
	struct trace *trace = &walk->trace;

	if (!walk->base->routes_again || trace->mark == before)
		return;
	trace->routed_again = true;
	trace->route_mark = trace->mark;
	trace->routed = trace->marked;
	trace->routed_at = trace->marked_at;
}

struct trace trace_packet(
	const struct ruleset *ruleset, enum hook hook, const struct packet *packet)
{
	struct walk walk = {.packet = packet,
		.hook = hook,
		.ct = packet->ct,
		.trace = {.mark = packet->mark, .ct_mark = packet->ct_mark}};

	for (size_t i = first_base(ruleset, hook); i < ruleset->base_count; i++) {
		const struct base_chain *base = &ruleset->bases[i];
		uint32_t before = walk.trace.mark;
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
		choose_route(&walk, before);
	}
	walk.trace.ct = walk.ct;
	return walk.trace;
}
