/*
 * What stands in each field. Which ones a row has is HAProxy's choice, so that its readers find what they look for.
 */
#include "row.h"

#include "servers/balance.h"
#include "tproxy/clock.h"

#include <stdio.h>
#include <string.h>

static void put(struct stat_row *row, enum stat_field field, unsigned number)
{
	row->values[field] = (struct stat_value){STAT_U32, number, NULL};
}

static void put_large(struct stat_row *row, enum stat_field field, uint64_t number)
{
	row->values[field] = (struct stat_value){STAT_U64, number, NULL};
}

static void put_text(struct stat_row *row, enum stat_field field, const char *text)
{
	row->values[field] = (struct stat_value){STAT_TEXT, 0, text};
}

/* 0 is no limit, and leaves the field empty. */
static void put_limit(struct stat_row *row, enum stat_field field, unsigned limit)
{
	if (limit != 0)
		put(row, field, limit);
}

unsigned row_section_id(const struct proxy *proxy)
{
	return proxy->index + 2; /* HAProxy's first one is that of its socket */
}

unsigned row_server_id(const struct proxy *backend, const struct server *server)
{
	return (unsigned)(server - backend->servers) + 1;
}

static void begin(struct stat_row *row, const struct tally *tally, const struct proxy *proxy,
	unsigned object, const char *name)
{
	memset(row, 0, sizeof(*row));
	row->object = object;
	row->tally = tally;
	row->section = row_section_id(proxy);
	put_text(row, STAT_PXNAME, proxy->name);
	put_text(row, STAT_SVNAME, name);
	put(row, STAT_PID, 1);
	put(row, STAT_IID, row->section);
	put_text(row, STAT_MODE, proxy->mode == MODE_UDP ? "udp" : "tcp");
}

static void end(struct stat_row *row, unsigned server)
{
	row->server = server;
	put(row, STAT_SID, server);
	put(row, STAT_TYPE, row->object >> 1);
}

static void put_zeros(struct stat_row *row, const enum stat_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_large(row, fields[i], 0);
}

static void put_traffic(struct stat_row *row, const struct tally_sums *sums, unsigned sessions)
{
	put(row, STAT_SCUR, sessions);
	put(row, STAT_SMAX, sums->most[TALLY_MOST_SESSIONS]);
	put_large(row, STAT_STOT, sums->items[TALLY_SESSIONS]);
	put_large(row, STAT_BIN, sums->items[TALLY_IN]);
	put_large(row, STAT_BOUT, sums->items[TALLY_OUT]);
}

/* --- a frontend --- */

void row_of_frontend(
	const struct stats_subject *subject, const struct proxy *frontend, struct stat_row *row)
{
	static const enum stat_field zeros[] = {STAT_DRESP, STAT_COMP_IN, STAT_COMP_OUT,
		STAT_COMP_BYP, STAT_COMP_RSP, STAT_WREW, STAT_EINT, STAT_REQ_TOT};
	struct tally *tally = tally_of_frontend(subject->tallies, frontend);
	const struct standing *standing = tally_standing(tally);
	struct limits_counts counts = limits_counts(subject->limits, frontend, NULL, NULL);
	struct tally_sums sums;

	begin(row, tally, frontend, STAT_IS_FRONTEND, "FRONTEND");
	tally_sum(tally, &sums);
	put_traffic(row, &sums, counts.frontend);
	put(row, STAT_SLIM, frontend->maxconn != 0 ? frontend->maxconn : subject->maxconn);
	put_large(row, STAT_DREQ, sums.items[TALLY_DENIED_REQUEST]);
	put_large(row, STAT_EREQ, sums.items[TALLY_BAD_REQUESTS]);
	put_text(row, STAT_STATUS, "OPEN");
	put(row, STAT_RATE, standing->rate);
	put(row, STAT_RATE_LIM, 0);
	put(row, STAT_RATE_MAX, standing->most_rate);
	put(row, STAT_REQ_RATE, 0);
	put(row, STAT_REQ_RATE_MAX, 0);
	put(row, STAT_CONN_RATE, standing->connection_rate);
	put(row, STAT_CONN_RATE_MAX, standing->most_connection_rate);
	put_large(row, STAT_CONN_TOT, sums.items[TALLY_CONNECTIONS]);
	put_large(row, STAT_DCON, sums.items[TALLY_DENIED_CONNECTION]);
	put_large(row, STAT_DSES, sums.items[TALLY_DENIED_SESSION]);
	put_zeros(row, zeros, sizeof(zeros) / sizeof(zeros[0]));
	end(row, 0);
}

/* --- what backends and servers have in common --- */

static void put_times(struct stat_row *row, const struct tally_sums *sums)
{
	long long now = clock_ms();

	put(row, STAT_QTIME, sums->average[TALLY_QUEUE_TIME]);
	put(row, STAT_CTIME, sums->average[TALLY_CONNECT_TIME]);
	put(row, STAT_RTIME, 0);
	put(row, STAT_TTIME, sums->average[TALLY_TOTAL_TIME]);
	put(row, STAT_QTIME_MAX, sums->most[TALLY_MOST_TIME + TALLY_QUEUE_TIME]);
	put(row, STAT_CTIME_MAX, sums->most[TALLY_MOST_TIME + TALLY_CONNECT_TIME]);
	put(row, STAT_RTIME_MAX, 0);
	put(row, STAT_TTIME_MAX, sums->most[TALLY_MOST_TIME + TALLY_TOTAL_TIME]);
	row->values[STAT_LASTSESS] = (struct stat_value){STAT_S32,
		sums->last == 0 ? (uint64_t)-1 : ((uint64_t)now - sums->last) / 1000, NULL};
}

static void put_upstream(
	struct stat_row *row, const struct tally_sums *sums, const struct standing *standing)
{
	static const enum stat_field zeros[] = {STAT_DRESP, STAT_WREW, STAT_REUSE, STAT_EINT};

	put(row, STAT_QMAX, sums->most[TALLY_MOST_WAITING]);
	put_large(row, STAT_ECON, sums->items[TALLY_CONNECT_ERRORS]);
	put_large(row, STAT_ERESP, sums->items[TALLY_SERVER_ERRORS]);
	put_large(row, STAT_WRETR, sums->items[TALLY_RETRIES]);
	put_large(row, STAT_WREDIS, sums->items[TALLY_REDISPATCHES]);
	put_large(row, STAT_CLI_ABRT, sums->items[TALLY_CLIENT_ABORTS]);
	put_large(row, STAT_SRV_ABRT, sums->items[TALLY_SERVER_ABORTS]);
	put_large(row, STAT_LBTOT, sums->items[TALLY_CHOSEN]);
	put_large(row, STAT_CONNECT, sums->items[TALLY_ATTEMPTS]);
	put(row, STAT_RATE, standing->rate);
	put(row, STAT_RATE_MAX, standing->most_rate);
	put(row, STAT_LASTCHG, (unsigned)((clock_ms() - standing->changed) / 1000));
	put_zeros(row, zeros, sizeof(zeros) / sizeof(zeros[0]));
	put_times(row, sums);
}

static unsigned down_seconds(const struct standing *standing)
{
	long long time = standing->down_time;

	if (standing->is_down)
		time += clock_ms() - standing->changed;
	return (unsigned)(time / 1000);
}

/* --- a server --- */

static const struct server *last_tracked(const struct server *server)
{
	while (server->track != NULL)
		server = server->track;
	return server;
}

static const struct proxy *backend_of(const struct config *config, const struct server *server)
{
	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *proxy = &config->proxies[i];

		if (server >= proxy->servers && server < proxy->servers + proxy->server_count)
			return proxy;
	}
	return NULL;
}

/* HAProxy's words: how near the server is to going down or up is said, too. AGENT: it, or the one that it tracks, has one. */
static void put_status(const struct stats_subject *subject, struct stat_row *row,
	const struct server *server, const struct health_report *report, bool is_checked,
	const struct health_report *agent)
{
	enum server_state state = limits_state(subject->limits, server);
	const char *up = state == SERVER_DRAIN ? "DRAIN" : "UP";
	unsigned most = report->rise + report->fall - 1;
	bool is_via = server->track != NULL &&
		      limits_state(subject->limits, server->track) == SERVER_MAINT;

	row->is_maintained = state == SERVER_MAINT;
	row->is_down = !limits_is_up(subject->limits, server);
	if (row->is_maintained && is_via)
		snprintf(row->status, sizeof(row->status), "MAINT (via %s)", row->tracked);
	else if (row->is_maintained)
		snprintf(row->status, sizeof(row->status), "MAINT");
	else if (row->is_down && agent != NULL && agent->points == 0)
		snprintf(row->status, sizeof(row->status), "DOWN (agent)");
	else if (!row->is_down && agent != NULL && state == SERVER_DRAIN)
		snprintf(row->status, sizeof(row->status), "DRAIN (agent)");
	else if (row->is_down && is_checked && report->points > 0)
		snprintf(row->status, sizeof(row->status), "DOWN %u/%u", report->points,
			report->rise);
	else if (!row->is_down && is_checked && report->points < most)
		snprintf(row->status, sizeof(row->status), "%s %u/%u", up,
			report->points - report->rise + 1, report->fall);
	else
		snprintf(row->status, sizeof(row->status), "%s",
			row->is_down                          ? "DOWN"
			: is_checked || state == SERVER_DRAIN ? up
							      : "no check");
	put_text(row, STAT_STATUS, row->status);
}

static void put_check(struct stat_row *row, const struct health_report *report,
	const struct standing *standing, bool is_own)
{
	const struct health_verdict *verdict = &report->verdict;

	if (is_own) {
		put_large(row, STAT_CHKFAIL, report->failures - standing->failures);
		put_large(row, STAT_CHKDOWN, standing->downs);
		put(row, STAT_DOWNTIME, down_seconds(standing));
	}
	if (!is_own || row->is_maintained)
		return;
	put(row, STAT_CHECK_RISE, report->rise);
	put(row, STAT_CHECK_FALL, report->fall);
	put(row, STAT_CHECK_HEALTH, report->points);
	if (!report->has_verdict) {
		put_text(row, STAT_CHECK_STATUS, "INI");
		put_text(row, STAT_CHECK_DESC, "Initializing");
		return;
	}
	snprintf(row->check, sizeof(row->check), "%s%s", report->runs ? "* " : "",
		health_status_code(verdict->status));
	put_text(row, STAT_CHECK_STATUS, row->check);
	put_text(row, STAT_CHECK_DESC, health_status_text(verdict->status));
	if (verdict->status >= HEALTH_L7OK)
		put(row, STAT_CHECK_CODE, verdict->code);
	put_large(row, STAT_CHECK_DURATION, report->duration);
	snprintf(row->info, sizeof(row->info), "%s", verdict->info);
	put_text(row, STAT_LAST_CHK, row->info);
}

static void put_agent(struct stat_row *row, const struct health_report *report)
{
	const struct health_verdict *verdict = &report->verdict;

	put(row, STAT_AGENT_RISE, report->rise);
	put(row, STAT_AGENT_FALL, report->fall);
	put(row, STAT_AGENT_HEALTH, report->points);
	if (!report->has_verdict) {
		put_text(row, STAT_AGENT_STATUS, "INI");
		put_text(row, STAT_AGENT_DESC, "Initializing");
		return;
	}
	snprintf(row->agent, sizeof(row->agent), "%s%s", report->runs ? "* " : "",
		health_status_code(verdict->status));
	put_text(row, STAT_AGENT_STATUS, row->agent);
	put_text(row, STAT_AGENT_DESC, health_status_text(verdict->status));
	if (verdict->status == HEALTH_L7OK || verdict->status == HEALTH_L7STS)
		put(row, STAT_AGENT_CODE, verdict->code);
	put_large(row, STAT_AGENT_DURATION, report->duration);
	snprintf(row->agent_info, sizeof(row->agent_info), "%s", verdict->info);
	put_text(row, STAT_LAST_AGT, row->agent_info);
}

static void put_tracked(
	const struct stats_subject *subject, struct stat_row *row, const struct server *server)
{
	const struct proxy *other =
		server->track == NULL ? NULL : backend_of(subject->config, server->track);

	if (other == NULL)
		return;
	snprintf(row->tracked, sizeof(row->tracked), "%s/%s", other->name, server->track->name);
	put_text(row, STAT_TRACKED, row->tracked);
}

static void put_weight(const struct stats_subject *subject, struct stat_row *row,
	const struct proxy *backend, const struct server *server)
{
	unsigned weight = limits_weight(subject->limits, server);
	unsigned progress = limits_progress(subject->limits, server);
	unsigned effective = backend->static_weights ? weight : (weight * progress + 99) / 100;

	put(row, STAT_WEIGHT, effective);
	put(row, STAT_UWEIGHT, weight);
	put(row, STAT_ACT, !server->backup);
	put(row, STAT_BCK, server->backup);
	if (progress < 100)
		put(row, STAT_THROTTLE, progress);
}

static void put_address(
	const struct stats_subject *subject, struct stat_row *row, const struct server *server)
{
	struct addr at = limits_target(subject->limits, server, &server->address);

	addr_format(&at, row->address);
	put_text(row, STAT_ADDR, row->address);
}

void row_of_server(const struct stats_subject *subject, const struct proxy *backend,
	const struct server *server, struct stat_row *row)
{
	struct tally *tally = tally_of_server(subject->tallies, server);
	struct standing *standing = tally_standing(tally);
	struct health_report report = {0}, agent, own_agent;
	const struct server *tracked = last_tracked(server);
	bool is_checked = health_report(subject->health, tracked, &report);
	bool has_agent = agents_report(subject->agents, tracked, &agent);
	struct tally_sums sums;

	begin(row, tally, backend, STAT_IS_SERVER, server->name);
	tally_sum(tally, &sums);
	put_traffic(row, &sums, limits_server_sessions(subject->limits, server));
	put_limit(row, STAT_SLIM, limits_maxconn(subject->limits, server));
	put(row, STAT_QCUR,
		backend->queues ? queue_length(limits_server_queue(subject->limits, server)) : 0);
	put_limit(row, STAT_QLIMIT, server->maxqueue);
	put_upstream(row, &sums, standing);
	put_tracked(subject, row, server);
	put_status(subject, row, server, &report, is_checked, has_agent ? &agent : NULL);
	put_weight(subject, row, backend, server);
	put_check(row, &report, standing, is_checked && server->track == NULL);
	if (agents_report(subject->agents, server, &own_agent))
		put_agent(row, &own_agent);
	put_address(subject, row, server);
	put(row, STAT_SRV_ICUR, 0);
	end(row, row_server_id(backend, server));
}

/* --- a backend --- */

static const char *algorithm(const struct proxy *backend)
{
	static const char *const names[] = {[BALANCE_ROUNDROBIN] = "roundrobin",
		[BALANCE_LEASTCONN] = "leastconn",
		[BALANCE_FIRST] = "first",
		[BALANCE_SOURCE] = "source",
		[BALANCE_RANDOM] = "random"};

	return backend->static_weights && backend->balance == BALANCE_ROUNDROBIN
		       ? "static-rr"
		       : names[backend->balance];
}

/* The weights of the servers that share its clients now; and, with BY_ALL, as if none began slowly. */
static unsigned weight_in_use(
	const struct stats_subject *subject, const struct proxy *backend, bool by_all)
{
	unsigned sum = 0;

	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];
		unsigned weight = limits_weight(subject->limits, server);

		if (!balance_shares(subject->limits, backend, server))
			continue;
		if (!by_all && !backend->static_weights)
			weight = (weight * limits_progress(subject->limits, server) + 99) / 100;
		sum += weight;
	}
	return sum;
}

/* As HAProxy's `fullconn`: a tenth of what all frontends that lead here may have. */
static unsigned full_connections(const struct stats_subject *subject, const struct proxy *backend)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < subject->config->proxy_count; i++) {
		const struct proxy *frontend = &subject->config->proxies[i];
		bool leads = false;

		for (size_t j = 0; j < frontend->target_count; j++)
			leads |= frontend->targets[j] == backend;
		if (leads)
			sum += frontend->maxconn != 0 ? frontend->maxconn : subject->maxconn;
	}
	return (unsigned)((sum + 9) / 10);
}

void row_of_backend(
	const struct stats_subject *subject, const struct proxy *backend, struct stat_row *row)
{
	static const enum stat_field zeros[] = {
		STAT_COMP_IN, STAT_COMP_OUT, STAT_COMP_BYP, STAT_COMP_RSP};
	struct tally *tally = tally_of_backend(subject->tallies, backend);
	struct standing *standing = tally_standing(tally);
	struct limits_counts counts = limits_counts(subject->limits, backend, backend, NULL);
	unsigned active, backups;
	struct tally_sums sums;

	begin(row, tally, backend, STAT_IS_BACKEND, "BACKEND");
	tally_sum(tally, &sums);
	put_traffic(row, &sums, counts.backend);
	put(row, STAT_SLIM, full_connections(subject, backend));
	put(row, STAT_QCUR,
		backend->queues ? queue_length(limits_backend_queue(subject->limits, backend)) : 0);
	put_upstream(row, &sums, standing);
	put_large(row, STAT_DREQ, sums.items[TALLY_DENIED_REQUEST]);
	balance_count(subject->limits, backend, &active, &backups);
	put_text(row, STAT_STATUS,
		active + backups > 0 || backend->server_count == 0 ? "UP" : "DOWN");
	put(row, STAT_WEIGHT, weight_in_use(subject, backend, false));
	put(row, STAT_UWEIGHT, weight_in_use(subject, backend, true));
	put(row, STAT_ACT, active);
	put(row, STAT_BCK, backups);
	put_large(row, STAT_CHKDOWN, standing->downs);
	put(row, STAT_DOWNTIME, down_seconds(standing));
	put_text(row, STAT_ALGO, algorithm(backend));
	put_zeros(row, zeros, sizeof(zeros) / sizeof(zeros[0]));
	end(row, 0);
}

/* --- all of them --- */

static void use_if_wanted(
	const struct row_filter *filter, const struct stat_row *row, row_user use, void *arg)
{
	if (filter->objects != 0 && !(filter->objects & row->object))
		return;
	if (filter->server != -1 && row->server != (unsigned)filter->server)
		return;
	if ((filter->no_maint && row->is_maintained) ||
		(filter->up && (row->is_down || row->is_maintained)))
		return;
	use(arg, row);
}

void rows_each(const struct stats_subject *subject, const struct row_filter *filter, row_user use,
	void *arg)
{
	struct stat_row row;

	for (size_t i = 0; i < subject->config->proxy_count; i++) {
		const struct proxy *proxy = &subject->config->proxies[i];

		if (filter->section != 0 && filter->section != row_section_id(proxy))
			continue;
		if (proxy->role & ROLE_FRONTEND) {
			row_of_frontend(subject, proxy, &row);
			use_if_wanted(filter, &row, use, arg);
		}
		for (size_t j = 0; j < proxy->server_count; j++) {
			row_of_server(subject, proxy, &proxy->servers[j], &row);
			use_if_wanted(filter, &row, use, arg);
		}
		if (proxy->role & ROLE_BACKEND) {
			row_of_backend(subject, proxy, &row);
			use_if_wanted(filter, &row, use, arg);
		}
	}
}
