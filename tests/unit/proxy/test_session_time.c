/*
 * Timeouts of a session: of each side, in a tunnel, behind an end.
 */
#include "sessions.h"

#include <errno.h>
#include <unistd.h>

/* Bytes of SIDE that arrived before its timer fired keep the session. */
static void assert_bytes_in_time_keep_the_session(struct rig *rig, int side, int timeout)
{
	struct session *session;
	int ends[2];

	rig->section.timeouts[timeout] = 5000;
	ends[CLIENT] = rig_client(rig);
	ends[SERVER] = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	session = rig_session(rig);
	session->sides[side].activity -= 6000;
	rig_write(ends[side], "in time");
	event_active(&session->timer, EV_TIMEOUT, 1);
	rig_assert_reads(rig, ends[!side], "in time");
	assert_int_equal(rig->ended, 0);
	close(ends[CLIENT]);
	close(ends[SERVER]);
}

static void an_answer_that_is_there_when_the_timer_fires_keeps_the_session(void **state)
{
	assert_bytes_in_time_keep_the_session(*state, SERVER, TIMEOUT_SERVER);
}

static void a_silent_client_times_out(void **state)
{
	struct rig *rig = *state;
	int client, server;

	rig->section.timeouts[TIMEOUT_CLIENT] = 20;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	assert_ended_with(rig, REASON_CLIENT_TIMEOUT);
	assert_reset(rig, client);
	assert_reset(rig, server);
}

static void a_silent_server_times_out(void **state)
{
	struct rig *rig = *state;
	int client, server;

	rig->section.timeouts[TIMEOUT_SERVER] = 20;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	assert_ended_with(rig, REASON_SERVER_TIMEOUT);
	close(client);
	close(server);
}

static void the_time_of_a_side_begins_when_it_is_first_waited_for(void **state)
{
	struct rig *rig = *state;
	int client, server;

	rig->section.timeouts[TIMEOUT_CLIENT] = rig->section.timeouts[TIMEOUT_SERVER] = 5000;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
	rig_turn(rig);
	rig_write(client, "still here");
	rig_assert_reads(rig, server, "still here");
	assert_int_equal(rig->ended, 0);
	close(client);
	close(server);
}

/* It is not read any more, so nothing is waited for where all was delivered. */
static void a_side_that_timed_out_ends_its_session_in_the_same_turn(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct rig *rig = *state;
		int client, server;

		rig->ended = 0;
		rig->section.server_count = 1;
		rig->section.timeouts[TIMEOUT_CLIENT] = rig->section.timeouts[TIMEOUT_SERVER] =
			5000;
		client = rig_client(rig);
		server = rig_accept(rig, 0);
		rig_until(rig, rig_is_relaying);
		rig_session(rig)->sides[side].activity -= 6000;
		event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
		while (rig->ended == 0 && rig->states[rig->state_count - 1] != SESSION_DRAINING)
			rig_turn(rig);
		assert_int_equal(rig->ended, 1);
		assert_ended_with(
			rig, side == CLIENT ? REASON_CLIENT_TIMEOUT : REASON_SERVER_TIMEOUT);
		assert_int_equal(rig->last.gone, side);
		assert_int_equal(rig->last.error, 0);
		close(client);
		close(server);
	}
}

static void assert_fin_timeout_counts(struct rig *rig)
{
	int client, server;

	rig->section.timeouts[TIMEOUT_SERVER_FIN] = 20;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	shutdown(client, SHUT_WR);
	assert_ended_with(rig, REASON_SERVER_TIMEOUT);
	close(client);
	close(server);
}

static void once_one_direction_has_ended_the_fin_timeout_counts(void **state)
{
	struct rig *rig = *state;

	rig->section.timeouts[TIMEOUT_SERVER] = 3600 * 1000;
	assert_fin_timeout_counts(rig);
}

/* HAProxy's manual, timeout tunnel: it supersedes both, but for the times after an end. */
static void a_tunnel_has_its_own_timeout_on_both_sides(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct rig *rig = *state;
		int client, server;

		rig->ended = 0;
		rig->section.server_count = 1;
		rig->section.timeouts[TIMEOUT_CLIENT] = rig->section.timeouts[TIMEOUT_SERVER] = 1;
		rig->section.timeouts[TIMEOUT_TUNNEL] = 5000;
		client = rig_client(rig);
		server = rig_accept(rig, 0);
		rig_until(rig, rig_is_relaying);
		rig_session(rig)->sides[side].activity -= 4000;
		event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
		rig_turn(rig);
		assert_int_equal(rig->ended, 0);
		rig_session(rig)->sides[side].activity -= 2000;
		event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
		assert_ended_with(
			rig, side == CLIENT ? REASON_CLIENT_TIMEOUT : REASON_SERVER_TIMEOUT);
		close(client);
		close(server);
	}
}

static void the_fin_timeout_counts_in_a_tunnel_too(void **state)
{
	struct rig *rig = *state;

	rig->section.timeouts[TIMEOUT_TUNNEL] = 3600 * 1000;
	assert_fin_timeout_counts(rig);
}

static void a_client_is_not_timed_out_while_it_has_nothing_to_do(void **state)
{
	struct rig *rig = *state;
	int client, server;

	rig->section.timeouts[TIMEOUT_CLIENT] = 10;
	rig->section.timeouts[TIMEOUT_SERVER] = 40;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	shutdown(client, SHUT_WR);
	assert_ended_with(rig, REASON_SERVER_TIMEOUT);
	close(client);
	close(server);
}

static void data_that_is_there_when_the_timer_fires_keeps_the_session(void **state)
{
	assert_bytes_in_time_keep_the_session(*state, CLIENT, TIMEOUT_CLIENT);
}

static bool has_timed_out(struct rig *rig)
{
	return rig->ended > 0 && rig->last.reason == REASON_CONNECT_TIMEOUT;
}

static void a_server_that_does_not_answer_times_out(void **state)
{
	struct rig *rig = *state;
	int fillers[8], client;

	silence_server(rig, fillers, 8);
	rig->section.timeouts[TIMEOUT_CONNECT] = 20;
	client = rig_client(rig);
	rig_until(rig, has_timed_out);
	assert_closed_in(rig, SESSION_CONNECTING);
	close_all(fillers, 8);
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_silent_client_times_out),
		SESSION_TEST(a_silent_server_times_out),
		SESSION_TEST(the_time_of_a_side_begins_when_it_is_first_waited_for),
		SESSION_TEST(a_side_that_timed_out_ends_its_session_in_the_same_turn),
		SESSION_TEST(once_one_direction_has_ended_the_fin_timeout_counts),
		SESSION_TEST(a_tunnel_has_its_own_timeout_on_both_sides),
		SESSION_TEST(the_fin_timeout_counts_in_a_tunnel_too),
		SESSION_TEST(a_client_is_not_timed_out_while_it_has_nothing_to_do),
		SESSION_TEST(data_that_is_there_when_the_timer_fires_keeps_the_session),
		SESSION_TEST(a_server_that_does_not_answer_times_out),
		SESSION_TEST(an_answer_that_is_there_when_the_timer_fires_keeps_the_session),
	};

	return cmocka_run_group_tests_name("session_time", tests, NULL, NULL);
}
