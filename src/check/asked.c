/*
 * Answers what packet rules ask of the host: types of addresses, routes, and the first address of a link.
 *
 * Each answer comes from where the kernel takes it. For IPv4, addrtype and `fib … type` look at the table `local`
 * alone, whatever the mark (Linux: inet_addr_type()). For IPv6 they ask the policy rules, and `fib` may give them
 * the mark. rpfilter and `fib … oif` ask the policy rules in both families.
 */
#include "packet.h"

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
