/*
 * The checklist on links: checks of sources, whether clients find the address, and sysctls that make no difference.
 */
#include "routes.h"

#include <stdio.h>
#include <string.h>

/* --- the checks of sources --- */

static void sources_that_count_as_local_are_refused(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host.refuses_sources = true;
	host_judged();
	assert_alone(CHECK_SRC_VALID_MARK, CHECK_HARMFUL);
	finding = found_about(CHECK_SRC_VALID_MARK, CHECK_HARMFUL, "client0");
	assert_reads(finding,
		"net.ipv4.conf.all.src_valid_mark is 1, but accept_local is 0 there and in `all`");
	assert_fixed_by(finding, "sysctl -w net.ipv4.conf.all.accept_local=1",
		"sysctl -w net.ipv4.conf.all.accept_local=0");
	found_about(CHECK_SRC_VALID_MARK, CHECK_HARMFUL, "server0");
}

static void on_one_link_the_command_is_for_that_link(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/conf/server0/src_valid_mark", "1");
	host_judged();
	assert_alone(CHECK_SRC_VALID_MARK, CHECK_HARMFUL);
	assert_int_equal(found_count(CHECK_SRC_VALID_MARK, CHECK_HARMFUL), 1);
	finding = found_about(CHECK_SRC_VALID_MARK, CHECK_HARMFUL, "server0");
	assert_fixed_by(finding, "sysctl -w net.ipv4.conf.server0.accept_local=1",
		"sysctl -w net.ipv4.conf.server0.accept_local=0");
	assert_reads(found_about(CHECK_SRC_VALID_MARK, CHECK_OK, "client0"), "src_valid_mark is 0");
}

static void accept_local_of_the_link_or_of_all_accepts_them(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_sysctl("net/ipv4/conf/client0/accept_local", "1");
	host_judged();
	assert_alone(CHECK_SRC_VALID_MARK, CHECK_HARMFUL);
	assert_int_equal(found_count(CHECK_SRC_VALID_MARK, CHECK_HARMFUL), 1);
	host_sysctl("net/ipv4/conf/all/accept_local", "1");
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_SRC_VALID_MARK, CHECK_OK, "server0"),
		"src_valid_mark is 1, and accept_local is on");
}

static void a_strict_filter_drops_what_accept_local_accepts(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_sysctl("net/ipv4/conf/all/accept_local", "1");
	host_sysctl("net/ipv4/conf/server0/rp_filter", "1");
	host_judged();
	assert_alone(CHECK_RP_FILTER, CHECK_HARMFUL);
	assert_int_equal(found_count(CHECK_RP_FILTER, CHECK_HARMFUL), 1);
	finding = found_about(CHECK_RP_FILTER, CHECK_HARMFUL, "server0");
	assert_reads(finding, "src_valid_mark is 1, and rp_filter is 1 (strict)");
	assert_fixed_by(finding, "sysctl -w net.ipv4.conf.server0.rp_filter=2",
		"sysctl -w net.ipv4.conf.server0.rp_filter=1");
}

static void the_larger_filter_counts(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_sysctl("net/ipv4/conf/all/accept_local", "1");
	host_sysctl("net/ipv4/conf/all/rp_filter", "1");
	host_sysctl("net/ipv4/conf/server0/rp_filter", "2");
	host_judged();
	assert_alone(CHECK_RP_FILTER, CHECK_HARMFUL);
	assert_fixed_by(found_about(CHECK_RP_FILTER, CHECK_HARMFUL, "client0"),
		"sysctl -w net.ipv4.conf.client0.rp_filter=2",
		"sysctl -w net.ipv4.conf.client0.rp_filter=0");
	assert_int_equal(found_count(CHECK_RP_FILTER, CHECK_HARMFUL), 1);
}

static void a_mark_whose_table_makes_no_source_local_does_no_harm(void **state)
{
	(void)state;
	host.service.spoofs = false;
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"192.0.2.80\",\"dev\":\"lo\",\"table\":\"100\"}," WAYS
		"]";
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_judged();
	assert_well();
}

/* The kernel asks for the way back from the client's address, so a rule about that decides before the mark does. */
static void a_rule_for_the_clients_address_decides_before_the_mark(void **state)
{
	(void)state;
	host.policy[FOUR] =
		"[" LOCAL_RULE "{\"priority\":10,\"src\":\"198.51.100.10\",\"table\":\"254\"},"
		"{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"}," MAIN_RULE "]";
	host_sysctl("net/ipv4/conf/server0/src_valid_mark", "1");
	host_judged();
	assert_reads(found_about(CHECK_SRC_VALID_MARK, CHECK_OK, "server0"),
		"src_valid_mark is 1, but with the mark sources do not count as local");
}

static void a_strict_filter_alone_does_no_harm(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/conf/all/rp_filter", "1");
	host_judged();
	assert_well();
}

static void ipv6_has_no_such_checks(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_sysctl("net/ipv4/conf/all/rp_filter", "1");
	host_judged();
	assert_well();
}

/* A client of the servers' network whose packets were seen on CAME_BY. */
static struct captured seen_from(const char *ip, const char *packet_link)
{
	struct captured seen = {.address = host_address(VIP4, 80),
		.protocol = IPPROTO_TCP,
		.packets = 1,
		.answers = 1,
		.from = host_address(ip, 4711)};

	snprintf(seen.packet_link, sizeof(seen.packet_link), "%s", packet_link);
	return seen;
}

static void judge_captured(struct captured *seen)
{
	host.snapshot.captured = seen;
	host.snapshot.captured_count = 1;
	host.snapshot.captured_known = true;
	host_judged();
}

static void a_strict_filter_drops_packets_on_another_link(void **state)
{
	struct captured seen = seen_from("203.0.113.7", "client0");
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/conf/client0/rp_filter", "1");
	judge_captured(&seen);
	assert_alone(CHECK_RP_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_RP_FILTER, CHECK_HARMFUL, "client0");
	assert_reads(finding,
		"rp_filter is 1 (strict), but the route back to clients that arrive here uses server0");
	assert_fixed_by(finding, "sysctl -w net.ipv4.conf.client0.rp_filter=2",
		"sysctl -w net.ipv4.conf.client0.rp_filter=1");
}

static void if_all_is_strict_the_command_is_for_all(void **state)
{
	struct captured seen = seen_from("192.0.2.200", "client0");
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/conf/all/rp_filter", "1");
	judge_captured(&seen);
	assert_alone(CHECK_RP_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_RP_FILTER, CHECK_HARMFUL, "client0");
	assert_non_null(strstr(finding->read, "uses no link"));
	assert_fixed_by(finding, "sysctl -w net.ipv4.conf.all.rp_filter=2",
		"sysctl -w net.ipv4.conf.all.rp_filter=1");
}

static void packets_on_another_link_pass_a_loose_filter(void **state)
{
	struct captured seen = seen_from("203.0.113.7", "client0");

	(void)state;
	judge_captured(&seen);
	assert_well();
	host_sysctl("net/ipv4/conf/all/rp_filter", "1");
	host_sysctl("net/ipv4/conf/client0/rp_filter", "2");
	judge_captured(&seen);
	assert_well();
}

static void a_strict_link_that_leads_back_to_no_client_is_a_risk(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/conf/client0/rp_filter", "1");
	host.service.client_count = 0;
	service_add_client(&host.service, "203.0.113.7");
	host_judged();
	assert_well();
	found_about(CHECK_RP_FILTER, CHECK_ADVICE, "client0");
}

static void a_strict_macvlan_with_the_vip_drops_clients(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.links =
		"[{\"ifname\":\"lo\",\"flags\":[\"UP\"]},"
		"{\"ifname\":\"client0\",\"flags\":[\"UP\"],\"address\":\"02:00:00:00:00:01\","
		"\"addr_info\":[{\"family\":\"inet\",\"local\":\"198.51.100.1\",\"prefixlen\":24}]},"
		"{\"ifname\":\"server0\",\"flags\":[\"UP\"],\"address\":\"02:00:00:00:00:02\","
		"\"addr_info\":[{\"family\":\"inet\",\"local\":\"203.0.113.1\",\"prefixlen\":24}]},"
		"{\"ifname\":\"vrrp.51\",\"flags\":[\"UP\"],\"address\":\"00:00:5e:00:01:33\","
		"\"linkinfo\":{\"info_kind\":\"macvlan\"},"
		"\"addr_info\":[{\"family\":\"inet\",\"local\":\"" VIP4 "\",\"prefixlen\":32}]}]";
	host.routes[FOUR] = "[" COVERS_ALL WAYS ",{\"type\":\"2\",\"dst\":\"" VIP4
			    "\",\"dev\":\"vrrp.51\",\"table\":\"255\"}]";
	host_judged();
	assert_well();
	host_sysctl("net/ipv4/conf/all/rp_filter", "1");
	host_judged();
	assert_alone(CHECK_RP_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_RP_FILTER, CHECK_HARMFUL, "vrrp.51");
	assert_int_equal(finding->command_count, 1);
	assert_string_equal(
		finding->commands[0].run, "sysctl -w net.ipv4.conf.vrrp/51.rp_filter=2");
}

static void packets_without_an_answer_are_reported_with_the_kernels_counters(void **state)
{
	struct captured seen = seen_from("198.51.100.7", "client0");
	const struct check_finding *finding;

	(void)state;
	seen.packets = 3;
	seen.answers = 0;
	host.snapshot.counters_moved = (char *)"ListenOverflows 3 (the listener's queue was full)";
	host.snapshot.drop_reasons = (char *)"SOCKET_FILTER 3";
	judge_captured(&seen);
	assert_alone(CHECK_LISTENER, CHECK_HARMFUL);
	finding = found_about(CHECK_LISTENER, CHECK_HARMFUL, VIP4 ":80");
	assert_non_null(strstr(finding->read,
		"The machine dropped packets meanwhile, those of containers included: SOCKET_FILTER 3"));
	assert_non_null(strstr(finding->read,
		"connection requests for it came in by client0 (3), and none was answered"));
	assert_non_null(strstr(finding->read, "ListenOverflows 3"));
}

static void without_a_packet_the_fault_lies_before_this_host(void **state)
{
	struct captured seen = {.address = host_address(VIP4, 80), .protocol = IPPROTO_TCP};

	(void)state;
	host.snapshot.captured_seconds = 5;
	judge_captured(&seen);
	assert_well();
	assert_reads(found(CHECK_ANNOUNCE, CHECK_UNKNOWN),
		"no packet for it arrived in 5 s: if a client tried, the fault lies before this host");
}

static void where_packets_were_lost_what_was_not_seen_is_unknown(void **state)
{
	struct captured nothing = {.address = host_address(VIP4, 80), .protocol = IPPROTO_TCP};
	struct captured seen = seen_from("198.51.100.7", "client0");

	(void)state;
	host.snapshot.captured_seconds = 5;
	host.snapshot.captured_lost = 700;
	judge_captured(&nothing);
	assert_well();
	assert_reads(found(CHECK_ANNOUNCE, CHECK_UNKNOWN),
		"no packet for it was seen in 5 s, but 700 packets came faster than they could be read");
	assert_true(check_is_unjudged(&host.report, CHECK_ANNOUNCE));
	seen.answers = 0;
	judge_captured(&seen);
	assert_well();
	assert_reads(found(CHECK_LISTENER, CHECK_UNKNOWN),
		"connection requests for it came in by client0 (1), and no answer was seen, but 700 packets came faster than they could be read");
	assert_true(check_is_unjudged(&host.report, CHECK_LISTENER));
}

static void packets_on_the_link_that_leads_back_pass_a_strict_filter(void **state)
{
	struct captured seen = seen_from("198.51.100.7", "client0");

	(void)state;
	host_sysctl("net/ipv4/conf/client0/rp_filter", "1");
	judge_captured(&seen);
	assert_well();
	assert_reads(
		found_about(CHECK_ANNOUNCE, CHECK_OK, VIP4), "packets for it arrive on client0");
}

/* --- whether clients find the address --- */

static void hosts_of_its_network_ask_who_has_the_address(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves("198.51.100.80:80", NULL);
	host_judged();
	assert_alone(CHECK_ANNOUNCE, CHECK_MISSING);
	finding = found_about(CHECK_ANNOUNCE, CHECK_MISSING, "198.51.100.80");
	assert_reads(finding,
		"the address is in the network of client0, but this host does not answer for it there");
	assert_fixed_by(finding, "ip -4 route replace local 198.51.100.80/32 dev lo",
		"ip -4 route del local 198.51.100.80/32 dev lo");
}

static void ipv6_answers_for_an_address_by_neighbour_proxy(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves("[2001:db8:c::80]:80", NULL);
	host_judged();
	assert_alone(CHECK_ANNOUNCE, CHECK_MISSING);
	finding = found_about(CHECK_ANNOUNCE, CHECK_MISSING, "2001:db8:c::80");
	assert_int_equal(finding->command_count, 3);
	assert_fix(finding, 0, ON_HOST, "sysctl -w net.ipv6.conf.all.forwarding=1",
		"sysctl -w net.ipv6.conf.all.forwarding=0");
	assert_fix(finding, 1, ON_HOST, "sysctl -w net.ipv6.conf.client0.proxy_ndp=1",
		"sysctl -w net.ipv6.conf.client0.proxy_ndp=0");
	assert_fix(finding, 2, ON_HOST, "ip -6 neigh replace proxy 2001:db8:c::80 dev client0",
		"ip -6 neigh del proxy 2001:db8:c::80 dev client0");
}

static void an_address_of_the_host_is_announced(void **state)
{
	(void)state;
	host_serves("198.51.100.1:80", NULL);
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_ANNOUNCE, CHECK_OK, "198.51.100.1"),
		"it is an address of client0");
}

static void a_local_route_answers_for_ipv4_alone(void **state)
{
	(void)state;
	host_serves("198.51.100.80:80", NULL);
	host.routes[FOUR] = "[{\"type\":\"2\",\"dst\":\"198.51.100.80\",\"dev\":\"lo\",\"table\":"
			    "\"255\"}," COVERS_ALL WAYS "]";
	host_judged();
	assert_well();
	assert_reads(
		found_about(CHECK_ANNOUNCE, CHECK_OK, "198.51.100.80"), "it has a local route");
	host_serves("[2001:db8:c::80]:80", NULL);
	host.routes[SIX] = "[{\"type\":\"2\",\"dst\":\"2001:db8:c::80\",\"dev\":\"lo\",\"table\":"
			   "\"255\"},{\"dst\":\"2001:db8:c::/64\",\"dev\":\"client0\"}]";
	host_judged();
	assert_alone(CHECK_ANNOUNCE, CHECK_MISSING);
}

static void neighbour_proxy_needs_forwarding(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.proxied = "[{\"dst\":\"192.0.2.80\",\"dev\":\"client0\",\"proxy\":null}]";
	host_judged();
	assert_alone(CHECK_IP_FORWARD, CHECK_MISSING);
	finding = found_about(CHECK_IP_FORWARD, CHECK_MISSING, VIP4);
	assert_reads(finding,
		"net.ipv4.ip_forward is 0, so the `ip neigh proxy` entry for the address on client0 has no effect");
	assert_fixed_by(
		finding, "sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv4.ip_forward=0");
	host_sysctl("net/ipv4/ip_forward", "1");
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_ANNOUNCE, CHECK_OK, VIP4),
		"client0 answers for it (`ip neigh show proxy`)");
}

static void ipv6_forwards_by_another_sysctl(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_sysctl("net/ipv4/ip_forward", "1");
	host.proxied = "[{\"dst\":\"2001:db8:f::80\",\"dev\":\"client0\",\"proxy\":null}]";
	host_judged();
	assert_alone(CHECK_IP_FORWARD, CHECK_MISSING);
	assert_fixed_by(found_about(CHECK_IP_FORWARD, CHECK_MISSING, VIP6),
		"sysctl -w net.ipv6.conf.all.forwarding=1",
		"sysctl -w net.ipv6.conf.all.forwarding=0");
}

static void without_capture_an_address_behind_a_router_is_unknown(void **state)
{
	(void)state;
	host_judged();
	assert_non_null(strstr(found_about(CHECK_ANNOUNCE, CHECK_UNKNOWN, VIP4)->read,
		"no link of this host is in its network. To see whether its packets arrive"));
}

static void a_captured_question_without_an_answer_is_reported(void **state)
{
	struct captured seen = {
		.address = host_address(VIP4, 80), .requests = 3, .request_link = "client0"};

	(void)state;
	judge_captured(&seen);
	assert_alone(CHECK_ANNOUNCE, CHECK_MISSING);
	assert_reads(found_about(CHECK_ANNOUNCE, CHECK_MISSING, VIP4),
		"a host on client0 asked who has the address, but this host did not answer");
	seen.replies = 1;
	judge_captured(&seen);
	assert_well();
	assert_state(CHECK_ANNOUNCE, CHECK_UNKNOWN);
}

static void a_question_without_an_answer_keeps_no_client_away_whose_packets_arrive(void **state)
{
	struct captured seen = seen_from("198.51.100.7", "client0");

	(void)state;
	host_serves("198.51.100.80:80", NULL);
	host.routes[FOUR] = "[{\"type\":\"2\",\"dst\":\"198.51.100.80\",\"dev\":\"lo\",\"table\":"
			    "\"255\"}," COVERS_ALL WAYS "]";
	host_sysctl("net/ipv4/conf/server0/arp_ignore", "1");
	seen.address = host_address("198.51.100.80", 80);
	strcpy(seen.request_link, "server0");
	seen.requests = 3;
	judge_captured(&seen);
	assert_well();
	seen.packets = 0;
	judge_captured(&seen);
	assert_state(CHECK_ANNOUNCE, CHECK_MISSING);
}

static void packets_captured_for_a_wildcard_count_for_its_destinations(void **state)
{
	struct captured seen = seen_from("198.51.100.7", "client0");

	(void)state;
	host_serves("0.0.0.0:80", NULL);
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p tcp -m socket --nowildcard " MARKED));
	seen.address = addr_any(AF_INET);
	judge_captured(&seen);
	assert_well();
	found_about(CHECK_ANNOUNCE, CHECK_OK, VIP4);
	seen.address = addr_any(AF_INET6);
	judge_captured(&seen);
	assert_state(CHECK_ANNOUNCE, CHECK_UNKNOWN);
}

/* --- sysctls that make no difference --- */

static void sysctls_that_make_no_difference_are_printed_with_their_value(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_nonlocal_bind", "1");
	host_sysctl("net/ipv4/ip_early_demux", "1");
	host_judged();
	assert_reads(found(CHECK_IP_FORWARD, CHECK_OK),
		"net.ipv4.ip_forward is 0; proxied packets do not need it");
	assert_reads(found(CHECK_NONLOCAL_BIND, CHECK_OK),
		"net.ipv4.ip_nonlocal_bind is 1; transparent listeners do not need it");
	assert_reads(found(CHECK_EARLY_DEMUX, CHECK_OK), "net.ipv4.ip_early_demux is 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(sources_that_count_as_local_are_refused),
		WITH(on_one_link_the_command_is_for_that_link),
		WITH(accept_local_of_the_link_or_of_all_accepts_them),
		WITH(a_strict_filter_drops_what_accept_local_accepts),
		WITH(the_larger_filter_counts),
		WITH(a_mark_whose_table_makes_no_source_local_does_no_harm),
		WITH(a_rule_for_the_clients_address_decides_before_the_mark),
		WITH(a_strict_filter_alone_does_no_harm),
		WITH(ipv6_has_no_such_checks),
		WITH(a_strict_filter_drops_packets_on_another_link),
		WITH(if_all_is_strict_the_command_is_for_all),
		WITH(packets_on_another_link_pass_a_loose_filter),
		WITH(a_strict_link_that_leads_back_to_no_client_is_a_risk),
		WITH(a_strict_macvlan_with_the_vip_drops_clients),
		WITH(packets_without_an_answer_are_reported_with_the_kernels_counters),
		WITH(without_a_packet_the_fault_lies_before_this_host),
		WITH(where_packets_were_lost_what_was_not_seen_is_unknown),
		WITH(packets_on_the_link_that_leads_back_pass_a_strict_filter),
		WITH(hosts_of_its_network_ask_who_has_the_address),
		WITH(ipv6_answers_for_an_address_by_neighbour_proxy),
		WITH(an_address_of_the_host_is_announced),
		WITH(a_local_route_answers_for_ipv4_alone),
		WITH(neighbour_proxy_needs_forwarding),
		WITH(ipv6_forwards_by_another_sysctl),
		WITH(without_capture_an_address_behind_a_router_is_unknown),
		WITH(a_captured_question_without_an_answer_is_reported),
		WITH(a_question_without_an_answer_keeps_no_client_away_whose_packets_arrive),
		WITH(packets_captured_for_a_wildcard_count_for_its_destinations),
		WITH(sysctls_that_make_no_difference_are_printed_with_their_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
