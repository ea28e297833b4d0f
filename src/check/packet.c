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
#include "hoststate/policy.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static int family_of(const struct packet_path *path)
{
	return addr_family(&path->packet.destination);
}

/* --- rules --- */

/* TPROXY that finds no listener: iptables' target drops the packet, nft's rule has no effect. */
static void report_missed(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	char text[ADDR_TEXT_MAX], *rule = check_rule_text(check, trace->missed);
	struct check_finding *finding = check_add(check, CHECK_LISTENER,
		packet_certainty(check, path, trace, CHECK_MISSING), path->subject,
		"%s gives them to %s, but nothing listens there", rule,
		addr_format(&trace->listener, text));
	struct addr listener;

	if (path->listener != NULL && finding->state == CHECK_MISSING) {
		listener = packet_listener(path);
		check_fix_tproxy(check, finding, &path->packet, &listener);
	}
	free(rule);
}

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

	if (trace->missed != NULL && item != CHECK_RULE_ORDER) {
		report_missed(check, path, trace);
		return;
	}
	if (item == CHECK_TRANSPARENT &&
		(check_failed(check, CHECK_TRANSPARENT) || check_failed(check, CHECK_CAPABILITY)))
		return; /* check_listeners() has reported it */
	if (item == CHECK_TRANSPARENT)
		item = CHECK_DIVERT; /* the socket works as it is: a rule for it is missing */
	if (trace->unsure != NULL) {
		rule = check_rule_text(check, trace->unsure);
		check_add(check, item, packet_certainty(check, path, trace, CHECK_UNKNOWN),
			path->subject, "no rule is known to match; %s might (%s)", rule,
			packet_why_unsure(trace->unsure));
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
		check_add(check, CHECK_MARK, packet_certainty(check, path, trace, CHECK_MISSING),
			path->subject, "%s matches them, but no rule sets a mark", rule);

	packet_fix_divert(check, finding, path);
	free(rule);
}

/* --- routes --- */

/* Whether routes of the table lead to other hosts, but for those that are a mistake. */
static bool has_other_use(const struct check *check, int family, unsigned table)
{
	const struct network *network = &check->snapshot->network;

	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *route = &network->routes[i];

		if (route->table == table && addr_family(&route->to) == family &&
			*route->link != '\0' && strcmp(route->link, "lo") != 0 &&
			!check_is_mistaken(check, route))
			return true;
	}
	return false;
}

/* OTHER looks into the table of RULE for packets without the mark: they would be kept here, too. */
static void report_shared_table(struct check *check, int family, const struct network_rule *rule,
	const struct network_rule *other)
{
	struct addr everything = addr_any(family);
	unsigned table = check_free_table(check);
	struct check_finding *finding = check_add(check, CHECK_IP_ROUTE, CHECK_MISSING,
		family_name(family),
		"table %u has no `local` route that covers the proxy's packets, and `%s` uses it for others. The commands use another table",
		rule->table, other->text);
	char *mark = text_format("fwmark 0x%x", rule->mark);

	if (rule->mask != UINT32_MAX)
		text_add(&mark, "/0x%x", rule->mask);
	check_fix_local_route(finding, &everything, 0, table, NULL);
	check_fix_ip_rule_before(check, finding, family, rule, mark, table);
}

/* The command makes no route in a table that leads to other hosts: it would replace one that they need. */
static void report_no_local_route(struct check *check, int family, unsigned table,
	const struct network_rule *rule, const char *shared)
{
	const struct network *network = &check->snapshot->network;
	struct addr everything = addr_any(family);
	bool taken = has_other_use(check, family, table);
	const struct network_rule *other = check_other_user(check, family, table);
	struct check_finding *finding;

	if (!taken && rule != NULL && other != NULL) {
		report_shared_table(check, family, rule, other);
		return;
	}
	finding = check_add(check, CHECK_IP_ROUTE, CHECK_MISSING, family_name(family),
		"table %u has no `local` route that covers the proxy's packets%s", table,
		taken ? ", and its routes lead to other hosts. Use another mark and table for the proxy (`tproxyctl plan --mark N --table N`)"
		      : shared);
	if (taken || *shared != '\0')
		return;
	check_fix_local_route(finding, &everything, 0, table, NULL);
	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *route = &network->routes[i];

		if (route->table == table && addr_family(&route->to) == family &&
			route->length > 0 && check_is_mistaken(check, route))
			check_fix_local_route(finding, &route->to, route->length, table, NULL);
	}
}

static struct policy_answer decide(
	const struct check *check, const struct packet_path *path, uint32_t mark)
{
	return policy_decide(
		&check->snapshot->network, &(struct policy_flow){.from = path->packet.source,
						   .to = path->packet.destination,
						   .iif = path->packet.in,
						   .mark = mark,
						   .protocol = (unsigned)path->packet.protocol});
}

/* Why no rule for the mark is printed: it would keep other packets here; "" if there are none. To be freed. */
static char *describe_shared_mark(
	const struct check *check, const struct packet_path *path, uint32_t mark, uint32_t mask)
{
	if (!packet_mark_is_shared(check, path, mark, mask))
		return text_copy("");
	return text_format(
		". Other packets have mark 0x%x, too: use another one for the proxy (`tproxyctl plan --mark N`)",
		mark);
}

/* RULE is the one for the mark; another one decides. Which one that is, the model says. */
static void report_rule_comes_late(struct check *check, const struct packet_path *path,
	const struct network_rule *rule, uint32_t mark)
{
	struct policy_answer decided = decide(check, path, mark);
	const char *first =
		decided.rule != NULL && decided.rule != rule ? decided.rule->text : "another rule";
	char *shared = describe_shared_mark(check, path, rule->mark, rule->mask);
	struct check_finding *finding = check_add(check, CHECK_IP_RULE, CHECK_HARMFUL,
		path->subject,
		"the rule for mark 0x%x has priority %u, but another rule decides first: `%s`%s",
		rule->mark, rule->priority, first, shared);
	unsigned before = decided.rule != NULL ? decided.rule->priority : UINT32_MAX;

	/* At priority 0 it still comes after the table `local`, which is there first. */
	if (before > 0 && *shared == '\0')
		check_fix_ip_rule(finding, ON_HOST, family_of(path), before > 1 ? 1 : 0, rule->mark,
			rule->mask, rule->table);
	free(shared);
}

/* The mark's table delivers locally, but has a longer route for the packets. It is replaced. */
static void report_other_route(
	struct check *check, const struct packet_path *path, const struct network_route *route)
{
	char to[ADDR_TEXT_MAX];
	struct check_finding *finding =
		check_add(check, CHECK_IP_ROUTE, CHECK_HARMFUL, path->subject,
			"the route to %s/%u in table %u is longer than the local one, and %s",
			addr_format_ip(&route->to, to), route->length, route->table,
			route->thrown    ? "leaves them to other tables (throw)"
			: route->refuses ? "refuses them"
					 : "sends them out");

	check_fix_local_route(finding, &route->to, route->length, route->table, NULL);
}

/* Returns the policy rule for the mark; NULL if that, or a local route for the packet, is missing. */
static const struct network_rule *judge_routing(
	struct check *check, const struct packet_path *path, uint32_t mark)
{
	const struct addr *to = &path->packet.destination;
	int family = family_of(path);
	const struct network_rule *rule = check_rule_for_mark(check, family, mark);
	const struct network *network = &check->snapshot->network;
	unsigned table = rule != NULL ? rule->table : 0; /* 0: any table with a local route */
	const struct network_route *route;
	struct check_finding *finding;
	char *shared;

	if (rule == NULL) {
		shared = describe_shared_mark(check, path, mark, UINT32_MAX);

		finding = check_add(check, CHECK_IP_RULE, CHECK_MISSING, family_name(family),
			"`ip -%d rule` has no rule for mark 0x%x%s", family_version(family), mark,
			shared);
		if (*shared == '\0')
			check_fix_ip_rule(finding, ON_HOST, family, -1, mark, UINT32_MAX,
				check_table_in_use(check, family));
		free(shared);
	}
	route = rule != NULL ? policy_find_route(network, table, to) : NULL;
	if (route != NULL && !route->local && !check_is_mistaken(check, route) &&
		network_find_local_route(network, table, to) != NULL) {
		report_other_route(check, path, route);
		return NULL;
	}
	if (route != NULL ? route->local : network_find_local_route(network, table, to) != NULL)
		return rule;
	shared = rule != NULL ? describe_shared_mark(check, path, rule->mark, rule->mask)
			      : text_copy("");
	report_no_local_route(check, family,
		rule != NULL ? table : check_table_in_use(check, family), rule, shared);
	free(shared);
	return NULL;
}

/* Whether the kernel delivers the packet to this host when it has this mark. */
static bool is_delivered(const struct check *check, const struct packet_path *path, uint32_t mark)
{
	struct route_question question = {.to = path->packet.destination,
		.from = &path->packet.source,
		.iif = path->packet.in,
		.mark = mark,
		.protocol = (unsigned)path->packet.protocol};
	struct route_answer answer;

	check->snapshot->route(&question, &answer);
	return answer.local;
}

/* Whether a rule changed a mark that an ip rule is for into one that no ip rule leads here for. */
static bool is_mark_lost(
	const struct check *check, const struct packet_path *path, const struct trace *trace)
{
	int family = family_of(path);
	const struct network_rule *was = check_rule_for_mark(check, family, trace->mark_before),
				  *is = check_rule_for_mark(check, family, trace->mark);

	return trace->changed != NULL && trace->mark != trace->mark_before && was != NULL &&
	       was != is &&
	       network_find_local_route(
		       &check->snapshot->network, was->table, &path->packet.destination) != NULL;
}

/* A rule took the mark away, or added bits to it. */
static void report_changed_mark(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	uint32_t before = trace->mark_before;
	bool added = (trace->mark & before) == before &&
		     check_is_bit_free(check, family_of(path), before, trace->changed);
	char *rule = check_rule_text(check, trace->changed);
	struct check_finding *finding = check_add(check, added ? CHECK_IP_RULE : CHECK_MARK,
		packet_certainty(check, path, trace, CHECK_HARMFUL), path->subject,
		added ? "%s adds bits to their mark (0x%x becomes 0x%x), and no ip rule is for that. The rule for mark 0x%x needs a mask"
		      : "%s changes their mark (0x%x becomes 0x%x), so the ip rule for mark 0x%x does not match them",
		rule, before, trace->mark, before);

	if (added)
		check_fix_ip_rule(finding, ON_HOST, family_of(path), -1, before, before,
			check_table_in_use(check, family_of(path)));
	else
		packet_fix_passage(
			check, finding, path, &path->packet, before, &trace->changed_at, false);
	free(rule);
}

/* Whether a packet with the mark of TRACE is delivered to this host. */
static bool judge_delivery(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	const struct network_rule *rule;
	uint32_t mark = trace->mark;

	if (is_delivered(check, path, mark))
		return true;
	if (is_mark_lost(check, path, trace)) {
		report_changed_mark(check, path, trace);
		mark = trace->mark_before;
	}
	rule = judge_routing(check, path, mark);
	if (rule != NULL && decide(check, path, mark).result != POLICY_LOCAL)
		report_rule_comes_late(check, path, rule, mark);
	else if (
		rule !=
		NULL) /* the kernel refuses its source: src_valid_mark, for check_links(), or a rule */
		packet_judge_way_back(check, path);
	return false;
}

/* --- an incoming packet --- */

static struct trace judge_input(
	struct check *check, const struct packet_path *path, const struct trace *prerouting)
{
	struct packet packet = path->packet;
	struct trace trace;

	packet.mark = prerouting->mark;
	packet.ct = prerouting->ct;
	packet.ct_mark = prerouting->ct_mark;
	trace = packet_trace(check, HOOK_INPUT, &packet);
	if (trace.dropped) {
		packet_report_drop(check, path, &packet, &trace);
		return trace;
	}
	packet_judge_limits(check, path, HOOK_INPUT, &packet, &trace);
	packet_report_uncertain(check, path, &trace);
	check_add(check, CHECK_FILTER, CHECK_OK, path->subject, "no rule drops them");
	return trace;
}

/* The packet arrives at its socket: each step that made it arrive is ok. */
static void report_delivered(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	const struct rule *by = trace->socket != NULL ? trace->socket : trace->tproxy;
	char *rule = by != NULL ? check_rule_text(check, by) : text_format("their route");
	const struct network_rule *chosen = decide(check, path, trace->mark).rule;

	check_note_delivery(check, by, chosen);
	check_add(check, CHECK_DIVERT, CHECK_OK, path->subject, "diverted by %s", rule);
	check_add(check, CHECK_RULE_ORDER, CHECK_OK, path->subject,
		"no rule accepts them before that");
	check_add(check, CHECK_WILDCARD, CHECK_OK, path->subject,
		path->packet.socket == SOCKET_WILDCARD
			? "diverted, although the listener is on a wildcard address"
			: "the socket is bound to their destination");
	check_add(check, CHECK_MARK, CHECK_OK, path->subject, "mark 0x%x", trace->mark);
	if (chosen != NULL) {
		check_add(check, CHECK_IP_RULE, CHECK_OK, path->subject, "`%s` chooses table %u",
			chosen->text, chosen->table);
		check_add(check, CHECK_IP_ROUTE, CHECK_OK, path->subject,
			"table %u delivers to this host", chosen->table);
	}
	free(rule);
}

/*
 * Whether a packet for a foreign address is diverted, marked and delivered. TRACE is that of PREROUTING. However it
 * is done, the kernel's answer counts: where the route delivers the packet, and it has a socket, that is all.
 */
static bool judge_divert(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	bool diverted = packet_diverted(trace);

	if (!diverted && path->packet.socket != SOCKET_NONE &&
		is_delivered(check, path, trace->mark)) {
		report_delivered(check, path, trace);
		return true;
	}
	if (!diverted)
		report_not_diverted(check, path, trace);
	else if (trace->marked == NULL && !is_delivered(check, path, trace->mark))
		report_not_marked(check, path, trace);
	else {
		if (!judge_delivery(check, path, trace))
			return false;
		report_delivered(check, path, trace);
		return true;
	}
	judge_routing(check, path, check_mark_in_use(check, family_of(path)));
	return false;
}

/* The hooks before the route: a link's own, and PREROUTING. Returns whether they let the packet pass. */
static bool judge_arrival(struct check *check, const struct packet_path *path, struct trace *trace)
{
	static const enum hook hooks[] = {HOOK_INGRESS, HOOK_PREROUTING};

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		*trace = packet_trace(check, hooks[i], &path->packet);
		if (trace->dropped && trace->ended_at.base->hook == HOOK_INGRESS &&
			trace->ended_at.base->links == NULL) {
			packet_report_drop(check, path, &path->packet, trace);
			continue;
		}
		if (trace->dropped) {
			if (trace->missed != NULL && trace->missed == trace->ended)
				report_missed(check, path, trace);
			else
				packet_report_drop(check, path, &path->packet, trace);
			return false;
		}
		packet_judge_limits(check, path, hooks[i], &path->packet, trace);
	}
	return true;
}

bool packet_judge_incoming(
	struct check *check, const struct packet_path *path, struct trace *arrived)
{
	/* That a packet for an address of this host does not need. */
	static const enum check_item divert_items[] = {CHECK_DIVERT, CHECK_RULE_ORDER,
		CHECK_WILDCARD, CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE};
	bool local = path->packet.destination_local;
	struct trace trace;

	if (!judge_arrival(check, path, &trace))
		return false;
	if (trace.nat != NULL) {
		packet_report_nat(check, path, CHECK_NAT_DESTINATION, &path->packet, &trace);
		return false;
	}
	check_add(check, CHECK_NAT_DESTINATION, CHECK_OK, path->subject,
		"no rule changes their destination");
	if (local)
		check_note_delivery(check, NULL, NULL);
	for (size_t i = 0; local && i < sizeof(divert_items) / sizeof(divert_items[0]); i++)
		check_add(check, divert_items[i], CHECK_OK, path->subject,
			"not needed: the address is local to this host");
	if (!local && !judge_divert(check, path, &trace))
		return false;
	packet_report_uncertain(check, path, &trace);
	*arrived = judge_input(check, path, &trace);
	return true;
}
