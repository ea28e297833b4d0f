/*
 * Tallies: numbers by worker, summed, kept over a reload.
 */
#include "stats/tally.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>

static struct server servers[] = {{.name = "s1", .index = 0}, {.name = "s2", .index = 1}};
static struct proxy sections[] = {
	{.name = "web", .role = ROLE_LISTEN, .servers = servers, .server_count = 2}};
static struct config config = {.proxies = sections, .proxy_count = 1, .server_count = 2};

static uint64_t sum_of(const struct tally *tally, unsigned item)
{
	struct tally_sums sums;

	tally_sum(tally, &sums);
	return sums.items[item];
}

static void numbers_of_all_workers_are_summed(void **state)
{
	struct tallies *tallies = tallies_new(&config, 3);
	struct tally *server = tally_of_server(tallies, &servers[1]);

	(void)state;
	for (unsigned worker = 0; worker < 3; worker++)
		tally_add(server, worker, TALLY_IN, 100 + worker);
	assert_int_equal(sum_of(server, TALLY_IN), 303);
	assert_int_equal(sum_of(server, TALLY_OUT), 0);
	assert_int_equal(sum_of(tally_of_server(tallies, &servers[0]), TALLY_IN), 0);
	assert_ptr_not_equal(
		tally_of_frontend(tallies, sections), tally_of_backend(tallies, sections));
	tallies_free(tallies);
}

enum {
	TIMES = 100000
};

static void *add_many(void *arg)
{
	for (int i = 0; i < TIMES; i++)
		tally_add(arg, 1, TALLY_SESSIONS, 1);
	return NULL;
}

static void workers_that_add_at_once_lose_nothing(void **state)
{
	struct tallies *tallies = tallies_new(&config, 2);
	struct tally *tally = tally_of_frontend(tallies, sections);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, add_many, tally), 0);
	for (int i = 0; i < TIMES; i++)
		tally_add(tally, 0, TALLY_SESSIONS, 1);
	pthread_join(thread, NULL);
	assert_int_equal(sum_of(tally, TALLY_SESSIONS), 2 * TIMES);
	tallies_free(tallies);
}

static void an_average_is_that_of_the_newest_sessions(void **state)
{
	struct tallies *tallies = tallies_new(&config, 2);
	struct tally *tally = tally_of_backend(tallies, sections);
	struct tally_sums sums;

	(void)state;
	tally_sum(tally, &sums);
	assert_int_equal(sums.average[TALLY_TOTAL_TIME], 0);
	tally_time(tally, 0, TALLY_TOTAL_TIME, 10);
	tally_time(tally, 1, TALLY_TOTAL_TIME, 20);
	tally_sum(tally, &sums);
	assert_int_equal(sums.average[TALLY_TOTAL_TIME], 15);
	assert_int_equal(sums.most[TALLY_MOST_TIME + TALLY_TOTAL_TIME], 20);
	for (int i = 0; i < 10000; i++)
		tally_time(tally, 0, TALLY_TOTAL_TIME, 500);
	tally_sum(tally, &sums);
	assert_in_range(sums.average[TALLY_TOTAL_TIME], 490, 500);
	tallies_free(tallies);
}

static void cleared_numbers_begin_anew(void **state)
{
	struct tallies *tallies = tallies_new(&config, 1);
	struct tally *tally = tally_of_frontend(tallies, sections);
	struct tally_sums sums;

	(void)state;
	tally_add(tally, 0, TALLY_IN, 7);
	tally_most(tally, TALLY_MOST_SESSIONS, 9);
	tally_most(tally, TALLY_MOST_SESSIONS, 4);
	tally_clear(tally, false, 3, 0);
	tally_sum(tally, &sums);
	assert_int_equal(sums.most[TALLY_MOST_SESSIONS], 3);
	assert_int_equal(sums.items[TALLY_IN], 7);
	tally_clear(tally, true, 3, 0);
	assert_int_equal(sum_of(tally, TALLY_IN), 0);
	tally_add(tally, 0, TALLY_IN, 5);
	assert_int_equal(sum_of(tally, TALLY_IN), 5);
	tallies_free(tallies);
}

static void a_reload_keeps_what_both_configurations_have(void **state)
{
	size_t sections_found[] = {0}, servers_found[] = {COUNTERPART_NONE, 0};
	struct counterparts found = {
		.frontends = sections_found, .backends = sections_found, .servers = servers_found};
	struct tallies *before = tallies_new(&config, 1), *now;

	(void)state;
	tally_add(tally_of_frontend(before, sections), 0, TALLY_IN, 1);
	tally_add(tally_of_server(before, &servers[0]), 0, TALLY_IN, 2);
	now = tallies_renew(before, &config, &found);
	tally_add(tally_of_server(before, &servers[0]), 0, TALLY_IN, 3);
	tallies_free(before);
	assert_int_equal(sum_of(tally_of_frontend(now, sections), TALLY_IN), 1);
	assert_int_equal(sum_of(tally_of_server(now, &servers[1]), TALLY_IN), 5);
	assert_int_equal(sum_of(tally_of_server(now, &servers[0]), TALLY_IN), 0);
	tallies_free(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_all_workers_are_summed),
		cmocka_unit_test(workers_that_add_at_once_lose_nothing),
		cmocka_unit_test(an_average_is_that_of_the_newest_sessions),
		cmocka_unit_test(cleared_numbers_begin_anew),
		cmocka_unit_test(a_reload_keeps_what_both_configurations_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
