/*
 * Flows of datagrams: which server and which client each datagram goes to, when a flow ends, and what is refused.
 */
#include "flows.h"
#include "servers/own_traffic.h"
#include "tproxy/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void a_question_and_its_answers_are_one_flow(void **state)
{
	struct addr client, seen, from;
	int fd = bound("127.0.0.1", 0, &client);

	(void)state;
	start("127.0.0.1");
	send_text(fd, "question", &bind_line.address);
	seen = receive(server_fds[0], "question");
	assert_int_equal(begun, 1);
	assert_true(addr_equal(&last.client, &client));
	assert_ptr_equal(last.server, &servers[0]);
	send_text(server_fds[0], "one", &seen);
	send_text(server_fds[0], "", &seen);
	from = receive(fd, "one");
	assert_true(addr_equal(&from, &bind_line.address));
	receive(fd, "");
	send_text(fd, "another", &bind_line.address);
	from = receive(server_fds[0], "another");
	assert_true(addr_equal(&from, &seen));
	assert_int_equal(flows.count, 1);
	flow_set_end_all(&flows);
	assert_int_equal(ended, 1);
	assert_int_equal(last.reason, REASON_SHUTDOWN);
	assert_int_equal(last.to_server, strlen("question") + strlen("another"));
	assert_int_equal(last.to_client, strlen("one"));
	close(fd);
}

static void each_datagram_has_a_header_where_the_server_wants_one(void **state)
{
	char header[PROXY_HEADER_WRITTEN_MAX], data[256];
	struct addr client, from, destination;
	int fd = bound("127.0.0.1", 0, &client);
	size_t length;

	(void)state;
	start("127.0.0.1");
	servers[0].send_proxy = PROXY_HEADER_V2;
	for (int i = 0; i < 5; i++)
		send_text(fd, "a word", &bind_line.address);
	length = proxy_header_write_datagram(header, &client, &bind_line.address);
	for (int i = 0; i < 5; i++) {
		ssize_t received = -1;

		for (int k = 0; k < TURNS_MAX && received == -1; k++) {
			turn();
			received = datagram_receive(
				server_fds[0], data, sizeof(data), &from, &destination);
		}
		assert_int_equal(received, length + strlen("a word"));
		assert_memory_equal(data, header, length);
		assert_memory_equal(data + length, "a word", strlen("a word"));
	}
	servers[0].send_proxy = PROXY_HEADER_NONE;
	send_text(server_fds[0], "no header back", &from);
	receive(fd, "no header back");
	close(fd);
}

/* The client's kernel reports what it got only about where the socket is connected to. Without CAP_NET_RAW it gets nothing. */
static void a_client_learns_that_the_servers_port_is_unreachable(void **state)
{
	struct addr client;
	int fd = bound("127.0.0.1", 0, &client);
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	ssize_t length = 0;
	char data[16];

	(void)state;
	if (raw == -1)
		skip();
	close(raw);
	start("127.0.0.1");
	close(server_fds[0]);
	assert_int_equal(connect(fd, &bind_line.address.sa, addr_length(&bind_line.address)), 0);
	assert_int_equal(send(fd, "question", 8, 0), 8);
	until(&begun, 1);
	errno = 0;
	for (int i = 0; i < TURNS_MAX && errno != ECONNREFUSED; i++) {
		turn();
		length = recv(fd, data, sizeof(data), MSG_DONTWAIT);
	}
	assert_int_equal(length, -1);
	assert_int_equal(errno, ECONNREFUSED);
	server_fds[0] = bound("127.0.0.1", addr_port(&servers[0].address), NULL);
	assert_int_equal(send(fd, "again", 5, 0), 5);
	receive(server_fds[0], "again");
	assert_int_equal(begun, 1);
	close(fd);
}

static void clients_take_turns_of_servers_and_get_their_own_answers(void **state)
{
	struct addr clients[SERVERS], seen[SERVERS];
	int fds[SERVERS];

	(void)state;
	section.server_count = SERVERS;
	start("127.0.0.1");
	for (unsigned i = 0; i < SERVERS; i++) {
		fds[i] = bound("127.0.0.1", 0, &clients[i]);
		send_text(fds[i], "question", &bind_line.address);
		seen[i] = receive(server_fds[i], "question");
	}
	assert_false(addr_equal(&seen[0], &seen[1]));
	send_text(server_fds[1], "second", &seen[1]);
	send_text(server_fds[0], "first", &seen[0]);
	receive(fds[0], "first");
	receive(fds[1], "second");
	for (unsigned i = 0; i < SERVERS; i++)
		close(fds[i]);
}

static void on_the_wildcard_each_answer_comes_from_where_its_question_went(void **state)
{
	static const char *const asked[] = {"127.0.0.1", "127.0.0.2"};
	struct addr seen[2], to[2], from;
	int fd = bound("127.0.0.1", 0, NULL);

	(void)state;
	start("0.0.0.0");
	for (unsigned i = 0; i < 2; i++) {
		to[i] = parsed(asked[i], addr_port(&bind_line.address));
		send_text(fd, asked[i], &to[i]);
		seen[i] = receive(server_fds[0], asked[i]);
	}
	assert_int_equal(flows.count, 2);
	for (unsigned i = 0; i < 2; i++) {
		send_text(server_fds[0], "answer", &seen[i]);
		from = receive(fd, "answer");
		assert_true(addr_equal(&from, &to[i]));
	}
	close(fd);
}

static void an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_host(void **state)
{
	struct addr client, seen, to, from;
	int fd = bound("127.0.0.1", 0, &client);

	(void)state;
	bind_line.v6_mode = V6_AND_V4;
	start("::");
	bind_line.v6_mode = V6_SYSTEM;
	to = parsed("127.0.0.3", addr_port(&bind_line.address));
	send_text(fd, "question", &to);
	seen = receive(server_fds[0], "question");
	assert_true(addr_equal(&last.client, &client));
	assert_true(addr_equal(&last.key.destination, &to));
	send_text(server_fds[0], "answer", &seen);
	from = receive(fd, "answer");
	assert_true(addr_equal(&from, &to));
	close(fd);
}

static void a_silent_flow_ends_and_one_in_use_stays(void **state)
{
	struct addr client, seen;
	int silent = bound("127.0.0.1", 0, NULL), used = bound("127.0.0.1", 0, &client);

	(void)state;
	section.flow_timeout = SILENCE;
	restart_flows();
	start("127.0.0.1");
	send_text(used, "used", &bind_line.address);
	seen = receive(server_fds[0], "used");
	send_text(silent, "silent", &bind_line.address);
	receive(server_fds[0], "silent");
	for (int i = 0; i < 10 * TURNS_MAX && ended == 0; i++) {
		send_text(server_fds[0], "still here", &seen);
		receive(used, "still here");
	}
	assert_int_equal(ended, 1);
	assert_int_equal(last.reason, REASON_FLOW_IDLE);
	assert_false(addr_equal(&last.client, &client));
	until(&ended, 2);
	assert_true(addr_equal(&last.client, &client));
	assert_true(last.ended - last.active >= SILENCE);
	assert_int_equal(flows.count, 0);
	close(silent);
	close(used);
}

static void a_client_that_sends_keeps_its_flow(void **state)
{
	int fd = bound("127.0.0.1", 0, NULL);
	uint64_t begun_at;

	(void)state;
	section.flow_timeout = SILENCE;
	restart_flows();
	start("127.0.0.1");
	send_text(fd, "question", &bind_line.address);
	receive(server_fds[0], "question");
	for (begun_at = last.began; (uint64_t)clock_ms() < begun_at + 3 * SILENCE;) {
		send_text(fd, "question", &bind_line.address);
		receive(server_fds[0], "question");
	}
	assert_int_equal(begun, 1);
	until(&ended, 1);
	close(fd);
}

static void no_more_flows_than_maxconn_and_the_others_go_on(void **state)
{
	int fds[MAXCONN + 1];

	(void)state;
	start("127.0.0.1");
	for (int i = 0; i <= MAXCONN; i++) {
		fds[i] = bound("127.0.0.1", 0, NULL);
		send_text(fds[i], "question", &bind_line.address);
		if (i < MAXCONN)
			receive(server_fds[0], "question");
	}
	until(&refused, 1);
	assert_int_equal(last.reason, REASON_FLOWS_FULL);
	send_text(fds[0], "again", &bind_line.address);
	receive(server_fds[0], "again");
	flow_set_end_all(&flows);
	send_text(fds[MAXCONN], "now", &bind_line.address);
	receive(server_fds[0], "now");
	for (int i = 0; i <= MAXCONN; i++)
		close(fds[i]);
}

/* Its first datagram gets "port unreachable", which a later call reports. */
static void a_server_that_comes_back_gets_the_next_datagram(void **state)
{
	struct addr address = servers[0].address;
	int fd = bound("127.0.0.1", 0, NULL);

	(void)state;
	start("127.0.0.1");
	close(server_fds[0]);
	send_text(fd, "lost", &bind_line.address);
	until(&begun, 1);
	turn();
	server_fds[0] = bound("127.0.0.1", addr_port(&address), NULL);
	send_text(fd, "one", &bind_line.address);
	send_text(fd, "two", &bind_line.address);
	receive(server_fds[0], "one");
	receive(server_fds[0], "two");
	assert_int_equal(flows.count, 1);
	close(fd);
}

static void what_cannot_be_sent_from_the_source_is_dropped_with_its_reason(void **state)
{
	struct addr client;
	int fd = bound("127.0.0.1", 0, &client);

	(void)state;
	start("127.0.0.1");
	servers[0].source = (struct source){.mode = SOURCE_ADDRESS, .address = client};
	send_text(fd, "question", &bind_line.address);
	until(&refused, 1);
	assert_int_equal(last.reason, REASON_SOURCE_IN_USE);
	servers[0].source.address = parsed("203.0.113.77", 0);
	send_text(fd, "question", &bind_line.address);
	until(&refused, 2);
	assert_int_equal(last.reason, REASON_SOURCE_FAILED);
	servers[0].source.address = parsed("::1", 0);
	send_text(fd, "question", &bind_line.address);
	until(&refused, 3);
	assert_int_equal(last.reason, REASON_SOURCE_FAMILY);
	section.server_count = 0;
	send_text(fd, "question", &bind_line.address);
	until(&refused, 4);
	assert_int_equal(last.reason, REASON_NO_SERVER);
	assert_int_equal(begun, 0);
	close(fd);
}

/* The server is the listener itself: what a flow sends there is no client's. */
static void what_comes_back_begins_no_flow(void **state)
{
	int fd = bound("127.0.0.1", 0, NULL);

	(void)state;
	start("127.0.0.1");
	servers[0].address = bind_line.address;
	send_text(fd, "question", &bind_line.address);
	until(&refused, 1);
	assert_int_equal(last.reason, REASON_DIVERTED_AGAIN);
	assert_int_equal(begun, 1);
	close(fd);
}

static void a_flow_that_ended_gives_everything_back(void **state)
{
	int fd = bound("127.0.0.1", 0, NULL);
	unsigned before;
	struct addr seen;

	(void)state;
	start("127.0.0.1");
	before = descriptors_open();
	for (int i = 0; i < 3; i++) {
		send_text(fd, "question", &bind_line.address);
		seen = receive(server_fds[0], "question");
		assert_true(own_traffic_has(SOCK_DGRAM, &seen, &servers[0].address));
		assert_int_equal(limits_counts(limits, &section, &section, &servers[0]).server, 1);
		flow_set_end_all(&flows);
		assert_true(last.ended >= last.active && last.active >= last.began);
		assert_int_equal(limits_counts(limits, &section, &section, &servers[0]).server, 0);
		assert_false(own_traffic_has(SOCK_DGRAM, &seen, &servers[0].address));
		assert_int_equal(descriptors_open(), before);
		flow_loop_end_turn(&loop);
	}
	close(fd);
}

static void a_refused_flow_gives_everything_back(void **state)
{
	struct flow_key key = {.receiver = NULL};
	unsigned before;

	(void)state;
	start("127.0.0.1");
	before = descriptors_open();
	key.receiver = &receivers.list[0];
	key.sender = parsed("127.0.0.1", 4000);
	key.destination = bind_line.address;
	addr_set_port(&key.destination, (uint16_t)(addr_port(&bind_line.address) ^ 1));
	assert_null(flow_begin(&key));
	assert_int_equal(refused, 1);
	assert_int_equal(last.reason, REASON_DESTINATION_PORT);
	assert_true(last.ended >= last.began && last.ended != 0);
	key.destination = bind_line.address;
	servers[0].source =
		(struct source){.mode = SOURCE_ADDRESS, .address = parsed("203.0.113.77", 0)};
	assert_null(flow_begin(&key));
	assert_int_equal(last.error, EADDRNOTAVAIL);
	assert_int_equal(refused, 2);
	assert_int_equal(descriptors_open(), before);
	assert_int_equal(limits_counts(limits, &section, NULL, NULL).process, 0);
}

static void a_set_leaves_no_memory_and_needs_none_without_datagrams(void **state)
{
	static const struct config none = {.proxies = &section, .proxy_count = 1};
	struct listener_failure failure;
	struct receivers others;
	struct flow_set set;
	size_t before = mallinfo2().uordblks, mapped = mallinfo2().hblkhd;

	(void)state;
	assert_int_equal(flow_set_init(&set, &loop, &none, limits, flows.observer), 0);
	assert_int_equal(receivers_bind(&others, &none, NULL, true, &failure), 0);
	assert_int_equal(mallinfo2().uordblks, before);
	flow_set_end_all(&set);
	flow_set_free(&set);
	receivers_free(&others);
	assert_int_equal(flow_set_init(&set, &loop, &config, limits, flows.observer), 0);
	flow_set_free(&set);
	assert_int_equal(mallinfo2().uordblks, before);
	assert_int_equal(mallinfo2().hblkhd, mapped);
}

static void only_later_sockets_of_the_first_share_its_address(void **state)
{
	struct receivers other, worker;
	struct listener_failure failure;

	(void)state;
	start("127.0.0.1");
	assert_int_equal(receivers_count(&config), 1);
	assert_int_equal(receivers_bind(&other, &config, NULL, true, &failure), -1);
	assert_int_equal(failure.error, EADDRINUSE);
	receivers_free(&other);
	assert_int_equal(receivers_bind(&worker, &config, NULL, false, &failure), 0);
	receivers_free(&worker);
}

static void many_flows_are_kept_apart(void **state)
{
	enum {
		MANY = 300
	};
	int fds[MANY];
	char text[16];

	(void)state;
	flow_set_free(&flows);
	limits_free(limits);
	limits = limits_new(&config, MANY);
	assert_int_equal(flow_set_init(&flows, &loop, &config, limits,
				 (struct flow_observer){on_changed, NULL}),
		0);
	start("127.0.0.1");
	for (int i = 0; i < MANY; i++) {
		struct addr seen;

		fds[i] = bound("127.0.0.1", 0, NULL);
		snprintf(text, sizeof(text), "%d", i);
		send_text(fds[i], text, &bind_line.address);
		seen = receive(server_fds[0], text);
		send_text(server_fds[0], text, &seen);
	}
	assert_int_equal(flows.count, MANY);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		receive(fds[i], text);
		close(fds[i]);
	}
	flow_set_end_all(&flows);
	assert_int_equal(ended, MANY);
	assert_int_equal(flows.count, 0);
}

/* clang-format off */
#define EACH(TEST) \
	TEST(a_question_and_its_answers_are_one_flow) \
	TEST(each_datagram_has_a_header_where_the_server_wants_one) \
	TEST(a_client_learns_that_the_servers_port_is_unreachable) \
	TEST(clients_take_turns_of_servers_and_get_their_own_answers) \
	TEST(on_the_wildcard_each_answer_comes_from_where_its_question_went) \
	TEST(an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_host) \
	TEST(a_silent_flow_ends_and_one_in_use_stays) \
	TEST(no_more_flows_than_maxconn_and_the_others_go_on) \
	TEST(a_server_that_comes_back_gets_the_next_datagram) \
	TEST(what_cannot_be_sent_from_the_source_is_dropped_with_its_reason) \
	TEST(what_comes_back_begins_no_flow) \
	TEST(only_later_sockets_of_the_first_share_its_address) \
	TEST(many_flows_are_kept_apart) \
	TEST(a_flow_that_ended_gives_everything_back) \
	TEST(a_refused_flow_gives_everything_back) \
	TEST(a_client_that_sends_keeps_its_flow) \
	TEST(a_set_leaves_no_memory_and_needs_none_without_datagrams)
/* clang-format on */

int main(void)
{
	const struct CMUnitTest tests[] = {EACH(PLAIN) EACH(BY_RING)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
