/*
 * Listeners: their addresses, what one turn of the loop accepts in a flood, pauses, and how draining ends.
 *
 * accept4() and eventfd() are this file's own, so that they can fail: accept4() in every way that accept(2) knows.
 */
#include "proxy/listener.h"
#include "rig.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	FLOOD = 200,
	TURN_MAX = 64 /* accepted in one turn of the loop */
};

struct flood {
	struct rig *rig;
	struct bind bind;
	struct listeners listeners;
	unsigned pauses;
	const struct listener *paused;
	int error;
	int clients[2 * FLOOD];
	unsigned count;
};

static void on_pause(void *arg, const struct listener *listener, int error)
{
	struct flood *flood = arg;

	flood->pauses++;
	flood->paused = listener;
	flood->error = error;
}

static bool eventfd_fails; /* EMFILE: a spare descriptor cannot be had */

int eventfd(unsigned initial, int flags)
{
	if (!eventfd_fails)
		return (int)syscall(SYS_eventfd2, initial, flags);
	errno = EMFILE;
	return -1;
}

static int accept_error; /* 0: it is asked of the kernel */

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	if (accept_error == 0)
		return (int)syscall(SYS_accept4, fd, address, length, flags);
	errno = accept_error;
	return -1;
}

static void start(struct flood *flood, void **state)
{
	struct listener_failure failure;
	struct rig *rig = *state;

	*flood = (struct flood){.rig = rig};
	assert_true(addr_parse(&flood->bind.address, "127.0.0.1"));
	rig->section.binds = &flood->bind;
	rig->section.bind_count = 1;
	assert_int_equal(listeners_bind(&flood->listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood->listeners, rig->base, &rig->sessions, on_pause,
				 flood, &failure),
		0);
	assert_true(socket_local_address(flood->listeners.list[0].fd, &flood->bind.address));
}

/* Connects clients without a turn of the loop, so that they wait in the queue. */
static void connect_clients(struct flood *flood, unsigned count)
{
	const struct addr *vip = &flood->bind.address;

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, &vip->sa, addr_length(vip)), 0);
		flood->clients[flood->count++] = fd;
	}
}

static void finish(struct flood *flood)
{
	for (unsigned i = 0; i < flood->count; i++)
		close(flood->clients[i]);
	listeners_close(&flood->listeners);
	listeners_free(&flood->listeners);
	flood->rig->section.bind_count = 0;
}

static unsigned accepted(const struct flood *flood)
{
	return flood->rig->sessions.count + flood->rig->ended;
}

static void a_turn_accepts_a_bounded_number(void **state)
{
	struct flood flood;
	unsigned before = 0;

	start(&flood, state);
	connect_clients(&flood, FLOOD);
	rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 1);
	while (accepted(&flood) < 100) {
		rig_turn(flood.rig);
		assert_in_range(accepted(&flood) - before, 0, TURN_MAX);
		before = accepted(&flood);
	}
	finish(&flood);
}

/* Clients keep coming, one a turn; those that were in the queue are served, and the socket closes. */
static void draining_accepts_the_queue_and_ends_in_a_flood(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 50);
	listeners_drain(&flood.listeners);
	assert_true(listeners_are_open(&flood.listeners));
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++) {
		connect_clients(&flood, 1);
		rig_turn(flood.rig);
	}
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(accepted(&flood), 50);
	finish(&flood);
}

static void draining_an_empty_queue_closes_at_once(void **state)
{
	struct flood flood;

	start(&flood, state);
	listeners_drain(&flood.listeners);
	assert_false(listeners_are_open(&flood.listeners));
	finish(&flood);
}

/* maxconn is 100: a place that may never come free must not keep the socket open. */
static void draining_ends_where_the_limit_is_reached(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, FLOOD);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	assert_int_equal(flood.rig->sessions.count, 100);
	listeners_drain(&flood.listeners);
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(flood.listeners.paused_count, 0);
	finish(&flood);
}

/* Several threads read the queue of a socket that a service manager has bound. */
static void draining_ends_where_another_thread_took_the_queue(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 3);
	listeners_drain(&flood.listeners);
	for (int i = 0; i < 3; i++)
		assert_int_equal(close(accept4(flood.listeners.list[0].fd, NULL, NULL, 0)), 0);
	for (int turn = 0; turn < 100 * FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(accepted(&flood), 0);
	finish(&flood);
}

/* The event loop refuses to watch a file, as it refuses a socket where memory is missing. */
static void a_listener_that_cannot_be_watched_now_is_watched_later(void **state)
{
	struct flood flood;
	int listener, kept, file;

	start(&flood, state);
	flood.rig->may_warn = true;
	connect_clients(&flood, FLOOD);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	listener = flood.listeners.list[0].fd;
	kept = dup(listener);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup2(file, listener), listener);
	session_close_all(&flood.rig->sessions);
	listeners_resume(&flood.listeners);
	assert_int_equal(dup2(kept, listener), listener);
	for (int turn = 0; turn < 100 * FLOOD && accepted(&flood) == 100; turn++)
		rig_turn(flood.rig);
	assert_in_range(accepted(&flood), 101, 2 * FLOOD);
	close(kept);
	close(file);
	finish(&flood);
}

/* --- addresses --- */

static const char *const loopback[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};

struct sections {
	struct bind binds[3];
	struct proxy proxies[2];
	struct config config;
};

/* Two frontends, the first one with two addresses. */
static void configure(struct sections *sections)
{
	*sections = (struct sections){.config = {.proxy_count = 2}};
	for (int i = 0; i < 3; i++)
		assert_true(addr_parse(&sections->binds[i].address, loopback[i]));
	sections->proxies[0].binds = &sections->binds[0];
	sections->proxies[0].bind_count = 2;
	sections->proxies[1].binds = &sections->binds[2];
	sections->proxies[1].bind_count = 1;
	sections->config.proxies = sections->proxies;
}

static unsigned descriptors_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

static void each_address_has_its_listener(void **state)
{
	struct listener_failure failure;
	struct sections sections;
	struct listeners set;
	unsigned before = descriptors_open();

	(void)state;
	configure(&sections);
	assert_int_equal(listeners_count(&sections.config), 3);
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(set.count, 3);
	for (int i = 0; i < 3; i++) {
		struct addr local;

		assert_ptr_equal(set.list[i].bind, &sections.binds[i]);
		assert_ptr_equal(set.list[i].frontend, &sections.proxies[i / 2]);
		assert_true(socket_local_address(set.list[i].fd, &local));
		addr_set_port(&local, 0);
		assert_true(addr_equal(&local, &sections.binds[i].address));
	}
	assert_false(listeners_are_open(&set));
	listeners_free(&set);
	assert_int_equal(set.count, 0);
	assert_int_equal(descriptors_open(), before);
}

static void an_address_that_is_taken_is_named(void **state)
{
	struct listener_failure failure = {0};
	struct sections sections;
	struct listeners set;
	struct rig *rig = *state;
	unsigned before = descriptors_open();

	configure(&sections);
	assert_true(socket_local_address(rig->vip, &sections.binds[1].address));
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), -1);
	assert_ptr_equal(failure.frontend, &sections.proxies[0]);
	assert_ptr_equal(failure.bind, &sections.binds[1]);
	assert_int_equal(failure.error, EADDRINUSE);
	assert_int_not_equal(set.list[0].fd, -1);
	assert_int_equal(set.list[1].fd, -1);
	listeners_free(&set);
	assert_int_equal(descriptors_open(), before);
}

/* Another worker's listeners share the addresses. */
static void later_listeners_share_the_addresses_of_the_first(void **state)
{
	struct listener_failure failure;
	struct listeners again;
	struct flood flood;

	start(&flood, state);
	assert_int_equal(listeners_bind(&again, &flood.rig->config, true, &failure), -1);
	listeners_free(&again);
	assert_int_equal(listeners_bind(&again, &flood.rig->config, false, &failure), 0);
	listeners_free(&again);
	finish(&flood);
}

/* The event loop must not know the listeners before it any more when they are freed. */
static void a_socket_that_cannot_listen_is_named(void **state)
{
	struct listener_failure failure = {0};
	struct sections sections;
	struct listeners set;
	struct rig *rig = *state;
	int file = eventfd(0, EFD_CLOEXEC);

	configure(&sections);
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(dup2(file, set.list[1].fd), set.list[1].fd);
	assert_int_equal(
		listeners_start(&set, rig->base, &rig->sessions, on_pause, NULL, &failure), -1);
	assert_ptr_equal(failure.frontend, &sections.proxies[0]);
	assert_ptr_equal(failure.bind, &sections.binds[1]);
	assert_int_equal(failure.error, ENOTSOCK);
	assert_int_equal(set.open_count, 1);
	listeners_free(&set);
	assert_int_equal(event_base_get_num_events(rig->base, EVENT_BASE_COUNT_ADDED), 0);
	close(file);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static void a_listener_has_the_options_of_its_line(void **state)
{
	struct sections sections;
	struct listener_failure failure;
	struct listeners set;
	char name[16] = "";
	socklen_t length = sizeof(name);

	(void)state;
	configure(&sections);
	sections.binds[0].interface = "lo";
	sections.binds[1].transparent = socket_may_be_transparent();
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(getsockopt(set.list[0].fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
	assert_string_equal(name, "lo");
	assert_int_equal(option(set.list[0].fd, IPPROTO_IP, IP_TRANSPARENT), 0);
	assert_int_equal(
		option(set.list[1].fd, IPPROTO_IP, IP_TRANSPARENT), sections.binds[1].transparent);
	listeners_free(&set);
}

static void an_ipv6_listener_takes_ipv4_as_its_line_says(void **state)
{
	struct sections sections;
	struct listener_failure failure;
	struct listeners set;

	(void)state;
	configure(&sections);
	for (int i = 0; i < 2; i++)
		sections.binds[i].address = addr_any(AF_INET6);
	sections.binds[0].v6_mode = V6_ONLY;
	sections.binds[1].v6_mode = V6_AND_V4;
	if (listeners_bind(&set, &sections.config, true, &failure) == -1) {
		listeners_free(&set);
		skip(); /* no IPv6 here */
	}
	assert_int_equal(option(set.list[0].fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(option(set.list[1].fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	listeners_free(&set);
}

/* For a listener, tcpi_sacked is how long its queue may become (tcp_get_info() in the kernel). */
static unsigned backlog_of(void **state, unsigned bind, unsigned frontend, unsigned maxconn)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	struct flood flood;
	struct rig *rig = *state;
	struct listener_failure failure;

	flood = (struct flood){.rig = rig, .bind = {.backlog = bind}};
	assert_true(addr_parse(&flood.bind.address, "127.0.0.1"));
	rig->section.binds = &flood.bind;
	rig->section.bind_count = 1;
	rig->section.backlog = frontend;
	rig->section.maxconn = maxconn;
	assert_int_equal(listeners_bind(&flood.listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood.listeners, rig->base, &rig->sessions, on_pause,
				 &flood, &failure),
		0);
	assert_int_equal(
		getsockopt(flood.listeners.list[0].fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	finish(&flood);
	return info.tcpi_sacked;
}

static unsigned somaxconn(void)
{
	FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
	unsigned most = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%u", &most), 1);
	fclose(file);
	return most;
}

static void the_backlog_is_the_lines_the_sections_or_its_maxconn(void **state)
{
	unsigned most = somaxconn();

	assert_int_equal(backlog_of(state, 5, 6, 7), 5);
	assert_int_equal(backlog_of(state, 0, 6, 7), 6);
	assert_int_equal(backlog_of(state, 0, 0, 7), 7);
	assert_int_equal(backlog_of(state, 0, 0, 0), most < 4096 ? most : 4096);
}

/* --- pauses --- */

static struct limits_counts counts_of(const struct flood *flood)
{
	return limits_counts(flood->rig->limits, &flood->rig->section, NULL, NULL);
}

static void a_turn_that_took_all_it_could_doubles_the_next(void **state)
{
	struct flood flood;
	unsigned before = 0;

	start(&flood, state);
	connect_clients(&flood, 34);
	for (unsigned expected = 1; expected <= 16; expected *= 2) {
		while (accepted(&flood) == before)
			rig_turn(flood.rig);
		assert_int_equal(accepted(&flood) - before, expected);
		before = accepted(&flood);
	}
	while (accepted(&flood) < 34)
		rig_turn(flood.rig);
	rig_turn(flood.rig);
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	assert_int_equal(flood.pauses, 0);
	finish(&flood);
}

static bool is_here(const struct flood *flood, unsigned count)
{
	return accepted(flood) == count;
}

static void a_connection_that_fails_by_itself_is_no_pause(void **state)
{
	static const int errors[] = {EINTR, ECONNABORTED, EPERM, EPROTO, ENETDOWN, ENETUNREACH,
		EHOSTDOWN, EHOSTUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP, EAGAIN};
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		accept_error = errors[i];
		rig_turn(flood.rig);
		accept_error = 0;
		assert_int_equal(flood.pauses, 0);
		assert_int_equal(counts_of(&flood).process, 0);
		assert_true(is_here(&flood, 0));
	}
	while (!is_here(&flood, 1))
		rig_turn(flood.rig);
	finish(&flood);
}

/* One turn may look at several connections, but not at one that is not there. */
static void an_error_of_one_connection_lets_the_turn_go_on(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	flood.listeners.list[0].accepts = 4;
	accept_error = ECONNABORTED;
	rig_turn(flood.rig);
	assert_int_equal(flood.listeners.list[0].accepts, 8);
	accept_error = EAGAIN;
	rig_turn(flood.rig);
	accept_error = 0;
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	finish(&flood);
}

static void what_fails_for_the_host_pauses_and_is_tried_again(void **state)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL};
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		accept_error = errors[i];
		while (flood.pauses == i)
			rig_turn(flood.rig);
		assert_int_equal(flood.error, errors[i]);
		assert_ptr_equal(flood.paused, &flood.listeners.list[0]);
		assert_int_equal(flood.listeners.paused_count, 1);
		assert_int_equal(counts_of(&flood).process, 0);
		assert_false(event_pending(&flood.listeners.list[0].event, EV_READ, NULL));
		rig_turn(flood.rig);
		assert_int_equal(flood.pauses, i + 1);
		assert_true(evtimer_pending(&flood.listeners.resume, NULL));
	}
	accept_error = 0;
	while (!is_here(&flood, 1)) /* by its timer */
		rig_turn(flood.rig);
	assert_int_equal(flood.listeners.paused_count, 0);
	finish(&flood);
}

static void a_limit_pauses_until_a_session_ends(void **state)
{
	struct flood flood;

	(*(struct rig **)state)->section.maxconn = 1;
	start(&flood, state);
	connect_clients(&flood, 2);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	assert_int_equal(flood.error, 0);
	assert_int_equal(accepted(&flood), 1);
	assert_int_equal(counts_of(&flood).process, 1);
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	session_close_all(&flood.rig->sessions);
	listeners_resume(&flood.listeners);
	assert_int_equal(flood.listeners.paused_count, 0);
	while (!is_here(&flood, 2))
		rig_turn(flood.rig);
	finish(&flood);
}

/* Though the client itself could be accepted. */
static void without_a_descriptor_for_the_server_no_client_is_accepted(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	close(flood.rig->loop.spare);
	flood.rig->loop.spare = -1;
	flood.listeners.list[0].accepts = 4;
	eventfd_fails = true;
	rig_turn(flood.rig);
	eventfd_fails = false;
	assert_int_equal(flood.pauses, 1);
	assert_int_equal(flood.error, EMFILE);
	assert_int_equal(accepted(&flood), 0);
	assert_int_equal(counts_of(&flood).process, 0);
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	while (!is_here(&flood, 1))
		rig_turn(flood.rig);
	finish(&flood);
}

static void closing_a_listener_that_is_paused_ends_its_pause(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	accept_error = EMFILE;
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	accept_error = 0;
	assert_true(listeners_are_open(&flood.listeners));
	listeners_close(&flood.listeners);
	listeners_close(&flood.listeners);
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(flood.listeners.open_count, 0);
	assert_int_equal(flood.listeners.paused_count, 0);
	assert_false(evtimer_pending(&flood.listeners.resume, NULL));
	assert_int_equal(flood.listeners.list[0].fd, -1);
	finish(&flood);
}

/* Those that come after draining has begun are not accepted, though a turn could take more. */
static void draining_accepts_no_more_than_were_in_the_queue(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 3);
	flood.listeners.list[0].accepts = 8;
	listeners_drain(&flood.listeners);
	connect_clients(&flood, 3);
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 3);
	finish(&flood);
}

static void a_turn_never_accepts_more_than_64(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, TURN_MAX);
	flood.listeners.list[0].accepts = TURN_MAX;
	while (!is_here(&flood, TURN_MAX))
		rig_turn(flood.rig);
	assert_int_equal(flood.listeners.list[0].accepts, TURN_MAX);
	finish(&flood);
}

/* --- several listeners --- */

/* The flood's listener is the second one of its section. */
static void start_two(struct flood *flood, struct bind binds[2], void **state)
{
	struct listener_failure failure;
	struct rig *rig = *state;

	*flood = (struct flood){.rig = rig};
	memset(binds, 0, 2 * sizeof(*binds));
	assert_true(addr_parse(&binds[0].address, "127.0.0.1"));
	assert_true(addr_parse(&binds[1].address, "127.0.0.2"));
	rig->section.binds = binds;
	rig->section.bind_count = 2;
	assert_int_equal(listeners_bind(&flood->listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood->listeners, rig->base, &rig->sessions, on_pause,
				 flood, &failure),
		0);
	assert_true(socket_local_address(flood->listeners.list[1].fd, &flood->bind.address));
}

static bool is_on(const struct flood *flood, unsigned listener)
{
	return event_pending(&flood->listeners.list[listener].event, EV_READ, NULL);
}

static void only_a_listener_that_is_paused_is_resumed(void **state)
{
	struct bind binds[2];
	struct flood flood;

	start_two(&flood, binds, state);
	connect_clients(&flood, 1);
	accept_error = EMFILE;
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	accept_error = 0;
	assert_ptr_equal(flood.paused, &flood.listeners.list[1]);
	assert_true(is_on(&flood, 0) && !is_on(&flood, 1));
	listeners_resume(&flood.listeners);
	assert_true(is_on(&flood, 0) && is_on(&flood, 1));
	assert_int_equal(flood.listeners.paused_count, 0);
	finish(&flood);
}

/* The first one has no client left and closes; that must not keep the second one from its queue. */
static void draining_resumes_what_is_paused_at_once(void **state)
{
	struct bind binds[2];
	struct flood flood;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct addr first;

	start_two(&flood, binds, state);
	assert_true(socket_local_address(flood.listeners.list[0].fd, &first));
	assert_int_equal(connect(client, &first.sa, addr_length(&first)), 0);
	connect_clients(&flood, 1);
	accept_error = EMFILE;
	while (flood.pauses < 2)
		rig_turn(flood.rig);
	accept_error = 0;
	close((int)syscall(SYS_accept4, flood.listeners.list[0].fd, NULL, NULL, 0));
	listeners_drain(&flood.listeners);
	assert_int_equal(flood.listeners.list[0].fd, -1);
	assert_true(is_on(&flood, 1));
	assert_int_equal(flood.listeners.paused_count, 0);
	assert_int_equal(flood.listeners.open_count, 1);
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 1);
	assert_false(listeners_are_open(&flood.listeners));
	close(client);
	finish(&flood);
}

static void closing_closes_each_of_them(void **state)
{
	struct bind binds[2];
	struct flood flood;
	unsigned before = descriptors_open();

	start_two(&flood, binds, state);
	listeners_close(&flood.listeners);
	assert_int_equal(flood.listeners.open_count, 0);
	assert_int_equal(descriptors_open(), before);
	listeners_free(&flood.listeners);
	flood.rig->section.bind_count = 0;
}

enum {
	MANY = 100
};

static void freeing_leaves_no_memory(void **state)
{
	struct bind *binds = calloc(MANY, sizeof(*binds));
	struct listener_failure failure;
	struct listeners set;
	struct proxy section = {.binds = binds, .bind_count = MANY};
	struct config config = {.proxies = &section, .proxy_count = 1};
	size_t before = mallinfo2().uordblks;

	(void)state;
	assert_non_null(binds);
	for (int i = 0; i < MANY; i++)
		assert_true(addr_parse(&binds[i].address, "127.0.0.1"));
	assert_int_equal(listeners_bind(&set, &config, true, &failure), 0);
	listeners_free(&set);
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
	free(binds);
}

/* --- a reload --- */

/* Listeners that follow those of a flood, at the same address, under another `bind` line. */
struct successor {
	struct bind bind;
	struct proxy section;
	struct config config;
	struct counterparts *counterparts;
	struct listeners listeners;
};

static void prepare_successor(struct flood *flood, struct successor *next, unsigned backlog)
{
	struct rig *rig = flood->rig;
	struct listener_failure failure;

	*next = (struct successor){.bind = flood->bind, .section = rig->section};
	next->bind.backlog = backlog;
	next->section.binds = &next->bind;
	next->config = rig->config;
	next->config.proxies = &next->section;
	next->counterparts = counterparts_find(&next->config, &rig->config);
	assert_int_equal(next->counterparts->kept, 1);
	assert_int_equal(listeners_bind_new(&next->listeners, &next->config, next->counterparts,
				 true, &failure),
		0);
	assert_int_equal(next->listeners.list[0].fd, -1);
	assert_int_equal(listeners_listen(&next->listeners, &failure), 0);
}

static void take_over(struct flood *flood, struct successor *next)
{
	struct rig *rig = flood->rig;

	listeners_take_over(
		&next->listeners, &flood->listeners, rig->base, &rig->sessions, on_pause, flood);
}

/* Its sessions end with it: they know its section. */
static void release_successor(struct flood *flood, struct successor *next)
{
	session_close_all(&flood->rig->sessions);
	listeners_close(&next->listeners);
	listeners_free(&next->listeners);
	counterparts_free(next->counterparts);
}

static unsigned queue_room(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	return info.tcpi_sacked;
}

static void a_socket_is_taken_over_with_the_clients_in_its_queue(void **state)
{
	struct flood flood;
	struct successor next;
	int fd;

	start(&flood, state);
	prepare_successor(&flood, &next, 7);
	connect_clients(&flood, 50);
	fd = flood.listeners.list[0].fd;
	take_over(&flood, &next);
	assert_int_equal(next.listeners.list[0].fd, fd);
	assert_int_equal(queue_room(fd), 7);
	assert_int_equal(flood.listeners.list[0].fd, -1);
	assert_false(listeners_are_open(&flood.listeners));
	assert_true(listeners_are_open(&next.listeners));
	listeners_drain(&flood.listeners);
	for (int turn = 0; turn < FLOOD && accepted(&flood) < 50; turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 50);
	release_successor(&flood, &next);
	finish(&flood);
}

/* The one before waits for a place; the new one finds out by itself. */
static void a_listener_that_is_paused_is_taken_over_and_tried_again(void **state)
{
	struct flood flood;
	struct successor next;

	start(&flood, state);
	prepare_successor(&flood, &next, 0);
	connect_clients(&flood, FLOOD);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	take_over(&flood, &next);
	assert_int_equal(flood.listeners.paused_count, 0);
	assert_int_equal(next.listeners.paused_count, 0);
	session_close_all(&flood.rig->sessions);
	for (int turn = 0; turn < 100 * FLOOD && accepted(&flood) < FLOOD; turn++) {
		rig_turn(flood.rig);
		session_close_all(&flood.rig->sessions);
		listeners_resume(&next.listeners);
	}
	assert_int_equal(accepted(&flood), FLOOD);
	release_successor(&flood, &next);
	finish(&flood);
}

/* What the line says holds, and what it has said before does not. */
static void a_listener_is_transparent_as_its_new_line_says(void **state)
{
	struct flood flood;
	struct successor next;

	if (!socket_may_be_transparent())
		skip();
	for (int change = 0; change < 4; change++) {
		bool was = change & 1, is = change & 2;

		start(&flood, state);
		if (was)
			assert_int_equal(
				socket_set_transparent(flood.listeners.list[0].fd, AF_INET), 0);
		flood.bind.transparent = was;
		prepare_successor(&flood, &next, 0);
		next.bind.transparent = is;
		take_over(&flood, &next);
		assert_int_equal(option(next.listeners.list[0].fd, IPPROTO_IP, IP_TRANSPARENT), is);
		release_successor(&flood, &next);
		finish(&flood);
	}
}

/* Three that follow each other in another order, one of which is new, and one that has closed already. */
static void each_socket_is_taken_over_by_its_own_counterpart(void **state)
{
	struct rig *rig = *state;
	struct listener_failure failure;
	struct sections before, now;
	struct listeners older, newer;
	struct counterparts *counterparts;
	int first, second;

	configure(&before);
	assert_int_equal(listeners_bind(&older, &before.config, true, &failure), 0);
	for (int i = 0; i < 3; i++)
		assert_true(socket_local_address(older.list[i].fd, &before.binds[i].address));
	assert_int_equal(
		listeners_start(&older, rig->base, &rig->sessions, on_pause, NULL, &failure), 0);
	configure(&now);
	now.binds[0].address = before.binds[2].address;
	now.binds[2].address = before.binds[0].address;
	counterparts = counterparts_find(&now.config, &before.config);
	assert_int_equal(listeners_bind_new(&newer, &now.config, counterparts, true, &failure), 0);
	assert_int_equal(newer.list[0].fd, -1);
	assert_int_not_equal(newer.list[1].fd, -1);
	assert_int_equal(newer.list[2].fd, -1);
	assert_int_equal(listeners_listen(&newer, &failure), 0);
	first = older.list[0].fd;
	second = newer.list[1].fd;
	event_del(&older.list[2].event);
	close(older.list[2].fd);
	older.list[2].fd = -1;
	older.open_count--;
	listeners_take_over(&newer, &older, rig->base, &rig->sessions, on_pause, NULL);
	assert_int_equal(newer.list[0].fd, -1);
	assert_int_equal(newer.list[1].fd, second);
	assert_int_equal(newer.list[2].fd, first);
	assert_int_equal(newer.open_count, 2);
	assert_int_equal(older.open_count, 1);
	assert_int_equal(event_base_get_num_events(rig->base, EVENT_BASE_COUNT_ADDED), 3);
	listeners_close(&older);
	listeners_close(&newer);
	listeners_free(&older);
	listeners_free(&newer);
	counterparts_free(counterparts);
}

static void a_new_socket_that_cannot_listen_is_named(void **state)
{
	struct listener_failure failure = {0};
	struct sections sections;
	struct listeners set;
	int file = eventfd(0, EFD_CLOEXEC);

	(void)state;
	configure(&sections);
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(dup2(file, set.list[0].fd), set.list[0].fd);
	assert_int_equal(listeners_listen(&set, &failure), -1);
	assert_ptr_equal(failure.frontend, &sections.proxies[0]);
	assert_ptr_equal(failure.bind, &sections.binds[0]);
	assert_int_equal(failure.error, ENOTSOCK);
	listeners_free(&set);
	close(file);
}

/* As where memory is missing: it must not be lost for ever. */
static void a_socket_that_cannot_be_watched_now_is_watched_later(void **state)
{
	struct flood flood;
	struct successor next;
	int fd, kept, file;

	start(&flood, state);
	prepare_successor(&flood, &next, 0);
	flood.rig->may_warn = true;
	fd = flood.listeners.list[0].fd;
	kept = dup(fd);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(event_del(&flood.listeners.list[0].event), 0);
	assert_int_equal(dup2(file, fd), fd);
	take_over(&flood, &next);
	assert_int_equal(next.listeners.paused_count, 1);
	assert_int_equal(dup2(kept, fd), fd);
	connect_clients(&flood, 1);
	for (int turn = 0; turn < 100 * FLOOD && accepted(&flood) < 1; turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 1);
	close(kept);
	close(file);
	release_successor(&flood, &next);
	finish(&flood);
}

/* Its own user's sockets may; the address of another process may not be shared. */
static void a_wildcard_is_bound_beside_an_address_of_the_configuration_before(void **state)
{
	struct listener_failure failure;
	struct flood flood;
	struct bind wildcard = {.address = addr_any(AF_INET)};
	struct proxy section = {.name = "web", .role = ROLE_LISTEN, .binds = &wildcard};
	struct config config = {.proxies = &section, .proxy_count = 1};
	struct counterparts *counterparts;
	struct listeners set;

	start(&flood, state);
	section.bind_count = 1;
	addr_set_port(&wildcard.address, addr_port(&flood.bind.address));
	counterparts = counterparts_find(&config, &flood.rig->config);
	assert_int_equal(listeners_bind_new(&set, &config, counterparts, true, &failure), 0);
	assert_int_equal(listeners_listen(&set, &failure), 0);
	listeners_free(&set);
	counterparts->overlaps[0] = false;
	assert_int_equal(listeners_bind_new(&set, &config, counterparts, true, &failure), -1);
	assert_int_equal(failure.error, EADDRINUSE);
	listeners_free(&set);
	counterparts_free(counterparts);
	finish(&flood);
}

#define LISTENER_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(a_turn_accepts_a_bounded_number),
		LISTENER_TEST(draining_accepts_the_queue_and_ends_in_a_flood),
		LISTENER_TEST(draining_an_empty_queue_closes_at_once),
		LISTENER_TEST(draining_ends_where_the_limit_is_reached),
		LISTENER_TEST(draining_ends_where_another_thread_took_the_queue),
		LISTENER_TEST(a_listener_that_cannot_be_watched_now_is_watched_later),
		LISTENER_TEST(each_address_has_its_listener),
		LISTENER_TEST(an_address_that_is_taken_is_named),
		LISTENER_TEST(later_listeners_share_the_addresses_of_the_first),
		LISTENER_TEST(a_socket_that_cannot_listen_is_named),
		LISTENER_TEST(a_listener_has_the_options_of_its_line),
		LISTENER_TEST(an_ipv6_listener_takes_ipv4_as_its_line_says),
		LISTENER_TEST(the_backlog_is_the_lines_the_sections_or_its_maxconn),
		LISTENER_TEST(a_turn_that_took_all_it_could_doubles_the_next),
		LISTENER_TEST(a_connection_that_fails_by_itself_is_no_pause),
		LISTENER_TEST(an_error_of_one_connection_lets_the_turn_go_on),
		LISTENER_TEST(what_fails_for_the_host_pauses_and_is_tried_again),
		LISTENER_TEST(a_limit_pauses_until_a_session_ends),
		LISTENER_TEST(without_a_descriptor_for_the_server_no_client_is_accepted),
		LISTENER_TEST(closing_a_listener_that_is_paused_ends_its_pause),
		LISTENER_TEST(draining_accepts_no_more_than_were_in_the_queue),
		LISTENER_TEST(a_turn_never_accepts_more_than_64),
		LISTENER_TEST(only_a_listener_that_is_paused_is_resumed),
		LISTENER_TEST(draining_resumes_what_is_paused_at_once),
		LISTENER_TEST(closing_closes_each_of_them),
		LISTENER_TEST(freeing_leaves_no_memory),
		LISTENER_TEST(a_socket_is_taken_over_with_the_clients_in_its_queue),
		LISTENER_TEST(a_listener_that_is_paused_is_taken_over_and_tried_again),
		LISTENER_TEST(a_listener_is_transparent_as_its_new_line_says),
		LISTENER_TEST(each_socket_is_taken_over_by_its_own_counterpart),
		LISTENER_TEST(a_new_socket_that_cannot_listen_is_named),
		LISTENER_TEST(a_socket_that_cannot_be_watched_now_is_watched_later),
		LISTENER_TEST(a_wildcard_is_bound_beside_an_address_of_the_configuration_before),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
