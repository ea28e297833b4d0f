/*
 * The checklist's report: what it says of the kernel, what it says of what could not be read, and how it is
 * written, for programs and for people.
 */
#include "situations.h"
#include "tproxy/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADING "# Linux/x86 6.1.0 Kernel Configuration\n"

static struct kernel_config *kernel;
static char *text;

static int done(void **state)
{
	kernel_config_free(kernel);
	kernel = NULL;
	free(text);
	text = NULL;
	return host_gone(state);
}

/* --- the kernel --- */

static bool is_in(const char *const *list, const char *option)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(*list, option) == 0)
			return true;
	return false;
}

static void add_option(char **made, const char *option, const char *const *off)
{
	text_add(made, is_in(off, option) ? "# %s is not set\n" : "%s=y\n", option);
}

/* A configuration with every option that any capability asks for; but OFF is off and OPEN not mentioned. */
static void built(const char *heading, const char *const *off, const char *const *open)
{
	const char *options[512];
	char error[KERNEL_CONFIG_ERROR_MAX], *made = text_format("%s", heading);
	size_t count = 0;

	for (int i = 0; i < CAPABILITIES; i++)
		for (int f = 0; f < 2; f++)
			for (size_t o = 0; o < CAPABILITY_OPTIONS_MAX; o++)
				if (capabilities[i].options[f][o] != NULL)
					count = options_add(
						options, count, 512, capabilities[i].options[f][o]);
	for (size_t i = 0; i < count; i++)
		if (!is_in(open, options[i]))
			add_option(&made, options[i], off);
	kernel = kernel_config_parse(made, strlen(made), "its configuration", error);
	if (kernel == NULL)
		fail_msg("%s", error);
	free(made);
	host.at.kernel = kernel;
	host_judged();
}

static void a_kernel_with_all_options_is_well(void **state)
{
	(void)state;
	built(HEADING, NULL, NULL);
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
	built(HEADING, off, NULL);
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
	built(HEADING, off, NULL);
	assert_well();
	kernel_config_free(kernel);
	host_serves_ipv6();
	built(HEADING, off, NULL);
	assert_alone(CHECK_KERNEL, CHECK_MISSING);
	found_about(CHECK_KERNEL, CHECK_MISSING, "IPv6");
}

static void one_tool_for_rules_is_enough(void **state)
{
	static const char *const off[] = {"CONFIG_NETFILTER_XT_MATCH_SOCKET", NULL};

	(void)state;
	built(HEADING, off, NULL);
	assert_state(CHECK_KERNEL, CHECK_OK);
}

static void without_any_the_tool_in_use_tells_its_options(void **state)
{
	static const char *const off[] = {
		"CONFIG_NETFILTER_XT_MATCH_SOCKET", "CONFIG_NFT_SOCKET", NULL};

	(void)state;
	built(HEADING, off, NULL);
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
	built("", NULL, open);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, "IPv4"),
		"its configuration says nothing of CONFIG_IP_ADVANCED_ROUTER");
}

static void a_tool_that_may_do_is_better_than_one_that_will_not(void **state)
{
	static const char *const off[] = {"CONFIG_NETFILTER_XT_MATCH_SOCKET", NULL};
	static const char *const open[] = {"CONFIG_NFT_SOCKET", NULL};

	(void)state;
	built("", off, open);
	assert_well();
	assert_reads(found_about(CHECK_KERNEL, CHECK_UNKNOWN, "IPv4"),
		"its configuration says nothing of CONFIG_NFT_SOCKET");
}

static void a_configuration_alone_is_judged_alone(void **state)
{
	(void)state;
	host.at.kernel_alone = true;
	built(HEADING, NULL, NULL);
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

/* --- for programs --- */

static json_t *printed_json(void)
{
	json_error_t error;
	json_t *made;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	host_judged();
	assert_true(check_print_json(&host.report, out));
	fclose(out);
	made = json_loads(text, 0, &error);
	if (made == NULL)
		fail_msg("%s: %s", error.text, text);
	assert_int_equal(text[size - 1], '\n');
	return made;
}

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (value == NULL)
		fail_msg("there is no %s", key);
	return value;
}

static void json_has_every_item_in_the_tables_order(void **state)
{
	json_t *made = printed_json(), *items = json_object_get(made, "items");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(made, "format")), 1);
	assert_true(json_is_true(json_object_get(made, "well")));
	assert_true(json_is_null(json_object_get(made, "kernel")));
	assert_int_equal(json_array_size(items), CHECK_ITEMS);
	for (size_t i = 0; i < CHECK_ITEMS; i++) {
		const json_t *item = json_array_get(items, i);

		assert_string_equal(string(item, "id"), check_rows[i].id);
		assert_string_equal(string(item, "what"), check_rows[i].what);
		assert_string_equal(string(item, "why"), check_rows[i].why);
		assert_true(json_is_array(json_object_get(item, "findings")));
	}
	json_decref(made);
}

static void json_has_findings_with_their_commands(void **state)
{
	const json_t *item, *finding, *command;
	json_t *made;

	(void)state;
	host.policy[FOUR] = "[{\"priority\":9,\"table\":\"254\"}]";
	made = printed_json();
	assert_true(json_is_false(json_object_get(made, "well")));
	item = json_array_get(json_object_get(made, "items"), CHECK_IP_RULE);
	assert_string_equal(string(item, "state"), "missing");
	finding = json_array_get(json_object_get(item, "findings"), 0);
	assert_string_equal(string(finding, "state"), "missing");
	assert_string_equal(string(finding, "subject"), "IPv4");
	assert_string_equal(string(finding, "read"), "no entry of `ip -4 rule` is for mark 0x1");
	command = json_array_get(json_object_get(finding, "commands"), 0);
	assert_string_equal(string(command, "on"), "this host");
	assert_string_equal(string(command, "run"), "ip -4 rule add fwmark 0x1 lookup 100");
	assert_string_equal(string(command, "undo"), "ip -4 rule del fwmark 0x1 lookup 100");
	json_decref(made);
}

static void json_says_null_where_nothing_takes_a_command_back(void **state)
{
	const json_t *finding, *command;
	json_t *made;

	(void)state;
	host.owner_count = 0;
	host_owned(&host.sockets[0], 7, "proxy", 0);
	made = printed_json();
	finding = json_array_get(
		json_object_get(json_array_get(json_object_get(made, "items"), CHECK_CAPABILITY),
			"findings"),
		0);
	command = json_array_get(json_object_get(finding, "commands"), 0);
	assert_string_equal(string(command, "on"), "the proxy");
	assert_true(json_is_null(json_object_get(command, "undo")));
	json_decref(made);
}

static void json_takes_names_that_are_not_utf_8(void **state)
{
	const json_t *finding;
	json_t *made;

	(void)state;
	host.owner_count = 0;
	host_owned(&host.sockets[0], 7, "p\xff", UINT64_MAX);
	made = printed_json();
	finding = json_array_get(
		json_object_get(json_array_get(json_object_get(made, "items"), CHECK_CAPABILITY),
			"findings"),
		0);
	assert_string_equal(string(finding, "read"), "p? (process 7)");
	json_decref(made);
}

static void json_has_the_kernels_capabilities(void **state)
{
	static const char *const off[] = {"CONFIG_IP_MULTIPLE_TABLES", NULL};
	const json_t *told, *list;
	json_t *made;

	(void)state;
	host.at.kernel_alone = true;
	built(HEADING, off, NULL);
	made = printed_json();
	told = json_object_get(made, "kernel");
	list = json_object_get(told, "capabilities");
	assert_string_equal(string(told, "source"), "its configuration");
	assert_string_equal(string(told, "version"), "6.1.0");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		bool is_off = strcmp(string(one, "id"), "policy-rule-4") == 0 ||
			      strcmp(string(one, "id"), "local-route-4") == 0;

		assert_string_equal(string(one, "state"), is_off ? "off" : "on");
		assert_int_equal(json_array_size(json_object_get(one, "options")), is_off);
	}
	assert_int_equal(json_array_size(json_object_get(made, "items")), 1);
	json_decref(made);
}

/* --- for people --- */

static const char *printed(bool verbose)
{
	size_t size;
	FILE *out;

	free(text);
	out = open_memstream(&text, &size);
	check_print(&host.report, verbose, out);
	fclose(out);
	return text;
}

/* No line ends with a blank, and no line but a command's is wider than a page. */
static void assert_tidy(void)
{
	const char *at = text;
	char *line;

	while ((line = text_line(&at)) != NULL) {
		size_t length = strlen(line);

		if (length > 0 && strchr(" \t", line[length - 1]) != NULL)
			fail_msg("'%s' ends with a blank", line);
		if (length > 100 && strstr(line, "  # ") == NULL && strstr(line, ":  ") == NULL)
			fail_msg("'%s' is too wide", line);
		free(line);
	}
}

static void assert_order(const char *first, const char *second)
{
	const char *a = strstr(text, first), *b = strstr(text, second);

	if (a == NULL || b == NULL || a > b)
		fail_msg("'%s' does not stand before '%s' in\n%s", first, second, text);
}

/* Something of each state, and a reason that is long. */
static void break_things(void)
{
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_rules(BACKEND_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
}

static void text_begins_with_what_is_wrong(void **state)
{
	(void)state;
	break_things();
	printed(false);
	assert_order("harmful   src_valid_mark: ", "missing   divert: ");
	assert_order("missing   divert: ", "unknown   announce: ");
	assert_order("unknown   announce: ", "\nok\n");
	assert_order("\nok\n", "2 items want mending: run what stands behind #, then check again.");
	assert_tidy();
	printed(true);
	assert_order("unknown   announce: ", "ok        listener: the proxy listens");
	assert_tidy();
}

static void text_has_each_command_in_a_line_of_its_own(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_rules(BACKEND_NFT, 0,
		NFT(NFT_TABLE("inet", "f") NFT_CHAIN("inet", "f", "in", "input", "0", "accept")
				NFT_RULE("inet", "f", "in", NFT_TCP "," NFT_ACCEPT)));
	host_judged();
	printed(false);
	assert_non_null(strstr(text,
		"\n          # nft 'table ip6 transparent { chain divert { type filter hook "
		"prerouting priority mangle; meta l4proto tcp socket transparent 1 meta mark set "
		"0x1 accept; }; }'\n"));
	assert_tidy();
}

static void text_says_where_else_a_command_is_run(void **state)
{
	(void)state;
	waiting();
	host_judged();
	printed(false);
	assert_non_null(strstr(text, "\n          on the server:  ip -4 route add "
				     "198.51.100.10/32 via 203.0.113.1\n"));
	assert_non_null(strstr(text, "\n1 item wants mending: run what"));
	assert_tidy();
}

static void text_tells_all_that_is_wrong_about_an_item(void **state)
{
	(void)state;
	needs_add_listener(&host.needs, "[" VIP6 "]:80");
	host.policy[FOUR] = "[{\"priority\":5,\"table\":\"254\"},"
			    "{\"priority\":9,\"fwmark\":\"0x1\",\"table\":\"100\"}]";
	host.policy[SIX] = "[{\"priority\":9,\"table\":\"254\"}]";
	host.routes[FOUR] =
		"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
		"{\"dst\":\"default\",\"dev\":\"server0\"},"
		"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"}]";
	host_judged();
	assert_alone(CHECK_IP_RULE, CHECK_HARMFUL);
	printed(false);
	assert_non_null(strstr(text, "# ip -4 rule add pref 1 fwmark 0x1 lookup 100\n"));
	assert_non_null(strstr(text, "# ip -6 rule add fwmark 0x1 lookup 100\n"));
}

static void text_tells_a_common_reason_once(void **state)
{
	(void)state;
	without_sockets();
	host_judged();
	printed(false);
	assert_non_null(strstr(text,
		"unknown\n          listener, capability, transparent, other-listener, "
		"limits, return-path, path-mtu,\n          source-ports\n          the kernel does "
		"not tell\n\n"));
	assert_tidy();
}

static void text_says_when_nothing_is_wrong(void **state)
{
	(void)state;
	host_judged();
	printed(false);
	assert_non_null(
		strstr(text, "\nNothing is missing or harmful; what is unknown is told above.\n"));
	host.at.kernel_alone = true;
	built(HEADING, NULL, NULL);
	assert_string_equal(
		printed(false), "ok\n          kernel\n\nNothing is missing or harmful.\n");
}

static void text_names_apply_where_nothing_is_set_up(void **state)
{
	(void)state;
	host.saved_count = 0;
	host.policy[FOUR] = "[{\"priority\":9,\"table\":\"254\"}]";
	host.routes[FOUR] = "[{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
			    "{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	assert_non_null(strstr(printed(false), "\n3 items want mending. `tproxyctl apply` with the "
					       "same options sets all of a host "
					       "up.\n"));
}

static void text_promises_no_command_where_there_is_none(void **state)
{
	(void)state;
	needs_add_server(&host.needs, "192.0.2.9");
	host_judged();
	assert_non_null(strstr(printed(false), "\n1 item wants mending.\n"));
}

static void text_has_long_rules_as_a_whole(void **state)
{
	char comment[1500], *rules;

	(void)state;
	for (size_t i = 0; i < sizeof(comment) - 1; i++)
		comment[i] = i % 10 == 9 ? ' ' : 'x';
	comment[sizeof(comment) - 2] = '!';
	comment[sizeof(comment) - 1] = '\0';
	rules = text_format("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment \"%s\" -j "
			    "DROP\nCOMMIT\n",
		comment);
	host_more_rules(BACKEND_IPTABLES, AF_INET, rules);
	host_judged();
	assert_non_null(strstr(printed(false), "!\" -j DROP`"));
	assert_non_null(strstr(text, "drops"));
	assert_tidy();
	free(rules);
}

static void text_has_no_lines_of_others_in_it(void **state)
{
	(void)state;
	host.at.sockets_known = false;
	host.at.sockets_problem = (char *)"one line\nand another \n";
	host_judged();
	printed(true);
	assert_non_null(strstr(text, "          one line and another\n"));
	assert_tidy();
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, done)

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
		WITH(json_has_every_item_in_the_tables_order),
		WITH(json_has_findings_with_their_commands),
		WITH(json_says_null_where_nothing_takes_a_command_back),
		WITH(json_takes_names_that_are_not_utf_8),
		WITH(json_has_the_kernels_capabilities),
		WITH(text_begins_with_what_is_wrong),
		WITH(text_has_each_command_in_a_line_of_its_own),
		WITH(text_says_where_else_a_command_is_run),
		WITH(text_tells_all_that_is_wrong_about_an_item),
		WITH(text_tells_a_common_reason_once),
		WITH(text_says_when_nothing_is_wrong),
		WITH(text_names_apply_where_nothing_is_set_up),
		WITH(text_promises_no_command_where_there_is_none),
		WITH(text_has_long_rules_as_a_whole),
		WITH(text_has_no_lines_of_others_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
