/*
 * iptables-save as a model: the fixtures, each option that is known, and text that is cut off.
 */
#include "firewall/ruleset.h"
#include "rulesets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ruleset parsed(const char *text)
{
	struct ruleset ruleset = {0};
	char *problem = NULL;

	if (ruleset_parse_iptables(&ruleset, TOOL_LEGACY, AF_INET, text, &problem) == -1)
		fail_msg("%s", problem);
	return ruleset;
}

static struct ruleset fixture(const char *name)
{
	char *text = ruleset_text(name);
	struct ruleset ruleset = parsed(text);

	free(text);
	return ruleset;
}

/* The one rule of a table, with a chain of the user's to jump to. */
static struct ruleset one_rule(const char *words)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:DIVERT - [0:0]\n-A PREROUTING %s\nCOMMIT\n",
		words);
	return parsed(text);
}

static const struct rule *first(const struct ruleset *ruleset)
{
	return &ruleset->tables[0].chains[0].rules[0];
}

static void assert_problem(const char *text, const char *expected)
{
	struct ruleset ruleset = {0};
	char *problem = NULL;

	assert_int_equal(
		ruleset_parse_iptables(&ruleset, TOOL_IPTABLES, AF_INET, text, &problem), -1);
	assert_string_equal(problem, expected);
	assert_int_equal(ruleset.table_count, 0);
	free(problem);
}

static void the_walkthroughs_rules_are_read(void **state)
{
	struct ruleset ruleset = fixture("walkthrough.iptables");
	const struct table *table = &ruleset.tables[0];
	const struct chain *divert = ruleset_chain(table, "DIVERT");
	const struct rule *rule = &ruleset_chain(table, "PREROUTING")->rules[0];

	(void)state;
	assert_string_equal(rule->text, "-A PREROUTING -p tcp -m socket -j DIVERT");
	assert_int_equal(rule->number, 1);
	assert_int_equal(rule->match_count, 2);
	assert_int_equal(rule->matches[0].number, IPPROTO_TCP);
	assert_int_equal(rule->matches[1].kind, MATCH_SOCKET);
	assert_true(rule->matches[1].no_wildcard_sockets);
	assert_false(rule->matches[1].transparent);
	assert_int_equal(rule->targets[0].kind, TARGET_JUMP);
	assert_int_equal(divert->hook, HOOK_NONE);
	assert_int_equal(divert->rules[0].targets[0].kind, TARGET_MARK);
	assert_int_equal(divert->rules[0].targets[0].number, 1);
	assert_int_equal(divert->rules[0].targets[0].mask, UINT32_MAX);
	assert_int_equal(divert->rules[1].number, 2);
	ruleset_free(&ruleset);
}

static void a_rule_is_found_where_it_stands(void **state)
{
	struct ruleset ruleset = fixture("docker.iptables"), other = fixture("ufw.iptables");
	const struct rule *rule = &ruleset_chain(&ruleset.tables[0], "FORWARD")->rules[0];
	const struct table *table;
	const struct chain *chain;

	(void)state;
	assert_true(ruleset_place(&ruleset, rule, &table, &chain));
	assert_string_equal(table->name, "filter");
	assert_string_equal(chain->name, "FORWARD");
	assert_false(ruleset_place(&other, rule, &table, &chain));
	ruleset_free(&ruleset);
	ruleset_free(&other);
}

static void tables_have_their_priorities_and_chains_their_policies(void **state)
{
	struct ruleset ruleset = fixture("docker.iptables");

	(void)state;
	for (size_t i = 0; i < ruleset.table_count; i++) {
		const struct table *table = &ruleset.tables[i];

		if (strcmp(table->name, "filter") == 0) {
			assert_true(ruleset_chain(table, "FORWARD")->drops);
			assert_false(ruleset_chain(table, "INPUT")->drops);
			continue;
		}
		assert_string_equal(table->name, "nat");
		assert_true(ruleset_chain(table, "PREROUTING")->nat);
		assert_int_equal(ruleset_chain(table, "PREROUTING")->priority, -100);
		assert_int_equal(ruleset_chain(table, "POSTROUTING")->priority, 100);
	}
	assert_int_equal(ruleset.table_count, 2);
	ruleset_free(&ruleset);
}

static void each_option_has_its_match(void **state)
{
	static const struct {
		const char *words;
		enum match_kind kind;
		bool negated;
		uint32_t number, mask;
	} cases[] = {
		{"-p udp", MATCH_PROTOCOL, false, IPPROTO_UDP, 0},
		{"! -p 47", MATCH_PROTOCOL, true, IPPROTO_GRE, 0},
		{"-m mark --mark 0x1/0xff", MATCH_MARK, false, 1, 0xff},
		{"-m mark ! --mark 0x1", MATCH_MARK, true, 1, UINT32_MAX},
		{"-m conntrack --ctstate RELATED,ESTABLISHED", MATCH_CT_STATE, false,
			CT_RELATED | CT_ESTABLISHED, 0},
		{"-m state ! --state NEW", MATCH_CT_STATE, true, CT_NEW, 0},
		{"-m addrtype --dst-type LOCAL", MATCH_TYPE, false, ADDRESS_LOCAL, 0},
		{"-m comment --comment \"-j \\\"it\\\" \\'\"", MATCH_ALWAYS, false, 0, 0},
		{"-f", MATCH_ALWAYS, true, 0, 0},
		{"-m rt --rt-type 0", MATCH_ALWAYS, true, 0, 0},
		{"-m rt ! --rt-type 0", MATCH_ALWAYS, true, 0, 0},
		{"-m tcp --syn", MATCH_TCP_FLAGS, false, 2, 0x17},
		{"-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", MATCH_TCP_FLAGS, true, 2, 0x17},
		{"-m tcp --tcp-flags ALL NONE", MATCH_TCP_FLAGS, false, 0, 0x3f},
		{"-m addrtype ! --src-type LOCAL", MATCH_TYPE, true, ADDRESS_LOCAL,
			ROUTE_TO_SOURCE},
		{"-m addrtype --dst-type LOCAL --limit-iface-in", MATCH_TYPE, false, ADDRESS_LOCAL,
			ROUTE_ON_LINK_IN},
		{"-m addrtype --dst-type THROW", MATCH_UNKNOWN, false, 0, 0},
		{"-m rpfilter --validmark --invert", MATCH_ROUTE, true, 0,
			ROUTE_TO_SOURCE | ROUTE_ON_LINK_IN | ROUTE_BY_MARK},
		{"-m connmark --mark 0x1/0x3", MATCH_CT_MARK, false, 1, 3},
		{"-m limit --limit 10/sec", MATCH_LIMIT, false, 600, 0},
		{"-m limit --limit 3/min --limit-burst 10", MATCH_LIMIT, false, 3, 0},
		{"-m conntrack --ctstate DNAT", MATCH_CT_STATE, false, CT_CHANGED, 0},
		{"-d 192.0.2.0/255.255.0.255", MATCH_UNKNOWN, false, 0, 0},
		{"-m owner --gid-owner 0", MATCH_UNKNOWN, false, 0, 0},
		{"-m owner ! --uid-owner 1000-2000", MATCH_UID, true, 1000, 2000},
		{"-m owner --uid-owner proxy", MATCH_UNKNOWN, false, 0, 0},
		{"-m statistic --mode nth --every 2 --packet 0", MATCH_LIMIT, true, 0, 0},
		{"-m connlimit --connlimit-upto 9 --connlimit-mask 32 --connlimit-saddr",
			MATCH_LIMIT, false, UINT32_MAX, 0},
		{"-m hashlimit --hashlimit-above 2/min --hashlimit-name x", MATCH_LIMIT, true, 2,
			0},
		{"-m sctp --dport 80", MATCH_UNKNOWN, false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ruleset ruleset = one_rule(cases[i].words);
		const struct match *match = &first(&ruleset)->matches[0];

		assert_true(first(&ruleset)->match_count == 1 || match->kind == MATCH_LIMIT);
		assert_int_equal(match->kind, cases[i].kind);
		assert_int_equal(match->negated, cases[i].negated);
		assert_int_equal(match->number, cases[i].number);
		assert_int_equal(match->mask, cases[i].mask);
		ruleset_free(&ruleset);
	}
}

static void assert_ranges(const char *words, enum match_kind kind, const char *expected)
{
	struct ruleset ruleset = one_rule(words);
	const struct rule *rule = first(&ruleset);
	const struct match *match = &rule->matches[rule->match_count - 1];
	char text[512] = "", from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];

	assert_int_equal(match->kind, kind);
	for (size_t i = 0; i < match->range_count; i++) {
		const struct range *range = &match->ranges[i];
		size_t length = strlen(text);

		if (addr_family(&range->first) == AF_UNSPEC)
			snprintf(text + length, sizeof(text) - length, " %u-%u",
				addr_port(&range->first), addr_port(&range->last));
		else
			snprintf(text + length, sizeof(text) - length, " %s-%s",
				addr_format_ip(&range->first, from),
				addr_format_ip(&range->last, to));
	}
	assert_string_equal(text, expected);
	ruleset_free(&ruleset);
}

static void addresses_and_ports_are_ranges(void **state)
{
	(void)state;
	assert_ranges("-s 192.0.2.80/32", MATCH_SOURCE, " 192.0.2.80-192.0.2.80");
	assert_ranges("-d 192.0.2.0/25", MATCH_DESTINATION, " 192.0.2.0-192.0.2.127");
	assert_ranges("-d 192.0.2.0/255.255.255.128", MATCH_DESTINATION, " 192.0.2.0-192.0.2.127");
	assert_ranges("-d 2001:db8::/33", MATCH_DESTINATION,
		" 2001:db8::-2001:db8:7fff:ffff:ffff:ffff:ffff:ffff");
	assert_ranges("-s 0.0.0.0/0", MATCH_SOURCE, " 0.0.0.0-255.255.255.255");
	assert_ranges(
		"-m iprange --src-range 192.0.2.1-192.0.2.7", MATCH_SOURCE, " 192.0.2.1-192.0.2.7");
	assert_ranges("-p tcp -m tcp --dport 80", MATCH_DESTINATION_PORT, " 80-80");
	assert_ranges("-p tcp --dport 80", MATCH_DESTINATION_PORT, " 80-80");
	assert_ranges("-p ipv6-icmp -m icmp6 --icmpv6-type 135", MATCH_ICMP_TYPE, " 135-135");
	assert_ranges("-p ipv6-icmp -m icmp6 --icmpv6-type 1/4", MATCH_UNKNOWN, "");
	assert_ranges("-m hl --hl-eq 255", MATCH_HOP_LIMIT, " 255-255");
	assert_ranges("-m hl --hl-gt 254", MATCH_UNKNOWN, "");
	assert_ranges("-p tcp -m tcp --sport 1024:", MATCH_SOURCE_PORT, " 1024-65535");
	assert_ranges("-p udp -m multiport --dports 80,443,8000:8010", MATCH_DESTINATION_PORT,
		" 80-80 443-443 8000-8010");
	assert_ranges("-p udp -m multiport --dports 80,443,80000", MATCH_UNKNOWN, "");
	assert_ranges("-p udp -m multiport --dports 85:100,10,80:90,95", MATCH_DESTINATION_PORT,
		" 10-10 80-100");
	assert_ranges("-m iprange --src-range 192.0.2.1-2001:db8::1", MATCH_UNKNOWN, "");
}

static void the_socket_matchs_options_say_which_sockets(void **state)
{
	struct ruleset ruleset = one_rule("-m socket --transparent --nowildcard -j DIVERT");
	struct ruleset restoring = one_rule("-m socket --restore-skmark");

	(void)state;
	assert_true(first(&ruleset)->matches[0].transparent);
	assert_false(first(&ruleset)->matches[0].no_wildcard_sockets);
	assert_int_equal(first(&restoring)->targets[0].kind, TARGET_UNKNOWN);
	ruleset_free(&ruleset);
	ruleset_free(&restoring);
}

static void an_unknown_match_keeps_its_text(void **state)
{
	struct ruleset ruleset =
		one_rule("-p tcp -m string --string \"a b\" --algo bm -m tcp --dport 80 -j DROP");
	const struct rule *rule = first(&ruleset);

	(void)state;
	assert_int_equal(rule->match_count, 3);
	assert_string_equal(rule->matches[1].text, "-m string --string a b --algo bm");
	assert_int_equal(rule->matches[2].kind, MATCH_DESTINATION_PORT);
	assert_int_equal(rule->targets[0].kind, TARGET_DROP);
	ruleset_free(&ruleset);
}

static void each_target_has_its_kind(void **state)
{
	static const struct {
		const char *words;
		enum target_kind kind;
		uint32_t number, mask;
	} cases[] = {
		{"-j ACCEPT", TARGET_ACCEPT, 0, 0},
		{"-j REJECT --reject-with icmp-port-unreachable", TARGET_DROP, 0, 0},
		{"-j RETURN", TARGET_RETURN, 0, 0},
		{"-j DIVERT", TARGET_JUMP, 0, 0},
		{"-g DIVERT", TARGET_GOTO, 0, 0},
		{"-j MARK --set-xmark 0x1/0xff", TARGET_MARK, 1, 0xff},
		{"-j MARK --set-mark 0x10/0x1", TARGET_MARK, 0x10, 0x11},
		{"-j MARK --or-mark 0x10", TARGET_MARK, 0x10, 0x10},
		{"-j MARK --and-mark 0xff", TARGET_MARK, 0, 0xffffff00},
		{"-j MARK --xor-mark 0x10", TARGET_MARK, 0x10, 0},
		{"-j TPROXY --on-port 80 --on-ip 192.0.2.80 --tproxy-mark 0x1/0x3", TARGET_TPROXY,
			1, 3},
		{"-j TPROXY --on-port 80", TARGET_TPROXY, 0, 0},
		{"-j SNAT --to-source 192.0.2.1", TARGET_NAT_SOURCE, 0, 0},
		{"-j REDIRECT --to-ports 3128", TARGET_NAT_DESTINATION, 0, 0},
		{"-j NETMAP --to 192.0.2.0/24", TARGET_NAT_DESTINATION, 0, 0},
		{"-j CONNMARK --restore-mark --nfmask 0x1 --ctmask 0x3", TARGET_CT_MARK_RESTORE, 1,
			3},
		{"-j CONNMARK --save-mark", TARGET_CT_MARK_SAVE, UINT32_MAX, UINT32_MAX},
		{"-j CONNMARK --set-xmark 0x1/0xff", TARGET_CT_MARK, 1, 0xff},
		{"-j CONNMARK --frob", TARGET_UNKNOWN, 0, 0},
		{"-j CT --notrack", TARGET_NOTRACK, 0, 0},
		{"-j CT --zone 1", TARGET_NONE, 0, 0},
		{"-j NOTRACK", TARGET_NOTRACK, 0, 0},
		{"-j LOG --log-prefix \"[UFW BLOCK] \"", TARGET_NONE, 0, 0},
		{"-j NFQUEUE --queue-num 1", TARGET_UNKNOWN, 0, 0},
		{"-j MARK --frob 1", TARGET_UNKNOWN, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ruleset ruleset = one_rule(cases[i].words);
		const struct target *target = &first(&ruleset)->targets[0];

		assert_int_equal(first(&ruleset)->target_count, 1);
		assert_int_equal(target->kind, cases[i].kind);
		if (target->kind != TARGET_UNKNOWN) {
			assert_int_equal(target->number, cases[i].number);
			assert_int_equal(target->mask, cases[i].mask);
		}
		ruleset_free(&ruleset);
	}
}

static void counters_are_not_part_of_a_rules_text(void **state)
{
	struct ruleset ruleset = parsed("*raw\n:PREROUTING ACCEPT [3:180]\n"
					"[12:3456] -A PREROUTING -i lo -j ACCEPT\nCOMMIT\n");

	(void)state;
	assert_string_equal(first(&ruleset)->text, "-A PREROUTING -i lo -j ACCEPT");
	assert_int_equal(ruleset.tables[0].chains[0].priority, -300);
	ruleset_free(&ruleset);
}

static void a_wrong_line_is_named(void **state)
{
	(void)state;
	assert_problem("*mangle\n", "line 1: the text ends before the table's COMMIT: 'mangle'");
	assert_problem("*frob\n", "line 1: unknown table: 'frob'");
	assert_problem("*raw\n*nat\n", "line 2: the previous table has no COMMIT: 'nat'");
	assert_problem("COMMIT\n", "line 1: not a line of iptables-save: 'COMMIT'");
	assert_problem("*raw\n:FROB ACCEPT [0:0]\nCOMMIT\n",
		"line 2: no built-in chain has that name: 'FROB'");
	assert_problem("*raw\n:OUTPUT REJECT [0:0]\nCOMMIT\n", "line 2: unknown policy: 'REJECT'");
	assert_problem("*raw\n:X - [0:0]\n:X - [0:0]\nCOMMIT\n",
		"line 3: the chain was listed before: 'X'");
	assert_problem("*raw\n-A X -j DROP\nCOMMIT\n",
		"line 2: the chain of a rule is not listed: '-A X -j DROP'");
	assert_problem(
		"*raw\n:X - [0:0]\n-A X -j\nCOMMIT\n", "line 3: -j or -g has no target: '-A X -j'");
	assert_problem(
		"*raw\n:X - [0:0]\n-A X -s\nCOMMIT\n", "line 3: an option has no value: '-A X -s'");
	assert_problem(
		"*raw\n:X - [0:0]\n-A X frob\nCOMMIT\n", "line 3: expected an option: '-A X frob'");
	assert_problem("*raw\n:X - [0:0]\n-A X -m comment --comment \"a\nCOMMIT\n",
		"line 3: a quote is not closed: '-A X -m comment --comment \"a'");
	assert_problem("*raw\n:X - [0:0]\n-A X !\nCOMMIT\n", "line 3: ! has no option: '-A X !'");
	assert_problem("*raw\n:X - [0:0]\n-A X -m comment --comment \"a\"b\nCOMMIT\n",
		"line 3: a quote is not closed: '-A X -m comment --comment \"a\"b'");
	assert_problem(
		"*raw\nCOMMIT\n*raw\nCOMMIT\n", "line 3: the table was listed before: 'raw'");
	assert_problem("iptables: no such thing\n",
		"line 1: not a line of iptables-save: 'iptables: no such thing'");
}

static void an_error_leaves_the_rule_set_unchanged(void **state)
{
	struct ruleset ruleset = fixture("walkthrough.iptables");
	char *problem = NULL;

	(void)state;
	assert_int_equal(ruleset_parse_iptables(&ruleset, TOOL_LEGACY, AF_INET,
				 "*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\n", &problem),
		-1);
	assert_int_equal(ruleset.table_count, 1);
	free(problem);
	ruleset_free(&ruleset);
}

static void an_incompatible_table_is_skipped(void **state)
{
	struct ruleset ruleset = fixture("incompatible.iptables");

	(void)state;
	assert_int_equal(ruleset.table_count, 0);
	ruleset_free(&ruleset);
}

static size_t rules_of(const struct table *table)
{
	size_t count = 0;

	for (size_t i = 0; i < table->chain_count; i++)
		count += table->chains[i].rule_count;
	return count;
}

/* What is left of a text is refused, or gives the tables that are complete in it. */
static void assert_prefix(const char *text, const struct ruleset *whole)
{
	struct ruleset ruleset = {0};
	char *problem = NULL;

	if (ruleset_parse_iptables(&ruleset, TOOL_LEGACY, AF_INET, text, &problem) == -1) {
		assert_non_null(problem);
		assert_int_equal(ruleset.table_count, 0);
		free(problem);
		return;
	}
	assert_true(ruleset.table_count <= whole->table_count);
	for (size_t i = 0; i < ruleset.table_count; i++) {
		assert_string_equal(ruleset.tables[i].name, whole->tables[i].name);
		assert_int_equal(rules_of(&ruleset.tables[i]), rules_of(&whole->tables[i]));
	}
	ruleset_free(&ruleset);
}

static void a_text_that_is_cut_anywhere_is_refused_or_gives_whole_tables(void **state)
{
	static const char *const names[] = {"walkthrough.iptables", "tproxy.iptables",
		"tproxy.ip6tables", "docker.iptables", "wg-quick.iptables", "ufw.iptables",
		"tainted.iptables", "incompatible.iptables"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *text = ruleset_text(names[i]);
		struct ruleset whole = parsed(text);

		for (size_t length = strlen(text); length > 0; length--) {
			text[length] = '\0';
			assert_prefix(text, &whole);
		}
		ruleset_free(&whole);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_walkthroughs_rules_are_read),
		cmocka_unit_test(a_rule_is_found_where_it_stands),
		cmocka_unit_test(tables_have_their_priorities_and_chains_their_policies),
		cmocka_unit_test(each_option_has_its_match),
		cmocka_unit_test(addresses_and_ports_are_ranges),
		cmocka_unit_test(the_socket_matchs_options_say_which_sockets),
		cmocka_unit_test(an_unknown_match_keeps_its_text),
		cmocka_unit_test(each_target_has_its_kind),
		cmocka_unit_test(counters_are_not_part_of_a_rules_text),
		cmocka_unit_test(a_wrong_line_is_named),
		cmocka_unit_test(an_error_leaves_the_rule_set_unchanged),
		cmocka_unit_test(an_incompatible_table_is_skipped),
		cmocka_unit_test(a_text_that_is_cut_anywhere_is_refused_or_gives_whole_tables),
	};

	return cmocka_run_group_tests_name("xtables", tests, NULL, NULL);
}
