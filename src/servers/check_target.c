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

unsigned agent_interval(const struct server *server)
{
	return server->agent.inter != 0 ? server->agent.inter : INTER;
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

struct addr agent_target_address(const struct limits *limits, const struct server *server)
{
	const struct server_agent *agent = &server->agent;
	struct addr address = addr_family(&agent->addr) != AF_UNSPEC
				      ? agent->addr
				      : limits_target(limits, server, &server->address);

	addr_set_port(&address, (uint16_t)agent->port);
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

/* All but where, and what. */
static struct attempt_target target_within(
	const struct proxy *backend, const struct server *server, unsigned inter)
{
	unsigned connect = backend->timeouts[TIMEOUT_CONNECT];
	unsigned answer = backend->timeouts[TIMEOUT_CHECK];

	return (struct attempt_target){.source = check_target_source(server),
		.connect = answer != 0 && connect != 0 && connect < inter ? connect : inter,
		.answer = answer};
}

struct attempt_target check_target(
	const struct limits *limits, const struct proxy *backend, const struct server *server)
{
	struct attempt_target target = target_within(backend, server, check_interval(server));

	target.script = backend->check_script;
	target.address = check_target_address(limits, server);
	target.header = header_of(server);
	return target;
}

struct attempt_target agent_target(
	const struct limits *limits, const struct proxy *backend, const struct server *server)
{
	struct attempt_target target = target_within(backend, server, agent_interval(server));

	target.address = agent_target_address(limits, server);
	return target;
}
