/*
 * Tables of `nft -j list ruleset`: whose listing counts where two tools list one, and what is left out, noted or refused.
 */
#include "listings.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static void add_iptables(struct ruleset *ruleset, enum firewall_tool tool, const char *name)
{
	char *text = ruleset_text(name), *problem = NULL;

	assert_int_equal(ruleset_parse_iptables(ruleset, tool, AF_INET, text, &problem), 0);
	free(text);
}

static void what_iptables_save_printed_is_not_read_twice(void **state)
{
	struct ruleset ruleset = {0}, other = {0};

	(void)state;
	add_iptables(&ruleset, TOOL_IPTABLES, "ufw.iptables");
	add_nft(&ruleset, "ufw.nft.json");
	add_nft(&other, "ufw.nft.json");
	add_iptables(&other, TOOL_IPTABLES, "ufw.iptables");
	assert_int_equal(ruleset.table_count, 1);
	assert_int_equal(ruleset.tables[0].tool, TOOL_IPTABLES);
	assert_int_equal(other.table_count, 1);
	assert_int_equal(other.tables[0].tool, TOOL_IPTABLES);
	ruleset_free(&ruleset);
	ruleset_free(&other);
}

static void tables_of_iptables_legacy_are_separate(void **state)
{
	struct ruleset ruleset = {0};

	(void)state;
	add_iptables(&ruleset, TOOL_LEGACY, "ufw.iptables");
	add_nft(&ruleset, "ufw.nft.json");
	assert_int_equal(ruleset.table_count, 2);
	ruleset_free(&ruleset);
}

static void what_iptables_save_leaves_out_is_taken_from_nft(void **state)
{
	struct ruleset whole = {0}, chain = {0};
	const struct table *table;

	(void)state;
	add_iptables(&whole, TOOL_IPTABLES, "incompatible.iptables");
	add_nft(&whole, "incompatible.nft.json");
	assert_int_equal(whole.table_count, 1);
	assert_int_equal(whole.tables[0].tool, TOOL_NFT);
	add_iptables(&chain, TOOL_IPTABLES, "tainted.iptables");
	add_nft(&chain, "tainted.nft.json");
	assert_int_equal(chain.table_count, 2);
	table = &chain.tables[1];
	assert_int_equal(table->tool, TOOL_NFT);
	assert_null(ruleset_chain(table, "PREROUTING"));
	assert_true(ruleset_chain(table, "early")->drops);
	ruleset_free(&whole);
	ruleset_free(&chain);
}

static void dormant_tables_and_other_families_are_skipped(void **state)
{
	struct ruleset ruleset = {0};

	(void)state;
	add_text(&ruleset,
		"{\"nftables\": [{\"metainfo\": {}}, {\"table\": {\"family\": \"bridge\", "
		"\"name\": \"b\"}}, {\"chain\": {\"family\": \"bridge\", \"table\": \"b\", "
		"\"name\": \"c\"}}, {\"table\": {\"family\": \"ip\", \"name\": \"d\", "
		"\"flags\": [\"dormant\"]}}, {\"flowtable\": {}}]}");
	assert_int_equal(ruleset.table_count, 0);
	ruleset_free(&ruleset);
}

static void links_of_ingress_come_from_the_text_where_json_lacks_them(void **state)
{
	struct ruleset ruleset = {0};

	(void)state;
	add_text(&ruleset,
		LIST(TABLE_OF("netdev") CHAIN_OF("netdev",
			", \"type\": \"filter\", \"hook\": \"ingress\", \"prio\": 0, \"policy\": \"accept\"")));
	assert_true(ruleset_lacks_links(&ruleset));
	ruleset_parse_nft_links(&ruleset,
		"table inet t {\n\tchain c {\n\t\ttype filter hook ingress device \"no\" priority 0;\n"
		"\t}\n}\ntable netdev t {\n\tchain c {\n"
		"\t\ttype filter hook ingress devices = { \"eth0\", \"eth1\" } priority filter;\n\t}\n}\n");
	assert_false(ruleset_lacks_links(&ruleset));
	assert_string_equal(ruleset.tables[0].chains[0].links, "eth0 eth1");
	ruleset_free(&ruleset);
}

static void tables_for_arp_and_bridges_are_noted_if_they_drop(void **state)
{
	struct ruleset ruleset = {0};

	(void)state;
	add_text(&ruleset,
		LIST(TABLE_OF("arp") CHAIN_OF("arp", "") RULE_OF("arp", "{\"accept\": null}")));
	assert_null(ruleset.arp);
	add_text(&ruleset,
		LIST(TABLE_OF("arp") CHAIN_OF("arp", "") RULE_OF("arp", "{\"drop\": null}")));
	assert_string_equal(ruleset.arp, "t");
	add_text(&ruleset, LIST(TABLE_OF("bridge") CHAIN_OF("bridge", ", \"policy\": \"drop\"")));
	assert_string_equal(ruleset.bridge, "t");
	ruleset_free(&ruleset);
}

/* --- what is refused --- */

static void assert_refused(const char *object, const char *expected)
{
	char *problem = NULL, *text;
	struct ruleset ruleset = {0};

	text = text_format(
		"{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"t\"}},"
		"{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}}, %s]}",
		object);
	assert_int_equal(ruleset_parse_nft(&ruleset, text, &problem), -1);
	assert_string_equal(problem, expected);
	assert_int_equal(ruleset.table_count, 0);
	free(problem);
	free(text);
}

static void required_members_are_checked(void **state)
{
	(void)state;
	assert_refused("{\"table\": {\"family\": \"ip\", \"name\": \"t\"}}",
		"nft: a table of this name was listed before: 't'");
	assert_refused("{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}}",
		"nft: a chain has no name, or its name was listed before: 'c'");
	assert_refused("{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"d\", "
		       "\"hook\": \"input\", \"prio\": 4294967296}}",
		"nft: a base chain has no priority: 'd'");
	assert_refused("{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"d\", "
		       "\"hook\": \"input\", \"prio\": \"soon\"}}",
		"nft: a base chain has no priority: 'd'");
	assert_refused("{\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\"}}",
		"nft: a rule has no handle: 'c'");
	assert_refused("{\"set\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"s\", "
		       "\"elem\": 1}}",
		"nft: the elements of a set are not a list: 's'");
}

static void other_json_than_nfts_is_refused(void **state)
{
	static const char *const wrong[] = {"", "[]", "{}", "{\"nftables\": 1}",
		"{\"nftables\": []} x", "{\"nftables\": [{\"table\": {\"family\": \"ip\"}}]}"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ruleset ruleset = {0};
		char *problem = NULL;

		assert_int_equal(ruleset_parse_nft(&ruleset, wrong[i], &problem), -1);
		assert_non_null(problem);
		assert_int_equal(ruleset.table_count, 0);
		free(problem);
	}
}

static void a_rule_of_an_unlisted_chain_is_refused(void **state)
{
	static const char text[] = "{\"nftables\": ["
				   "{\"table\": {\"family\": \"ip\", \"name\": \"t\"}},"
				   "{\"rule\": {\"family\": \"ip\", \"table\": \"t\", "
				   "\"chain\": \"c\"}}]}";
	struct ruleset ruleset = {0};
	char *problem = NULL;

	(void)state;
	assert_int_equal(ruleset_parse_nft(&ruleset, text, &problem), -1);
	assert_string_equal(problem, "nft: the chain of a rule is not listed: 'c'");
	free(problem);
}

static void a_text_that_is_cut_anywhere_is_refused(void **state)
{
	static const char *const names[] = {"transparent.nft.json", "dropping.nft.json",
		"wg-quick.nft.json", "firewalld.nft.json", "ufw.nft.json", "incompatible.nft.json",
		"tainted.nft.json"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *text = ruleset_text(names[i]);
		size_t length = strlen(text);

		/* Without its last byte, a newline, the text is whole still. */
		for (length--; length > 1; length--) {
			struct ruleset ruleset = {0};
			char *problem = NULL;

			text[length - 1] = '\0';
			assert_int_equal(ruleset_parse_nft(&ruleset, text, &problem), -1);
			assert_int_equal(ruleset.table_count, 0);
			free(problem);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(required_members_are_checked),
		cmocka_unit_test(dormant_tables_and_other_families_are_skipped),
		cmocka_unit_test(what_iptables_save_printed_is_not_read_twice),
		cmocka_unit_test(tables_of_iptables_legacy_are_separate),
		cmocka_unit_test(what_iptables_save_leaves_out_is_taken_from_nft),
		cmocka_unit_test(other_json_than_nfts_is_refused),
		cmocka_unit_test(a_rule_of_an_unlisted_chain_is_refused),
		cmocka_unit_test(a_text_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(links_of_ingress_come_from_the_text_where_json_lacks_them),
		cmocka_unit_test(tables_for_arp_and_bridges_are_noted_if_they_drop),
	};

	return cmocka_run_group_tests_name("nftables_tables", tests, NULL, NULL);
}
