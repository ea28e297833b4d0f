/*
 * Reads datagrams, and finds out where each was sent.
 *
 * The kernel reports the destination beside each datagram (IP_RECVORIGDSTADDR), also where a rule of TPROXY diverted it to
 * a socket with another address. A datagram without it is dropped: no reply could come from where it was sent.
 *
 * A turn of the loop reads one batch, so that flows get theirs. Nothing pauses: what cannot be relayed is read and
 * dropped, or else the socket would stay readable for ever, and flows that are there would wait for those that are not.
 */
#include "receiver.h"

#include "tproxy/datagram.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

size_t receivers_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		if (config->proxies[i].mode == MODE_UDP)
			count += config->proxies[i].bind_count;
	return count;
}

static int bind_receiver(const struct bind *bind, bool first)
{
	static const enum socket_v6only v6only[] = {
		[V6_SYSTEM] = SOCKET_V6ONLY_SYSTEM,
		[V6_ONLY] = SOCKET_V6ONLY_ON,
		[V6_AND_V4] = SOCKET_V6ONLY_OFF,
	};
	struct socket_listener listener = {
		.address = bind->address,
		.datagrams = true,
		.transparent = bind->transparent,
		.v6only = v6only[bind->v6_mode],
		.interface = bind->interface,
	};
	int fd = socket_bind_listener(&listener, first);

	if (fd != -1 && datagram_report_destination(fd, addr_family(&bind->address)) == -1) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int bind_frontend(struct receivers *set, const struct proxy *frontend, bool first,
	struct listener_failure *failure)
{
	for (size_t i = 0; i < frontend->bind_count; i++) {
		const struct bind *bind = &frontend->binds[i];
		int fd = bind_receiver(bind, first);

		if (fd == -1) {
			*failure = (struct listener_failure){frontend, bind, errno};
			return -1;
		}
		set->list[set->count++] =
			(struct receiver){.fd = fd, .frontend = frontend, .bind = bind, .set = set};
	}
	return 0;
}

int receivers_bind(struct receivers *set, const struct config *config, bool first,
	struct listener_failure *failure)
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
			bind_frontend(set, &config->proxies[i], first, failure) == -1)
			return -1;
	return 0;
}

static void on_datagrams(evutil_socket_t fd, short what, void *arg)
{
	struct receiver *receiver = arg;
	struct flow_set *flows = receiver->set->flows;
	struct flow_key key = {.receiver = receiver};
	int count = datagram_batch_receive(flows->arrivals, 0, DATAGRAM_BATCH_SIZE, fd);

	(void)what;
	for (unsigned i = 0; count > 0 && i < (unsigned)count; i++) {
		size_t length;
		const void *data = datagram_batch_data(flows->arrivals, i, &length);

		if (!datagram_batch_addresses(flows->arrivals, i, &key.client, &key.destination))
			continue;
		addr_unmap(&key.destination);
		flow_set_relay(flows, &key, data, length);
	}
}

int receivers_start(struct receivers *set, struct event_base *base, struct flow_set *flows,
	struct listener_failure *failure)
{
	set->flows = flows;
	for (size_t i = 0; i < set->count; i++) {
		struct receiver *receiver = &set->list[i];

		event_assign(&receiver->event, base, receiver->fd, EV_READ | EV_PERSIST,
			on_datagrams, receiver);
		if (event_add(&receiver->event, NULL) == -1) {
			*failure = (struct listener_failure){
				receiver->frontend, receiver->bind, errno};
			return -1;
		}
	}
	return 0;
}

void receivers_close(struct receivers *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct receiver *receiver = &set->list[i];

		if (receiver->fd == -1)
			continue;
		if (event_initialized(&receiver->event))
			event_del(&receiver->event);
		close(receiver->fd);
		receiver->fd = -1;
	}
}

void receivers_free(struct receivers *set)
{
	receivers_close(set);
	free(set->list);
	*set = (struct receivers){0};
}
