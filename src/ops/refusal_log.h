/*
 * Lines for clients that were refused, at a bounded rate: a flood of them must not fill a disk.
 *
 * Each frontend and each reason has a rate of its own. The first few refusals have a line each;
 * beyond that one line a second says how many there were more. So the lines account for every
 * refusal. A refusal_log belongs to one worker.
 */
#ifndef TPROXY_OPS_REFUSAL_LOG_H
#define TPROXY_OPS_REFUSAL_LOG_H

#include "tproxy/log.h"
#include "tproxy/session.h"

struct refusal_log;

enum {
	REFUSALS_AT_ONCE = 10,   /* lines before the rate counts */
	REFUSALS_INTERVAL = 1000 /* milliseconds a line, from then on */
};

/* Base, configuration and log must outlive it. NULL: no memory. */
struct refusal_log *refusal_log_new(
	struct event_base *base, const struct config *config, struct log *log);

/* Says what is not said yet, and frees it. NULL is allowed. */
void refusal_log_free(struct refusal_log *refusals);

/* Takes a closed session into account whose reason is a refusal; session->closed is the time. */
void refusal_log_add(struct refusal_log *refusals, const struct session *session);

/* Says how many refusals had no line of their own, where there are any. */
void refusal_log_flush(struct refusal_log *refusals);

#endif
