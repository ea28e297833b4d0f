/*
 * Connects to servers from clients' addresses, then, where no answer came, from this host's own.
 *
 * TCP sends a SYN again after a second, so a round ends before that. With TCP_QUICKACK off the kernel waits with the
 * acknowledgement of an answer, as it does for a client that is about to send; SO_LINGER 0 then sends a reset instead.
 * So the server's program never sees a connection.
 *
 * The trap: an answer to a client's address may be lost on this host, where nothing diverts it. The caller has to know
 * that it is diverted.
 */
#include "probe.h"
#include "tproxy/array.h"
#include "tproxy/clock.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ROUND_MS = 900
};

/* Starts a connection, or sends a datagram; -1 with errno. */
static int begin(const struct probe *probe, const struct addr *source)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	static const int off = 0;
	const struct addr *server = &probe->server;
	bool udp = probe->payload != NULL;
	int family = addr_family(server), error;
	int fd = udp ? socket_open_datagrams(family) : socket_open(family);
	struct addr from = addr_any(family);

	if (fd == -1)
		return -1;
	if (!udp) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	}
	if (source != NULL) {
		from = *source;
		addr_set_port(&from, 0);
		if (socket_set_transparent(fd, family) == -1 ||
			(udp ? socket_bind_datagram_source(fd, &from)
			     : socket_bind_source(fd, &from)) == -1)
			goto fail;
	}
	if (socket_connect(fd, server) == -1 && errno != EINPROGRESS)
		goto fail;
	if (!udp || send(fd, probe->payload, probe->payload_length, MSG_NOSIGNAL) != -1)
		return fd;
fail:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static enum probe_outcome outcome_of(int fd)
{
	return socket_take_error(fd) == 0 ? PROBE_ANSWERED : PROBE_REFUSED;
}

/* Waits until all sockets of READY have an outcome, or the round ends; closes them. */
static void end_round(struct pollfd *ready, enum probe_outcome **outcomes, size_t count)
{
	long long end = clock_ms() + ROUND_MS;
	size_t open = count;

	for (long long now; open > 0 && (now = clock_ms()) < end;) {
		if (poll(ready, count, (int)(end - now)) <= 0)
			continue;
		for (size_t i = 0; i < count; i++) {
			if (ready[i].fd < 0 || ready[i].revents == 0)
				continue;
			*outcomes[i] = outcome_of(ready[i].fd);
			close(ready[i].fd);
			ready[i].fd = -1;
			open--;
		}
	}
	for (size_t i = 0; i < count; i++)
		if (ready[i].fd >= 0)
			close(ready[i].fd);
}

/* One round: from the clients' addresses, or from this host's own. */
static void run_round(struct probe *list, size_t count, bool spoofed)
{
	struct pollfd *ready = calloc(count + 1, sizeof(*ready));
	enum probe_outcome **outcomes = calloc(count + 1, sizeof(enum probe_outcome *));
	size_t begun = 0;

	if (ready == NULL || outcomes == NULL)
		abort(); /* out of memory */
	for (size_t i = 0; i < count; i++) {
		enum probe_outcome *outcome = spoofed ? &list[i].from_client : &list[i].from_host;
		int fd;

		if (!spoofed && list[i].from_client != PROBE_SILENT)
			continue;
		fd = begin(&list[i], spoofed ? &list[i].client : NULL);
		*outcome = fd == -1 ? PROBE_NOT_SENT : PROBE_SILENT;
		if (fd == -1) {
			list[i].error = errno;
			continue;
		}
		ready[begun] = (struct pollfd){
			.fd = fd, .events = list[i].payload != NULL ? POLLIN : POLLOUT};
		outcomes[begun++] = outcome;
	}
	end_round(ready, outcomes, begun);
	free(ready);
	free(outcomes);
}

void probe_servers(struct probe *list, size_t count)
{
	run_round(list, count, true);
	run_round(list, count, false);
}
