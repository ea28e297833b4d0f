/*
 * Receivers of configurations that follow one another, in one event loop: what a reload does in each worker.
 *
 * Nothing waits for a fixed time: receive() turns the loop until a datagram is there.
 */
#include "udp/receiver.h"

#include "tproxy/datagram.h"
#include "tproxy/diag.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	GENERATIONS = 3,
	TURNS_MAX = 20000
};

struct generation {
	struct config *config;
	struct counterparts *counterparts;
	struct limits *limits;
	struct flow_set flows;
	struct receivers receivers;
};

static struct event_base *base;
static struct flow_loop loop;
static struct generation generations[GENERATIONS];
static int count;
static int servers[2];
static uint16_t server_ports[2], port, other_port;
static unsigned begun, ended;

static void on_changed(void *arg, const struct flow *flow, enum flow_change change)
{
	(void)arg;
	(void)flow;
	begun += change == FLOW_BEGAN;
	ended += change == FLOW_ENDED;
}

static int bound(uint16_t *chosen)
{
	struct addr address;
	int fd = socket_open_datagrams(AF_INET);

	assert_true(addr_parse(&address, "127.0.0.1"));
	assert_int_equal(bind(fd, &address.sa, addr_length(&address)), 0);
	assert_true(socket_local_address(fd, &address));
	if (chosen != NULL)
		*chosen = addr_port(&address);
	return fd;
}

static int set_up(void **state)
{
	(void)state;
	count = 0;
	begun = ended = 0;
	base = event_base_new();
	assert_int_equal(flow_loop_init(&loop, base, true), 0);
	for (int i = 0; i < 2; i++)
		servers[i] = bound(&server_ports[i]);
	close(bound(&port));
	close(bound(&other_port));
	return 0;
}

static void release(struct generation *generation)
{
	receivers_free(&generation->receivers);
	flow_set_free(&generation->flows);
	limits_free(generation->limits);
	counterparts_free(generation->counterparts);
	config_free(generation->config);
	*generation = (struct generation){0};
}

static int tear_down(void **state)
{
	(void)state;
	receivers_drain(&loop);
	for (int i = 0; i < count; i++)
		if (generations[i].config != NULL)
			flow_set_end_all(&generations[i].flows);
	for (int i = 0; i < count; i++)
		if (generations[i].config != NULL)
			release(&generations[i]);
	flow_loop_free(&loop);
	event_base_free(base);
	for (int i = 0; i < 2; i++)
		close(servers[i]);
	return 0;
}

static struct config *parse(const char *bind, uint16_t at, int server)
{
	struct diag *diag = diag_new();
	struct config *config;
	char text[512];

	snprintf(text, sizeof(text),
		"listen relays\n mode udp\n bind %s:%u\n server s 127.0.0.1:%u\n timeout client 1m\n",
		bind, at, server_ports[server]);
	config = config_parse("test.cfg", text, strlen(text), diag);
	assert_non_null(config);
	diag_free(diag);
	return config;
}

/* Puts a configuration in force in place of the one before. */
static struct generation *start(const char *bind, uint16_t at, int server)
{
	struct generation *next = &generations[count];
	struct listener_failure failure;

	next->config = parse(bind, at, server);
	next->limits = limits_new(next->config, 10);
	for (int i = count - 1; i >= 0; i--)
		if (next->counterparts == NULL)
			next->counterparts = counterparts_find(next->config, generations[i].config);
		else
			assert_true(counterparts_add_receivers(
				next->counterparts, next->config, generations[i].config));
	assert_int_equal(flow_set_init(&next->flows, &loop, next->config, next->limits,
				 (struct flow_observer){on_changed, NULL}),
		0);
	assert_int_equal(
		receivers_bind(&next->receivers, next->config, next->counterparts, true, &failure),
		0);
	for (int i = 0; i < count; i++)
		receivers_inherit(
			&next->receivers, generations[i].config, &generations[i].receivers);
	assert_int_equal(receivers_start(&next->receivers, &next->flows, &failure), 0);
	count++;
	return next;
}

static void turn(void)
{
	static const struct timeval tick = {.tv_usec = 1000};

	event_base_loopexit(base, &tick);
	event_base_loop(base, EVLOOP_ONCE);
	flow_loop_end_turn(&loop);
}

static void send_to(int fd, const char *text, uint16_t at)
{
	struct addr to;

	assert_true(addr_parse(&to, "127.0.0.1"));
	addr_set_port(&to, at);
	assert_int_equal(sendto(fd, text, strlen(text), 0, &to.sa, addr_length(&to)), strlen(text));
}

/* The port that the datagram came from. */
static uint16_t receive(int fd, const char *text)
{
	char data[64];
	struct addr from, destination;
	ssize_t length = -1;

	for (int i = 0; i < TURNS_MAX && length == -1; i++) {
		turn();
		length = datagram_receive(fd, data, sizeof(data), &from, &destination);
	}
	assert_int_equal(length, strlen(text));
	assert_memory_equal(data, text, (size_t)length);
	return addr_port(&from);
}

/* There and back; returns the flow's port. */
static uint16_t exchange(int client, uint16_t at, int server)
{
	uint16_t flow;

	send_to(client, "question", at);
	flow = receive(servers[server], "question");
	send_to(servers[server], "answer", flow);
	assert_int_equal(receive(client, "answer"), at);
	return flow;
}

static void one_that_stays_keeps_its_socket_and_its_flows(void **state)
{
	struct generation *first = start("127.0.0.1", port, 0), *second;
	int client = bound(NULL), other = bound(NULL), fd = first->receivers.list[0].socket->fd;
	uint16_t flow = exchange(client, port, 0);

	(void)state;
	second = start("127.0.0.1", port, 1);
	assert_int_equal(second->receivers.list[0].socket->fd, fd);
	assert_false(receivers_are_open(&first->receivers));
	assert_int_equal(exchange(client, port, 0), flow);
	exchange(other, port, 1);
	assert_int_equal(first->flows.count, 1);
	assert_int_equal(second->flows.count, 1);
	flow_set_end_all(&first->flows);
	release(first);
	exchange(client, port, 1);
	assert_int_equal(second->flows.count, 2);
	close(client);
	close(other);
}

static void what_waits_in_the_queue_is_relayed_by_the_newer_one(void **state)
{
	int client = bound(NULL), other = bound(NULL);
	uint16_t flow;

	(void)state;
	start("127.0.0.1", port, 0);
	flow = exchange(client, port, 0);
	send_to(client, "waits", port);
	send_to(other, "new", port);
	start("127.0.0.1", port, 1);
	assert_int_equal(receive(servers[0], "waits"), flow);
	receive(servers[1], "new");
	close(client);
	close(other);
}

static void one_that_goes_begins_no_flow_and_reads_for_those_there_are(void **state)
{
	struct generation *first = start("127.0.0.1", port, 0);
	int client = bound(NULL), other = bound(NULL);
	uint16_t flow = exchange(client, port, 0);

	(void)state;
	start("127.0.0.1", other_port, 0);
	send_to(other, "late", port);
	assert_int_equal(exchange(client, port, 0), flow);
	exchange(other, other_port, 0);
	assert_int_equal(begun, 2);
	assert_true(receivers_are_open(&first->receivers));
	flow_set_end_all(&first->flows);
	receivers_close(&first->receivers);
	assert_false(receivers_are_open(&first->receivers));
	assert_int_equal(ended, 1);
	close(client);
	close(other);
}

static void one_that_comes_back_has_the_socket_that_drains(void **state)
{
	struct generation *first = start("127.0.0.1", port, 0), *third;
	int client = bound(NULL), fd = first->receivers.list[0].socket->fd;
	uint16_t flow = exchange(client, port, 0);

	(void)state;
	start("127.0.0.1", other_port, 0);
	third = start("127.0.0.1", port, 1);
	assert_int_equal(third->counterparts->kept, 1);
	assert_int_equal(third->receivers.list[0].socket->fd, fd);
	assert_int_equal(exchange(client, port, 0), flow);
	close(client);
}

/* The kernel prefers the address that drains, so that one passes on what it has no flow for. */
static void a_wildcard_gets_the_new_clients_of_an_address_that_drains(void **state)
{
	struct generation *first = start("127.0.0.1", port, 0), *second;
	int client = bound(NULL), other = bound(NULL), last = bound(NULL);
	uint16_t flow = exchange(client, port, 0), newer;

	(void)state;
	second = start("0.0.0.0", port, 1);
	newer = exchange(other, port, 1);
	assert_int_equal(exchange(client, port, 0), flow);
	assert_int_equal(exchange(other, port, 1), newer);
	assert_int_equal(second->flows.count, 1);
	flow_set_end_all(&first->flows);
	send_to(last, "in the queue", port);
	receivers_close(&first->receivers);
	receive(servers[1], "in the queue");
	assert_int_equal(exchange(other, port, 1), newer);
	close(client);
	close(other);
	close(last);
}

static void while_all_drain_no_flow_begins(void **state)
{
	int client = bound(NULL), other = bound(NULL);
	uint16_t flow;

	(void)state;
	start("127.0.0.1", port, 0);
	flow = exchange(client, port, 0);
	receivers_drain(&loop);
	send_to(other, "late", port);
	assert_int_equal(exchange(client, port, 0), flow);
	assert_int_equal(begun, 1);
	close(client);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define RECEIVER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		RECEIVER_TEST(one_that_stays_keeps_its_socket_and_its_flows),
		RECEIVER_TEST(what_waits_in_the_queue_is_relayed_by_the_newer_one),
		RECEIVER_TEST(one_that_goes_begins_no_flow_and_reads_for_those_there_are),
		RECEIVER_TEST(one_that_comes_back_has_the_socket_that_drains),
		RECEIVER_TEST(a_wildcard_gets_the_new_clients_of_an_address_that_drains),
		RECEIVER_TEST(while_all_drain_no_flow_begins),
	};

	return cmocka_run_group_tests_name("receiver", tests, NULL, NULL);
}
