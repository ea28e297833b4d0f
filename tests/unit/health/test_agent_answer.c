/*
 * Answers of agents: which words are said in a line, and what the log says of them. What HAProxy makes of the same answers is
 * compared in tests/netns/selftest/agree/test_agents_agree.py.
 */
#include "unit.h"

#include "health/agent_answer.h"

#include <stdio.h>
#include <string.h>

static char line[512];
static struct agent_answer answer;
static struct health_verdict verdict;

/* Returns the verdict's text. */
static const char *say(const char *text, const char *problem)
{
	snprintf(line, sizeof(line), "%s", text);
	agent_answer_parse(line, &answer);
	agent_answer_verdict(&answer, problem, &verdict);
	return verdict.info;
}

static void each_word_is_understood(void **state)
{
	(void)state;
	assert_string_equal(say("up ready\t50%,maxconn:30", NULL), "via agent : up");
	assert_int_equal(verdict.status, HEALTH_L7OK);
	assert_true(answer.is_up);
	assert_int_equal(answer.state, AGENT_SAYS_READY);
	assert_string_equal(answer.weight, "50%");
	assert_string_equal(answer.maxconn, "30");
	assert_null(answer.unknown);
	say("drain", NULL);
	assert_int_equal(answer.state, AGENT_SAYS_DRAIN);
	say("MAINT", NULL);
	assert_int_equal(answer.state, AGENT_SAYS_MAINT);
}

static void words_that_are_not_said_change_nothing(void **state)
{
	(void)state;
	assert_string_equal(say("", NULL), "");
	assert_int_equal(verdict.status, HEALTH_CHECKED);
	assert_null(answer.health);
	assert_null(answer.weight);
	assert_null(answer.maxconn);
	assert_int_equal(answer.state, AGENT_SAYS_NOTHING);
	say(" ,\t, ", NULL);
	assert_int_equal(verdict.status, HEALTH_CHECKED);
	assert_null(answer.unknown);
}

static void a_server_is_down_by_three_words(void **state)
{
	static const char *const words[] = {"down", "fail", "stopped", "Down", "FAIL"};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		snprintf(text, sizeof(text), "via agent : %s", words[i]);
		assert_string_equal(say(words[i], NULL), text);
		assert_int_equal(verdict.status, HEALTH_L7STS);
		assert_false(answer.is_up);
	}
}

static void the_last_word_of_a_kind_counts(void **state)
{
	(void)state;
	say("up down 10% 20% drain ready maxconn:1 maxconn:2", NULL);
	assert_false(answer.is_up);
	assert_int_equal(verdict.status, HEALTH_L7STS);
	assert_string_equal(answer.weight, "20%");
	assert_string_equal(answer.maxconn, "2");
	assert_int_equal(answer.state, AGENT_SAYS_READY);
	say("down up", NULL);
	assert_true(answer.is_up);
}

static void a_description_goes_to_the_end_of_the_line(void **state)
{
	(void)state;
	assert_string_equal(
		say("down # out of disk, up 50%", NULL), "via agent : down (out of disk, up 50%)");
	assert_null(answer.weight);
	assert_string_equal(say("down #", NULL), "via agent : down");
	assert_string_equal(say("up #well", NULL), "via agent : up (well)");
	assert_string_equal(say("#down", NULL), "");
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	assert_string_equal(say("hello world", NULL), "agent reports an error : hello");
	assert_int_equal(verdict.status, HEALTH_CHECKED);
	assert_string_equal(say("down#why", NULL), "agent reports an error : down#why");
	assert_string_equal(say("up hello #well", NULL), "via agent : up (hello)");
	assert_string_equal(say("down hello", NULL), "via agent : down (hello)");
	assert_string_equal(say("down hello #why", "no"), "via agent : down (why)");
	assert_string_equal(say("50%x", "Trailing"), "agent warns : Trailing");
	assert_string_equal(say("up 50%x", "Trailing"), "via agent : up (Trailing)");
	assert_string_equal(say("-5%", NULL), "agent reports an error : -5%");
	assert_string_equal(say("%", NULL), "agent reports an error : %");
	assert_string_equal(say("upward", NULL), "agent reports an error : upward");
}

static void a_long_word_is_cut_in_the_verdict(void **state)
{
	char text[400];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(strlen(say(text, NULL)), HEALTH_INFO_MAX - 1);
}

static size_t find_line(const char *bytes, size_t length, bool *whole)
{
	return agent_line(&(struct health_input){bytes, length, false}, whole);
}

static void a_line_ends_at_its_end_alone(void **state)
{
	bool whole;

	(void)state;
	assert_int_equal(find_line("up\nx", 4, &whole), 2);
	assert_true(whole);
	assert_int_equal(find_line("up\r\n", 4, &whole), 2);
	assert_true(whole);
	assert_int_equal(find_line("\n", 1, &whole), 0);
	assert_true(whole);
	find_line("up", 2, &whole);
	assert_false(whole);
	find_line("", 0, &whole);
	assert_false(whole);
	find_line("u\0p\n", 4, &whole);
	assert_false(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_is_understood),
		cmocka_unit_test(words_that_are_not_said_change_nothing),
		cmocka_unit_test(a_server_is_down_by_three_words),
		cmocka_unit_test(the_last_word_of_a_kind_counts),
		cmocka_unit_test(a_description_goes_to_the_end_of_the_line),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_long_word_is_cut_in_the_verdict),
		cmocka_unit_test(a_line_ends_at_its_end_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
