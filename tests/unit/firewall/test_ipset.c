/*
 * Sets of ipset: what `ipset save` prints, and the rules of iptables that ask them.
 */
#include "firewall/trace.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ruleset ruleset;

static void rules(const char *lines, int family)
{
	char text[2048], *problem = NULL;

	ruleset_free(&ruleset);
	snprintf(text, sizeof(text), "*filter\n:INPUT ACCEPT [0:0]\n%sCOMMIT\n", lines);
	if (ruleset_parse_iptables(&ruleset, TOOL_LEGACY, family, text, &problem) == -1)
		fail_msg("%s", problem);
}

static void sets(const char *text)
{
	char *problem = NULL;

	if (ruleset_parse_ipset(&ruleset, text, &problem) == -1)
		fail_msg("%s", problem);
}

/* What becomes of a connection from 198.51.100.10 (or 2001:db8:c::10) to port 80 of the VIP. */
static struct trace traced(int family)
{
	struct packet packet = {.protocol = IPPROTO_TCP, .ct = CT_NEW};

	assert_true(addr_parse(
		&packet.source, family == AF_INET6 ? "2001:db8:c::10" : "198.51.100.10"));
	assert_true(addr_parse(
		&packet.destination, family == AF_INET6 ? "2001:db8:f::80" : "192.0.2.80"));
	addr_set_port(&packet.source, 40000);
	addr_set_port(&packet.destination, 80);
	return trace_packet(&ruleset, HOOK_INPUT, &packet);
}

enum fate {
	PASSES,
	DROPPED,
	UNSURE
};

static void assert_fate(int family, enum fate expected)
{
	struct trace trace = traced(family);
	enum fate fate = trace.dropped ? DROPPED : trace.unsure != NULL ? UNSURE : PASSES;

	assert_int_equal(fate, expected);
}

#define ADDRESSES                                                                                  \
	"create bad hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x2cb30f9c\n"

static void a_set_that_was_not_read_leaves_it_unknown(void **state)
{
	(void)state;
	rules("", AF_INET);
	assert_false(ruleset_asks_sets(&ruleset));
	rules("-A INPUT -m set --match-set bad src -j DROP\n", AF_INET);
	assert_true(ruleset_asks_sets(&ruleset));
	assert_fate(AF_INET, UNSURE);
	sets("create other hash:ip family inet\n");
	assert_fate(AF_INET, UNSURE);
}

static void addresses_are_in_a_set_or_not(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set bad src -j DROP\n", AF_INET);
	sets(ADDRESSES
		"add bad 198.51.100.9\nadd bad 198.51.100.11 timeout 59 packets 0 bytes 0\n");
	assert_false(ruleset_asks_sets(&ruleset));
	assert_fate(AF_INET, PASSES);
	rules("-A INPUT -m set --match-set bad src -j DROP\n", AF_INET);
	sets(ADDRESSES "add bad 198.51.100.9\nadd bad 198.51.100.10\n");
	assert_fate(AF_INET, DROPPED);
	rules("-A INPUT -m set ! --match-set bad src -j DROP\n", AF_INET);
	sets(ADDRESSES "add bad 198.51.100.10\n");
	assert_fate(AF_INET, PASSES);
	rules("-A INPUT -m set --match-set bad dst -j DROP\n", AF_INET);
	sets(ADDRESSES "add bad 192.0.2.80\n");
	assert_fate(AF_INET, DROPPED);
	rules("-A INPUT -m set ! --match-set bad dst -j DROP\n", AF_INET);
	sets(ADDRESSES);
	assert_fate(AF_INET, DROPPED);
}

static void networks_are_ranges(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set nets src -j DROP\n", AF_INET6);
	sets("create nets hash:net family inet6\nadd nets 2001:db8:c::/64 comment \"nomatch , here\"\n");
	assert_fate(AF_INET6, DROPPED);
	rules("-A INPUT -m set --match-set nets src -j DROP\n", AF_INET6);
	sets("create nets hash:ip family inet6 hashsize 1024 maxelem 65536 netmask 64 bucketsize 12\n"
	     "add nets 2001:db8:c::\n");
	assert_fate(AF_INET6, DROPPED);
	rules("-A INPUT -m set --match-set nets src -j DROP\n", AF_INET6);
	sets("create nets hash:net family inet6\nadd nets 2001:db8:d::/64\n");
	assert_fate(AF_INET6, PASSES);
	rules("-A INPUT -m set --match-set nets src -j DROP\n", AF_INET);
	sets("create nets hash:net,net family inet netmask 24\nadd nets 203.0.113.64/28,0.0.0.0/0\n");
	assert_fate(AF_INET, UNSURE);
}

static void ports_are_numbers(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set ports dst -j DROP\n", AF_INET);
	sets("create ports bitmap:port range 0-1024\nadd ports 80\n");
	assert_fate(AF_INET, DROPPED);
	rules("-A INPUT -m set --match-set ports dst -j DROP\n", AF_INET);
	sets("create ports bitmap:port range 0-1024\nadd ports 81\n");
	assert_fate(AF_INET, PASSES);
}

/* Where no element has the address, the rule does not apply, whatever the other fields are. */
static void of_several_fields_the_first_rules_out(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set vips dst,dst -j DROP\n", AF_INET);
	sets("create vips hash:ip,port family inet\nadd vips 192.0.2.81,tcp:80\n");
	assert_fate(AF_INET, PASSES);
	rules("-A INPUT -m set --match-set vips dst,dst -j DROP\n", AF_INET);
	sets("create vips hash:ip,port family inet\nadd vips 192.0.2.80,tcp:80\n");
	assert_fate(AF_INET, UNSURE);
	rules("-A INPUT -m set ! --match-set vips dst,dst -j DROP\n", AF_INET);
	sets("create vips hash:ip,port family inet\nadd vips 192.0.2.81,tcp:80\n");
	assert_fate(AF_INET, UNSURE);
}

static void an_exception_leaves_its_network_unknown(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set nets src -j DROP\n", AF_INET);
	sets("create nets hash:net family inet\nadd nets 198.51.100.0/24\nadd nets 198.51.100.10 nomatch\n");
	assert_fate(AF_INET, UNSURE);
	rules("-A INPUT -m set --match-set nets src -j DROP\n", AF_INET);
	sets("create nets hash:net family inet\nadd nets 203.0.113.0/24\nadd nets 203.0.113.10 nomatch\n");
	assert_fate(AF_INET, PASSES);
}

static void what_is_no_list_of_addresses_stays_unknown(void **state)
{
	static const char *const texts[] = {"create bad list:set size 8\nadd bad other\n",
		"create bad hash:mac\nadd bad 02:00:00:00:00:01\n",
		"create bad hash:ip family inet bitmask 255.255.0.255\nadd bad 198.51.0.9\n",
		"create bad hash:ip family inet\nadd bad something\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		rules("-A INPUT -m set --match-set bad src -j DROP\n", AF_INET);
		sets(texts[i]);
		assert_fate(AF_INET, UNSURE);
	}
}

/* Whether the packet is in it depends on the packets before. */
static void a_set_that_rules_change_stays_unknown(void **state)
{
	(void)state;
	rules("-A INPUT -p tcp -m tcp --dport 7 -j SET --add-set bad src\n"
	      "-A INPUT -m set --match-set bad src -j DROP\n",
		AF_INET);
	sets(ADDRESSES);
	assert_fate(AF_INET, UNSURE);
}

static void a_text_that_is_something_else_is_refused(void **state)
{
	static const char *const texts[] = {"add bad 198.51.100.10\n", ADDRESSES "remove bad\n",
		ADDRESSES "add bad 198.51.100.1",
		ADDRESSES "add bad 192.0.2.1 comment \"a\nadd bad 198.51.100.10 b\"\n", "create\n",
		ADDRESSES ADDRESSES, "create bad\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *problem = NULL;

		rules("-A INPUT -m set --match-set bad src -j DROP\n", AF_INET);
		assert_int_equal(ruleset_parse_ipset(&ruleset, texts[i], &problem), -1);
		assert_non_null(strstr(problem, "line "));
		free(problem);
		assert_fate(AF_INET, UNSURE);
	}
}

/* Options of the match itself change what it asks: exceptions match, or an element that has counted enough. */
static void options_of_the_match_leave_it_unknown(void **state)
{
	static const char *const matches[] = {"--match-set nets src --return-nomatch",
		"! --match-set nets src --packets-gt 5",
		"! --match-set nets src ! --update-counters --bytes-lt 5"};

	(void)state;
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		char line[256];

		snprintf(line, sizeof(line), "-A INPUT -m set %s -j DROP\n", matches[i]);
		rules(line, AF_INET);
		sets("create nets hash:net family inet counters\nadd nets 203.0.113.0/24 packets 0 bytes 0\n"
		     "add nets 198.51.100.10 nomatch packets 0 bytes 0\n");
		assert_fate(AF_INET, UNSURE);
	}
	/* Without an exception, --packets-gt does not hold for what is not in the set; for what is, it may. */
	rules("-A INPUT -m set ! --match-set nets src --packets-gt 5 -j DROP\n", AF_INET);
	sets("create nets hash:net family inet counters\nadd nets 198.51.100.0/24 packets 9 bytes 9\n");
	assert_fate(AF_INET, UNSURE);
}

static void several_sets_are_asked_by_one_rule(void **state)
{
	static const char contents[] =
		"create vips hash:ip,port family inet\nadd vips 192.0.2.80,tcp:80\n" ADDRESSES
		"add bad 198.51.100.10\ncreate ports bitmap:port range 0-1024\nadd ports 80\n";

	(void)state;
	rules("-A INPUT -m set --match-set bad src -m set --match-set ports dst -j DROP\n",
		AF_INET);
	sets(contents);
	assert_fate(AF_INET, DROPPED);
	rules("-A INPUT -m set --match-set vips dst,dst -m set --match-set ports src -m set --match-set bad src -j DROP\n",
		AF_INET);
	sets(contents);
	assert_fate(AF_INET, PASSES);
	rules("-A INPUT -m set --match-set vips dst,dst -m set ! --match-set bad dst -m set --match-set bad src -j DROP\n",
		AF_INET);
	sets(contents);
	assert_fate(AF_INET, UNSURE);
}

/* As in the kernel, such a set has none of the packet's addresses. */
static void a_set_of_the_other_family_has_no_address(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set bad src -j DROP\n", AF_INET6);
	sets(ADDRESSES "add bad 198.51.100.10\n");
	assert_fate(AF_INET6, PASSES);
	rules("-A INPUT -m set ! --match-set bad src -j DROP\n", AF_INET6);
	sets(ADDRESSES "add bad 198.51.100.10\n");
	assert_fate(AF_INET6, DROPPED);
}

/* ipset does not quote names. One with a blank looks like a name and something else. */
static void a_name_with_a_blank_is_never_another_set(void **state)
{
	(void)state;
	rules("-A INPUT -m set --match-set \"bad one\" src -j DROP\n", AF_INET);
	sets(ADDRESSES "create bad1 one hash:ip family inet\nadd bad1 one 198.51.100.10\n");
	assert_fate(AF_INET, UNSURE);
	rules("-A INPUT -m set --match-set bad one -j DROP\n", AF_INET);
	sets(ADDRESSES);
	assert_fate(AF_INET, UNSURE);
}

static void a_text_that_is_cut_off_says_so(void **state)
{
	char *problem = NULL;

	(void)state;
	rules("", AF_INET);
	assert_int_equal(
		ruleset_parse_ipset(&ruleset, ADDRESSES "add bad 198.51.100.1", &problem), -1);
	assert_string_equal(problem, "line 2: it is cut off: add bad 198.51.100.1");
	free(problem);
}

/* 50,000 elements, and 1,000 rules that ask. */
static void a_large_set_takes_no_time(void **state)
{
	char *text = NULL, *lines = NULL, *problem = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	fputs("create bad hash:ip family inet\n", out);
	for (unsigned i = 0; i < 50000; i++)
		fprintf(out, "add bad 10.1.%u.%u timeout 9 comment \"x\"\n", i / 256, i % 256);
	fputs("add bad 198.51.100.10\n", out);
	fclose(out);
	out = open_memstream(&lines, &size);
	fputs("*filter\n:INPUT ACCEPT [0:0]\n", out);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(out, "-A INPUT -m set --match-set bad %s -j %s\n", i < 999 ? "dst" : "src",
			i < 999 ? "ACCEPT" : "DROP");
	fputs("COMMIT\n", out);
	fclose(out);
	ruleset_free(&ruleset);
	assert_int_equal(
		ruleset_parse_iptables(&ruleset, TOOL_LEGACY, AF_INET, lines, &problem), 0);
	sets(text);
	assert_fate(AF_INET, DROPPED);
	free(text);
	free(lines);
}

static int end(void **state)
{
	(void)state;
	ruleset_free(&ruleset);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_that_was_not_read_leaves_it_unknown),
		cmocka_unit_test(addresses_are_in_a_set_or_not),
		cmocka_unit_test(networks_are_ranges),
		cmocka_unit_test(ports_are_numbers),
		cmocka_unit_test(of_several_fields_the_first_rules_out),
		cmocka_unit_test(an_exception_leaves_its_network_unknown),
		cmocka_unit_test(what_is_no_list_of_addresses_stays_unknown),
		cmocka_unit_test(a_set_that_rules_change_stays_unknown),
		cmocka_unit_test(a_text_that_is_something_else_is_refused),
		cmocka_unit_test(options_of_the_match_leave_it_unknown),
		cmocka_unit_test(several_sets_are_asked_by_one_rule),
		cmocka_unit_test(a_set_of_the_other_family_has_no_address),
		cmocka_unit_test(a_name_with_a_blank_is_never_another_set),
		cmocka_unit_test(a_text_that_is_cut_off_says_so),
		cmocka_unit_test(a_large_set_takes_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
