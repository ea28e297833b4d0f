/*
 * Clients that wait for servers that are full: who is served next, and what ends the wait.
 */
#include "rig.h"

#include "proxy/waiting.h"

#include <sys/socket.h>
#include <unistd.h>

/* Server 0 may have one session, and clients come to no other. */
static void serve_one_at_a_time(struct rig *rig)
{
	rig->servers[0].maxconn = 1;
	rig->servers[1].disabled = true;
	rig->section.timeouts[TIMEOUT_QUEUE] = 20000;
	limits_set_places(rig->limits, &rig->config);
}

static void end(struct rig *rig, int client, int server)
{
	unsigned before = rig->ended;

	close(client);
	close(server);
	while (rig->ended == before)
		rig_turn(rig);
}

static void assert_waits(const struct rig *rig, unsigned clients)
{
	assert_int_equal(queue_length(limits_backend_queue(rig->limits, &rig->section)), clients);
}

static void a_client_waits_until_the_one_before_has_ended(void **state)
{
	struct rig *rig = *state;
	int first, second, server;

	serve_one_at_a_time(rig);
	first = rig_client(rig);
	server = rig_accept(rig, 0);
	second = rig_client(rig);
	assert_int_equal(rig_session(rig)->state, SESSION_WAITING);
	assert_waits(rig, 1);
	end(rig, first, server);
	server = rig_accept(rig, 0);
	assert_waits(rig, 0);
	rig_until(rig, rig_is_relaying);
	assert_int_equal(rig_session(rig)->waiting->backend_place, 1);
	rig_write(second, "x");
	rig_assert_reads(rig, server, "x");
	end(rig, second, server);
	assert_int_equal(rig->last.reason, REASON_DONE);
}

static void clients_are_served_in_their_order(void **state)
{
	struct rig *rig = *state;
	int clients[4], server;

	serve_one_at_a_time(rig);
	for (int i = 0; i < 4; i++)
		clients[i] = rig_client(rig);
	assert_waits(rig, 3);
	for (int i = 0; i < 4; i++) {
		char text[2] = {(char)('0' + i), 0};

		rig_write(clients[i], text);
		server = rig_accept(rig, 0);
		rig_assert_reads(rig, server, text);
		end(rig, clients[i], server);
	}
}

static void the_wait_ends_at_its_timeout(void **state)
{
	struct rig *rig = *state;
	int first, second;

	serve_one_at_a_time(rig);
	rig->section.timeouts[TIMEOUT_QUEUE] = 20;
	first = rig_client(rig);
	second = rig_client(rig);
	rig_until(rig, rig_has_ended);
	assert_int_equal(rig->last.reason, REASON_QUEUE_TIMEOUT);
	assert_waits(rig, 0);
	close(first);
	close(second);
}

static void a_client_that_leaves_waits_no_more(void **state)
{
	struct rig *rig = *state;
	int first, second, third;

	serve_one_at_a_time(rig);
	first = rig_client(rig);
	second = rig_client(rig);
	close(second);
	rig_until(rig, rig_has_ended);
	assert_int_equal(rig->last.reason, REASON_CLIENT_LEFT);
	assert_waits(rig, 0);
	third = rig_client(rig);
	rig_write(third, "x");
	rig_turn(rig);
	rig_reset(third);
	while (rig->ended < 2)
		rig_turn(rig);
	assert_int_equal(rig->last.reason, REASON_CLIENT_RESET);
	assert_waits(rig, 0);
	close(first);
}

static void a_client_that_has_ended_its_data_waits_on(void **state)
{
	struct rig *rig = *state;
	int first, second, server;

	serve_one_at_a_time(rig);
	first = rig_client(rig);
	server = rig_accept(rig, 0);
	second = rig_client(rig);
	rig_write(second, "question");
	shutdown(second, SHUT_WR);
	for (int i = 0; i < 50; i++)
		rig_turn(rig);
	assert_waits(rig, 1);
	end(rig, first, server);
	server = rig_accept(rig, 0);
	rig_assert_reads(rig, server, "question");
	end(rig, second, server);
}

static void beyond_maxqueue_a_client_is_refused(void **state)
{
	struct rig *rig = *state;
	int clients[3];

	serve_one_at_a_time(rig);
	rig->section.balance = BALANCE_SOURCE;
	rig->servers[0].maxqueue = 1;
	for (int i = 0; i < 3; i++)
		clients[i] = rig_client(rig);
	assert_int_equal(rig->last.reason, REASON_QUEUE_FULL);
	assert_int_equal(queue_length(limits_server_queue(rig->limits, &rig->servers[0])), 1);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}

/* Both clients have the same address, and so the same server. */
static void the_queue_of_a_server_that_goes_down_is_shared_out(void **state)
{
	struct rig *rig = *state;
	unsigned full = 0;
	int first, second, server;

	rig->section.balance = BALANCE_SOURCE;
	rig->section.redispatch = -1;
	rig->section.timeouts[TIMEOUT_QUEUE] = 20000;
	rig->servers[0].maxconn = rig->servers[1].maxconn = 1;
	limits_set_places(rig->limits, &rig->config);
	first = rig_client(rig);
	full = rig_session(rig)->server == &rig->servers[1];
	second = rig_client(rig);
	assert_int_equal(rig_session(rig)->state, SESSION_WAITING);
	limits_set_up(rig->limits, &rig->servers[full], DOWN_BY_CHECK, false);
	session_loop_look(&rig->loop);
	server = rig_accept(rig, 1 - full);
	assert_true(rig_session(rig)->redispatched);
	close(first);
	close(second);
	close(server);
}

/* It was read until it has to wait, and is then watched in another way; an older timer means nothing. */
static void a_client_waits_behind_its_header(void **state)
{
	struct rig *rig = *state;
	int first, second, server;

	serve_one_at_a_time(rig);
	rig->section.timeouts[TIMEOUT_CLIENT] = 0;
	rig->section.timeouts[TIMEOUT_QUEUE] = rig->section.timeouts[TIMEOUT_CONNECT] = 0;
	first = rig_client(rig);
	server = rig_accept(rig, 0);
	rig->section.timeouts[TIMEOUT_CLIENT] = 20;
	rig->bind.accept_proxy = true;
	second = rig_client(rig);
	assert_int_equal(rig_session(rig)->state, SESSION_HEADER);
	/* It is there before the loop turns again, and so is read before the timer counts, however late that is. */
	rig->section.timeouts[TIMEOUT_CLIENT] = 0;
	rig_write(second, "PROXY TCP4 198.51.100.10 192.0.2.80 51234 443\r\nx");
	while (rig_session(rig)->state == SESSION_HEADER)
		rig_turn(rig);
	for (int i = 0; i < 60; i++)
		rig_turn(rig);
	assert_waits(rig, 1);
	end(rig, first, server);
	server = rig_accept(rig, 0);
	rig_assert_reads(rig, server, "x");
	end(rig, second, server);
}

/* As by a reload. */
static void a_higher_maxconn_serves_those_that_wait(void **state)
{
	struct rig *rig = *state;
	int first, second;

	serve_one_at_a_time(rig);
	first = rig_client(rig);
	close(rig_accept(rig, 0));
	second = rig_client(rig);
	assert_waits(rig, 1);
	rig->servers[0].maxconn = 2;
	limits_set_places(rig->limits, &rig->config);
	session_loop_look(&rig->loop);
	close(rig_accept(rig, 0));
	assert_waits(rig, 0);
	close(first);
	close(second);
}

static void a_limit_that_an_agent_raises_serves_those_that_wait(void **state)
{
	struct rig *rig = *state;
	int first, second;

	serve_one_at_a_time(rig);
	first = rig_client(rig);
	close(rig_accept(rig, 0));
	second = rig_client(rig);
	assert_waits(rig, 1);
	limits_set_server_maxconn(rig->limits, &rig->servers[0], 2);
	session_loop_look(&rig->loop);
	close(rig_accept(rig, 0));
	assert_waits(rig, 0);
	close(first);
	close(second);
}

#define WAITING_TEST(function) cmocka_unit_test_setup_teardown(function, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAITING_TEST(a_client_waits_until_the_one_before_has_ended),
		WAITING_TEST(clients_are_served_in_their_order),
		WAITING_TEST(the_wait_ends_at_its_timeout),
		WAITING_TEST(a_client_that_leaves_waits_no_more),
		WAITING_TEST(a_client_that_has_ended_its_data_waits_on),
		WAITING_TEST(beyond_maxqueue_a_client_is_refused),
		WAITING_TEST(a_client_waits_behind_its_header),
		WAITING_TEST(a_higher_maxconn_serves_those_that_wait),
		WAITING_TEST(a_limit_that_an_agent_raises_serves_those_that_wait),
		WAITING_TEST(the_queue_of_a_server_that_goes_down_is_shared_out),
	};

	return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
