/*
 * The life of a session: its states, its timeouts, and every way it ends.
 */
#include "proxy/interest.h"
#include "rig.h"
#include "servers/upstream.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

static void assert_states(struct rig *rig, const enum session_state *expected, unsigned count)
{
	assert_int_equal(rig->state_count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(rig->states[i], expected[i]);
}

/* The state before the last one, which is CLOSING. */
static void assert_closed_in(struct rig *rig, enum session_state expected)
{
	assert_true(rig->state_count > 1);
	assert_int_equal(rig->states[rig->state_count - 2], expected);
}

static void assert_ended_with(struct rig *rig, enum reason reason)
{
	rig_until(rig, rig_has_ended);
	assert_string_equal(reason_name(rig->last.reason), reason_name(reason));
}

static void assert_reset(struct rig *rig, int fd)
{
	char byte;

	assert_int_equal(rig_read(rig, fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static void assert_ends(struct rig *rig, int fd)
{
	char byte;

	assert_int_equal(rig_read(rig, fd, &byte, 1), 0);
}

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

static void every_state_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(session_state_name(SESSION_ACCEPTED), "accepted");
	assert_string_equal(session_state_name(SESSION_CONNECTING), "connecting");
	assert_string_equal(session_state_name(SESSION_RELAYING), "relaying");
	assert_string_equal(session_state_name(SESSION_DRAINING), "draining");
	assert_string_equal(session_state_name(SESSION_CLOSING), "closing");
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

/* --- a side that leaves while nothing is expected of it --- */

/* Makes a server's kernel drop further requests to connect: its backlog is full. */
static void silence_server(struct rig *rig, int *fillers, unsigned count)
{
	const struct addr *address = &rig->servers[0].address;

	assert_int_equal(listen(rig->server_listeners[0], 1), 0);
	for (unsigned i = 0; i < count; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], &address->sa, addr_length(address));
	}
}

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
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

static bool is_watched(struct rig *rig)
{
	return event_pending(&rig_session(rig)->hangup, EV_READ, NULL);
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

/* --- what the two sections of a session say --- */

/* A backend of its own, so that the rig's section is the frontend alone. */
static struct proxy *separate_backend(struct rig *rig)
{
	static struct proxy backend;

	backend = rig->section;
	rig->section.default_backend = &backend;
	rig->section.server_count = 0;
	rig->section.retries = 7;
	return &backend;
}

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

/* --- time --- */

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

static unsigned descriptors_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
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

#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_session_passes_through_its_states_in_order),
		SESSION_TEST(a_server_may_speak_first),
		SESSION_TEST(a_client_that_has_finished_still_gets_its_answer),
		SESSION_TEST(a_server_that_has_finished_still_hears_the_client),
		SESSION_TEST(servers_take_turns),
		SESSION_TEST(a_clients_reset_reaches_the_server_as_a_reset),
		SESSION_TEST(a_servers_reset_reaches_the_client_as_a_reset),
		SESSION_TEST(a_slow_client_gets_what_the_server_sent_before_its_reset),
		SESSION_TEST(a_server_gets_what_the_client_sent_before_its_reset),
		SESSION_TEST(a_reset_seen_by_writing_does_not_become_an_orderly_end),
		SESSION_TEST(what_the_session_holds_at_a_reset_is_delivered),
		SESSION_TEST(the_time_of_a_side_that_is_gone_does_not_run),
		SESSION_TEST(a_side_that_takes_what_is_drained_is_not_timed_out),
		SESSION_TEST(taking_bytes_is_the_destinations_activity_alone),
		SESSION_TEST(what_a_client_does_not_take_is_neither_waited_for_nor_counted),
		SESSION_TEST(a_client_that_resets_while_connecting_ends_its_session),
		SESSION_TEST(a_client_that_finishes_while_connecting_keeps_its_session),
		SESSION_TEST(a_side_that_cannot_be_watched_ends_its_session),
		SESSION_TEST(a_client_that_has_finished_and_then_resets_ends_its_session),
		SESSION_TEST(a_server_that_has_finished_and_then_resets_ends_its_session),
		SESSION_TEST(a_watched_client_can_still_be_answered),
		SESSION_TEST(a_client_that_ends_after_its_server_did_is_no_reset),
		SESSION_TEST(a_server_that_ends_while_draining_gets_all_that_was_sent),
		SESSION_TEST(a_quiet_clients_reset_ends_when_all_is_delivered),
		SESSION_TEST(an_end_that_is_not_delivered_is_no_byte),
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
		SESSION_TEST(a_side_that_resets_while_it_is_drained_ends_the_session),
		SESSION_TEST(every_state_has_a_name),
		SESSION_TEST(a_slow_side_gets_all_of_it),
		SESSION_TEST(each_sections_option_keeps_its_own_side_alive),
		SESSION_TEST(either_section_may_ask_for_splicing),
		SESSION_TEST(a_server_without_a_port_gets_that_of_the_vip),
		SESSION_TEST(a_session_knows_its_client_and_its_times),
		SESSION_TEST(a_connected_servers_write_event_is_for_writing_alone),
		SESSION_TEST(the_pause_before_another_attempt_is_a_second_or_less),
		SESSION_TEST(a_server_that_cannot_be_reached_now_is_tried_again),
		SESSION_TEST(the_backends_retries_count),
		SESSION_TEST(after_a_timeout_the_next_attempt_begins_at_once),
		SESSION_TEST(without_a_timeout_connecting_takes_as_long_as_it_takes),
		SESSION_TEST(a_server_that_has_answered_when_the_timer_fires_is_connected),
		SESSION_TEST(an_answer_that_is_there_when_the_timer_fires_keeps_the_session),
		SESSION_TEST(a_shutdown_resets_both_sides),
		SESSION_TEST(closing_twice_is_closing_once_and_the_first_reason_counts),
		SESSION_TEST(a_session_that_ended_gives_back_its_places),
		SESSION_TEST(the_last_client_gets_its_server_by_the_spare_descriptor),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
