/* Lines about flows of datagrams. */
#ifndef TPROXY_PROCESS_FLOW_LOG_H
#define TPROXY_PROCESS_FLOW_LOG_H

#include "refusal_log.h"
#include "udp/flow.h"

/*
 * Logs a change of a flow to LOG or, if it was refused, to REFUSALS: a line when it begins, or with `option tcplog` one
 * when it ends.
 */
void flow_log(struct log *log, struct refusal_log *refusals, const struct flow *flow,
	enum flow_change change);

#endif
