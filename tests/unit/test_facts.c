/*
 * Whose marks and tables there are, from what the tools say.
 */
#include "tproxy/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct facts facts;

static int done(void **state)
{
	(void)state;
	facts_free(&facts);
	return 0;
}

static void rules_are_asked_with_their_masks(void **state)
{
	(void)state;
	facts_of_iptables(&facts, "iptables-save",
		"*mangle\n-A X -j MARK --set-xmark 0x4000/0x4000\n"
		"-A X -m mark --mark 0x0/0x8 -j ACCEPT\n-A X -m mark ! --mark 0xca6c -j DROP\n");
	assert_null(facts_mark_user(&facts, 1));
	assert_null(facts_mark_user(&facts, 8));
	assert_non_null(facts_mark_user(&facts, 0x4001));
	assert_non_null(facts_mark_user(&facts, 0xca6c));
	assert_int_equal(facts_free_mark(&facts), 1);
}

static void policy_rules_have_marks_and_tables(void **state)
{
	static const char text[] =
		"[{\"priority\":0,\"src\":\"all\",\"table\":\"255\"},"
		"{\"priority\":1000,\"fwmark\":\"0x1\",\"fwmask\":\"0x3\",\"table\":\"100\"},"
		"{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]";

	(void)state;
	assert_true(facts_of_rules(&facts, AF_INET, text));
	assert_non_null(facts_mark_user(&facts, 5));
	assert_int_equal(facts_free_mark(&facts), 2);
	assert_non_null(facts_table_user(&facts, 100));
	assert_int_equal(facts_free_table(&facts), 101);
	assert_int_equal(facts.preference[0], 999);
}

static void a_rule_right_behind_the_first_leaves_room_at_none(void **state)
{
	(void)state;
	assert_true(facts_of_rules(
		&facts, AF_INET6, "[{\"priority\":0},{\"priority\":1},{\"priority\":32766}]"));
	assert_int_equal(facts.preference[1], 0);
}

static void what_is_ours_is_nobody_elses_but_told(void **state)
{
	(void)state;
	assert_true(facts_of_routes(
		&facts, "[{\"dst\":\"default\",\"table\":\"100\",\"protocol\":\"197\"}]"));
	assert_null(facts_table_user(&facts, 100));
	assert_non_null(facts.leftover);
}

static void nft_is_understood_and_cut_text_is_not(void **state)
{
	static const char text[] =
		"{\"nftables\":[{\"rule\":{\"family\":\"ip\",\"table\":\"t\",\"chain\":\"c\","
		"\"handle\":2,\"expr\":[{\"match\":{\"op\":\"==\",\"left\":{\"&\":[{\"meta\":"
		"{\"key\":\"mark\"}},255]},\"right\":{\"set\":[1,9]}}}]}}]}";
	char cut[sizeof(text)];

	(void)state;
	assert_true(facts_of_nft(&facts, text));
	assert_non_null(facts_mark_user(&facts, 0x109));
	assert_null(facts_mark_user(&facts, 2));
	for (size_t length = 0; length < sizeof(text) - 1; length++) {
		for (size_t i = 0; i < length; i++)
			cut[i] = text[i];
		cut[length] = '\0';
		assert_false(facts_of_nft(&facts, cut));
	}
}

#define WITH(name) cmocka_unit_test_teardown(name, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(rules_are_asked_with_their_masks),
		WITH(policy_rules_have_marks_and_tables),
		WITH(a_rule_right_behind_the_first_leaves_room_at_none),
		WITH(what_is_ours_is_nobody_elses_but_told),
		WITH(nft_is_understood_and_cut_text_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
