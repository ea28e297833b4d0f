/*
 * Flows in the log: as connections, with UDP in place of TCP.
 *
 * The line of `option tcplog` has the fields of HAProxy's. A flow has no queue, no connecting and no retries, so these
 * fields are 0; its time is that from the first datagram to the end of the wait for another one.
 */
#include "flow_log.h"

#include "session_log.h"

static void log_begun(struct log *log, const struct flow *flow)
{
	const struct proxy *frontend = flow->frontend;
	char client[ADDR_TEXT_MAX];

	log_line(log, frontend, LOG_INFO, "Datagrams from %s (%s/UDP)",
		addr_format(&flow->client, client), frontend->name);
}

static struct log_values values_of(const struct flow *flow)
{
	struct limits_counts counts =
		limits_counts(flow->set->limits, flow->frontend, flow->backend, flow->server);

	return (struct log_values){.server = flow->server_address,
		.frontend_name = flow->frontend->name,
		.backend_name = flow->backend->name,
		.server_name = flow->server->name,
		.came_at = flow->began_at,
		.total_time = (long)(flow->ended - flow->began),
		.to_client = flow->to_client,
		.to_server = flow->to_server,
		.state = {reason_cause(flow->reason), '-', '\0'},
		.process = counts.process + 1,
		.frontend = counts.frontend + 1,
		.backend = counts.backend,
		.server_sessions = counts.server};
}

static void log_ended(struct log *log, const struct flow *flow)
{
	struct line_values line = {.mode = MODE_UDP, .reason = reason_name(flow->reason)};
	char text[LOG_LINE_MAX];

	line.log = values_of(flow);
	line.values.source = flow->client;
	line.values.destination = flow->key.destination;
	addr_unmap(&line.values.destination);
	line.values.came_at = flow->began_at.tv_sec;
	line_values_complete(&line, flow->frontend);
	line_write(&line, flow->frontend, text, sizeof(text));
	log_line(log, flow->frontend, LOG_INFO, "%s", text);
}

void flow_log(struct log *log, struct refusal_log *refusals, const struct flow *flow,
	enum flow_change change)
{
	const struct proxy *frontend = flow->frontend;
	bool is_tcplog = config_logs_sessions(frontend);

	if (change == FLOW_REFUSED || change == FLOW_LIMITED)
		refusal_log_add(refusals,
			&(struct refusal){frontend, flow->backend, flow->server, flow->client,
				flow->server_address, flow->reason, flow->error, flow->ended});
	else if (frontend->logs.count > 0 && is_tcplog == (change == FLOW_ENDED))
		(is_tcplog ? log_ended : log_begun)(log, flow);
}
