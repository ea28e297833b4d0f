/*
 * Which marks and tables are in use, from the output of the tools.
 */
#include "setup/in_use.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct in_use in_use;

static int done(void **state)
{
	(void)state;
	in_use_free(&in_use);
	return 0;
}

/* Adds policy rules or routes as `ip -N -j` prints them; false where it does not print such text. */
static bool add_rules(int family, const char *json)
{
	struct network network = {0};
	bool well = network_parse_family(&network, family, json);

	if (well)
		in_use_add_network(&in_use, &network);
	network_free(&network);
	return well;
}

static bool add_routes(const char *json)
{
	struct network network = {0};
	bool well = network_parse_family(&network, AF_INET, json);

	if (well)
		in_use_add_network(&in_use, &network);
	network_free(&network);
	return well;
}

static void rules_are_asked_with_their_masks(void **state)
{
	(void)state;
	in_use_add_iptables(&in_use, "iptables-save",
		"*mangle\n-A X -j MARK --set-xmark 0x4000/0x4000\n"
		"-A X -m mark --mark 0x0/0x8 -j ACCEPT\n-A X -m mark ! --mark 0xca6c -j DROP\n");
	assert_null(in_use_mark_user(&in_use, 1));
	assert_null(in_use_mark_user(&in_use, 8));
	assert_non_null(in_use_mark_user(&in_use, 0x4001));
	assert_non_null(in_use_mark_user(&in_use, 0xca6c));
	assert_int_equal(in_use_free_mark(&in_use), 1);
}

static void policy_rules_have_marks_and_tables(void **state)
{
	static const char text[] =
		"[{\"priority\":0,\"src\":\"all\",\"table\":\"255\"},"
		"{\"priority\":1000,\"fwmark\":\"0x1\",\"fwmask\":\"0x3\",\"table\":\"100\"},"
		"{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]";

	(void)state;
	assert_true(add_rules(AF_INET, text));
	assert_non_null(in_use_mark_user(&in_use, 5));
	assert_int_equal(in_use_free_mark(&in_use), 2);
	assert_non_null(in_use_table_user(&in_use, 100));
	assert_int_equal(in_use_free_table(&in_use), 101);
	assert_int_equal(in_use.preference[0], 999);
}

static void a_rule_right_behind_the_first_leaves_room_at_none(void **state)
{
	(void)state;
	assert_true(
		add_rules(AF_INET6, "[{\"priority\":0},{\"priority\":1},{\"priority\":32766}]"));
	assert_int_equal(in_use.preference[1], 0);
}

static void what_is_ours_is_reported_and_counts_as_free(void **state)
{
	(void)state;
	assert_true(add_routes("[{\"dst\":\"default\",\"table\":\"100\",\"protocol\":\"197\"}]"));
	assert_null(in_use_table_user(&in_use, 100));
	assert_non_null(in_use.leftover);
}

static void nft_is_understood_and_cut_text_is_not(void **state)
{
	static const char text[] =
		"{\"nftables\":[{\"rule\":{\"family\":\"ip\",\"table\":\"t\",\"chain\":\"c\","
		"\"handle\":2,\"expr\":[{\"match\":{\"op\":\"==\",\"left\":{\"&\":[{\"meta\":"
		"{\"key\":\"mark\"}},255]},\"right\":{\"set\":[1,9]}}}]}}]}";
	char cut[sizeof(text)];

	(void)state;
	assert_true(in_use_add_nft(&in_use, text));
	assert_non_null(in_use_mark_user(&in_use, 0x109));
	assert_null(in_use_mark_user(&in_use, 2));
	for (size_t length = 0; length < sizeof(text) - 1; length++) {
		for (size_t i = 0; i < length; i++)
			cut[i] = text[i];
		cut[length] = '\0';
		assert_false(in_use_add_nft(&in_use, cut));
	}
}

static void an_address_of_the_table_local_is_known(void **state)
{
	(void)state;
	assert_true(add_routes(
		"[{\"type\":\"2\",\"dst\":\"192.0.2.81\",\"dev\":\"lo\",\"table\":\"255\"},"
		"{\"type\":\"2\",\"dst\":\"127.0.0.0/8\",\"dev\":\"lo\",\"table\":\"255\"},"
		"{\"type\":\"2\",\"dst\":\"192.0.2.82\",\"dev\":\"lo\",\"table\":\"255\","
		"\"protocol\":\"197\"}]"));
	assert_int_equal(in_use.local_count, 1);
	assert_string_equal(in_use.local_addresses[0], "192.0.2.81");
	assert_string_equal(in_use.leftover, "a route to 192.0.2.82/32");
}

static void a_mark_that_a_rule_leaves_out_is_in_use(void **state)
{
	(void)state;
	assert_true(add_rules(AF_INET, "[{\"priority\":9,\"not\":null,\"fwmark\":\"0x7\"}]"));
	assert_non_null(in_use_mark_user(&in_use, 7));
}

static void a_mark_is_counted_once_and_read_whole(void **state)
{
	(void)state;
	assert_true(in_use_add_iptables(&in_use, "iptables-save",
		"*mangle\n-A X -j CONNMARK --restore-mark --mark 0x6/0x7\n"
		"-A X -m comment --comment \"use --mark 9 or --mark none\" -j ACCEPT\n"));
	assert_int_equal(in_use.mark_count, 1);
	assert_null(in_use_mark_user(&in_use, 9));
	assert_non_null(in_use_mark_user(&in_use, 6));
}

static void a_mark_that_is_none_is_refused(void **state)
{
	static const char *const wrong[] = {
		"0x100000000", "-1", "1/0x100000000", "1/", "1x", "one", "1/1/1"};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "-A X -m mark --mark %s -j DROP\n", wrong[i]);
		if (in_use_add_iptables(&in_use, "iptables-save", line))
			fail_msg("%s is read", line);
	}
	assert_false(in_use_add_iptables(&in_use, "iptables-save", "-A X --comment \"open\n"));
	assert_false(add_rules(AF_INET, "[{\"priority\":1,\"fwmark\":\"-1\"}]"));
	assert_false(add_rules(AF_INET, "[{\"priority\":4294967296}]"));
	assert_false(add_rules(AF_INET, "[{\"priority\":1,\"table\":\"x\"}]"));
	assert_false(add_routes("[{\"dst\":\"default\",\"table\":254}]"));
	assert_false(in_use_add_nft(&in_use,
		"{\"nftables\":[{\"rule\":{\"family\":\"ip\",\"table\":\"t\",\"chain\":\"c\","
		"\"expr\":[{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},"
		"\"value\":4294967296}}]}}]}"));
	assert_int_equal(in_use.mark_count + in_use.table_count, 0);
}

static void add_bit(unsigned bit)
{
	char line[64];

	snprintf(line, sizeof(line), "-A X -m mark --mark 0x%x/0x%x -j DROP\n", 1U << bit,
		1U << bit);
	assert_true(in_use_add_iptables(&in_use, "iptables-save", line));
}

static void no_mark_is_free_where_every_bit_is_taken(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 31; bit++)
		add_bit(bit);
	assert_true(in_use_free_mark(&in_use) == 1U << 31);
	add_bit(31);
	assert_int_equal(in_use_free_mark(&in_use), 0);
}

/* The least of the marks up to 8 bits, by trying each. */
static uint32_t least_by_trying(void)
{
	for (uint32_t mark = 1; mark < 256; mark++)
		if (in_use_mark_user(&in_use, mark) == NULL)
			return mark;
	return 256;
}

static void the_least_mark_that_is_free_is_found(void **state)
{
	unsigned seed = 1;
	char line[64];

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < round; i++) {
			unsigned value, mask;

			value = (seed = seed * 1103515245 + 12345) >> 16 & 0xff;
			mask = (seed = seed * 1103515245 + 12345) >> 16 & 0xff;
			snprintf(line, sizeof(line), "-A X --mark 0x%x/0x%x\n", value,
				(value & mask) | 0xffffff00 | mask);
			assert_true(in_use_add_iptables(&in_use, "iptables-save", line));
		}
		assert_int_equal(in_use_free_mark(&in_use), least_by_trying());
		in_use_free(&in_use);
	}
}

static void the_kernels_own_tables_are_never_free(void **state)
{
	char route[64];

	(void)state;
	for (int table = 100; table < 253; table++) {
		snprintf(route, sizeof(route), "[{\"dst\":\"default\",\"table\":\"%d\"}]", table);
		assert_true(add_routes(route));
	}
	assert_int_equal(in_use_free_table(&in_use), 256);
	assert_true(add_routes("[{\"dst\":\"default\",\"table\":\"256\"}]"));
	assert_int_equal(in_use_free_table(&in_use), 257);
}

#define WITH(name) cmocka_unit_test_teardown(name, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(rules_are_asked_with_their_masks),
		WITH(policy_rules_have_marks_and_tables),
		WITH(a_rule_right_behind_the_first_leaves_room_at_none),
		WITH(what_is_ours_is_reported_and_counts_as_free),
		WITH(nft_is_understood_and_cut_text_is_not),
		WITH(an_address_of_the_table_local_is_known),
		WITH(a_mark_that_a_rule_leaves_out_is_in_use),
		WITH(a_mark_is_counted_once_and_read_whole),
		WITH(a_mark_that_is_none_is_refused),
		WITH(no_mark_is_free_where_every_bit_is_taken),
		WITH(the_least_mark_that_is_free_is_found),
		WITH(the_kernels_own_tables_are_never_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
