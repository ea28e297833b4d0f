/*
 * Lines for clients that were refused, at a bounded rate: a flood of them must not fill a disk.
 *
 * Each frontend has one rate for each reason. The first few refusals have a line each; beyond that,
 * one line a second says how many more there were. So the lines account for every refusal. A
 * refusal_log belongs to one worker and its thread.
 */
#ifndef TPROXY_PROCESS_REFUSAL_LOG_H
#define TPROXY_PROCESS_REFUSAL_LOG_H

#include "log.h"
#include "servers/reason.h"
#include "tproxy/config.h"

#include <event2/event.h>
#include <stdint.h>

struct refusal_log;

enum {
	REFUSALS_AT_ONCE = 10,   /* so many lines may come at once */
	REFUSALS_INTERVAL = 1000 /* milliseconds between two lines after them */
};

/* BASE, CONFIG and LOG must outlive it. Returns NULL with errno where memory is missing. */
struct refusal_log *refusal_log_new(
	struct event_base *base, const struct config *config, struct log *log);

/* Flushes and frees it. NULL is allowed. One that was never used may be freed in any thread. */
void refusal_log_free(struct refusal_log *refusals);

/* A client that was refused. */
struct refusal {
	const struct proxy *frontend, *backend; /* BACKEND may be NULL */
	const struct server *server;            /* NULL: none was chosen */
	struct addr client;
	struct addr server_address; /* AF_UNSPEC: it is not known */
	enum reason reason;
	int error;   /* errno behind it, or 0 */
	uint64_t at; /* milliseconds of the monotonic clock */
};

/* Logs or counts a refusal. */
void refusal_log_add(struct refusal_log *refusals, const struct refusal *refusal);

/* Logs the counts of refusals that had no line; without any it logs nothing. */
void refusal_log_flush(struct refusal_log *refusals);

#endif
