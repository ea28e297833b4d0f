/*
 * Places for sessions, and the counts behind the log line.
 */
#include "proxy/limits.h"
#include "proxy/reason.h"
#include "unit.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>

static struct server servers[] = {{.name = "s1"}, {.name = "s2", .index = 1}};
static struct proxy sections[] = {
	{.name = "a", .index = 0, .maxconn = 2, .servers = servers, .server_count = 2},
	{.name = "b", .index = 1},
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
	assert_true(limits_take_pipe(limits));
	assert_true(limits_take_pipe(limits));
	assert_false(limits_take_pipe(limits));
	limits_give_pipe(limits);
	assert_true(limits_take_pipe(limits));
	limits_free(limits);
}

static void four_sessions_may_have_one_pipe(void **state)
{
	struct limits *limits = limits_new(&config, 4);

	(void)state;
	assert_true(limits_take_pipe(limits));
	assert_false(limits_take_pipe(limits));
	limits_free(limits);
}

static void freed_limits_leave_no_memory(void **state)
{
	static const struct config large = {.proxy_count = 5000};
	size_t before = mallinfo2().uordblks;

	(void)state;
	limits_free(limits_new(&large, 4));
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
}

static void where_a_quarter_is_none_there_is_no_pipe(void **state)
{
	struct limits *limits = limits_new(&config, 3);

	(void)state;
	assert_false(limits_take_pipe(limits));
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
		assert_non_null(strchr("-CSPRcsIK", reason_cause((enum reason)a)));
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
		cmocka_unit_test(threads_that_compete_leave_the_count_at_zero),
		cmocka_unit_test(every_reason_has_a_name_and_a_text_of_its_own_and_a_cause),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
