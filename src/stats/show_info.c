/*
 * `show info`: the process as a whole, by HAProxy's names where they mean the same, and in its order. What has no meaning here, such as
 * pools or TLS, is left out.
 */
#include "command.h"

#include "tproxy/clock.h"
#include "tproxy/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct info {
	struct evbuffer *out;
	enum {
		INFO_TEXT,
		INFO_TYPED,
		INFO_JSON
	} form;
	unsigned position;
	uint64_t bytes; /* to clients, of all frontends */
};

static void add_value(
	struct info *info, const char *name, const char *tag, const char *type, const char *value)
{
	bool is_text = strcmp(type, "str") == 0;

	if (info->form == INFO_TEXT)
		evbuffer_add_printf(info->out, "%s: %s\n", name, value);
	else if (info->form == INFO_TYPED)
		evbuffer_add_printf(
			info->out, "%u.%s.1:%s:%s:%s\n", info->position, name, tag, type, value);
	else
		evbuffer_add_printf(info->out,
			"%s{\"field\":{\"pos\":%u,\"name\":\"%s\"},\"processNum\":1,\"value\":{\"type\":\"%s\",\"value\":%s%s%s}}",
			info->position == 0 ? "[" : ",", info->position, name, type,
			is_text ? "\"" : "", value, is_text ? "\"" : "");
	info->position++;
}

static void add_number(struct info *info, const char *name, const char *tag, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	add_value(info, name, tag, "u64", text);
}

static void add_process(struct info *info, const struct stats_core *core)
{
	uint64_t uptime = (uint64_t)(clock_ms() - core->started) / 1000;
	char text[64];

	add_value(info, "Name", "POS", "str", "tproxyd");
	add_value(info, "Version", "POS", "str", TPROXYD_VERSION);
	add_value(info, "Release_date", "POS", "str", "none");
	add_number(info, "Nbthread", "CGS", core->subject.workers);
	add_number(info, "Nbproc", "CGS", 1);
	add_number(info, "Process_num", "KGP", 1);
	add_number(info, "Pid", "SGP", (uint64_t)getpid());
	snprintf(text, sizeof(text), "%" PRIu64 "d %" PRIu64 "h%02" PRIu64 "m%02" PRIu64 "s",
		uptime / 86400, uptime / 3600 % 24, uptime / 60 % 60, uptime % 60);
	add_value(info, "Uptime", "MDP", "str", text);
	add_number(info, "Uptime_sec", "MDP", uptime);
}

/* Sums over all frontends. */
static void add_traffic(struct info *info, const struct stats_core *core)
{
	const struct stats_subject *subject = &core->subject;
	uint64_t connections = 0, sessions = 0, out = 0;
	struct tally_sums sums;

	for (size_t i = 0; i < subject->config->proxy_count; i++) {
		const struct proxy *proxy = &subject->config->proxies[i];

		if (!(proxy->role & ROLE_FRONTEND))
			continue;
		tally_sum(tally_of_frontend(subject->tallies, proxy), &sums);
		connections += sums.items[TALLY_CONNECTIONS];
		sessions += sums.items[TALLY_SESSIONS];
		out += sums.items[TALLY_OUT];
	}
	add_number(info, "CurrConns", "MGP", limits_sessions(limits_process(subject->limits)));
	add_number(info, "CumConns", "MCP", connections);
	add_number(info, "CumReq", "MCP", sessions);
	add_number(info, "Maxpipes", "CLP", subject->maxconn / 4);
	add_number(info, "PipesUsed", "MGP", limits_pipes(limits_process(subject->limits)));
	add_number(info, "ConnRate", "MRP", core->process.connection_rate);
	add_number(info, "ConnRateLimit", "CLP", 0);
	add_number(info, "MaxConnRate", "MMP", core->process.most_connection_rate);
	add_number(info, "SessRate", "MRP", core->process.rate);
	add_number(info, "SessRateLimit", "CLP", 0);
	add_number(info, "MaxSessRate", "MMP", core->process.most_rate);
	add_number(info, "Tasks", "MGP", limits_sessions(limits_process(subject->limits)));
	add_number(info, "Run_queue", "MGP", 0);
	info->bytes = out;
}

void run_show_info(struct cli *cli, const struct arguments *arguments)
{
	const struct stats_subject *subject = &cli->core->subject;
	struct info info = {.out = cli->out};

	for (unsigned i = 0; i < arguments->count; i++)
		if (strcmp(arguments->words[i], "typed") == 0)
			info.form = INFO_TYPED;
		else if (strcmp(arguments->words[i], "json") == 0)
			info.form = INFO_JSON;
	add_process(&info, cli->core);
	add_number(&info, "Ulimit-n", "CLP", subject->descriptors);
	add_number(&info, "Maxsock", "CLP", subject->descriptors);
	add_number(&info, "Maxconn", "CLP", subject->maxconn);
	add_number(&info, "Hard_maxconn", "CLP", subject->maxconn);
	add_traffic(&info, cli->core);
	add_value(&info, "node", "CGS", "str", cli->core->node);
	add_number(&info, "Stopping", "SGP", 0);
	add_number(&info, "DroppedLogs", "MCP", cli->core->host.lost_lines(cli->core->host.arg));
	add_number(&info, "TotalBytesOut", "MCP", info.bytes);
	add_number(&info, "Start_time_sec", "MDP", (uint64_t)cli->core->started_at);
	if (info.form == INFO_JSON)
		evbuffer_add_printf(cli->out, "]\n");
}

/* As the master of HAProxy, whose workers do not know the command: one line, for this process. */
void run_show_proc(struct cli *cli, const struct arguments *arguments)
{
	const struct stats_core *core = cli->core;
	uint64_t uptime = (uint64_t)(clock_ms() - core->started) / 1000;
	char reloads[64], since[64];

	(void)arguments;
	snprintf(reloads, sizeof(reloads), "%" PRIu64 " [failed: %" PRIu64 "]", core->reloads,
		core->failed_reloads);
	snprintf(since, sizeof(since), "%" PRIu64 "d%02" PRIu64 "h%02" PRIu64 "m%02" PRIu64 "s",
		uptime / 86400, uptime / 3600 % 24, uptime / 60 % 60, uptime % 60);
	evbuffer_add_printf(cli->out,
		"#<PID>          <type>          <reloads>       <uptime>        <version>\n"
		"%-15d %-15s %-15s %-15s %s\n",
		(int)getpid(), "master", reloads, since, TPROXYD_VERSION);
	cli_say(cli, "");
}
