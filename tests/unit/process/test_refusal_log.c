/*
 * Refusals in the log: a few have their lines, the others are counted, and none is left out.
 */
#include "process/refusal_log.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/tproxyd-refusals-XXXXXX";
static char path[64];

static struct log_target target = {
	.kind = LOG_TO_FILE, .path = path, .format = LOG_RAW, .max_level = LOG_WARNING};
static struct proxy sections[] = {{.name = "web", .index = 0}, {.name = "mail", .index = 1}};
static struct config config = {.global.logs = {&target, 1}, .proxies = sections, .proxy_count = 2};

struct rate {
	struct event_base *base;
	struct log *log;
	struct refusal_log *refusals;
};

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int set_up(void **state)
{
	struct rate *rate = calloc(1, sizeof(*rate));

	assert_non_null(rate);
	rate->base = event_base_new();
	rate->log = log_new(&config, NULL);
	rate->refusals = refusal_log_new(rate->base, &config, rate->log);
	assert_non_null(rate->refusals);
	*state = rate;
	return 0;
}

static int tear_down(void **state)
{
	struct rate *rate = *state;

	refusal_log_free(rate->refusals);
	log_free(rate->log);
	event_base_free(rate->base);
	free(rate);
	return unlink(path);
}

static void refuse(
	struct rate *rate, unsigned section, enum reason reason, unsigned at, unsigned times)
{
	struct refusal refusal = {.frontend = &sections[section], .reason = reason, .at = at};

	assert_true(addr_parse(&refusal.client, "198.51.100.10"));
	while (times-- > 0)
		refusal_log_add(rate->refusals, &refusal);
}

/* Lines of single refusals with all of these words, and the sum of those that are counted. */
struct account {
	unsigned lines, counting;
	unsigned long counted;
};

static struct account read_log(const char *frontend, enum reason reason)
{
	FILE *file = fopen(path, "r");
	struct account account = {0};
	char line[LOG_LINE_MAX];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		unsigned long count;
		int end = 0;

		if (strstr(line, frontend) == NULL || strstr(line, reason_name(reason)) == NULL)
			continue;
		if (sscanf(line, "refused %lu more:%n", &count, &end) == 1 && end > 0) {
			account.counting++;
			account.counted += count;
		} else {
			assert_non_null(strstr(line, "refused 198.51.100.10:0: "));
			account.lines++;
		}
	}
	fclose(file);
	return account;
}

static void assert_account(const char *frontend, enum reason reason, struct account expected)
{
	struct account account = read_log(frontend, reason);

	assert_int_equal(account.lines, expected.lines);
	assert_int_equal(account.counting, expected.counting);
	assert_int_equal(account.counted, expected.counted);
}

static void few_have_a_line_each(void **state)
{
	refuse(*state, 0, REASON_CONNECT_REFUSED, 1000, REFUSALS_AT_ONCE);
	assert_account("web", REASON_CONNECT_REFUSED, (struct account){REFUSALS_AT_ONCE, 0, 0});
}

static void more_at_once_are_counted_by_one_line(void **state)
{
	struct rate *rate = *state;

	refuse(rate, 0, REASON_CONNECT_REFUSED, 1000, 5000);
	refusal_log_flush(rate->refusals);
	assert_account("web", REASON_CONNECT_REFUSED,
		(struct account){REFUSALS_AT_ONCE, 1, 5000 - REFUSALS_AT_ONCE});
}

static void a_flood_has_one_line_a_second(void **state)
{
	struct rate *rate = *state;

	for (unsigned second = 0; second < 60; second++) {
		refuse(rate, 0, REASON_CONNECT_REFUSED, 1000 + second * 1000, 100);
		refusal_log_flush(rate->refusals);
	}
	assert_account("web", REASON_CONNECT_REFUSED,
		(struct account){REFUSALS_AT_ONCE, 60, 6000 - REFUSALS_AT_ONCE});
}

static void after_a_while_each_has_its_line_again(void **state)
{
	struct rate *rate = *state;

	refuse(rate, 0, REASON_CONNECT_REFUSED, 1000, REFUSALS_AT_ONCE);
	refuse(rate, 0, REASON_CONNECT_REFUSED, 1000 + REFUSALS_AT_ONCE * REFUSALS_INTERVAL,
		REFUSALS_AT_ONCE);
	assert_account("web", REASON_CONNECT_REFUSED, (struct account){2 * REFUSALS_AT_ONCE, 0, 0});
}

static void each_frontend_and_each_reason_has_its_own_rate(void **state)
{
	struct rate *rate = *state;

	refuse(rate, 0, REASON_CONNECT_REFUSED, 1000, 100);
	refuse(rate, 0, REASON_SOURCE_IN_USE, 1000, 1);
	refuse(rate, 1, REASON_CONNECT_REFUSED, 1000, 20);
	refusal_log_flush(rate->refusals);
	assert_account("web", REASON_CONNECT_REFUSED, (struct account){10, 1, 90});
	assert_account("web", REASON_SOURCE_IN_USE, (struct account){1, 0, 0});
	assert_account("mail", REASON_CONNECT_REFUSED, (struct account){10, 1, 10});
}

static void the_count_is_said_by_itself_when_no_more_come(void **state)
{
	struct rate *rate = *state;

	refuse(rate, 0, REASON_CONNECT_REFUSED, 1000, 11);
	assert_int_equal(event_base_dispatch(rate->base), 1); /* until its timer has fired */
	assert_account("web", REASON_CONNECT_REFUSED, (struct account){10, 1, 1});
}

static void the_count_is_said_at_the_end(void **state)
{
	struct rate *rate = *state;

	refuse(rate, 0, REASON_CONNECT_REFUSED, 1000, 30);
	refusal_log_free(rate->refusals);
	rate->refusals = NULL;
	assert_account("web", REASON_CONNECT_REFUSED, (struct account){10, 1, 20});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(few_have_a_line_each, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			more_at_once_are_counted_by_one_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_has_one_line_a_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			after_a_while_each_has_its_line_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			each_frontend_and_each_reason_has_its_own_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_count_is_said_by_itself_when_no_more_come, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_count_is_said_at_the_end, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("refusal_log", tests, make_folder, remove_folder);
}
