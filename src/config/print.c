/*
 * The answer of `tproxyd -c`: what listens where, and where it connects to from which address.
 *
 * For people, and stable, so that two files can be compared by it: sections in the file's order,
 * one fact a line, numbers without a limit left out unless their absence matters. Timeouts are in
 * the largest unit that holds them exactly.
 */
#include "tproxy/config.h"

#include <string.h>
#include <syslog.h>

static const char *duration_text(unsigned milliseconds, char *text, size_t size)
{
	static const struct {
		unsigned milliseconds;
		const char *unit;
	} units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	size_t i = 0;

	while (milliseconds % units[i].milliseconds != 0)
		i++;
	snprintf(text, size, "%u%s", milliseconds / units[i].milliseconds, units[i].unit);
	return text;
}

static void print_limit(FILE *out, const char *name, unsigned value, const char *otherwise)
{
	if (value != 0)
		fprintf(out, "  %s: %u\n", name, value);
	else
		fprintf(out, "  %s: %s\n", name, otherwise);
}

static void print_log(FILE *out, const struct log_target *target)
{
	static const char *const levels[] = {
		"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
	char text[ADDR_TEXT_MAX];

	fputs("  logs to ", out);
	switch (target->kind) {
	case LOG_TO_STDOUT:
		fputs("stdout", out);
		break;
	case LOG_TO_STDERR:
		fputs("stderr", out);
		break;
	case LOG_TO_FILE:
		fprintf(out, "file %s", target->path);
		break;
	case LOG_TO_UNIX:
		fprintf(out, "socket %s", target->path);
		break;
	case LOG_TO_SYSLOG:
		fputs(addr_format(&target->address, text), out);
		break;
	}
	fprintf(out, "%s, facility %d, up to %s\n", target->format == LOG_RAW ? " as raw text" : "",
		target->facility / 8, levels[target->max_level]);
}

static void print_logs(FILE *out, const struct log_targets *logs)
{
	for (size_t i = 0; i < logs->count; i++)
		print_log(out, &logs->list[i]);
}

static void print_global(FILE *out, const struct global *global)
{
	fputs("global\n", out);
	print_limit(
		out, "connections at the same time", global->maxconn, "from the descriptor limit");
	print_limit(out, "threads", global->nbthread, "one for each processor");
	if (global->user != NULL)
		fprintf(out, "  runs as user %s\n", global->user);
	if (global->group != NULL)
		fprintf(out, "  runs as group %s\n", global->group);
	if (global->pidfile != NULL)
		fprintf(out, "  pidfile %s\n", global->pidfile);
	if (global->nosplice)
		fputs("  never splices\n", out);
	print_logs(out, &global->logs);
}

static void print_bind(FILE *out, const struct bind *bind)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, "  listens on %s%s", addr_format(&bind->address, text),
		bind->transparent ? ", transparent" : "");
	if (addr_family(&bind->address) == AF_INET6 && bind->v6_mode != V6_SYSTEM)
		fputs(bind->v6_mode == V6_ONLY ? ", IPv6 only" : ", IPv6 and IPv4", out);
	if (bind->interface != NULL)
		fprintf(out, ", interface %s", bind->interface);
	if (bind->backlog != 0)
		fprintf(out, ", backlog %u", bind->backlog);
	if (bind->name != NULL)
		fprintf(out, ", name %s", bind->name);
	fputc('\n', out);
}

static void print_frontend(FILE *out, const struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->bind_count; i++)
		print_bind(out, &proxy->binds[i]);
	if (proxy->default_backend == NULL)
		fputs("  refuses every connection: no default_backend\n", out);
	else if (proxy->default_backend != proxy)
		fprintf(out, "  connects to the servers of %s\n", proxy->default_backend->name);
	if (proxy->maxconn != 0)
		fprintf(out, "  connections at the same time: %u\n", proxy->maxconn);
	if (proxy->backlog != 0)
		fprintf(out, "  backlog: %u\n", proxy->backlog);
}

static void print_source(FILE *out, const struct source *source)
{
	char text[ADDR_TEXT_MAX];

	switch (source->mode) {
	case SOURCE_ROUTED:
		fputs("from this host's address", out);
		break;
	case SOURCE_CLIENTIP:
		fputs("from the client's address, transparent", out);
		break;
	case SOURCE_CLIENT:
		fputs("from the client's address and port, transparent", out);
		break;
	case SOURCE_ADDRESS:
	case SOURCE_FOREIGN:
		fprintf(out, "from %s%s",
			addr_port(&source->address) != 0 ? addr_format(&source->address, text)
							 : addr_format_ip(&source->address, text),
			source->mode == SOURCE_FOREIGN ? ", transparent" : "");
		break;
	}
}

static void print_server(FILE *out, const struct server *server)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, "  server %s at ", server->name);
	if (addr_port(&server->address) != 0)
		fputs(addr_format(&server->address, text), out);
	else
		fprintf(out, "%s, the port that the client connected to",
			addr_format_ip(&server->address, text));
	fputs(", ", out);
	print_source(out, &server->source);
	fputc('\n', out);
}

static void print_backend(FILE *out, const struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->server_count; i++)
		print_server(out, &proxy->servers[i]);
	if (proxy->server_count == 0 && proxy->default_backend == proxy)
		fputs("  refuses every connection: no server\n", out);
	fprintf(out, "  retries: %u\n", proxy->retries);
}

static void print_options(FILE *out, unsigned options)
{
	static const struct {
		enum proxy_option option;
		const char *text;
	} texts[] = {{OPTION_TCPLOG, "logs each connection"},
		{OPTION_CLITCPKA, "sends keep-alives to clients"},
		{OPTION_SRVTCPKA, "sends keep-alives to servers"},
		{OPTION_SPLICE_REQUEST, "always splices to servers"},
		{OPTION_SPLICE_RESPONSE, "always splices to clients"}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (options & texts[i].option)
			fprintf(out, "  %s\n", texts[i].text);
}

static void print_proxy(FILE *out, const struct proxy *proxy)
{
	static const char *const names[TIMEOUT_COUNT] = {
		[TIMEOUT_CONNECT] = "connect",
		[TIMEOUT_CLIENT] = "client",
		[TIMEOUT_SERVER] = "server",
		[TIMEOUT_CLIENT_FIN] = "client-fin",
		[TIMEOUT_SERVER_FIN] = "server-fin",
	};
	const char *role = proxy->role == ROLE_LISTEN ? "listen" : "frontend";
	char text[32];

	fprintf(out, "%s %s\n", proxy->role == ROLE_BACKEND ? "backend" : role, proxy->name);
	if (proxy->role & ROLE_FRONTEND)
		print_frontend(out, proxy);
	if (proxy->role & ROLE_BACKEND)
		print_backend(out, proxy);
	for (int i = 0; i < TIMEOUT_COUNT; i++)
		if (proxy->timeouts[i] != 0)
			fprintf(out, "  timeout %s: %s\n", names[i],
				duration_text(proxy->timeouts[i], text, sizeof(text)));
	print_options(out, proxy->options);
	print_logs(out, &proxy->logs);
}

void config_print(const struct config *config, FILE *out)
{
	print_global(out, &config->global);
	for (size_t i = 0; i < config->proxy_count; i++)
		print_proxy(out, &config->proxies[i]);
	fprintf(out, "%s\n",
		config_needs_transparent(config)
			? "needs IP_TRANSPARENT, hence the capability CAP_NET_RAW"
			: "needs no IP_TRANSPARENT");
}
