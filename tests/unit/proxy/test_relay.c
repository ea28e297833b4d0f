/*
 * One direction on a pair of socket pairs: writer -> [source  destination] -> reader.
 *
 * Every test runs along both paths. Whatever the path, the same bytes must arrive. After each test no
 * descriptor and no memory of the pool is left. pipe2() is this file's own, so that it can fail.
 */
#include "proxy/relay.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct rig {
	int writer, source, destination, reader;
	struct direction direction;
	struct limits *limits;
	struct relay_pool pool;
};

enum {
	PIPES = 20,
	IDLE_MAX = 16 /* pipes that a pool keeps */
};

static const struct config no_sections;
static struct rig rig;
static size_t memory_before;
static int descriptors_before;

static int pipe_error;        /* 0: pipes can be had */
static bool pipes_are_small;  /* as for a user who has many (pipe(7), pipe-user-pages-soft) */
static unsigned pipes_opened; /* since the test began */

int pipe2(int ends[2], int flags)
{
	if (pipe_error != 0) {
		errno = pipe_error;
		return -1;
	}
	pipes_opened++;
	if (syscall(SYS_pipe2, ends, flags) == -1)
		return -1;
	if (pipes_are_small)
		assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	return 0;
}

static int descriptors_open(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

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
	pipe_error = 0;
	pipes_are_small = false;
	pipes_opened = 0;
	memory_before = mallinfo2().uordblks;
	descriptors_before = descriptors_open();
	pair(&rig.writer, &rig.source);
	pair(&rig.destination, &rig.reader);
	rig.direction.path = path;
	rig.limits = limits_new(&no_sections, 4 * PIPES);
	memset(&rig.pool, 0xff, sizeof(rig.pool)); /* it is made, whatever was there */
	return relay_pool_init(&rig.pool, limits_process(rig.limits));
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

static unsigned take_all_pipes(void)
{
	unsigned count = 0;

	while (limits_take_pipe(limits_process(rig.limits)))
		count++;
	return count;
}

static int tear_down(void **state)
{
	(void)state;
	direction_clear(&rig.direction, &rig.pool);
	assert_null(rig.direction.buffer);
	assert_int_equal(rig.pool.leased_count, 0);
	relay_pool_free(&rig.pool);
	assert_null(rig.pool.scratch);
	assert_int_equal(take_all_pipes(), PIPES);
	limits_free(rig.limits);
	close(rig.writer);
	close(rig.source);
	close(rig.destination);
	close(rig.reader);
	assert_int_equal(descriptors_open(), descriptors_before);
	/* malloc() keeps small pieces; the buffers are larger. */
	assert_in_range(mallinfo2().uordblks, 0, memory_before + 4096);
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
	take_all_pipes();
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_reads("hello");
	assert_int_equal(rig.pool.bytes_copied, 5);
	for (unsigned i = 0; i < PIPES; i++)
		limits_give_pipe(limits_process(rig.limits));
}

static void pipes_kept_for_later_count_as_taken(void **state)
{
	(void)state;
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.pool.idle_count, 1);
	assert_int_equal(take_all_pipes(), PIPES - 1);
	for (unsigned i = 0; i < PIPES - 1; i++)
		limits_give_pipe(limits_process(rig.limits));
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

/* Fills the destination past the direction, so that it takes nothing. */
static void stuff_destination(void)
{
	static const char stuff[4096];

	while (send(rig.destination, stuff, sizeof(stuff), MSG_NOSIGNAL) > 0)
		;
	while (send(rig.destination, stuff, 1, MSG_NOSIGNAL) > 0)
		;
}

static void empty_reader(void)
{
	char part[65536];

	while (recv(rig.reader, part, sizeof(part), 0) > 0)
		;
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

/* --- pipes --- */

static void a_pipe_is_used_again(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		write_text("hello");
		assert_int_equal(moved(), RELAY_OK);
		assert_reads("hello");
		assert_int_equal(rig.pool.leased_count, 0);
	}
	assert_int_equal(pipes_opened, 1);
	assert_int_equal(rig.pool.idle_count, 1);
	assert_true(fcntl(rig.pool.idle[0].read, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(rig.pool.idle[0].write, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(rig.pool.idle[0].read, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(rig.pool.idle[0].write, F_GETFD) & FD_CLOEXEC);
}

static void a_pool_keeps_no_more_pipes_than_it_has_room_for(void **state)
{
	(void)state;
	stuff_destination();
	write_text("x");
	assert_int_equal(moved(), RELAY_OK);
	assert_int_equal(rig.pool.leased_count, 1);
	for (int i = 0; i < IDLE_MAX; i++) {
		int ends[2];

		assert_true(limits_take_pipe(limits_process(rig.limits)));
		assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
		rig.pool.idle[i] = (struct relay_pipe){.read = ends[0], .write = ends[1]};
	}
	rig.pool.idle_count = IDLE_MAX;
	empty_reader();
	assert_int_equal(moved(), RELAY_OK);
	assert_reads("x");
	assert_int_equal(rig.pool.idle_count, IDLE_MAX);
}

static void assert_copied(void)
{
	int before = descriptors_open();

	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	assert_reads("hello");
	assert_int_equal(rig.pool.bytes_copied, 5);
	assert_int_equal(rig.pool.leased_count, 0);
	assert_int_equal(rig.pool.idle_count, 0);
	assert_int_equal(descriptors_open(), before);
	assert_int_equal(take_all_pipes(), PIPES);
	for (unsigned i = 0; i < PIPES; i++)
		limits_give_pipe(limits_process(rig.limits));
}

static void where_a_pipe_cannot_be_opened_bytes_are_copied(void **state)
{
	(void)state;
	pipe_error = EMFILE;
	assert_copied();
}

/* splice() would report a full pipe and an empty socket in the same way. */
static void where_a_pipe_is_too_small_bytes_are_copied(void **state)
{
	(void)state;
	pipes_are_small = true;
	assert_copied();
}

/* It cannot happen; if it did, bytes would be missing from the middle of a stream. */
static void a_pipe_that_has_lost_its_bytes_breaks_the_direction(void **state)
{
	(void)state;
	write_text("hello");
	assert_int_equal(moved(), RELAY_OK);
	rig.direction.pipe = rig.pool.idle[0];
	rig.pool.idle_count = 0;
	rig.pool.leased_count = 1;
	rig.direction.held = 5;
	close(rig.direction.pipe.write);
	assert_int_equal(moved(), RELAY_DESTINATION_FAILED);
	assert_int_equal(errno, EIO);
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
		cmocka_unit_test_setup_teardown(
			a_pool_keeps_no_more_pipes_than_it_has_room_for, set_up_splice, tear_down),
		BOTH_PATHS(a_read_of_16_kib_is_bulk),
		cmocka_unit_test_setup_teardown(a_pipe_is_used_again, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			where_a_pipe_cannot_be_opened_bytes_are_copied, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			where_a_pipe_is_too_small_bytes_are_copied, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(a_pipe_that_has_lost_its_bytes_breaks_the_direction,
			set_up_splice, tear_down),
		BOTH_PATHS(an_urgent_byte_and_what_follows_it_arrive),
		BOTH_PATHS(an_urgent_byte_right_before_the_end_arrives),
		cmocka_unit_test_setup_teardown(
			an_urgent_byte_and_what_follows_it_arrive, set_up_auto, tear_down),
		cmocka_unit_test_setup_teardown(
			pipes_kept_for_later_count_as_taken, set_up_splice, tear_down),
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
