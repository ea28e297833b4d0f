/*
 * How a session gets its server: attempts, other servers, the proxy's own listeners, the source address.
 */
#include "proxy/interest.h"
#include "servers/upstream.h"
#include "sessions.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void a_refused_connection_resets_the_client(void **state)
{
	static const enum session_state expected[] = {
		SESSION_ACCEPTED, SESSION_CONNECTING, SESSION_CLOSING};
	struct rig *rig = *state;
	int client;

	close(rig->server_listeners[0]);
	client = rig_client(rig);
	assert_ended_with(rig, REASON_CONNECT_REFUSED);
	assert_states(rig, expected, 3);
	assert_reset(rig, client);
	rig->server_listeners[0] = -1;
}

static void a_failed_attempt_is_repeated_as_often_as_retries_says(void **state)
{
	struct rig *rig = *state;
	int client;

	rig->section.retries = 2;
	rig->section.timeouts[TIMEOUT_CONNECT] = 5;
	close(rig->server_listeners[0]);
	client = rig_client(rig);
	assert_ended_with(rig, REASON_CONNECT_REFUSED);
	assert_int_equal(rig->last.failures, 3);
	assert_int_equal(rig->ended, 1);
	close(client);
	rig->server_listeners[0] = -1;
}

/* With redispatch: INTERVAL as the configuration has it; FAILURES at the first server before the second one is tried. */
static void assert_redispatches(
	struct rig *rig, enum balance balance, int interval, unsigned failures)
{
	struct limits_counts counts;
	int client, server;

	rig->section.retries = 3;
	rig->section.redispatch = interval;
	rig->section.balance = balance;
	rig->section.timeouts[TIMEOUT_CONNECT] = 5;
	close(rig->server_listeners[0]);
	client = rig_client(rig);
	server = rig_accept(rig, 1);
	assert_int_equal(rig_session(rig)->failures, failures);
	assert_true(rig_session(rig)->redispatched);
	counts = limits_counts(rig->limits, &rig->section, &rig->section, &rig->servers[0]);
	assert_int_equal(counts.server, 0);
	assert_int_equal(counts.backend, 1);
	close(client);
	close(server);
	rig->server_listeners[0] = -1;
}

static void where_servers_take_turns_another_one_is_tried_at_once(void **state)
{
	assert_redispatches(*state, BALANCE_ROUNDROBIN, -1, 1);
}

static void else_another_one_is_tried_at_the_last_attempt(void **state)
{
	assert_redispatches(*state, BALANCE_FIRST, -1, 3);
}

static void an_interval_says_at_which_attempts_another_one_is_tried(void **state)
{
	assert_redispatches(*state, BALANCE_FIRST, 2, 2);
}

static void an_interval_may_be_counted_from_the_end(void **state)
{
	assert_redispatches(*state, BALANCE_FIRST, -2, 2);
}

static void a_server_that_is_alone_is_tried_again(void **state)
{
	struct rig *rig = *state;
	int client;

	rig->section.server_count = 1;
	rig->section.retries = 2;
	rig->section.redispatch = 1;
	rig->section.timeouts[TIMEOUT_CONNECT] = 5;
	close(rig->server_listeners[0]);
	client = rig_client(rig);
	assert_ended_with(rig, REASON_CONNECT_REFUSED);
	assert_int_equal(rig->last.failures, 3);
	assert_false(rig->last.redispatched);
	close(client);
	rig->server_listeners[0] = -1;
}

static bool failed_once(struct rig *rig)
{
	return rig_session(rig)->failures == 1;
}

static void a_server_that_comes_up_between_two_attempts_is_reached(void **state)
{
	struct rig *rig = *state;
	const struct addr *address = &rig->servers[0].address;
	int client, on = 1;

	rig->section.retries = 1;
	rig->section.timeouts[TIMEOUT_CONNECT] = 200;
	close(rig->server_listeners[0]);
	client = rig_client(rig);
	rig_until(rig, failed_once);
	rig->server_listeners[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(rig->server_listeners[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(rig->server_listeners[0], &address->sa, addr_length(address)), 0);
	assert_int_equal(listen(rig->server_listeners[0], 1), 0);
	close(rig_accept(rig, 0));
	close(client);
}

static void a_backend_without_servers_is_a_reason_of_its_own(void **state)
{
	struct rig *rig = *state;
	int client;

	rig->section.server_count = 0;
	client = rig_client(rig);
	assert_ended_with(rig, REASON_NO_SERVER);
	assert_int_equal(rig->last.error, 0);
	close(client);
}

/* The listener that the server is, as the configuration found; clients connect to it here, too. */
static void a_server_that_is_the_proxys_own_listener_is_refused(void **state)
{
	static const struct bind listener;
	struct rig *rig = *state;
	int client;

	rig->servers[0].loop = &listener;
	assert_true(socket_local_address(rig->vip, &rig->servers[0].address));
	client = rig_client(rig);
	assert_ended_with(rig, REASON_LOOP);
	assert_int_equal(rig->last.error, 0);
	assert_int_equal(rig->state_count, 3);
	assert_reset(rig, client);
}

/* Clients of this test connect to 127.0.0.1. */
static void a_destination_that_no_server_can_have_is_refused(void **state)
{
	struct rig *rig = *state;
	int client;

	rig->servers[0].address = addr_any(AF_INET);
	client = rig_client(rig);
	assert_ended_with(rig, REASON_DESTINATION_ADDRESS);
	assert_true(socket_local_address(rig->vip, &rig->servers[0].address));
	assert_true(addr_equal(&rig->last.server_address, &rig->servers[0].address));
	assert_int_equal(rig->state_count, 3);
	assert_reset(rig, client);
}

static bool both_have_ended(struct rig *rig)
{
	return rig->ended == 2;
}

/* Its server is where clients connect to, so what it sends there comes back. */
static void what_a_session_sends_to_its_server_is_known_when_it_comes_back(void **state)
{
	struct rig *rig = *state;
	struct addr peer;
	int client, again;

	rig->sessions.notes_own_traffic = true;
	assert_true(socket_local_address(rig->vip, &rig->servers[0].address));
	client = rig_client(rig);
	again = socket_accept(rig->vip, &peer);
	assert_int_not_equal(again, -1);
	assert_true(limits_enter(rig->limits, &rig->section));
	assert_true(session_begin(&rig->sessions, &rig->section, &rig->bind, again, &peer));
	assert_int_equal(rig->ended, 1);
	assert_int_equal(rig->last.reason, REASON_DIVERTED_AGAIN);
	assert_null(rig->last.server);
	rig_until(rig, both_have_ended);
	assert_reset(rig, client);
}

/* Then a rule leads connections there, and what this process sends may be among them. */
static void a_client_of_another_address_lets_own_traffic_be_noted(void **state)
{
	struct rig *rig = *state;
	int first, second;

	rig->bind.transparent = true;
	assert_true(socket_local_address(rig->vip, &rig->bind.address));
	first = rig_client(rig);
	assert_false(rig->sessions.notes_own_traffic);
	addr_set_port(&rig->bind.address, 1);
	second = rig_client(rig);
	assert_true(rig->sessions.notes_own_traffic);
	close(first);
	close(second);
}

static void a_client_is_no_longer_taken_for_a_session_that_ended(void **state)
{
	struct rig *rig = *state;
	struct addr from;
	int client, server;

	rig->sessions.notes_own_traffic = true;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	assert_non_null(rig_session(rig)->noted);
	assert_true(socket_local_address(rig_session(rig)->sides[SERVER].fd, &from));
	assert_true(own_traffic_has(SOCK_STREAM, &from, &rig->servers[0].address));
	session_close(rig_session(rig), REASON_SHUTDOWN, 0);
	assert_false(own_traffic_has(SOCK_STREAM, &from, &rig->servers[0].address));
	close(client);
	close(server);
}

static void an_address_on_another_host_is_not_the_hosts_own(void **state)
{
	struct addr address;

	(void)state;
	assert_true(addr_parse(&address, "127.0.0.1"));
	assert_int_equal(socket_address_kind(&address), ADDRESS_OWN);
	assert_true(addr_parse(&address, "192.0.2.80"));
	assert_int_equal(socket_address_kind(&address), ADDRESS_OTHER);
}

/* --- the source address: closed, never opaque --- */

static void assert_nobody_reached_the_server(struct rig *rig)
{
	assert_int_equal(accept(rig->server_listeners[0], NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
}

static void a_source_of_the_other_family_is_refused(void **state)
{
	struct rig *rig = *state;
	int client;

	rig->servers[0].source.mode = SOURCE_FOREIGN;
	assert_true(addr_parse(&rig->servers[0].source.address, "2001:db8::1"));
	client = rig_client(rig);
	assert_ended_with(rig, REASON_SOURCE_FAMILY);
	assert_nobody_reached_the_server(rig);
	assert_reset(rig, client);
}

static void a_source_that_is_not_here_is_refused(void **state)
{
	struct rig *rig = *state;
	int client;

	rig->servers[0].source.mode = SOURCE_ADDRESS;
	assert_true(addr_parse(&rig->servers[0].source.address, "192.0.2.1"));
	client = rig_client(rig);
	assert_ended_with(rig, REASON_SOURCE_FAILED);
	assert_int_equal(rig->last.error, EADDRNOTAVAIL);
	assert_nobody_reached_the_server(rig);
	assert_reset(rig, client);
}

static void a_source_port_in_use_is_refused_without_another_attempt(void **state)
{
	struct rig *rig = *state;
	struct addr *source = &rig->servers[0].source.address;
	int first, second, server;

	rig->section.retries = 3;
	rig->servers[0].source.mode = SOURCE_ADDRESS;
	rig->section.server_count = 1;
	assert_true(socket_local_address(rig->vip, source));
	addr_set_port(source, 0);
	/* Any free port will do: let the kernel find one. */
	first = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(first, &source->sa, addr_length(source)), 0);
	assert_true(socket_local_address(first, source));
	close(first);
	first = rig_client(rig);
	server = rig_accept(rig, 0);
	second = rig_client(rig);
	assert_ended_with(rig, REASON_SOURCE_IN_USE);
	assert_int_equal(rig->last.failures, 1);
	assert_reset(rig, second);
	close(first);
	close(server);
}

/* The port of the first address in `source 0.0.0.0:5000 usesrc clientip` is not used. */
static void only_a_port_that_is_bound_can_be_in_use(void **state)
{
	static const struct {
		enum source_mode mode;
		uint16_t port;
		enum reason expected;
	} rows[] = {
		{SOURCE_ROUTED, 0, REASON_SOURCE_EXHAUSTED},
		{SOURCE_ADDRESS, 0, REASON_SOURCE_EXHAUSTED},
		{SOURCE_ADDRESS, 5000, REASON_SOURCE_IN_USE},
		{SOURCE_FOREIGN, 0, REASON_SOURCE_EXHAUSTED},
		{SOURCE_FOREIGN, 5000, REASON_SOURCE_IN_USE},
		{SOURCE_CLIENTIP, 5000, REASON_SOURCE_EXHAUSTED},
		{SOURCE_CLIENT, 0, REASON_SOURCE_IN_USE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct source source = {.mode = rows[i].mode, .address = addr_any(AF_INET)};

		addr_set_port(&source.address, rows[i].port);
		assert_string_equal(reason_name(upstream_connect_reason(&source, EADDRNOTAVAIL)),
			reason_name(rows[i].expected));
	}
}

/* --- pauses between attempts, and their timeouts --- */

static void assert_pauses(struct rig *rig, struct proxy *backend, unsigned timeout, unsigned pause)
{
	uint64_t before = session_now(), due;
	int client;

	backend->timeouts[TIMEOUT_CONNECT] = timeout;
	client = rig_client(rig);
	rig_until(rig, failed_once);
	due = rig_session(rig)->wait_due;
	assert_in_range(due, before + pause, session_now() + pause);
	assert_int_equal(rig_session(rig)->sides[SERVER].fd, -1);
	close(client);
	session_close_all(&rig->sessions);
}

static void the_pause_before_another_attempt_is_a_second_or_less(void **state)
{
	struct rig *rig = *state;
	struct proxy *backend = separate_backend(rig);

	backend->retries = 1;
	backend->server_count = 1;
	rig->section.timeouts[TIMEOUT_CONNECT] = 300;
	close(rig->server_listeners[0]);
	assert_pauses(rig, backend, 0, 1000);
	assert_pauses(rig, backend, 500, 500);
	assert_pauses(rig, backend, 5000, 1000);
	rig->server_listeners[0] = -1;
}

/* connect() itself fails: no event will come. */
static void a_server_that_cannot_be_reached_now_is_tried_again(void **state)
{
	struct rig *rig = *state;
	uint64_t before = session_now();
	struct session *session;
	int client;

	rig->section.retries = 1;
	rig->section.timeouts[TIMEOUT_CONNECT] = 3600 * 1000;
	assert_true(addr_parse(&rig->servers[0].address, "255.255.255.255"));
	client = rig_client(rig);
	session = rig_session(rig);
	assert_int_equal(session->failures, 1);
	assert_int_equal(session->sides[SERVER].fd, -1);
	assert_in_range(session->wait_due, before + 1000, session_now() + 1000);
	session->wait_due = session_now();
	event_active(&session->timer, EV_TIMEOUT, 1);
	assert_ended_with(rig, REASON_CONNECT_UNREACHABLE);
	assert_int_equal(rig->last.failures, 2);
	close(client);
}

static void the_backends_retries_count(void **state)
{
	struct rig *rig = *state;
	struct proxy *backend = separate_backend(rig);
	int client;

	backend->retries = 0;
	close(rig->server_listeners[0]);
	client = rig_client(rig);
	assert_ended_with(rig, REASON_CONNECT_REFUSED);
	assert_int_equal(rig->last.failures, 1);
	close(client);
	rig->server_listeners[0] = -1;
}

/* Time has passed already, so there is no pause. */
static void after_a_timeout_the_next_attempt_begins_at_once(void **state)
{
	struct rig *rig = *state;
	struct proxy *backend = separate_backend(rig);
	int fillers[8], client;
	unsigned before;

	silence_server(rig, fillers, 8);
	before = descriptors_open();
	backend->server_count = 1;
	backend->retries = 1;
	backend->timeouts[TIMEOUT_CONNECT] = 3600 * 1000;
	rig->section.timeouts[TIMEOUT_CONNECT] = 1;
	client = rig_client(rig);
	assert_true(rig_session(rig)->wait_due > session_now() + 1000 * 1000);
	for (unsigned i = 0; i < 2; i++) {
		struct session *session = rig_session(rig);

		assert_int_equal(session->failures, i);
		assert_int_not_equal(session->sides[SERVER].fd, -1);
		session->wait_due = session_now();
		event_active(&session->timer, EV_TIMEOUT, 1);
		rig_turn(rig);
	}
	assert_ended_with(rig, REASON_CONNECT_TIMEOUT);
	assert_int_equal(rig->last.failures, 2);
	assert_int_equal(rig->last.error, 0);
	close(client);
	assert_int_equal(descriptors_open(), before);
	close_all(fillers, 8);
}

static void without_a_timeout_connecting_takes_as_long_as_it_takes(void **state)
{
	struct rig *rig = *state;
	int fillers[8], client;

	silence_server(rig, fillers, 8);
	client = rig_client(rig);
	assert_int_equal(rig_session(rig)->wait_due, 0);
	event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
	rig_turn(rig);
	assert_int_equal(rig->ended, 0);
	assert_int_equal(rig_session(rig)->state, SESSION_CONNECTING);
	close_all(fillers, 8);
	close(client);
}

static void a_server_that_has_answered_when_the_timer_fires_is_connected(void **state)
{
	struct rig *rig = *state;
	int client, server;

	rig->section.timeouts[TIMEOUT_CONNECT] = 3600 * 1000;
	client = rig_client(rig);
	rig_session(rig)->wait_due = session_now();
	event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
	server = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	assert_int_equal(rig->ended, 0);
	close(client);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_refused_connection_resets_the_client),
		SESSION_TEST(a_failed_attempt_is_repeated_as_often_as_retries_says),
		SESSION_TEST(where_servers_take_turns_another_one_is_tried_at_once),
		SESSION_TEST(else_another_one_is_tried_at_the_last_attempt),
		SESSION_TEST(an_interval_says_at_which_attempts_another_one_is_tried),
		SESSION_TEST(an_interval_may_be_counted_from_the_end),
		SESSION_TEST(a_server_that_is_alone_is_tried_again),
		SESSION_TEST(a_server_that_comes_up_between_two_attempts_is_reached),
		SESSION_TEST(a_backend_without_servers_is_a_reason_of_its_own),
		SESSION_TEST(a_server_that_is_the_proxys_own_listener_is_refused),
		SESSION_TEST(a_destination_that_no_server_can_have_is_refused),
		SESSION_TEST(what_a_session_sends_to_its_server_is_known_when_it_comes_back),
		SESSION_TEST(a_client_of_another_address_lets_own_traffic_be_noted),
		SESSION_TEST(a_client_is_no_longer_taken_for_a_session_that_ended),
		SESSION_TEST(an_address_on_another_host_is_not_the_hosts_own),
		SESSION_TEST(a_source_of_the_other_family_is_refused),
		SESSION_TEST(a_source_that_is_not_here_is_refused),
		SESSION_TEST(a_source_port_in_use_is_refused_without_another_attempt),
		SESSION_TEST(only_a_port_that_is_bound_can_be_in_use),
		SESSION_TEST(the_pause_before_another_attempt_is_a_second_or_less),
		SESSION_TEST(a_server_that_cannot_be_reached_now_is_tried_again),
		SESSION_TEST(the_backends_retries_count),
		SESSION_TEST(after_a_timeout_the_next_attempt_begins_at_once),
		SESSION_TEST(without_a_timeout_connecting_takes_as_long_as_it_takes),
		SESSION_TEST(a_server_that_has_answered_when_the_timer_fires_is_connected),
	};

	return cmocka_run_group_tests_name("session_attempts", tests, NULL, NULL);
}
