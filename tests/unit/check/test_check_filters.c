/*
 * The checklist on rules that drop packets: of connections, and of IPv6 neighbour discovery.
 */
#include "snapshots.h"

#include <string.h>

#define NFT_BY_SERVER NFT_IS("{\"meta\":{\"key\":\"iifname\"}}", "\"server0\"")
#define NFT_TPROXY    "{\"tproxy\":{\"addr\":\"192.0.2.80\",\"port\":80}}"

static void a_rule_of_input_that_drops_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with(FILTER("ACCEPT", "ACCEPT", "-A INPUT -i client0 -j DROP\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding, "`iptables -t filter -A INPUT -i client0 -j DROP` drops them");
	assert_fixed_by_rule(
		finding, "iptables -w -t filter", "INPUT", "-m mark --mark 0x1 -j ACCEPT");
	assert_int_equal(found_count(CHECK_FILTER, CHECK_HARMFUL), 1);
}

static void a_policy_of_input_that_drops_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with(FILTER("DROP", "ACCEPT", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding, "the policy of table filter drops them");
	assert_fixed_by_rule(
		finding, "iptables -w -t filter", "INPUT", "-m mark --mark 0x1 -j ACCEPT");
	found_about(CHECK_FILTER, CHECK_HARMFUL, ANSWERS4);
}

static void of_two_policies_each_is_fixed_in_its_own_chain(void **state)
{
	(void)state;
	host_judged_with(FILTER("DROP", "DROP", ""));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, REQUESTS4),
		"iptables -w -t filter", "OUTPUT", "-p tcp -d 203.0.113.20 --dport 80 -j ACCEPT");
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"iptables -w -t filter", "INPUT", "-m mark --mark 0x1 -j ACCEPT");
}

static void a_filter_that_accepts_answers_drops_only_requests(void **state)
{
	(void)state;
	host_judged_with(FILTER("DROP", "ACCEPT",
		"-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4);
	assert_int_equal(found_count(CHECK_FILTER, CHECK_HARMFUL), 1);
}

static void a_user_chain_that_drops_is_not_changed(void **state)
{
	(void)state;
	host_judged_with(
		"*filter\n:INPUT ACCEPT [0:0]\n:OWN - [0:0]\n-A INPUT -j OWN\n-A OWN -j REJECT "
		"--reject-with icmp-port-unreachable\nCOMMIT\n");
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"iptables -w -t filter", "INPUT", "-m mark --mark 0x1 -j ACCEPT");
}

static void a_rule_of_output_drops_requests_without_a_mark(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with(FILTER("ACCEPT", "ACCEPT", "-A OUTPUT ! -s 203.0.113.1/32 -j DROP\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_FILTER, CHECK_HARMFUL, REQUESTS4);
	assert_reads(
		finding, "`iptables -t filter -A OUTPUT ! -s 203.0.113.1/32 -j DROP` drops them");
	assert_fixed_by_rule(finding, "iptables -w -t filter", "OUTPUT",
		"-p tcp -d 203.0.113.20 --dport 80 -j ACCEPT");
}

static void a_policy_of_output_drops_requests_too(void **state)
{
	(void)state;
	host_judged_with(FILTER("ACCEPT", "DROP",
		"-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, REQUESTS4),
		"iptables -w -t filter", "OUTPUT", "-p tcp -d 203.0.113.20 --dport 80 -j ACCEPT");
}

static void a_policy_of_output_drops_answers_to_clients(void **state)
{
	(void)state;
	host_serves(VIP4 ":80", NULL);
	host_judged_with(FILTER("ACCEPT", "DROP", "-A OUTPUT -o server0 -j ACCEPT\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, "answers to clients (IPv4)"),
		"iptables -w -t filter", "OUTPUT", "-p tcp -s 192.0.2.80 --sport 80 -j ACCEPT");
}

static void a_drop_in_prerouting_is_reported_and_fixed_there(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with("*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
			 "-A PREROUTING -d 192.0.2.0/24 -j DROP\nCOMMIT\n");
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4);
	assert_fixed_by_rule(finding, "iptables -w -t raw", "PREROUTING",
		"-p tcp -d 192.0.2.80 --dport 80 -j ACCEPT");
}

static void ipv6_is_accepted_by_its_own_tool(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_rules(TOOL_LEGACY, AF_INET6, MANGLE(DIVERT6));
	host_more_rules(TOOL_LEGACY, AF_INET6, FILTER("DROP", "ACCEPT", ""));
	host_judged();
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS6),
		"ip6tables-legacy -w -t filter", "INPUT", "-m mark --mark 0x1 -j ACCEPT");
}

/* --- neighbour discovery --- */

#define GUESSED6 "2001:db8:c::a" /* for a client */

#define DISCOVERY(type) "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type " type

static void with_ipv6(const char *text)
{
	host_serves_ipv6();
	host_rules(TOOL_IPTABLES, AF_INET6, MANGLE(DIVERT6));
	host_more_rules(TOOL_IPTABLES, AF_INET6, text);
	host_judged();
}

static void what_drops_neighbour_discovery_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	with_ipv6(FILTER("DROP", "ACCEPT", "-A INPUT -p tcp -j ACCEPT\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_FILTER, CHECK_HARMFUL,
		"neighbour advertisements from " GUESSED6 " on client0");
	assert_reads(finding, "the policy of table filter drops them");
	assert_fixed_by_rule(finding, "ip6tables -w -t filter", "INPUT",
		"-p ipv6-icmp --icmpv6-type neighbour-advertisement -j ACCEPT");
	finding = found_about(
		CHECK_FILTER, CHECK_HARMFUL, "neighbour solicitations from " SERVER6 " on server0");
	assert_fixed_by_rule(finding, "ip6tables -w -t filter", "INPUT",
		"-p ipv6-icmp --icmpv6-type neighbour-solicitation -j ACCEPT");
	assert_int_equal(found_count(CHECK_FILTER, CHECK_HARMFUL), 4);
}

static void neighbour_discovery_that_is_sent_is_judged_too(void **state)
{
	(void)state;
	with_ipv6(FILTER("ACCEPT", "ACCEPT", "-A OUTPUT -o client0 -p ipv6-icmp -j DROP\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	found_about(
		CHECK_FILTER, CHECK_HARMFUL, "neighbour solicitations to " GUESSED6 " on client0");
	found_about(
		CHECK_FILTER, CHECK_HARMFUL, "neighbour advertisements to " GUESSED6 " on client0");
	assert_int_equal(found_count(CHECK_FILTER, CHECK_HARMFUL), 2);
}

/* The mark chooses their route, and that of the proxy's packets leads to lo. What goes to a multicast address stays on its link. */
static void advertisements_that_a_mark_keeps_here_are_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	with_ipv6(MANGLE("-A OUTPUT -m owner ! --uid-owner 0 -j MARK --set-xmark 0x1/0x1\n"));
	assert_alone(CHECK_MARK_SHARED, CHECK_HARMFUL);
	finding = found_about(CHECK_MARK_SHARED, CHECK_HARMFUL,
		"neighbour advertisements to " GUESSED6 " on client0");
	assert_fixed_by_rule(finding, "ip6tables -w -t mangle", "OUTPUT",
		"-p ipv6-icmp --icmpv6-type neighbour-advertisement -j ACCEPT");
	assert_int_equal(found_count(CHECK_MARK_SHARED, CHECK_HARMFUL), 2);
}

/* Linux looks for a route on the packet's own link alone: ip6_route_me_harder(). */
static void advertisements_to_a_link_local_router_keep_their_link(void **state)
{
	(void)state;
	host.routes[SIX] = "[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
			   "{\"dst\":\"2001:db8:c::/64\",\"dev\":\"client0\"},"
			   "{\"dst\":\"default\",\"dev\":\"server0\"}]";
	host.gateway = host_address("fe80::1", 0);
	with_ipv6(MANGLE("-A OUTPUT -m owner ! --uid-owner 0 -j MARK --set-xmark 0x1/0x1\n"));
	found_about(CHECK_MARK_SHARED, CHECK_HARMFUL,
		"neighbour advertisements to " GUESSED6 " on client0");
	assert_int_equal(found_count(CHECK_MARK_SHARED, CHECK_HARMFUL), 1);
}

static void neighbour_discovery_that_is_accepted_is_well(void **state)
{
	(void)state;
	with_ipv6(FILTER("DROP", "ACCEPT",
		"-A INPUT -p tcp -j ACCEPT\n" DISCOVERY("135 -m hl --hl-eq 255 -j ACCEPT\n")
			DISCOVERY("136 -j ACCEPT\n")));
	assert_well();
}

static void a_low_limit_of_neighbour_discovery_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	with_ipv6(FILTER("DROP", "ACCEPT",
		"-A INPUT -p tcp -j ACCEPT\n" DISCOVERY("135 -j ACCEPT\n")
			DISCOVERY("136 -m limit --limit 3/min -j ACCEPT\n")));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	finding = found_about(CHECK_FILTER, CHECK_HARMFUL,
		"neighbour advertisements from " GUESSED6 " on client0");
	assert_non_null(strstr(finding->read, "as soon as the limit"));
	assert_int_equal(found_count(CHECK_FILTER, CHECK_HARMFUL), 2);
}

/* Connections are not tracked for it, so no rule for established ones lets it in. */
static void a_rule_for_established_connections_is_not_for_neighbour_discovery(void **state)
{
	(void)state;
	with_ipv6(FILTER("DROP", "ACCEPT",
		"-A INPUT -p tcp -j ACCEPT\n"
		"-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,NEW -j ACCEPT\n"));
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
}

static void nft_accepts_in_front_of_a_rule_that_drops(void **state)
{
	(void)state;
	host_more_rules(TOOL_NFT, 0,
		NFT(NFT_FILTER("input", "accept")
				NFT_RULE("inet", "f", "c", NFT_TCP "," NFT_DROP)));
	host_judged();
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_reads(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"`inet f c handle 7` drops them");
	assert_fixed_by_nft(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4), "insert",
		"inet f c", "meta mark 0x1 accept", "tproxyctl-accept-meta-mark-0x1");
}

static void nft_accepts_behind_all_rules_if_the_policy_drops(void **state)
{
	(void)state;
	host_more_rules(TOOL_NFT, 0, NFT(NFT_FILTER("input", "drop")));
	host_judged();
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_reads(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"the policy of table f drops them");
	assert_fixed_by_nft(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4), "add", "inet f c",
		"meta mark 0x1 accept", "tproxyctl-accept-meta-mark-0x1");
}

static void nft_matches_requests_by_their_server(void **state)
{
	(void)state;
	host_more_rules(TOOL_NFT, 0, NFT(NFT_FILTER("output", "drop")));
	host_judged();
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_nft(found_about(CHECK_FILTER, CHECK_HARMFUL, REQUESTS4), "add", "inet f c",
		"ip daddr 203.0.113.20 tcp dport 80 accept",
		"tproxyctl-accept-ip-daddr-203-0-113-20-tcp-dport-80");
}

static void nft_tproxy_needs_a_verdict_if_the_policy_drops(void **state)
{
	(void)state;
	host_rules(TOOL_NFT, 0,
		NFT(NFT_TABLE("ip", "t") NFT_CHAIN("ip", "t", "pre", "prerouting", "-150",
			"drop") NFT_RULE("ip", "t", "pre", NFT_PORT "," NFT_TPROXY "," NFT_MARK)
				NFT_RULE("ip", "t", "pre",
					NFT_BY_SERVER "," NFT_SOCKET "," NFT_MARK "," NFT_ACCEPT)));
	host_judged();
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_reads(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"the policy of table t drops them, because the rule with `tproxy` has no verdict (accept)");
	assert_fixed_by_nft(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4), "add", "ip t pre",
		"meta mark 0x1 accept", "tproxyctl-accept-meta-mark-0x1");
}

static void answers_of_servers_are_matched_by_their_source(void **state)
{
	(void)state;
	host_judged_with("*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
			 "-A PREROUTING -s 203.0.113.0/24 -j DROP\nCOMMIT\n");
	assert_alone(CHECK_FILTER, CHECK_HARMFUL);
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, ANSWERS4),
		"iptables -w -t raw", "PREROUTING", "-p tcp -s 203.0.113.20 --sport 80 -j ACCEPT");
}

/* A match of sockets alone diverts nothing, so an accept in front of the rule is right. */
static void a_rule_that_drops_what_has_a_socket_is_passed_by_an_accept(void **state)
{
	(void)state;
	host_judged_with("*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
			 "-A PREROUTING -p tcp -m socket -j DROP\nCOMMIT\n");
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"iptables -w -t raw", "PREROUTING", "-p tcp -d 192.0.2.80 --dport 80 -j ACCEPT");
}

static void a_drop_that_depends_on_an_unsupported_match_is_unknown(void **state)
{
	(void)state;
	host_judged_with(FILTER("DROP", "ACCEPT", "-A INPUT -m strange --words -j ACCEPT\n"));
	assert_well();
	assert_reads(found_about(CHECK_FILTER, CHECK_UNKNOWN, PACKETS4),
		"the policy of table filter drops them");
}

static void a_drop_that_might_apply_is_unknown(void **state)
{
	(void)state;
	host_judged_with(FILTER("ACCEPT", "ACCEPT", "-A OUTPUT -m strange --words -j DROP\n"));
	assert_well();
	assert_reads(found_about(CHECK_FILTER, CHECK_UNKNOWN, REQUESTS4),
		"`iptables -t filter -A OUTPUT -m strange --words -j DROP` might apply to them (unsupported match or target)");
}

/* A set that was not read: which program has the list is said. */
static void a_rule_that_asks_a_set_says_how_to_read_the_set(void **state)
{
	(void)state;
	host_judged_with(
		FILTER("ACCEPT", "ACCEPT", "-A INPUT -m set --match-set bad src -j DROP\n"));
	assert_well();
	assert_reads(found_about(CHECK_FILTER, CHECK_UNKNOWN, PACKETS4),
		"`iptables -t filter -A INPUT -m set --match-set bad src -j DROP` might apply to them (it asks a set that check could not read; `ipset list` prints it)");
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_rule_of_input_that_drops_is_reported),
		WITH(a_policy_of_input_that_drops_is_reported),
		WITH(of_two_policies_each_is_fixed_in_its_own_chain),
		WITH(a_filter_that_accepts_answers_drops_only_requests),
		WITH(a_user_chain_that_drops_is_not_changed),
		WITH(a_rule_of_output_drops_requests_without_a_mark),
		WITH(a_policy_of_output_drops_requests_too),
		WITH(a_policy_of_output_drops_answers_to_clients),
		WITH(a_drop_in_prerouting_is_reported_and_fixed_there),
		WITH(ipv6_is_accepted_by_its_own_tool),
		WITH(what_drops_neighbour_discovery_is_reported),
		WITH(neighbour_discovery_that_is_sent_is_judged_too),
		WITH(advertisements_that_a_mark_keeps_here_are_reported),
		WITH(advertisements_to_a_link_local_router_keep_their_link),
		WITH(neighbour_discovery_that_is_accepted_is_well),
		WITH(a_low_limit_of_neighbour_discovery_is_reported),
		WITH(a_rule_for_established_connections_is_not_for_neighbour_discovery),
		WITH(nft_accepts_in_front_of_a_rule_that_drops),
		WITH(nft_accepts_behind_all_rules_if_the_policy_drops),
		WITH(nft_matches_requests_by_their_server),
		WITH(nft_tproxy_needs_a_verdict_if_the_policy_drops),
		WITH(answers_of_servers_are_matched_by_their_source),
		WITH(a_rule_that_drops_what_has_a_socket_is_passed_by_an_accept),
		WITH(a_drop_that_depends_on_an_unsupported_match_is_unknown),
		WITH(a_drop_that_might_apply_is_unknown),
		WITH(a_rule_that_asks_a_set_says_how_to_read_the_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
