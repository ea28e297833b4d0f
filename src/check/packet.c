/*
 * Follows one simulated packet that this host has to deliver although its destination is not the host's.
 *
 * A rule has to divert it, that is, match its socket and mark it (trace.h models the rules); the mark has
 * to choose a table that delivers locally (the kernel answers that). Where this breaks, the cause is the
 * finding, and the only one: the packet cannot show anything about later steps.
 *
 * The trap is to report one cause twice. A packet that no rule diverts would perhaps be diverted if its
 * socket were bound to an address, or were transparent: then that is what is wrong, and not the rules.
 */
#include "packet.h"
#include "fixes.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static int family_of(const struct packet_path *path)
{
	return addr_family(&path->packet.destination);
}

bool packet_diverted(const struct trace *trace)
{
	return trace->socket != NULL || trace->tproxy != NULL;
}

struct trace packet_trace(const struct check *check, enum hook hook, const struct packet *packet)
{
	return trace_packet(&check->snapshot->rules, hook, packet);
}

/*
 * STATE, or CHECK_UNKNOWN if a rule of the trace is not understood. That rule may also be why a server's
 * answers are lost, which check_connections() has to know.
 */
static enum check_state judge_certainty(struct check *check, const struct packet_path *path,
	const struct trace *trace, enum check_state state)
{
	if (trace->unsure == NULL)
		return state;
	check->answers_uncertain |= path->packet.socket == SOCKET_CONNECTED;
	return CHECK_UNKNOWN;
}

void packet_fix_divert(
	struct check *check, struct check_finding *finding, const struct packet_path *path)
{
	check_fix_divert(check, finding,
		&(struct divert_selection){.family = family_of(path),
			.protocol = path->packet.protocol,
			.any_socket = !path->packet.socket_transparent,
			.wildcard_sockets = path->packet.socket == SOCKET_WILDCARD});
}

/* --- rules --- */

/* The item that explains why no rule diverts a packet. */
static enum check_item cause_of_not_diverted(
	const struct check *check, const struct packet_path *path, const struct trace *trace)
{
	struct packet other = path->packet;
	struct trace then;

	other.socket = SOCKET_LISTENER;
	then = packet_trace(check, HOOK_PREROUTING, &other);
	if (path->packet.socket == SOCKET_WILDCARD && packet_diverted(&then))
		return CHECK_WILDCARD;
	other = path->packet;
	other.socket_transparent = true;
	then = packet_trace(check, HOOK_PREROUTING, &other);
	if (!path->packet.socket_transparent && packet_diverted(&then))
		return CHECK_TRANSPARENT;
	if (trace->ended != NULL && check_table_diverts(trace->table))
		return CHECK_RULE_ORDER;
	return CHECK_DIVERT;
}

static void report_not_diverted(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	enum check_item item = cause_of_not_diverted(check, path, trace);
	struct check_finding *finding;
	char *rule = NULL;

	if (item == CHECK_TRANSPARENT &&
		(check_failed(check, CHECK_TRANSPARENT) || check_failed(check, CHECK_CAPABILITY)))
		return; /* check_listeners() has reported it */
	if (item == CHECK_TRANSPARENT)
		item = CHECK_DIVERT; /* the socket works as it is: a rule for it is missing */
	if (trace->unsure != NULL) {
		rule = check_rule_text(check, trace->unsure);
		check_add(check, item, judge_certainty(check, path, trace, CHECK_UNKNOWN),
			path->subject,
			"no rule is known to match; %s might (unsupported match or target)", rule);
	} else if (item == CHECK_RULE_ORDER) {
		rule = check_rule_text(check, trace->ended);
		finding = check_add(check, item, CHECK_HARMFUL, path->subject,
			"%s accepts them before a rule can divert them", rule);
		packet_fix_divert(check, finding, path);
	} else {
		finding = check_add(check, item, CHECK_MISSING, path->subject,
			item == CHECK_WILDCARD
				? "the rule for sockets skips them, because the listener is on a wildcard address"
				: "no rule in PREROUTING diverts them");
		packet_fix_divert(check, finding, path);
	}
	free(rule);
}

static void report_not_marked(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	const struct rule *by = trace->socket != NULL ? trace->socket : trace->tproxy;
	char *rule = check_rule_text(check, by);
	struct check_finding *finding =
		check_add(check, CHECK_MARK, judge_certainty(check, path, trace, CHECK_MISSING),
			path->subject, "%s matches them, but no rule sets a mark", rule);

	packet_fix_divert(check, finding, path);
	free(rule);
}

void packet_report_drop(struct check *check, const struct packet_path *path, enum hook hook,
	const struct packet *packet, const struct trace *trace)
{
	char *rule = trace->ended != NULL
			     ? check_rule_text(check, trace->ended)
			     : text_format("the policy of table %s",
				       trace->table != NULL ? trace->table->name : "?");
	struct check_finding *finding =
		check_add(check, CHECK_FILTER, judge_certainty(check, path, trace, CHECK_HARMFUL),
			path->subject, "%s drops them%s", rule,
			trace->tproxy != NULL && trace->ended == NULL
				? ", because the rule with `tproxy` has no verdict (accept)"
				: "");

	check_fix_drop(check, finding, hook, packet, trace);
	free(rule);
}

/* The item that a rule would concern if it applied. */
static enum check_item item_of_rule(const struct rule *rule)
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

void packet_report_uncertain(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	char *rule;

	if (trace->unsure == NULL)
		return;
	rule = check_rule_text(check, trace->unsure);
	check_add(check, item_of_rule(trace->unsure),
		judge_certainty(check, path, trace, CHECK_UNKNOWN), path->subject,
		"%s might apply to them (unsupported match or target)", rule);
	free(rule);
}

static void report_redirected(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	char *rule = check_rule_text(check, trace->nat);
	struct check_finding *finding = check_add(check, CHECK_NAT_DESTINATION, CHECK_HARMFUL,
		path->subject, "%s changes their destination", rule);

	check_fix_nat(check, finding, &path->packet, trace);
	free(rule);
}

/* --- routes --- */

/* The command makes no route in a table that leads to other hosts: it would replace one that they need. */
static void report_no_local_route(struct check *check, int family, unsigned table)
{
	struct addr everything = addr_any(family);
	bool taken = check_leads_away(check, family, table);
	struct check_finding *finding = check_add(check, CHECK_IP_ROUTE, CHECK_MISSING,
		family_name(family),
		"table %u has no `local` route that covers the proxy's packets%s", table,
		taken ? ", and its routes lead to other hosts. Use another mark and table for the proxy (`tproxyctl plan --mark N --table N`)"
		      : "");

	if (!taken)
		check_fix_local_route(finding, &everything, 0, table, NULL);
}

static void report_rule_comes_late(
	struct check *check, const struct packet_path *path, const struct network_rule *rule)
{
	int family = family_of(path);
	const struct network *network = &check->snapshot->network;
	const char *first = "another rule";
	struct check_finding *finding;

	for (size_t i = 0; i < network->rule_count && &network->rules[i] != rule; i++)
		if (network->rules[i].family == family && network->rules[i].table != TABLE_LOCAL)
			first = network->rules[i].text;
	finding = check_add(check, CHECK_IP_RULE, CHECK_HARMFUL, path->subject,
		"the rule for mark 0x%x has priority %u, but another rule decides first: %s",
		rule->mark, rule->priority, first);
	check_fix_ip_rule(finding, ON_HOST, family, 1, rule->mark, rule->table);
}

/* Returns the policy rule for the mark; NULL if that, or a local route for the packet, is missing. */
static const struct network_rule *judge_routing(
	struct check *check, const struct packet_path *path, uint32_t mark)
{
	const struct addr *to = &path->packet.destination;
	int family = family_of(path);
	const struct network_rule *rule = check_rule_for_mark(check, family, mark);
	unsigned table = rule != NULL ? rule->table : 0; /* 0: any table with a local route */
	struct check_finding *finding;

	if (rule == NULL) {
		finding = check_add(check, CHECK_IP_RULE, CHECK_MISSING, family_name(family),
			"`ip -%d rule` has no rule for mark 0x%x", family_version(family), mark);
		check_fix_ip_rule(
			finding, ON_HOST, family, 0, mark, check_table_in_use(check, family));
	}
	if (network_find_local_route(&check->snapshot->network, table, to) != NULL)
		return rule;
	report_no_local_route(
		check, family, rule != NULL ? table : check_table_in_use(check, family));
	return NULL;
}

/* Whether the kernel may refuse the packet's source because it counts as local: check_links() reports that. */
static bool refuses_source(const struct check *check, const struct packet_path *path)
{
	int all, value = snapshot_link_sysctl(
			 check->snapshot, AF_INET, path->packet.in, "src_valid_mark", &all);

	return family_of(path) == AF_INET && (value > 0 || all > 0) &&
	       !check_accepts_local_sources(check, path->packet.in);
}

/* Whether a packet with this mark is delivered to this host. */
static bool judge_delivery(struct check *check, const struct packet_path *path, uint32_t mark)
{
	const struct network_rule *rule = judge_routing(check, path, mark);
	struct route_question question = {.to = path->packet.destination,
		.from = &path->packet.source,
		.iif = path->packet.in,
		.mark = mark};
	struct route_answer answer;

	if (rule == NULL)
		return false;
	check->snapshot->route(&question, &answer);
	if (!answer.local && !refuses_source(check, path))
		report_rule_comes_late(check, path, rule);
	return answer.local;
}

/* --- an incoming packet --- */

static void judge_input(struct check *check, const struct packet_path *path, uint32_t mark)
{
	struct packet packet = path->packet;
	struct trace trace;

	packet.mark = mark;
	packet.destination_local = true;
	trace = packet_trace(check, HOOK_INPUT, &packet);
	if (trace.dropped) {
		packet_report_drop(check, path, HOOK_INPUT, &packet, &trace);
		return;
	}
	packet_report_uncertain(check, path, &trace);
	check_add(check, CHECK_FILTER, CHECK_OK, path->subject, "no rule drops them");
}

/* The packet arrives at its socket: each step that made it arrive is ok. */
static void report_delivered(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	const struct rule *by = trace->socket != NULL ? trace->socket : trace->tproxy;
	char *rule = check_rule_text(check, by);
	const struct network_rule *chosen =
		check_rule_for_mark(check, family_of(path), trace->mark);

	check_add(check, CHECK_DIVERT, CHECK_OK, path->subject, "diverted by %s", rule);
	check_add(check, CHECK_RULE_ORDER, CHECK_OK, path->subject,
		"no rule accepts them before that");
	check_add(check, CHECK_WILDCARD, CHECK_OK, path->subject,
		path->packet.socket == SOCKET_WILDCARD
			? "diverted, although the listener is on a wildcard address"
			: "the socket is bound to their destination");
	check_add(check, CHECK_MARK, CHECK_OK, path->subject, "mark 0x%x", trace->mark);
	if (chosen != NULL) {
		check_add(check, CHECK_IP_RULE, CHECK_OK, path->subject,
			"mark 0x%x chooses table %u", trace->mark, chosen->table);
		check_add(check, CHECK_IP_ROUTE, CHECK_OK, path->subject,
			"table %u delivers to this host", chosen->table);
	}
	free(rule);
}

/* Whether a packet for a foreign address is diverted, marked and delivered. TRACE is that of PREROUTING. */
static bool judge_divert(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	if (!packet_diverted(trace))
		report_not_diverted(check, path, trace);
	else if (trace->marked == NULL)
		report_not_marked(check, path, trace);
	if (!packet_diverted(trace) || trace->marked == NULL) {
		judge_routing(check, path, check_mark_in_use(check, family_of(path)));
		return false;
	}
	if (!judge_delivery(check, path, trace->mark))
		return false;
	report_delivered(check, path, trace);
	return true;
}

bool packet_judge_incoming(struct check *check, const struct packet_path *path)
{
	/* That a packet for an address of this host does not need. */
	static const enum check_item divert_items[] = {CHECK_DIVERT, CHECK_RULE_ORDER,
		CHECK_WILDCARD, CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE};
	struct trace trace = packet_trace(check, HOOK_PREROUTING, &path->packet);
	bool local = path->packet.destination_local;

	if (trace.dropped) {
		packet_report_drop(check, path, HOOK_PREROUTING, &path->packet, &trace);
		return false;
	}
	if (trace.nat != NULL) {
		report_redirected(check, path, &trace);
		return false;
	}
	check_add(check, CHECK_NAT_DESTINATION, CHECK_OK, path->subject,
		"no rule changes their destination");
	for (size_t i = 0; local && i < sizeof(divert_items) / sizeof(divert_items[0]); i++)
		check_add(check, divert_items[i], CHECK_OK, path->subject,
			"not needed: the address is local to this host");
	if (!local && !judge_divert(check, path, &trace))
		return false;
	packet_report_uncertain(check, path, &trace);
	judge_input(check, path, trace.mark);
	return true;
}
