/*
 * What the checklist says of the kernel's configuration, and of what could not be read.
 */
#include "situations.h"

#include <string.h>

#define HEADING "# Linux/x86 6.1.0 Kernel Configuration\n"

/* --- the kernel --- */

static void a_kernel_with_all_options_is_well(void **state)
{
	(void)state;
	host_built_with(HEADING, NULL, NULL);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_OK, "IPv4"),
		"its configuration has what is needed");
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
		"its configuration: turned off are CONFIG_IP_MULTIPLE_TABLES. A kernel "
		"with them is needed");
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

static void without_any_the_tool_in_use_tells_its_options(void **state)
{
	static const char *const off[] = {
		"CONFIG_NETFILTER_XT_MATCH_SOCKET", "CONFIG_NFT_SOCKET", NULL};

	(void)state;
	host_built_with(HEADING, off, NULL);
	assert_reads(found_about(CHECK_KERNEL, CHECK_MISSING, "IPv4"),
		"its configuration: turned off are CONFIG_NETFILTER_XT_MATCH_SOCKET. A kernel with "
		"them is needed");
	host_rules(BACKEND_NFT, 0,
		NFT(NFT_TABLE("ip", "t") NFT_CHAIN("ip", "t", "p", "prerouting", "-150", "accept")
				NFT_RULE("ip", "t", "p", NFT_SOCKET "," NFT_MARK "," NFT_ACCEPT)));
	host_judged();
	assert_reads(found_about(CHECK_KERNEL, CHECK_MISSING, "IPv4"),
		"its configuration: turned off are CONFIG_NFT_SOCKET. A kernel with them is "
		"needed");
}

static void what_a_fragment_leaves_open_is_unknown(void **state)
{
	static const char *const open[] = {"CONFIG_IP_ADVANCED_ROUTER", NULL};

	(void)state;
	host_built_with("", NULL, open);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, "IPv4"),
		"its configuration says nothing of CONFIG_IP_ADVANCED_ROUTER");
}

static void a_tool_that_may_do_is_better_than_one_that_will_not(void **state)
{
	static const char *const off[] = {"CONFIG_NETFILTER_XT_MATCH_SOCKET", NULL};
	static const char *const open[] = {"CONFIG_NFT_SOCKET", NULL};

	(void)state;
	host_built_with("", off, open);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, "IPv4"),
		"its configuration says nothing of CONFIG_NFT_SOCKET");
}

static void a_configuration_alone_is_judged_alone(void **state)
{
	(void)state;
	host.at.kernel_alone = true;
	host_built_with(HEADING, NULL, NULL);
	assert_int_equal(host.report.items, 1);
	assert_int_equal(host.report.count, 1);
	assert_true(check_is_well(&host.report));
}

static void no_configuration_is_unknown(void **state)
{
	(void)state;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, ""),
		"no configuration; `tproxyctl prove` finds out by trying");
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
	host.at.rules_known = false;
	host.at.rules_problem = (char *)"`nft -j list ruleset`: not permitted";
}

static void without_network(void)
{
	host.at.network_known = false;
	host.at.network_problem = (char *)"`ip`: not there";
}

static void without_sockets(void)
{
	host.at.sockets_known = false;
	host.at.sockets_problem = (char *)"the kernel does not tell";
}

static void without_rules_nothing_is_said_of_packets(void **state)
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

static void without_the_network_nothing_is_said_of_ways(void **state)
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

static void without_sockets_nothing_is_said_of_listeners(void **state)
{
	(void)state;
	without_sockets();
	host_judged();
	assert_well();
	assert_unknown(by_sockets);
	assert_int_equal(found_count(CHECK_LISTENER, CHECK_UNKNOWN), 1);
	assert_state(CHECK_DIVERT, CHECK_OK);
}

static void without_anything_nothing_is_well_but_what_needs_nothing(void **state)
{
	(void)state;
	without_rules();
	without_network();
	without_sockets();
	host_judged();
	assert_well();
	for (int item = 0; item < CHECK_ITEMS; item++)
		if (item != CHECK_NONLOCAL_BIND && item != CHECK_EARLY_DEMUX &&
			item != CHECK_LIBEVENT)
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

static void without_rules_a_request_in_vain_is_nobodys_fault(void **state)
{
	(void)state;
	without_rules();
	waiting();
	host_judged();
	assert_well();
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
}

static void without_rules_a_stall_is_nobodys_fault(void **state)
{
	(void)state;
	without_rules();
	waiting()->state = SOCKET_STATE_CONNECTED;
	host_judged();
	assert_well();
	assert_non_null(strstr(found_about(CHECK_PATH_MTU, CHECK_UNKNOWN, SERVER4)->read,
		"whether ICMP errors are caught is not known"));
}

static void udp_sockets_that_are_not_told_are_not_missed(void **state)
{
	(void)state;
	host.udp_untold = true;
	host_serves(VIP4 ":53/udp", NULL);
	host_judged();
	assert_reads(found_about(CHECK_LISTENER, CHECK_UNKNOWN, VIP4 ":53/udp"),
		"the kernel does not tell of UDP sockets (udp_diag)");
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_kernel_with_all_options_is_well),
		WITH(an_option_that_is_off_is_named),
		WITH(a_family_that_is_not_served_needs_nothing),
		WITH(one_tool_for_rules_is_enough),
		WITH(without_any_the_tool_in_use_tells_its_options),
		WITH(what_a_fragment_leaves_open_is_unknown),
		WITH(a_tool_that_may_do_is_better_than_one_that_will_not),
		WITH(a_configuration_alone_is_judged_alone),
		WITH(no_configuration_is_unknown),
		WITH(without_rules_nothing_is_said_of_packets),
		WITH(without_the_network_nothing_is_said_of_ways),
		WITH(without_the_network_no_listener_lacks_an_address),
		WITH(without_sockets_nothing_is_said_of_listeners),
		WITH(without_anything_nothing_is_well_but_what_needs_nothing),
		WITH(without_rules_a_request_in_vain_is_nobodys_fault),
		WITH(without_rules_a_stall_is_nobodys_fault),
		WITH(udp_sockets_that_are_not_told_are_not_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
