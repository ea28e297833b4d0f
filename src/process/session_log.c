/*
 * HAProxy's tcplog line:
 *
 *   client:port [date] frontend backend/server Tw/Tc/Tt bytes state counts/retries queues
 *
 * Tw is the time that it waited for a server, and the queues say how many had their turn before it; -1 is a phase that was not
 * reached. The second letter of the state says in which phase the session ended. Retries are the
 * attempts after the first one.
 *
 * A line that comes before the end (`option logasap`) has a + before what may still grow. As in HAProxy, so has every
 * line of such a frontend.
 *
 * In the object of JSON the keys are the manual's names of the same fields; what is not known is null.
 */
#include "session_log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *host_name(void)
{
	static _Thread_local char name[64];

	if (name[0] == '\0' && gethostname(name, sizeof(name) - 1) == -1)
		snprintf(name, sizeof(name), "-");
	return name;
}

void line_values_complete(struct line_values *values, const struct proxy *frontend)
{
	size_t length = value_format_write(&frontend->unique_id, &values->values, values->unique_id,
		sizeof(values->unique_id) - 1);

	values->unique_id[length] = '\0';
	values->log.unique_id = length > 0 ? values->unique_id : NULL;
	values->log.host = host_name();
	values->values.log = &values->log;
}

static void write_tcplog(const struct line_values *values, char *out, size_t room)
{
	const struct log_values *log = &values->log;
	const char *more = log->early ? "+" : "";
	char client[ADDR_TEXT_MAX], date[64];

	value_format_date(&log->came_at, date, sizeof(date));
	snprintf(out, room, "%s:%u [%s] %s %s/%s %ld/%ld/%s%ld %s%llu %s %u/%u/%u/%u/%s%u %u/%u",
		addr_format_ip(&values->values.source, client), addr_port(&values->values.source),
		date, log->frontend_name, log->backend_name, log->server_name, log->queue_time,
		log->connect_time, more, log->total_time, more, (unsigned long long)log->to_client,
		log->state, log->process, log->frontend, log->backend, log->server_sessions,
		log->redispatched ? "+" : "", log->retries, log->server_queue, log->backend_queue);
}

/* --- JSON --- */

static void set_address(
	json_t *object, const char *ip_key, const char *port_key, const struct addr *address)
{
	char text[ADDR_TEXT_MAX];
	bool is_known = addr_family(address) != AF_UNSPEC;

	json_object_set_new(object, ip_key,
		is_known ? json_string(addr_format_ip(address, text)) : json_null());
	json_object_set_new(
		object, port_key, is_known ? json_integer(addr_port(address)) : json_null());
}

static void set_time(json_t *object, const char *key, long milliseconds)
{
	json_object_set_new(
		object, key, milliseconds < 0 ? json_null() : json_integer(milliseconds));
}

/* RFC 3339, in UTC. */
static json_t *date_of(const struct timespec *at)
{
	char date[32], text[64];
	struct tm tm;

	gmtime_r(&at->tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03ldZ", date, at->tv_nsec / 1000000);
	return json_string(text);
}

static void set_counts(json_t *object, const struct log_values *log)
{
	json_object_set_new(object, "actconn", json_integer(log->process));
	json_object_set_new(object, "feconn", json_integer(log->frontend));
	json_object_set_new(object, "beconn", json_integer(log->backend));
	json_object_set_new(object, "srv_conn", json_integer(log->server_sessions));
	json_object_set_new(object, "retries", json_integer(log->retries));
	json_object_set_new(object, "redispatched", json_boolean(log->redispatched));
	json_object_set_new(object, "srv_queue", json_integer(log->server_queue));
	json_object_set_new(object, "backend_queue", json_integer(log->backend_queue));
}

static json_t *json_of(const struct line_values *values)
{
	const struct log_values *log = &values->log;
	json_t *object = json_object();

	json_object_set_new(object, "date", date_of(&log->came_at));
	json_object_set_new(
		object, "protocol", json_string(values->mode == MODE_UDP ? "udp" : "tcp"));
	set_address(object, "client_ip", "client_port", &values->values.source);
	set_address(object, "frontend_ip", "frontend_port", &values->values.destination);
	set_address(object, "backend_source_ip", "backend_source_port", &log->backend_source);
	set_address(object, "server_ip", "server_port", &log->server);
	json_object_set_new(object, "frontend_name", json_string(log->frontend_name));
	json_object_set_new(object, "backend_name", json_string(log->backend_name));
	json_object_set_new(object, "server_name", json_string(log->server_name));
	set_time(object, "Tw", log->queue_time);
	set_time(object, "Tc", log->connect_time);
	set_time(object, "Tt", log->total_time);
	json_object_set_new(object, "ended", json_boolean(!log->early));
	json_object_set_new(object, "bytes_read", json_integer((json_int_t)log->to_client));
	json_object_set_new(object, "bytes_uploaded", json_integer((json_int_t)log->to_server));
	json_object_set_new(object, "termination_state", json_string(log->state));
	json_object_set_new(object, "reason", json_string(values->reason));
	if (log->unique_id != NULL) /* it may hold what the client sent, in any encoding */
		json_object_set_new(object, "unique_id", json_string(log->unique_id));
	set_counts(object, log);
	return object;
}

/* An object that is cut off is none, so one that has no room is left out. */
static void write_json(const struct line_values *values, char *out, size_t room)
{
	json_t *object = json_of(values);
	size_t length = json_dumpb(object, out, room - 1, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(object);
	if (length > room - 1)
		length = (size_t)snprintf(out, room, "{\"error\":\"the line is too long\"}");
	out[length] = '\0';
}

void line_write(
	const struct line_values *values, const struct proxy *frontend, char *out, size_t room)
{
	if (frontend->options & OPTION_JSONLOG)
		write_json(values, out, room);
	else if (frontend->options & OPTION_TCPLOG || frontend->log_format.count == 0)
		write_tcplog(values, out, room);
	else
		out[value_format_write(&frontend->log_format, &values->values, out, room - 1)] =
			'\0';
}
