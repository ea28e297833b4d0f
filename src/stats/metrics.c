/*
 * A table says which field of a row is which metric. All values of one metric have to stand together, so all rows are made first.
 *
 * Times of HAProxy's fields are milliseconds; metrics have seconds.
 */
#include "metrics.h"

#include "tproxy/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum metric_kind {
	GAUGE,
	COUNTER,
	SECONDS, /* a gauge, in milliseconds */
};

struct metric {
	const char *name; /* behind haproxy_frontend_ and the like */
	unsigned objects; /* of enum STAT_IS_… */
	enum stat_field field;
	enum metric_kind kind;
	const char *help;
};

#define F STAT_IS_FRONTEND
#define B STAT_IS_BACKEND
#define S STAT_IS_SERVER

static const struct metric metrics[] = {
	{"current_queue", B | S, STAT_QCUR, GAUGE, "Clients that wait."},
	{"max_queue", B | S, STAT_QMAX, GAUGE, "Most clients that waited at the same time."},
	{"current_sessions", F | B | S, STAT_SCUR, GAUGE, "Sessions that are open."},
	{"max_sessions", F | B | S, STAT_SMAX, GAUGE, "Most sessions at the same time."},
	{"limit_sessions", F | B | S, STAT_SLIM, GAUGE,
		"Sessions that there may be at the same time."},
	{"sessions_total", F | B | S, STAT_STOT, COUNTER, "Sessions since the start."},
	{"bytes_in_total", F | B | S, STAT_BIN, COUNTER, "Bytes from clients."},
	{"bytes_out_total", F | B | S, STAT_BOUT, COUNTER, "Bytes to clients."},
	{"requests_denied_total", F | B, STAT_DREQ, COUNTER,
		"Clients that a rule for contents rejected."},
	{"request_errors_total", F, STAT_EREQ, COUNTER,
		"Clients without the PROXY header that was expected."},
	{"connections_total", F, STAT_CONN_TOT, COUNTER, "Connections that were accepted."},
	{"denied_connections_total", F, STAT_DCON, COUNTER,
		"Clients that a rule for connections rejected."},
	{"denied_sessions_total", F, STAT_DSES, COUNTER,
		"Clients that a rule for sessions rejected."},
	{"connections_rate_max", F, STAT_CONN_RATE_MAX, GAUGE, "Most connections in a second."},
	{"max_session_rate", F | B | S, STAT_RATE_MAX, GAUGE, "Most sessions in a second."},
	{"connection_errors_total", B | S, STAT_ECON, COUNTER, "Sessions that reached no server."},
	{"response_errors_total", B | S, STAT_ERESP, COUNTER, "Connections that the server broke."},
	{"connection_attempts_total", B | S, STAT_CONNECT, COUNTER, "Attempts to connect."},
	{"retry_warnings_total", B | S, STAT_WRETR, COUNTER,
		"Further attempts at the same server."},
	{"redispatch_warnings_total", B | S, STAT_WREDIS, COUNTER,
		"Further attempts at another server."},
	{"client_aborts_total", B | S, STAT_CLI_ABRT, COUNTER, "Sessions that the client broke."},
	{"server_aborts_total", B | S, STAT_SRV_ABRT, COUNTER, "Sessions that the server broke."},
	{"weight", B | S, STAT_WEIGHT, GAUGE, "Weight, as it is now."},
	{"active_servers", B, STAT_ACT, GAUGE, "Active servers that clients can come to."},
	{"backup_servers", B, STAT_BCK, GAUGE, "Backups that clients can come to."},
	{"check_failures_total", S, STAT_CHKFAIL, COUNTER,
		"Checks that failed while the server was up."},
	{"check_up_down_total", B | S, STAT_CHKDOWN, COUNTER, "How often it went down."},
	{"check_last_change_seconds", B | S, STAT_LASTCHG, GAUGE, "Time since it went up or down."},
	{"downtime_seconds_total", B | S, STAT_DOWNTIME, COUNTER, "Time that it was down."},
	{"check_duration_seconds", S, STAT_CHECK_DURATION, SECONDS, "Duration of the last check."},
	{"check_code", S, STAT_CHECK_CODE, GAUGE, "Code in the answer to the last check."},
	{"current_throttle", S, STAT_THROTTLE, GAUGE,
		"How far its slow start has come, in percent."},
	{"queue_limit", S, STAT_QLIMIT, GAUGE, "Clients that may wait for it."},
	{"loadbalanced_total", B | S, STAT_LBTOT, COUNTER, "How often it was chosen."},
	{"last_session_seconds", B | S, STAT_LASTSESS, GAUGE, "Time since the last session came."},
	{"queue_time_average_seconds", B | S, STAT_QTIME, SECONDS,
		"Average wait of the last sessions."},
	{"connect_time_average_seconds", B | S, STAT_CTIME, SECONDS,
		"Average time to connect of the last sessions."},
	{"total_time_average_seconds", B | S, STAT_TTIME, SECONDS,
		"Average duration of the last sessions."},
	{"max_queue_time_seconds", B | S, STAT_QTIME_MAX, SECONDS, "Longest wait."},
	{"max_connect_time_seconds", B | S, STAT_CTIME_MAX, SECONDS, "Longest time to connect."},
	{"max_total_time_seconds", B | S, STAT_TTIME_MAX, SECONDS, "Longest session."},
};

static const struct {
	unsigned object;
	const char *name;
} objects[] = {{F, "frontend"}, {B, "backend"}, {S, "server"}};

struct rows {
	struct stat_row **list;
	size_t count, room;
	bool failed;
};

/* The texts of a row may lie in the row itself. */
static void move_texts(struct stat_row *row, const struct stat_row *from)
{
	for (unsigned i = 0; i < STAT_FIELDS; i++) {
		const char *text = row->values[i].text;

		if (text >= (const char *)from && text < (const char *)(from + 1))
			row->values[i].text = (const char *)row + (text - (const char *)from);
	}
}

static void keep_row(void *arg, const struct stat_row *row)
{
	struct rows *rows = arg;
	struct stat_row **grown = rows->list, *copy = malloc(sizeof(*copy));

	if (rows->count == rows->room) {
		rows->room = rows->room == 0 ? 64 : 2 * rows->room;
		grown = realloc(rows->list, rows->room * sizeof(*grown));
	}
	rows->list = grown == NULL ? rows->list : grown;
	rows->failed |= grown == NULL || copy == NULL;
	if (rows->failed) {
		free(copy);
		return;
	}
	*copy = *row;
	move_texts(copy, row);
	rows->list[rows->count++] = copy;
}

/* --- values --- */

static void write_head(struct evbuffer *out, const char *object, const char *name, const char *help,
	const char *type)
{
	evbuffer_add_printf(out, "# HELP haproxy_%s_%s %s\n# TYPE haproxy_%s_%s %s\n", object, name,
		help, object, name, type);
}

/* Names of sections and servers are letters, digits and . : _ -, so nothing is to be escaped. */
static void write_labels(struct evbuffer *out, const struct stat_row *row)
{
	evbuffer_add_printf(out, "{proxy=\"%s\"", row->values[STAT_PXNAME].text);
	if (row->object == STAT_IS_SERVER)
		evbuffer_add_printf(out, ",server=\"%s\"", row->values[STAT_SVNAME].text);
}

static void write_value(struct evbuffer *out, const char *object, const struct metric *metric,
	const struct stat_row *row)
{
	const struct stat_value *value = &row->values[metric->field];

	evbuffer_add_printf(out, "haproxy_%s_%s", object, metric->name);
	write_labels(out, row);
	if (metric->kind == SECONDS)
		evbuffer_add_printf(out, "} %" PRIu64 ".%03" PRIu64 "\n", value->number / 1000,
			value->number % 1000);
	else if (value->kind == STAT_S32)
		evbuffer_add_printf(out, "} %" PRId32 "\n", (int32_t)value->number);
	else
		evbuffer_add_printf(out, "} %" PRIu64 "\n", value->number);
}

static void write_metric(struct evbuffer *out, const struct rows *rows, unsigned object,
	const char *object_name, const struct metric *metric)
{
	bool has_head = false;

	for (size_t i = 0; i < rows->count; i++) {
		const struct stat_row *row = rows->list[i];

		if (row->object != object || row->values[metric->field].kind == STAT_EMPTY)
			continue;
		if (!has_head)
			write_head(out, object_name, metric->name, metric->help,
				metric->kind == COUNTER ? "counter" : "gauge");
		has_head = true;
		write_value(out, object_name, metric, row);
	}
}

/* --- states --- */

/* As HAProxy: one value for each state that there is, and that of the state that holds is 1. */
static void write_states(
	struct evbuffer *out, const struct rows *rows, unsigned object, const char *object_name)
{
	static const char *const of_server[] = {"DOWN", "UP", "MAINT", "DRAIN", "NOLB"};

	write_head(out, object_name, "status", "Which state holds.", "gauge");
	for (size_t i = 0; i < rows->count; i++) {
		const struct stat_row *row = rows->list[i];
		const char *status = row->values[STAT_STATUS].text;
		unsigned holds = strncmp(status, "DOWN", 4) == 0    ? 0
				 : strncmp(status, "MAINT", 5) == 0 ? 2
				 : strncmp(status, "DRAIN", 5) == 0 ? 3
								    : 1;

		for (unsigned state = 0; row->object == object && state < (object == S ? 5 : 2);
			state++) {
			evbuffer_add_printf(out, "haproxy_%s_status", object_name);
			write_labels(out, row);
			evbuffer_add_printf(
				out, ",state=\"%s\"} %d\n", of_server[state], state == holds);
		}
	}
}

/* Our own: why sessions ended. */
static void write_reasons(
	struct evbuffer *out, const struct rows *rows, unsigned object, const char *object_name)
{
	struct tally_sums sums;

	evbuffer_add_printf(out,
		"# HELP tproxyd_%s_sessions_ended_total Sessions that ended, by reason.\n# TYPE tproxyd_%s_sessions_ended_total counter\n",
		object_name, object_name);
	for (size_t i = 0; i < rows->count; i++) {
		if (rows->list[i]->object != object)
			continue;
		tally_sum(rows->list[i]->tally, &sums);
		for (unsigned reason = 0; reason < REASON_COUNT; reason++) {
			if (sums.items[TALLY_REASONS + reason] == 0)
				continue;
			evbuffer_add_printf(out, "tproxyd_%s_sessions_ended_total", object_name);
			write_labels(out, rows->list[i]);
			evbuffer_add_printf(out, ",reason=\"%s\"} %" PRIu64 "\n",
				reason_name((enum reason)reason),
				sums.items[TALLY_REASONS + reason]);
		}
	}
}

/* --- the process --- */

static void write_process(const struct stats_core *core, struct evbuffer *out)
{
	const struct process_limits *limits = limits_process(core->subject.limits);
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} values[] = {
		{"nbthread", "gauge", "Threads that carry traffic.", core->subject.workers},
		{"start_time_seconds", "gauge", "When it started, since 1970.",
			(uint64_t)core->started_at},
		{"uptime_seconds", "gauge", "Time since the start.",
			(uint64_t)(clock_ms() - core->started) / 1000},
		{"max_connections", "gauge", "Connections that there may be.",
			core->subject.maxconn},
		{"current_connections", "gauge", "Connections that are open.",
			limits_sessions(limits)},
		{"max_pipes", "gauge", "Pipes that there may be.", core->subject.maxconn / 4},
		{"current_connection_rate", "gauge", "Connections in the last second.",
			core->process.connection_rate},
		{"max_connection_rate", "gauge", "Most connections in a second.",
			core->process.most_connection_rate},
		{"current_session_rate", "gauge", "Sessions in the last second.",
			core->process.rate},
		{"max_session_rate", "gauge", "Most sessions in a second.",
			core->process.most_rate},
		{"dropped_logs_total", "counter", "Lines of the log that were lost.",
			core->host.lost_lines(core->host.arg)},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		write_head(out, "process", values[i].name, values[i].help, values[i].type);
		evbuffer_add_printf(
			out, "haproxy_process_%s %" PRIu64 "\n", values[i].name, values[i].value);
	}
}

bool metrics_write(const struct stats_core *core, struct evbuffer *out)
{
	const struct row_filter all = {.server = -1};
	struct rows rows = {0};

	rows_each(&core->subject, &all, keep_row, &rows);
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]) && !rows.failed; i++) {
		write_states(out, &rows, objects[i].object, objects[i].name);
		for (size_t j = 0; j < sizeof(metrics) / sizeof(metrics[0]); j++)
			if (metrics[j].objects & objects[i].object)
				write_metric(out, &rows, objects[i].object, objects[i].name,
					&metrics[j]);
		write_reasons(out, &rows, objects[i].object, objects[i].name);
	}
	write_process(core, out);
	for (size_t i = 0; i < rows.count; i++)
		free(rows.list[i]);
	free(rows.list);
	return !rows.failed;
}
