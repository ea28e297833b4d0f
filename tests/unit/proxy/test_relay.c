/*
 * What one direction moves: bytes in their order, urgent and single ones, too, and the end; and whose failure ends it.
 *
 * Nearly every test runs along both paths. Whatever the path, the same bytes must arrive.
 */
#include "relays.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_up_copy(void **state)
{
	(void)state;
	return set_up(RELAY_COPY);
}

static int set_up_splice(void **state)
{
	(void)state;
	return set_up(RELAY_SPLICE);
}

static int set_up_auto(void **state)
{
	(void)state;
	return set_up(RELAY_AUTO);
}

static void bytes_pass(void **state)
{
	(void)state;
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_reads("hello");
	assert_int_equal(rig.direction.bytes, 5);
	assert_true(rig.direction.moved_in && rig.direction.moved_out);
}

static void nothing_moves_when_there_is_nothing(void **state)
{
	(void)state;
	assert_int_equal(moved(), RELAY_OK);
	assert_false(rig.direction.moved_in || rig.direction.moved_out);
	assert_true(direction_wants_read(&rig.direction));
	assert_false(direction_wants_write(&rig.direction));
}

static void the_end_of_the_stream_ends_the_direction(void **state)
{
	(void)state;
	write_text("last words");
	shutdown(rig.writer, SHUT_WR);
	while (!direction_has_ended(&rig.direction))
		assert_int_equal(moved(), RELAY_OK);
	assert_reads("last words");
	assert_false(rig.direction.cut_short);
	assert_false(direction_wants_read(&rig.direction));
	assert_false(direction_wants_write(&rig.direction));
	assert_int_equal(moved(), RELAY_OK);
}

static void a_full_destination_stops_the_reading(void **state)
{
	size_t length = 8 * 1024 * 1024;
	char *bytes = random_bytes(length);

	(void)state;
	assert_in_range(fill(bytes, length), 1, length - 1);
	assert_false(direction_wants_read(&rig.direction));
	assert_true(direction_wants_write(&rig.direction));
	free(bytes);
}

static void what_was_held_arrives_in_order_when_the_destination_takes_again(void **state)
{
	size_t length = 4 * 1024 * 1024, got = 0, written;
	char *bytes = random_bytes(length), *received = malloc(length);

	(void)state;
	assert_non_null(received);
	written = fill(bytes, length);
	while (got < length) {
		ssize_t part = recv(rig.reader, received + got, 1 + (size_t)random() % 50000, 0);

		if (part > 0)
			got += (size_t)part;
		if (written < length) {
			ssize_t sent = send(rig.writer, bytes + written,
				written + 70000 < length ? 1 + (size_t)random() % 70000
							 : length - written,
				MSG_NOSIGNAL);

			written += sent > 0 ? (size_t)sent : 0;
		}
		assert_int_equal(moved(), RELAY_OK);
	}
	assert_memory_equal(received, bytes, length);
	assert_int_equal(rig.direction.bytes, length);
	free(bytes);
	free(received);
}

static void the_end_waits_for_what_is_held(void **state)
{
	size_t length = 8 * 1024 * 1024, expected, got = 0;
	char *bytes = random_bytes(length), sink[65536];

	(void)state;
	expected = fill(bytes, length);
	shutdown(rig.writer, SHUT_WR);
	assert_int_equal(moved(), RELAY_OK);
	assert_false(direction_has_ended(&rig.direction));
	while (!direction_has_ended(&rig.direction) || got < expected) {
		ssize_t part = recv(rig.reader, sink, sizeof(sink), 0);

		if (part > 0)
			got += (size_t)part;
		assert_int_equal(moved(), RELAY_OK);
	}
	assert_int_equal(got, expected);
	free(bytes);
}

static void a_destination_that_is_gone_is_the_destinations_failure(void **state)
{
	(void)state;
	close(rig.reader);
	write_text("anybody?");
	assert_int_equal(moved(), RELAY_DESTINATION_FAILED);
	assert_int_equal(errno, EPIPE);
	rig.reader = -1;
}

static void a_source_that_broke_is_the_sources_failure(void **state)
{
	(void)state;
	/* A unix socket closed with unread bytes resets its peer. */
	assert_int_equal(send(rig.source, "unread", 6, 0), 6);
	close(rig.writer);
	rig.writer = -1;
	assert_int_equal(moved(), RELAY_SOURCE_FAILED);
	assert_int_equal(errno, ECONNRESET);
	assert_true(direction_has_ended(&rig.direction));
	assert_true(rig.direction.cut_short);
}

/* --- urgent data, which only TCP has --- */

/* The writer and the source become two ends of a TCP connection. */
static void connect_by_tcp(void)
{
	struct socket_listener at = {.v6only = SOCKET_V6ONLY_SYSTEM};
	struct addr peer;
	int listener;

	assert_true(addr_parse(&at.address, "127.0.0.1"));
	listener = socket_bind_listener(&at, true);
	assert_int_equal(listen(listener, 1), 0);
	assert_true(socket_local_address(listener, &at.address));
	close(rig.writer);
	close(rig.source);
	rig.writer = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(rig.writer, &at.address.sa, addr_length(&at.address)), 0);
	rig.source = socket_accept(listener, &peer);
	assert_int_not_equal(rig.source, -1);
	close(listener);
}

/* Enough for splicing to begin, then an urgent byte, then TAIL. */
static size_t write_with_an_urgent_byte(const char *tail)
{
	static char bulk[32 * 1024];

	memset(bulk, 'b', sizeof(bulk));
	assert_int_equal(send(rig.writer, bulk, sizeof(bulk), 0), sizeof(bulk));
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(send(rig.writer, "!", 1, MSG_OOB), 1);
	write_text(tail);
	return sizeof(bulk) + 1 + strlen(tail);
}

/*
 * Moves until the direction has ended. If the source were readable and nothing were moved, the event
 * loop would spin.
 */
static void move_to_the_end(char *received, size_t expected)
{
	struct pollfd ready = {.fd = rig.source, .events = POLLIN};
	size_t got = 0;

	while (!direction_has_ended(&rig.direction)) {
		ssize_t part;

		assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
		assert_int_equal(moved(), RELAY_OK);
		assert_true(rig.direction.moved_in || rig.direction.eof_in);
		part = recv(rig.reader, received + got, expected - got, 0);
		got += part > 0 ? (size_t)part : 0;
	}
	assert_int_equal(got, expected);
}

static void urgent_data_is_data(const char *tail)
{
	char received[64 * 1024] = {0};
	size_t expected;

	connect_by_tcp();
	expected = write_with_an_urgent_byte(tail);
	close(rig.writer);
	rig.writer = -1;
	move_to_the_end(received, expected);
	assert_int_equal(received[expected - strlen(tail) - 1], '!');
	assert_memory_equal(received + expected - strlen(tail), tail, strlen(tail));
	assert_int_equal(rig.direction.bytes, expected);
}

static void an_urgent_byte_and_what_follows_it_arrive(void **state)
{
	(void)state;
	urgent_data_is_data("what follows");
}

static void an_urgent_byte_right_before_the_end_arrives(void **state)
{
	(void)state;
	urgent_data_is_data("");
}

/* --- paths --- */

static void an_idle_direction_holds_no_pipe_and_no_buffer(void **state)
{
	(void)state;
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.pool.leased_count, 0);
	assert_null(rig.direction.buffer);
}

static void a_forced_splice_never_copies(void **state)
{
	(void)state;
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.pool.bytes_spliced, 5);
	assert_int_equal(rig.pool.bytes_copied, 0);
}

static void a_forced_copy_never_splices(void **state)
{
	size_t length = 1024 * 1024;
	char *bytes = random_bytes(length);

	(void)state;
	fill(bytes, length);
	assert_int_equal(rig.pool.bytes_spliced, 0);
	assert_true(rig.pool.bytes_copied > 0);
	free(bytes);
}

static void small_messages_are_copied_and_bulk_is_spliced(void **state)
{
	size_t length = 64 * 1024;
	char *bytes = random_bytes(length);

	(void)state;
	write_text("small");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.pool.bytes_spliced, 0);
	for (int i = 0; i < 3; i++) {
		char sink[128 * 1024];

		fill(bytes, length);
		while (recv(rig.reader, sink, sizeof(sink), 0) > 0)
			assert_int_equal(moved(), RELAY_OK);
	}
	assert_true(rig.pool.bytes_spliced > 0);
	free(bytes);
}

/* --- single bytes, and sizes at an edge --- */

static void a_single_byte_is_a_byte(void **state)
{
	(void)state;
	write_text("x");
	assert_int_equal(moved(), RELAY_OK);
	assert_reads("x");
	assert_int_equal(rig.direction.held, 0);
	assert_int_equal(rig.direction.bytes, 1);
}

static void a_single_byte_that_is_held_arrives(void **state)
{
	(void)state;
	stuff_destination();
	write_text("x");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.direction.held, 1);
	assert_true(rig.direction.moved_in);
	assert_false(rig.direction.moved_out);
	empty_reader();
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.direction.held, 0);
	assert_true(rig.direction.moved_out);
	assert_false(rig.direction.moved_in);
	assert_reads("x");
}

static void a_single_byte_that_is_given_up_leaves_nothing(void **state)
{
	(void)state;
	stuff_destination();
	write_text("x");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.direction.held, 1); /* and the rest is the tear-down's */
}

enum {
	BULK = 16 * 1024
};

static void a_read_of_16_kib_is_bulk(void **state)
{
	static const char bytes[BULK];

	(void)state;
	for (int turn = 0; turn < 4; turn++) {
		size_t length = turn % 2 == 0 ? BULK : BULK - 1;

		assert_int_equal(send(rig.writer, bytes, length, 0), length);
		assert_int_equal(moved(), RELAY_OK);
		assert_int_equal(rig.direction.bulk, length == BULK);
		empty_reader();
	}
}

#define BOTH_PATHS(test)                                                                           \
	{"copy: " #test, test, set_up_copy, tear_down, NULL},                                      \
	{                                                                                          \
		"splice: " #test, test, set_up_splice, tear_down, NULL                             \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_PATHS(bytes_pass),
		BOTH_PATHS(nothing_moves_when_there_is_nothing),
		BOTH_PATHS(the_end_of_the_stream_ends_the_direction),
		BOTH_PATHS(a_full_destination_stops_the_reading),
		BOTH_PATHS(what_was_held_arrives_in_order_when_the_destination_takes_again),
		BOTH_PATHS(the_end_waits_for_what_is_held),
		BOTH_PATHS(a_destination_that_is_gone_is_the_destinations_failure),
		BOTH_PATHS(a_source_that_broke_is_the_sources_failure),
		BOTH_PATHS(a_single_byte_is_a_byte),
		BOTH_PATHS(a_single_byte_that_is_held_arrives),
		BOTH_PATHS(a_single_byte_that_is_given_up_leaves_nothing),
		BOTH_PATHS(a_read_of_16_kib_is_bulk),
		BOTH_PATHS(an_urgent_byte_and_what_follows_it_arrive),
		BOTH_PATHS(an_urgent_byte_right_before_the_end_arrives),
		cmocka_unit_test_setup_teardown(
			an_urgent_byte_and_what_follows_it_arrive, set_up_auto, tear_down),
		BOTH_PATHS(an_idle_direction_holds_no_pipe_and_no_buffer),
		cmocka_unit_test_setup_teardown(
			a_forced_splice_never_copies, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			a_forced_copy_never_splices, set_up_copy, tear_down),
		cmocka_unit_test_setup_teardown(
			small_messages_are_copied_and_bulk_is_spliced, set_up_auto, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
