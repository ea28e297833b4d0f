/*
 * Flows of datagrams, on a real event loop: between a client's socket, a listener and two servers on loopback addresses.
 *
 * Nothing waits for a fixed time: until() turns the loop until a condition holds.
 */
#ifndef TESTS_FLOWS_H
#define TESTS_FLOWS_H

#include "tproxy/datagram.h"
#include "tproxy/socket.h"
#include "udp/flow.h"
#include "udp/receiver.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SERVERS = 2,
	TURNS_MAX = 20000,
	MAXCONN = 4,
	SILENCE = 400 /* ms: longer than a busy machine lets this process wait */
};

static struct server servers[SERVERS] = {{.name = "a"}, {.name = "b", .index = 1}};
static struct bind bind_line;
static struct proxy section = {.name = "dns",
	.role = ROLE_LISTEN,
	.mode = MODE_UDP,
	.binds = &bind_line,
	.bind_count = 1,
	.servers = servers,
	.server_count = 1};
static const struct config config = {
	.proxies = &section, .proxy_count = 1, .server_count = SERVERS, .has_datagrams = true};

static int server_fds[SERVERS];
static struct event_base *base;
static struct limits *limits;
static struct flow_loop loop;
static struct flow_set flows;
static struct receivers receivers;
static unsigned begun, ended, refused;
static struct flow last; /* a copy of the flow that changed last */

static inline void on_changed(void *arg, const struct flow *flow, enum flow_change change)
{
	(void)arg;
	begun += change == FLOW_BEGAN;
	ended += change == FLOW_ENDED;
	refused += change == FLOW_REFUSED;
	last = *flow;
}

static inline struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static inline int bound(const char *ip, uint16_t port, struct addr *address)
{
	struct addr wanted = parsed(ip, port);
	int fd = socket_open_datagrams(addr_family(&wanted));

	assert_int_equal(bind(fd, &wanted.sa, addr_length(&wanted)), 0);
	if (address != NULL)
		assert_true(socket_local_address(fd, address));
	return fd;
}

/* A port that no socket has; nothing else binds to it within this test. */
static inline uint16_t free_port(void)
{
	struct addr address;

	close(bound("127.0.0.1", 0, &address));
	return addr_port(&address);
}

static inline void start(const char *ip)
{
	struct listener_failure failure;

	bind_line.address = parsed(ip, free_port());
	assert_int_equal(receivers_bind(&receivers, &config, NULL, true, &failure), 0);
	assert_int_equal(receivers_start(&receivers, &flows, &failure), 0);
}

static inline int set_up_with(bool has_ring)
{
	begun = ended = refused = 0;
	section.default_backend = &section;
	section.server_count = 1;
	section.maxconn = 0;
	section.flow_timeout = 60000;
	memset(&servers[0].source, 0, sizeof(servers[0].source));
	for (unsigned i = 0; i < SERVERS; i++)
		server_fds[i] = bound("127.0.0.1", 0, &servers[i].address);
	base = event_base_new();
	limits = limits_new(&config, MAXCONN);
	assert_int_equal(flow_loop_init(&loop, base, has_ring), 0);
	return flow_set_init(
		&flows, &loop, &config, limits, (struct flow_observer){on_changed, NULL});
}

static inline int set_up(void **state)
{
	(void)state;
	return set_up_with(false);
}

static inline int set_up_with_ring(void **state)
{
	(void)state;
	return set_up_with(true);
}

static inline int tear_down(void **state)
{
	(void)state;
	flow_set_end_all(&flows);
	receivers_free(&receivers);
	/* Those that end turn() are left to pass. */
	for (int i = 0; event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) > 0; i++) {
		assert_true(i < TURNS_MAX);
		event_base_loop(base, EVLOOP_ONCE);
	}
	assert_int_equal(limits_counts(limits, &section, NULL, NULL).process, 0);
	flow_set_free(&flows);
	flow_loop_free(&loop);
	limits_free(limits);
	event_base_free(base);
	for (unsigned i = 0; i < SERVERS; i++)
		close(server_fds[i]);
	return 0;
}

static inline void restart_flows(void)
{
	flow_set_free(&flows);
	assert_int_equal(flow_set_init(&flows, &loop, &config, limits,
				 (struct flow_observer){on_changed, NULL}),
		0);
}

static inline void turn(void)
{
	static const struct timeval tick = {.tv_usec = 1000};

	event_base_loopexit(base, &tick);
	event_base_loop(base, EVLOOP_ONCE);
	flow_loop_end_turn(&loop);
}

/* Turns the loop until a datagram is there; checks its text, and returns where it came from. */
static inline struct addr receive(int fd, const char *text)
{
	char data[256];
	struct addr from, destination;
	ssize_t length = -1;

	for (int i = 0; i < TURNS_MAX && length == -1; i++) {
		turn();
		length = datagram_receive(fd, data, sizeof(data), &from, &destination);
	}
	assert_int_equal(length, strlen(text));
	assert_memory_equal(data, text, (size_t)length);
	return from;
}

static inline void until(const unsigned *count, unsigned wanted)
{
	for (int i = 0; i < TURNS_MAX && *count != wanted; i++)
		turn();
	assert_int_equal(*count, wanted);
}

static inline void send_text(int fd, const char *text, const struct addr *to)
{
	assert_int_equal(sendto(fd, text, strlen(text), 0, &to->sa, addr_length(to)), strlen(text));
}

#define PLAIN(name)   cmocka_unit_test_setup_teardown(name, set_up, tear_down),
#define BY_RING(name) {#name "_by_a_ring", name, set_up_with_ring, tear_down, NULL},

#endif
