/*
 * Sections of `mode udp`: what cannot be meant of datagrams, and how long their flows may be silent.
 *
 * All of it can only be judged once the backends of each frontend are known.
 */
#include "parser.h"

static void check_rules(struct parser *parser, const struct proxy *proxy)
{
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		for (size_t i = 0; i < proxy->rules[stage].count; i++)
			parser_fail_at(parser, proxy->rules[stage].list[i].line,
				proxy->rules[stage].list[i].text,
				"with 'mode udp' there are no rules; leave it out");
}

static void check_servers(struct parser *parser, const struct proxy *backend)
{
	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];

		const struct header_fields *fields = &server->send_proxy_fields;

		if (server->send_proxy == PROXY_HEADER_V1)
			parser_fail_at(parser, server->line, server->name,
				"the PROXY header of version 1 has no word for UDP; write "
				"'send-proxy-v2'");
		if (fields->checksum || fields->authority || fields->unique_id || fields->count > 0)
			parser_fail_at(parser, server->line, server->name,
				"with 'mode udp' each datagram has a PROXY header, and fields "
				"would leave too little of it; leave 'proxy-v2-options' and "
				"'set-proxy-v2-tlv-fmt' out");
		if (server->ends_sessions_down || server->ends_backups_up)
			parser_fail_at(parser, server->line, server->name,
				"with 'mode udp' there are no sessions to shut down; leave 'on-marked-down' and 'on-marked-up' out");
		if (server->maxqueue != 0)
			parser_fail_at(parser, server->line, server->name,
				"with 'mode udp' no datagram waits for a server; leave 'maxqueue' out");
	}
}

static void check_frontend(struct parser *parser, struct proxy *frontend)
{
	const struct proxy *backend = frontend->default_backend;
	unsigned client = frontend->timeouts[TIMEOUT_CLIENT];
	unsigned server = backend == NULL ? 0 : backend->timeouts[TIMEOUT_SERVER];

	frontend->flow_timeout = client;
	if (client == 0 || (server != 0 && server < client))
		frontend->flow_timeout = server;
	if (frontend->flow_timeout == 0)
		parser_fail_at(parser, frontend->line, frontend->name,
			"datagrams have no end, so 'mode udp' needs 'timeout client', 'timeout "
			"server' or both");
}

static void check_targets(struct parser *parser, const struct proxy *frontend)
{
	for (size_t i = 0; i < frontend->target_count; i++)
		if (frontend->targets[i]->mode != frontend->mode)
			parser_fail_at(parser, frontend->line, frontend->name,
				"its mode is not that of '%s', its backend; write the same 'mode' "
				"in both",
				frontend->targets[i]->name);
}

static void check_connections(struct parser *parser, const struct proxy *proxy)
{
	if (proxy->client_flows != 0 || proxy->client_rate != 0)
		parser_fail_at(parser, proxy->line, proxy->name,
			"'client-flows' and 'client-rate' are for datagrams; leave them out, or "
			"write 'mode udp'");
}

void config_resolve_datagrams(struct parser *parser)
{
	for (size_t i = 0; i < parser->config->proxy_count; i++) {
		struct proxy *proxy = &parser->config->proxies[i];

		check_targets(parser, proxy);
		if (proxy->mode != MODE_UDP) {
			check_connections(parser, proxy);
			continue;
		}
		parser->config->has_datagrams = true;
		check_rules(parser, proxy);
		if (proxy->role & ROLE_BACKEND)
			check_servers(parser, proxy);
		if (proxy->role & ROLE_FRONTEND)
			check_frontend(parser, proxy);
	}
}
