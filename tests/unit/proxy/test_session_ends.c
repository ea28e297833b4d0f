/*
 * Sides that leave: by a reset or in order, while connecting, while nothing is expected of them.
 */
#include "sessions.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* --- what breaks --- */

static void a_clients_reset_reaches_the_server_as_a_reset(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	rig_until(rig, rig_is_relaying);
	rig_reset(client);
	assert_reset(rig, server);
	assert_ended_with(rig, REASON_CLIENT_RESET);
}

static void a_servers_reset_reaches_the_client_as_a_reset(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	rig_until(rig, rig_is_relaying);
	rig_reset(server);
	assert_reset(rig, client);
	assert_ended_with(rig, REASON_SERVER_RESET);
}

static void a_client_that_resets_while_connecting_ends_its_session(void **state)
{
	struct rig *rig = *state;
	int fillers[8], client;

	silence_server(rig, fillers, 8);
	rig->section.timeouts[TIMEOUT_CONNECT] = 3600 * 1000;
	client = rig_client(rig);
	rig_write(client, "a question that stays unread");
	rig_reset(client);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	assert_closed_in(rig, SESSION_CONNECTING);
	assert_int_equal(rig->last.error, ECONNRESET);
	close_all(fillers, 8);
}

/* It may be all that the client has to say: `nc -N` does so. The answer is still to come. */
static void a_client_that_finishes_while_connecting_keeps_its_session(void **state)
{
	struct rig *rig = *state;
	int fillers[8], client;

	silence_server(rig, fillers, 8);
	rig->section.timeouts[TIMEOUT_CONNECT] = 3600 * 1000;
	client = rig_client(rig);
	shutdown(client, SHUT_WR);
	rig_until(rig, is_watched);
	rig_turn(rig);
	assert_int_equal(rig->ended, 0);
	close_all(fillers, 8);
	close(client);
}

/* The event loop refuses to watch a file, as it refuses a socket where memory is missing. */
static void a_side_that_cannot_be_watched_ends_its_session(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0), kept, file;
	struct session *session;

	rig->may_warn = true;
	rig_until(rig, rig_is_relaying);
	session = rig_session(rig);
	shutdown(client, SHUT_WR);
	while (!session->directions[CLIENT].shut_out)
		rig_turn(rig);
	kept = dup(session->sides[CLIENT].fd);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (!event_pending(&session->hangup, EV_READ, NULL)) { /* else this machine was too slow */
		assert_int_equal(dup2(file, session->sides[CLIENT].fd), session->sides[CLIENT].fd);
		assert_ended_with(rig, REASON_MEMORY);
		assert_int_equal(rig->last.error, EPERM);
	}
	close(kept);
	close(file);
	close(client);
	close(server);
}

static void a_client_that_has_finished_and_then_resets_ends_its_session(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	shutdown(client, SHUT_WR);
	assert_ends(rig, server);
	rig_until(rig, is_watched);
	rig_reset(client);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	assert_true(socket_has_failed(server));
	close(server);
}

static void a_server_that_has_finished_and_then_resets_ends_its_session(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	shutdown(server, SHUT_WR);
	assert_ends(rig, client);
	rig_until(rig, is_watched);
	rig_reset(server);
	assert_ended_with(rig, REASON_SERVER_RESET);
	assert_true(socket_has_failed(client));
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_clients_reset_reaches_the_server_as_a_reset),
		SESSION_TEST(a_servers_reset_reaches_the_client_as_a_reset),
		SESSION_TEST(a_client_that_resets_while_connecting_ends_its_session),
		SESSION_TEST(a_client_that_finishes_while_connecting_keeps_its_session),
		SESSION_TEST(a_side_that_cannot_be_watched_ends_its_session),
		SESSION_TEST(a_client_that_has_finished_and_then_resets_ends_its_session),
		SESSION_TEST(a_server_that_has_finished_and_then_resets_ends_its_session),
	};

	return cmocka_run_group_tests_name("session_ends", tests, NULL, NULL);
}
