/*
 * One direction on a pair of socket pairs: writer -> [source  destination] -> reader.
 *
 * Every test runs along both paths. Whatever the path, the same bytes must arrive.
 */
#include "tproxy/relay.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct rig {
	int writer, source, destination, reader;
	struct direction direction;
	struct relay_pool pool;
};

static struct rig rig;

static void pair(int *a, int *b)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	*a = ends[0];
	*b = ends[1];
}

static int set_up(enum relay_path path)
{
	memset(&rig, 0, sizeof(rig));
	pair(&rig.writer, &rig.source);
	pair(&rig.destination, &rig.reader);
	rig.direction.path = path;
	return relay_pool_init(&rig.pool, 8);
}

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

static int tear_down(void **state)
{
	(void)state;
	direction_clear(&rig.direction, &rig.pool);
	assert_int_equal(rig.pool.leased_count, 0);
	relay_pool_free(&rig.pool);
	close(rig.writer);
	close(rig.source);
	close(rig.destination);
	close(rig.reader);
	return 0;
}

static enum relay_result moved(void)
{
	return relay_move(&rig.direction, rig.source, rig.destination, &rig.pool);
}

static void write_text(const char *text)
{
	assert_int_equal(send(rig.writer, text, strlen(text), 0), strlen(text));
}

static void assert_reads(const char *text)
{
	char got[256];
	ssize_t length = recv(rig.reader, got, sizeof(got) - 1, 0);

	assert_int_equal(length, strlen(text));
	assert_memory_equal(got, text, strlen(text));
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

static void the_end_of_the_stream_is_passed_on_once(void **state)
{
	(void)state;
	write_text("last words");
	shutdown(rig.writer, SHUT_WR);
	while (!rig.direction.shut_out)
		assert_int_equal(moved(), RELAY_OK);
	assert_reads("last words");
	assert_int_equal(recv(rig.reader, &(char){0}, 1, 0), 0);
	assert_false(direction_wants_read(&rig.direction));
	assert_false(direction_wants_write(&rig.direction));
	assert_int_equal(moved(), RELAY_OK);
}

/* Fills the way until neither the destination nor the direction takes any more. */
static size_t fill(char *bytes, size_t length)
{
	size_t written = 0;

	while (written < length && rig.direction.held == 0) {
		ssize_t sent = send(rig.writer, bytes + written, length - written, MSG_NOSIGNAL);

		if (sent > 0)
			written += (size_t)sent;
		assert_int_equal(moved(), RELAY_OK);
	}
	return written;
}

static char *random_bytes(size_t length)
{
	char *bytes = malloc(length);

	assert_non_null(bytes);
	srandom(1);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)random();
	return bytes;
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
	assert_false(rig.direction.shut_out);
	while (!rig.direction.shut_out || got < expected) {
		ssize_t part = recv(rig.reader, sink, sizeof(sink), 0);

		if (part > 0)
			got += (size_t)part;
		assert_int_equal(moved(), RELAY_OK);
	}
	assert_int_equal(got, expected);
	assert_int_equal(recv(rig.reader, sink, 1, 0), 0);
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
}

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

static void without_a_pipe_to_be_had_bytes_are_copied(void **state)
{
	(void)state;
	rig.pool.leased_max = 0;
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_reads("hello");
	assert_int_equal(rig.pool.bytes_copied, 5);
}

static void a_pipe_given_up_with_bytes_in_it_is_not_used_again(void **state)
{
	size_t length = 8 * 1024 * 1024;
	char *bytes = random_bytes(length);

	(void)state;
	fill(bytes, length);
	assert_int_equal(rig.pool.leased_count, 1);
	direction_clear(&rig.direction, &rig.pool);
	assert_int_equal(rig.pool.leased_count, 0);
	assert_int_equal(rig.pool.idle_count, 0);
	free(bytes);
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
		BOTH_PATHS(the_end_of_the_stream_is_passed_on_once),
		BOTH_PATHS(a_full_destination_stops_the_reading),
		BOTH_PATHS(what_was_held_arrives_in_order_when_the_destination_takes_again),
		BOTH_PATHS(the_end_waits_for_what_is_held),
		BOTH_PATHS(a_destination_that_is_gone_is_the_destinations_failure),
		BOTH_PATHS(a_source_that_broke_is_the_sources_failure),
		BOTH_PATHS(an_idle_direction_holds_no_pipe_and_no_buffer),
		cmocka_unit_test_setup_teardown(
			a_forced_splice_never_copies, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			a_forced_copy_never_splices, set_up_copy, tear_down),
		cmocka_unit_test_setup_teardown(
			small_messages_are_copied_and_bulk_is_spliced, set_up_auto, tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_pipe_to_be_had_bytes_are_copied, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(a_pipe_given_up_with_bytes_in_it_is_not_used_again,
			set_up_splice, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
