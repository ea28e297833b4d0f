/*
 * The checklist on packet rules that divert and mark: missing, too late, or not understood.
 */
#include "snapshots.h"

#include <string.h>

#define DIVERT_RULE_TCP "-p tcp -m socket --transparent -j MARK --set-mark 0x1"
#define NFT_PREROUTING                                                                             \
	NFT_TABLE("ip", "t") NFT_CHAIN("ip", "t", "pre", "prerouting", "-150", "accept")
#define NFT_CAUGHT(verdict) NFT_RULE("ip", "t", "pre", NFT_TCP "," NFT_SOCKET "," verdict)

/* --- diverted --- */

static void the_walkthroughs_set_up_is_ok(void **state)
{
	(void)state;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_DIVERT, CHECK_OK, PACKETS4),
		"diverted by `iptables -t mangle -A PREROUTING -p tcp -m socket --transparent -j "
		"MARK "
		"--set-xmark 0x1/0xffffffff`");
	assert_reads(found_about(CHECK_MARK, CHECK_OK, ANSWERS4), "mark 0x1");
	assert_reads(found_about(CHECK_IP_RULE, CHECK_OK, PACKETS4),
		"`pref 100 fwmark 0x1 lookup 100` chooses table 100");
	assert_reads(
		found_about(CHECK_IP_ROUTE, CHECK_OK, PACKETS4), "table 100 delivers to this host");
	assert_reads(found(CHECK_ICMP, CHECK_OK), "ICMP errors are diverted, too");
}

static void the_walkthroughs_set_up_for_ipv6_is_ok(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_judged();
	assert_well();
	found_about(CHECK_DIVERT, CHECK_OK, PACKETS6);
	found_about(CHECK_DIVERT, CHECK_OK, ANSWERS6);
}

static void undiverted_packets_get_a_rule(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	finding = found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS4);
	assert_reads(finding, "no rule in PREROUTING diverts them");
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING", DIVERT_RULE_TCP);
	found_about(CHECK_DIVERT, CHECK_MISSING, ANSWERS4);
}

static void ipv6_is_diverted_by_its_own_tool(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_fixed_by_rule(found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS6),
		"ip6tables -w -t mangle", "PREROUTING", DIVERT_RULE_TCP);
}

static void legacy_rules_are_fixed_by_the_legacy_tool(void **state)
{
	(void)state;
	host_rules(TOOL_LEGACY, AF_INET, MANGLE("-A PREROUTING -p udp -m socket " MARKED));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_fixed_by_rule(found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS4),
		"iptables-legacy -w -t mangle", "PREROUTING", DIVERT_RULE_TCP);
}

static void nft_gets_a_rule_in_front_of_the_chain_that_is_there(void **state)
{
	(void)state;
	host_rules(TOOL_NFT, 0,
		NFT(NFT_PREROUTING NFT_RULE("ip", "t", "pre",
			NFT_IS("{\"meta\":{\"key\":\"l4proto\"}}", "\"udp\"") "," NFT_SOCKET
									      "," NFT_MARK)));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_fixed_by_nft(found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS4), "insert",
		"ip t pre", "meta l4proto tcp socket transparent 1 meta mark set 0x1 accept",
		"tproxyctl-divert-tcp");
}

static void nft_gets_a_table_if_none_diverts(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_rules(TOOL_NFT, 0,
		NFT(NFT_TABLE("inet", "f") NFT_CHAIN("inet", "f", "in", "input", "0", "accept")
				NFT_RULE("inet", "f", "in", NFT_TCP "," NFT_ACCEPT)));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_fixed_by(found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS6),
		"nft 'add table ip6 tproxyctl_divert_tcp; delete table ip6 tproxyctl_divert_tcp; "
		"table ip6 tproxyctl_divert_tcp { chain divert { type filter hook prerouting "
		"priority mangle; meta l4proto tcp socket transparent 1 meta mark set 0x1 accept; "
		"}; }'",
		"nft delete table ip6 tproxyctl_divert_tcp");
}

static void datagrams_get_a_rule_for_udp(void **state)
{
	(void)state;
	host_serves(VIP4 ":53/udp", SERVER4 ":53");
	host.socket_count = 0;
	host_listens(VIP4, 53, IPPROTO_UDP);
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_fixed_by_rule(
		found_about(CHECK_DIVERT, CHECK_MISSING, "clients' datagrams to 192.0.2.80:53"),
		"iptables -w -t mangle", "PREROUTING",
		"-p udp -m socket --transparent -j MARK --set-mark 0x1");
	found_about(
		CHECK_DIVERT, CHECK_MISSING, "servers' datagrams to the client's address (IPv4)");
}

static void the_rule_sets_the_mark_of_the_ip_rule(void **state)
{
	(void)state;
	host.policy[FOUR] = "[{\"priority\":9,\"fwmark\":\"0x8\",\"table\":\"100\"},"
			    "{\"priority\":10,\"table\":\"254\"}]";
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_fixed_by_rule(found(CHECK_DIVERT, CHECK_MISSING), "iptables -w -t mangle",
		"PREROUTING", "-p tcp -m socket --transparent -j MARK --set-mark 0x8");
}

static void a_table_of_another_program_is_not_used(void **state)
{
	(void)state;
	host.policy[FOUR] = "[{\"priority\":9,\"fwmark\":\"0x8\",\"table\":\"51820\"},"
			    "{\"priority\":10,\"table\":\"254\"}]";
	host.routes[FOUR] = "[{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
			    "{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"},"
			    "{\"dst\":\"default\",\"dev\":\"server0\",\"table\":\"51820\"}]";
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_fixed_by_rule(found(CHECK_DIVERT, CHECK_MISSING), "iptables -w -t mangle",
		"PREROUTING", DIVERT_RULE_TCP);
	assert_fixed_by_ip_rule(found(CHECK_IP_RULE, CHECK_MISSING), 4, "fwmark 0x1 lookup 100");
	assert_fixed_by(found(CHECK_IP_ROUTE, CHECK_MISSING),
		"ip -4 route replace local 0.0.0.0/0 dev lo table 100",
		"ip -4 route del local 0.0.0.0/0 dev lo table 100");
}

static void several_clients_give_one_finding(void **state)
{
	(void)state;
	host.service.client_count = 0;
	service_add_client(&host.service, "198.51.100.10");
	service_add_client(&host.service, "198.51.100.11");
	service_add_client(&host.service, "198.51.100.12");
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_int_equal(found_count(CHECK_DIVERT, CHECK_MISSING), 2); /* packets, answers */
}

static void packets_of_a_named_client_are_simulated(void **state)
{
	(void)state;
	service_add_client(&host.service, "198.51.100.77");
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -s 198.51.100.77/32 -j ACCEPT\n" DIVERT));
	host_judged();
	assert_alone(CHECK_RULE_ORDER, CHECK_HARMFUL);
}

static void clients_may_be_behind_the_servers_link_if_there_is_no_other(void **state)
{
	(void)state;
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS4);
}

static void with_another_link_no_client_is_behind_the_servers_link(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i client0 -p tcp -m socket --transparent " MARKED
		       "-A PREROUTING -p tcp --sport 80 -m socket --transparent " MARKED));
	host_judged();
	assert_well();
}

static void without_a_link_clients_are_not_known(void **state)
{
	(void)state;
	host.service.server_count = 0;
	host.service.spoofs = false;
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"}]";
	host_judged();
	assert_reads(
		found(CHECK_DIVERT, CHECK_UNKNOWN), "no link that is up leads to IPv4 clients");
	assert_int_equal(found(CHECK_DIVERT, CHECK_UNKNOWN)->remedy, REMEDY_CLIENT);
}

/* --- the order of rules --- */

static void a_rule_that_accepts_first_does_harm(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE("-A PREROUTING -i client0 -j ACCEPT\n" DIVERT));
	host_judged();
	assert_alone(CHECK_RULE_ORDER, CHECK_HARMFUL);
	finding = found_about(CHECK_RULE_ORDER, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding,
		"`iptables -t mangle -A PREROUTING -i client0 -j ACCEPT` accepts them before a rule can divert them");
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING", DIVERT_RULE_TCP);
	assert_int_equal(found_count(CHECK_RULE_ORDER, CHECK_HARMFUL), 1);
}

static void a_verdict_of_nft_that_accepts_first_does_harm(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_NFT, 0,
		NFT(NFT_PREROUTING NFT_RULE("ip", "t", "pre", NFT_TCP "," NFT_ACCEPT)
				NFT_CAUGHT(NFT_MARK "," NFT_ACCEPT)));
	host_judged();
	assert_alone(CHECK_RULE_ORDER, CHECK_HARMFUL);
	finding = found_about(CHECK_RULE_ORDER, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding, "`ip t pre handle 7` accepts them before a rule can divert them");
	assert_fixed_by_nft(finding, "insert", "ip t pre",
		"meta l4proto tcp socket transparent 1 meta mark set 0x1 accept",
		"tproxyctl-divert-tcp");
}

static void an_accept_in_another_table_does_no_harm(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		"*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		"-A PREROUTING -j ACCEPT\nCOMMIT\n" MANGLE(DIVERT));
	host_judged();
	assert_well();
}

static void an_accept_in_a_table_that_diverts_nothing_is_not_the_cause(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		"*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		"-A PREROUTING -j ACCEPT\nCOMMIT\n");
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
}

/* --- listeners on wildcard addresses --- */

static void wildcard(const char *ip, const char *listener)
{
	host_serves(listener, NULL);
	host.socket_count = 0;
	host_listens(ip, 80, IPPROTO_TCP);
}

static void iptables_skips_a_wildcard_listener(void **state)
{
	const struct check_finding *finding;

	(void)state;
	wildcard("0.0.0.0", "0.0.0.0:80");
	host_judged();
	assert_alone(CHECK_WILDCARD, CHECK_MISSING);
	finding = found_about(CHECK_WILDCARD, CHECK_MISSING, PACKETS4);
	assert_reads(finding,
		"the rule for sockets skips them, because the listener is on a wildcard address");
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING",
		"-p tcp -m socket --transparent --nowildcard -j MARK --set-mark 0x1");
}

static void with_nowildcard_it_is_diverted(void **state)
{
	(void)state;
	wildcard("0.0.0.0", "0.0.0.0:80");
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p tcp -m socket --transparent --nowildcard " MARKED));
	host_judged();
	assert_well();
	found_about(CHECK_DIVERT, CHECK_OK, PACKETS4);
}

static void a_listener_of_both_families_is_judged_in_both(void **state)
{
	(void)state;
	wildcard("::", "[::]:80");
	service_add_server(&host.service, SERVER4 ":80");
	service_add_server(&host.service, "[" SERVER6 "]:80");
	host.service.spoofs = true;
	host_judged();
	assert_alone(CHECK_WILDCARD, CHECK_MISSING);
	found_about(CHECK_WILDCARD, CHECK_MISSING, PACKETS4);
	found_about(CHECK_WILDCARD, CHECK_MISSING, PACKETS6);
}

static void an_ipv6_listener_with_v6only_has_no_ipv4_clients(void **state)
{
	(void)state;
	wildcard("::", "[::]:80");
	host.sockets[0].v6only = true;
	host_judged();
	found_about(CHECK_WILDCARD, CHECK_MISSING, PACKETS6);
	assert_int_equal(found_count(CHECK_WILDCARD, CHECK_MISSING), 1);
}

static void tproxy_rules_say_the_destinations_of_a_wildcard_listener(void **state)
{
	(void)state;
	wildcard("0.0.0.0", "0.0.0.0:80");
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -d 192.0.2.77/32 -p tcp -m tcp --dport 443 -j TPROXY "
		       "--on-port "
		       "80 --on-ip 0.0.0.0 --tproxy-mark 0x1/0xffffffff\n"));
	host_judged();
	assert_well();
	assert_int_equal(found_count(CHECK_DIVERT, CHECK_OK), 1);
	found_about(CHECK_DIVERT, CHECK_OK, "clients' packets to 192.0.2.77:443");
}

static void an_address_of_its_own_hides_the_wildcard(void **state)
{
	(void)state;
	host.socket_count = 0;
	host_listens("0.0.0.0", 80, IPPROTO_TCP);
	host_listens(VIP4, 80, IPPROTO_TCP);
	host_listens("0.0.0.0", 80, IPPROTO_TCP);
	host_judged();
	assert_well();
}

/* --- marks --- */

static void diverted_packets_without_a_mark_are_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p tcp -m socket --transparent -j ACCEPT\n"));
	host_judged();
	assert_alone(CHECK_MARK, CHECK_MISSING);
	finding = found_about(CHECK_MARK, CHECK_MISSING, PACKETS4);
	assert_reads(finding, "`iptables -t mangle -A PREROUTING -p tcp -m socket --transparent -j "
			      "ACCEPT` matches them, but no rule sets a mark");
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING", DIVERT_RULE_TCP);
}

static void an_unknown_mark_is_not_missing(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p tcp -m socket --transparent --restore-skmark -j ACCEPT\n"));
	host_judged();
	assert_state(CHECK_MARK, CHECK_UNKNOWN);
	assert_well();
}

static void tproxy_sets_its_mark_itself(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY "
		       "--on-port 80 --on-ip 0.0.0.0 --tproxy-mark 0x1/0xffffffff\n" DIVERT));
	host.socket_count = 0;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_MARK, CHECK_OK, PACKETS4), "mark 0x1");
}

static void tproxy_without_a_mark_is_not_delivered(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY "
		       "--on-port 80 --on-ip 192.0.2.80 --tproxy-mark 0x0/0x0\n" DIVERT));
	host_judged();
	assert_alone(CHECK_MARK, CHECK_MISSING);
	found_about(CHECK_MARK, CHECK_MISSING, PACKETS4);
}

static void a_mask_leaves_other_bits_alone(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i client0 -j MARK --set-xmark 0x4100/0xffffffff\n"
		       "-A PREROUTING -p tcp -m socket --transparent -j MARK --set-xmark "
		       "0x1/0x1\n"));
	host.policy[FOUR] =
		"[{\"priority\":9,\"fwmark\":\"0x1\",\"fwmask\":\"0xff\",\"table\":\"100\"},"
		"{\"priority\":10,\"table\":\"254\"}]";
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_MARK, CHECK_OK, PACKETS4), "mark 0x4101");
}

static void a_mark_with_more_bits_is_no_match_without_a_mask(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i client0 -j MARK --set-xmark 0x4100/0xffffffff\n"
		       "-A PREROUTING -p tcp -m socket --transparent -j MARK --set-xmark "
		       "0x1/0x1\n"));
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
	finding = found_about(CHECK_IP_RULE, CHECK_MISSING, "IPv4");
	assert_reads(finding, "`ip -4 rule` has no rule for mark 0x4101");
	assert_fixed_by_ip_rule(finding, 4, "fwmark 0x4101 lookup 100");
}

static void a_mark_on_all_packets_is_shared(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT "-A PREROUTING -i client0 " MARKED));
	host_judged();
	assert_alone(CHECK_MARK_SHARED, CHECK_HARMFUL);
	finding = found_about(CHECK_MARK_SHARED, CHECK_HARMFUL, "IPv4");
	assert_reads(finding,
		"`iptables -t mangle -A PREROUTING -i client0 -j MARK --set-xmark 0x1/0xffffffff` "
		"sets mark 0x1 on packets that are not the proxy's, so they are not forwarded. Use another mark for the proxy (`tproxyctl plan --mark N`) or in that rule");
	assert_int_equal(finding->command_count, 0);
}

static void packets_that_this_host_sends_itself_are_not_judged_as_forwarded(void **state)
{
	(void)state;
	service_add_client(&host.service, "198.51.100.1");
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT "-A PREROUTING " MARKED));
	host_judged();
	assert_int_equal(found_count(CHECK_MARK_SHARED, CHECK_HARMFUL), 0);
}

static void a_mark_of_another_table_is_not_shared(void **state)
{
	(void)state;
	host.policy[FOUR] = "[{\"priority\":9,\"fwmark\":\"0x1\",\"table\":\"100\"},"
			    "{\"priority\":10,\"fwmark\":\"0x2\",\"table\":\"254\"},"
			    "{\"priority\":11,\"table\":\"254\"}]";
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i client0 -j MARK --set-xmark 0x2/0xffffffff\n" DIVERT));
	host_judged();
	assert_well();
}

/* --- what is not understood --- */

static void an_unsupported_match_is_unknown(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p tcp -m socket --transparent -m strange --words " MARKED));
	host_judged();
	assert_well();
	finding = found_about(CHECK_DIVERT, CHECK_UNKNOWN, PACKETS4);
	assert_non_null(strstr(finding->read, "no rule is known to match; `iptables -t mangle "
					      "-A PREROUTING -p tcp"));
	assert_non_null(strstr(finding->read, "` might (unsupported match or target)"));
	assert_int_equal(finding->command_count, 0);
}

static void a_rule_that_might_drop_packets_first_is_reported(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i client0 -m strange --words -j DROP\n" DIVERT));
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_FILTER, CHECK_UNKNOWN, PACKETS4),
		"`iptables -t mangle -A PREROUTING -i client0 -m strange --words -j DROP` might apply to them (unsupported match or target)");
}

static void a_listener_of_the_other_family_is_not_judged(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT));
	host_judged();
	assert_well();
	assert_int_equal(found_count(CHECK_DIVERT, CHECK_UNKNOWN), 0);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

static void a_mark_and_a_table_of_another_program_are_not_used(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, "*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n");
	host.policy[FOUR] =
		"[{\"priority\":100,\"src\":\"all\",\"fwmark\":\"0x1\",\"table\":\"100\"},"
		"{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]";
	host.routes[FOUR] = "[{\"dst\":\"default\",\"dev\":\"server0\",\"table\":\"100\"},"
			    "{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
			    "{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	assert_fixed_by_ip_rule(found(CHECK_IP_RULE, CHECK_MISSING), 4, "fwmark 0x2 lookup 101");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(the_walkthroughs_set_up_is_ok),
		WITH(the_walkthroughs_set_up_for_ipv6_is_ok),
		WITH(undiverted_packets_get_a_rule),
		WITH(ipv6_is_diverted_by_its_own_tool),
		WITH(legacy_rules_are_fixed_by_the_legacy_tool),
		WITH(nft_gets_a_rule_in_front_of_the_chain_that_is_there),
		WITH(nft_gets_a_table_if_none_diverts),
		WITH(datagrams_get_a_rule_for_udp),
		WITH(the_rule_sets_the_mark_of_the_ip_rule),
		WITH(a_table_of_another_program_is_not_used),
		WITH(several_clients_give_one_finding),
		WITH(packets_of_a_named_client_are_simulated),
		WITH(clients_may_be_behind_the_servers_link_if_there_is_no_other),
		WITH(with_another_link_no_client_is_behind_the_servers_link),
		WITH(without_a_link_clients_are_not_known),
		WITH(a_rule_that_accepts_first_does_harm),
		WITH(a_verdict_of_nft_that_accepts_first_does_harm),
		WITH(an_accept_in_another_table_does_no_harm),
		WITH(an_accept_in_a_table_that_diverts_nothing_is_not_the_cause),
		WITH(iptables_skips_a_wildcard_listener),
		WITH(with_nowildcard_it_is_diverted),
		WITH(a_listener_of_both_families_is_judged_in_both),
		WITH(an_ipv6_listener_with_v6only_has_no_ipv4_clients),
		WITH(tproxy_rules_say_the_destinations_of_a_wildcard_listener),
		WITH(an_address_of_its_own_hides_the_wildcard),
		WITH(diverted_packets_without_a_mark_are_reported),
		WITH(an_unknown_mark_is_not_missing),
		WITH(tproxy_sets_its_mark_itself),
		WITH(tproxy_without_a_mark_is_not_delivered),
		WITH(a_mask_leaves_other_bits_alone),
		WITH(a_mark_with_more_bits_is_no_match_without_a_mask),
		WITH(a_mark_on_all_packets_is_shared),
		WITH(packets_that_this_host_sends_itself_are_not_judged_as_forwarded),
		WITH(a_mark_of_another_table_is_not_shared),
		WITH(an_unsupported_match_is_unknown),
		WITH(a_rule_that_might_drop_packets_first_is_reported),
		WITH(a_mark_and_a_table_of_another_program_are_not_used),
		WITH(a_listener_of_the_other_family_is_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
