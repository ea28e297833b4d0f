/*
 * The checklist on routing: policy rules and routes for the mark, and routes to the servers.
 */
#include "routes.h"

#include <stdio.h>
#include <string.h>

/* --- the rule and the route of the mark --- */

static void a_mark_without_a_rule_is_reported_once(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.policy[FOUR] = "[" LOCAL_RULE MAIN_RULE "]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
	assert_int_equal(found_count(CHECK_IP_RULE, CHECK_MISSING), 1);
	finding = found_about(CHECK_IP_RULE, CHECK_MISSING, "IPv4");
	assert_reads(finding, "`ip -4 rule` has no rule for mark 0x1");
	assert_fixed_by_ip_rule(finding, 4, "fwmark 0x1 lookup 100");
}

static void the_rule_leads_to_the_table_that_delivers_locally(void **state)
{
	(void)state;
	host_serves_ipv6();
	host.policy[SIX] = "[" LOCAL_RULE MAIN_RULE "]";
	host.routes[SIX] = "[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"7\"},"
			   "{\"dst\":\"2001:db8:c::/64\",\"dev\":\"client0\"},"
			   "{\"dst\":\"2001:db8:5::/64\",\"dev\":\"server0\"}]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
	assert_fixed_by_ip_rule(
		found_about(CHECK_IP_RULE, CHECK_MISSING, "IPv6"), 6, "fwmark 0x1 lookup 7");
}

static void a_rule_of_the_other_family_does_not_count(void **state)
{
	(void)state;
	host_serves_ipv6();
	host.policy[SIX] = "[" LOCAL_RULE MAIN_RULE "]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
	found_about(CHECK_IP_RULE, CHECK_MISSING, "IPv6");
}

static void a_rule_for_all_but_the_mark_does_not_count(void **state)
{
	(void)state;
	host.policy[FOUR] = "[" LOCAL_RULE "{\"priority\":9,\"not\":null,\"fwmark\":\"0x1\","
			    "\"table\":\"254\"}," MAIN_RULE "]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
}

static void a_table_without_a_local_route_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.routes[FOUR] = "[" WAYS "]";
	host_judged();
	assert_alone(CHECK_IP_ROUTE, CHECK_MISSING);
	assert_int_equal(found_count(CHECK_IP_ROUTE, CHECK_MISSING), 1);
	finding = found_about(CHECK_IP_ROUTE, CHECK_MISSING, "IPv4");
	assert_reads(finding, "table 100 has no `local` route that covers the proxy's packets");
	assert_fixed_by(finding, "ip -4 route replace local 0.0.0.0/0 dev lo table 100",
		"ip -4 route del local 0.0.0.0/0 dev lo table 100");
}

static void a_table_of_ipv6_gets_a_route_of_ipv6(void **state)
{
	(void)state;
	host_serves_ipv6();
	host.routes[SIX] = "[{\"dst\":\"2001:db8:c::/64\",\"dev\":\"client0\"},"
			   "{\"dst\":\"2001:db8:5::/64\",\"dev\":\"server0\"}]";
	host_judged();
	assert_alone(CHECK_IP_ROUTE, CHECK_MISSING);
	assert_fixed_by(found_about(CHECK_IP_ROUTE, CHECK_MISSING, "IPv6"),
		"ip -6 route replace local ::/0 dev lo table 100",
		"ip -6 route del local ::/0 dev lo table 100");
}

static void a_route_that_is_not_local_does_not_count(void **state)
{
	(void)state;
	host.routes[FOUR] = "[{\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"}," WAYS "]";
	host_judged();
	assert_alone(CHECK_IP_ROUTE, CHECK_MISSING);
}

static void a_local_route_has_to_cover_the_clients_address_too(void **state)
{
	(void)state;
	host.routes[FOUR] = "[{\"type\":\"2\",\"dst\":\"192.0.2.0/24\",\"dev\":\"lo\",\"table\":"
			    "\"100\"}," WAYS "]";
	host_judged();
	assert_alone(CHECK_IP_ROUTE, CHECK_MISSING);
	found_about(CHECK_DIVERT, CHECK_OK, PACKETS4);
}

static void a_rule_of_a_lower_priority_may_decide_instead(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.policy[FOUR] =
		"[" LOCAL_RULE "{\"priority\":50,\"table\":\"7\"},"
		"{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"}," MAIN_RULE "]";
	host.routes[FOUR] = "[" COVERS_ALL
			    "{\"dst\":\"default\",\"dev\":\"server0\",\"table\":\"7\"}," WAYS "]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_HARMFUL);
	finding = found_about(CHECK_IP_RULE, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding,
		"the rule for mark 0x1 has priority 100, but another rule decides first: `pref 50 lookup 7`");
	assert_fixed_by_ip_rule(finding, 4, "pref 1 fwmark 0x1 lookup 100");
}

static void a_rule_that_decides_nothing_for_it_may_come_first(void **state)
{
	(void)state;
	host.policy[FOUR] =
		"[" LOCAL_RULE "{\"priority\":50,\"table\":\"7\"},"
		"{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"}," MAIN_RULE "]";
	host_judged();
	assert_well();
}

static void a_rule_that_comes_late_is_reported_with_src_valid_mark_too(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_sysctl("net/ipv4/conf/all/accept_local", "1");
	a_rule_of_a_lower_priority_may_decide_instead(state);
}

static void where_nothing_is_set_up_all_of_it_is_missing(void **state)
{
	(void)state;
	host.policy[FOUR] = "[" LOCAL_RULE MAIN_RULE "]";
	host.routes[FOUR] = "[" WAYS "]";
	host.saved_count = 0;
	host_judged();
	assert_state(CHECK_DIVERT, CHECK_MISSING);
	assert_state(CHECK_IP_RULE, CHECK_MISSING);
	assert_state(CHECK_IP_ROUTE, CHECK_MISSING);
	assert_fixed_by_ip_rule(found(CHECK_IP_RULE, CHECK_MISSING), 4, "fwmark 0x1 lookup 100");
}

/* --- servers --- */

static void a_server_without_a_route_is_reported_with_the_kernels_error(void **state)
{
	const struct check_finding *finding;

	(void)state;
	service_add_server(&host.service, "192.0.2.9");
	host_judged();
	assert_alone(CHECK_SERVER_ROUTE, CHECK_MISSING);
	finding = found_about(CHECK_SERVER_ROUTE, CHECK_MISSING, "192.0.2.9");
	assert_reads(finding, "this host has no route to the server: Network is unreachable");
	assert_int_equal(finding->command_count, 0);
	assert_reads(found_about(CHECK_SERVER_ROUTE, CHECK_OK, SERVER4), "the route uses server0");
}

static void an_ipv4_server_has_no_source_for_ipv6_clients(void **state)
{
	(void)state;
	host_serves("[2001:db8:f::80]:80", SERVER4 ":80");
	host_rules(TOOL_IPTABLES, AF_INET6, MANGLE(DIVERT6));
	host_listens(VIP6, 80, IPPROTO_TCP);
	host_judged();
	assert_non_null(
		strstr(found_about(CHECK_SERVER_ROUTE, CHECK_MISSING, "[2001:db8:f::80]:80")->read,
			"no server has an IPv6 address"));
	host_serves("[::]:80", SERVER4 ":80");
	host_judged();
	found_about(CHECK_SERVER_ROUTE, CHECK_ADVICE, "[::]:80");
}

/* Its answers leave by the client's link. A rule for its address would keep its answers to all others, too. */
static void a_server_on_this_host_has_to_answer_to_the_proxy(void **state)
{
	(void)state;
	host_serves(VIP4 ":80", "203.0.113.1:80");
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_MISSING);
	assert_int_equal(found(CHECK_RETURN_PATH, CHECK_MISSING)->command_count, 0);
	found_about(CHECK_SERVER_ROUTE, CHECK_OK, "203.0.113.1");
	host.service.spoofs = false;
	host_judged();
	assert_state(CHECK_SERVER_ROUTE, CHECK_OK);
}

#define KEEPS_ALL                                                                                  \
	"[" LOCAL_RULE "{\"priority\":50,\"table\":\"100\"},"                                      \
	"{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"}," MAIN_RULE "]"

static void assert_kept(const char *server, const char *client, int version)
{
	const struct check_finding *finding;
	char run[200], undo[100];

	snprintf(run, sizeof(run),
		"[ -z \"$(ip -%d rule show pref 50 lookup 100)\" ] || ip -%d rule del pref 50 lookup 100",
		version, version);
	snprintf(undo, sizeof(undo), "ip -%d rule add pref 50 lookup 100", version);
	finding = found_about(CHECK_SERVER_ROUTE, CHECK_HARMFUL, server);
	assert_reads(finding,
		"`pref 50 lookup 100` keeps packets to the server on this host, which has no such address, and no program listens there");
	assert_fixed_by(finding, run, undo);
	finding = found_about(CHECK_IP_RULE, CHECK_HARMFUL, client);
	assert_reads(finding,
		"`pref 50 lookup 100` keeps packets to the client on this host, which has no such address");
	assert_fixed_by(finding, run, undo);
}

static void a_rule_for_all_packets_keeps_those_to_server_and_client_here(void **state)
{
	(void)state;
	host.policy[FOUR] = KEEPS_ALL;
	host_judged();
	assert_kept(SERVER4, CLIENT4, 4);
}

static void the_same_holds_for_ipv6(void **state)
{
	(void)state;
	host_serves_ipv6();
	host.policy[SIX] = KEEPS_ALL;
	host_judged();
	assert_kept(SERVER6, "2001:db8:c::a", 6);
}

static void a_program_at_the_servers_address_may_be_the_server(void **state)
{
	(void)state;
	host.policy[FOUR] =
		"[" LOCAL_RULE "{\"priority\":50,\"dst\":\"" SERVER4 "\",\"table\":\"100\"},"
		"{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"}," MAIN_RULE "]";
	host_serves(VIP4 ":80", SERVER4 ":8080");
	host_judged();
	assert_fixed_by(found_about(CHECK_SERVER_ROUTE, CHECK_HARMFUL, SERVER4),
		"[ -z \"$(ip -4 rule show pref 50 to " SERVER4
		"/32 lookup 100)\" ] || ip -4 rule del pref 50 to " SERVER4 "/32 lookup 100",
		"ip -4 rule add pref 50 to " SERVER4 "/32 lookup 100");
	host_listens(SERVER4, 8080, IPPROTO_TCP);
	host_judged();
	assert_reads(
		found_about(CHECK_SERVER_ROUTE, CHECK_OK, SERVER4), "the server is on this host");
}

/* The proxy's own listener is no server: the proxy would connect to itself. */
static void the_proxys_own_wildcard_listener_is_no_server(void **state)
{
	(void)state;
	host.policy[FOUR] = KEEPS_ALL;
	host_serves("0.0.0.0:80", SERVER4 ":80");
	host_listens("0.0.0.0", 80, IPPROTO_TCP);
	host_judged();
	found_about(CHECK_SERVER_ROUTE, CHECK_HARMFUL, SERVER4);
}

static void without_the_sockets_it_is_unknown_whether_the_server_is_here(void **state)
{
	(void)state;
	host.policy[FOUR] = KEEPS_ALL;
	host.snapshot.sockets_known = false;
	host.snapshot.sockets_problem = (char *)"cannot list sockets";
	host_judged();
	found_about(CHECK_SERVER_ROUTE, CHECK_UNKNOWN, SERVER4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_mark_without_a_rule_is_reported_once),
		WITH(the_rule_leads_to_the_table_that_delivers_locally),
		WITH(a_rule_of_the_other_family_does_not_count),
		WITH(a_rule_for_all_but_the_mark_does_not_count),
		WITH(a_table_without_a_local_route_is_reported),
		WITH(a_table_of_ipv6_gets_a_route_of_ipv6),
		WITH(a_route_that_is_not_local_does_not_count),
		WITH(a_local_route_has_to_cover_the_clients_address_too),
		WITH(a_rule_of_a_lower_priority_may_decide_instead),
		WITH(a_rule_that_decides_nothing_for_it_may_come_first),
		WITH(a_rule_that_comes_late_is_reported_with_src_valid_mark_too),
		WITH(where_nothing_is_set_up_all_of_it_is_missing),
		WITH(an_ipv4_server_has_no_source_for_ipv6_clients),
		WITH(a_server_without_a_route_is_reported_with_the_kernels_error),
		WITH(a_server_on_this_host_has_to_answer_to_the_proxy),
		WITH(a_rule_for_all_packets_keeps_those_to_server_and_client_here),
		WITH(the_same_holds_for_ipv6),
		WITH(a_program_at_the_servers_address_may_be_the_server),
		WITH(the_proxys_own_wildcard_listener_is_no_server),
		WITH(without_the_sockets_it_is_unknown_whether_the_server_is_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
