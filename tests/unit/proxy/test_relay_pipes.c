/*
 * The pipes of directions that splice: when they are opened, kept and used again, and what is done without one.
 *
 * pipe2() is this file's own, so that it can fail.
 */
#include "relays.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	IDLE_MAX = 16 /* pipes that a pool keeps */
};

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

static int set_up_splice(void **state)
{
	(void)state;
	pipe_error = 0;
	pipes_are_small = false;
	pipes_opened = 0;
	return set_up(RELAY_SPLICE);
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
	unsigned before = descriptors_open();

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_pool_keeps_no_more_pipes_than_it_has_room_for, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(a_pipe_is_used_again, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			where_a_pipe_cannot_be_opened_bytes_are_copied, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			where_a_pipe_is_too_small_bytes_are_copied, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(a_pipe_that_has_lost_its_bytes_breaks_the_direction,
			set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			pipes_kept_for_later_count_as_taken, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_pipe_to_be_had_bytes_are_copied, set_up_splice, tear_down),
		cmocka_unit_test_setup_teardown(a_pipe_given_up_with_bytes_in_it_is_not_used_again,
			set_up_splice, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("relay_pipes", tests, NULL, NULL);
}
