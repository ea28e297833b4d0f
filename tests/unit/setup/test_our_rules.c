/*
 * Our rules in a listing, and the commands that remove exactly them.
 */
#include "setup/our_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char save[] =
	"*filter\n:TPROXYCTL - [0:0]\nCOMMIT\n"
	"*mangle\n:PREROUTING ACCEPT [0:0]\n:TPROXYCTL - [0:0]\n:TPROXYCTL2 - [0:0]\n"
	"-A PREROUTING -p udp -m comment --comment tproxyctl-not -j RETURN\n"
	"-A PREROUTING -p tcp -m comment --comment tproxyctl -j TPROXYCTL\n"
	"-A TPROXYCTL -m comment --comment tproxyctl -j ACCEPT\nCOMMIT\n";

static void our_rules_are_found_by_comment_and_chain(void **state)
{
	char *ours = our_rules_of_save(save), *left, *removal;

	(void)state;
	assert_string_equal(ours,
		":TPROXYCTL - [0:0]\n"
		"-A PREROUTING -p tcp -m comment --comment tproxyctl -j TPROXYCTL\n"
		"-A TPROXYCTL -m comment --comment tproxyctl -j ACCEPT\n");
	removal = our_rules_removal(ours, false, "ip", &left);
	assert_string_equal(removal,
		"*mangle\n"
		"-D PREROUTING -p tcp -m comment --comment tproxyctl -j TPROXYCTL\n"
		"-D TPROXYCTL -m comment --comment tproxyctl -j ACCEPT\n"
		"-X TPROXYCTL\nCOMMIT\n");
	assert_null(left);
	free(removal);
	free(ours);
}

static void a_listing_without_its_end_is_noticed(void **state)
{
	static const char table[] = "table ip tproxyctl {\n\tchain divert {\n\t}\n}\n";
	char cut[sizeof(save)];

	(void)state;
	assert_true(our_rules_save_is_whole(save));
	assert_true(our_rules_save_is_whole(""));
	assert_true(our_rules_table_is_whole(table));
	for (size_t length = strlen("*filter\n:TPROXYCTL - [0:0]\nCOMMIT\n*");
		length < sizeof(save) - 2; length++) {
		memcpy(cut, save, length);
		cut[length] = '\0';
		assert_false(our_rules_save_is_whole(cut));
	}
	for (size_t length = 0; length < sizeof(table) - 1; length++) {
		memcpy(cut, table, length);
		cut[length] = '\0';
		assert_false(our_rules_table_is_whole(cut));
	}
}

static void the_table_mangle_is_found_where_it_is(void **state)
{
	char *mangle =
		our_rules_mangle_of_save("*mangle\n:X - [0:0]\nCOMMIT\n*nat\n:Y - [0:0]\nCOMMIT\n");

	(void)state;
	assert_string_equal(mangle, ":X - [0:0]\nCOMMIT\n");
	assert_null(our_rules_mangle_of_save("*nat\n:Y - [0:0]\nCOMMIT\n"));
	free(mangle);
}

static void a_rule_of_others_keeps_the_chain(void **state)
{
	char *left, *removal = our_rules_removal(
			    ":TPROXYCTL - [0:0]\n-A TPROXYCTL -j RETURN\n", false, "ip", &left);

	(void)state;
	assert_string_equal(removal, "*mangle\nCOMMIT\n");
	assert_string_equal(left, "-A TPROXYCTL -j RETURN\n");
	free(removal);
	free(left);
}

static void a_rule_of_others_keeps_the_table(void **state)
{
	char *left, *removal;

	(void)state;
	removal = our_rules_removal("table ip tproxyctl { # handle 1\n\tchain divert { # handle 1\n"
				    "\t\tmeta mark set 1 accept comment \"tproxyctl\" # handle 2\n"
				    "\t\tudp dport 9 accept # handle 3\n\t}\n}\n",
		true, "ip", &left);
	assert_string_equal(removal, "delete rule ip tproxyctl divert handle 2\n");
	assert_string_equal(left, "udp dport 9 accept # handle 3\n");
	free(removal);
	free(left);
}

#define CHAIN(name, policy)                                                                        \
	"{\"chain\":{\"name\":\"" name "\",\"hook\":\"x\",\"policy\":\"" policy "\"}}"

static void assert_cleaning(const char *before, const char *chains, const char *expected)
{
	json_t *old = json_loads(before, JSON_DECODE_ANY, NULL);
	char listing[512], *made;

	snprintf(listing, sizeof(listing),
		"{\"nftables\":[{\"metainfo\":{}},{\"table\":{\"name\":\"mangle\"}}%s]}", chains);
	made = our_rules_cleaning(old, listing, "ip");
	assert_string_equal(made, expected);
	free(made);
	json_decref(old);
}

static void what_came_by_itself_goes_when_it_is_empty(void **state)
{
	(void)state;
	assert_cleaning("null", "," CHAIN("PREROUTING", "accept"),
		"delete chain ip mangle PREROUTING\ndelete table ip mangle\n");
	assert_cleaning("null", "," CHAIN("PREROUTING", "drop"), "");
	assert_cleaning("[\"PREROUTING\"]", "," CHAIN("PREROUTING", "accept"), "");
	assert_cleaning("[\"OUTPUT\"]",
		"," CHAIN("OUTPUT", "accept") "," CHAIN("PREROUTING", "accept"),
		"delete chain ip mangle PREROUTING\n");
	assert_cleaning("null",
		"," CHAIN("PREROUTING", "accept") ",{\"rule\":{\"chain\":\"PREROUTING\"}}", "");
	assert_cleaning("[]", "", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_rules_are_found_by_comment_and_chain),
		cmocka_unit_test(a_listing_without_its_end_is_noticed),
		cmocka_unit_test(the_table_mangle_is_found_where_it_is),
		cmocka_unit_test(a_rule_of_others_keeps_the_chain),
		cmocka_unit_test(a_rule_of_others_keeps_the_table),
		cmocka_unit_test(what_came_by_itself_goes_when_it_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
