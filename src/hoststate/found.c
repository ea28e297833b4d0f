/*
 * The service as the host's sockets show it, where no configuration says it.
 *
 * A connection from an address that is not the host's goes to a server, unless that is the address of a listener: then a
 * client's was accepted. The trap is a listener on a wildcard address. Connections that it accepted have foreign addresses of
 * any kind, so no server is concluded from them.
 */
#include "service.h"

/* Whether ADDRESS is that of a listener that was found. *ANY: one is on a wildcard address. */
static bool is_listeners(const struct service *service, const struct addr *address, bool *any)
{
	bool found = false;

	for (size_t i = 0; i < service->listener_count; i++) {
		*any |= addr_is_any(&service->listeners[i].address);
		found |= addr_compare_ip(&service->listeners[i].address, address) == 0;
	}
	return found;
}

static bool is_listed(const struct service *service, const struct host_socket *socket)
{
	for (size_t i = 0; i < service->listener_count; i++)
		if (addr_equal(&service->listeners[i].address, &socket->local) &&
			service->listeners[i].protocol == socket->protocol)
			return true;
	return false;
}

static void add_listeners(struct service *service, const struct host_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];

		if (socket->state == SOCKET_STATE_LISTENING && socket->options_known &&
			socket->transparent && addr_port(&socket->local) != 0 &&
			!is_listed(service, socket))
			service_put_listener(
				service, (struct service_listener){.address = socket->local,
						 .protocol = socket->protocol,
						 .transparent = true,
						 .v6_mode = socket->v6only ? V6_ONLY : V6_AND_V4});
	}
}

static bool is_server(const struct service *service, const struct addr *address)
{
	for (size_t i = 0; i < service->server_count; i++)
		if (addr_equal(&service->servers[i], address))
			return true;
	return false;
}

static void add_servers(
	struct service *service, const struct host_sockets *sockets, const struct network *network)
{
	bool any = false;

	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];

		if ((socket->state != SOCKET_STATE_CONNECTING &&
			    socket->state != SOCKET_STATE_CONNECTED) ||
			addr_is_any(&socket->local) || addr_is_any(&socket->remote) ||
			network_find_address(network, &socket->local) != NULL ||
			network_find_local_route(network, TABLE_LOCAL, &socket->local) != NULL ||
			is_listeners(service, &socket->local, &any) || any ||
			is_server(service, &socket->remote))
			continue;
		service_put_server(service, socket->remote, addr_any(AF_UNSPEC));
	}
	service->intercepts = any;
}

bool service_add_found(
	struct service *service, const struct host_sockets *sockets, const struct network *network)
{
	add_listeners(service, sockets);
	if (service->listener_count == 0)
		return false;
	service->found = true;
	service->spoofs = true; /* a transparent proxy that is not seen to connect may do that */
	add_servers(service, sockets, network);
	return true;
}
