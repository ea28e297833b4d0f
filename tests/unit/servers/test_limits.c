/*
 * Places for sessions, and the counts behind the log line.
 */
#include "servers/limits.h"
#include "servers/reason.h"
#include "unit.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>

static struct server servers[] = {{.name = "s1"}, {.name = "s2", .index = 1}};
static struct proxy sections[] = {
	{.name = "a",
		.role = ROLE_LISTEN,
		.index = 0,
		.maxconn = 2,
		.servers = servers,
		.server_count = 2},
	{.name = "b", .role = ROLE_LISTEN, .index = 1},
};
static const struct config config = {.proxies = sections, .proxy_count = 2, .server_count = 2};

static void a_frontend_admits_no_more_than_its_maxconn(void **state)
{
	struct limits *limits = limits_new(&config, 10);

	(void)state;
	assert_true(limits_enter(limits, &sections[0]));
	assert_true(limits_enter(limits, &sections[0]));
	assert_false(limits_enter(limits, &sections[0]));
	limits_leave(limits, &sections[0]);
	assert_true(limits_enter(limits, &sections[0]));
	limits_free(limits);
}

static void the_process_admits_no_more_than_its_own(void **state)
{
	struct limits *limits = limits_new(&config, 3);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(limits_enter(limits, &sections[1]));
	assert_false(limits_enter(limits, &sections[1]));
	assert_int_equal(limits_counts(limits, &sections[1], NULL, NULL).process, 3);
	limits_free(limits);
}

static void one_frontends_refusal_takes_nothing_from_another(void **state)
{
	struct limits *limits = limits_new(&config, 3);

	(void)state;
	assert_true(limits_enter(limits, &sections[0]));
	assert_true(limits_enter(limits, &sections[0]));
	assert_false(limits_enter(limits, &sections[0]));
	assert_true(limits_enter(limits, &sections[1]));
	limits_free(limits);
}

static void a_quarter_of_maxconn_may_be_pipes(void **state)
{
	struct limits *limits = limits_new(&config, 11);

	(void)state;
	assert_true(limits_take_pipe(limits_process(limits)));
	assert_true(limits_take_pipe(limits_process(limits)));
	assert_false(limits_take_pipe(limits_process(limits)));
	limits_give_pipe(limits_process(limits));
	assert_true(limits_take_pipe(limits_process(limits)));
	limits_free(limits);
}

static void four_sessions_may_have_one_pipe(void **state)
{
	struct limits *limits = limits_new(&config, 4);

	(void)state;
	assert_true(limits_take_pipe(limits_process(limits)));
	assert_false(limits_take_pipe(limits_process(limits)));
	limits_free(limits);
}

static void freed_limits_leave_no_memory(void **state)
{
	static struct proxy many[5000];
	static const struct config large = {.proxies = many, .proxy_count = 5000};
	size_t before = mallinfo2().uordblks;

	(void)state;
	limits_free(limits_new(&large, 4));
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
}

static void where_a_quarter_is_none_there_is_no_pipe(void **state)
{
	struct limits *limits = limits_new(&config, 3);

	(void)state;
	assert_false(limits_take_pipe(limits_process(limits)));
	limits_free(limits);
}

static void a_frontends_refusal_takes_no_place_of_the_process(void **state)
{
	struct limits *limits = limits_new(&config, 10);

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(limits_enter(limits, &sections[0]), i < 2);
	assert_int_equal(limits_counts(limits, &sections[0], NULL, NULL).process, 2);
	assert_int_equal(limits_counts(limits, &sections[0], NULL, NULL).frontend, 2);
	limits_leave(limits, &sections[0]);
	assert_int_equal(limits_counts(limits, &sections[0], NULL, NULL).process, 1);
	assert_int_equal(limits_counts(limits, &sections[0], NULL, NULL).frontend, 1);
	limits_free(limits);
}

static void assert_counts(const struct limits *limits, const struct proxy *section,
	unsigned frontend, unsigned backend, unsigned of_server)
{
	struct limits_counts counts = limits_counts(limits, section, section, &servers[1]);

	assert_int_equal(counts.frontend, frontend);
	assert_int_equal(counts.backend, backend);
	assert_int_equal(counts.server, of_server);
}

/* The same section can be both; its sessions as a frontend and as a backend are counted apart. */
static void each_section_and_each_server_has_its_own_counts(void **state)
{
	struct limits *limits = limits_new(&config, 10);

	(void)state;
	assert_true(limits_enter(limits, &sections[0]));
	limits_use(limits, &sections[1], &servers[1]);
	limits_use(limits, &sections[1], &servers[1]);
	assert_counts(limits, &sections[0], 1, 0, 2);
	assert_counts(limits, &sections[1], 0, 2, 2);
	assert_int_equal(limits_counts(limits, &sections[0], NULL, &servers[0]).server, 0);
	assert_int_equal(limits_counts(limits, &sections[0], NULL, NULL).backend, 0);
	limits_unuse(limits, &sections[1], &servers[1]);
	assert_counts(limits, &sections[1], 0, 1, 1);
	assert_true(limits_enter(limits, &sections[1]));
	assert_counts(limits, &sections[0], 1, 0, 1);
	assert_counts(limits, &sections[1], 1, 1, 1);
	limits_leave(limits, &sections[1]);
	assert_counts(limits, &sections[0], 1, 0, 1);
	limits_free(limits);
	limits_free(NULL);
}

/* --- a reload --- */

static struct server newer_servers[] = {{.name = "s2"}, {.name = "s3", .index = 1}};
static struct proxy newer[] = {
	{.name = "c", .role = ROLE_LISTEN, .index = 0},
	{.name = "a",
		.role = ROLE_LISTEN,
		.index = 1,
		.maxconn = 3,
		.servers = newer_servers,
		.server_count = 2},
};
static const struct config newer_config = {.proxies = newer, .proxy_count = 2, .server_count = 2};

static struct limits *renew(struct limits *before)
{
	struct counterparts *counterparts = counterparts_find(&newer_config, &config);
	struct limits *limits = limits_renew(before, &newer_config, counterparts);

	assert_non_null(limits);
	counterparts_free(counterparts);
	return limits;
}

static void what_has_a_counterpart_is_counted_together(void **state)
{
	struct limits *before = limits_new(&config, 10), *now = renew(before);
	struct limits_counts counts;

	(void)state;
	assert_true(limits_enter(before, &sections[0]));
	assert_true(limits_enter(before, &sections[0]));
	limits_use(before, &sections[0], &servers[1]);
	counts = limits_counts(now, &newer[1], &newer[1], &newer_servers[0]);
	assert_int_equal(counts.process, 2);
	assert_int_equal(counts.frontend, 2);
	assert_int_equal(counts.backend, 1);
	assert_int_equal(counts.server, 1);
	assert_int_equal(limits_counts(now, &newer[0], NULL, &newer_servers[1]).frontend, 0);
	assert_int_equal(limits_counts(now, &newer[0], NULL, &newer_servers[1]).server, 0);
	assert_true(limits_enter(now, &newer[1]));
	assert_false(limits_enter(now, &newer[1]));
	limits_leave(before, &sections[0]);
	assert_true(limits_enter(now, &newer[1]));
	limits_free(before);
	limits_free(now);
}

/* Sessions of the older one may be open for long, or end first. */
static void either_of_two_may_be_freed_first(void **state)
{
	size_t memory = mallinfo2().uordblks;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct limits *before = limits_new(&config, 10), *now = renew(before);

		limits_free(before);
		assert_true(limits_enter(now, &newer[1]));
		limits_leave(now, &newer[1]);
		limits_free(now);
		before = limits_new(&config, 10);
		now = renew(before);
		limits_free(now);
		assert_true(limits_enter(before, &sections[0]));
		limits_free(before);
	}
	assert_in_range(mallinfo2().uordblks, 0, memory + 4096);
}

static void the_process_has_one_maxconn_that_can_change(void **state)
{
	struct limits *before = limits_new(&config, 10), *now = renew(before);

	(void)state;
	assert_true(limits_enter(before, &sections[1]));
	limits_set_maxconn(now, 1);
	assert_false(limits_enter(now, &newer[0]));
	assert_false(limits_enter(before, &sections[1]));
	assert_false(limits_take_pipe(limits_process(before)));
	limits_set_maxconn(now, 2);
	assert_true(limits_enter(now, &newer[0]));
	limits_free(before);
	limits_free(now);
}

enum {
	ROUNDS = 20000
};

static void *enter_and_leave(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (!limits_enter(arg, &sections[0]))
			continue;
		if (limits_counts(arg, &sections[1], NULL, NULL).process > 3)
			return arg;
		limits_leave(arg, &sections[0]);
	}
	return NULL;
}

static void threads_that_compete_leave_the_count_at_zero(void **state)
{
	struct limits *limits = limits_new(&config, 2);
	pthread_t threads[2];
	void *result;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave, limits), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_int_equal(limits_counts(limits, &sections[0], NULL, NULL).process, 0);
	limits_free(limits);
}

static void every_reason_has_a_name_and_a_text_of_its_own_and_a_cause(void **state)
{
	(void)state;
	for (int a = 0; a < REASON_COUNT; a++) {
		assert_non_null(reason_name((enum reason)a));
		assert_non_null(reason_text((enum reason)a));
		assert_non_null(strchr("-CSPRcsIKDU", reason_cause((enum reason)a)));
		for (int b = 0; b < a; b++) {
			assert_string_not_equal(
				reason_name((enum reason)a), reason_name((enum reason)b));
			assert_string_not_equal(
				reason_text((enum reason)a), reason_text((enum reason)b));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frontend_admits_no_more_than_its_maxconn),
		cmocka_unit_test(the_process_admits_no_more_than_its_own),
		cmocka_unit_test(one_frontends_refusal_takes_nothing_from_another),
		cmocka_unit_test(a_quarter_of_maxconn_may_be_pipes),
		cmocka_unit_test(four_sessions_may_have_one_pipe),
		cmocka_unit_test(freed_limits_leave_no_memory),
		cmocka_unit_test(where_a_quarter_is_none_there_is_no_pipe),
		cmocka_unit_test(a_frontends_refusal_takes_no_place_of_the_process),
		cmocka_unit_test(each_section_and_each_server_has_its_own_counts),
		cmocka_unit_test(what_has_a_counterpart_is_counted_together),
		cmocka_unit_test(either_of_two_may_be_freed_first),
		cmocka_unit_test(the_process_has_one_maxconn_that_can_change),
		cmocka_unit_test(threads_that_compete_leave_the_count_at_zero),
		cmocka_unit_test(every_reason_has_a_name_and_a_text_of_its_own_and_a_cause),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
