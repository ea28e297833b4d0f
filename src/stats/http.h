/*
 * `metrics ADDRESS:PORT`: one page over HTTP, /metrics, for Prometheus.
 *
 * A request is a line and its fields, of limited length; each connection has one. Nothing but GET and HEAD of that path is known.
 */
#ifndef TPROXY_STATS_HTTP_H
#define TPROXY_STATS_HTTP_H

#include "cli.h"
#include "tproxy/addr.h"

#include <event2/event.h>
#include <sys/queue.h>

struct http_client;
TAILQ_HEAD(http_client_list, http_client);

struct http_server {
	struct event_base *base;
	const struct stats_core *core;
	int fd, next_fd; /* -1: none; NEXT_FD is that of a reload that is not in force yet */
	struct addr address, next; /* of AF_UNSPEC: none */
	bool keeps;                /* the next one is the same */
	struct event event;
	struct http_client_list clients;
	unsigned count;
};

void http_init(struct http_server *server, struct event_base *base, const struct stats_core *core);

/* Binds ADDRESS (of AF_UNSPEC: none) for http_use(), unless it has it already. Returns 0, or an errno. */
int http_prepare(struct http_server *server, const struct addr *address);
void http_abandon(struct http_server *server);

/* Puts in force what was prepared last. */
void http_use(struct http_server *server);

bool http_is_open(const struct http_server *server);
void http_end(struct http_server *server);

#endif
