/*
 * Which policy rule decides about a packet.
 */
#include "hoststate/policy.h"
#include "unit.h"

#include <netinet/in.h>

static struct network network;

static struct addr at(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	addr_set_port(&addr, port);
	return addr;
}

static void begin(const char *rules, const char *routes)
{
	assert_true(network_parse_family(&network, AF_INET, rules));
	assert_true(network_parse_family(&network, AF_INET, routes));
}

static int done(void **state)
{
	(void)state;
	network_free(&network);
	return 0;
}

/* The proxy's answer from a VIP to a client. */
static struct policy_flow answer(void)
{
	return (struct policy_flow){.from = at("192.0.2.80", 80),
		.to = at("198.51.100.10", 40000),
		.protocol = IPPROTO_TCP};
}

static void assert_decides(
	const struct policy_flow *flow, enum policy_result result, unsigned priority)
{
	struct policy_answer decided = policy_decide(&network, flow);

	assert_int_equal(decided.result, result);
	assert_non_null(decided.rule);
	assert_int_equal(decided.rule->priority, priority);
}

#define MAIN       "{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}"
#define CLIENT_NET "{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"}"

static void a_rule_is_chosen_by_all_that_a_packet_has(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[{\"priority\":61,\"src\":\"all\",\"ipproto\":\"ipproto-6\",\"sport\":80,\"action\":\"6\"}," MAIN
	      "]",
		"[" CLIENT_NET "]");
	assert_decides(&flow, POLICY_REFUSED, 61);
	addr_set_port(&flow.from, 81);
	assert_decides(&flow, POLICY_LINK, 32766);
	addr_set_port(&flow.from, 80);
	flow.protocol = IPPROTO_UDP;
	assert_decides(&flow, POLICY_LINK, 32766);
}

static void what_this_host_sends_comes_in_by_lo(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[{\"priority\":5,\"src\":\"192.0.2.0\",\"srclen\":24,\"iif\":\"lo\",\"action\":\"7\"}," MAIN
	      "]",
		"[" CLIENT_NET "]");
	assert_decides(&flow, POLICY_REFUSED, 5);
	flow.iif = "client0";
	assert_decides(&flow, POLICY_LINK, 32766);
}

static void not_inverts_the_whole_rule(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[{\"priority\":5,\"not\":null,\"src\":\"all\",\"fwmark\":\"0xca6c\",\"table\":\"7\"}," MAIN
	      "]",
		"[" CLIENT_NET ",{\"dst\":\"default\",\"dev\":\"wg0\",\"table\":\"7\"}]");
	assert_decides(&flow, POLICY_LINK, 5);
	flow.mark = 0xca6c;
	assert_decides(&flow, POLICY_LINK, 32766);
}

static void a_suppressed_route_and_a_throw_leave_it_to_the_next_rule(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[{\"priority\":4,\"src\":\"all\",\"table\":\"254\",\"suppress_prefixlen\":0},"
	      "{\"priority\":5,\"src\":\"all\",\"table\":\"7\"},{\"priority\":6,\"src\":\"all\",\"table\":\"8\"}]",
		"[{\"dst\":\"default\",\"dev\":\"server0\"},"
		"{\"type\":\"9\",\"dst\":\"198.51.100.0/24\",\"table\":\"7\"},"
		"{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"8\"}]");
	assert_decides(&flow, POLICY_LOCAL, 6);
}

static void goto_skips_rules_and_a_loop_ends(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[{\"priority\":4,\"src\":\"all\",\"goto\":6},{\"priority\":5,\"src\":\"all\",\"action\":\"6\"},"
	      "{\"priority\":6,\"src\":\"all\",\"nop\":null}," MAIN "]",
		"[" CLIENT_NET "]");
	assert_decides(&flow, POLICY_LINK, 32766);
}

static void the_longest_prefix_and_then_the_lowest_metric_decide(void **state)
{
	struct policy_flow flow = answer();
	struct policy_answer decided;

	(void)state;
	begin("[" MAIN "]",
		"[{\"dst\":\"default\",\"dev\":\"a\"},{\"dst\":\"198.51.100.0/24\",\"dev\":\"b\",\"metric\":9},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"c\",\"metric\":3}]");
	decided = policy_decide(&network, &flow);
	assert_string_equal(decided.route->link, "c");
}

static void a_rule_for_users_is_not_decided(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[{\"priority\":5,\"src\":\"all\",\"uid_start\":0,\"uid_end\":10,\"table\":\"7\"}," MAIN
	      "]",
		"[" CLIENT_NET "]");
	assert_decides(&flow, POLICY_UNKNOWN, 5);
}

static void without_a_route_no_rule_decides(void **state)
{
	struct policy_flow flow = answer();

	(void)state;
	begin("[" MAIN "]", "[{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]");
	assert_int_equal(policy_decide(&network, &flow).result, POLICY_NONE);
	assert_null(policy_decide(&network, &flow).rule);
}

#define WITH(name) cmocka_unit_test_teardown(name, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_rule_is_chosen_by_all_that_a_packet_has),
		WITH(what_this_host_sends_comes_in_by_lo),
		WITH(not_inverts_the_whole_rule),
		WITH(a_suppressed_route_and_a_throw_leave_it_to_the_next_rule),
		WITH(goto_skips_rules_and_a_loop_ends),
		WITH(the_longest_prefix_and_then_the_lowest_metric_decide),
		WITH(a_rule_for_users_is_not_decided),
		WITH(without_a_route_no_rule_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
