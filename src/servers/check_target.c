/*
 * What a check connects to, from where, and with which header: by the words of the server's line, and of its backend.
 */
#include "check_target.h"

enum {
	INTER = 2000 /* ms; HAProxy's default */
};

unsigned check_interval(const struct server *server)
{
	return server->check.inter != 0 ? server->check.inter : INTER;
}

struct addr check_target_address(const struct limits *limits, const struct server *server)
{
	const struct server_check *check = &server->check;
	struct addr address = addr_family(&check->addr) != AF_UNSPEC
				      ? check->addr
				      : limits_target(limits, server, &server->address);
	uint16_t port = addr_port(&check->addr);

	if (addr_family(&check->addr) == AF_UNSPEC || port == 0)
		port = addr_port(&server->address);
	addr_set_port(&address, check->port != 0 ? (uint16_t)check->port : port);
	return address;
}

struct source check_target_source(const struct server *server)
{
	if (server->source.mode == SOURCE_ADDRESS)
		return server->source;
	return (struct source){.mode = SOURCE_ROUTED};
}

/* The header that clients' connections have, unless the check goes elsewhere. */
static enum proxy_header_version header_of(const struct server *server)
{
	const struct server_check *check = &server->check;
	bool elsewhere = check->port != 0 || addr_family(&check->addr) != AF_UNSPEC;

	if (check->send_proxy && server->send_proxy == PROXY_HEADER_NONE)
		return PROXY_HEADER_V1;
	return check->send_proxy || !elsewhere ? server->send_proxy : PROXY_HEADER_NONE;
}

struct attempt_target check_target(
	const struct limits *limits, const struct proxy *backend, const struct server *server)
{
	unsigned inter = check_interval(server);
	unsigned connect = backend->timeouts[TIMEOUT_CONNECT];
	unsigned answer = backend->timeouts[TIMEOUT_CHECK];

	return (struct attempt_target){.script = backend->check_script,
		.address = check_target_address(limits, server),
		.source = check_target_source(server),
		.header = header_of(server),
		.connect = answer != 0 && connect != 0 && connect < inter ? connect : inter,
		.answer = answer};
}
