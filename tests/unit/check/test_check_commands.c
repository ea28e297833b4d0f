/*
 * The commands of the checklist with names in them that other users chose; and that no command deletes
 * what other programs need. tests/netns runs each of them twice, on whole hosts.
 */
#include "snapshots.h"
#include "tproxy/text.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG "/etc/my proxy's $(id).cfg"

static void owned_by(uid_t uid, const char *command)
{
	host.owner_count = 0;
	host_owned(&host.sockets[0], 7, "$(reboot)", 0);
	host.sockets[0].uid = uid;
	snprintf(host.owners[0].owner.command, sizeof(host.owners[0].owner.command), "%s", command);
	host_judged();
}

/* Any user may listen at a port and choose a name of 15 bytes. */
static void a_process_name_is_in_no_command(void **state)
{
	const struct check_finding *finding;

	(void)state;
	owned_by(0, "");
	finding = found_about(CHECK_CAPABILITY, CHECK_MISSING, VIP4 ":80");
	assert_non_null(strstr(finding->read, "$(reboot) (process 7) has neither"));
	assert_int_equal(finding->command_count, 0);
}

static void a_users_program_is_started_as_that_user(void **state)
{
	const struct check_finding *finding;

	(void)state;
	owned_by(1000, "/home/u/proxy 'two words'");
	finding = found_about(CHECK_CAPABILITY, CHECK_MISSING, VIP4 ":80");
	assert_int_equal(finding->command_count, 1);
	assert_fix(finding, 0, ON_PROXY,
		"setpriv --reuid 1000 --regid \"$(id -g 1000)\" --init-groups --inh-caps +net_raw "
		"--ambient-caps +net_raw /home/u/proxy 'two words'",
		NULL);
}

static void a_command_line_with_control_characters_is_in_no_command(void **state)
{
	(void)state;
	owned_by(0, "'/home/u/\x1b[2J'");
	assert_int_equal(
		found_about(CHECK_CAPABILITY, CHECK_MISSING, VIP4 ":80")->command_count, 0);
}

static void more_owners_than_the_list_has_room_for_are_cut_off(void **state)
{
	struct host_socket *other = host_listens(VIP4, 80, IPPROTO_TCP);

	(void)state;
	for (int i = 0; i < 70; i++) {
		host_owned(&host.sockets[0], 100 + i, "one", UINT64_C(1) << CAP_NET_RAW);
		host_owned(other, 200 + i, "other", UINT64_C(1) << CAP_NET_RAW);
	}
	host_judged();
	assert_alone(CHECK_OTHER_LISTENER, CHECK_HARMFUL);
}

static void an_owner_of_another_socket_that_cannot_be_seen_is_unknown(void **state)
{
	(void)state;
	host_listens(VIP4, 80, IPPROTO_TCP);
	host_judged();
	assert_well();
	assert_state(CHECK_OTHER_LISTENER, CHECK_UNKNOWN);
}

static void a_file_is_one_word(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.service.file = CONFIG;
	host.service.listeners[0].line = 7;
	host.service.listeners[0].transparent = false;
	host.socket_count = 0;
	host_judged();
	finding = found(CHECK_TRANSPARENT, CHECK_MISSING);
	assert_fix(finding, 0, ON_PROXY,
		"sed -i '7s/\\(bind  *[^ ]*\\)\\( transparent\\)*/\\1 transparent/' "
		"'/etc/my proxy'\\''s $(id).cfg'",
		"sed -i '7s/ transparent//' '/etc/my proxy'\\''s $(id).cfg'");
}

#define LINK_NAMED(name)                                                                           \
	"[{\"ifname\":\"lo\",\"flags\":[\"UP\"]},{\"ifname\":\"" name                              \
	"\",\"flags\":[\"UP\"],\"addr_info\":[{\"local\":\"198.51.100.1\",\"prefixlen\":24}]}]"
#define ROUTES_BY(name)                                                                            \
	"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},{\"dst\":"         \
	"\"198.51.100.0/24\",\"dev\":\"" name "\"}]"

static void a_link_is_one_word(void **state)
{
	(void)state;
	host_serves(VIP4 ":80", NULL);
	host.links = LINK_NAMED("a;reboot");
	host.routes[FOUR] = ROUTES_BY("a;reboot");
	host_sysctl("net/ipv4/conf/a;reboot/src_valid_mark", "1");
	host_judged();
	assert_fixed_by(found_about(CHECK_SRC_VALID_MARK, CHECK_HARMFUL, "a;reboot"),
		"sysctl -w 'net.ipv4.conf.a;reboot.accept_local=1'",
		"sysctl -w 'net.ipv4.conf.a;reboot.accept_local=0'");
}

static void a_link_that_cannot_be_typed_is_in_no_command(void **state)
{
	(void)state;
	host_serves(VIP4 ":80", NULL);
	host.links = LINK_NAMED("a\\u001b");
	host.routes[FOUR] = ROUTES_BY("a\\u001b");
	host_sysctl("net/ipv4/conf/a\x1b/src_valid_mark", "1");
	host_judged();
	assert_int_equal(
		found_about(CHECK_SRC_VALID_MARK, CHECK_HARMFUL, "a\\x1b")->command_count, 0);
}

static void a_chain_of_others_is_in_no_command(void **state)
{
	(void)state;
	host_more_rules(TOOL_IPTABLES, AF_INET,
		"*filter\n:INPUT ACCEPT [0:0]\n:a;reboot - [0:0]\n-A INPUT -j a;reboot\n"
		"-A a;reboot -j DROP\nCOMMIT\n");
	host_judged();
	assert_fixed_by_rule(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4),
		"iptables -w -t filter", "INPUT", "-m mark --mark 0x1 -j ACCEPT");
}

/* nft parses its words a second time: quoting for the shell does not help there. */
static void a_table_name_that_is_nft_syntax_is_in_no_command(void **state)
{
	(void)state;
	host_more_rules(TOOL_NFT, 0,
		NFT(NFT_TABLE("inet", "f; flush ruleset")
				NFT_CHAIN("inet", "f; flush ruleset", "in", "input", "0", "drop")));
	host_judged();
	assert_int_equal(found_about(CHECK_FILTER, CHECK_HARMFUL, PACKETS4)->command_count, 0);
}

static void a_table_that_leads_to_others_gets_no_route(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.routes[FOUR] =
		"[{\"dst\":\"default\",\"gateway\":\"203.0.113.9\",\"dev\":\"server0\",\"table\":\"100\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	finding = found_about(CHECK_IP_ROUTE, CHECK_MISSING, "IPv4");
	assert_int_equal(finding->command_count, 0);
	assert_non_null(strstr(finding->read, "Use another mark and table for the proxy"));
}

/* No host is behind a default route without a gateway on such a link. */
static void a_default_route_to_a_link_alone_is_replaced(void **state)
{
	(void)state;
	host.routes[FOUR] = "[{\"dst\":\"default\",\"dev\":\"server0\",\"table\":\"100\"},"
			    "{\"dst\":\"192.0.2.0/24\",\"dev\":\"server0\",\"table\":\"100\"},"
			    "{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
			    "{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	assert_int_equal(found_about(CHECK_IP_ROUTE, CHECK_MISSING, "IPv4")->command_count, 2);
}

#define RULES(others)                                                                              \
	"[{\"priority\":0,\"src\":\"all\",\"table\":\"255\"}," others                              \
	"{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"},"                                 \
	"{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]"

/* Another rule looks into the mark's table: a local route for all addresses there would keep all of its packets here. */
static void a_table_that_others_look_into_gets_no_route(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.policy[FOUR] = RULES("{\"priority\":90,\"iif\":\"server0\",\"table\":\"100\"},");
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"192.0.2.0/24\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	finding = found_about(CHECK_IP_ROUTE, CHECK_MISSING, "IPv4");
	assert_reads(finding,
		"table 100 has no `local` route that covers the proxy's packets, and `pref 90 iif server0 lookup 100` uses it for others. The commands use another table");
	assert_int_equal(finding->command_count, 2);
	assert_string_equal(
		finding->commands[0].run, "ip -4 route replace local 0.0.0.0/0 dev lo table 101");
	assert_string_equal(finding->commands[1].run,
		"[ -n \"$(ip -4 rule show pref 99 fwmark 0x1 lookup 101)\" ] || ip -4 rule add pref 99 fwmark 0x1 lookup 101");
}

/* The rule for the mark comes late, and all packets get the mark: if it came first, none would be forwarded. */
static void a_rule_for_a_mark_that_others_have_is_not_moved(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.policy[FOUR] = RULES("{\"priority\":50,\"table\":\"7\"},");
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"default\",\"dev\":\"server0\",\"table\":\"7\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_more_rules(
		TOOL_LEGACY, AF_INET, MANGLE("-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\n"));
	host_judged();
	finding = found_about(CHECK_IP_RULE, CHECK_HARMFUL, PACKETS4);
	assert_int_equal(finding->command_count, 0);
	assert_non_null(strstr(finding->read,
		". Other packets have mark 0x1, too: use another one for the proxy (`tproxyctl plan --mark N`)"));
}

static void nor_is_one_for_a_mark_of_the_hosts_own_packets(void **state)
{
	(void)state;
	host.policy[FOUR] = RULES("{\"priority\":50,\"table\":\"7\"},");
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"default\",\"dev\":\"server0\",\"table\":\"7\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_more_rules(TOOL_LEGACY, AF_INET, MANGLE("-A OUTPUT -j MARK --set-xmark 0x1/0x1\n"));
	host_judged();
	assert_int_equal(found_about(CHECK_IP_RULE, CHECK_HARMFUL, PACKETS4)->command_count, 0);
}

static void nor_gets_such_a_mark_a_route_for_all_addresses(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"192.0.2.0/24\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_more_rules(
		TOOL_LEGACY, AF_INET, MANGLE("-A OUTPUT -j MARK --set-xmark 0x1/0xffffffff\n"));
	host_judged();
	finding = found_about(CHECK_IP_ROUTE, CHECK_MISSING, "IPv4");
	assert_int_equal(finding->command_count, 0);
	assert_non_null(strstr(finding->read, "Other packets have mark 0x1, too"));
}

/* Of two rules for the mark, ours is the one whose table delivers here. */
static void a_rule_for_the_mark_into_another_table_is_not_ours(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host.policy[FOUR] = RULES(
		"{\"priority\":50,\"fwmark\":\"0x1\",\"table\":\"254\",\"suppress_prefixlen\":0},");
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
		"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	finding = found_about(CHECK_IP_RULE, CHECK_HARMFUL, ANSWERS4);
	assert_int_equal(found_count(CHECK_IP_ROUTE, CHECK_MISSING), 0);
	assert_fixed_by_ip_rule(finding, 4, "pref 1 fwmark 0x1 lookup 100");
}

/* `from all lookup 100` would cut the host off from its network. */
static void no_rule_is_made_for_mark_0(void **state)
{
	const struct check_finding *finding;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE(DIVERT_TCP "-A PREROUTING -p tcp -j MARK --set-xmark 0x0/0xffffffff\n"));
	host_judged();
	finding = found_about(CHECK_MARK, CHECK_HARMFUL, PACKETS4);
	assert_non_null(strstr(finding->read, "(0x1 becomes 0x0)"));
	assert_int_equal(finding->command_count, 2);
	assert_int_equal(found_count(CHECK_IP_RULE, CHECK_MISSING), 0);
}

/* A local route for a server's address would make this host answer in the server's place. */
static void a_servers_address_is_never_made_local(void **state)
{
	(void)state;
	host_serves(SERVER4 ":80", SERVER4 ":80");
	service_add_client(&host.service, "203.0.113.1");
	host_judged();
	assert_int_equal(found(CHECK_LOCAL_CLIENT, CHECK_MISSING)->command_count, 0);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_process_name_is_in_no_command),
		WITH(a_default_route_to_a_link_alone_is_replaced),
		WITH(no_rule_is_made_for_mark_0),
		WITH(a_servers_address_is_never_made_local),
		WITH(a_users_program_is_started_as_that_user),
		WITH(a_command_line_with_control_characters_is_in_no_command),
		WITH(more_owners_than_the_list_has_room_for_are_cut_off),
		WITH(an_owner_of_another_socket_that_cannot_be_seen_is_unknown),
		WITH(a_file_is_one_word),
		WITH(a_link_is_one_word),
		WITH(a_link_that_cannot_be_typed_is_in_no_command),
		WITH(a_chain_of_others_is_in_no_command),
		WITH(a_table_name_that_is_nft_syntax_is_in_no_command),
		WITH(a_table_that_leads_to_others_gets_no_route),
		WITH(a_table_that_others_look_into_gets_no_route),
		WITH(a_rule_for_a_mark_that_others_have_is_not_moved),
		WITH(nor_gets_such_a_mark_a_route_for_all_addresses),
		WITH(nor_is_one_for_a_mark_of_the_hosts_own_packets),
		WITH(a_rule_for_the_mark_into_another_table_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
