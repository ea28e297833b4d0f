/*
 * Questions of clients, which leave by the sockets of their flows.
 *
 * Datagrams of one flow, one behind the other, leave by one system call. Where each is of another flow, those of a batch
 * leave by one as well (datagram_ring.h). Those of a flow stay in their order: before some leave at once, those that wait
 * do. The exception is one that an error of an earlier datagram kept from leaving: it leaves behind those that waited with it.
 */
#include "questions.h"

#include "error_report.h"

#include <errno.h>

/* Sends again what an error of an earlier datagram kept from leaving. Returns how many left. */
static unsigned send_again(struct flow *flow, unsigned first, unsigned end, int error)
{
	if (!error_is_of_an_earlier_one(error))
		return 0;
	error_report_to_client(flow, error);
	return datagram_batch_send(flow->set->loop->arrivals, first, end, flow->fd);
}

static void count_bytes(struct flow *flow, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		flow->to_server += datagram_batch_length(flow->set->loop->arrivals, i);
}

/* One that cannot be sent is lost, and those behind it are not. */
static void send_now(struct flow *flow, unsigned first, unsigned end)
{
	while (first < end) {
		unsigned sent =
			datagram_batch_send(flow->set->loop->arrivals, first, end, flow->fd);

		if (sent == 0)
			sent = send_again(flow, first, end, errno);
		count_bytes(flow, first, first + sent);
		first += sent == 0 ? 1 : sent;
	}
}

static void let_wait(struct flow *flow, unsigned place)
{
	struct flow_loop *loop = flow->set->loop;

	datagram_ring_add(loop->ring, flow->fd, datagram_batch_data(loop->arrivals, place),
		datagram_batch_length(loop->arrivals, place));
	loop->waiting[loop->waiting_count++] = (struct question){flow, place};
}

void questions_send(struct flow *flow, unsigned first, unsigned end)
{
	struct flow_loop *loop = flow->set->loop;

	if (loop->waiting_count == DATAGRAM_RING_SIZE)
		questions_send_waiting(loop);
	if (loop->ring != NULL && end - first == 1 && !flow->server->follows_port) {
		let_wait(flow, first);
		return;
	}
	questions_send_waiting(loop);
	send_now(flow, first, end);
}

void questions_send_waiting(struct flow_loop *loop)
{
	int errors[DATAGRAM_RING_SIZE];
	unsigned taken;

	if (loop->waiting_count == 0)
		return;
	taken = datagram_ring_send(loop->ring, errors);
	for (unsigned i = 0; i < loop->waiting_count; i++) {
		struct flow *flow = loop->waiting[i].flow;
		unsigned place = loop->waiting[i].place;

		if (i >= taken)
			send_now(flow, place, place + 1);
		else if (errors[i] == 0 || send_again(flow, place, place + 1, errors[i]) == 1)
			count_bytes(flow, place, place + 1);
	}
	loop->waiting_count = 0;
}
