/*
 * Clients of command sockets: lines come, answers go.
 *
 * Nothing that a client does costs more than its own buffers: what it sends is a line of limited length, what it is sent waits until
 * it takes it, and one that does neither is closed after its timeout.
 */
#ifndef TPROXY_STATS_CLIENT_H
#define TPROXY_STATS_CLIENT_H

#include "cli.h"

#include <event2/event.h>
#include <sys/queue.h>

struct stats_client;
TAILQ_HEAD(stats_client_list, stats_client);

struct stats_clients {
	struct event_base *base;
	struct stats_core *core;
	struct stats_client_list list;
	unsigned count, most;
	unsigned timeout;        /* milliseconds */
	void (*left)(void *arg); /* one has left: another one has room */
	void *arg;
};

/* Takes FD, a connection that does not block, over. */
void client_begin(struct stats_clients *clients, int fd, enum stats_level level);

/* Workers may have answered. */
void clients_go_on(struct stats_clients *clients);

/* Closes all of them. */
void clients_end(struct stats_clients *clients);

#endif
