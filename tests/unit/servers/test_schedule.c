/*
 * Turns of servers that are asked again and again: those that are due at nearly the same time begin together.
 *
 * No test waits for a turn: each looks at when turns are due.
 */
#include "unit.h"

#include "servers/schedule.h"
#include "tproxy/clock.h"

enum {
	COUNT = 50
};

static struct event_base *base;
static struct schedule schedules[COUNT];

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static int begin(void **state)
{
	(void)state;
	base = event_base_new();
	assert_non_null(base);
	for (size_t i = 0; i < COUNT; i++)
		schedule_init(&schedules[i], base, on_turn, &schedules[i]);
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		schedule_stop(&schedules[i]);
	event_base_free(base);
	return 0;
}

/* The first turn is due within a slot before the time that was asked for, and never after it. */
static void test_first_turn_is_due_in_a_slot(void **state)
{
	(void)state;
	for (unsigned wait = 0; wait < COUNT; wait++) {
		long long before = clock_ms();

		schedule_begin(&schedules[wait], wait);
		assert_int_equal(schedules[wait].due % SCHEDULE_SLOT, 0);
		assert_in_range(
			schedules[wait].due, before + wait - SCHEDULE_SLOT + 1, clock_ms() + wait);
	}
}

/* With steps that are no multiple of a slot, too. */
static void test_turns_that_begin_together_stay_together(void **state)
{
	enum {
		STEP = 33
	};

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		schedule_begin(&schedules[i], 0);
	for (size_t i = 1; i < COUNT; i++)
		schedules[i].due = schedules[0].due;
	for (size_t i = 0; i < COUNT; i++)
		schedule_next(&schedules[i], STEP);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal((schedules[i].due - schedules[0].due) % STEP, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_turn_is_due_in_a_slot, begin, end),
		cmocka_unit_test_setup_teardown(
			test_turns_that_begin_together_stay_together, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
