/*
 * Following one packet in thought that has to be delivered to this host although its address is somebody
 * else's.
 *
 * A rule has to catch it and mark it (trace.h says what the rules do), and the mark has to choose a table
 * that delivers locally (the kernel says that itself). Where the chain breaks, what broke it is the
 * finding, and only that: what comes after it cannot be judged by this packet.
 *
 * The trap is judging the same thing twice. A packet that is not caught would be caught if its socket
 * were bound to an address, or if it were transparent: then that is what is wrong.
 */
#include "packet.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static int family_of(const struct leg *leg)
{
	return addr_family(&leg->packet.destination);
}

bool packet_is_caught(const struct trace *trace)
{
	return trace->socket != NULL || trace->tproxy != NULL;
}

struct trace packet_traced(const struct check *check, enum hook hook, const struct packet *packet)
{
	return trace_packet(&check->at->rules, hook, packet);
}

/* What is not known of a server's packets leaves open why it is waited for in vain. */
static enum check_state unless_unsure(struct check *check, const struct leg *leg,
	const struct trace *trace, enum check_state state)
{
	if (trace->unsure == NULL)
		return state;
	check->in_doubt |= leg->packet.socket == SOCKET_CONNECTED;
	return CHECK_UNKNOWN;
}

static struct catching catching_of(const struct leg *leg)
{
	return (struct catching){.family = family_of(leg),
		.protocol = leg->packet.protocol,
		.any_socket = !leg->packet.socket_transparent,
		.wildcard = leg->packet.socket == SOCKET_WILDCARD};
}

/* --- by rules --- */

void packet_fix_divert(struct check *check, struct check_finding *finding, const struct leg *leg)
{
	struct catching what = catching_of(leg);

	check_fix_divert(check, finding, &what);
}

/* What it is that keeps the rules from catching a packet. */
static enum check_item culprit(
	const struct check *check, const struct leg *leg, const struct trace *trace)
{
	struct packet other = leg->packet;
	struct trace then;

	other.socket = SOCKET_LISTENER;
	then = packet_traced(check, HOOK_PREROUTING, &other);
	if (leg->packet.socket == SOCKET_WILDCARD && packet_is_caught(&then))
		return CHECK_WILDCARD;
	other = leg->packet;
	other.socket_transparent = true;
	then = packet_traced(check, HOOK_PREROUTING, &other);
	if (!leg->packet.socket_transparent && packet_is_caught(&then))
		return CHECK_TRANSPARENT;
	if (trace->ended != NULL && check_table_catches(trace->table))
		return CHECK_RULE_ORDER;
	return CHECK_DIVERT;
}

static void not_caught(struct check *check, const struct leg *leg, const struct trace *trace)
{
	enum check_item item = culprit(check, leg, trace);
	struct check_finding *finding;
	char *rule = NULL;

	if (item == CHECK_TRANSPARENT &&
		(check_failed(check, CHECK_TRANSPARENT) || check_failed(check, CHECK_CAPABILITY)))
		return; /* check_proxy.c has told it */
	if (item == CHECK_TRANSPARENT)
		item = CHECK_DIVERT; /* it works without, where rules do */
	if (trace->unsure != NULL) {
		rule = check_rule_text(check, trace->unsure);
		check_add(check, item, unless_unsure(check, leg, trace, CHECK_UNKNOWN),
			leg->subject,
			"no rule certainly catches them; %s may, in words not known here", rule);
	} else if (item == CHECK_RULE_ORDER) {
		rule = check_rule_text(check, trace->ended);
		finding = check_add(check, item, CHECK_HARMFUL, leg->subject,
			"%s accepts them before a rule for sockets is asked", rule);
		packet_fix_divert(check, finding, leg);
	} else {
		finding = check_add(check, item, CHECK_MISSING, leg->subject,
			item == CHECK_WILDCARD ? "the rule for sockets passes over them: the "
						 "listener is bound to no address"
					       : "no rule of PREROUTING catches them");
		packet_fix_divert(check, finding, leg);
	}
	free(rule);
}

static void not_marked(struct check *check, const struct leg *leg, const struct trace *trace)
{
	const struct rule *by = trace->socket != NULL ? trace->socket : trace->tproxy;
	char *rule = check_rule_text(check, by);
	struct check_finding *finding =
		check_add(check, CHECK_MARK, unless_unsure(check, leg, trace, CHECK_MISSING),
			leg->subject, "%s catches them, and nothing sets a mark", rule);

	packet_fix_divert(check, finding, leg);
	free(rule);
}

void packet_is_dropped(struct check *check, const struct leg *leg, enum hook hook,
	const struct packet *packet, const struct trace *trace)
{
	char *rule = trace->ended != NULL
			     ? check_rule_text(check, trace->ended)
			     : text_format("the policy of table %s",
				       trace->table != NULL ? trace->table->name : "?");
	struct check_finding *finding =
		check_add(check, CHECK_FILTER, unless_unsure(check, leg, trace, CHECK_HARMFUL),
			leg->subject, "%s drops them%s", rule,
			trace->tproxy != NULL && trace->ended == NULL
				? ": the rule with `tproxy` needs a verdict, too"
				: "");

	check_fix_drop(check, finding, hook, packet, trace);
	free(rule);
}

/* The item that a rule would be told by, if it applied. */
static enum check_item item_of(const struct rule *rule)
{
	for (size_t i = 0; i < rule->target_count; i++)
		switch (rule->targets[i].kind) {
		case TARGET_DROP:
		case TARGET_JUMP:
		case TARGET_GOTO:
			return CHECK_FILTER;
		case TARGET_MARK:
		case TARGET_UNKNOWN:
			return CHECK_MARK;
		case TARGET_NAT_SOURCE:
			return CHECK_NAT_SOURCE;
		case TARGET_NAT_DESTINATION:
			return CHECK_NAT_DESTINATION;
		default:
			break;
		}
	return CHECK_RULE_ORDER;
}

void packet_in_doubt(struct check *check, const struct leg *leg, const struct trace *trace)
{
	char *rule;

	if (trace->unsure == NULL)
		return;
	rule = check_rule_text(check, trace->unsure);
	check_add(check, item_of(trace->unsure), unless_unsure(check, leg, trace, CHECK_UNKNOWN),
		leg->subject, "%s may apply to them, in words not known here", rule);
	free(rule);
}

static void redirected(struct check *check, const struct leg *leg, const struct trace *trace)
{
	char *rule = check_rule_text(check, trace->nat);
	struct check_finding *finding = check_add(check, CHECK_NAT_DESTINATION, CHECK_HARMFUL,
		leg->subject, "%s sends them elsewhere", rule);

	check_fix_nat(check, finding, &leg->packet, trace);
	free(rule);
}

/* --- by routes --- */

const struct network_rule *packet_rule_for_mark(
	const struct check *check, int family, uint32_t mark)
{
	const struct network *network = &check->at->network;

	for (size_t i = 0; i < network->rule_count; i++) {
		const struct network_rule *rule = &network->rules[i];

		if (rule->family == family && rule->has_mark && (mark & rule->mask) == rule->mark)
			return rule;
	}
	return NULL;
}

static void no_rule(struct check *check, int family, uint32_t mark)
{
	struct check_finding *finding =
		check_add(check, CHECK_IP_RULE, CHECK_MISSING, check_family_name(family),
			"no entry of `ip -%d rule` is for mark 0x%x", check_version(family), mark);

	check_fix_ip_rule(finding, ON_HOST, family, 0, mark, check_table_in_use(check, family));
}

/* A table with ways out gets no route from us: ours would replace one that others need. */
static void no_route(struct check *check, int family, unsigned table)
{
	const char *everything = family == AF_INET6 ? "::/0" : "0.0.0.0/0";
	bool taken = check_leads_away(check, family, table);
	int version = check_version(family);
	struct check_finding *finding = check_add(check, CHECK_IP_ROUTE, CHECK_MISSING,
		check_family_name(family),
		"`ip -%d route show table %u` has no local route that would do%s", version, table,
		taken ? ", and its routes lead to other hosts: the proxy needs another mark and "
			"table (`tproxyctl plan --mark N --table N`)"
		      : "");

	if (!taken)
		check_fix(finding, ON_HOST,
			shell_format("ip -%d route replace local %s dev lo table %u", version,
				everything, table),
			shell_format("ip -%d route del local %s dev lo table %u", version,
				everything, table));
}

static void outvoted(struct check *check, const struct leg *leg, const struct network_rule *rule)
{
	int family = family_of(leg);
	const struct network *network = &check->at->network;
	const char *first = "another rule";
	struct check_finding *finding;

	for (size_t i = 0; i < network->rule_count && &network->rules[i] != rule; i++)
		if (network->rules[i].family == family && network->rules[i].table != TABLE_LOCAL)
			first = network->rules[i].text;
	finding = check_add(check, CHECK_IP_RULE, CHECK_HARMFUL, leg->subject,
		"the rule of mark 0x%x has priority %u, and is not the one that decides: %s comes "
		"first",
		rule->mark, rule->priority, first);
	check_fix_ip_rule(finding, ON_HOST, family, 1, rule->mark, rule->table);
}

/* Rule and route as they stand in their lists; NULL when one of them is missing and was told. */
static const struct network_rule *routing_is_there(
	struct check *check, const struct leg *leg, uint32_t mark)
{
	const struct addr *to = &leg->packet.destination;
	const struct network_rule *rule = packet_rule_for_mark(check, family_of(leg), mark);
	unsigned table = rule != NULL ? rule->table : 0;

	if (rule == NULL)
		no_rule(check, family_of(leg), mark);
	if (network_find_local_route(&check->at->network, table, to) != NULL)
		return rule;
	no_route(check, family_of(leg),
		rule != NULL ? table : check_table_in_use(check, family_of(leg)));
	return NULL;
}

/* A source that counts as local may be turned away: check_links.c tells that by its own name. */
static bool is_turned_away(const struct check *check, const struct leg *leg)
{
	int all, value = snapshot_link_sysctl(
			 check->at, AF_INET, leg->packet.in, "src_valid_mark", &all);

	return family_of(leg) == AF_INET && (value > 0 || all > 0) &&
	       !check_lets_local_sources_in(check, leg->packet.in);
}

/* Whether a marked packet is delivered here; where not, the reason was told. */
static bool is_delivered(struct check *check, const struct leg *leg, uint32_t mark)
{
	const struct network_rule *rule = routing_is_there(check, leg, mark);
	struct route_question question = {.to = leg->packet.destination,
		.from = &leg->packet.source,
		.iif = leg->packet.in,
		.mark = mark};
	struct route_answer answer;

	if (rule == NULL)
		return false;
	check->at->route(&question, &answer);
	if (!answer.local && !is_turned_away(check, leg))
		outvoted(check, leg, rule);
	return answer.local;
}

/* --- a packet that comes in --- */

static void enters(struct check *check, const struct leg *leg, uint32_t mark)
{
	struct packet packet = leg->packet;
	struct trace trace;

	packet.mark = mark;
	packet.destination_local = true;
	trace = packet_traced(check, HOOK_INPUT, &packet);
	if (trace.dropped) {
		packet_is_dropped(check, leg, HOOK_INPUT, &packet, &trace);
		return;
	}
	packet_in_doubt(check, leg, &trace);
	check_add(check, CHECK_FILTER, CHECK_OK, leg->subject, "no rule drops them");
}

/* Whether a packet that needs catching is caught, marked and delivered. */
static bool is_taken(struct check *check, const struct leg *leg, const struct trace *trace)
{
	if (!packet_is_caught(trace))
		not_caught(check, leg, trace);
	else if (trace->marked == NULL)
		not_marked(check, leg, trace);
	if (!packet_is_caught(trace) || trace->marked == NULL) {
		routing_is_there(check, leg, check_mark_in_use(check, family_of(leg)));
		return false;
	}
	return is_delivered(check, leg, trace->mark);
}

static void well(struct check *check, const struct leg *leg, const struct trace *trace)
{
	const struct rule *by = trace->socket != NULL ? trace->socket : trace->tproxy;
	char *rule = check_rule_text(check, by);
	const struct network_rule *chosen =
		packet_rule_for_mark(check, family_of(leg), trace->mark);

	check_add(check, CHECK_DIVERT, CHECK_OK, leg->subject, "caught by %s", rule);
	check_add(check, CHECK_RULE_ORDER, CHECK_OK, leg->subject,
		"no rule takes them away before that");
	check_add(check, CHECK_WILDCARD, CHECK_OK, leg->subject,
		leg->packet.socket == SOCKET_WILDCARD
			? "caught, although the listener is bound to no address"
			: "their socket is bound to their address");
	check_add(check, CHECK_MARK, CHECK_OK, leg->subject, "mark 0x%x", trace->mark);
	if (chosen != NULL) {
		check_add(check, CHECK_IP_RULE, CHECK_OK, leg->subject, "mark 0x%x: table %u",
			trace->mark, chosen->table);
		check_add(check, CHECK_IP_ROUTE, CHECK_OK, leg->subject,
			"table %u delivers to this host", chosen->table);
	}
	free(rule);
}

/* What the host takes in anyway needs no rule, no mark and no table. */
static void is_local_anyway(struct check *check, const struct leg *leg)
{
	static const enum check_item items[] = {CHECK_DIVERT, CHECK_RULE_ORDER, CHECK_WILDCARD,
		CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE};

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		check_add(check, items[i], CHECK_OK, leg->subject,
			"not needed: the address is local to this host");
}

/* Follows a packet; returns whether it gets to its socket, as far as routing goes. */
bool packet_comes_in(struct check *check, const struct leg *leg)
{
	struct trace trace = packet_traced(check, HOOK_PREROUTING, &leg->packet);
	bool taken = leg->packet.destination_local;

	if (trace.dropped) {
		packet_is_dropped(check, leg, HOOK_PREROUTING, &leg->packet, &trace);
		return false;
	}
	if (trace.nat != NULL) {
		redirected(check, leg, &trace);
		return false;
	}
	check_add(check, CHECK_NAT_DESTINATION, CHECK_OK, leg->subject,
		"no rule sends them elsewhere");
	if (taken)
		is_local_anyway(check, leg);
	else {
		taken = is_taken(check, leg, &trace);
		if (taken)
			well(check, leg, &trace);
	}
	if (taken) {
		packet_in_doubt(check, leg, &trace);
		enters(check, leg, trace.mark);
	}
	return taken;
}
