/*
 * What the checklist says of the kernel's configuration, and of what could not be read.
 */
#include "snapshots.h"

#include <string.h>

#define HEADING "# Linux/x86 6.1.0 Kernel Configuration\n"

/* --- the kernel --- */

static void a_kernel_with_all_options_is_well(void **state)
{
	(void)state;
	host_built_with(HEADING, NULL, NULL);
	assert_well();
	assert_reads(
		found_about(CHECK_KERNEL, CHECK_OK, "IPv4"), "its configuration has all options");
	assert_int_equal(found_count(CHECK_KERNEL, CHECK_OK), 1);
}

static void an_option_that_is_off_is_named(void **state)
{
	static const char *const off[] = {"CONFIG_IP_MULTIPLE_TABLES", NULL};
	const struct check_finding *finding;

	(void)state;
	host_built_with(HEADING, off, NULL);
	assert_alone(CHECK_KERNEL, CHECK_MISSING);
	finding = found_about(CHECK_KERNEL, CHECK_MISSING, "IPv4");
	assert_reads(finding,
		"its configuration lacks CONFIG_IP_MULTIPLE_TABLES. Use a kernel that has them");
	assert_int_equal(finding->command_count, 0);
}

static void a_family_that_is_not_served_needs_nothing(void **state)
{
	static const char *const off[] = {"CONFIG_IPV6", "CONFIG_IPV6_MULTIPLE_TABLES", NULL};

	(void)state;
	host_built_with(HEADING, off, NULL);
	assert_well();
	host_serves_ipv6();
	host_built_with(HEADING, off, NULL);
	assert_alone(CHECK_KERNEL, CHECK_MISSING);
	found_about(CHECK_KERNEL, CHECK_MISSING, "IPv6");
}

static void one_tool_for_rules_is_enough(void **state)
{
	static const char *const off[] = {"CONFIG_NETFILTER_XT_MATCH_SOCKET", NULL};

	(void)state;
	host_built_with(HEADING, off, NULL);
	assert_state(CHECK_KERNEL, CHECK_OK);
}

static void without_any_tool_the_options_of_the_one_in_use_are_missing(void **state)
{
	static const char *const off[] = {
		"CONFIG_NETFILTER_XT_MATCH_SOCKET", "CONFIG_NFT_SOCKET", NULL};

	(void)state;
	host_built_with(HEADING, off, NULL);
	assert_reads(found_about(CHECK_KERNEL, CHECK_MISSING, "IPv4"),
		"its configuration lacks CONFIG_NETFILTER_XT_MATCH_SOCKET. Use a kernel that has them");
	host_rules(TOOL_NFT, 0,
		NFT(NFT_TABLE("ip", "t") NFT_CHAIN("ip", "t", "p", "prerouting", "-150", "accept")
				NFT_RULE("ip", "t", "p", NFT_SOCKET "," NFT_MARK "," NFT_ACCEPT)));
	host_judged();
	assert_reads(found_about(CHECK_KERNEL, CHECK_MISSING, "IPv4"),
		"its configuration lacks CONFIG_NFT_SOCKET. Use a kernel that has them");
}

static void options_that_a_fragment_does_not_mention_are_unknown(void **state)
{
	static const char *const open[] = {"CONFIG_IP_ADVANCED_ROUTER", NULL};

	(void)state;
	host_built_with("", NULL, open);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, "IPv4"),
		"its configuration does not mention CONFIG_IP_ADVANCED_ROUTER");
}

static void a_tool_that_may_do_is_better_than_one_that_will_not(void **state)
{
	static const char *const off[] = {"CONFIG_NETFILTER_XT_MATCH_SOCKET", NULL};
	static const char *const open[] = {"CONFIG_NFT_SOCKET", NULL};

	(void)state;
	host_built_with("", off, open);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, "IPv4"),
		"its configuration does not mention CONFIG_NFT_SOCKET");
}

static void a_configuration_alone_is_judged_alone(void **state)
{
	(void)state;
	host.snapshot.kernel_alone = true;
	host_built_with(HEADING, NULL, NULL);
	assert_int_equal(host.report.items, 1);
	assert_int_equal(host.report.count, 1);
	assert_int_equal(check_verdict(&host.report), CHECK_WELL);
}

static void without_a_configuration_what_works_proves_the_options(void **state)
{
	(void)state;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_OK, ""),
		"no configuration; but the host has rules, routes and sockets that need the options");
	host.socket_count = 0;
	host_judged();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, ""), "no configuration");
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, ""), "no configuration");
}

/* --- what could not be read --- */

static void assert_unknown(const enum check_item *items)
{
	for (; *items != CHECK_ITEMS; items++)
		assert_state(*items, CHECK_UNKNOWN);
}

static const enum check_item by_rules[] = {CHECK_DIVERT, CHECK_RULE_ORDER, CHECK_WILDCARD,
	CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE, CHECK_MARK_SHARED, CHECK_FILTER,
	CHECK_NAT_DESTINATION, CHECK_NAT_SOURCE, CHECK_ICMP, CHECK_SYNCOOKIES, CHECK_BRIDGE,
	CHECK_ITEMS};
static const enum check_item by_network[] = {CHECK_SRC_VALID_MARK, CHECK_RP_FILTER, CHECK_ANNOUNCE,
	CHECK_LOCAL_CLIENT, CHECK_SERVER_ROUTE, CHECK_IP_FORWARD, CHECK_ITEMS};
static const enum check_item by_sockets[] = {CHECK_LISTENER, CHECK_CAPABILITY, CHECK_TRANSPARENT,
	CHECK_OTHER_LISTENER, CHECK_LIMITS, CHECK_RETURN_PATH, CHECK_PATH_MTU, CHECK_SOURCE_PORTS,
	CHECK_ITEMS};

static void without_rules(void)
{
	host.snapshot.rules_known = false;
	host.snapshot.rules_problem = (char *)"`nft -j list ruleset`: not permitted";
}

static void without_network(void)
{
	host.snapshot.network_known = false;
	host.snapshot.network_problem = (char *)"`ip`: not there";
}

static void without_sockets(void)
{
	host.snapshot.sockets_known = false;
	host.snapshot.sockets_problem = (char *)"cannot list sockets";
}

static void without_rules_packets_are_unknown(void **state)
{
	(void)state;
	without_rules();
	host_judged();
	assert_well();
	assert_unknown(by_rules);
	assert_state(CHECK_BACKENDS, CHECK_UNKNOWN);
	assert_state(CHECK_SERVER_ROUTE, CHECK_OK);
	assert_reads(found_about(CHECK_FILTER, CHECK_UNKNOWN, ""),
		"`nft -j list ruleset`: not permitted");
}

static void without_the_network_routes_are_unknown(void **state)
{
	(void)state;
	without_network();
	host_judged();
	assert_well();
	assert_unknown(by_rules);
	assert_unknown(by_network);
	assert_state(CHECK_BACKENDS, CHECK_OK);
	assert_state(CHECK_NONLOCAL_BIND, CHECK_OK);
	assert_reads(found_about(CHECK_IP_FORWARD, CHECK_UNKNOWN, ""), "`ip`: not there");
}

static void without_the_network_no_listener_lacks_an_address(void **state)
{
	(void)state;
	without_network();
	host.sockets[0].transparent = false;
	host_judged();
	assert_well();
	assert_state(CHECK_TRANSPARENT, CHECK_UNKNOWN);
}

static void without_sockets_listeners_are_unknown(void **state)
{
	(void)state;
	without_sockets();
	host_judged();
	assert_well();
	assert_unknown(by_sockets);
	assert_int_equal(found_count(CHECK_LISTENER, CHECK_UNKNOWN), 1);
	assert_state(CHECK_DIVERT, CHECK_OK);
}

static void without_anything_only_items_without_a_basis_are_ok(void **state)
{
	(void)state;
	without_rules();
	without_network();
	without_sockets();
	host_judged();
	assert_well();
	assert_state(CHECK_KERNEL, CHECK_UNKNOWN);
	assert_state(CHECK_BACKENDS, CHECK_UNKNOWN);
	for (int item = 0; item < CHECK_ITEMS; item++)
		if (check_rows[item].bases != 0 && check_rows[item].use != FOR_UDP)
			assert_state((enum check_item)item, CHECK_UNKNOWN);
}

static struct host_socket *waiting(void)
{
	struct host_socket *socket = host_connects(CLIENT4, 40001, SERVER4);

	socket->retransmits = 2;
	socket->unacked = 2;
	socket->mss = 1448;
	return socket;
}

static void without_rules_a_request_without_an_answer_is_unknown(void **state)
{
	(void)state;
	without_rules();
	waiting();
	host_judged();
	assert_well();
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
}

static void without_rules_a_stall_is_unknown(void **state)
{
	(void)state;
	without_rules();
	waiting()->state = SOCKET_STATE_CONNECTED;
	host_judged();
	assert_well();
	assert_non_null(strstr(found_about(CHECK_PATH_MTU, CHECK_UNKNOWN, SERVER4)->read,
		"check cannot tell whether ICMP errors are diverted"));
}

static void udp_sockets_that_cannot_be_listed_are_not_missing(void **state)
{
	(void)state;
	host.udp_unlisted = true;
	host_serves(VIP4 ":53/udp", NULL);
	host_judged();
	assert_reads(found_about(CHECK_LISTENER, CHECK_UNKNOWN, VIP4 ":53/udp"),
		"cannot list UDP sockets (udp_diag)");
}

/* --- what was not judged --- */

/* Items that are ok on a host where no packet could be simulated. */
static bool needs_no_packet(int item)
{
	return (check_rows[item].bases & (BY_LISTENER | BY_CLIENTS | BY_SERVERS)) == 0
		       ? item != CHECK_ANNOUNCE
		       : check_rows[item].use == FOR_UDP;
}

/* A host that has nothing but its loopback link, which is down. */
static void without_a_link(void)
{
	host.links = "[{\"ifname\":\"lo\",\"flags\":[]}]";
	host.policy[FOUR] = "[{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]";
	host.routes[FOUR] = "[]";
	host.saved_count = host.socket_count = 0;
	host.service.server_count = 0;
	host_built_with(HEADING, NULL, NULL);
}

static void without_a_link_nothing_was_judged_and_nothing_is_ok(void **state)
{
	(void)state;
	without_a_link();
	assert_int_equal(check_verdict(&host.report), CHECK_UNJUDGED);
	for (int item = 0; item < CHECK_ITEMS; item++) {
		assert_state(
			(enum check_item)item, needs_no_packet(item) ? CHECK_OK : CHECK_UNKNOWN);
		assert_true(check_has_findings(&host.report, (enum check_item)item));
	}
	assert_true(check_has_remedy(&host.report, REMEDY_CLIENT));
	assert_true(check_has_remedy(&host.report, REMEDY_SERVER));
	assert_true(check_has_remedy(&host.report, REMEDY_PROXY));
	assert_false(check_has_remedy(&host.report, REMEDY_ROOT));
	assert_false(check_has_remedy(&host.report, REMEDY_RULES));
}

static void a_client_without_a_route_is_not_judged(void **state)
{
	(void)state;
	service_add_client(&host.service, CLIENT4);
	without_a_link();
	assert_int_equal(check_verdict(&host.report), CHECK_UNJUDGED);
	assert_reads(found_about(CHECK_DIVERT, CHECK_UNKNOWN, CLIENT4),
		"this host has no route to the client: Network is unreachable");
	assert_state(CHECK_MARK, CHECK_UNKNOWN);
	assert_state(CHECK_FILTER, CHECK_UNKNOWN);
}

/* The walk-through's host, and a client that is connected. */
static void in_use(void)
{
	host_connects(CLIENT4, 40000, SERVER4)->state = SOCKET_STATE_CONNECTED;
	host_sysctl("net/ipv4/tcp_tw_reuse", "1");
	host_built_with(HEADING, NULL, NULL);
}

static void a_host_in_use_has_nothing_left_to_judge(void **state)
{
	(void)state;
	in_use();
	for (int item = 0; item < CHECK_ITEMS; item++)
		assert_state(
			(enum check_item)item, item == CHECK_ANNOUNCE ? CHECK_UNKNOWN : CHECK_OK);
	assert_int_equal(check_verdict(&host.report), CHECK_WELL);
}

static void what_other_hosts_decide_does_not_make_a_host_unjudged(void **state)
{
	(void)state;
	in_use();
	host.socket_count = 1;
	host_judged();
	assert_state(CHECK_ANNOUNCE, CHECK_UNKNOWN);
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
	assert_state(CHECK_PATH_MTU, CHECK_UNKNOWN);
	assert_false(check_is_unjudged(&host.report, CHECK_ANNOUNCE));
	assert_int_equal(check_verdict(&host.report), CHECK_WELL);
}

static void what_this_host_decides_does(void **state)
{
	(void)state;
	in_use();
	host.snapshot.rules_unseen = (char *)"there is no program 'nft'";
	host_judged();
	assert_true(check_is_unjudged(&host.report, CHECK_BACKENDS));
	assert_int_equal(check_verdict(&host.report), CHECK_UNJUDGED);
}

/* The client's packets are dropped before any rule of the proxy's, and nothing else is followed. */
static void items_that_a_packet_did_not_reach_are_not_ok(void **state)
{
	static const enum check_item behind[] = {CHECK_DIVERT, CHECK_RULE_ORDER, CHECK_WILDCARD,
		CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE, CHECK_FWMARK_ACCEPT, CHECK_SYNCOOKIES};

	(void)state;
	host_serves(VIP4 ":80", NULL);
	host_more_rules(TOOL_IPTABLES, AF_INET,
		"*raw\n:PREROUTING DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n");
	host_judged();
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		assert_state(behind[i], CHECK_UNKNOWN);
		assert_true(check_is_unjudged(&host.report, behind[i]));
	}
	assert_true(check_has_remedy(&host.report, REMEDY_FIRST));
}

static void items_that_depend_on_rules_not_understood_are_not_ok(void **state)
{
	(void)state;
	host_serves(VIP4 ":80", NULL);
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p tcp -m socket --transparent -m strange --words " MARKED));
	host_judged();
	assert_well();
	assert_state(CHECK_MARK, CHECK_UNKNOWN);
	assert_true(check_has_remedy(&host.report, REMEDY_RULES));
	assert_int_equal(check_verdict(&host.report), CHECK_UNJUDGED);
}

static void a_family_without_clients_leaves_open_what_the_other_shows(void **state)
{
	(void)state;
	service_add_listener(&host.service, "[" VIP6 "]:80");
	host.service.spoofs = false; /* no server has an IPv6 address */
	host.routes[SIX] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"}]";
	host_judged();
	found_about(CHECK_DIVERT, CHECK_OK, PACKETS4);
	assert_state(CHECK_DIVERT, CHECK_UNKNOWN);
	assert_state(CHECK_MARK, CHECK_UNKNOWN);
	assert_int_equal(check_verdict(&host.report), CHECK_UNJUDGED);
}

static void a_proxy_that_does_not_spoof_has_no_use_for_the_servers_side(void **state)
{
	static const enum check_item items[] = {CHECK_NAT_SOURCE, CHECK_ICMP, CHECK_SERVER_ROUTE,
		CHECK_RETURN_PATH, CHECK_PATH_MTU, CHECK_SOURCE_PORTS};

	(void)state;
	host_serves(VIP4 ":80", NULL);
	host_judged();
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		assert_state(items[i], CHECK_OK);
		assert_reads(found(items[i], CHECK_OK),
			"the proxy connects to servers from its own address");
	}
}

static void sysctls_that_cannot_be_read_are_not_well(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/tcp_fwmark_accept", NULL);
	host_sysctl("net/ipv4/conf/all/src_valid_mark", NULL);
	host_sysctl("net/ipv4/conf/client0/src_valid_mark", NULL);
	host_sysctl("net/ipv4/conf/all/rp_filter", NULL);
	host_sysctl("net/ipv4/conf/client0/rp_filter", NULL);
	host_judged();
	assert_well();
	assert_state(CHECK_FWMARK_ACCEPT, CHECK_UNKNOWN);
	assert_state(CHECK_SRC_VALID_MARK, CHECK_UNKNOWN);
	assert_state(CHECK_RP_FILTER, CHECK_UNKNOWN);
}

static void a_neighbour_entry_needs_forwarding_that_can_be_read(void **state)
{
	(void)state;
	host.proxied = "[{\"dst\":\"192.0.2.80\",\"dev\":\"client0\",\"proxy\":null}]";
	host_sysctl("net/ipv4/ip_forward", NULL);
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_IP_FORWARD, CHECK_UNKNOWN, VIP4),
		"cannot read net.ipv4.ip_forward");
}

static void the_remedy_root_is_for_other_users(void **state)
{
	(void)state;
	without_rules();
	host_judged();
	assert_true(check_has_remedy(&host.report, REMEDY_ROOT));
	host.snapshot.root = true;
	host_judged();
	assert_false(check_has_remedy(&host.report, REMEDY_ROOT));
	assert_true(check_has_remedy(&host.report, REMEDY_TOOL));
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_kernel_with_all_options_is_well),
		WITH(an_option_that_is_off_is_named),
		WITH(a_family_that_is_not_served_needs_nothing),
		WITH(one_tool_for_rules_is_enough),
		WITH(without_any_tool_the_options_of_the_one_in_use_are_missing),
		WITH(options_that_a_fragment_does_not_mention_are_unknown),
		WITH(a_tool_that_may_do_is_better_than_one_that_will_not),
		WITH(a_configuration_alone_is_judged_alone),
		WITH(without_a_configuration_what_works_proves_the_options),
		WITH(without_rules_packets_are_unknown),
		WITH(without_the_network_routes_are_unknown),
		WITH(without_the_network_no_listener_lacks_an_address),
		WITH(without_sockets_listeners_are_unknown),
		WITH(without_anything_only_items_without_a_basis_are_ok),
		WITH(without_rules_a_request_without_an_answer_is_unknown),
		WITH(without_rules_a_stall_is_unknown),
		WITH(udp_sockets_that_cannot_be_listed_are_not_missing),
		WITH(without_a_link_nothing_was_judged_and_nothing_is_ok),
		WITH(a_client_without_a_route_is_not_judged),
		WITH(a_host_in_use_has_nothing_left_to_judge),
		WITH(what_other_hosts_decide_does_not_make_a_host_unjudged),
		WITH(what_this_host_decides_does),
		WITH(items_that_a_packet_did_not_reach_are_not_ok),
		WITH(items_that_depend_on_rules_not_understood_are_not_ok),
		WITH(a_family_without_clients_leaves_open_what_the_other_shows),
		WITH(a_proxy_that_does_not_spoof_has_no_use_for_the_servers_side),
		WITH(sysctls_that_cannot_be_read_are_not_well),
		WITH(a_neighbour_entry_needs_forwarding_that_can_be_read),
		WITH(the_remedy_root_is_for_other_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
