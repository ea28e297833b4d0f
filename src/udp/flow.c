/*
 * A flow's life: its socket is opened for the first datagram, each later one finds it in the table, and a timer for each
 * frontend ends those that are silent.
 *
 * The socket is connected, so the kernel gives it datagrams of its server alone (of any port, with `follow-port`, it is not, and
 * they are looked at in replies.c), and IP_TRANSPARENT lets it have the client's address. Where the client's address cannot be had, the datagram is dropped and the reason reported; nothing
 * is ever sent from another address instead.
 *
 * The trap: an error that a socket reports may be that of an earlier datagram, for which an ICMP message came ("port
 * unreachable"). The call that gets it has sent or received nothing, and so it is made again.
 */
#include "flow.h"

#include "error_report.h"
#include "flow_table.h"
#include "proxy/destination.h"
#include "questions.h"
#include "replies.h"
#include "servers/balance.h"
#include "servers/own_traffic.h"
#include "servers/session_id.h"
#include "servers/upstream.h"
#include "tproxy/clock.h"
#include "tproxy/datagram.h"
#include "tproxy/proxy_header.h"
#include "tproxy/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FIRST_TURN =
		2 /* so that a flow without a reply, whose turn is 0, had none in the one before */
};

static uint64_t now_ms(void)
{
	return (uint64_t)clock_ms();
}

static struct flow_group *group_of(const struct flow *flow)
{
	return &flow->set->groups[flow->frontend->index];
}

static void notify(struct flow *flow, enum flow_change change)
{
	struct flow_observer *observer = &flow->set->observer;

	observer->changed(observer->arg, flow, change);
}

/* --- silence --- */

static void await_silence(struct flow_group *group, uint64_t now)
{
	const struct flow *first = TAILQ_FIRST(&group->list);
	uint64_t due = first->active + group->timeout;
	uint64_t wait = due > now ? due - now : 0;
	struct timeval time = {(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};

	evtimer_add(&group->timer, &time);
}

/* The flow is in use now: of its group, it is the last whose wait for silence ends. */
static void touch(struct flow *flow)
{
	struct flow_group *group = group_of(flow);

	flow->active = flow->set->loop->now;
	TAILQ_REMOVE(&group->list, flow, link);
	TAILQ_INSERT_TAIL(&group->list, flow, link);
}

static void uncount_client(const struct flow *flow)
{
	if (flow->counted != NULL)
		clients_leave(limits_clients(flow->set->limits), flow->counted);
}

static void flow_end(struct flow *flow, enum reason reason)
{
	struct flow_set *set = flow->set;

	questions_send_waiting(set->loop);
	replies_send(set->loop);
	flow->reason = reason;
	flow->ended = now_ms();
	event_del(&flow->readable);
	close(flow->fd);
	own_traffic_forget(flow->noted);
	uncount_client(flow);
	TAILQ_REMOVE(&group_of(flow)->list, flow, link);
	flow_table_remove(&set->loop->table, flow);
	limits_unuse(set->limits, flow->backend, flow->server);
	limits_leave(set->limits, flow->frontend);
	set->count--;
	TAILQ_INSERT_TAIL(&set->loop->dead, flow, link);
	notify(flow, FLOW_ENDED);
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
	struct flow_group *group = arg;
	uint64_t now = now_ms();
	struct flow *first;

	(void)fd;
	(void)what;
	while ((first = TAILQ_FIRST(&group->list)) != NULL && first->active + group->timeout <= now)
		flow_end(first, REASON_FLOW_IDLE);
	if (first != NULL)
		await_silence(group, now);
}

/* --- from the server --- */

void flow_client_unreachable(const struct flow *flow, int error)
{
	struct addr local;

	if (socket_local_address(flow->fd, &local))
		error_report(flow->set->loop, error, &flow->server_address, &local);
}

static void on_reply(evutil_socket_t fd, short what, void *arg)
{
	struct flow *flow = arg;

	(void)fd;
	(void)what;
	if (replies_take(flow))
		touch(flow);
}

/* --- from the client --- */

/* Where the client sent to; a proxy in front of this one says so in its header. */
static const struct addr *asked_destination(const struct flow *flow)
{
	const struct flow_key *key = &flow->key;

	return addr_family(&key->proxied.destination) == AF_UNSPEC ? &key->destination
								   : &key->proxied.destination;
}

/* Where the client sent to is any address; so it is looked at before anything is sent there. */
static enum reason judge_destination(struct flow *flow)
{
	enum address_kind kind = socket_address_kind(&flow->server_address);

	flow->error = kind == ADDRESS_UNKNOWN ? errno : 0;
	return destination_judge(flow->server, &flow->server_address, kind);
}

static enum reason choose_server(struct flow *flow)
{
	const struct proxy *backend = flow->frontend->default_backend;
	enum reason reason;

	flow->backend = backend;
	if (backend == NULL)
		return REASON_NO_SERVER;
	reason = balance_choose(flow->set->limits, backend, &flow->client, NULL, &flow->server);
	if (reason != REASON_DONE)
		return reason;
	flow->server_address =
		limits_target(flow->set->limits, flow->server, asked_destination(flow));
	return server_is_original(flow->server) ? judge_destination(flow) : REASON_DONE;
}

/* Whether the client that a header names may be the source of what the server gets. */
static bool allows_source(const struct flow *flow)
{
	return addr_family(&flow->key.proxied.client) == AF_UNSPEC ||
	       !upstream_uses_client(&flow->server->source) ||
	       (addr_is_unicast(&flow->client) &&
		       socket_address_kind(&flow->client) == ADDRESS_OTHER);
}

static enum reason count_client(struct flow *flow)
{
	const struct proxy *frontend = flow->frontend;
	bool no_memory = false;

	if (frontend->client_flows == 0 && frontend->client_rate == 0)
		return REASON_DONE;
	flow->counted = clients_enter(limits_clients(flow->set->limits), frontend->name,
		&flow->client, frontend->client_flows, &no_memory);
	if (flow->counted != NULL)
		return REASON_DONE;
	return no_memory ? REASON_MEMORY : REASON_CLIENT_FLOWS;
}

/* The socket is connected, which gave it its address. */
static enum reason prepare_socket(struct flow *flow)
{
	datagram_discard(flow->fd);
	datagram_report_errors(flow->fd, addr_family(&flow->server_address));
	if (!flow->server->follows_port || datagram_disconnect(flow->fd) == 0)
		return REASON_DONE;
	flow->error = errno;
	return REASON_SOURCE_IN_USE;
}

/* Sets everything of a flow that can fail, but for its place in the limits. */
static enum reason open_flow(struct flow *flow)
{
	const struct addr *destination = &flow->key.destination;
	struct addr sender = flow->key.sender;
	struct upstream_failure failure;
	enum reason reason;

	addr_unmap(&sender);
	if (addr_port(destination) != addr_port(&flow->key.receiver->bind->address))
		return REASON_DESTINATION_PORT;
	if (own_traffic_has(SOCK_DGRAM, &sender, destination))
		return REASON_DIVERTED_AGAIN;
	reason = count_client(flow);
	if (reason == REASON_DONE)
		reason = choose_server(flow);
	if (reason == REASON_DONE && !allows_source(flow))
		reason = REASON_HEADER_ADDRESS;
	if (reason != REASON_DONE)
		return reason;
	flow->fd = upstream_open_datagrams(&flow->server->source, &flow->client,
		&flow->server_address, &flow->noted, &failure);
	if (flow->fd == -1) {
		flow->error = failure.error;
		return failure.reason;
	}
	flow->is_mirror = flow->server->source.mode == SOURCE_CLIENT &&
			  addr_equal(&flow->client, &sender) &&
			  addr_equal(&flow->server_address, destination);
	return prepare_socket(flow);
}

/* Gives the flow its place in memory, in the table and on the loop. NULL without memory. */
static struct flow *keep_flow(const struct flow *opened)
{
	struct flow *flow = malloc(sizeof(*flow));
	struct flow_group *group = group_of(opened);

	if (flow == NULL)
		return NULL;
	*flow = *opened;
	event_assign(&flow->readable, flow->set->loop->base, flow->fd, EV_READ | EV_PERSIST,
		on_reply, flow);
	if (event_add(&flow->readable, NULL) == -1) {
		free(flow);
		return NULL;
	}
	flow_table_add(&flow->set->loop->table, flow);
	flow->set->count++;
	TAILQ_INSERT_TAIL(&group->list, flow, link);
	if (!event_initialized(&group->timer))
		evtimer_assign(&group->timer, flow->set->loop->base, on_silence, group);
	if (!evtimer_pending(&group->timer, NULL))
		await_silence(group, flow->active);
	return flow;
}

static struct flow *refuse(struct flow *flow, enum reason reason)
{
	if (reason == REASON_CONNECT_UNREACHABLE)
		error_report_to_client(flow, flow->error);
	flow->reason = reason;
	flow->ended = now_ms();
	notify(flow, FLOW_REFUSED);
	return NULL;
}

/* A flow of KEY that has nothing yet. */
static struct flow flow_of(const struct flow_key *key)
{
	bool is_proxied = addr_family(&key->proxied.client) != AF_UNSPEC;
	struct flow_set *set = key->receiver->flows;
	struct flow made = {.set = set,
		.id = session_id(set->loop->index, true, ++set->loop->begun),
		.key = *key,
		.frontend = key->receiver->frontend,
		.client = is_proxied ? key->proxied.client : key->sender,
		.fd = -1,
		.expected = 1};

	addr_unmap(&made.client);
	made.began = made.active = set->loop->now;
	clock_gettime(CLOCK_REALTIME, &made.began_at);
	return made;
}

void flow_refuse(const struct flow_key *key, enum reason reason)
{
	struct flow made = flow_of(key);

	refuse(&made, reason);
}

struct flow *flow_begin(const struct flow_key *key)
{
	struct flow made = flow_of(key), *flow;
	const struct proxy *frontend = made.frontend;
	struct flow_set *set = made.set;
	enum reason reason;

	if (!limits_enter(set->limits, frontend))
		return refuse(&made, REASON_FLOWS_FULL);
	reason = open_flow(&made);
	flow = reason == REASON_DONE ? keep_flow(&made) : NULL;
	if (flow != NULL) {
		notify(flow, FLOW_BEGAN);
		return flow;
	}
	if (made.fd != -1)
		close(made.fd);
	own_traffic_forget(made.noted);
	uncount_client(&made);
	if (made.server != NULL)
		limits_unuse(set->limits, made.backend, made.server);
	limits_leave(set->limits, frontend);
	return refuse(&made, reason == REASON_DONE ? REASON_MEMORY : reason);
}

/* Each datagram has a header of its own: any of them may be the first that arrives. */
static void add_headers(
	const struct flow *flow, struct datagram_batch *batch, unsigned first, unsigned end)
{
	char header[PROXY_HEADER_WRITTEN_MAX];
	size_t length = proxy_header_write_datagram(header, &flow->client, asked_destination(flow));

	for (unsigned i = first; i < end; i++)
		datagram_batch_prefix(batch, i, header, length);
}

/* Its datagrams are dropped for REASON; it goes on. */
static void report_limit(struct flow *flow, enum reason reason)
{
	flow->reason = reason;
	flow->ended = now_ms();
	notify(flow, FLOW_LIMITED);
}

bool flow_comes_back(struct flow *flow, unsigned interface)
{
	if (!flow->is_mirror || interface == flow->key.interface)
		return false;
	report_limit(flow, REASON_DIVERTED_AGAIN);
	return true;
}

/* How many of so many datagrams the client may send. */
static unsigned limit_rate(struct flow *flow, unsigned count)
{
	unsigned rate = flow->frontend->client_rate;
	bool first_lost;

	if (rate == 0)
		return count;
	count = clients_take(limits_clients(flow->set->limits), flow->counted, rate, count,
		flow->set->loop->now / 1000, &first_lost);
	if (first_lost)
		report_limit(flow, REASON_CLIENT_RATE);
	return count;
}

void flow_relay(struct flow *flow, unsigned first, unsigned end)
{
	struct datagram_batch *arrivals = flow->set->loop->arrivals;

	end = first + limit_rate(flow, end - first);
	if (first == end)
		return;
	touch(flow);
	if (flow->server->send_proxy == PROXY_HEADER_V2)
		add_headers(flow, arrivals, first, end);
	for (unsigned i = first; i < end; i++)
		datagram_batch_address(arrivals, i,
			flow->server->follows_port ? &flow->server_address : NULL, NULL);
	questions_send(flow, first, end);
}

void flow_loop_relay(struct flow_loop *loop)
{
	questions_send_waiting(loop);
}

/* --- the loop --- */

int flow_loop_init(struct flow_loop *loop, struct event_base *base, bool has_datagrams)
{
	*loop = (struct flow_loop){.base = base, .turn = FIRST_TURN};
	TAILQ_INIT(&loop->dead);
	loop->arrivals = datagram_batch_new();
	loop->replies = datagram_batch_new();
	if (loop->arrivals == NULL || loop->replies == NULL)
		return -1;
	loop->ring = has_datagrams ? datagram_ring_new() : NULL;
	return flow_table_init(&loop->table);
}

void flow_loop_end_turn(struct flow_loop *loop)
{
	struct flow *flow;

	loop->turn++;
	replies_send(loop);
	while ((flow = TAILQ_FIRST(&loop->dead)) != NULL) {
		TAILQ_REMOVE(&loop->dead, flow, link);
		free(flow);
	}
}

void flow_loop_free(struct flow_loop *loop)
{
	assert(loop->table.count == 0);
	flow_loop_end_turn(loop);
	flow_table_free(&loop->table);
	datagram_batch_free(loop->arrivals);
	datagram_batch_free(loop->replies);
	datagram_ring_free(loop->ring);
	*loop = (struct flow_loop){0};
}

/* --- a set --- */

int flow_set_init(struct flow_set *set, struct flow_loop *loop, const struct config *config,
	struct limits *limits, struct flow_observer observer)
{
	size_t count = config->proxy_count;

	*set = (struct flow_set){
		.loop = loop, .config = config, .limits = limits, .observer = observer};
	if (!config->has_datagrams)
		return 0;
	set->groups = calloc(count, sizeof(*set->groups));
	if (set->groups == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		TAILQ_INIT(&set->groups[i].list);
		set->groups[i].timeout = config->proxies[i].flow_timeout;
	}
	return 0;
}

bool flow_loop_end(struct flow_loop *loop, uint64_t id, enum reason reason)
{
	for (size_t i = 0; i < loop->table.size; i++)
		for (struct flow *flow = loop->table.buckets[i]; flow != NULL; flow = flow->next)
			if (flow->id == id) {
				flow_end(flow, reason);
				return true;
			}
	return false;
}

void flow_set_end_all(struct flow_set *set)
{
	struct flow *flow;

	for (size_t i = 0; set->groups != NULL && i < set->config->proxy_count; i++) {
		while ((flow = TAILQ_FIRST(&set->groups[i].list)) != NULL)
			flow_end(flow, REASON_SHUTDOWN);
		if (event_initialized(&set->groups[i].timer))
			evtimer_del(&set->groups[i].timer);
	}
}

void flow_set_free(struct flow_set *set)
{
	assert(set->count == 0);
	free(set->groups);
	*set = (struct flow_set){0};
}
