/*
 * Rules of `nft -j list ruleset` as a model: matches, targets, sets and maps.
 */
#include "listings.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>

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

/* --- choices of several fields --- */

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
		cmocka_unit_test(a_socket_that_is_not_transparent_is_still_a_socket),
		cmocka_unit_test(a_mark_is_computed_from_the_old_one),
		cmocka_unit_test(a_match_behind_a_statement_is_unknown),
		cmocka_unit_test(a_verdict_map_becomes_a_rule_for_each_element),
		cmocka_unit_test(what_is_unknown_is_kept),
		cmocka_unit_test(a_named_verdict_map_is_a_rule_for_each_element),
		cmocka_unit_test(a_set_of_several_fields_is_a_rule_for_each_element),
		cmocka_unit_test(an_empty_map_matches_nothing),
	};

	return cmocka_run_group_tests_name("nftables", tests, NULL, NULL);
}
