/*
 * When a capture ends: times are given, and no packet is captured.
 */
#include "unit.h"
#include "watch/capture_time.h"

enum {
	END = 5000 /* of a capture that began at 0, in milliseconds */
};

static void it_ends_in_time_where_nothing_came(void **state)
{
	struct captured vip = {0};
	struct capture_time time = {.end = END};

	(void)state;
	assert_int_equal(capture_left(&time, &vip, 1, 0), END);
	assert_int_equal(capture_left(&time, &vip, 1, END - 1), 1);
	assert_int_equal(capture_left(&time, &vip, 1, END), 0);
}

static void a_question_shortly_before_the_end_is_given_a_second(void **state)
{
	struct captured vip = {0};
	struct capture_time time = {.end = END};

	(void)state;
	assert_int_equal(capture_left(&time, &vip, 1, END - 10), 10);
	vip.requests = 1;
	assert_int_equal(capture_left(&time, &vip, 1, END - 10), 1000);
	assert_int_equal(capture_left(&time, &vip, 1, END), 990);
	vip.requests = 2; /* the same neighbour asks again: no more time */
	assert_int_equal(capture_left(&time, &vip, 1, END + 900), 90);
	assert_int_equal(capture_left(&time, &vip, 1, END + 990), 0);
}

static void an_early_question_does_not_prolong_it(void **state)
{
	struct captured vip = {0};
	struct capture_time time = {.end = END};

	(void)state;
	vip.requests = 1;
	assert_int_equal(capture_left(&time, &vip, 1, 1000), END - 1000);
	assert_int_equal(capture_left(&time, &vip, 1, END), 0);
}

static void a_reply_behind_the_end_ends_it(void **state)
{
	struct captured vip = {0};
	struct capture_time time = {.end = END};

	(void)state;
	vip.requests = 1;
	assert_int_equal(capture_left(&time, &vip, 1, END - 10), 1000);
	vip.replies = 1;
	assert_int_equal(capture_left(&time, &vip, 1, END + 500), 0);
}

static void a_packet_shortly_before_the_end_has_time_to_be_answered(void **state)
{
	struct captured vip = {0};
	struct capture_time time = {.end = END};

	(void)state;
	vip.packets = 1;
	assert_int_equal(capture_left(&time, &vip, 1, END - 1), 300);
	assert_int_equal(capture_left(&time, &vip, 1, END + 299), 0);
}

/* The first one's question was early, and stays without a reply. */
static void each_address_has_its_time(void **state)
{
	struct captured list[2] = {0};
	struct capture_time time = {.end = END};

	(void)state;
	list[0].requests = 1;
	assert_int_equal(capture_left(&time, list, 2, 1000), END - 1000);
	list[1].requests = 1;
	assert_int_equal(capture_left(&time, list, 2, END - 10), 1000);
	assert_int_equal(capture_left(&time, list, 2, END + 990), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_ends_in_time_where_nothing_came),
		cmocka_unit_test(a_question_shortly_before_the_end_is_given_a_second),
		cmocka_unit_test(an_early_question_does_not_prolong_it),
		cmocka_unit_test(a_reply_behind_the_end_ends_it),
		cmocka_unit_test(a_packet_shortly_before_the_end_has_time_to_be_answered),
		cmocka_unit_test(each_address_has_its_time),
	};

	return cmocka_run_group_tests_name("capture_time", tests, NULL, NULL);
}
