/*
 * The checklist on the proxy's connections to servers: without an answer, stalled, or without a port.
 */
#include "snapshots.h"

#include <string.h>

#define LISTENER VIP4 ":80"

/* --- requests without an answer --- */

static struct host_socket *waits(const char *client, const char *server)
{
	struct host_socket *socket = host_connects(client, 40001, server);

	socket->retransmits = 1;
	socket->unacked = 1;
	return socket;
}

static void a_request_sent_only_once_is_no_finding(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4)->retransmits = 0;
	host_judged();
	assert_well();
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"no connection from a client's address is open. On the server, `ip route get "
		"198.51.100.10` has to lead to 203.0.113.1");
}

static void an_established_connection_proves_the_way_back(void **state)
{
	(void)state;
	host_connects(CLIENT4, 40000, SERVER4)->state = SOCKET_STATE_CONNECTED;
	host_judged();
	assert_well();
	assert_reads(found(CHECK_RETURN_PATH, CHECK_OK),
		"established connections from clients' addresses: 1");
}

static void a_server_on_the_link_needs_a_route_back(void **state)
{
	const struct check_finding *finding;

	(void)state;
	waits(CLIENT4, SERVER4);
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	finding = found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER4);
	assert_reads(finding,
		"requests from 198.51.100.10 are sent again and again, because no answer reaches this host. Either the server's way back to the client does not lead through this host, or the server drops them (its firewall, its rp_filter): `tproxyctl check --probe` tells them apart");
	assert_int_equal(finding->command_count, 1);
	assert_fix(finding, 0, ON_SERVER, "ip -4 route replace 198.51.100.10/32 via 203.0.113.1",
		"ip -4 route del 198.51.100.10/32 via 203.0.113.1");
}

/* Its way back is not to blame, and no command is printed for it. */
static void a_server_that_is_down_is_not_told_to_change_its_routes(void **state)
{
	const struct check_finding *finding;

	(void)state;
	waits(CLIENT4, SERVER4);
	host.neighbours_silent = true;
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	finding = found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER4);
	assert_reads(finding,
		"203.0.113.20 does not answer on server0 when this host asks for its link-layer address: it is down, or has another address");
	assert_int_equal(finding->command_count, 0);
}

static void an_ipv6_server_on_the_link_needs_a_route_too(void **state)
{
	(void)state;
	host_serves_ipv6();
	waits(CLIENT6, SERVER6);
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	assert_fix(found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER6), 0, ON_SERVER,
		"ip -6 route replace 2001:db8:c::10/128 via 2001:db8:5::1",
		"ip -6 route del 2001:db8:c::10/128 via 2001:db8:5::1");
}

static void a_server_behind_a_router_is_fixed_on_the_router(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves(LISTENER, "192.0.2.200:80");
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"default\",\"dev\":\"server0\"}]";
	host.gateway = host_address("203.0.113.254", 0);
	waits(CLIENT4, "192.0.2.200");
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	finding = found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, "192.0.2.200");
	assert_int_equal(finding->command_count, 4);
	assert_fixed_by_iptables(finding, ON_ROUTER, 0, "iptables -w -t mangle", "PREROUTING", 'A',
		"-m mac --mac-source 02:00:00:00:00:02 -j CONNMARK --set-mark 0x17101");
	assert_fixed_by_iptables(finding, ON_ROUTER, 1, "iptables -w -t mangle", "PREROUTING", 'A',
		"-s 192.0.2.200 -j CONNMARK --restore-mark");
	assert_fix(finding, 2, ON_ROUTER,
		"[ -n \"$(ip -4 rule show fwmark 0x17101 lookup 94465)\" ] || "
		"ip -4 rule add fwmark 0x17101 lookup 94465",
		"ip -4 rule del fwmark 0x17101 lookup 94465");
	assert_fix(finding, 3, ON_ROUTER, "ip -4 route replace default via 203.0.113.1 table 94465",
		"ip -4 route del default via 203.0.113.1 table 94465");
}

static void a_connection_without_retransmissions_proves_large_packets(void **state)
{
	(void)state;
	host_judged();
	assert_reads(found(CHECK_PATH_MTU, CHECK_UNKNOWN),
		"no connection from a client's address is open");
	host_connects(CLIENT4, 40000, SERVER4)->state = SOCKET_STATE_CONNECTED;
	host_judged();
	assert_reads(found(CHECK_PATH_MTU, CHECK_OK),
		"none of 1 connections sends large packets again and again");
}

static void many_clients_of_a_server_give_one_finding(void **state)
{
	const struct check_finding *finding;

	(void)state;
	for (int i = 0; i < 9; i++) {
		char client[32];

		snprintf(client, sizeof(client), "198.51.100.%d", 10 + i);
		waits(client, SERVER4);
	}
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	assert_int_equal(found_count(CHECK_RETURN_PATH, CHECK_HARMFUL), 1);
	finding = found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER4);
	assert_int_equal(finding->command_count, CHECK_COMMANDS_MAX);
	assert_fix(finding, 1, ON_SERVER, "ip -4 route replace 198.51.100.11/32 via 203.0.113.1",
		"ip -4 route del 198.51.100.11/32 via 203.0.113.1");
}

static void a_finding_about_this_host_explains_lost_answers(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4);
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"requests to servers get no answer; fix the other items first");
}

static void a_finding_about_this_host_does_not_mean_that_requests_wait(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_null(strstr(found(CHECK_RETURN_PATH, CHECK_UNKNOWN)->read, "get no answer"));
}

static void a_rule_that_is_not_understood_may_explain_lost_answers(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4);
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i server0 -m strange --words -j DROP\n" DIVERT));
	host_judged();
	assert_well();
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"requests to servers get no answer, and check cannot tell whether this host would accept one");
}

static void requests_from_the_hosts_own_address_are_not_judged(void **state)
{
	(void)state;
	waits("203.0.113.1", SERVER4)->transparent = false;
	waits(CLIENT4, "203.0.113.99");
	waits(CLIENT4, SERVER4)->remote = host_address(SERVER4, 81);
	host_judged();
	assert_well();
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
}

static void without_socket_options_the_address_shows_what_is_spoofed(void **state)
{
	(void)state;
	waits("203.0.113.1", SERVER4)->options_known = false;
	host_judged();
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
	waits(CLIENT4, SERVER4)->options_known = false;
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
}

static void without_spoofing_there_is_no_way_back_to_judge(void **state)
{
	(void)state;
	host_serves(LISTENER, NULL);
	waits(CLIENT4, SERVER4);
	host_judged();
	assert_well();
	assert_state(CHECK_RETURN_PATH, CHECK_OK);
}

/* --- uploads that stall --- */

static struct host_socket *stalls(const char *client, const char *server)
{
	struct host_socket *socket = host_connects(client, 40002, server);

	socket->state = SOCKET_STATE_CONNECTED;
	socket->retransmits = 2;
	socket->unacked = 2;
	socket->mss = 1448;
	return socket;
}

static void large_packets_sent_again_and_again_mean_a_small_mtu(void **state)
{
	const struct check_finding *finding;

	(void)state;
	stalls(CLIENT4, SERVER4);
	host_judged();
	assert_alone(CHECK_PATH_MTU, CHECK_HARMFUL);
	finding = found_about(CHECK_PATH_MTU, CHECK_HARMFUL, SERVER4);
	assert_reads(finding,
		"packets of 1448 bytes are sent again and again, and no ICMP error reaches this host");
	assert_fixed_by(finding, "sysctl -w net.ipv4.tcp_mtu_probing=2",
		"sysctl -w net.ipv4.tcp_mtu_probing=0");
}

static void undiverted_icmp_errors_explain_a_stall(void **state)
{
	const struct check_finding *finding;

	(void)state;
	stalls(CLIENT4, SERVER4);
	stalls("198.51.100.11", SERVER4)->mss = 1400;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT_TCP));
	host_judged();
	assert_alone(CHECK_ICMP, CHECK_MISSING);
	finding = found_about(CHECK_ICMP, CHECK_MISSING, SERVER4);
	assert_fixed_by_rule(finding, "iptables -w -t mangle", "PREROUTING",
		"-p icmp -m socket --transparent -j MARK --set-mark 0x1");
}

static void icmp_errors_of_one_family_do_not_explain_the_other(void **state)
{
	(void)state;
	service_add_server(&host.service, "[" SERVER6 "]:80");
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT));
	host_more_rules(TOOL_IPTABLES, AF_INET6, MANGLE(DIVERT_TCP));
	stalls(CLIENT4, SERVER4);
	host_judged();
	assert_alone(CHECK_PATH_MTU, CHECK_HARMFUL);
	host.socket_count = 1;
	stalls(CLIENT6, SERVER6);
	host_judged();
	assert_alone(CHECK_ICMP, CHECK_MISSING);
}

static void a_loss_or_a_small_packet_is_no_stall(void **state)
{
	(void)state;
	stalls(CLIENT4, SERVER4)->retransmits = 1;
	stalls(CLIENT4, SERVER4)->unacked = 1;
	stalls(CLIENT4, SERVER4)->mss = 1100;
	stalls(CLIENT4, SERVER4)->state = SOCKET_STATE_OTHER;
	stalls("203.0.113.1", SERVER4)->transparent = false;
	host_judged();
	assert_well();
}

/* --- ports --- */

/* Connections from COUNT of a client's ports, from FIRST on. */
static void connects(
	const char *client, unsigned first, unsigned count, const char *server, bool late)
{
	for (unsigned i = 0; i < count; i++) {
		struct host_socket *socket = host_connects(client, (uint16_t)(first + i), server);

		socket->state = SOCKET_STATE_CONNECTED;
		socket->bind_no_port = late;
	}
}

/* The same in TIME-WAIT: the kernel does not report their options. */
static void have_ended(const char *client, unsigned first, unsigned count, const char *server)
{
	size_t from = host.socket_count;

	connects(client, first, count, server, false);
	for (size_t i = from; i < host.socket_count; i++) {
		host.sockets[i].state = SOCKET_STATE_OTHER;
		host.sockets[i].options_known = host.sockets[i].transparent = false;
		host.sockets[i].inode = 0;
	}
}

static void a_client_may_have_used_up_its_ports_to_a_server(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5003");
	connects(CLIENT4, 5001, 3, SERVER4, true);
	host_judged();
	assert_alone(CHECK_SOURCE_PORTS, CHECK_HARMFUL);
	assert_int_equal(found_count(CHECK_SOURCE_PORTS, CHECK_HARMFUL), 1);
	finding = found_about(CHECK_SOURCE_PORTS, CHECK_HARMFUL, CLIENT4);
	assert_reads(finding, "all 3 ports are in use for one server");
	assert_fixed_by(finding, "sysctl -w 'net.ipv4.ip_local_port_range=1024 65535'",
		"sysctl -w 'net.ipv4.ip_local_port_range=5001 5003'");
}

static void a_port_that_is_left_is_enough(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5004");
	connects(CLIENT4, 5001, 3, SERVER4, true);
	host_judged();
	assert_well();
	assert_reads(found(CHECK_SOURCE_PORTS, CHECK_OK),
		"net.ipv4.ip_local_port_range has 4 ports for each client and server");
}

static void ports_to_another_server_and_of_another_client_do_not_count(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5003");
	service_add_server(&host.service, "203.0.113.21");
	connects(CLIENT4, 5001, 2, SERVER4, true);
	connects(CLIENT4, 5001, 2, "203.0.113.21", true);
	connects("198.51.100.11", 5001, 2, SERVER4, true);
	host_judged();
	assert_well();
}

static void ports_that_are_chosen_at_bind_count_for_every_server(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5004");
	service_add_server(&host.service, "203.0.113.21");
	connects(CLIENT4, 5001, 2, SERVER4, false);
	connects(CLIENT4, 5003, 2, "203.0.113.21", false);
	host_judged();
	assert_alone(CHECK_SOURCE_PORTS, CHECK_HARMFUL);
	assert_reads(found_about(CHECK_SOURCE_PORTS, CHECK_HARMFUL, CLIENT4),
		"all 4 ports are in use for all servers, because the proxy does not set IP_BIND_ADDRESS_NO_PORT");
}

static void in_time_wait_it_is_unknown_when_a_port_was_chosen(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5004");
	service_add_server(&host.service, "203.0.113.21");
	connects(CLIENT4, 5001, 2, SERVER4, true);
	connects(CLIENT4, 5003, 1, "203.0.113.21", true);
	have_ended(CLIENT4, 5004, 1, "203.0.113.21");
	host_judged();
	assert_well();
	assert_int_equal(found_count(CHECK_SOURCE_PORTS, CHECK_OK), 1);
}

static void ports_in_time_wait_are_in_use(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5003");
	connects(CLIENT4, 5001, 1, SERVER4, true);
	have_ended(CLIENT4, 5002, 2, SERVER4);
	host_judged();
	assert_alone(CHECK_SOURCE_PORTS, CHECK_HARMFUL);
	finding = found_about(CHECK_SOURCE_PORTS, CHECK_HARMFUL, CLIENT4);
	assert_reads(
		finding, "all 3 ports are in use for one server; some of them are in TIME-WAIT");
	assert_int_equal(finding->command_count, 2);
	assert_fix(finding, 0, ON_HOST, "sysctl -w net.ipv4.tcp_tw_reuse=1",
		"sysctl -w net.ipv4.tcp_tw_reuse=0");
	assert_fix(finding, 1, ON_HOST, "sysctl -w 'net.ipv4.ip_local_port_range=1024 65535'",
		"sysctl -w 'net.ipv4.ip_local_port_range=5001 5003'");
}

static void ports_in_time_wait_are_free_with_tcp_tw_reuse(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5003");
	host_sysctl("net/ipv4/tcp_tw_reuse", "1");
	connects(CLIENT4, 5001, 1, SERVER4, true);
	have_ended(CLIENT4, 5002, 2, SERVER4);
	host_judged();
	assert_well();
	assert_state(CHECK_SOURCE_PORTS, CHECK_OK);
}

static void a_port_in_use_twice_counts_once(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5004");
	service_add_server(&host.service, "203.0.113.21");
	connects(CLIENT4, 5001, 2, SERVER4, true);
	connects(CLIENT4, 5001, 2, "203.0.113.21", true);
	connects(CLIENT4, 5003, 1, "203.0.113.21", false);
	host_judged();
	assert_well();
}

static void tcp_tw_reuse_is_advised_with_spoofed_sources(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/tcp_tw_reuse", "2");
	host_judged();
	assert_well();
	assert_state(CHECK_SOURCE_PORTS, CHECK_ADVICE);
	finding = found(CHECK_SOURCE_PORTS, CHECK_ADVICE);
	assert_reads(finding,
		"net.ipv4.tcp_tw_reuse is 2 (loopback only). If a client has thousands of connections to one server in TIME-WAIT, new ones start slowly and have fewer ports");
	assert_fixed_by(
		finding, "sysctl -w net.ipv4.tcp_tw_reuse=1", "sysctl -w net.ipv4.tcp_tw_reuse=2");
	host_sysctl("net/ipv4/tcp_tw_reuse", "1");
	host_judged();
	assert_state(CHECK_SOURCE_PORTS, CHECK_OK);
	host_sysctl("net/ipv4/tcp_tw_reuse", "2");
	host_serves(VIP4 ":80", NULL);
	host_judged();
	assert_state(CHECK_SOURCE_PORTS, CHECK_OK);
}

static void a_range_that_cannot_be_read_is_unknown(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", NULL);
	host_judged();
	assert_state(CHECK_SOURCE_PORTS, CHECK_UNKNOWN);
	host_sysctl("net/ipv4/ip_local_port_range", "7");
	host_judged();
	assert_state(CHECK_SOURCE_PORTS, CHECK_UNKNOWN);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_request_sent_only_once_is_no_finding),
		WITH(an_established_connection_proves_the_way_back),
		WITH(a_server_on_the_link_needs_a_route_back),
		WITH(a_server_that_is_down_is_not_told_to_change_its_routes),
		WITH(an_ipv6_server_on_the_link_needs_a_route_too),
		WITH(a_server_behind_a_router_is_fixed_on_the_router),
		WITH(a_connection_without_retransmissions_proves_large_packets),
		WITH(many_clients_of_a_server_give_one_finding),
		WITH(a_finding_about_this_host_explains_lost_answers),
		WITH(a_finding_about_this_host_does_not_mean_that_requests_wait),
		WITH(a_rule_that_is_not_understood_may_explain_lost_answers),
		WITH(requests_from_the_hosts_own_address_are_not_judged),
		WITH(without_socket_options_the_address_shows_what_is_spoofed),
		WITH(without_spoofing_there_is_no_way_back_to_judge),
		WITH(large_packets_sent_again_and_again_mean_a_small_mtu),
		WITH(undiverted_icmp_errors_explain_a_stall),
		WITH(icmp_errors_of_one_family_do_not_explain_the_other),
		WITH(a_loss_or_a_small_packet_is_no_stall),
		WITH(a_client_may_have_used_up_its_ports_to_a_server),
		WITH(a_port_that_is_left_is_enough),
		WITH(ports_to_another_server_and_of_another_client_do_not_count),
		WITH(ports_that_are_chosen_at_bind_count_for_every_server),
		WITH(in_time_wait_it_is_unknown_when_a_port_was_chosen),
		WITH(ports_in_time_wait_are_in_use),
		WITH(ports_in_time_wait_are_free_with_tcp_tw_reuse),
		WITH(a_port_in_use_twice_counts_once),
		WITH(tcp_tw_reuse_is_advised_with_spoofed_sources),
		WITH(a_range_that_cannot_be_read_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
