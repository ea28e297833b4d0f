/*
 * The checklist on the proxy's connections to servers: those that wait, that stall, or find no port.
 */
#include "snapshots.h"

#include <string.h>

#define LISTENER VIP4 ":80"

/* --- requests that nobody answers --- */

static struct host_socket *waits(const char *client, const char *server)
{
	struct host_socket *socket = host_connects(client, 40001, server);

	socket->retransmits = 1;
	socket->unacked = 1;
	return socket;
}

static void a_request_that_was_just_sent_is_no_sign(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4)->retransmits = 0;
	host_judged();
	assert_well();
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"no connection from a client's address is open. On the server, `ip route get "
		"198.51.100.10` has to lead to 203.0.113.1");
}

static void a_connection_that_is_there_shows_the_way_back(void **state)
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
		"requests from 198.51.100.10 are sent again and again, because no answer reaches this host");
	assert_int_equal(finding->command_count, 1);
	assert_fix(finding, 0, ON_SERVER, "ip -4 route replace 198.51.100.10/32 via 203.0.113.1",
		"ip -4 route del 198.51.100.10/32 via 203.0.113.1");
}

static void an_ipv6_server_on_the_link_needs_one_too(void **state)
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

static void a_server_behind_a_router_is_the_routers_affair(void **state)
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

static void a_connection_that_gets_on_shows_that_large_packets_do(void **state)
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

static void what_something_here_explains_is_not_put_down_to_the_server(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4);
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"requests to servers get no answer; fix the other items first");
}

static void what_is_wrong_here_makes_nobody_wait(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_null(strstr(found(CHECK_RETURN_PATH, CHECK_UNKNOWN)->read, "get no answer"));
}

static void what_may_be_explained_here_is_not_put_down_to_the_server_either(void **state)
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

static void requests_from_the_hosts_own_address_are_none_of_ours(void **state)
{
	(void)state;
	waits("203.0.113.1", SERVER4)->transparent = false;
	waits(CLIENT4, "203.0.113.99");
	waits(CLIENT4, SERVER4)->remote = host_address(SERVER4, 81);
	host_judged();
	assert_well();
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
}

static void where_the_kernel_does_not_tell_the_address_does(void **state)
{
	(void)state;
	waits("203.0.113.1", SERVER4)->options_known = false;
	host_judged();
	assert_state(CHECK_RETURN_PATH, CHECK_UNKNOWN);
	waits(CLIENT4, SERVER4)->options_known = false;
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
}

static void who_does_not_spoof_has_no_such_way_back(void **state)
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

static void large_packets_that_are_sent_again_have_a_narrow_hop(void **state)
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

static void where_errors_are_not_caught_that_is_the_reason(void **state)
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

static void errors_of_one_family_do_not_explain_the_other(void **state)
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

/* The same, closed by the proxy: the kernel tells nothing of their options. */
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

static void connections_that_have_ended_do_not_tell_when_their_ports_were_chosen(void **state)
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

static void ports_of_connections_that_have_ended_are_in_use_for_a_minute(void **state)
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

static void unless_they_are_used_again(void **state)
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

static void a_port_that_is_in_use_twice_is_one(void **state)
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

static void to_use_ports_again_is_advised_where_sources_are_spoofed(void **state)
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
		WITH(a_request_that_was_just_sent_is_no_sign),
		WITH(a_connection_that_is_there_shows_the_way_back),
		WITH(a_server_on_the_link_needs_a_route_back),
		WITH(an_ipv6_server_on_the_link_needs_one_too),
		WITH(a_server_behind_a_router_is_the_routers_affair),
		WITH(a_connection_that_gets_on_shows_that_large_packets_do),
		WITH(many_clients_of_a_server_give_one_finding),
		WITH(what_something_here_explains_is_not_put_down_to_the_server),
		WITH(what_is_wrong_here_makes_nobody_wait),
		WITH(what_may_be_explained_here_is_not_put_down_to_the_server_either),
		WITH(requests_from_the_hosts_own_address_are_none_of_ours),
		WITH(where_the_kernel_does_not_tell_the_address_does),
		WITH(who_does_not_spoof_has_no_such_way_back),
		WITH(large_packets_that_are_sent_again_have_a_narrow_hop),
		WITH(where_errors_are_not_caught_that_is_the_reason),
		WITH(errors_of_one_family_do_not_explain_the_other),
		WITH(a_loss_or_a_small_packet_is_no_stall),
		WITH(a_client_may_have_used_up_its_ports_to_a_server),
		WITH(a_port_that_is_left_is_enough),
		WITH(ports_to_another_server_and_of_another_client_do_not_count),
		WITH(ports_that_are_chosen_at_bind_count_for_every_server),
		WITH(connections_that_have_ended_do_not_tell_when_their_ports_were_chosen),
		WITH(ports_of_connections_that_have_ended_are_in_use_for_a_minute),
		WITH(unless_they_are_used_again),
		WITH(a_port_that_is_in_use_twice_is_one),
		WITH(to_use_ports_again_is_advised_where_sources_are_spoofed),
		WITH(a_range_that_cannot_be_read_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
