/*
 * The life of a session: its states, what its sections say, and what it gives back.
 */
#include "proxy/interest.h"
#include "sessions.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- the proper way --- */

static void a_session_passes_through_its_states_in_order(void **state)
{
	static const enum session_state expected[] = {
		SESSION_ACCEPTED, SESSION_CONNECTING, SESSION_RELAYING, SESSION_CLOSING};
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	rig_write(client, "question");
	rig_assert_reads(rig, server, "question");
	rig_write(server, "answer");
	rig_assert_reads(rig, client, "answer");
	close(client);
	assert_ends(rig, server);
	close(server);
	assert_ended_with(rig, REASON_DONE);
	assert_states(rig, expected, 4);
	assert_int_equal(rig->last.error, 0);
	assert_int_equal(rig->last.directions[CLIENT].bytes, 8);
	assert_int_equal(rig->last.directions[SERVER].bytes, 6);
}

static void a_server_may_speak_first(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	rig_write(server, "220 ready");
	rig_assert_reads(rig, client, "220 ready");
	close(client);
	close(server);
}

static void a_client_that_has_finished_still_gets_its_answer(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	rig_write(client, "question");
	shutdown(client, SHUT_WR);
	rig_assert_reads(rig, server, "question");
	assert_ends(rig, server);
	rig_write(server, "answer");
	close(server);
	rig_assert_reads(rig, client, "answer");
	assert_ends(rig, client);
	close(client);
	assert_ended_with(rig, REASON_DONE);
}

static void a_server_that_has_finished_still_hears_the_client(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	shutdown(server, SHUT_WR);
	assert_ends(rig, client);
	rig_write(client, "more");
	rig_assert_reads(rig, server, "more");
	close(client);
	assert_ends(rig, server);
	close(server);
	assert_ended_with(rig, REASON_DONE);
}

static void servers_take_turns(void **state)
{
	struct rig *rig = *state;
	int fds[8];

	for (int i = 0; i < 4; i++) {
		fds[2 * i] = rig_client(rig);
		fds[2 * i + 1] = rig_accept(rig, (unsigned)i % RIG_SERVERS);
	}
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void every_state_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(session_state_name(SESSION_ACCEPTED), "accepted");
	assert_string_equal(session_state_name(SESSION_CONNECTING), "connecting");
	assert_string_equal(session_state_name(SESSION_RELAYING), "relaying");
	assert_string_equal(session_state_name(SESSION_DRAINING), "draining");
	assert_string_equal(session_state_name(SESSION_CLOSING), "closing");
}

/* --- what the two sections of a session say --- */

static bool keeps_alive(int fd)
{
	int on = -1;
	socklen_t length = sizeof(on);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &length), 0);
	return on;
}

static void each_sections_option_keeps_its_own_side_alive(void **state)
{
	struct rig *rig = *state;
	struct proxy *backend = separate_backend(rig);

	for (unsigned i = 0; i < 16; i++) {
		struct session *session;
		int client;

		rig->section.options =
			(i & 1 ? OPTION_CLITCPKA : 0u) | (i & 2 ? OPTION_SRVTCPKA : 0u);
		backend->options = (i & 4 ? OPTION_SRVTCPKA : 0u) | (i & 8 ? OPTION_CLITCPKA : 0u);
		client = rig_client(rig);
		session = rig_session(rig);
		assert_int_equal(keeps_alive(session->sides[CLIENT].fd), (i & 1) != 0);
		assert_int_equal(keeps_alive(session->sides[SERVER].fd), (i & 4) != 0);
		close(client);
		session_close_all(&rig->sessions);
	}
}

static void assert_paths(struct rig *rig, enum relay_path request, enum relay_path response)
{
	int client = rig_client(rig);

	assert_int_equal(rig_session(rig)->directions[CLIENT].path, request);
	assert_int_equal(rig_session(rig)->directions[SERVER].path, response);
	close(client);
	session_close_all(&rig->sessions);
}

static void either_section_may_ask_for_splicing(void **state)
{
	struct rig *rig = *state;
	struct proxy *backend = separate_backend(rig);

	assert_paths(rig, RELAY_AUTO, RELAY_AUTO);
	rig->section.options = OPTION_SPLICE_REQUEST;
	assert_paths(rig, RELAY_SPLICE, RELAY_AUTO);
	backend->options = OPTION_SPLICE_RESPONSE;
	assert_paths(rig, RELAY_SPLICE, RELAY_SPLICE);
	rig->section.options = 0;
	assert_paths(rig, RELAY_AUTO, RELAY_SPLICE);
	rig->config.global.nosplice = true;
	assert_paths(rig, RELAY_COPY, RELAY_COPY);
}

static void a_server_without_a_port_gets_that_of_the_vip(void **state)
{
	struct rig *rig = *state;
	struct addr vip, peer;
	socklen_t length = sizeof(peer);
	int client;

	assert_true(socket_local_address(rig->vip, &vip));
	addr_set_port(&rig->servers[0].address, 0);
	client = rig_client(rig);
	assert_int_equal(getpeername(rig_session(rig)->sides[SERVER].fd, &peer.sa, &length), 0);
	assert_int_equal(addr_port(&peer), addr_port(&vip));
	close(client);
}

static void a_session_knows_its_client_and_its_times(void **state)
{
	struct rig *rig = *state;
	uint64_t before = session_now();
	struct timespec wall;
	struct addr local;
	int client, server;

	clock_gettime(CLOCK_REALTIME, &wall);
	client = rig_client(rig);
	assert_true(socket_local_address(client, &local));
	assert_true(addr_equal(&rig_session(rig)->client, &local));
	assert_true(rig_session(rig)->sides[CLIENT].activity >= before);
	assert_true(rig_session(rig)->sides[SERVER].activity >= before);
	assert_int_equal(rig_session(rig)->connected, 0);
	server = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	session_close_all(&rig->sessions);
	assert_true(rig->last.accepted >= before && rig->last.connected >= rig->last.accepted &&
		    rig->last.closed >= rig->last.connected);
	assert_in_range(rig->last.accepted_at.tv_sec, wall.tv_sec, wall.tv_sec + 60);
	close(client);
	close(server);
}

/* While connecting, its write event asks for both; more than writing would wake the loop for nothing. */
static void a_connected_servers_write_event_is_for_writing_alone(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server;

	assert_int_equal(event_get_events(&rig_session(rig)->sides[SERVER].write),
		EV_READ | EV_WRITE | EV_PERSIST);
	server = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	for (int i = 0; i < 2; i++) {
		const struct side *side = &rig_session(rig)->sides[i];

		assert_int_equal(event_get_events(&side->write), EV_WRITE | EV_PERSIST);
		assert_int_equal(event_get_events(&side->read), EV_READ | EV_PERSIST);
		assert_true(event_pending(&side->read, EV_READ, NULL));
		assert_false(event_pending(&side->write, EV_WRITE, NULL));
	}
	close(client);
	close(server);
}

/* --- ending, and resources --- */

static void a_shutdown_resets_both_sides(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	session_close_all(&rig->sessions);
	assert_ended_with(rig, REASON_SHUTDOWN);
	assert_int_equal(rig->last.error, 0);
	assert_reset(rig, client);
	assert_reset(rig, server);
}

static void closing_twice_is_closing_once_and_the_first_reason_counts(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);
	struct session *session = rig_session(rig);

	session_close(session, REASON_CLIENT_TIMEOUT, 0);
	session_close(session, REASON_SHUTDOWN, 0);
	assert_int_equal(rig->ended, 1);
	assert_ended_with(rig, REASON_CLIENT_TIMEOUT);
	close(client);
	close(server);
}

static void a_session_that_ended_gives_back_its_places(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);
	struct limits_counts counts;

	counts = limits_counts(rig->limits, &rig->section, &rig->section, &rig->servers[0]);
	assert_int_equal(counts.process, 1);
	assert_int_equal(counts.frontend, 1);
	assert_int_equal(counts.backend, 1);
	assert_int_equal(counts.server, 1);
	session_close_all(&rig->sessions);
	counts = limits_counts(rig->limits, &rig->section, &rig->section, &rig->servers[0]);
	assert_int_equal(counts.process + counts.frontend + counts.backend + counts.server, 0);
	close(client);
	close(server);
}

static void the_last_client_gets_its_server_by_the_spare_descriptor(void **state)
{
	struct rig *rig = *state;
	struct rlimit before, tight;
	int client, probe;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	probe = eventfd(0, 0);
	close(probe);
	/* Room for the client's socket and the accepted one, and for none after them. */
	tight = before;
	tight.rlim_cur = (rlim_t)probe + 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	client = rig_client(rig);
	assert_int_equal(rig->ended, 0);
	assert_int_equal(rig_session(rig)->state, SESSION_CONNECTING);
	assert_false(session_loop_keep_spare(&rig->loop));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(session_loop_keep_spare(&rig->loop));
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_session_passes_through_its_states_in_order),
		SESSION_TEST(a_server_may_speak_first),
		SESSION_TEST(a_client_that_has_finished_still_gets_its_answer),
		SESSION_TEST(a_server_that_has_finished_still_hears_the_client),
		SESSION_TEST(servers_take_turns),
		SESSION_TEST(every_state_has_a_name),
		SESSION_TEST(each_sections_option_keeps_its_own_side_alive),
		SESSION_TEST(either_section_may_ask_for_splicing),
		SESSION_TEST(a_server_without_a_port_gets_that_of_the_vip),
		SESSION_TEST(a_session_knows_its_client_and_its_times),
		SESSION_TEST(a_connected_servers_write_event_is_for_writing_alone),
		SESSION_TEST(a_shutdown_resets_both_sides),
		SESSION_TEST(closing_twice_is_closing_once_and_the_first_reason_counts),
		SESSION_TEST(a_session_that_ended_gives_back_its_places),
		SESSION_TEST(the_last_client_gets_its_server_by_the_spare_descriptor),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
