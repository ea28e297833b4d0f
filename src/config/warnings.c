/*
 * Warnings: what a file without errors says, and can hardly mean.
 *
 * They are HAProxy's own, plus those for what can never work. Each is one message a section, or one a
 * frontend and its backend, so that a large file gives no more of them than it has lines.
 */
#include "parser.h"

#define FAMILIES 2

/* Servers that are reached from the client's address: how many, and the first of them. */
struct spoofed {
	const struct server *first;
	size_t count;
};

static unsigned family_index(const struct addr *address)
{
	return addr_family(address) == AF_INET ? 0 : 1;
}

/* HAProxy asks for them where they are used: a backend without servers needs none. */
static void warn_of_timeouts(struct parser *parser, const struct proxy *proxy)
{
	const unsigned *timeouts = proxy->timeouts;
	bool has_servers = proxy->server_count > 0;
	bool client = (proxy->role & ROLE_FRONTEND) && timeouts[TIMEOUT_CLIENT] == 0;
	bool connect = has_servers && timeouts[TIMEOUT_CONNECT] == 0;
	bool server = has_servers && timeouts[TIMEOUT_SERVER] == 0;

	if (proxy->mode == MODE_UDP)
		return; /* it has one of them, or there was an error */
	if (client || connect || server)
		parser_warn_at(parser, proxy->line, proxy->name,
			"without a limit, lost connections stay for ever; missing:%s%s%s",
			client ? " 'timeout client'" : "", connect ? " 'timeout connect'" : "",
			server ? " 'timeout server'" : "");
}

/* Whether a frontend can have clients of each family. A PROXY header may name one of any. */
static void client_families(const struct proxy *frontend, bool has[FAMILIES])
{
	for (size_t i = 0; i < frontend->bind_count; i++) {
		const struct bind *bind = &frontend->binds[i];

		has[family_index(&bind->address)] = true;
		if (config_reads_header(frontend, bind))
			has[0] = has[1] = true;
		if (bind->v6_mode != V6_ONLY && addr_is_any(&bind->address))
			has[0] = true;
	}
}

static void note_spoofed(const struct proxy *backend, struct spoofed spoofed[FAMILIES])
{
	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];
		struct spoofed *of = &spoofed[family_index(&server->address)];

		if (server->source.mode != SOURCE_CLIENT && server->source.mode != SOURCE_CLIENTIP)
			continue;
		if (server_is_original(server))
			continue; /* of the family that the client has */
		if (of->count++ == 0)
			of->first = server;
	}
}

/* A client's address cannot be the source of a connection to a server of the other family. */
static void warn_of_families(
	struct parser *parser, const struct proxy *frontend, const struct spoofed spoofed[FAMILIES])
{
	bool has[FAMILIES] = {false, false};

	client_families(frontend, has);
	for (unsigned i = 0; i < FAMILIES && frontend->bind_count > 0; i++) {
		const struct server *server = spoofed[i].first;
		char more[96] = "";

		if (has[i] || server == NULL)
			continue;
		if (spoofed[i].count > 1)
			snprintf(more, sizeof(more),
				" to this server and to %zu more of its backend",
				spoofed[i].count - 1);
		parser_warn_at(parser, server->line, server->name,
			"the clients of '%s' have no %s address, so every connection%s will be "
			"refused",
			frontend->name, i == 0 ? "IPv4" : "IPv6", more);
	}
}

/*
 * A listener that is not transparent gets connections to this host's own addresses alone. Where these are the original
 * destination, they lead back to the proxy, save that a PROXY header may name another one.
 */
static void warn_of_own_destinations(
	struct parser *parser, const struct proxy *frontend, const struct proxy *backend)
{
	const struct server *original = NULL;

	for (size_t i = 0; i < backend->server_count && original == NULL; i++)
		if (server_is_original(&backend->servers[i]) &&
			addr_port(&backend->servers[i].address) == 0)
			original = &backend->servers[i];
	for (size_t i = 0; i < frontend->bind_count && original != NULL; i++) {
		const struct bind *bind = &frontend->binds[i];

		if (bind->transparent || config_reads_header(frontend, bind))
			continue;
		parser_warn_at(parser, bind->line, "bind",
			"without 'transparent', only connections to this host itself arrive here; to "
			"connect to where the client connected to (line %u) would lead back to the "
			"proxy, so they are refused (destination-own)",
			original->line);
		return;
	}
}

static void warn_of_frontend(
	struct parser *parser, const struct section *section, const struct proxy *proxy)
{
	if (proxy->bind_count == 0)
		parser_warn_at(parser, proxy->line, proxy->name,
			"no 'bind' line, so no connection arrives; write one, or make the "
			"section a backend");
	if (proxy->target_count == 0)
		parser_warn_at(parser, proxy->line, proxy->name,
			"no 'default_backend', so every connection will be refused");
	if (proxy->server_count > 0 && proxy->default_backend != proxy)
		parser_warn_at(parser, proxy->line, proxy->name,
			"its servers are never used, since the 'default_backend' of line %u "
			"is used instead; leave out one of them",
			section->default_backend_line);
	if (config_logs_sessions(proxy) && proxy->logs.count == 0)
		parser_warn_at(parser, proxy->line, proxy->name,
			"'%s' has no effect without a 'log' line",
			proxy->options & OPTION_JSONLOG  ? "option jsonlog"
			: proxy->options & OPTION_TCPLOG ? "option tcplog"
							 : "log-format");
}

static void warn_of_proxy(
	struct parser *parser, const struct section *section, const struct proxy *proxy)
{
	if (proxy->role & ROLE_FRONTEND)
		warn_of_frontend(parser, section, proxy);
	if ((proxy->role == ROLE_BACKEND || proxy->default_backend == proxy) &&
		proxy->server_count == 0)
		parser_warn_at(parser, proxy->line, proxy->name,
			"no 'server' line, so every connection will be refused");
	warn_of_timeouts(parser, proxy);
}

void config_warn_of_proxies(struct parser *parser)
{
	const struct config *config = parser->config;
	const struct section *section = parser->sections;
	struct spoofed(*spoofed)[FAMILIES] =
		memory_alloc(parser->memory, config->proxy_count * sizeof(*spoofed));
	size_t binds = 0;

	if (spoofed == NULL)
		return;
	for (size_t i = 0; i < config->proxy_count; i++)
		note_spoofed(&config->proxies[i], spoofed[i]);
	for (size_t i = 0; i < config->proxy_count; i++, section = section->next) {
		const struct proxy *proxy = &config->proxies[i];

		binds += proxy->bind_count;
		warn_of_proxy(parser, section, proxy);
		for (size_t j = 0; j < proxy->target_count; j++) {
			warn_of_families(parser, proxy, spoofed[proxy->targets[j]->index]);
			warn_of_own_destinations(parser, proxy, proxy->targets[j]);
		}
	}
	if (binds == 0)
		parser_warn_at(
			parser, 0, NULL, "nothing listens, since no section has a 'bind' line");
}
