/*
 * The checklist on what happens to packets apart from the proxy's own rules: address translation, two firewall tools, bridges, SYN cookies, and clients on the host itself.
 */
#include "snapshots.h"

#include <string.h>

#define TPROXIED                                                                                   \
	"-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY --on-port 8080 "        \
	"--on-ip 192.0.2.80 --tproxy-mark 0x1/0xffffffff\n"

/* --- address translation --- */

static void a_redirect_of_clients_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with(NAT("-A PREROUTING -i client0 -p tcp -j REDIRECT --to-ports 8080\n"));
	assert_alone(CHECK_NAT_DESTINATION, CHECK_HARMFUL);
	finding = found_about(CHECK_NAT_DESTINATION, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding, "`iptables -t nat -A PREROUTING -i client0 -p tcp -j REDIRECT "
			      "--to-ports 8080` changes their destination");
	assert_fixed_by_rule(
		finding, "iptables -w -t nat", "PREROUTING", "-m mark --mark 0x1 -j ACCEPT");
}

/* Whether a rule before it takes the packet is not known, so neither is this. */
static void a_redirect_behind_a_rule_that_is_not_understood_is_in_doubt(void **state)
{
	(void)state;
	host_judged_with(NAT("-A PREROUTING -m strange --words -j ACCEPT\n"
			     "-A PREROUTING -i client0 -p tcp -j REDIRECT --to-ports 8080\n"));
	assert_well();
	assert_state(CHECK_NAT_DESTINATION, CHECK_UNKNOWN);
}

static void a_rule_of_other_software_is_named_with_its_writer(void **state)
{
	static const char *const chains[][2] = {
		{"KUBE-SERVICES",
			"kube-proxy, which may undo a command: configure it, too: it leaves what stands before its own chains"},
		{"cali-PREROUTING",
			"Calico, which may undo a command: configure it, too: `chainInsertMode: Append`"},
		{"CILIUM_PRE", "Cilium, which may undo a command: configure it, too)"},
		{"DOCKER", "Docker, which may undo"}, {"ISTIO_INBOUND", "Istio, which may undo"},
		{"f2b-web", "fail2ban, which may undo"}, {"mihomo", "mihomo, which may undo"}};

	(void)state;
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		char text[512], expected[256];

		snprintf(text, sizeof(text),
			MANGLE(DIVERT) "*nat\n:PREROUTING ACCEPT [0:0]\n:%s - [0:0]\n-A PREROUTING -j %s\n"
				       "-A %s -i client0 -p tcp -j REDIRECT --to-ports 8080\nCOMMIT\n",
			chains[i][0], chains[i][0], chains[i][0]);
		snprintf(expected, sizeof(expected), "(of %s", chains[i][1]);
		host_rules(TOOL_IPTABLES, AF_INET, text);
		host_judged();
		assert_non_null(
			strstr(found_about(CHECK_NAT_DESTINATION, CHECK_HARMFUL, PACKETS4)->read,
				expected));
	}
}

static void a_dnat_of_unmarked_packets_is_fixed_by_the_address(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		NAT("-A PREROUTING -d 192.0.2.80/32 -p tcp -j DNAT --to-destination "
		    "198.51.100.1:81\n"));
	host_judged();
	assert_state(CHECK_NAT_DESTINATION, CHECK_HARMFUL);
	assert_fixed_by_rule(found(CHECK_NAT_DESTINATION, CHECK_HARMFUL), "iptables -w -t nat",
		"PREROUTING", "-p tcp -d 192.0.2.80 --dport 80 -j ACCEPT");
}

static void a_redirect_of_the_proxys_requests_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with(NAT("-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128\n"));
	assert_alone(CHECK_NAT_DESTINATION, CHECK_HARMFUL);
	finding = found_about(CHECK_NAT_DESTINATION, CHECK_HARMFUL, REQUESTS4);
	assert_fixed_by_rule(finding, "iptables -w -t nat", "OUTPUT",
		"-p tcp -d 203.0.113.20 --dport 80 -j ACCEPT");
}

static void a_masquerade_towards_the_servers_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_judged_with(NAT("-A POSTROUTING -o server0 -j MASQUERADE\n"));
	assert_alone(CHECK_NAT_SOURCE, CHECK_HARMFUL);
	finding = found_about(CHECK_NAT_SOURCE, CHECK_HARMFUL, REQUESTS4);
	assert_reads(finding,
		"`iptables -t nat -A POSTROUTING -o server0 -j MASQUERADE` changes the client's address");
	assert_fixed_by_rule(finding, "iptables -w -t nat", "POSTROUTING",
		"-p tcp -d 203.0.113.20 --dport 80 -j ACCEPT");
}

/* A connection begins for connection tracking with the first packet that no rule leaves out, and is masqueraded from then on. */
static void a_masquerade_of_what_is_tracked_late_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/netfilter/nf_conntrack_tcp_loose", "1");
	host_judged_with(
		"*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j CT --notrack\nCOMMIT\n" NAT(
			"-A POSTROUTING -o server0 -j MASQUERADE\n"));
	assert_alone(CHECK_NAT_SOURCE, CHECK_HARMFUL);
	found_about(CHECK_NAT_SOURCE, CHECK_HARMFUL, REQUESTS4);
	host_judged_with(
		"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j CT --notrack\nCOMMIT\n" NAT(
			"-A POSTROUTING -o client0 -j MASQUERADE\n"));
	finding = found_about(CHECK_NAT_SOURCE, CHECK_HARMFUL, "answers to clients (IPv4)");
	assert_reads(finding,
		"`iptables -t nat -A POSTROUTING -o client0 -j MASQUERADE` changes the address that the client connected to");
	assert_fixed_by_rule(finding, "iptables -w -t nat", "POSTROUTING",
		"-p tcp -s 192.0.2.80 --sport 80 -j ACCEPT");
}

static void a_masquerade_by_mark_is_fixed_by_the_mark(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		TABLE("mangle", "ACCEPT", "ACCEPT",
			DIVERT "-A OUTPUT -j MARK --set-xmark 0x40/0xffffffff\n"));
	host_more_rules(TOOL_IPTABLES, AF_INET,
		NAT("-A POSTROUTING -m mark --mark 0x40 -j SNAT --to-source 203.0.113.1\n"));
	host_judged();
	assert_alone(CHECK_NAT_SOURCE, CHECK_HARMFUL);
	assert_fixed_by_rule(found(CHECK_NAT_SOURCE, CHECK_HARMFUL), "iptables -w -t nat",
		"POSTROUTING", "-m mark --mark 0x40 -j ACCEPT");
}

static void a_masquerade_towards_other_hosts_does_no_harm(void **state)
{
	(void)state;
	host_judged_with(NAT("-A POSTROUTING -o client0 -j MASQUERADE\n"
			     "-A POSTROUTING -d 203.0.113.21/32 -j MASQUERADE\n"));
	assert_well();
}

static void connections_from_the_proxys_own_address_may_be_masqueraded(void **state)
{
	(void)state;
	host.service.spoofs = false;
	host_judged_with(NAT("-A POSTROUTING -o server0 -j MASQUERADE\n"));
	assert_well();
}

/* --- ICMP errors --- */

static void undiverted_icmp_errors_are_advice_with_a_command(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT_TCP));
	host_judged();
	assert_well();
	finding = found_about(CHECK_ICMP, CHECK_ADVICE, ANSWERS4);
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING",
		"-p icmp -m socket --transparent -j MARK --set-mark 0x1");
}

#define RELATED_ICMP                                                                               \
	MANGLE(DIVERT_TCP                                                                          \
		"-A PREROUTING -p icmp -m conntrack --ctstate RELATED -m socket --transparent " MARKED)
#define NOT_TRACKED                                                                                \
	TABLE("raw", "ACCEPT", "ACCEPT",                                                           \
		"-A PREROUTING -p tcp -j CT --notrack\n-A OUTPUT -p tcp -j CT --notrack\n")

/* To connection tracking, an error about a connection that it does not know is invalid. */
static void icmp_errors_are_related_to_what_is_tracked_alone(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, RELATED_ICMP);
	host_judged();
	assert_well();
	assert_non_null(found_about(CHECK_ICMP, CHECK_OK, ANSWERS4));
	host_rules(TOOL_IPTABLES, AF_INET, RELATED_ICMP NOT_TRACKED);
	host_judged();
	assert_well();
	assert_non_null(found_about(CHECK_ICMP, CHECK_ADVICE, ANSWERS4));
}

static void icmp_of_ipv6_has_another_name(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_rules(TOOL_IPTABLES, AF_INET6, MANGLE(DIVERT_TCP));
	host_judged();
	assert_well();
	assert_non_null(strstr(found_about(CHECK_ICMP, CHECK_ADVICE, ANSWERS6)->commands[0].run,
		"ip6tables -w -t mangle -I PREROUTING -p ipv6-icmp -m socket "));
}

/* --- two tools --- */

static void rules_of_two_tools_are_advice(void **state)
{
	(void)state;
	host_more_rules(TOOL_LEGACY, AF_INET, FILTER("ACCEPT", "ACCEPT", "-A INPUT -j ACCEPT\n"));
	host_judged();
	assert_well();
	assert_non_null(strstr(found_about(CHECK_BACKENDS, CHECK_ADVICE, "")->read,
		"Packets pass all of them, but each tool lists only its own"));
}

static void nft_and_legacy_are_two_tools(void **state)
{
	(void)state;
	host_rules(TOOL_LEGACY, AF_INET, MANGLE(DIVERT));
	host_more_rules(TOOL_NFT, 0,
		NFT(NFT_FILTER("input", "accept")
				NFT_RULE("inet", "f", "c", NFT_TCP "," NFT_ACCEPT)));
	host_judged();
	assert_well();
	found_about(CHECK_BACKENDS, CHECK_ADVICE, "");
}

static void empty_tables_of_the_other_tool_do_no_harm(void **state)
{
	(void)state;
	host_rules(TOOL_LEGACY, AF_INET, MANGLE(DIVERT));
	host_more_rules(TOOL_NFT, 0, NFT(NFT_FILTER("input", "accept")));
	host_judged();
	assert_well();
	assert_reads(found(CHECK_BACKENDS, CHECK_OK), "only iptables-legacy has rules");
}

static void rules_that_no_tool_shows_are_unknown(void **state)
{
	(void)state;
	host.snapshot.rules_unseen = (char *)"there is no program 'nft'";
	host_judged();
	assert_well();
	assert_reads(found(CHECK_BACKENDS, CHECK_UNKNOWN), "there is no program 'nft'");
}

/* --- the way past the proxy --- */

/* Intercepts port 80 of ADDRESSES by nft, whose `tproxy` lets packets pass while nothing listens. */
static const struct check_finding *passed_by(const char *addresses)
{
	char text[2048];

	snprintf(text, sizeof(text),
		NFT(NFT_TABLE("ip", "t") NFT_CHAIN(
			"ip", "t", "pre", "prerouting", "-150", "accept") NFT_RULE("ip", "t", "pre",
			"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip\","
			"\"field\":\"daddr\"}},\"right\":%s}}," NFT_PORT
			",{\"tproxy\":{\"port\":8080}}," NFT_MARK)),
		addresses);
	host_sysctl("net/ipv4/ip_forward", "1");
	host_serves("0.0.0.0:8080", NULL);
	host.sockets[0].local = host_address("0.0.0.0", 8080);
	host_rules(TOOL_NFT, AF_INET, text);
	host_judged();
	return found(CHECK_BYPASS, CHECK_ADVICE);
}

static void a_command_closes_the_way_to_what_is_intercepted_alone(void **state)
{
	const struct check_finding *finding = passed_by("\"203.0.113.20\"");

	(void)state;
	assert_true(finding->command_count > 0);
	assert_non_null(strstr(finding->commands[0].run, "203.0.113.20-203.0.113.20"));
	finding = passed_by("{\"set\":[\"203.0.113.20\",\"203.0.113.40\"]}");
	assert_int_equal(finding->command_count, 0);
}

/* --- SYN cookies --- */

static void tproxied(const char *cookies)
{
	host_sysctl("net/ipv4/tcp_syncookies", cookies);
	host_serves("0.0.0.0:80", NULL); /* which the socket match skips */
	host.sockets[0].local = host_address("0.0.0.0", 80);
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE(DIVERT_TCP "-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 "
				  "--tcp-flags FIN,SYN,RST,ACK SYN -j TPROXY --on-port 80 "
				  "--on-ip 0.0.0.0 --tproxy-mark 0x1/0xffffffff\n"));
	host_judged();
}

static void syncookies_always_on_lose_connections_if_only_syns_are_diverted(void **state)
{
	const struct check_finding *finding;

	(void)state;
	tproxied("2");
	assert_alone(CHECK_SYNCOOKIES, CHECK_HARMFUL);
	finding = found_about(CHECK_SYNCOOKIES, CHECK_HARMFUL, PACKETS4);
	assert_reads(finding, "net.ipv4.tcp_syncookies is 2, but the rules divert only SYNs");
	assert_fixed_by(finding, "sysctl -w net.ipv4.tcp_syncookies=1",
		"sysctl -w net.ipv4.tcp_syncookies=2");
}

static void syncookies_during_a_flood_are_advice(void **state)
{
	(void)state;
	tproxied("1");
	assert_well();
	assert_non_null(strstr(found_about(CHECK_SYNCOOKIES, CHECK_ADVICE, PACKETS4)->read,
		"during a SYN flood connections fail"));
	tproxied("0");
	assert_reads(found(CHECK_SYNCOOKIES, CHECK_OK), "net.ipv4.tcp_syncookies is 0");
	tproxied(NULL);
	assert_reads(found(CHECK_SYNCOOKIES, CHECK_OK), "this kernel has no SYN cookies");
}

static void syncookies_do_no_harm_if_every_packet_is_diverted(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/tcp_syncookies", "2");
	host_judged();
	assert_well();
}

/* --- bridges --- */

static void on_a_bridge(const char *key, const char *value, const char *rules)
{
	host.links = "[{\"ifname\":\"lo\",\"flags\":[\"UP\"]},"
		     "{\"ifname\":\"client0\",\"flags\":[\"UP\"],\"linkinfo\":{\"info_kind\":"
		     "\"bridge\"},\"addr_info\":[{\"local\":\"198.51.100.1\",\"prefixlen\":24}]},"
		     "{\"ifname\":\"server0\",\"flags\":[\"UP\"],\"addr_info\":[{\"local\":"
		     "\"203.0.113.1\",\"prefixlen\":24}]}]";
	host_listens(VIP4, 8080, IPPROTO_TCP);
	host_sysctl(key, value);
	host_rules(TOOL_IPTABLES, AF_INET, rules);
	host_judged();
}

static void on_a_bridge_the_listener_chosen_by_tproxy_is_lost(void **state)
{
	const struct check_finding *finding;

	(void)state;
	on_a_bridge("net/bridge/bridge-nf-call-iptables", "1", MANGLE(TPROXIED DIVERT));
	assert_alone(CHECK_BRIDGE, CHECK_HARMFUL);
	finding = found_about(CHECK_BRIDGE, CHECK_HARMFUL, "client0");
	assert_reads(finding,
		"bridge-nf-call-iptables is 1, so the kernel forgets the listener that TPROXY chose (192.0.2.80:8080)");
	assert_fixed_by(finding, "sysctl -w net.bridge.bridge-nf-call-iptables=0",
		"sysctl -w net.bridge.bridge-nf-call-iptables=1");
}

static void a_bridge_without_rules_does_no_harm(void **state)
{
	(void)state;
	on_a_bridge("net/bridge/bridge-nf-call-iptables", "0", MANGLE(TPROXIED DIVERT));
	assert_well();
	on_a_bridge("net/bridge/bridge-nf-call-iptables", NULL, MANGLE(TPROXIED DIVERT));
	assert_well();
	on_a_bridge("net/bridge/bridge-nf-call-ip6tables", "1", MANGLE(TPROXIED DIVERT));
	assert_well();
}

static void on_a_bridge_a_listener_at_the_destination_works(void **state)
{
	(void)state;
	on_a_bridge("net/bridge/bridge-nf-call-iptables", "1", MANGLE(DIVERT));
	assert_well();
	assert_reads(found_about(CHECK_BRIDGE, CHECK_OK, "client0"),
		"firewall rules run on this bridge, and the listener has the address that clients connect to");
}

static void on_a_bridge_tproxy_may_choose_the_destination(void **state)
{
	(void)state;
	on_a_bridge("net/bridge/bridge-nf-call-iptables", "1",
		MANGLE("-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY "
		       "--on-port "
		       "80 --on-ip 192.0.2.80 --tproxy-mark 0x1/0xffffffff\n" DIVERT));
	assert_well();
}

/* --- clients on this host --- */

static void a_client_on_this_host_needs_a_local_address(void **state)
{
	const struct check_finding *finding;

	(void)state;
	service_add_client(&host.service, "198.51.100.1");
	host.service.spoofs = false;
	host_judged();
	assert_alone(CHECK_LOCAL_CLIENT, CHECK_MISSING);
	finding = found_about(CHECK_LOCAL_CLIENT, CHECK_MISSING, PACKETS4);
	assert_fixed_by(finding, "ip -4 route replace local 192.0.2.80/32 dev lo src 198.51.100.1",
		"ip -4 route del local 192.0.2.80/32 dev lo");
}

static void a_client_on_this_host_needs_a_local_ipv6_address(void **state)
{
	(void)state;
	host_serves_ipv6();
	service_add_client(&host.service, "2001:db8:c::1");
	host.service.spoofs = false;
	host_judged();
	assert_alone(CHECK_LOCAL_CLIENT, CHECK_MISSING);
	assert_fixed_by(found_about(CHECK_LOCAL_CLIENT, CHECK_MISSING, PACKETS6),
		"ip -6 route replace local 2001:db8:f::80/128 dev lo src 2001:db8:c::1",
		"ip -6 route del local 2001:db8:f::80/128 dev lo");
}

static void packets_marked_in_output_come_back_to_this_host(void **state)
{
	(void)state;
	service_add_client(&host.service, "198.51.100.1");
	host.service.spoofs = false;
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"default\",\"dev\":\"server0\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"}]";
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT "-A OUTPUT -d 192.0.2.80/32 " MARKED));
	host_judged();
	assert_well();
}

/* By lo, to a server on this host: each of the proxy's own requests would make another one. */
static void the_proxys_own_requests_must_not_be_intercepted(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves(VIP4 ":80", "203.0.113.1:80");
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE(DIVERT
			"-A PREROUTING -p tcp -m tcp --dport 80 -j TPROXY --on-port 80 --on-ip "
			"192.0.2.80 --tproxy-mark 0x1/0xffffffff\n"));
	host_judged();
	finding = found_about(CHECK_RULE_ORDER, CHECK_HARMFUL, "203.0.113.1");
	assert_non_null(strstr(finding->read, "intercepts the proxy's own connections"));
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING",
		"-p tcp -d 203.0.113.1 --dport 80 -j ACCEPT");
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_command_closes_the_way_to_what_is_intercepted_alone),
		WITH(a_redirect_of_clients_is_reported),
		WITH(a_redirect_behind_a_rule_that_is_not_understood_is_in_doubt),
		WITH(a_rule_of_other_software_is_named_with_its_writer),
		WITH(a_dnat_of_unmarked_packets_is_fixed_by_the_address),
		WITH(a_redirect_of_the_proxys_requests_is_reported),
		WITH(a_masquerade_towards_the_servers_is_reported),
		WITH(a_masquerade_of_what_is_tracked_late_is_reported),
		WITH(a_masquerade_by_mark_is_fixed_by_the_mark),
		WITH(a_masquerade_towards_other_hosts_does_no_harm),
		WITH(connections_from_the_proxys_own_address_may_be_masqueraded),
		WITH(undiverted_icmp_errors_are_advice_with_a_command),
		WITH(icmp_errors_are_related_to_what_is_tracked_alone),
		WITH(icmp_of_ipv6_has_another_name),
		WITH(the_proxys_own_requests_must_not_be_intercepted),
		WITH(rules_of_two_tools_are_advice),
		WITH(nft_and_legacy_are_two_tools),
		WITH(empty_tables_of_the_other_tool_do_no_harm),
		WITH(rules_that_no_tool_shows_are_unknown),
		WITH(syncookies_always_on_lose_connections_if_only_syns_are_diverted),
		WITH(syncookies_during_a_flood_are_advice),
		WITH(syncookies_do_no_harm_if_every_packet_is_diverted),
		WITH(on_a_bridge_the_listener_chosen_by_tproxy_is_lost),
		WITH(a_bridge_without_rules_does_no_harm),
		WITH(on_a_bridge_a_listener_at_the_destination_works),
		WITH(on_a_bridge_tproxy_may_choose_the_destination),
		WITH(a_client_on_this_host_needs_a_local_address),
		WITH(a_client_on_this_host_needs_a_local_ipv6_address),
		WITH(packets_marked_in_output_come_back_to_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
