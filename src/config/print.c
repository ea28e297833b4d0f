/*
 * The answer of `tproxyd -c`: what listens where, and where it connects to from which address.
 *
 * For people, and stable, so that two files can be compared by it: sections in the file's order,
 * one fact a line. Plain values follow in the order of the table of keywords, which says how each is
 * named, and whether it is left out where it was not set. Timeouts are in the largest unit that holds
 * them exactly.
 */
#include "keyword.h"

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

/* How one fact is printed: as a line of its own, or behind a comma. */
struct style {
	const char *before, *after_name, *after;
};

static const struct style of_section = {"  ", ": ", "\n"}, of_line = {", ", " ", ""};

static void print_number(FILE *out, const struct keyword *keyword, const char *name,
	const void *member, const struct style *style)
{
	unsigned number = *(const unsigned *)member;
	const char *shown = keyword->unset;
	char text[32];

	if (number != 0 && keyword->value.type == VALUE_TIME) {
		shown = duration_text(number, text, sizeof(text));
	} else if (number != 0) {
		snprintf(text, sizeof(text), "%u", number);
		shown = text;
	}
	if (shown != NULL)
		fprintf(out, "%s%s%s%s%s", style->before, name, style->after_name, shown,
			style->after);
}

static void print_value(
	FILE *out, const struct keyword *keyword, const void *object, const struct style *style)
{
	const void *member = (const char *)object + keyword->value.offset;
	const char *name = keyword->label != NULL ? keyword->label : keyword->name;
	const char *text;
	bool is_set = false;

	switch (keyword->value.type) {
	case VALUE_OWN:
		break;
	case VALUE_FLAG:
		is_set = *(const bool *)member;
		break;
	case VALUE_OPTIONS:
		is_set =
			keyword->label != NULL && (*(const unsigned *)member & keyword->value.bits);
		break;
	case VALUE_NUMBER:
	case VALUE_TIME:
		print_number(out, keyword, name, member, style);
		break;
	case VALUE_TEXT:
		text = *(const char *const *)member;
		if (text != NULL)
			fprintf(out, "%s%s %s%s", style->before, name, text, style->after);
		break;
	}
	if (is_set)
		fprintf(out, "%s%s%s", style->before, name, style->after);
}

/* Prints the plain values of OBJECT, which is the struct of the keywords at WHERE. */
static void print_values(FILE *out, unsigned where, const void *object, const struct style *style)
{
	const struct keyword *keyword;

	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++)
		if (keyword->where & where)
			print_value(out, keyword, object, style);
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

static void print_stats_sockets(FILE *out, const struct global *global)
{
	static const char *const levels[] = {"user", "operator", "admin"};
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < global->stats_socket_count; i++)
		fprintf(out, "  takes commands at %s, level %s\n", global->stats_sockets[i].path,
			levels[global->stats_sockets[i].level]);
	if (addr_family(&global->metrics) != AF_UNSPEC)
		fprintf(out, "  serves metrics at %s\n", addr_format(&global->metrics, text));
}

static void print_global(FILE *out, const struct global *global)
{
	fputs("global\n", out);
	print_values(out, IN_GLOBAL, global, &of_section);
	print_stats_sockets(out, global);
	print_logs(out, &global->logs);
}

static void print_bind(FILE *out, const struct bind *bind)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, "  listens on %s", addr_format(&bind->address, text));
	if (addr_family(&bind->address) == AF_INET6 && bind->v6_mode != V6_SYSTEM)
		fputs(bind->v6_mode == V6_ONLY ? ", IPv6 only" : ", IPv6 and IPv4", out);
	print_values(out, ON_BIND, bind, &of_line);
	fputc('\n', out);
}

/* As they were written, which is what the reader compares them with. */
static void print_rules(FILE *out, const struct client_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		fprintf(out, "  %s\n", rules->list[i].text);
}

static void print_frontend(FILE *out, const struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->bind_count; i++)
		print_bind(out, &proxy->binds[i]);
	for (int stage = STAGE_CONNECTION; stage <= STAGE_BACKEND; stage++)
		print_rules(out, &proxy->rules[stage]);
	if (proxy->target_count == 0)
		fputs("  refuses every connection: no default_backend\n", out);
	else if (proxy->default_backend == NULL)
		fputs("  refuses all other connections: no default_backend\n", out);
	else if (proxy->default_backend != proxy)
		fprintf(out, "  connects to the servers of %s\n", proxy->default_backend->name);
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

static void print_server(FILE *out, const struct proxy *proxy, const struct server *server)
{
	char text[ADDR_TEXT_MAX];

	if (proxy->options & OPTION_TRANSPARENT)
		fputs("  connects to ", out);
	else
		fprintf(out, "  server %s at ", server->name);
	if (server->host != NULL)
		fprintf(out, "%s, ", server->host);
	if (server->unresolved)
		fprintf(out, "with no address yet, port %u", addr_port(&server->address));
	else if (server_is_original(server) && addr_port(&server->address) != 0)
		fprintf(out, "the address that the client connected to, port %u",
			addr_port(&server->address));
	else if (server_is_original(server))
		fputs("the address and port that the client connected to", out);
	else if (addr_port(&server->address) != 0)
		fputs(addr_format(&server->address, text), out);
	else
		fprintf(out, "%s, the port that the client connected to",
			addr_format_ip(&server->address, text));
	fputs(", ", out);
	print_source(out, &server->source);
	if (server->send_proxy != PROXY_HEADER_NONE)
		fprintf(out, ", begins with a PROXY header of version %d",
			server->send_proxy == PROXY_HEADER_V1 ? 1 : 2);
	if (server->resolvers != NULL)
		fprintf(out, ", moves by %s", server->resolvers->name);
	if (server->track != NULL)
		fprintf(out, ", tracks %s", server->track->name);
	if (server->weight != 1)
		fprintf(out, ", weight %u", server->weight);
	print_values(out, ON_SERVER, server, &of_line);
	fputc('\n', out);
}

static void print_balance(FILE *out, const struct proxy *proxy)
{
	static const char *const names[] = {
		[BALANCE_LEASTCONN] = "the server with the fewest sessions",
		[BALANCE_FIRST] = "the first server that has room",
		[BALANCE_SOURCE] = "a server by the client's address",
		[BALANCE_RANDOM] = "the less busy one of servers drawn at random"};

	if (proxy->balance != BALANCE_ROUNDROBIN)
		fprintf(out, "  chooses %s%s\n", names[proxy->balance],
			proxy->balance == BALANCE_SOURCE && proxy->consistent ? ", consistently"
									      : "");
	if (proxy->redispatch != 0)
		fprintf(out, "  chooses another server after a failed attempt: %d\n",
			proxy->redispatch);
}

static void print_backend(FILE *out, const struct proxy *proxy)
{
	if (!(proxy->role & ROLE_FRONTEND))
		print_rules(out, &proxy->rules[STAGE_CONTENT]);
	print_rules(out, &proxy->rules[STAGE_SERVER]);
	print_balance(out, proxy);
	for (size_t i = 0; i < proxy->server_count; i++)
		print_server(out, proxy, &proxy->servers[i]);
	if (proxy->server_count == 0 && proxy->default_backend == proxy)
		fputs("  refuses every connection: no server\n", out);
}

static void print_proxy(FILE *out, const struct proxy *proxy)
{
	fprintf(out, "%s %s%s\n", place_name(role_places(proxy->role)), proxy->name,
		proxy->mode == MODE_UDP ? ", of datagrams" : "");
	if (proxy->role & ROLE_FRONTEND)
		print_frontend(out, proxy);
	if (proxy->role & ROLE_BACKEND)
		print_backend(out, proxy);
	print_values(out, role_places(proxy->role), proxy, &of_section);
	print_logs(out, &proxy->logs);
}

static void print_resolvers(FILE *out, const struct resolvers *resolvers)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, "resolvers %s\n", resolvers->name);
	for (size_t i = 0; i < resolvers->nameserver_count; i++)
		fprintf(out, "  asks %s at %s\n", resolvers->nameservers[i].name,
			addr_format(&resolvers->nameservers[i].address, text));
	print_values(out, IN_RESOLVERS, resolvers, &of_section);
}

void config_print(const struct config *config, FILE *out)
{
	print_global(out, &config->global);
	for (size_t i = 0; i < config->proxy_count; i++)
		print_proxy(out, &config->proxies[i]);
	for (const struct resolvers *each = config->resolvers; each != NULL; each = each->next)
		print_resolvers(out, each);
	fprintf(out, "%s\n",
		config_needs_transparent(config)
			? "needs IP_TRANSPARENT, hence the capability CAP_NET_RAW"
			: "needs no IP_TRANSPARENT");
}
