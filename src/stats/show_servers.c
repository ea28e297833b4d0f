/*
 * `show servers`, in the columns of HAProxy, and why sessions ended, which HAProxy does not count.
 */
#include "command.h"

#include "servers/balance.h"
#include "tproxy/clock.h"

#include <inttypes.h>
#include <string.h>

typedef void (*server_user)(
	struct cli *cli, const struct proxy *backend, const struct server *server);

/* All servers, or those of the backend that is named. False: there is no such backend. */
static bool each_server(struct cli *cli, const char *name, server_user use)
{
	const struct config *config = cli->core->subject.config;
	bool found = *name == '\0';

	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *backend = &config->proxies[i];

		if (!(backend->role & ROLE_BACKEND) ||
			(*name != '\0' && strcmp(backend->name, name) != 0))
			continue;
		found = true;
		for (size_t j = 0; j < backend->server_count; j++)
			use(cli, backend, &backend->servers[j]);
	}
	return found;
}

static bool has_backend(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		if ((config->proxies[i].role & ROLE_BACKEND) &&
			strcmp(config->proxies[i].name, name) == 0)
			return true;
	return *name == '\0';
}

/* --- states --- */

/* Bits of HAProxy's srv_admin_state (management guide, section 9.3, `show servers state`). */
static unsigned admin_state(const struct limits *limits, const struct server *server)
{
	enum server_state own = limits_own_state(limits, server);
	enum server_state other =
		server->track == NULL ? SERVER_READY : limits_state(limits, server->track);
	unsigned bits = server->disabled ? 0x04 : 0; /* also once it was enabled */

	if (own == SERVER_MAINT)
		bits |= 0x01;
	if (own == SERVER_DRAIN)
		bits |= 0x08;
	if (other == SERVER_MAINT)
		bits |= 0x02;
	if (other == SERVER_DRAIN)
		bits |= 0x10;
	return bits;
}

static unsigned check_result(const struct health_report *report)
{
	if (!report->has_verdict)
		return 0;
	return health_is_passed(report->verdict.status) ? 3 : 2;
}

/* HAProxy's number of a check's status. */
static unsigned check_status(const struct health_report *report, bool is_checked)
{
	static const unsigned numbers[] = {[HEALTH_SOCKERR] = 4,
		[HEALTH_L4OK] = 6,
		[HEALTH_L4TOUT] = 7,
		[HEALTH_L4CON] = 8,
		[HEALTH_L6OK] = 9,
		[HEALTH_L6TOUT] = 10,
		[HEALTH_L6RSP] = 11,
		[HEALTH_L7OK] = 15,
		[HEALTH_L7TOUT] = 13,
		[HEALTH_L7RSP] = 14,
		[HEALTH_L7STS] = 18};

	return is_checked && report->has_verdict ? numbers[report->verdict.status] : 1;
}

/* Bits of srv_agent_state: it is configured, enabled, an agent; and it is asked just now. */
static unsigned agent_state(const struct stats_subject *subject, const struct server *server)
{
	struct health_report report;

	if (!agents_report(subject->agents, server, &report))
		return 0;
	return 0x16 | report.runs;
}

static void print_state(struct cli *cli, const struct proxy *backend, const struct server *server)
{
	const struct stats_subject *subject = &cli->core->subject;
	const struct standing *standing = tally_standing(tally_of_server(subject->tallies, server));
	struct health_report report = {0};
	bool is_checked = health_report(subject->health, server, &report);
	bool is_maintained = limits_state(subject->limits, server) == SERVER_MAINT;
	bool is_up = limits_is_up(subject->limits, server) && !is_maintained;
	struct addr at = limits_target(subject->limits, server, &server->address);
	const struct server_agent *agent = &server->agent;
	char address[ADDR_TEXT_MAX], of_agent[ADDR_TEXT_MAX];

	evbuffer_add_printf(cli->out,
		"%u %s %u %s %s %u %u %u %u %lld %u %u %u %u %u 0 0 %s %u - 0 %u - %s %u\n",
		row_section_id(backend), backend->name, row_server_id(backend, server),
		server->name, addr_family(&at) == AF_UNSPEC ? "-" : addr_format_ip(&at, address),
		is_up ? 2 : 0, admin_state(subject->limits, server),
		limits_weight(subject->limits, server), server->weight,
		(clock_ms() - standing->changed) / 1000, check_status(&report, is_checked),
		is_checked ? check_result(&report) : 0,
		is_checked      ? report.points
		: is_maintained ? 0
				: 2,
		is_checked ? 6 : 0, agent_state(subject, server),
		server->host == NULL ? "-" : server->host, addr_port(&server->address),
		server->check.port,
		addr_family(&agent->addr) == AF_UNSPEC ? "-"
						       : addr_format_ip(&agent->addr, of_agent),
		agent->port);
}

void run_show_servers_state(struct cli *cli, const struct arguments *arguments)
{
	if (!has_backend(cli->core->subject.config, arguments->words[0])) {
		cli_say(cli, "Can't find backend.");
		return;
	}
	cli_say(cli,
		"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight"
		" srv_iweight srv_time_since_last_change srv_check_status srv_check_result"
		" srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id"
		" srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr"
		" srv_agent_addr srv_agent_port");
	each_server(cli, arguments->words[0], print_state);
}

/* --- connections --- */

static void print_connections(
	struct cli *cli, const struct proxy *backend, const struct server *server)
{
	const struct stats_subject *subject = &cli->core->subject;
	struct addr at = limits_target(subject->limits, server, &server->address);
	struct tally_sums sums;
	char address[ADDR_TEXT_MAX];

	tally_sum(tally_of_server(subject->tallies, server), &sums);
	evbuffer_add_printf(cli->out, "%s/%s %u/%u %s %u - 0 %u %u 0 0 0 0 0\n", backend->name,
		server->name, row_section_id(backend), row_server_id(backend, server),
		addr_family(&at) == AF_UNSPEC ? "-" : addr_format_ip(&at, address),
		addr_port(&server->address), limits_server_sessions(subject->limits, server),
		sums.most[TALLY_MOST_SESSIONS]);
}

void run_show_servers_conn(struct cli *cli, const struct arguments *arguments)
{
	if (!has_backend(cli->core->subject.config, arguments->words[0])) {
		cli_say(cli, "Can't find backend.");
		return;
	}
	cli_say(cli, "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est"
		     " unsafe_nb safe_nb idle_lim idle_cur");
	each_server(cli, arguments->words[0], print_connections);
}

/* --- reasons --- */

static void print_reasons(void *arg, const struct stat_row *row)
{
	struct cli *cli = arg;
	struct tally_sums sums;

	tally_sum(row->tally, &sums);
	for (unsigned reason = 0; reason < REASON_COUNT; reason++)
		if (sums.items[TALLY_REASONS + reason] > 0)
			evbuffer_add_printf(cli->out, "%s,%s,%s,%s,%" PRIu64 "\n",
				row->values[STAT_PXNAME].text, row->values[STAT_SVNAME].text,
				reason_name((enum reason)reason),
				reason_is_refusal((enum reason)reason) ? "refused" : "ended",
				sums.items[TALLY_REASONS + reason]);
}

void run_show_reasons(struct cli *cli, const struct arguments *arguments)
{
	const struct row_filter all = {.server = -1};

	(void)arguments;
	cli_say(cli, "# pxname,svname,reason,kind,sessions");
	rows_each(&cli->core->subject, &all, print_reasons, cli);
}

void run_show_errors(struct cli *cli, const struct arguments *arguments)
{
	struct timespec now;
	struct tm tm;
	char date[32];

	(void)arguments;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S", &tm);
	evbuffer_add_printf(
		cli->out, "Total events captured on [%s.%03ld] : 0\n", date, now.tv_nsec / 1000000);
}
