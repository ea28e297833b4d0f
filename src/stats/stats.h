/*
 * Statistics, for the main thread: what is in force, who asks, and what is counted once a second.
 */
#ifndef TPROXY_STATS_STATS_H
#define TPROXY_STATS_STATS_H

#include "http.h"
#include "sockets.h"

struct stats {
	struct stats_core core;
	struct stats_clients clients;
	struct command_sockets sockets, next; /* NEXT: of a reload that is not in force yet */
	struct http_server http;
	struct event second;
	bool runs; /* there is a socket, so someone may ask */
};

/* BASE and HOST must outlive it. It does nothing yet. */
void stats_init(struct stats *stats, struct event_base *base, struct stats_host host);

/*
 * Opens what the configuration of GLOBAL names and is not open yet. Returns 0, or -1 and fills FAILURE. stats_use() then puts it in force, or
 * stats_abandon() takes it back.
 */
int stats_prepare(struct stats *stats, const struct global *global, struct socket_failure *failure);
void stats_abandon(struct stats *stats);

/* From now on it is about SUBJECT, whose pointers must stay until the next call. */
void stats_use(struct stats *stats, const struct stats_subject *subject);

/* Servers may have gone up or down. */
void stats_look(struct stats *stats);

/* Workers may have answered. */
void stats_go_on(struct stats *stats);

/* A reload has ended: its configuration is in force (WELL), or not used. */
void stats_count_reload(struct stats *stats, bool well);

/* Whether a worker has a question: what it says is of configurations that must stay. */
bool stats_is_asking(const struct stats *stats);

/* Closes all; call it when no worker runs any more. */
void stats_end(struct stats *stats);

#endif
