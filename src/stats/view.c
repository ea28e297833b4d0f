/*
 * The addresses of a session's sockets are asked of the kernel when they are first shown, and kept.
 *
 * Flows have no order that lasts. They are listed by bucket of their table, which doubles when it is full: a bucket then becomes two, and
 * the larger table's are taken together where they were one when the list began. So no flow is listed twice or left out.
 */
#include "view.h"

#include "proxy/interest.h"
#include "tproxy/socket.h"

static uint64_t since(uint64_t at)
{
	uint64_t now = session_now();

	return now > at ? now - at : 0;
}

static uint64_t last_activity(const struct session *session)
{
	uint64_t client = session->sides[CLIENT].activity;
	uint64_t server = session->sides[SERVER].activity;

	return client > server ? client : server;
}

static struct addr local_end(struct side *side)
{
	if (side->fd != -1 && addr_family(&side->local) == AF_UNSPEC)
		socket_local_address(side->fd, &side->local);
	return side->local;
}

void view_session(struct session_query *query, struct session *session)
{
	struct session_view *view = &query->views[query->count++];

	*view = (struct session_view){.id = session->id,
		.state = session->state,
		.frontend = session->frontend,
		.backend = session->backend,
		.server = session->server,
		.client = session->client,
		.asked = session->destination,
		.target = session->server_address,
		.to_server = session->directions[CLIENT].bytes,
		.to_client = session->directions[SERVER].bytes,
		.age = since(session->accepted),
		.idle = since(last_activity(session)),
		.expires =
			session->timer_due == 0 ? UINT64_MAX : session->timer_due - session_now()};
	if (session->timer_due != 0 && session->timer_due < session_now())
		view->expires = 0;
	view->source = local_end(&session->sides[SERVER]);
	if (addr_family(&view->asked) == AF_UNSPEC)
		view->asked = local_end(&session->sides[CLIENT]);
	addr_unmap(&view->asked);
}

static void view_flow(struct session_query *query, const struct flow *flow)
{
	struct session_view *view = &query->views[query->count++];
	uint64_t idle = since(flow->active), timeout = flow->frontend->flow_timeout;

	*view = (struct session_view){.id = flow->id,
		.is_flow = true,
		.state = SESSION_RELAYING,
		.frontend = flow->frontend,
		.backend = flow->backend,
		.server = flow->server,
		.client = flow->client,
		.asked = flow->key.destination,
		.target = flow->server_address,
		.to_server = flow->to_server,
		.to_client = flow->to_client,
		.age = since(flow->began),
		.idle = idle,
		.expires = timeout > idle ? timeout - idle : 0};
	if (flow->fd != -1)
		socket_local_address(flow->fd, &view->source);
	addr_unmap(&view->asked);
}

static size_t flows_in(const struct flow_loop *loop, size_t bucket)
{
	size_t count = 0;

	for (const struct flow *flow = loop->table.buckets[bucket]; flow != NULL; flow = flow->next)
		count++;
	return count;
}

/* Of the buckets that were one when the list began. False: they have no room; always some where the answer is empty. */
static bool view_bucket(struct session_query *query, const struct flow_loop *loop, size_t first)
{
	size_t count = 0;

	for (size_t i = first; i < loop->table.size; i += query->buckets)
		count += flows_in(loop, i);
	if (query->count > 0 && query->count + count > VIEWS_MAX)
		return false;
	for (size_t i = first; i < loop->table.size; i += query->buckets)
		for (const struct flow *flow = loop->table.buckets[i];
			flow != NULL && query->count < VIEWS_MAX; flow = flow->next)
			if (flow->id > query->after)
				view_flow(query, flow);
	return true;
}

void view_flows(struct session_query *query, const struct flow_loop *loop)
{
	if (query->buckets == 0)
		query->buckets = loop->table.size;
	while (query->bucket < query->buckets && view_bucket(query, loop, query->bucket))
		query->bucket++;
	query->more = query->bucket < query->buckets;
}
