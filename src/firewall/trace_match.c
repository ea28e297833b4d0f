/*
 * Whether a match holds for a packet.
 *
 * The trap is what is known of a packet at a place: connection tracking has seen it only behind conntrack's own priority, and
 * before that it has no state and no connection.
 */
#include "trace_match.h"

#include <string.h>

enum {
	CONNTRACK_PRIORITY = -200 /* NF_IP_PRI_CONNTRACK */
};

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

/* A number that a packet is not known to have is 0. */
static enum match_answer known_number(const struct match *match, unsigned number)
{
	return number == 0 ? UNKNOWN : answer(has_number(match, number));
}

bool trace_has_ports(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
}

bool trace_is_named(const char *patterns, const char *name, char any)
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
	return answer(trace_is_named(match->text, name == NULL ? "" : name, any));
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

/* Whether connection tracking has seen the packet before this chain; what comes by lo it has seen at OUTPUT. */
static bool is_seen(const struct walk *walk)
{
	const char *in = walk->packet->in;

	if (in != NULL && strcmp(in, "lo") == 0)
		return true;
	if (walk->hook == HOOK_PREROUTING || walk->hook == HOOK_OUTPUT)
		return walk->base->priority > CONNTRACK_PRIORITY;
	return walk->hook != HOOK_INGRESS;
}

bool trace_has_connection(const struct walk *walk)
{
	return is_seen(walk) && walk->ct != CT_UNTRACKED && walk->ct != CT_INVALID;
}

static bool state_holds(const struct walk *walk, const struct match *match)
{
	/* Before that, only a packet that a rule has left out has a state. */
	if (!is_seen(walk) && !walk->left_out)
		return (match->number & CT_INVALID) != 0;
	return (match->number & walk->ct) != 0;
}

/* Whether an answer about a route counts for a match that asks for a link. */
static bool is_on_link(
	const struct walk *walk, const struct match *match, const struct trace_route *route)
{
	const char *link = match->mask & ROUTE_ON_LINK_IN    ? walk->packet->in
			   : match->mask & ROUTE_ON_LINK_OUT ? walk->packet->out
							     : NULL;

	if ((match->mask & (ROUTE_ON_LINK_IN | ROUTE_ON_LINK_OUT)) == 0)
		return true;
	return link != NULL && route->link != NULL && strcmp(link, route->link) == 0;
}

/* Asks the host what the match asks of the routing tables. */
static bool ask_host(const struct walk *walk, const struct match *match, struct trace_route *route)
{
	const struct packet *packet = walk->packet;
	const struct addr *address =
		match->mask & ROUTE_TO_SOURCE ? &packet->source : &packet->destination;
	uint32_t mark = match->mask & ROUTE_BY_MARK ? walk->trace.mark : 0;
	const struct trace_host *host = packet->host;

	*route = (struct trace_route){.type = ADDRESS_UNICAST};
	if (match->kind == MATCH_ROUTE)
		return host != NULL && host->route != NULL &&
		       host->route(host->context, address, mark, route);
	if (host != NULL && host->type != NULL)
		return host->type(host->context, address, mark, route);
	if (packet->destination_local)
		route->type = ADDRESS_LOCAL;
	return match->mask == 0;
}

static enum match_answer type_holds(const struct walk *walk, const struct match *match)
{
	struct trace_route route;

	if (!ask_host(walk, match, &route))
		return UNKNOWN;
	if (route.type == ADDRESS_LOCAL && !is_on_link(walk, match, &route))
		route.type = ADDRESS_UNICAST;
	return answer((match->number & route.type) != 0);
}

/* A local route is none here: the kernel does not expect own addresses as sources (nft_fib4_eval()). */
static enum match_answer route_holds(const struct walk *walk, const struct match *match)
{
	struct trace_route route;
	bool counts;

	if (!ask_host(walk, match, &route))
		return UNKNOWN;
	counts = route.type == ADDRESS_UNICAST ||
		 (route.type == ADDRESS_LOCAL && (match->mask & ROUTE_MAY_BE_LOCAL) != 0);
	return answer(counts && is_on_link(walk, match, &route));
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
	case MATCH_ICMP_TYPE:
		return known_number(match, packet->icmp_type);
	case MATCH_ICMP_CODE:
		return packet->icmp_type == 0 ? UNKNOWN : answer(has_number(match, 0));
	case MATCH_HOP_LIMIT:
		return known_number(match, packet->hop_limit);
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
	case MATCH_CT_MARK:
		return answer((walk->trace.ct_mark & match->mask) == match->number);
	case MATCH_TYPE:
		return type_holds(walk, match);
	case MATCH_ROUTE:
		return route_holds(walk, match);
	case MATCH_UID:
		if (packet->of_kernel)
			return NO;
		if (!packet->has_uid) /* a packet that comes in has no socket for this match */
			return walk->hook == HOOK_OUTPUT || walk->hook == HOOK_POSTROUTING ? UNKNOWN
											   : NO;
		return answer(packet->uid >= match->number && packet->uid <= match->mask);
	case MATCH_LIMIT:
		return answer(!packet->limits_reached);
	case MATCH_ALWAYS:
		return YES;
	default:
		return UNKNOWN;
	}
}

/* A match about a field that the packet does not have fails, negated or not. */
static bool lacks_field(const struct walk *walk, const struct match *match)
{
	const struct packet *packet = walk->packet;

	switch (match->kind) {
	case MATCH_SOURCE_PORT:
	case MATCH_DESTINATION_PORT:
		return !trace_has_ports(packet);
	case MATCH_TCP_FLAGS:
		return packet->protocol != IPPROTO_TCP;
	case MATCH_ICMP_TYPE:
	case MATCH_ICMP_CODE:
		return packet->protocol != IPPROTO_ICMPV6;
	case MATCH_CT_MARK:
		return !trace_has_connection(walk);
	case MATCH_UID: /* nft's rule ends there; iptables' match is for no user */
		return packet->of_kernel && walk->table->tool == TOOL_NFT;
	default:
		return false;
	}
}

enum match_answer trace_match_holds(const struct walk *walk, const struct match *match)
{
	enum match_answer plain;

	if (lacks_field(walk, match))
		return NO;
	plain = answer_without_negation(walk, match);
	if (plain == UNKNOWN || !match->negated)
		return plain;
	return answer(plain == NO);
}
