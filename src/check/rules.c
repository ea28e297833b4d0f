/*
 * What packet rules do to a simulated packet: the trace, with what rules ask of the host, and the findings of rules that
 * drop it, may drop it, or change its addresses.
 *
 * Each answer to a rule comes from where the kernel takes it. For IPv4, addrtype and `fib … type` look at the table
 * `local` alone, whatever the mark (Linux: inet_addr_type()). For IPv6 they ask the policy rules, and `fib` may give
 * them the mark. rpfilter and `fib … oif` ask the policy rules in both families.
 *
 * Commands go before chains of other programs: into the base chain that led the packet to the rule. The trap is a chain
 * that diverts: an accept in front of it would end it before the packet is diverted.
 */
#include "fixes.h"
#include "packet.h"
#include "tproxy/text.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

static int family_of(const struct packet_path *path)
{
	return addr_family(&path->packet.destination);
}

/* --- the trace --- */

/* A link's name that outlives the answer. */
static const char *kept_name(const struct check *check, const char *name)
{
	const struct network_link *link = network_find_link(&check->snapshot->network, name);

	return link != NULL ? link->name : NULL;
}

static bool answer_route(
	void *context, const struct addr *address, uint32_t mark, struct trace_route *answer)
{
	const struct check *check = context;
	struct route_answer way;

	check->snapshot->route(&(struct route_question){.to = *address, .mark = mark}, &way);
	answer->type = !way.found  ? ADDRESS_UNREACHABLE
		       : way.local ? ADDRESS_LOCAL
				   : ADDRESS_UNICAST;
	answer->link = kept_name(check, way.link);
	return true;
}

static bool answer_type(
	void *context, const struct addr *address, uint32_t mark, struct trace_route *answer)
{
	const struct check *check = context;
	const struct network *network = &check->snapshot->network;
	const struct network_route *route = network_find_local_route(network, TABLE_LOCAL, address);
	const struct network_address *own = network_find_address(network, address);
	const unsigned char *bytes = addr_bytes(address);

	if (addr_family(address) == AF_INET6) {
		if (bytes[0] == 0xff)
			answer->type = ADDRESS_MULTICAST;
		else
			answer_route(context, address, mark, answer);
		return true;
	}
	if (bytes[0] >> 4 == 0xe)
		answer->type = ADDRESS_MULTICAST;
	else if (bytes[0] == 0 || (bytes[0] & bytes[1] & bytes[2] & bytes[3]) == 0xff)
		answer->type = ADDRESS_BROADCAST;
	else
		answer->type = own != NULL || route != NULL ? ADDRESS_LOCAL : ADDRESS_UNICAST;
	answer->link = own != NULL     ? own->link
		       : route != NULL ? kept_name(check, route->link)
				       : NULL;
	return true;
}

static bool answer_first_address(void *context, int family, const char *link, struct addr *address)
{
	const struct check *check = context;
	const struct network_address *first =
		network_first_address(&check->snapshot->network, family, link);

	if (first != NULL)
		*address = first->address;
	return first != NULL;
}

/* A proxy that does not run yet is going to listen. */
static bool answer_listens(void *context, int protocol, const struct addr *address)
{
	const struct check *check = context;
	const struct snapshot *snapshot = check->snapshot;

	if (!snapshot->sockets_known || snapshot_listener(snapshot, protocol, address) != NULL)
		return true;
	for (size_t i = 0; i < snapshot->service->listener_count; i++) {
		const struct service_listener *listener = &snapshot->service->listeners[i];

		if (listener->protocol == protocol &&
			snapshot_listener(snapshot, protocol, &listener->address) == NULL)
			return true;
	}
	return false;
}

struct trace packet_trace(const struct check *check, enum hook hook, const struct packet *packet)
{
	struct trace_host host = {
		(void *)check, answer_type, answer_route, answer_first_address, answer_listens};
	struct packet asked = *packet;

	asked.host = &host;
	return trace_packet(&check->snapshot->rules, hook, &asked);
}

bool packet_diverted(const struct trace *trace)
{
	return trace->socket != NULL || trace->tproxy != NULL;
}

/* --- findings and commands --- */

enum check_state packet_certainty(struct check *check, const struct packet_path *path,
	const struct trace *trace, enum check_state state)
{
	if (trace->unsure == NULL)
		return state;
	check->answers_uncertain |= path->packet.socket == SOCKET_CONNECTED;
	return CHECK_UNKNOWN;
}

struct addr packet_listener(const struct packet_path *path)
{
	const struct service_listener *listener = path->listener;
	struct addr to = listener->address;

	if (addr_is_any(&to) && addr_family(&to) != family_of(path)) {
		to = addr_any(family_of(path));
		addr_set_port(&to, addr_port(&listener->address));
	}
	return to;
}

/* ACCEPTS: other rules must not see the packet afterwards. */
static void fix_divert(struct check *check, struct check_finding *finding,
	const struct packet_path *path, bool accepts)
{
	struct addr listener;

	if (path->packet.socket == SOCKET_NONE && path->listener != NULL) {
		listener = packet_listener(path);
		check_fix_tproxy(check, finding, &path->packet, &listener);
		return;
	}
	check_fix_divert(check, finding,
		&(struct divert_selection){.family = family_of(path),
			.protocol = path->packet.protocol,
			.any_socket = !path->packet.socket_transparent,
			.wildcard_sockets = path->packet.socket == SOCKET_WILDCARD,
			.accepts = accepts});
}

void packet_fix_divert(
	struct check *check, struct check_finding *finding, const struct packet_path *path)
{
	fix_divert(check, finding, path, false);
}

void packet_fix_passage(struct check *check, struct check_finding *finding,
	const struct packet_path *path, const struct packet *packet, uint32_t mark,
	const struct trace_place *place, bool by_policy)
{
	const struct table *table = place->table;
	bool at_end = by_policy && table != NULL && table->tool == TOOL_NFT;

	if (!at_end && place->base != NULL && place->base->hook == HOOK_PREROUTING &&
		!place->base->nat && check_table_diverts(table) && !path->packet.destination_local)
		fix_divert(check, finding, path, true);
	else
		check_fix_accept(
			check, finding, packet, mark, place, at_end ? CHECK_BACK : CHECK_FRONT);
}

void packet_report_drop(struct check *check, const struct packet_path *path,
	const struct packet *packet, const struct trace *trace)
{
	const struct table *table = trace->table;
	char *rule = trace->ended != NULL ? check_rule_text(check, trace->ended)
					  : text_format("the policy of table %s",
						    table != NULL ? table->name : "?");
	bool anywhere = trace->ended_at.base != NULL &&
			trace->ended_at.base->hook == HOOK_INGRESS &&
			trace->ended_at.base->links == NULL;
	struct check_finding *finding = check_add(check, CHECK_FILTER,
		packet_certainty(check, path, trace, anywhere ? CHECK_UNKNOWN : CHECK_HARMFUL),
		path->subject, "%s drops them%s", rule,
		anywhere ? " if it is for their link (nft does not list the links of the chain)"
		: trace->tproxy != NULL && trace->ended == NULL
			? ", because the rule with `tproxy` has no verdict (accept)"
			: "");

	if (finding->state == CHECK_HARMFUL)
		packet_fix_passage(check, finding, path, packet, trace->mark, &trace->ended_at,
			trace->ended == NULL);
	free(rule);
}

enum {
	OTHER_PORT = 9, /* that no proxy serves: discard (RFC 863) */
	LIMIT_LOW = 60  /* packets a minute; lower ones are reached by a few clients */
};

void packet_judge_limits(struct check *check, const struct packet_path *path, enum hook hook,
	const struct packet *packet, const struct trace *trace)
{
	struct packet late = *packet;
	struct check_finding *finding;
	struct trace reached;
	bool low = trace->rate < LIMIT_LOW;
	char *limited, *rule;

	if (trace->limited == NULL || trace->dropped)
		return;
	late.limits_reached = true;
	reached = packet_trace(check, hook, &late);
	if (!reached.dropped)
		return;
	limited = check_rule_text(check, trace->limited);
	rule = reached.ended != NULL ? check_rule_text(check, reached.ended)
				     : text_format("the policy of table %s", reached.table->name);
	finding = check_add(check, CHECK_FILTER,
		packet_certainty(check, path, &reached, low ? CHECK_HARMFUL : CHECK_ADVICE),
		path->subject,
		trace->rate > 0 ? "%s drops them as soon as the limit of %s is reached"
				: "%s drops some of them (%s)",
		rule, limited);
	if (finding->state == CHECK_HARMFUL)
		packet_fix_passage(check, finding, path, packet, reached.mark, &reached.ended_at,
			reached.ended == NULL);
	free(limited);
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

/* Whether a rule of the hook gives a packet the mark, before its route is chosen. */
static bool gets_mark(const struct check *check, enum hook hook, const struct packet *packet,
	uint32_t mark, uint32_t mask)
{
	struct trace trace = packet_trace(check, hook, packet);

	if (hook == HOOK_OUTPUT)
		return !trace.dropped && trace.routed_again && (trace.route_mark & mask) == mark;
	return !trace.dropped && trace.tproxy == NULL && trace.marked != NULL &&
	       (trace.mark & mask) == mark;
}

bool packet_mark_is_shared(
	const struct check *check, const struct packet_path *path, uint32_t mark, uint32_t mask)
{
	const struct network_address *own =
		network_first_address(&check->snapshot->network, family_of(path), path->packet.in);
	struct packet passing = {.source = path->packet.source,
		.destination = path->packet.destination,
		.in = path->packet.in,
		.protocol = IPPROTO_TCP};
	struct packet sent = {.destination = path->packet.source,
		.out = path->packet.in,
		.protocol = IPPROTO_TCP};

	addr_set_port(&passing.source, OTHER_PORT);
	addr_set_port(&passing.destination, OTHER_PORT);
	addr_set_port(&sent.destination, OTHER_PORT);
	sent.source = own != NULL ? own->address : addr_any(family_of(path));
	for (int established = 0; established < 2; established++) {
		passing.ct = sent.ct = established ? CT_ESTABLISHED : CT_NEW;
		passing.tcp_flags = sent.tcp_flags = established ? TH_ACK : TH_SYN;
		if (gets_mark(check, HOOK_PREROUTING, &passing, mark, mask) ||
			gets_mark(check, HOOK_OUTPUT, &sent, mark, mask))
			return true;
	}
	return false;
}

const char *packet_why_unsure(const struct rule *rule)
{
	if (rule->text != NULL && strstr(rule->text, "--match-set ") != NULL)
		return "it asks a set that check could not read; `ipset list` prints it";
	return "unsupported match or target";
}

void packet_report_uncertain(
	struct check *check, const struct packet_path *path, const struct trace *trace)
{
	for (size_t i = 0; i < trace->unsure_count; i++) {
		char *rule = check_rule_text(check, trace->unsures[i]);

		check_add(check, item_of_rule(trace->unsures[i]),
			packet_certainty(check, path, trace, CHECK_UNKNOWN), path->subject,
			"%s might apply to them (%s)", rule, packet_why_unsure(trace->unsures[i]));
		free(rule);
	}
}

void packet_report_nat(struct check *check, const struct packet_path *path, enum check_item item,
	const struct packet *packet, const struct trace *trace)
{
	char *rule = check_rule_text(check, trace->nat);
	const char *what = item == CHECK_NAT_DESTINATION ? "their destination"
			   : packet->reply ? "the address that the client connected to"
					   : "the client's address";
	struct check_finding *finding =
		check_add(check, item, packet_certainty(check, path, trace, CHECK_HARMFUL),
			path->subject, "%s changes %s", rule, what);

	if (finding->state == CHECK_HARMFUL)
		check_fix_accept(check, finding, packet, trace->mark, &trace->nat_at, CHECK_FRONT);
	free(rule);
}
