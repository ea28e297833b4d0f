/*
 * Reads datagrams, and finds out where each was sent.
 *
 * The kernel reports the destination beside each datagram (IP_RECVORIGDSTADDR), also where a rule of TPROXY diverted it to
 * a socket with another address. A datagram without it is dropped: no reply could come from where it was sent.
 *
 * A turn of the loop reads one batch, so that flows get theirs. Nothing pauses: what cannot be relayed is read and
 * dropped, or else the socket would stay readable for ever, and flows that are there would wait for those that are not.
 *
 * The event belongs to the socket, and not to its reader. So a reload changes one pointer, which cannot fail, and the
 * queue stays where it is.
 *
 * The trap is closing: the kernel spreads clients over the sockets of all workers at an address. With one of them gone,
 * clients move to other workers, which do not have their flows. So a receiver that drains stays open, with flows or
 * without, until no worker has a flow that could need it (generation.h).
 *
 * While it drains, its address may be covered by a newer receiver, on the wildcard, say; but the kernel prefers the
 * address. So it passes on to that one what has no flow.
 */
#include "receiver.h"

#include "flow_table.h"
#include "tproxy/clock.h"
#include "tproxy/datagram.h"
#include "tproxy/proxy_header.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	RETRY_MS = 50,
	ERRORS_MAX = 8,    /* are taken in one turn of the loop */
	LAST_BATCHES = 64, /* are read before a socket is closed; a flood has no end */
};

size_t receivers_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		if (config->proxies[i].mode == MODE_UDP)
			count += config->proxies[i].bind_count;
	return count;
}

/* Whether what a flow sends can have the addresses and ports of what it gets. */
static bool may_mirror(const struct proxy *frontend)
{
	const struct proxy *backend = frontend->default_backend;

	for (size_t i = 0; backend != NULL && i < backend->server_count; i++)
		if (backend->servers[i].source.mode == SOURCE_CLIENT)
			return true;
	return false;
}

static int bind_receiver(const struct proxy *frontend, const struct bind *bind, bool first)
{
	int fd = listener_socket(bind, MODE_UDP, first), family = addr_family(&bind->address);

	if (fd != -1 &&
		(datagram_report_destination(fd, family) == -1 ||
			datagram_report_errors(fd, family) == -1 ||
			(may_mirror(frontend) && datagram_report_interface(fd, family) == -1))) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* --- sockets --- */

static struct receiver_socket *socket_new(int fd)
{
	struct receiver_socket *made = calloc(1, sizeof(*made));

	if (made == NULL) {
		close(fd);
		return NULL;
	}
	made->fd = fd;
	made->users = 1;
	return made;
}

static void socket_close(struct receiver_socket *socket)
{
	if (socket->fd == -1)
		return;
	if (event_initialized(&socket->event))
		event_del(&socket->event);
	close(socket->fd);
	socket->fd = -1;
	socket->reader = NULL;
}

static void socket_release(struct receiver_socket *socket)
{
	if (--socket->users > 0)
		return;
	socket_close(socket);
	free(socket);
}

static bool is_reading(const struct receiver *receiver)
{
	return receiver->socket != NULL && receiver->socket->reader == receiver;
}

/* --- binding --- */

static const struct counterpart *older_of(const struct counterparts *counterparts, size_t index)
{
	if (counterparts == NULL || counterparts->receivers[index].config == NULL)
		return NULL;
	return &counterparts->receivers[index];
}

static int bind_frontend(struct receivers *set, const struct proxy *frontend,
	const struct counterparts *counterparts, bool first, struct listener_failure *failure)
{
	for (size_t i = 0; i < frontend->bind_count; i++) {
		const struct bind *bind = &frontend->binds[i];
		struct receiver *receiver = &set->list[set->count];
		bool shares = counterparts != NULL && counterparts->receivers[set->count].overlaps;
		int fd;

		*receiver = (struct receiver){.inherits = older_of(counterparts, set->count++),
			.frontend = frontend,
			.bind = bind,
			.set = set};
		if (receiver->inherits != NULL)
			continue;
		fd = bind_receiver(frontend, bind, first && !shares);
		receiver->socket = fd == -1 ? NULL : socket_new(fd);
		if (receiver->socket == NULL) {
			*failure = (struct listener_failure){frontend, bind, errno};
			return -1;
		}
		receiver->socket->reader = receiver;
	}
	return 0;
}

int receivers_bind(struct receivers *set, const struct config *config,
	const struct counterparts *counterparts, bool first, struct listener_failure *failure)
{
	*set = (struct receivers){0};
	if (!config->has_datagrams)
		return 0;
	set->list = calloc(receivers_count(config) + 1, sizeof(*set->list));
	if (set->list == NULL) {
		*failure = (struct listener_failure){NULL, NULL, ENOMEM};
		return -1;
	}
	for (size_t i = 0; i < config->proxy_count; i++)
		if (config->proxies[i].mode == MODE_UDP &&
			bind_frontend(set, &config->proxies[i], counterparts, first, failure) == -1)
			return -1;
	return 0;
}

/* --- reading --- */

static bool is_covering(const struct receiver *receiver, const struct receiver *before,
	const struct addr *destination)
{
	const struct bind *bind = receiver->bind;

	if (addr_family(&bind->address) != addr_family(&before->bind->address) ||
		addr_port(&bind->address) != addr_port(destination) ||
		bind->accept_proxy != before->bind->accept_proxy)
		return false;
	if (bind->interface != NULL &&
		(before->bind->interface == NULL ||
			strcmp(bind->interface, before->bind->interface) != 0))
		return false;
	return addr_is_any(&bind->address) || addr_equal(&bind->address, destination);
}

/* The receiver at which flows to DESTINATION begin now; NULL: there is none. */
static struct receiver *find_heir(
	const struct receivers *set, const struct receiver *before, const struct addr *destination)
{
	for (size_t i = 0; set != NULL && i < set->count; i++)
		if (is_covering(&set->list[i], before, destination))
			return &set->list[i];
	return NULL;
}

/* The flow of a datagram; NULL: it has none. */
static struct flow *flow_of(struct flow_loop *loop, struct flow_key *key)
{
	struct flow *flow = flow_table_find(&loop->table, key);

	if (flow == NULL && key->receiver->set != loop->receivers) {
		key->receiver = find_heir(loop->receivers, key->receiver, &key->destination);
		if (key->receiver == NULL)
			return NULL;
		flow = flow_table_find(&loop->table, key);
	}
	return flow != NULL ? flow : flow_begin(key);
}

/* `accept-proxy`: takes the header off the datagram in PLACE, and whom it names into KEY. False: it is dropped. */
static bool take_header(struct datagram_batch *arrivals, unsigned place, struct flow_key *key)
{
	struct proxy_header header;

	if (proxy_header_parse_datagram(&header, datagram_batch_data(arrivals, place),
		    datagram_batch_length(arrivals, place)) != PROXY_HEADER_WHOLE) {
		flow_refuse(key, REASON_HEADER_MALFORMED);
		return false;
	}
	datagram_batch_cut_front(arrivals, place, header.length);
	key->proxied = (struct proxied){header.source, header.destination};
	return true;
}

/* The flow of the datagram in PLACE; NULL: it is dropped. */
static struct flow *flow_at(struct receiver *receiver, unsigned place)
{
	struct flow_loop *loop = receiver->flows->loop;
	struct flow_key key = {
		.receiver = receiver, .interface = datagram_batch_interface(loop->arrivals, place)};
	struct flow *flow;

	if (!datagram_batch_addresses(loop->arrivals, place, &key.sender, &key.destination))
		return NULL;
	addr_unmap(&key.destination);
	if (receiver->bind->accept_proxy && !take_header(loop->arrivals, place, &key))
		return NULL;
	flow = flow_of(loop, &key);
	return flow == NULL || flow_comes_back(flow, key.interface) ? NULL : flow;
}

/* Returns whether there was anything to read. Datagrams of one flow that follow each other are relayed together. */
static bool read_batch(struct receiver *receiver, int fd)
{
	struct flow_loop *loop = receiver->flows->loop;
	struct datagram_batch *arrivals = loop->arrivals;
	int count = datagram_batch_receive(arrivals, 0, DATAGRAM_BATCH_SIZE, fd);
	struct flow *flow = NULL;
	unsigned first = 0;

	loop->now = (uint64_t)clock_ms();
	for (unsigned i = 0; count > 0 && i < (unsigned)count; i++) {
		struct flow *next = flow_at(receiver, i);

		if (next == flow)
			continue;
		if (flow != NULL)
			flow_relay(flow, first, i);
		flow = next;
		first = i;
	}
	if (flow != NULL)
		flow_relay(flow, first, (unsigned)count);
	flow_loop_relay(loop);
	return count > 0;
}

/*
 * Errors about replies: each flow's server gets those of its client. With `accept-proxy` they belong to one of the sender's
 * flows, and to which is not known.
 */
static void take_errors(struct receiver *receiver, int fd)
{
	struct flow_key key = {.receiver = receiver};
	const struct addr *bound = &receiver->bind->address;
	int error;

	for (int i = 0; i < ERRORS_MAX; i++) {
		const struct flow *flow;

		error = datagram_take_error(fd, &key.sender, &key.destination);
		if (error == 0)
			return;
		addr_unmap(&key.destination);
		if (addr_family(&key.destination) == AF_UNSPEC)
			key.destination = *bound;
		addr_set_port(&key.destination, addr_port(bound));
		flow = flow_table_find(&receiver->flows->loop->table, &key);
		if (flow != NULL)
			flow_client_unreachable(flow, error);
	}
}

static void on_datagrams(evutil_socket_t fd, short what, void *arg)
{
	struct receiver_socket *socket = arg;

	(void)what;
	if (!read_batch(socket->reader, fd))
		take_errors(socket->reader, fd);
}

static int watch(struct receiver *receiver)
{
	struct receiver_socket *socket = receiver->socket;

	if (!is_reading(receiver))
		return 0;
	if (!event_initialized(&socket->event))
		event_assign(&socket->event, receiver->flows->loop->base, socket->fd,
			EV_READ | EV_PERSIST, on_datagrams, socket);
	return event_pending(&socket->event, EV_READ, NULL) ? 0 : event_add(&socket->event, NULL);
}

static int watch_all(struct receivers *set, struct listener_failure *failure)
{
	static const struct timeval after = {.tv_usec = RETRY_MS * 1000};

	for (size_t i = 0; i < set->count; i++) {
		struct receiver *receiver = &set->list[i];

		if (watch(receiver) == 0)
			continue;
		*failure = (struct listener_failure){receiver->frontend, receiver->bind, errno};
		evtimer_add(&set->retry, &after);
		return -1;
	}
	return 0;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct listener_failure unused;

	(void)fd;
	(void)what;
	watch_all(arg, &unused);
}

int receivers_start(struct receivers *set, struct flow_set *flows, struct listener_failure *failure)
{
	for (size_t i = 0; i < set->count; i++)
		set->list[i].flows = flows;
	flows->loop->receivers = set;
	evtimer_assign(&set->retry, flows->loop->base, on_retry, set);
	return watch_all(set, failure);
}

/* --- a reload, and the end --- */

/*
 * IP_TRANSPARENT stays where it was: replies of flows that are there may need it. It cannot fail where it is new, since
 * a reload for which the capability is missing does not get this far.
 */
void receivers_inherit(struct receivers *set, const struct config *older, struct receivers *before)
{
	for (size_t i = 0; i < set->count; i++) {
		struct receiver *receiver = &set->list[i], *giver;
		int family = addr_family(&receiver->bind->address);

		if (receiver->inherits == NULL || receiver->inherits->config != older)
			continue;
		giver = &before->list[receiver->inherits->index];
		receiver->socket = giver->socket;
		receiver->socket->users++;
		receiver->socket->reader = receiver;
		if (receiver->bind->transparent && !giver->bind->transparent)
			socket_set_transparent(receiver->socket->fd, family);
		if (may_mirror(receiver->frontend))
			datagram_report_interface(receiver->socket->fd, family);
	}
}

void receivers_drain(struct flow_loop *loop)
{
	loop->receivers = NULL;
}

bool receivers_are_open(const struct receivers *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (is_reading(&set->list[i]))
			return true;
	return false;
}

/* What a newer receiver would not get any more. */
static void read_rest(struct receiver *receiver)
{
	const struct receivers *heirs = receiver->flows->loop->receivers;

	for (int i = 0; heirs != NULL && heirs != receiver->set && i < LAST_BATCHES; i++)
		if (!read_batch(receiver, receiver->socket->fd))
			return;
}

void receivers_close(struct receivers *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (!is_reading(&set->list[i]))
			continue;
		if (set->list[i].flows != NULL)
			read_rest(&set->list[i]);
		socket_close(set->list[i].socket);
	}
}

void receivers_free(struct receivers *set)
{
	receivers_close(set);
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i].socket != NULL)
			socket_release(set->list[i].socket);
	if (event_initialized(&set->retry))
		evtimer_del(&set->retry);
	free(set->list);
	*set = (struct receivers){0};
}
