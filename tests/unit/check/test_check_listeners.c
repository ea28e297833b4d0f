/*
 * The checklist on the proxy itself: its listeners, their owners, and the privileges of those.
 */
#include "snapshots.h"

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
		"nothing listens there; start the proxy, then check again");
	assert_reads(found_about(CHECK_TRANSPARENT, CHECK_OK, LISTENER), "configured transparent");
}

static void a_listener_of_the_other_protocol_does_not_count(void **state)
{
	(void)state;
	host_serves(LISTENER "/udp", NULL);
	host_judged();
	found_about(CHECK_LISTENER, CHECK_UNKNOWN, LISTENER "/udp");
}

static void a_wildcard_listener_of_ipv6_hears_ipv4_without_v6only(void **state)
{
	struct addr destination = host_address(VIP4, 80), other = host_address(VIP4, 81);

	(void)state;
	host.socket_count = 0;
	host_listens("::", 80, IPPROTO_TCP);
	host_judged();
	assert_ptr_equal(
		snapshot_listener(&host.snapshot, IPPROTO_TCP, &destination), host.sockets);
	assert_null(snapshot_listener(&host.snapshot, IPPROTO_UDP, &destination));
	assert_null(snapshot_listener(&host.snapshot, IPPROTO_TCP, &other));
	host.sockets[0].v6only = true;
	assert_null(snapshot_listener(&host.snapshot, IPPROTO_TCP, &destination));
}

static void the_listener_of_a_tproxy_rule_has_to_be_there(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -d 192.0.2.80/32 -p tcp -m tcp --dport 80 -j TPROXY "
		       "--on-port "
		       "8080 --on-ip 198.51.100.1 --tproxy-mark 0x1/0xffffffff\n" DIVERT));
	host_judged();
	assert_alone(CHECK_LISTENER, CHECK_MISSING);
	finding = found_about(CHECK_LISTENER, CHECK_MISSING, PACKETS4);
	assert_non_null(strstr(
		finding->read, "gives them to 198.51.100.1:8080, but nothing listens there"));
	host_listens("198.51.100.1", 8080, IPPROTO_TCP);
	host_judged();
	assert_well();
}

static void tproxy_may_name_a_wildcard_listener(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
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

static void workers_of_one_program_may_share_connections(void **state)
{
	(void)state;
	host_owned(host_listens(VIP4, 80, IPPROTO_TCP), 8, "proxy", NET_RAW);
	host_judged();
	assert_well();
}

/* Whichever the kernel lists first, and although both have one name. */
static void a_listener_that_was_left_over_is_named_with_the_proxys(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		host_gone(state);
		host_fresh(state);
		host_owned(host_listens(VIP4, 80, IPPROTO_TCP), 8, "proxy", NET_RAW);
		host.sockets[first].transparent = false;
		host_judged();
		assert_alone(CHECK_OTHER_LISTENER, CHECK_HARMFUL);
		assert_non_null(strstr(
			found_about(CHECK_OTHER_LISTENER, CHECK_HARMFUL, LISTENER)->read,
			first == 0
				? "proxy (process 8) listens there transparently, and proxy (process 7) does not"
				: "proxy (process 7) listens there transparently, and proxy (process 8) does not"));
	}
}

static void a_socket_of_two_processes_is_one_listener(void **state)
{
	(void)state;
	host_owned(&host.sockets[0], 1, "systemd", NET_RAW);
	host_judged();
	assert_well();
}

static void another_program_at_another_address_does_no_harm(void **state)
{
	(void)state;
	host_owned(host_listens(VIP4, 81, IPPROTO_TCP), 8, "nginx", NET_RAW);
	host_owned(host_listens("0.0.0.0", 80, IPPROTO_TCP), 9, "nginx", NET_RAW);
	host_owned(host_listens(VIP4, 80, IPPROTO_UDP), 10, "nginx", NET_RAW);
	host_judged();
	assert_well();
}

/* --- owners --- */

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
	assert_reads(finding,
		"proxy (process 7) has neither CAP_NET_RAW nor CAP_NET_ADMIN. For a systemd service, set AmbientCapabilities=CAP_NET_RAW");
	assert_int_equal(finding->command_count, 1);
	assert_fix(finding, 0, ON_PROXY,
		"setpriv --inh-caps +net_raw --ambient-caps +net_raw /usr/sbin/proxy", NULL);
}

static void either_capability_will_do(void **state)
{
	(void)state;
	owned_with(NET_ADMIN);
	assert_well();
	owned_with(NET_RAW);
	assert_well();
	assert_reads(found_about(CHECK_CAPABILITY, CHECK_OK, LISTENER),
		"proxy (process 7) has CAP_NET_RAW or CAP_NET_ADMIN");
}

static void a_proxy_without_transparent_sockets_needs_no_capability(void **state)
{
	(void)state;
	host_serves("198.51.100.1:80", NULL);
	host.service.listeners[0].transparent = false;
	host.sockets[0].local = host_address("198.51.100.1", 80);
	host.sockets[0].transparent = false;
	owned_with(0);
	assert_well();
}

static void a_proxy_that_spoofs_needs_a_capability_for_that_alone(void **state)
{
	(void)state;
	host_serves("198.51.100.1:80", SERVER4);
	host.service.listeners[0].transparent = false;
	host.sockets[0].local = host_address("198.51.100.1", 80);
	host.sockets[0].transparent = false;
	owned_with(0);
	assert_alone(CHECK_CAPABILITY, CHECK_MISSING);
}

static void an_owner_that_cannot_be_seen_is_unknown(void **state)
{
	(void)state;
	host.owner_count = 0;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_CAPABILITY, CHECK_UNKNOWN, LISTENER),
		"cannot identify the listening process; run as root");
	assert_state(CHECK_LIMITS, CHECK_UNKNOWN);
	assert_state(CHECK_OTHER_LISTENER, CHECK_UNKNOWN);
}

static void few_descriptors_are_printed_with_the_number_of_sessions(void **state)
{
	(void)state;
	host.owners[0].owner.descriptors = 1023;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_LIMITS, CHECK_ADVICE, LISTENER),
		"proxy can have 1023 descriptors, enough for about 511 sessions");
	host.owners[0].owner.descriptors = 1024;
	host_judged();
	assert_state(CHECK_LIMITS, CHECK_OK);
}

static void no_limit_is_not_printed_as_a_number(void **state)
{
	(void)state;
	host.owners[0].owner.descriptors = ULONG_MAX;
	host_judged();
	assert_reads(
		found_about(CHECK_LIMITS, CHECK_OK, LISTENER), "proxy has no limit on descriptors");
}

/* --- transparent listeners --- */

static void a_socket_that_is_not_transparent_is_reported(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.sockets[0].transparent = false;
	host_judged();
	assert_alone(CHECK_TRANSPARENT, CHECK_MISSING);
	finding = found_about(CHECK_TRANSPARENT, CHECK_MISSING, LISTENER);
	assert_reads(finding,
		"the socket of proxy (process 7) is not transparent: it has to set IP_TRANSPARENT (the word `transparent` on the line `bind` of HAProxy and tproxyd). The command makes the address this host's own instead");
	assert_fixed_by(finding, "ip -4 route replace local 192.0.2.80/32 dev lo",
		"ip -4 route del local 192.0.2.80/32 dev lo");
}

static void haproxys_word_is_named(void **state)
{
	(void)state;
	host.sockets[0].transparent = false;
	snprintf(host.owners[0].owner.name, sizeof(host.owners[0].owner.name), "haproxy");
	host_judged();
	assert_reads(found_about(CHECK_TRANSPARENT, CHECK_MISSING, LISTENER),
		"the socket of haproxy (process 7) is not transparent: its line `bind 192.0.2.80:80` lacks the word `transparent`. The command makes the address this host's own instead");
}

static void the_line_of_the_configuration_is_fixed_if_there_is_one(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.service.file = "tproxyd.cfg";
	host.service.listeners[0].line = 7;
	host.service.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	assert_alone(CHECK_TRANSPARENT, CHECK_MISSING);
	finding = found_about(CHECK_TRANSPARENT, CHECK_MISSING, LISTENER);
	assert_reads(finding,
		"the configuration does not set `transparent`, and this host does not have the address");
	assert_int_equal(finding->command_count, 1);
	assert_fix(finding, 0, ON_PROXY,
		"sed -i '7s/\\(bind  *[^ ]*\\)\\( transparent\\)*/\\1 transparent/' tproxyd.cfg",
		"sed -i '7s/ transparent//' tproxyd.cfg");
}

static void ipv6_binds_with_nonlocal_bind(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves_ipv6();
	host.service.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	assert_alone(CHECK_TRANSPARENT, CHECK_MISSING);
	finding = found_about(CHECK_TRANSPARENT, CHECK_MISSING, "[2001:db8:f::80]:80");
	assert_int_equal(finding->command_count, 2);
	assert_fix(finding, 0, ON_HOST, "ip -6 route replace local 2001:db8:f::80/128 dev lo",
		"ip -6 route del local 2001:db8:f::80/128 dev lo");
	assert_fix(finding, 1, ON_HOST, "sysctl -w net.ipv6.ip_nonlocal_bind=1",
		"sysctl -w net.ipv6.ip_nonlocal_bind=0");
}

static void a_bound_ipv6_listener_answers_without_ip_transparent(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_serves_ipv6();
	host.sockets[0].transparent = false;
	host_judged();
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	finding = found_about(CHECK_DIVERT, CHECK_MISSING, PACKETS6);
	assert_fixed_by_rule(finding, "ip6tables -w -t mangle", "PREROUTING",
		"-p tcp -m socket -j MARK --set-mark 0x1");
	host_more_rules(
		TOOL_IPTABLES, AF_INET6, MANGLE("-A PREROUTING -p tcp -m socket " MARKED DIVERT6));
	host.saved[0] = host.saved[host.saved_count - 1];
	host.saved_count = 1;
	host_judged();
	assert_well();
}

static void an_address_of_the_host_needs_no_transparent_listener(void **state)
{
	(void)state;
	host_serves("198.51.100.1:80", NULL);
	host.service.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	assert_well();
	assert_reads(found(CHECK_TRANSPARENT, CHECK_OK),
		"not transparent, but it can answer from this address");
}

static void a_kernel_that_does_not_report_ip_transparent_is_unknown(void **state)
{
	(void)state;
	host.sockets[0].options_known = host.sockets[0].transparent = false;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_TRANSPARENT, CHECK_UNKNOWN, LISTENER),
		"configured transparent; cannot be verified: sock_diag reports IP_TRANSPARENT only since Linux 5.10");
}

static void two_listeners_share_what_is_missing_for_both(void **state)
{
	(void)state;
	service_add_listener(&host.service, VIP4 ":443");
	host.policy[FOUR] = "[{\"priority\":9,\"table\":\"254\"}]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_MISSING);
	assert_int_equal(found_count(CHECK_IP_RULE, CHECK_MISSING), 1);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_listener_that_is_not_there_yet_is_unknown),
		WITH(a_listener_of_the_other_protocol_does_not_count),
		WITH(a_wildcard_listener_of_ipv6_hears_ipv4_without_v6only),
		WITH(the_listener_of_a_tproxy_rule_has_to_be_there),
		WITH(tproxy_may_name_a_wildcard_listener),
		WITH(two_programs_at_one_address_share_its_connections),
		WITH(workers_of_one_program_may_share_connections),
		WITH(a_listener_that_was_left_over_is_named_with_the_proxys),
		WITH(a_socket_of_two_processes_is_one_listener),
		WITH(another_program_at_another_address_does_no_harm),
		WITH(without_a_capability_nothing_is_transparent),
		WITH(either_capability_will_do),
		WITH(a_proxy_without_transparent_sockets_needs_no_capability),
		WITH(a_proxy_that_spoofs_needs_a_capability_for_that_alone),
		WITH(an_owner_that_cannot_be_seen_is_unknown),
		WITH(few_descriptors_are_printed_with_the_number_of_sessions),
		WITH(no_limit_is_not_printed_as_a_number),
		WITH(a_socket_that_is_not_transparent_is_reported),
		WITH(haproxys_word_is_named),
		WITH(the_line_of_the_configuration_is_fixed_if_there_is_one),
		WITH(ipv6_binds_with_nonlocal_bind),
		WITH(a_bound_ipv6_listener_answers_without_ip_transparent),
		WITH(an_address_of_the_host_needs_no_transparent_listener),
		WITH(a_kernel_that_does_not_report_ip_transparent_is_unknown),
		WITH(two_listeners_share_what_is_missing_for_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
