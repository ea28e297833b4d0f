/*
 * The checklist on the proxy itself: its listeners and whose they are, and its connections that wait,
 * stall, or find no port.
 */
#include "situations.h"

#include <limits.h>
#include <linux/capability.h>
#include <string.h>

#define NET_RAW   (UINT64_C(1) << CAP_NET_RAW)
#define NET_ADMIN (UINT64_C(1) << CAP_NET_ADMIN)
#define LISTENER  VIP4 ":80"

/* --- listeners --- */

static void a_listener_that_is_not_there_yet_is_unknown(void **state)
{
	(void)state;
	host.socket_count = 0;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_LISTENER, CHECK_UNKNOWN, LISTENER),
		"nothing listens there yet: start the proxy, and look again");
	assert_reads(found_about(CHECK_TRANSPARENT, CHECK_OK, LISTENER), "it will be");
}

static void a_listener_of_the_other_protocol_is_not_it(void **state)
{
	(void)state;
	host_serves(LISTENER "/udp", NULL);
	host_judged();
	found_about(CHECK_LISTENER, CHECK_UNKNOWN, LISTENER "/udp");
}

static void what_tproxy_names_has_to_listen(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(BACKEND_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY "
		       "--on-port "
		       "8080 --on-ip 198.51.100.1 --tproxy-mark 0x1/0xffffffff\n" DIVERT));
	host_judged();
	assert_alone(CHECK_LISTENER, CHECK_MISSING);
	finding = found_about(CHECK_LISTENER, CHECK_MISSING, PACKETS4);
	assert_non_null(
		strstr(finding->read, "hands them to 198.51.100.1:8080, where nothing listens"));
	host_listens("198.51.100.1", 8080, IPPROTO_TCP);
	host_judged();
	assert_well();
}

static void tproxy_may_name_a_wildcard_listener(void **state)
{
	(void)state;
	host_rules(BACKEND_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY "
		       "--on-port "
		       "8080 --on-ip 0.0.0.0 --tproxy-mark 0x1/0xffffffff\n" DIVERT));
	host_listens("0.0.0.0", 8080, IPPROTO_TCP);
	host_judged();
	assert_well();
}

static void two_programs_at_one_address_share_its_connections(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_owned(host_listens(VIP4, 80, IPPROTO_TCP), 8, "nginx", NET_RAW);
	host_judged();
	assert_alone(CHECK_OTHER_LISTENER, CHECK_HARMFUL);
	finding = found_about(CHECK_OTHER_LISTENER, CHECK_HARMFUL, LISTENER);
	assert_reads(finding, "proxy (process 7) and nginx (process 8) both listen there");
}

static void workers_of_one_program_share_them_as_well_and_may(void **state)
{
	(void)state;
	host_owned(host_listens(VIP4, 80, IPPROTO_TCP), 8, "proxy", NET_RAW);
	host_judged();
	assert_well();
}

static void a_socket_in_two_hands_is_one_listener(void **state)
{
	(void)state;
	host_owned(&host.sockets[0], 1, "systemd", NET_RAW);
	host_judged();
	assert_well();
}

static void another_program_at_another_address_is_none(void **state)
{
	(void)state;
	host_owned(host_listens(VIP4, 81, IPPROTO_TCP), 8, "nginx", NET_RAW);
	host_owned(host_listens("0.0.0.0", 80, IPPROTO_TCP), 9, "nginx", NET_RAW);
	host_owned(host_listens(VIP4, 80, IPPROTO_UDP), 10, "nginx", NET_RAW);
	host_judged();
	assert_well();
}

/* --- what its program may do --- */

static void owned_with(uint64_t capabilities_had)
{
	host.owner_count = 0;
	host_owned(&host.sockets[0], 7, "proxy", capabilities_had);
	host_judged();
}

static void without_a_capability_nothing_is_transparent(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.sockets[0].transparent = false;
	owned_with(UINT64_C(1) << CAP_NET_BIND_SERVICE);
	assert_alone(CHECK_CAPABILITY, CHECK_MISSING);
	finding = found_about(CHECK_CAPABILITY, CHECK_MISSING, LISTENER);
	assert_reads(finding, "proxy (process 7) has neither CAP_NET_RAW nor CAP_NET_ADMIN");
	assert_int_equal(finding->command_count, 1);
	assert_mends(
		finding, 0, ON_PROXY, "setcap cap_net_raw+ep \"$(readlink -f /proc/7/exe)\"", NULL);
}

static void either_capability_will_do(void **state)
{
	(void)state;
	owned_with(NET_ADMIN);
	assert_well();
	owned_with(NET_RAW);
	assert_well();
	assert_reads(found_about(CHECK_CAPABILITY, CHECK_OK, LISTENER), "proxy (process 7)");
}

static void who_needs_no_transparent_socket_needs_no_capability(void **state)
{
	(void)state;
	host_serves("198.51.100.1:80", NULL);
	host.needs.listeners[0].transparent = false;
	host.sockets[0].local = host_address("198.51.100.1", 80);
	host.sockets[0].transparent = false;
	owned_with(0);
	assert_well();
}

static void an_owner_that_cannot_be_seen_is_unknown(void **state)
{
	(void)state;
	host.owner_count = 0;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_CAPABILITY, CHECK_UNKNOWN, LISTENER),
		"whose the listener is, root alone may see");
	assert_state(CHECK_LIMITS, CHECK_UNKNOWN);
	assert_state(CHECK_OTHER_LISTENER, CHECK_UNKNOWN);
}

static void few_descriptors_are_told_with_the_sessions_that_they_allow(void **state)
{
	(void)state;
	host.owners[0].owner.descriptors = 1023;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_LIMITS, CHECK_UNKNOWN, LISTENER),
		"proxy may have 1023 descriptors: about 511 sessions");
	host.owners[0].owner.descriptors = 1024;
	host_judged();
	assert_state(CHECK_LIMITS, CHECK_OK);
}

static void no_limit_is_not_told_as_a_number(void **state)
{
	(void)state;
	host.owners[0].owner.descriptors = ULONG_MAX;
	host_judged();
	assert_reads(found_about(CHECK_LIMITS, CHECK_OK, LISTENER),
		"proxy may have any number of descriptors");
}

/* --- transparent listeners --- */

static void a_socket_that_is_not_transparent_is_told(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.sockets[0].transparent = false;
	host_judged();
	assert_alone(CHECK_TRANSPARENT, CHECK_MISSING);
	finding = found_about(CHECK_TRANSPARENT, CHECK_MISSING, LISTENER);
	assert_reads(finding, "the socket is there, and is not transparent");
	assert_mended_by(finding, "ip -4 route add local 192.0.2.80/32 dev lo",
		"ip -4 route del local 192.0.2.80/32 dev lo");
}

static void its_line_of_the_configuration_is_mended_where_there_is_one(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.needs.file = "tproxyd.cfg";
	host.needs.listeners[0].line = 7;
	host.needs.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	assert_alone(CHECK_TRANSPARENT, CHECK_MISSING);
	finding = found_about(CHECK_TRANSPARENT, CHECK_MISSING, LISTENER);
	assert_reads(finding,
		"the configuration does not ask for it, and the host does not have the "
		"address");
	assert_int_equal(finding->command_count, 1);
	assert_mends(finding, 0, ON_PROXY, "sed -i '7s/bind  *[^ ]*/& transparent/' 'tproxyd.cfg'",
		"sed -i '7s/ transparent//' 'tproxyd.cfg'");
}

static void ipv6_binds_by_nonlocal_bind_without(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves_ipv6();
	host.needs.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	assert_alone(CHECK_TRANSPARENT, CHECK_MISSING);
	finding = found_about(CHECK_TRANSPARENT, CHECK_MISSING, "[2001:db8:f::80]:80");
	assert_int_equal(finding->command_count, 2);
	assert_mends(finding, 0, ON_HOST, "ip -6 route add local 2001:db8:f::80/128 dev lo",
		"ip -6 route del local 2001:db8:f::80/128 dev lo");
	assert_mends(finding, 1, ON_HOST, "sysctl -w net.ipv6.ip_nonlocal_bind=1",
		"sysctl -w net.ipv6.ip_nonlocal_bind=0");
}

static void a_bound_ipv6_listener_answers_without_where_rules_catch_it(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves_ipv6();
	host.sockets[0].transparent = false;
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	finding = found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS6);
	assert_mended_by(finding,
		"ip6tables -w -t mangle -I PREROUTING -p tcp -m socket -j MARK --set-mark 0x1",
		"ip6tables -w -t mangle -D PREROUTING -p tcp -m socket -j MARK --set-mark 0x1");
	host_more_rules(BACKEND_IPTABLES, AF_INET6,
		MANGLE("-A PREROUTING -p tcp -m socket " MARKED DIVERT6));
	host.saved[0] = host.saved[host.saved_count - 1];
	host.saved_count = 1;
	host_judged();
	assert_well();
}

static void an_address_of_the_host_needs_no_transparent_listener(void **state)
{
	(void)state;
	host_serves("198.51.100.1:80", NULL);
	host.needs.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	assert_well();
	assert_reads(found(CHECK_TRANSPARENT, CHECK_OK),
		"it is not, and the address is one that it can answer from");
}

static void a_kernel_that_does_not_tell_leaves_it_open(void **state)
{
	(void)state;
	host.sockets[0].options_known = host.sockets[0].transparent = false;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_TRANSPARENT, CHECK_UNKNOWN, LISTENER),
		"it was to be; whether the socket is, kernels tell from Linux 5.10 on");
}

static void two_listeners_share_what_is_missing_for_both(void **state)
{
	(void)state;
	needs_add_listener(&host.needs, VIP4 ":443");
	host.policy[FOUR] = "[{\"priority\":9,\"table\":\"254\"}]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
	assert_int_equal(found_count(CHECK_IP_RULE, CHECK_MISSING), 1);
}

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
		"no connection from a client's address is there now. On the server `ip route get "
		"198.51.100.10` has to lead to 203.0.113.1");
}

static void a_connection_that_is_there_shows_the_way_back(void **state)
{
	(void)state;
	host_connects(CLIENT4, 40000, SERVER4)->state = SOCKET_STATE_CONNECTED;
	host_judged();
	assert_well();
	assert_reads(found(CHECK_RETURN_PATH, CHECK_OK),
		"connections from clients' addresses are there: 1");
}

static void a_server_on_the_link_needs_a_route_back(void **state)
{
	const struct check_finding *finding;

	(void)state;
	waits(CLIENT4, SERVER4);
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	finding = found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER4);
	assert_reads(
		finding, "requests from 198.51.100.10 are sent again, for no answer comes here");
	assert_int_equal(finding->command_count, 1);
	assert_mends(finding, 0, ON_SERVER, "ip -4 route add 198.51.100.10/32 via 203.0.113.1",
		"ip -4 route del 198.51.100.10/32 via 203.0.113.1");
}

static void an_ipv6_server_on_the_link_needs_one_too(void **state)
{
	(void)state;
	host_serves_ipv6();
	waits(CLIENT6, SERVER6);
	host_judged();
	assert_alone(CHECK_RETURN_PATH, CHECK_HARMFUL);
	assert_mends(found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER6), 0, ON_SERVER,
		"ip -6 route add 2001:db8:c::10/128 via 2001:db8:5::1",
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
	assert_mends(finding, 0, ON_ROUTER,
		"iptables -w -t mangle -A PREROUTING -m mac --mac-source 02:00:00:00:00:02 -j "
		"CONNMARK --set-mark 0x17101",
		NULL);
	assert_mends(finding, 1, ON_ROUTER,
		"iptables -w -t mangle -A PREROUTING -s 192.0.2.200 -j CONNMARK --restore-mark",
		NULL);
	assert_mends(finding, 2, ON_ROUTER, "ip -4 rule add fwmark 0x17101 lookup 94465", NULL);
	assert_mends(
		finding, 3, ON_ROUTER, "ip -4 route add default via 203.0.113.1 table 94465", NULL);
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
	assert_mends(finding, 1, ON_SERVER, "ip -4 route add 198.51.100.11/32 via 203.0.113.1",
		"ip -4 route del 198.51.100.11/32 via 203.0.113.1");
}

static void what_something_here_explains_is_not_put_down_to_the_server(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4);
	host_rules(BACKEND_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"requests to servers wait for an answer; mend the rest first");
}

static void what_may_be_explained_here_is_not_put_down_to_the_server_either(void **state)
{
	(void)state;
	waits(CLIENT4, SERVER4);
	host_rules(BACKEND_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i server0 -m strange --words -j DROP\n" DIVERT));
	host_judged();
	assert_well();
	assert_reads(found(CHECK_RETURN_PATH, CHECK_UNKNOWN),
		"requests to servers wait for an answer; whether this host would take it is not "
		"known");
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
	assert_int_equal(found_count(CHECK_RETURN_PATH, CHECK_OK), 0);
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
		"packets of 1448 bytes are sent again and again; no ICMP error reaches "
		"this host");
	assert_mended_by(finding, "sysctl -w net.ipv4.tcp_mtu_probing=2",
		"sysctl -w net.ipv4.tcp_mtu_probing=0");
}

static void where_errors_are_not_caught_that_is_the_reason(void **state)
{
	const struct check_finding *finding;

	(void)state;
	stalls(CLIENT4, SERVER4);
	stalls("198.51.100.11", SERVER4)->mss = 1400;
	host_rules(BACKEND_IPTABLES, AF_INET, MANGLE(DIVERT_TCP));
	host_judged();
	assert_alone(CHECK_ICMP, CHECK_MISSING);
	finding = found_about(CHECK_ICMP, CHECK_MISSING, SERVER4);
	assert_mended_by(finding,
		"iptables -w -t mangle -I PREROUTING -p icmp -m socket --transparent -j MARK "
		"--set-mark 0x1",
		"iptables -w -t mangle -D PREROUTING -p icmp -m socket --transparent -j MARK "
		"--set-mark 0x1");
}

static void errors_of_one_family_do_not_explain_the_other(void **state)
{
	(void)state;
	needs_add_server(&host.needs, "[" SERVER6 "]:80");
	host_rules(BACKEND_IPTABLES, AF_INET, MANGLE(DIVERT));
	host_more_rules(BACKEND_IPTABLES, AF_INET6, MANGLE(DIVERT_TCP));
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

/* Connections from a client's ports 5001 to 5000 + COUNT. */
static void connects(const char *client, const char *server, unsigned count, bool late)
{
	for (unsigned i = 1; i <= count; i++) {
		struct host_socket *socket = host_connects(client, (uint16_t)(5000 + i), server);

		socket->state = SOCKET_STATE_CONNECTED;
		socket->late_port = late;
	}
}

static void a_client_may_have_used_up_its_ports_to_a_server(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5003");
	connects(CLIENT4, SERVER4, 3, true);
	host_judged();
	assert_alone(CHECK_SOURCE_PORTS, CHECK_HARMFUL);
	assert_int_equal(found_count(CHECK_SOURCE_PORTS, CHECK_HARMFUL), 1);
	finding = found_about(CHECK_SOURCE_PORTS, CHECK_HARMFUL, CLIENT4);
	assert_reads(finding, "all of 3 ports are in use for one server");
	assert_mended_by(finding, "sysctl -w 'net.ipv4.ip_local_port_range=1024 65535'",
		"sysctl -w 'net.ipv4.ip_local_port_range=5001\t5003'");
}

static void a_port_that_is_left_is_enough(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5004");
	connects(CLIENT4, SERVER4, 3, true);
	host_judged();
	assert_well();
	assert_reads(found(CHECK_SOURCE_PORTS, CHECK_OK),
		"net.ipv4.ip_local_port_range has 4 ports, for each client and server");
}

static void ports_to_another_server_and_of_another_client_do_not_count(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5003");
	needs_add_server(&host.needs, "203.0.113.21");
	connects(CLIENT4, SERVER4, 2, true);
	connects(CLIENT4, "203.0.113.21", 2, true);
	connects("198.51.100.11", SERVER4, 2, true);
	host_judged();
	assert_well();
}

static void ports_that_are_chosen_at_bind_count_for_every_server(void **state)
{
	(void)state;
	host_sysctl("net/ipv4/ip_local_port_range", "5001\t5004");
	needs_add_server(&host.needs, "203.0.113.21");
	connects(CLIENT4, SERVER4, 2, false);
	connects(CLIENT4, "203.0.113.21", 2, false);
	host_judged();
	assert_alone(CHECK_SOURCE_PORTS, CHECK_HARMFUL);
	assert_reads(found_about(CHECK_SOURCE_PORTS, CHECK_HARMFUL, CLIENT4),
		"all of 4 ports are in use, for the proxy chooses them before it knows the server "
		"(it lacks IP_BIND_ADDRESS_NO_PORT)");
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
		WITH(a_listener_that_is_not_there_yet_is_unknown),
		WITH(a_listener_of_the_other_protocol_is_not_it),
		WITH(what_tproxy_names_has_to_listen),
		WITH(tproxy_may_name_a_wildcard_listener),
		WITH(two_programs_at_one_address_share_its_connections),
		WITH(workers_of_one_program_share_them_as_well_and_may),
		WITH(a_socket_in_two_hands_is_one_listener),
		WITH(another_program_at_another_address_is_none),
		WITH(without_a_capability_nothing_is_transparent),
		WITH(either_capability_will_do),
		WITH(who_needs_no_transparent_socket_needs_no_capability),
		WITH(an_owner_that_cannot_be_seen_is_unknown),
		WITH(few_descriptors_are_told_with_the_sessions_that_they_allow),
		WITH(no_limit_is_not_told_as_a_number),
		WITH(a_socket_that_is_not_transparent_is_told),
		WITH(its_line_of_the_configuration_is_mended_where_there_is_one),
		WITH(ipv6_binds_by_nonlocal_bind_without),
		WITH(a_bound_ipv6_listener_answers_without_where_rules_catch_it),
		WITH(an_address_of_the_host_needs_no_transparent_listener),
		WITH(a_kernel_that_does_not_tell_leaves_it_open),
		WITH(two_listeners_share_what_is_missing_for_both),
		WITH(a_request_that_was_just_sent_is_no_sign),
		WITH(a_connection_that_is_there_shows_the_way_back),
		WITH(a_server_on_the_link_needs_a_route_back),
		WITH(an_ipv6_server_on_the_link_needs_one_too),
		WITH(a_server_behind_a_router_is_the_routers_affair),
		WITH(many_clients_of_a_server_give_one_finding),
		WITH(what_something_here_explains_is_not_put_down_to_the_server),
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
		WITH(a_range_that_cannot_be_read_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
