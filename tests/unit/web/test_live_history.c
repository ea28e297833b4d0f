/*
 * What the admin page keeps of the proxy's counters: rates, restarts, proxies that come and go, and ten minutes of it.
 */
#include "unit.h"

#include "web/live.h"

#include <stdio.h>

static int begin(void **state)
{
	*state = live_new(NULL);
	return *state == NULL;
}

static int end(void **state)
{
	live_free(*state);
	return 0;
}

/* A reading in which each of NAMES, frontends, has had TOTAL sessions of 100 bytes in and 50 out, and 3 now. */
static void take(struct live *live, const char *names, unsigned total, long long now)
{
	char text[1024] = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,\n";
	json_t *answer;

	for (const char *name = names; *name != '\0'; name++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"%c,FRONTEND,,,3,9,100,%u,%u,%u,0,\n%c,s1,0,0,3,9,,%u,1,1,0,\n%c,BACKEND,,,3,9,100,%u,1,1,0,\n",
			*name, total, total * 100, total * 50, *name, total, *name, total);
	answer = json_pack("{s:i, s:s, s:s, s:n}", "status", 200, "info", "Name: x\n", "stat", text,
		"reasons");
	live_take(live, answer, now);
	json_decref(answer);
}

static json_t *series(json_t *report, const char *name, const char *key)
{
	return json_object_get(json_object_get(json_object_get(report, "history"), name), key);
}

static double newest(json_t *list)
{
	return json_number_value(json_array_get(list, json_array_size(list) - 1));
}

static void rates_are_differences_over_time(void **state)
{
	json_t *report;

	take(*state, "ab", 100, 1000);
	take(*state, "ab", 110, 3000);
	report = live_report(*state);
	assert_int_equal(json_array_size(series(report, "", "rate")), 1);
	assert_true(newest(series(report, "", "rate")) ==
		    10.0); /* two frontends with ten each in two seconds */
	assert_true(newest(series(report, "", "bytes")) == 1500.0);
	assert_true(newest(series(report, "", "now")) == 6.0);
	json_decref(report);
}

static void a_pause_makes_no_peak(void **state)
{
	json_t *report;

	take(*state, "a", 0, 0);
	take(*state, "a", 600, 60000);
	report = live_report(*state);
	assert_true(newest(series(report, "", "rate")) == 10.0);
	json_decref(report);
}

static void a_proxy_that_starts_again_has_no_negative_rate(void **state)
{
	json_t *report;

	take(*state, "a", 1000, 0);
	take(*state, "a", 4, 2000);
	report = live_report(*state);
	assert_true(newest(series(report, "", "rate")) == 0.0);
	json_decref(report);
}

static void proxies_come_and_go(void **state)
{
	json_t *report;

	for (unsigned i = 0; i < 11; i++)
		take(*state, i < 6 ? "ab" : "cb", 10 * i, 2000 * i);
	report = live_report(*state);
	assert_null(series(report, "a/FRONTEND", "rate"));
	assert_int_equal(json_array_size(series(report, "b/FRONTEND", "rate")), 2);
	assert_int_equal(json_array_size(series(report, "c/BACKEND", "rate")), 0);
	assert_true(newest(series(report, "b/BACKEND", "rate")) == 5.0);
	json_decref(report);
}

static void ten_minutes_are_kept(void **state)
{
	json_t *report;

	for (unsigned i = 0; i < 3 * LIVE_SAMPLES; i++)
		take(*state, "a", 2 * i, 2000LL * i);
	report = live_report(*state);
	assert_int_equal(json_array_size(series(report, "", "rate")), LIVE_SAMPLES - 1);
	for (size_t i = 0; i < LIVE_SAMPLES - 1; i++)
		assert_true(
			json_number_value(json_array_get(series(report, "", "rate"), i)) == 1.0);
	assert_int_equal(json_array_size(series(report, "a/FRONTEND", "rate")), 59);
	json_decref(report);
}

static void lines_that_are_cut_off_are_left_out(void **state)
{
	json_t *answer = json_pack("{s:i, s:s, s:s}", "status", 200, "info", "", "stat",
		"# x\n\nno-comma\na,FRONTEND,1,2\n,,,,,,,,,,\na,FRONTEND,,,x,,,y,z,,\n");
	json_t *report;

	live_take(*state, answer, 0);
	report = live_report(*state);
	assert_int_equal(json_object_size(json_object_get(report, "history")), 2);
	json_decref(report);
	json_decref(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rates_are_differences_over_time, begin, end),
		cmocka_unit_test_setup_teardown(a_pause_makes_no_peak, begin, end),
		cmocka_unit_test_setup_teardown(
			a_proxy_that_starts_again_has_no_negative_rate, begin, end),
		cmocka_unit_test_setup_teardown(proxies_come_and_go, begin, end),
		cmocka_unit_test_setup_teardown(ten_minutes_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(lines_that_are_cut_off_are_left_out, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
