/*
 * Counting: which numbers go up with each event of a session or a flow.
 *
 * The columns of `show stat` are HAProxy's, and so is when they change (management guide, section 9.1).
 */
#ifndef TPROXY_STATS_COUNT_H
#define TPROXY_STATS_COUNT_H

#include "proxy/session.h"
#include "tally.h"
#include "udp/flow.h"

/* As the observers of session.h and flow.h; by the thread of WORKER. */
void count_session(const struct tallies *tallies, unsigned worker, const struct session *session,
	enum session_state from);
void count_attempt(const struct tallies *tallies, unsigned worker, const struct session *session,
	enum session_attempt what, const struct server *server);
void count_flow(const struct tallies *tallies, unsigned worker, const struct flow *flow,
	enum flow_change change);

#endif
