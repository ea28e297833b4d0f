/*
 * Most servers are at the address of their line. One at the wildcard is wherever the client connected to, and then the
 * client chooses, so every address is looked at before anything is sent to it.
 *
 * This host's own addresses are never such a destination. A client can reach them without the proxy, and a connection
 * from the proxy would come back to it, or reach a program that trusts this host. A port on the server's line is another
 * thing: it maps the host's own addresses to another port of them, as in HAProxy. That can work where no listener has
 * the port, and where the source is this host's, too.
 */
#include "destination.h"

#include "servers/own_traffic.h"
#include "servers/upstream.h"
#include "session_set.h"
#include "tproxy/socket.h"

#include <errno.h>

bool destination_asked(const struct session *session, struct addr *asked)
{
	*asked = session->destination;
	return addr_family(asked) != AF_UNSPEC ||
	       socket_local_address(session->sides[CLIENT].fd, asked);
}

bool destination_is_own_traffic(struct session *session, const struct bind *bind)
{
	struct session_set *set = session->set;
	struct addr destination;

	if (!(set->notes_own_traffic || bind->transparent) ||
		!destination_asked(session, &destination))
		return false;
	set->notes_own_traffic |= !addr_equal(&destination, &bind->address);
	return set->notes_own_traffic &&
	       own_traffic_has(SOCK_STREAM, &session->client, &destination);
}

static bool comes_back(const struct server *server)
{
	return addr_port(&server->address) == 0 || server->loop != NULL ||
	       upstream_is_foreign(&server->source);
}

enum reason destination_judge(
	const struct server *server, const struct addr *to, enum address_kind kind)
{
	if (!addr_is_unicast(to) || addr_port(to) == 0)
		return REASON_DESTINATION_ADDRESS;
	switch (kind) {
	case ADDRESS_UNKNOWN:
		return upstream_open_reason(errno);
	case ADDRESS_BROADCAST:
		return REASON_DESTINATION_ADDRESS;
	case ADDRESS_OWN:
		return comes_back(server) ? REASON_DESTINATION_OWN : REASON_DONE;
	case ADDRESS_OTHER:
		break;
	}
	return REASON_DONE;
}

bool destination_allows_source(const struct session *session)
{
	return addr_family(&session->destination) == AF_UNSPEC ||
	       !upstream_uses_client(&session->server->source) ||
	       (addr_is_unicast(&session->client) &&
		       session_set_address_kind(session->set, &session->client) == ADDRESS_OTHER);
}

enum reason destination_choose(const struct session *session, struct addr *to, int *error)
{
	const struct server *server = session->server;
	bool is_original = server_is_original(server);
	struct addr asked = addr_any(AF_INET);
	enum address_kind kind;

	*error = 0;
	if (is_original || addr_port(&server->address) == 0)
		destination_asked(session, &asked);
	*to = server->resolvers == NULL ? server_address(server, &asked)
					: limits_target(session->set->limits, server, &asked);
	if (!is_original && server->loop == NULL)
		return REASON_DONE;
	kind = session_set_address_kind(session->set, to);
	if (!is_original)
		return kind == ADDRESS_OWN ? REASON_LOOP : REASON_DONE;
	*error = kind == ADDRESS_UNKNOWN ? errno : 0;
	return destination_judge(server, to, kind);
}
