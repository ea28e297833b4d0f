/*
 * The whole: from the sections as they were read to the model, and what can only be checked there.
 *
 * Names become pointers here, once all sections are known, so the order of the sections does not
 * matter. Errors that may only be the echo of an earlier one are left out: after a section that was
 * not understood, a name that is missing proves nothing.
 */
#include "parser.h"

#include <string.h>

/* Gives a value back that `defaults` set. */
static void drop_value(const struct value *value, struct proxy *proxy)
{
	void *member = (char *)proxy + value->offset;

	switch (value->type) {
	case VALUE_OPTIONS:
		*(unsigned *)member &= ~value->bits;
		break;
	case VALUE_NUMBER:
	case VALUE_TIME:
		*(unsigned *)member = 0;
		break;
	case VALUE_FLAG:
		*(bool *)member = false;
		break;
	case VALUE_TEXT:
		*(const char **)member = NULL;
		break;
	case VALUE_OWN: /* kept in struct section, and resolved for its role below */
		break;
	}
}

/* Drops what a section took from `defaults` that its role does not use. */
static void keep_own_role(struct proxy *proxy)
{
	const struct keyword *keyword;

	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++)
		if ((keyword->where & IN_DEFAULTS) && !(keyword->where & role_places(proxy->role)))
			drop_value(&keyword->value, proxy);
}

/* The targets of the lines, each `log global` replaced by the targets of `global`. */
static struct log_targets resolve_logs(
	struct parser *parser, const struct log_line *lines, size_t line_count)
{
	const struct log_targets *global = &parser->config->global.logs;
	struct log_targets targets = {NULL, 0};
	size_t room = 0;

	if (line_count == 1 && lines[0].global)
		return *global; /* most sections say no more; nothing changes a list of the model */
	for (size_t i = 0; i < line_count; i++)
		room += lines[i].global ? global->count : 1;
	targets.list = memory_alloc(parser->memory, room * sizeof(*targets.list));
	for (size_t i = 0; i < line_count && targets.list != NULL; i++) {
		if (!lines[i].global) {
			targets.list[targets.count++] = lines[i].target;
			continue;
		}
		for (size_t j = 0; j < global->count; j++)
			targets.list[targets.count++] = global->list[j];
	}
	return targets;
}

/* A server whose source, its own or its backend's, is an address of the other family. */
static void check_source(
	struct parser *parser, const struct section *section, const struct server_line *line)
{
	const struct source *source = &line->server.source;

	if (source->mode != SOURCE_ADDRESS && source->mode != SOURCE_FOREIGN)
		return;
	if (server_is_original(&line->server) || !config_has_family(parser, &line->server))
		return; /* of the family that the client has */
	if (addr_family(&source->address) == addr_family(&line->server.address))
		return;
	parser_fail_at(parser, line->server.line, line->server.name,
		"the server is reached over %s, but 'source' in line %u gives an %s address",
		addr_family(&line->server.address) == AF_INET ? "IPv4" : "IPv6",
		line->has_source ? line->server.line : section->source_line,
		addr_family(&source->address) == AF_INET ? "IPv4" : "IPv6");
}

/* `option transparent` puts one server at the original destination in place of all others, as HAProxy does. */
static void put_original(struct parser *parser, struct section *section)
{
	struct server_line *original = memory_alloc(parser->memory, sizeof(*original));

	if (section->balance_line != 0)
		parser_fail_at(parser, section->balance_line, "balance",
			"'option transparent' leaves no servers to choose from; leave one of them "
			"out");
	if (section->server_count > 0)
		parser_warn_at(parser, section->servers[0].server.line,
			section->servers[0].server.name,
			"never used, since 'option transparent' connects to the address that the "
			"client connected to; leave one of them out");
	if (original == NULL)
		return;
	original->server.name = "<NOSRV>";
	original->server.address = addr_any(AF_INET);
	original->server.line = section->proxy.line;
	original->server.weight = 1;
	section->servers = original;
	section->server_count = 1;
}

static void resolve_servers(struct parser *parser, struct section *section, struct proxy *proxy)
{
	if (proxy->options & OPTION_TRANSPARENT)
		put_original(parser, section);
	proxy->check_script = config_check_script(parser, section);
	proxy->servers =
		memory_alloc(parser->memory, section->server_count * sizeof(*proxy->servers));
	if (proxy->servers == NULL)
		return;
	for (size_t i = 0; i < section->server_count; i++) {
		struct server_line *line = &section->servers[i];

		if (!line->has_source)
			line->server.source = section->source;
		line->server.index = parser->config->server_count++;
		check_source(parser, section, line);
		proxy->ramps |= line->server.slowstart != 0;
		proxy->queues |= server_is_limited(&line->server) && proxy->mode == MODE_TCP;
		config_check_target(parser, proxy->check_script, &line->server);
		config_check_agent(parser, &line->server);
		proxy->servers[proxy->server_count++] = line->server;
	}
	config_spread_turns(parser, proxy);
}

/* A section that has no mode of its own has that of `defaults`. */
static void check_modes(struct parser *parser)
{
	char more[64] = "";

	for (const struct section *section = parser->sections; section != NULL;
		section = section->next)
		if (section->http_mode_line != 0)
			parser_fail_at(parser, section->proxy.line, section->proxy.name,
				"'mode http' of line %u holds for it, and tproxyd relays TCP and "
				"reads nothing of it; write 'mode tcp'",
				section->http_mode_line);
	if (parser->http_count > 1)
		snprintf(more, sizeof(more), " (%u more like it in 'defaults')",
			parser->http_count - 1);
	if (parser->http_count > 0)
		parser_warn_at(parser, parser->http_line, parser->http_word,
			"no effect: it belongs to HTTP, and tproxyd relays TCP%s", more);
}

static void resolve_sections(struct parser *parser)
{
	struct config *config = parser->config;
	size_t size = parser->section_count * sizeof(*config->proxies);

	config->global.logs = resolve_logs(parser, parser->logs, parser->log_count);
	config->proxies = memory_alloc(parser->memory, size);
	if (config->proxies == NULL)
		return;
	for (struct section *section = parser->sections; section != NULL; section = section->next) {
		struct proxy *proxy = &config->proxies[config->proxy_count++];

		*proxy = section->proxy;
		keep_own_role(proxy);
		proxy->logs = resolve_logs(parser, section->logs, section->log_count);
		resolve_servers(parser, section, proxy);
	}
}

static void resolve_default_backend(
	struct parser *parser, const struct section *section, struct proxy *proxy)
{
	const char *name = section->default_backend;
	const struct claim *backend;

	if (!(proxy->role & ROLE_FRONTEND))
		return;
	if (name == NULL) {
		proxy->default_backend = proxy->role == ROLE_LISTEN ? proxy : NULL;
		return;
	}
	backend = claims_find(&parser->backends, name);
	proxy->default_backend = backend != NULL ? &parser->config->proxies[backend->index] : NULL;
	if (backend == NULL && !parser->skipped)
		parser_fail_at(parser, section->default_backend_line, name,
			"the default_backend of '%s' is no backend or listen section of this file",
			proxy->name);
	if (proxy->default_backend == proxy)
		parser_fail_at(parser, section->default_backend_line, name,
			"a listen section is its own backend; leave the line out");
}

static void resolve_default_backends(struct parser *parser)
{
	struct config *config = parser->config;
	const struct section *section = parser->sections;

	for (size_t i = 0; i < config->proxy_count; i++, section = section->next)
		resolve_default_backend(parser, section, &config->proxies[i]);
}

static const struct server *find_server(const struct proxy *backend, const char *name)
{
	for (size_t i = 0; i < backend->server_count; i++)
		if (strcmp(backend->servers[i].name, name) == 0)
			return &backend->servers[i];
	return NULL;
}

/* The server that TEXT names, from within BACKEND; NULL: there is none. */
static const struct server *find_tracked(
	const struct parser *parser, const struct proxy *backend, const char *text)
{
	const char *slash = strchr(text, '/');

	if (slash == NULL)
		return find_server(backend, text);
	for (size_t i = 0; i < parser->config->proxy_count; i++) {
		const struct proxy *other = &parser->config->proxies[i];

		if (other->role & ROLE_BACKEND && strlen(other->name) == (size_t)(slash - text) &&
			strncmp(other->name, text, (size_t)(slash - text)) == 0)
			return find_server(other, slash + 1);
	}
	return NULL;
}

static void resolve_track(struct parser *parser, const struct proxy *backend,
	const struct server_line *line, struct server *server)
{
	if (line->track == NULL)
		return;
	server->track = find_tracked(parser, backend, line->track);
	if (server->check.on)
		parser_fail_at(parser, server->line, "track",
			"the server cannot be checked, too; leave 'check' out, or write 'no-check'");
	else if (server->track == NULL)
		parser_fail_at(parser, server->line, line->track,
			"no server of this file; write its name, or BACKEND/SERVER");
}

/* What follows others must come to one that is checked. */
static void check_track(struct parser *parser, const struct server *server)
{
	const struct server *last = server;
	unsigned steps = 0;

	while (last->track != NULL && steps++ <= parser->config->server_count)
		last = last->track;
	if (server->track != NULL && !last->check.on)
		parser_fail_at(parser, server->line, server->name,
			"'track' leads to no server that is checked; write 'check' on the line of '%s'",
			last->name);
}

static void resolve_tracks(struct parser *parser)
{
	struct config *config = parser->config;
	const struct section *section = parser->sections;

	for (size_t i = 0; i < config->proxy_count; i++, section = section->next)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			resolve_track(parser, &config->proxies[i], &section->servers[j],
				&config->proxies[i].servers[j]);
	if (diag_count(parser->diag, DIAG_ERROR) > 0)
		return;
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			check_track(parser, &config->proxies[i].servers[j]);
}

/* --- listeners --- */

static bool same_interface(const struct bind *a, const struct bind *b)
{
	return strcmp(a->interface ? a->interface : "", b->interface ? b->interface : "") == 0;
}

/* Two sockets may not have the address with its port and the interface in common; one message a line. */
static void check_collisions(struct parser *parser, const struct places *places)
{
	unsigned reported = 0;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 1; i < places->count; i++) {
		const struct bind *a = places->list[i - 1].bind, *b = places->list[i].bind;

		if (places_compare(&a->address, &b->address) != 0 || !same_interface(a, b))
			continue;
		if (reported != b->line)
			parser_fail_at(parser, b->line, addr_format(&b->address, text),
				"line %u listens on this address already", a->line);
		reported = b->line;
	}
}

static bool intercepts(const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *proxy = &config->proxies[i];

		for (size_t j = 0; j < proxy->bind_count; j++)
			if (proxy->binds[j].transparent && addr_is_any(&proxy->binds[j].address))
				return true;
		for (size_t j = 0; j < proxy->server_count; j++)
			if (server_is_original(&proxy->servers[j]))
				return true;
	}
	return false;
}

/* What is only worth saying of a file without errors. */
static void judge_whole(struct parser *parser, const struct places *places)
{
	if (parser->config->proxy_count == 0) {
		parser_fail_at(parser, 0, NULL,
			"there is nothing to do; write a 'frontend' and a 'backend', or a 'listen' "
			"section");
		return;
	}
	config_warn_of_proxies(parser);
	config_warn_of_loops(parser, places);
}

/* --- sections of `mode udp`: what cannot be meant of datagrams, and how long their flows may be silent --- */

static void check_datagram_rules(struct parser *parser, const struct proxy *proxy)
{
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		for (size_t i = 0; i < proxy->rules[stage].count; i++)
			parser_fail_at(parser, proxy->rules[stage].list[i].line,
				proxy->rules[stage].list[i].text,
				"with 'mode udp' there are no rules; leave it out");
}

/* Sockets that take what comes from any port, and have the same port themselves, would get each other's. */
static void check_followed(struct parser *parser, const struct server *server)
{
	const struct source *source = &server->source;
	bool has_address = source->mode == SOURCE_ADDRESS || source->mode == SOURCE_FOREIGN;

	if (server->follows_port && (source->mode == SOURCE_CLIENT ||
					    (has_address && addr_port(&source->address) != 0)))
		parser_fail_at(parser, server->line, server->name,
			"'follow-port' needs a port of its own for each flow; write 'usesrc clientip', or leave the port out");
}

static void check_datagram_servers(struct parser *parser, const struct proxy *backend)
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
		check_followed(parser, server);
	}
}

static void check_datagram_frontend(struct parser *parser, struct proxy *frontend)
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

static void check_datagram_targets(struct parser *parser, const struct proxy *frontend)
{
	for (size_t i = 0; i < frontend->target_count; i++)
		if (frontend->targets[i]->mode != frontend->mode)
			parser_fail_at(parser, frontend->line, frontend->name,
				"its mode is not that of '%s', its backend; write the same 'mode' "
				"in both",
				frontend->targets[i]->name);
}

static void check_datagram_connections(struct parser *parser, const struct proxy *proxy)
{
	if (proxy->client_flows != 0 || proxy->client_rate != 0)
		parser_fail_at(parser, proxy->line, proxy->name,
			"'client-flows' and 'client-rate' are for datagrams; leave them out, or "
			"write 'mode udp'");
	for (size_t i = 0; i < proxy->server_count; i++)
		if (proxy->servers[i].follows_port)
			parser_fail_at(parser, proxy->servers[i].line, proxy->servers[i].name,
				"'follow-port' is for datagrams; leave it out, or write 'mode udp'");
}

static void resolve_datagrams(struct parser *parser)
{
	for (size_t i = 0; i < parser->config->proxy_count; i++) {
		struct proxy *proxy = &parser->config->proxies[i];

		check_datagram_targets(parser, proxy);
		if (proxy->mode != MODE_UDP) {
			check_datagram_connections(parser, proxy);
			continue;
		}
		parser->config->has_datagrams = true;
		check_datagram_rules(parser, proxy);
		if (proxy->role & ROLE_BACKEND)
			check_datagram_servers(parser, proxy);
		if (proxy->role & ROLE_FRONTEND)
			check_datagram_frontend(parser, proxy);
	}
}

void config_resolve(struct parser *parser)
{
	struct places places, datagrams;

	check_modes(parser);
	resolve_sections(parser);
	resolve_default_backends(parser);
	config_resolve_rules(parser);
	resolve_tracks(parser);
	config_resolve_resolvers(parser);
	resolve_datagrams(parser);
	parser->config->intercepts = intercepts(parser->config);
	if (places_sort(&places, parser->config, MODE_TCP, parser->memory) &&
		places_sort(&datagrams, parser->config, MODE_UDP, parser->memory)) {
		check_collisions(parser, &places);
		check_collisions(parser, &datagrams);
		if (diag_count(parser->diag, DIAG_ERROR) == 0)
			judge_whole(parser, &places);
	}
	if (memory_exhausted(parser->memory))
		parser_fail_at(parser, 0, NULL, "out of memory");
}
