/*
 * `nft -j list ruleset` as a model, and whose listing counts for a table that two tools list.
 */
#include "firewall/ruleset.h"
#include "rulesets.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_text(struct ruleset *ruleset, const char *text)
{
	char *problem = NULL;

	if (ruleset_parse_nft(ruleset, text, &problem) == -1)
		fail_msg("%s", problem);
}

static void add_nft(struct ruleset *ruleset, const char *name)
{
	char *text = ruleset_text(name);

	add_text(ruleset, text);
	free(text);
}

static void add_iptables(struct ruleset *ruleset, enum firewall_tool tool, const char *name)
{
	char *text = ruleset_text(name), *problem = NULL;

	assert_int_equal(ruleset_parse_iptables(ruleset, tool, AF_INET, text, &problem), 0);
	free(text);
}

/* A rule of an inet table with a set, and with these expressions. */
static struct ruleset one_rule(const char *expressions)
{
	char text[2048];
	struct ruleset ruleset = {0};

	snprintf(text, sizeof(text),
		"{\"nftables\": [{\"table\": {\"family\": \"inet\", \"name\": \"t\"}},"
		"{\"set\": {\"family\": \"inet\", \"table\": \"t\", \"name\": \"s\", "
		"\"elem\": [80, {\"elem\": {\"val\": 443, \"comment\": \"c\"}}]}},"
		"{\"chain\": {\"family\": \"inet\", \"table\": \"t\", \"name\": \"c\"}},"
		"{\"rule\": {\"family\": \"inet\", \"table\": \"t\", \"chain\": \"c\", "
		"\"handle\": 7, \"expr\": [%s]}}]}",
		expressions);
	add_text(&ruleset, text);
	return ruleset;
}

static struct ruleset one_match(const char *op, const char *left, const char *right)
{
	char text[1024];

	snprintf(text, sizeof(text), "{\"match\": {\"op\": \"%s\", \"left\": {%s}, \"right\": %s}}",
		op, left, right);
	return one_rule(text);
}

static const struct rule *first(const struct ruleset *ruleset)
{
	return &ruleset->tables[0].chains[0].rules[0];
}

static void the_recipes_rules_are_read(void **state)
{
	struct ruleset ruleset = {0};
	const struct chain *chain;
	const struct rule *rule;

	(void)state;
	add_nft(&ruleset, "transparent.nft.json");
	chain = ruleset_chain(&ruleset.tables[0], "PREROUTING");
	assert_int_equal(chain->hook, HOOK_PREROUTING);
	assert_int_equal(chain->priority, -150);
	assert_int_equal(chain->rule_count, 2);
	rule = &chain->rules[0];
	assert_int_equal(rule->matches[1].kind, MATCH_SOCKET);
	assert_true(rule->matches[1].transparent);
	assert_false(rule->matches[1].no_wildcard_sockets);
	rule = &chain->rules[1];
	assert_int_equal(rule->number, 2);
	assert_int_equal(rule->targets[0].kind, TARGET_TPROXY);
	assert_int_equal(addr_port(&rule->targets[0].to), 8080);
	assert_int_equal(rule->targets[1].kind, TARGET_MARK);
	assert_int_equal(rule->targets[2].kind, TARGET_ACCEPT);
	ruleset_free(&ruleset);
}

static void a_rule_is_named_by_its_place(void **state)
{
	struct ruleset ruleset = one_rule("{\"accept\": null}");

	(void)state;
	assert_string_equal(first(&ruleset)->text, "inet t c handle 7");
	assert_int_equal(first(&ruleset)->handle, 7);
	ruleset_free(&ruleset);
}

static void each_expression_has_its_match(void **state)
{
	static const struct {
		const char *op, *left, *right;
		enum match_kind kind; /* of the last */
		bool negated;
		uint32_t number, mask;
	} cases[] = {
		{"==", "\"meta\": {\"key\": \"mark\"}", "1", MATCH_MARK, false, 1, UINT32_MAX},
		{"!=", "\"&\": [{\"meta\": {\"key\": \"mark\"}}, 255]", "1", MATCH_MARK, true, 1,
			255},
		{"==", "\"meta\": {\"key\": \"mark\"}", "{\"set\": [1, 2]}", MATCH_UNKNOWN, false,
			0, 0},
		{"==", "\"meta\": {\"key\": \"nfproto\"}", "\"ipv6\"", MATCH_FAMILY, false,
			AF_INET6, 0},
		{"in", "\"ct\": {\"key\": \"state\"}", "[\"established\", \"related\"]",
			MATCH_CT_STATE, false, CT_ESTABLISHED | CT_RELATED, 0},
		{"==", "\"ct\": {\"key\": \"state\"}", "{\"set\": [\"new\", \"invalid\"]}",
			MATCH_CT_STATE, false, CT_NEW | CT_INVALID, 0},
		{"in", "\"ct\": {\"key\": \"status\"}", "\"dnat\"", MATCH_CT_STATE, false,
			CT_CHANGED, 0},
		{"in", "\"ct\": {\"key\": \"status\"}", "\"assured\"", MATCH_UNKNOWN, false, 0, 0},
		{"==", "\"ct\": {\"key\": \"mark\"}", "5", MATCH_CT_MARK, false, 5, UINT32_MAX},
		{"==", "\"fib\": {\"result\": \"oif\", \"flags\": [\"saddr\", \"mark\", \"iif\"]}",
			"false", MATCH_ROUTE, true, 0,
			ROUTE_TO_SOURCE | ROUTE_BY_MARK | ROUTE_ON_LINK_IN},
		{"!=", "\"fib\": {\"result\": \"type\", \"flags\": [\"daddr\"]}", "\"local\"",
			MATCH_TYPE, true, ADDRESS_LOCAL, 0},
		{"==", "\"fib\": {\"result\": \"type\", \"flags\": [\"daddr\", \"iif\"]}",
			"\"local\"", MATCH_TYPE, false, ADDRESS_LOCAL, ROUTE_ON_LINK_IN},
		{"==",
			"\"&\": [{\"payload\": {\"protocol\": \"tcp\", \"field\": \"flags\"}}, "
			"[\"fin\", \"syn\", \"rst\", \"ack\"]]",
			"\"syn\"", MATCH_TCP_FLAGS, false, 2, 0x17},
		{"in", "\"payload\": {\"protocol\": \"tcp\", \"field\": \"flags\"}", "\"syn\"",
			MATCH_TCP_FLAGS, true, 0, 2},
		{"!=", "\"payload\": {\"protocol\": \"tcp\", \"field\": \"flags\"}", "\"syn\"",
			MATCH_TCP_FLAGS, true, 2, 0xff},
		{"<", "\"payload\": {\"protocol\": \"tcp\", \"field\": \"flags\"}", "\"syn\"",
			MATCH_UNKNOWN, false, 0, 0},
		{">", "\"payload\": {\"protocol\": \"tcp\", \"field\": \"dport\"}", "80",
			MATCH_UNKNOWN, false, 0, 0},
		{"==", "\"payload\": {\"protocol\": \"ip6\", \"field\": \"hoplimit\"}", "255",
			MATCH_HOP_LIMIT, false, 0, 0},
		{"==", "\"payload\": {\"protocol\": \"ip\", \"field\": \"ttl\"}", "1",
			MATCH_UNKNOWN, false, 0, 0},
		/* Numbers that the kernel has not, and a range from one family to the other. */
		{"==", "\"meta\": {\"key\": \"mark\"}", "4294967296", MATCH_UNKNOWN, false, 0, 0},
		{"==", "\"meta\": {\"key\": \"mark\"}", "-1", MATCH_UNKNOWN, false, 0, 0},
		{"==", "\"meta\": {\"key\": \"l4proto\"}", "-4294967290", MATCH_UNKNOWN, false, 0,
			0},
		{"==", "\"meta\": {\"key\": \"l4proto\"}", "256", MATCH_UNKNOWN, false, 0, 0},
		{"==", "\"payload\": {\"protocol\": \"ip\", \"field\": \"saddr\"}",
			"{\"range\": [\"192.0.2.1\", \"2001:db8::1\"]}", MATCH_UNKNOWN, false, 0,
			0},
		{"==", "\"payload\": {\"protocol\": \"ip\", \"field\": \"saddr\"}",
			"{\"prefix\": {\"addr\": \"192.0.2.0\", \"len\": 33}}", MATCH_UNKNOWN,
			false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ruleset ruleset = one_match(cases[i].op, cases[i].left, cases[i].right);
		const struct rule *rule = first(&ruleset);
		const struct match *match = &rule->matches[rule->match_count - 1];

		assert_int_equal(match->kind, cases[i].kind);
		assert_int_equal(match->negated, cases[i].negated);
		assert_int_equal(match->number, cases[i].number);
		assert_int_equal(match->mask, cases[i].mask);
		ruleset_free(&ruleset);
	}
}

static void types_of_icmpv6_have_names_and_numbers(void **state)
{
	struct ruleset ruleset = one_match(
		"!=", "\"payload\": {\"protocol\": \"icmpv6\", \"field\": \"type\"}",
		"{\"set\": [\"nd-neighbor-advert\", 135, {\"range\": [\"packet-too-big\", 4]}]}");
	struct ruleset code =
		one_match("==", "\"payload\": {\"protocol\": \"icmpv6\", \"field\": \"code\"}",
			"\"port-unreachable\"");
	struct ruleset other =
		one_match("==", "\"payload\": {\"protocol\": \"icmp\", \"field\": \"type\"}", "3");
	const struct match *match = &first(&ruleset)->matches[1];
	struct ruleset unknown = one_match(
		"==", "\"payload\": {\"protocol\": \"icmpv6\", \"field\": \"type\"}", "\"x\"");

	(void)state;
	assert_int_equal(first(&ruleset)->matches[0].number, IPPROTO_ICMPV6);
	assert_int_equal(match->kind, MATCH_ICMP_TYPE);
	assert_true(match->negated);
	assert_int_equal(match->range_count, 3);
	assert_int_equal(addr_port(&match->ranges[0].first), 2);
	assert_int_equal(addr_port(&match->ranges[2].last), 136);
	assert_int_equal(first(&code)->matches[1].kind, MATCH_ICMP_CODE);
	assert_int_equal(addr_port(&first(&code)->matches[1].ranges[0].first), 4);
	assert_int_equal(first(&other)->matches[1].kind, MATCH_UNKNOWN);
	ruleset_free(&code);
	ruleset_free(&other);
	assert_int_equal(first(&unknown)->matches[1].kind, MATCH_UNKNOWN);
	ruleset_free(&ruleset);
	ruleset_free(&unknown);
}

static void a_port_needs_its_protocol_and_an_address_its_family(void **state)
{
	struct ruleset port =
		one_match("!=", "\"payload\": {\"protocol\": \"tcp\", \"field\": \"dport\"}", "80");
	struct ruleset address =
		one_match("==", "\"payload\": {\"protocol\": \"ip6\", \"field\": \"daddr\"}",
			"\"2001:db8::1\"");

	(void)state;
	assert_int_equal(first(&port)->matches[0].kind, MATCH_PROTOCOL);
	assert_int_equal(first(&port)->matches[0].number, IPPROTO_TCP);
	assert_false(first(&port)->matches[0].negated);
	assert_true(first(&port)->matches[1].negated);
	assert_int_equal(first(&address)->matches[0].kind, MATCH_FAMILY);
	assert_int_equal(first(&address)->matches[0].number, AF_INET6);
	ruleset_free(&port);
	ruleset_free(&address);
}

static void a_named_sets_elements_are_looked_up(void **state)
{
	struct ruleset ruleset = one_match(
		"==", "\"payload\": {\"protocol\": \"th\", \"field\": \"dport\"}", "\"@s\"");
	struct ruleset missing = one_match(
		"==", "\"payload\": {\"protocol\": \"th\", \"field\": \"dport\"}", "\"@none\"");
	const struct match *match = &first(&ruleset)->matches[0];

	(void)state;
	assert_int_equal(match->range_count, 2);
	assert_int_equal(addr_port(&match->ranges[0].first), 80);
	assert_int_equal(addr_port(&match->ranges[1].last), 443);
	assert_int_equal(first(&missing)->matches[0].kind, MATCH_UNKNOWN);
	ruleset_free(&ruleset);
	ruleset_free(&missing);
}

static void one_set_serves_matches_of_several_kinds(void **state)
{
	static const char text[] =
		"{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"t\"}},"
		"{\"set\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"s\", "
		"\"elem\": [\"tcp\", \"udp\"]}},"
		"{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}},"
		"{\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", "
		"\"handle\": 1, \"expr\": [%s, %s, %s]}}]}";
	static const char protocol[] =
		"{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": "
		"\"l4proto\"}}, \"right\": \"@s\"}}";
	static const char link[] = "{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": "
				   "\"iifname\"}}, \"right\": \"@s\"}}";
	char *whole = text_format(text, protocol, link, protocol);
	struct ruleset ruleset = {0};
	const struct match *matches;

	(void)state;
	add_text(&ruleset, whole);
	matches = first(&ruleset)->matches;
	assert_int_equal(matches[0].range_count, 2);
	assert_string_equal(matches[1].text, "tcp udp");
	assert_ptr_equal(matches[0].ranges, matches[2].ranges);
	ruleset_free(&ruleset);
	free(whole);
}

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

static void a_socket_that_is_not_transparent_is_still_a_socket(void **state)
{
	struct ruleset ruleset = one_match("==", "\"socket\": {\"key\": \"transparent\"}", "0");
	const struct rule *rule = first(&ruleset);

	(void)state;
	assert_int_equal(rule->match_count, 2);
	assert_false(rule->matches[0].negated);
	assert_false(rule->matches[0].transparent);
	assert_true(rule->matches[1].negated);
	assert_true(rule->matches[1].transparent);
	ruleset_free(&ruleset);
}

static void a_mark_is_computed_from_the_old_one(void **state)
{
	static const struct {
		const char *value;
		enum target_kind kind;
		uint32_t number, mask;
	} cases[] = {
		{"1", TARGET_MARK, 1, UINT32_MAX},
		{"{\"|\": [{\"meta\": {\"key\": \"mark\"}}, 16]}", TARGET_MARK, 16, 16},
		{"{\"&\": [{\"meta\": {\"key\": \"mark\"}}, 240]}", TARGET_MARK, 0, ~240U},
		{"{\"^\": [{\"meta\": {\"key\": \"mark\"}}, 16]}", TARGET_MARK, 16, 0},
		{"{\"|\": [{\"&\": [{\"meta\": {\"key\": \"mark\"}}, 4294967040]}, 1]}",
			TARGET_MARK, 1, 0xff},
		{"{\"ct\": {\"key\": \"mark\"}}", TARGET_CT_MARK_RESTORE, UINT32_MAX, UINT32_MAX},
		{"{\"&\": [{\"ct\": {\"key\": \"mark\"}}, 255]}", TARGET_CT_MARK_RESTORE,
			UINT32_MAX, 255},
		{"{\"meta\": {\"key\": \"priority\"}}", TARGET_UNKNOWN, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct ruleset ruleset;

		snprintf(text, sizeof(text),
			"{\"mangle\": {\"key\": {\"meta\": {\"key\": \"mark\"}}, \"value\": %s}}",
			cases[i].value);
		ruleset = one_rule(text);
		assert_int_equal(first(&ruleset)->targets[0].kind, cases[i].kind);
		assert_int_equal(first(&ruleset)->targets[0].number, cases[i].number);
		assert_int_equal(first(&ruleset)->targets[0].mask, cases[i].mask);
		ruleset_free(&ruleset);
	}
}

static void a_match_behind_a_statement_is_unknown(void **state)
{
	struct ruleset ruleset =
		one_rule("{\"mangle\": {\"key\": {\"meta\": {\"key\": \"mark\"}}, \"value\": 1}}, "
			 "{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"mark\"}}, "
			 "\"right\": 1}}");

	(void)state;
	assert_int_equal(first(&ruleset)->matches[0].kind, MATCH_UNKNOWN);
	ruleset_free(&ruleset);
}

static void a_verdict_map_becomes_a_rule_for_each_element(void **state)
{
	struct ruleset ruleset = {0};
	const struct chain *chain;

	(void)state;
	add_nft(&ruleset, "firewalld.nft.json");
	chain = ruleset_chain(&ruleset.tables[0], "filter_INPUT");
	assert_int_equal(chain->rules[0].number, 1);
	assert_int_equal(chain->rules[2].number, 1);
	assert_int_equal(chain->rules[2].handle, chain->rules[0].handle);
	assert_int_equal(chain->rules[0].matches[0].kind, MATCH_CT_STATE);
	assert_int_equal(chain->rules[3].number, 2);
	ruleset_free(&ruleset);
}

static void what_is_unknown_is_kept(void **state)
{
	struct ruleset ruleset = one_rule("{\"xt\": {\"type\": \"match\", \"name\": \"u32\"}}, "
					  "{\"queue\": {\"num\": 1}}, 5");
	const struct rule *rule = first(&ruleset);

	(void)state;
	assert_string_equal(rule->matches[0].text, "xt {\"type\":\"match\",\"name\":\"u32\"}");
	assert_int_equal(rule->target_count, 2);
	assert_int_equal(rule->targets[0].kind, TARGET_UNKNOWN);
	assert_string_equal(rule->targets[0].text, "queue {\"num\":1}");
	ruleset_free(&ruleset);
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

/* --- choices of several fields, links, and what traces do not follow --- */

#define LIST(objects)    "{\"nftables\": [" objects "]}"
#define TABLE_OF(family) "{\"table\": {\"family\": \"" family "\", \"name\": \"t\"}}"
#define CHAIN_OF(family, rest)                                                                     \
	",{\"chain\": {\"family\": \"" family "\", \"table\": \"t\", \"name\": \"c\"" rest "}}"
#define RULE_OF(family, expr)                                                                      \
	",{\"rule\": {\"family\": \"" family                                                       \
	"\", \"table\": \"t\", \"chain\": \"c\", \"handle\": 7, \"expr\": "                        \
	"[" expr "]}}"
#define FIELDS                                                                                      \
	"{\"concat\": [{\"payload\": {\"protocol\": \"ip\", \"field\": \"daddr\"}}, {\"payload\": " \
	"{\"protocol\": \"tcp\", \"field\": \"dport\"}}]}"

static void a_named_verdict_map_is_a_rule_for_each_element(void **state)
{
	struct ruleset ruleset = {0};
	const struct chain *chain;

	(void)state;
	add_text(&ruleset,
		LIST(TABLE_OF(
			"ip") ",{\"map\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"m\", \"elem\": "
			      "[[{\"concat\": [\"192.0.2.80\", 80]}, {\"drop\": null}], "
			      "[{\"elem\": {\"val\": {\"concat\": [\"192.0.2.81\", 80]}, \"comment\": "
			      "\"x\"}}, {\"accept\": null}]]}}" CHAIN_OF("ip", "") RULE_OF("ip",
				      "{\"vmap\": {\"key\": " FIELDS ", \"data\": \"@m\"}}")));
	chain = &ruleset.tables[0].chains[0];
	assert_int_equal(chain->rule_count, 2);
	assert_int_equal(chain->rules[0].matches[0].kind, MATCH_DESTINATION);
	assert_int_equal(chain->rules[0].targets[0].kind, TARGET_DROP);
	assert_int_equal(chain->rules[1].targets[0].kind, TARGET_ACCEPT);
	assert_int_equal(chain->rules[1].number, 1);
	ruleset_free(&ruleset);
}

static void a_set_of_several_fields_is_a_rule_for_each_element(void **state)
{
	struct ruleset ruleset = {0};
	const struct rule *rule;

	(void)state;
	add_text(&ruleset, LIST(TABLE_OF("ip") CHAIN_OF("ip", "") RULE_OF("ip",
				   "{\"match\": {\"op\": \"==\", \"left\": " FIELDS
				   ", \"right\": {\"set\": [{\"concat\": "
				   "[\"192.0.2.80\", 80]}]}}}, {\"drop\": null}")));
	assert_int_equal(ruleset.tables[0].chains[0].rule_count, 1);
	rule = first(&ruleset);
	for (size_t i = 0; i < rule->match_count; i++)
		assert_int_not_equal(rule->matches[i].kind, MATCH_UNKNOWN);
	ruleset_free(&ruleset);
}

static void an_empty_map_matches_nothing(void **state)
{
	struct ruleset ruleset = {0};

	(void)state;
	add_text(&ruleset,
		LIST(TABLE_OF("ip") ",{\"map\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"m\", \"elem\": []}}" CHAIN_OF(
			"ip", "") RULE_OF("ip",
			"{\"vmap\": {\"key\": " FIELDS ", \"data\": \"@m\"}}")));
	assert_int_equal(first(&ruleset)->matches[0].kind, MATCH_ALWAYS);
	assert_true(first(&ruleset)->matches[0].negated);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_recipes_rules_are_read),
		cmocka_unit_test(a_rule_is_named_by_its_place),
		cmocka_unit_test(each_expression_has_its_match),
		cmocka_unit_test(types_of_icmpv6_have_names_and_numbers),
		cmocka_unit_test(a_port_needs_its_protocol_and_an_address_its_family),
		cmocka_unit_test(a_named_sets_elements_are_looked_up),
		cmocka_unit_test(one_set_serves_matches_of_several_kinds),
		cmocka_unit_test(required_members_are_checked),
		cmocka_unit_test(a_socket_that_is_not_transparent_is_still_a_socket),
		cmocka_unit_test(a_mark_is_computed_from_the_old_one),
		cmocka_unit_test(a_match_behind_a_statement_is_unknown),
		cmocka_unit_test(a_verdict_map_becomes_a_rule_for_each_element),
		cmocka_unit_test(what_is_unknown_is_kept),
		cmocka_unit_test(dormant_tables_and_other_families_are_skipped),
		cmocka_unit_test(what_iptables_save_printed_is_not_read_twice),
		cmocka_unit_test(tables_of_iptables_legacy_are_separate),
		cmocka_unit_test(what_iptables_save_leaves_out_is_taken_from_nft),
		cmocka_unit_test(other_json_than_nfts_is_refused),
		cmocka_unit_test(a_rule_of_an_unlisted_chain_is_refused),
		cmocka_unit_test(a_text_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(a_named_verdict_map_is_a_rule_for_each_element),
		cmocka_unit_test(a_set_of_several_fields_is_a_rule_for_each_element),
		cmocka_unit_test(an_empty_map_matches_nothing),
		cmocka_unit_test(links_of_ingress_come_from_the_text_where_json_lacks_them),
		cmocka_unit_test(tables_for_arp_and_bridges_are_noted_if_they_drop),
	};

	return cmocka_run_group_tests_name("nftables", tests, NULL, NULL);
}
