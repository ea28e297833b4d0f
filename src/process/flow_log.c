/*
 * Flows in the log: as connections, with UDP in place of TCP.
 *
 * The line of `option tcplog` has the fields of HAProxy's. A flow has no queue, no connecting and no retries, so these
 * fields are 0; its time is that from the first datagram to the end of the wait for another one.
 */
#include "flow_log.h"

#include "tcplog.h"

static void log_begun(struct log *log, const struct flow *flow)
{
	const struct proxy *frontend = flow->frontend;
	char client[ADDR_TEXT_MAX];

	log_line(log, frontend, LOG_INFO, "Datagrams from %s (%s/UDP)",
		addr_format(&flow->client, client), frontend->name);
}

static void log_ended(struct log *log, const struct flow *flow)
{
	const struct proxy *frontend = flow->frontend;
	struct limits_counts counts =
		limits_counts(flow->set->limits, frontend, flow->backend, flow->server);
	char client[ADDR_TEXT_MAX], date[64];

	tcplog_date(&flow->began_at, date, sizeof(date));
	log_line(log, frontend, LOG_INFO, "%s:%u [%s] %s %s/%s 0/0/%llu %llu %c- %u/%u/%u/%u/0 0/0",
		addr_format_ip(&flow->client, client), addr_port(&flow->client), date,
		frontend->name, flow->backend->name, flow->server->name,
		(unsigned long long)(flow->ended - flow->began),
		(unsigned long long)flow->to_client, reason_cause(flow->reason), counts.process + 1,
		counts.frontend + 1, counts.backend, counts.server);
}

void flow_log(struct log *log, struct refusal_log *refusals, const struct flow *flow,
	enum flow_change change)
{
	const struct proxy *frontend = flow->frontend;
	bool is_tcplog = frontend->options & OPTION_TCPLOG;

	if (change == FLOW_REFUSED || change == FLOW_LIMITED)
		refusal_log_add(refusals,
			&(struct refusal){frontend, flow->backend, flow->server, flow->client,
				flow->server_address, flow->reason, flow->error, flow->ended});
	else if (frontend->logs.count > 0 && is_tcplog == (change == FLOW_ENDED))
		(is_tcplog ? log_ended : log_begun)(log, flow);
}
