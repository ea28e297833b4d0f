/*
 * Slow sides, and what was sent before an end that is not an orderly one: all of it is delivered.
 */
#include "sessions.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <unistd.h>

/* --- what was sent before an end that is not an orderly one --- */

enum {
	BULK = 150 * 1000
};

/* Writes BULK bytes and turns the loop until the other end's kernel has all of them. */
static void write_bulk(struct rig *rig, int fd)
{
	static const char bulk[BULK];
	size_t written = 0;

	while (written < BULK || socket_undelivered(fd) > 0) {
		ssize_t sent = send(fd, bulk, BULK - written, MSG_NOSIGNAL);

		written += sent > 0 ? (size_t)sent : 0;
		rig_turn(rig);
	}
}

/* Reads until the connection ends, and returns how much came; errno says how it ended. */
static size_t read_to_the_end(struct rig *rig, int fd)
{
	char part[4096];
	size_t all = 0;
	ssize_t got;

	while ((got = rig_read(rig, fd, part, sizeof(part))) > 0)
		all += (size_t)got;
	if (got == 0)
		errno = 0;
	return all;
}

static bool is_draining(struct rig *rig)
{
	return rig_session(rig)->state == SESSION_DRAINING;
}

static void a_slow_client_gets_what_the_server_sent_before_its_reset(void **state)
{
	static const enum session_state expected[] = {SESSION_ACCEPTED, SESSION_CONNECTING,
		SESSION_RELAYING, SESSION_DRAINING, SESSION_CLOSING};
	struct rig *rig = *state;
	int client = rig_slow_client(rig), server = rig_accept(rig, 0);

	write_bulk(rig, server);
	rig_reset(server);
	rig_until(rig, is_draining);
	assert_int_equal(read_to_the_end(rig, client), BULK);
	assert_int_equal(errno, ECONNRESET);
	assert_ended_with(rig, REASON_SERVER_RESET);
	assert_int_equal(rig->last.directions[SERVER].bytes, BULK);
	assert_states(rig, expected, 5);
	close(client);
}

static void a_server_gets_what_the_client_sent_before_its_reset(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	write_bulk(rig, client);
	rig_reset(client);
	assert_int_equal(read_to_the_end(rig, server), BULK);
	assert_int_equal(errno, ECONNRESET);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	assert_int_equal(rig->last.directions[CLIENT].bytes, BULK);
	close(server);
}

/* A write to the server that fails uses its error up; the next read of it looks like an end. */
static void a_reset_seen_by_writing_does_not_become_an_orderly_end(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	rig_until(rig, rig_is_relaying);
	rig_write(server, "last words");
	rig_write(client, "question");
	rig_reset(server);
	rig_assert_reads(rig, client, "last words");
	assert_reset(rig, client);
	assert_ended_with(rig, REASON_SERVER_RESET);
}

enum {
	MORE = 100 * 1000 /* more than the session holds, and the rest fits into its kernel */
};

/* Makes the session's own kernel take as little as it can for a side. */
static void narrow(struct rig *rig, enum side_name side)
{
	int least = 1;

	assert_int_equal(setsockopt(rig_session(rig)->sides[side].fd, SOL_SOCKET, SO_SNDBUF, &least,
				 sizeof(least)),
		0);
}

/* Writes MORE bytes, of which the session holds some, and some are still in its kernel. */
static void write_more(struct rig *rig, int fd, enum side_name side)
{
	static const char more[MORE];
	size_t written = 0;

	while (written < MORE || socket_undelivered(fd) > 0) {
		ssize_t sent = send(fd, more, MORE - written, MSG_NOSIGNAL);

		written += sent > 0 ? (size_t)sent : 0;
		rig_turn(rig);
	}
	assert_true(rig_session(rig)->directions[side].held > 0);
	assert_in_range(
		rig_session(rig)->directions[side].held + rig_session(rig)->directions[side].bytes,
		1, MORE - 1);
}

/* A session whose client, or whose server, takes next to nothing. */
static void begin_narrow(struct rig *rig, enum side_name slow, int *client, int *server)
{
	int least = 1;

	if (slow == SERVER)
		assert_int_equal(setsockopt(rig->server_listeners[0], SOL_SOCKET, SO_RCVBUF, &least,
					 sizeof(least)),
			0);
	*client = slow == CLIENT ? rig_slow_client(rig) : rig_client(rig);
	*server = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	narrow(rig, slow);
}

static void what_the_session_holds_at_a_reset_is_delivered(void **state)
{
	for (int slow = 0; slow < 2; slow++) {
		struct rig *rig = *state;
		enum side_name gone = slow == CLIENT ? SERVER : CLIENT;
		int fds[2];

		rig->ended = 0;
		rig->section.server_count = 1;
		begin_narrow(rig, (enum side_name)slow, &fds[CLIENT], &fds[SERVER]);
		write_more(rig, fds[gone], gone);
		rig_reset(fds[gone]);
		rig_until(rig, is_draining);
		assert_int_equal(rig_session(rig)->gone, gone);
		assert_int_equal(read_to_the_end(rig, fds[slow]), MORE);
		assert_int_equal(errno, ECONNRESET);
		assert_ended_with(rig, gone == CLIENT ? REASON_CLIENT_RESET : REASON_SERVER_RESET);
		assert_int_equal(rig->last.error, ECONNRESET);
		assert_int_equal(rig->last.directions[gone].bytes, MORE);
		assert_true(rig->last.directions[gone].cut_short);
		assert_true(rig->last.directions[slow].cut_short);
		close(fds[slow]);
	}
}

/* What is held for a side that is gone is dropped at once: its timeout must not end the other side's. */
static void the_time_of_a_side_that_is_gone_does_not_run(void **state)
{
	struct rig *rig = *state;
	int client, server;
	size_t got;

	begin_narrow(rig, SERVER, &client, &server);
	narrow(rig, CLIENT);
	write_more(rig, client, CLIENT);
	rig_session(rig)->directions[SERVER].path = RELAY_SPLICE;
	while (rig_session(rig)->directions[SERVER].held == 0) {
		static const char part[16 * 1024];

		(void)!send(server, part, sizeof(part), MSG_NOSIGNAL);
		rig_turn(rig);
	}
	rig_reset(client);
	rig_until(rig, is_draining);
	assert_int_equal(rig_session(rig)->directions[SERVER].held, 0);
	assert_int_equal(
		rig->loop.pool.leased_count, rig_session(rig)->directions[CLIENT].buffer == NULL);
	rig->section.timeouts[TIMEOUT_CLIENT] = 1;
	rig_turn(rig);
	rig_turn(rig);
	event_active(&rig_session(rig)->timer, EV_TIMEOUT, 1);
	rig_turn(rig);
	assert_int_equal(rig->ended, 0);
	got = read_to_the_end(rig, server);
	assert_int_equal(got, MORE);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	close(server);
}

/* A side that takes bytes is alive, also where only its kernel acknowledges them. */
static void a_side_that_takes_what_is_drained_is_not_timed_out(void **state)
{
	struct rig *rig = *state;
	struct session *session;
	char part[4096];
	uint64_t long_ago;
	size_t before;
	int client, server, wide = 1 << 20;

	begin_narrow(rig, CLIENT, &client, &server);
	write_more(rig, server, SERVER);
	rig_reset(server);
	rig_until(rig, is_draining);
	session = rig_session(rig);
	long_ago = session->sides[CLIENT].activity -= 100000;
	before = session->directions[SERVER].bytes;
	while (session->directions[SERVER].bytes == before) {
		assert_int_equal(session->sides[CLIENT].activity, long_ago);
		(void)!recv(client, part, sizeof(part), 0);
		rig_turn(rig);
	}
	assert_true(session->sides[CLIENT].activity > long_ago);
	/* Now the kernel takes all of it, and only what the client acknowledges shows that it goes on. */
	assert_int_equal(
		setsockopt(session->sides[CLIENT].fd, SOL_SOCKET, SO_SNDBUF, &wide, sizeof(wide)),
		0);
	while (session->directions[SERVER].held > 0 || session->undelivered == 0) {
		(void)!recv(client, part, 512, 0);
		rig_turn(rig);
		assert_int_equal(rig->ended, 0);
	}
	assert_int_equal(session->sides[SERVER].fd, -1); /* all of it was read */
	long_ago = session->sides[CLIENT].activity -= 100000;
	before = session->undelivered;
	while (session->undelivered == before) {
		assert_int_equal(session->sides[CLIENT].activity, long_ago);
		(void)!recv(client, part, 512, 0);
		rig_turn(rig);
		assert_int_equal(rig->ended, 0);
	}
	assert_true(session->sides[CLIENT].activity > long_ago);
	close(client);
}

/* While the session holds bytes for it, and while its kernel has all of them. */
static void a_side_that_resets_while_it_is_drained_ends_the_session(void **state)
{
	for (int delivered = 0; delivered < 2; delivered++) {
		struct rig *rig = *state;
		int client, server, wide = 1 << 20;

		rig->ended = 0;
		rig->section.server_count = 1;
		begin_narrow(rig, CLIENT, &client, &server);
		write_more(rig, server, SERVER);
		rig_reset(server);
		rig_until(rig, is_draining);
		if (delivered)
			assert_int_equal(setsockopt(rig_session(rig)->sides[CLIENT].fd, SOL_SOCKET,
						 SO_SNDBUF, &wide, sizeof(wide)),
				0);
		while (delivered && (rig_session(rig)->directions[SERVER].held > 0 ||
					    rig_session(rig)->undelivered == 0)) {
			char part[512];

			(void)!recv(client, part, sizeof(part), 0);
			rig_turn(rig);
		}
		rig_reset(client);
		assert_ended_with(rig, REASON_SERVER_RESET);
		assert_true(rig->last.directions[SERVER].bytes < MORE);
	}
}

static void a_slow_side_gets_all_of_it(void **state)
{
	for (int slow = 0; slow < 2; slow++) {
		struct rig *rig = *state;
		int fds[2];

		rig->ended = 0;
		rig->section.server_count = 1;
		begin_narrow(rig, (enum side_name)slow, &fds[CLIENT], &fds[SERVER]);
		write_more(rig, fds[1 - slow], (enum side_name)(1 - slow));
		shutdown(fds[1 - slow], SHUT_WR);
		assert_int_equal(read_to_the_end(rig, fds[slow]), MORE);
		assert_int_equal(errno, 0);
		close(fds[slow]);
		assert_ended_with(rig, REASON_DONE);
		assert_int_equal(rig->last.directions[1 - slow].bytes, MORE);
		assert_false(rig->last.directions[1 - slow].cut_short);
		close(fds[1 - slow]);
	}
}

static void taking_bytes_is_the_destinations_activity_alone(void **state)
{
	struct rig *rig = *state;
	struct session *session;
	uint64_t source, destination;
	char part[4096];
	size_t before;
	int client, server;

	begin_narrow(rig, SERVER, &client, &server);
	write_more(rig, client, CLIENT);
	session = rig_session(rig);
	source = session->sides[CLIENT].activity -= 100000;
	destination = session->sides[SERVER].activity -= 100000;
	before = session->directions[CLIENT].bytes;
	while (session->directions[CLIENT].bytes == before) {
		(void)!recv(server, part, sizeof(part), 0);
		rig_turn(rig);
	}
	assert_true(session->directions[CLIENT].held > 0);
	assert_int_equal(session->sides[CLIENT].activity, source);
	assert_true(session->sides[SERVER].activity > destination);
	close(client);
	close(server);
}

static void what_a_client_does_not_take_is_neither_waited_for_nor_counted(void **state)
{
	struct rig *rig = *state;
	int client = rig_slow_client(rig), server = rig_accept(rig, 0);
	size_t got;

	rig->section.timeouts[TIMEOUT_CLIENT] = 50;
	write_bulk(rig, server);
	rig_reset(server);
	assert_ended_with(rig, REASON_SERVER_RESET);
	got = read_to_the_end(rig, client);
	assert_in_range(got, 1, BULK - 1);
	assert_int_equal(rig->last.directions[SERVER].bytes, got);
	close(client);
}

static void a_watched_client_can_still_be_answered(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);

	shutdown(client, SHUT_WR);
	rig_until(rig, is_watched);
	write_bulk(rig, server);
	close(server);
	assert_int_equal(read_to_the_end(rig, client), BULK);
	assert_int_equal(errno, 0);
	assert_ended_with(rig, REASON_DONE);
	close(client);
}

/* --- a connection whose both directions have ended in order looks like a broken one --- */

/* A session whose server's kernel soon takes no more. */
static void begin_with_slow_server(struct rig *rig, int *client, int *server)
{
	int least = 1;

	assert_int_equal(
		setsockopt(rig->server_listeners[0], SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)),
		0);
	*client = rig_client(rig);
	*server = rig_accept(rig, 0);
}

/* Writes until the session holds bytes that the server's side does not take; returns how many. */
static size_t write_until_held(struct rig *rig, int client)
{
	static const char part[16 * 1024];
	size_t written = 0;

	while (rig_session(rig)->directions[CLIENT].held == 0) {
		ssize_t sent = send(client, part, sizeof(part), MSG_NOSIGNAL);

		written += sent > 0 ? (size_t)sent : 0;
		rig_turn(rig);
	}
	return written;
}

static void a_client_that_ends_after_its_server_did_is_no_reset(void **state)
{
	struct rig *rig = *state;
	int client, server;
	size_t written;

	begin_with_slow_server(rig, &client, &server);
	shutdown(server, SHUT_WR);
	assert_ends(rig, client);
	written = write_until_held(rig, client);
	rig_until(rig, is_watched);
	close(client);
	assert_int_equal(read_to_the_end(rig, server), written);
	assert_int_equal(errno, 0);
	assert_ended_with(rig, REASON_DONE);
	close(server);
}

enum {
	SOME = 8 *
	       1024 /* more than a slow server's kernel takes, less than the session's own does */
};

static bool end_was_passed_on(struct rig *rig)
{
	return rig_session(rig)->directions[CLIENT].shut_out;
}

/* The client sends SOME bytes and its end; the session passes both on to its own kernel. */
static void send_some_and_end(struct rig *rig, int client)
{
	static const char some[SOME];

	assert_int_equal(send(client, some, SOME, MSG_NOSIGNAL), SOME);
	shutdown(client, SHUT_WR);
	rig_until(rig, end_was_passed_on);
}

/* Nothing happens at a socket any more: a timer asks whether all was delivered. */
static void a_quiet_clients_reset_ends_when_all_is_delivered(void **state)
{
	struct rig *rig = *state;
	int client, server;

	begin_with_slow_server(rig, &client, &server);
	send_some_and_end(rig, client);
	rig_until(rig, is_watched);
	rig_reset(client);
	rig_until(rig, is_draining);
	assert_int_equal(read_to_the_end(rig, server), SOME);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	assert_int_equal(rig->last.error, EPIPE); /* its end had come (tcp_reset() in the kernel) */
	close(server);
}

static void a_server_that_ends_while_draining_gets_all_that_was_sent(void **state)
{
	struct rig *rig = *state;
	int client, server;
	uint64_t asked;

	begin_with_slow_server(rig, &client, &server);
	send_some_and_end(rig, client);
	rig_until(rig, is_watched);
	rig_reset(client);
	rig_until(rig, is_draining);
	asked = rig_session(rig)->drain_due;
	shutdown(server, SHUT_WR);
	while (rig->ended == 0 && rig_session(rig)->drain_due == asked)
		rig_turn(rig);
	assert_int_equal(read_to_the_end(rig, server), SOME);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	assert_int_equal(rig->last.directions[CLIENT].bytes, SOME);
	close(server);
}

/* The kernel counts an end that is not acknowledged as a byte. */
static void an_end_that_is_not_delivered_is_no_byte(void **state)
{
	struct rig *rig = *state;
	int client, server;
	size_t got;

	rig->section.timeouts[TIMEOUT_SERVER] = 200;
	begin_with_slow_server(rig, &client, &server);
	send_some_and_end(rig, client);
	assert_ended_with(rig, REASON_SERVER_TIMEOUT);
	got = read_to_the_end(rig, server);
	assert_in_range(got, 1, SOME - 1);
	assert_int_equal(rig->last.directions[CLIENT].bytes, got);
	close(client);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_slow_client_gets_what_the_server_sent_before_its_reset),
		SESSION_TEST(a_server_gets_what_the_client_sent_before_its_reset),
		SESSION_TEST(a_reset_seen_by_writing_does_not_become_an_orderly_end),
		SESSION_TEST(what_the_session_holds_at_a_reset_is_delivered),
		SESSION_TEST(the_time_of_a_side_that_is_gone_does_not_run),
		SESSION_TEST(a_side_that_takes_what_is_drained_is_not_timed_out),
		SESSION_TEST(taking_bytes_is_the_destinations_activity_alone),
		SESSION_TEST(what_a_client_does_not_take_is_neither_waited_for_nor_counted),
		SESSION_TEST(a_watched_client_can_still_be_answered),
		SESSION_TEST(a_client_that_ends_after_its_server_did_is_no_reset),
		SESSION_TEST(a_server_that_ends_while_draining_gets_all_that_was_sent),
		SESSION_TEST(a_quiet_clients_reset_ends_when_all_is_delivered),
		SESSION_TEST(an_end_that_is_not_delivered_is_no_byte),
		SESSION_TEST(a_side_that_resets_while_it_is_drained_ends_the_session),
		SESSION_TEST(a_slow_side_gets_all_of_it),
	};

	return cmocka_run_group_tests_name("session_drains", tests, NULL, NULL);
}
