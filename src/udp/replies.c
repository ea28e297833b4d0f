/*
 * Replies of servers. They are received by the flows' sockets, a system call each, and leave together by the listener's at
 * the end of the loop's turn: one system call for all.
 *
 * To ask a socket for more than it has costs as much as to receive one. A socket that had more is readable again in the
 * next turn; so a flow is asked for one until that happens, and then for twice as many, as long as it has them. From then
 * on the kernel may join what comes together, too. A socket that joins nothing is read by the cheapest call.
 */
#include "replies.h"

#include "error_report.h"
#include "tproxy/clock.h"
#include "tproxy/datagram.h"

#include <errno.h>

enum {
	REPLIES_MAX = 32, /* of one flow, in one turn of the loop */
	ERRORS_MAX = 4,   /* the same */
};

/* A reply that cannot be sent is lost, and those behind it are not. The errors are other clients' mostly. */
void replies_send(struct flow_loop *loop)
{
	for (unsigned first = 0; first < loop->reply_count;) {
		unsigned sent = 0;

		errno = ECONNREFUSED;
		for (int i = 0; i < ERRORS_MAX && sent == 0 && error_is_of_an_earlier_one(errno);
			i++)
			sent = datagram_batch_send(
				loop->replies, first, loop->reply_count, loop->reply_socket->fd);
		for (unsigned i = first; i < first + sent; i++)
			loop->reply_flows[i]->to_client += datagram_batch_length(loop->replies, i);
		first += sent == 0 ? 1 : sent;
	}
	loop->reply_count = 0;
}

/* One reply, from any port of the server, which gets there what the client sends next. What comes from elsewhere is dropped. */
static int receive_followed(struct flow_loop *loop, struct flow *flow)
{
	int count = datagram_batch_receive(loop->replies, loop->reply_count, 1, flow->fd);
	struct addr from;

	if (count == -1)
		return -1;
	if (!datagram_batch_source(loop->replies, loop->reply_count, &from) ||
		addr_compare_ip(&from, &flow->server_address) != 0)
		return 0;
	flow->server_address = from;
	return count;
}

/* How many replies the flow is asked for next, now that it had COUNT of the WANTED ones. */
static void expect_replies(struct flow_loop *loop, struct flow *flow, unsigned wanted, int count)
{
	bool has_more = flow->expected > 1 || flow->reply_turn + 1 == loop->turn;

	flow->reply_turn = loop->turn;
	if (count < (int)wanted)
		flow->expected = 1;
	else if (wanted == flow->expected && has_more && flow->expected < REPLIES_MAX)
		flow->expected *= 2;
	if (flow->expected > 1 && !flow->is_joined && !flow->server->follows_port) {
		flow->is_joined = true;
		datagram_batch_join(flow->fd);
	}
}

/* Receives up to WANTED replies behind those that wait already. Returns how many, or -1. */
static int receive_some(struct flow_loop *loop, struct flow *flow, unsigned wanted)
{
	if (flow->server->follows_port)
		return receive_followed(loop, flow);
	if (!flow->is_joined)
		return datagram_batch_receive_one(loop->replies, loop->reply_count, flow->fd);
	return datagram_batch_receive_connected(loop->replies, loop->reply_count, wanted, flow->fd);
}

/* The same, of as many as the flow may have. What is reported about datagrams to the server goes to the client. */
static int receive_replies(struct flow_loop *loop, struct flow *flow)
{
	unsigned room = DATAGRAM_BATCH_SIZE - loop->reply_count;
	unsigned wanted = flow->expected < room ? flow->expected : room;
	int count = -1;

	for (int i = 0; i < ERRORS_MAX && count == -1; i++) {
		count = receive_some(loop, flow, wanted);
		if (count == -1 && !error_is_of_an_earlier_one(errno))
			break;
		if (count == -1)
			error_report_to_client(flow, errno);
	}
	if (count == -1)
		datagram_discard_errors(flow->fd);
	expect_replies(loop, flow, wanted, count);
	return count;
}

bool replies_take(struct flow *flow)
{
	struct flow_loop *loop = flow->set->loop;
	const struct flow_key *key = &flow->key;
	const struct receiver_socket *socket = key->receiver->socket;
	bool is_bound = addr_equal(&key->receiver->bind->address, &key->destination);
	int count;

	if (loop->reply_count == DATAGRAM_BATCH_SIZE || loop->reply_socket != socket)
		replies_send(loop);
	if (loop->reply_count == 0)
		loop->now = (uint64_t)clock_ms();
	loop->reply_socket = socket;
	count = receive_replies(loop, flow);
	for (int i = 0; i < count; i++) {
		datagram_batch_address(loop->replies, loop->reply_count, &key->sender,
			is_bound ? NULL : &key->destination);
		loop->reply_flows[loop->reply_count++] = flow;
	}
	return count > 0;
}
