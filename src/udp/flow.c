/*
 * A flow's life: its socket is opened for the first datagram, each later one finds it in the table, and a timer for each
 * frontend ends those that are silent.
 *
 * The socket is connected, so the kernel gives it datagrams of its server alone, and IP_TRANSPARENT lets it have the
 * client's address. Where the client's address cannot be had, the datagram is dropped and the reason reported; nothing
 * is ever sent from another address instead.
 *
 * Replies of many flows leave together, at the end of the loop's turn: one system call for all.
 *
 * The trap: an error that a socket reports may be that of an earlier datagram, for which an ICMP message came ("port
 * unreachable"). The call that gets it has sent or received nothing, and so it is made again.
 */
#include "flow.h"

#include "flow_table.h"
#include "proxy/balance.h"
#include "proxy/destination.h"
#include "proxy/own_traffic.h"
#include "proxy/upstream.h"
#include "tproxy/clock.h"
#include "tproxy/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	REPLIES_MAX = 8, /* of one flow, in one turn of the loop */
	ERRORS_MAX = 4,  /* the same */
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

	flow->active = now_ms();
	TAILQ_REMOVE(&group->list, flow, link);
	TAILQ_INSERT_TAIL(&group->list, flow, link);
}

/* A reply that cannot be sent is lost, and those behind it are not. */
static void send_replies(struct flow_loop *loop)
{
	for (unsigned first = 0; first < loop->reply_count;) {
		unsigned sent = datagram_batch_send(
			loop->replies, first, loop->reply_count, loop->reply_socket->fd);

		for (unsigned i = first; i < first + sent; i++) {
			size_t length;

			datagram_batch_data(loop->replies, i, &length);
			loop->reply_flows[i]->to_client += length;
		}
		first += sent == 0 ? 1 : sent;
	}
	loop->reply_count = 0;
}

static void flow_end(struct flow *flow, enum reason reason)
{
	struct flow_set *set = flow->set;

	send_replies(set->loop);
	flow->reason = reason;
	flow->ended = now_ms();
	event_del(&flow->readable);
	close(flow->fd);
	own_traffic_forget(flow->noted);
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

/* Whether the failed call met the fate of an earlier datagram (udp(7)). */
static bool is_of_an_earlier_one(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EPROTO:
	case EACCES:
		return true;
	default:
		return false;
	}
}

/* Receives replies behind those that wait already. Returns how many, or -1. */
static int receive_replies(struct flow_loop *loop, int fd)
{
	unsigned room = DATAGRAM_BATCH_SIZE - loop->reply_count;
	int count = -1;

	errno = ECONNREFUSED;
	for (int i = 0; i < ERRORS_MAX && count == -1 && is_of_an_earlier_one(errno); i++)
		count = datagram_batch_receive(loop->replies, loop->reply_count,
			room < REPLIES_MAX ? room : REPLIES_MAX, fd);
	return count;
}

static void on_reply(evutil_socket_t fd, short what, void *arg)
{
	struct flow *flow = arg;
	struct flow_loop *loop = flow->set->loop;
	const struct flow_key *key = &flow->key;
	const struct receiver_socket *socket = key->receiver->socket;
	bool is_bound = addr_equal(&key->receiver->bind->address, &key->destination);
	int count;

	(void)what;
	if (loop->reply_count == DATAGRAM_BATCH_SIZE || loop->reply_socket != socket)
		send_replies(loop);
	loop->reply_socket = socket;
	count = receive_replies(loop, fd);
	if (count == -1)
		return;
	touch(flow);
	for (int i = 0; i < count; i++) {
		datagram_batch_address(loop->replies, loop->reply_count, &key->client,
			is_bound ? NULL : &key->destination);
		loop->reply_flows[loop->reply_count++] = flow;
	}
}

/* --- from the client --- */

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
		limits_target(flow->set->limits, flow->server, &flow->key.destination);
	return server_is_original(flow->server) ? judge_destination(flow) : REASON_DONE;
}

/* Sets everything of a flow that can fail, but for its place in the limits. */
static enum reason open_flow(struct flow *flow)
{
	const struct addr *destination = &flow->key.destination;
	struct upstream_failure failure;
	enum reason reason;

	if (addr_port(destination) != addr_port(&flow->key.receiver->bind->address))
		return REASON_DESTINATION_PORT;
	if (own_traffic_has(SOCK_DGRAM, &flow->client, destination))
		return REASON_DIVERTED_AGAIN;
	reason = choose_server(flow);
	if (reason != REASON_DONE)
		return reason;
	flow->fd = upstream_open_datagrams(&flow->server->source, &flow->client,
		&flow->server_address, &flow->noted, &failure);
	if (flow->fd != -1)
		return REASON_DONE;
	flow->error = failure.error;
	return failure.reason;
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
	flow->reason = reason;
	flow->ended = now_ms();
	notify(flow, FLOW_REFUSED);
	return NULL;
}

struct flow *flow_begin(const struct flow_key *key)
{
	struct flow_set *set = key->receiver->flows;
	const struct proxy *frontend = key->receiver->frontend;
	struct flow made = {
		.set = set, .key = *key, .frontend = frontend, .client = key->client, .fd = -1};
	struct flow *flow;
	enum reason reason;

	addr_unmap(&made.client);
	made.began = made.active = now_ms();
	clock_gettime(CLOCK_REALTIME, &made.began_at);
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
	if (made.server != NULL)
		limits_unuse(set->limits, made.backend, made.server);
	limits_leave(set->limits, frontend);
	return refuse(&made, reason == REASON_DONE ? REASON_MEMORY : reason);
}

void flow_relay(struct flow *flow, const void *data, size_t length)
{
	ssize_t sent;

	touch(flow);
	sent = send(flow->fd, data, length, 0);
	if (sent == -1 && is_of_an_earlier_one(errno))
		sent = send(flow->fd, data, length, 0);
	if (sent != -1)
		flow->to_server += length;
}

/* --- the loop --- */

int flow_loop_init(struct flow_loop *loop, struct event_base *base)
{
	*loop = (struct flow_loop){.base = base};
	TAILQ_INIT(&loop->dead);
	loop->arrivals = datagram_batch_new();
	loop->replies = datagram_batch_new();
	if (loop->arrivals == NULL || loop->replies == NULL)
		return -1;
	return flow_table_init(&loop->table);
}

void flow_loop_end_turn(struct flow_loop *loop)
{
	struct flow *flow;

	send_replies(loop);
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
