/*
 * Views: what a worker says of its sessions and flows, when the main thread asks.
 *
 * A session belongs to its worker alone, so the worker copies what is to be shown between two of its events: each view is
 * true of one moment. It copies a few at a time, so that no client waits for that.
 */
#ifndef TPROXY_STATS_VIEW_H
#define TPROXY_STATS_VIEW_H

#include "proxy/session.h"
#include "udp/flow.h"

#include <stdatomic.h>

enum {
	VIEWS_MAX = 256 /* of one answer */
};

struct session_view {
	uint64_t id;
	bool is_flow;
	enum session_state state; /* of a session */
	const struct proxy *frontend, *backend;
	const struct server *server;
	struct addr client,
		asked; /* the client's side; ASKED is of AF_UNSPEC where it is not known */
	struct addr source, target;    /* the server's side; of AF_UNSPEC where there is none */
	uint64_t to_server, to_client; /* bytes so far */
	uint64_t age, idle;            /* milliseconds */
	uint64_t
		expires; /* milliseconds until it ends if nothing happens; UINT64_MAX: never, or not known */
};

enum query_kind {
	QUERY_LIST, /* views of those with larger ids than AFTER */
	QUERY_END   /* ends the one of this id */
};

/* Made by the main thread, answered by one worker. */
struct session_query {
	enum query_kind kind;
	unsigned worker;
	uint64_t after; /* QUERY_LIST, QUERY_END */
	bool flows;     /* of flows, else of sessions */
	/* Flows are listed by bucket: the first one, of a table that had so many when the list began. */
	size_t bucket, buckets;
	struct session_view views[VIEWS_MAX];
	unsigned count;
	bool more;  /* there are others behind the last one */
	bool found; /* QUERY_END */
	atomic_bool answered;
	struct session_query *next; /* the main thread's: one whose client has left */
};

/* Adds a view of SESSION. */
void view_session(struct session_query *query, struct session *session);

/* Adds views of the flows of LOOP, from where the query is, and moves it on. */
void view_flows(struct session_query *query, const struct flow_loop *loop);

#endif
