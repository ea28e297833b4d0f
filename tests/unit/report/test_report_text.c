/*
 * How the report of the checklist is printed, for programs and for people.
 */
#include "report/printers.h"
#include "snapshots.h"
#include "tproxy/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADING "# Linux/x86 6.1.0 Kernel Configuration\n"

static char *text;

static int done(void **state)
{
	free(text);
	text = NULL;
	return host_gone(state);
}

static void waits_without_an_answer(void)
{
	struct host_socket *socket = host_connects(CLIENT4, 40001, SERVER4);

	socket->retransmits = 2;
	host_judged();
}

static void judge_without_sockets(const char *problem)
{
	host.snapshot.sockets_known = false;
	host.snapshot.sockets_problem = (char *)problem;
	host_judged();
}

/* --- for programs --- */

static json_t *printed_json(void)
{
	json_error_t error;
	json_t *made;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	host_judged();
	assert_true(report_print_json(&host.report, out));
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
	assert_int_equal(json_integer_value(json_object_get(made, "format")), 2);
	assert_true(json_is_true(json_object_get(made, "well")));
	assert_int_equal(json_array_size(json_object_get(made, "not_judged")), 0);
	assert_int_equal(json_array_size(json_object_get(made, "to_judge")), 0);
	assert_int_equal(json_array_size(json_object_get(made, "commands")), 0);
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
	assert_string_equal(string(finding, "read"), "`ip -4 rule` has no rule for mark 0x1");
	command = json_array_get(json_object_get(finding, "commands"), 0);
	assert_string_equal(string(command, "on"), "this host");
	assert_string_equal(string(command, "run"),
		"[ -n \"$(ip -4 rule show fwmark 0x1 lookup 100)\" ] || "
		"ip -4 rule add fwmark 0x1 lookup 100");
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
	assert_string_equal(
		string(finding, "read"), "p\\xff (process 7) has CAP_NET_RAW or CAP_NET_ADMIN");
	json_decref(made);
}

static void json_has_the_kernels_capabilities(void **state)
{
	static const char *const off[] = {"CONFIG_IP_MULTIPLE_TABLES", NULL};
	const json_t *kernel, *list;
	json_t *made;

	(void)state;
	host.snapshot.kernel_alone = true;
	host_built_with(HEADING, off, NULL);
	made = printed_json();
	kernel = json_object_get(made, "kernel");
	list = json_object_get(kernel, "capabilities");
	assert_string_equal(string(kernel, "source"), "its configuration");
	assert_string_equal(string(kernel, "version"), "6.1.0");
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
	report_print(&host.report, verbose, out);
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
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
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
	assert_order("\nok\n", "2 items need fixing. Run the commands marked #, then check again.");
	assert_tidy();
	printed(true);
	assert_order("unknown   announce: ", "ok        listener: the proxy's listener");
	assert_tidy();
}

static void text_has_each_command_in_a_line_of_its_own(void **state)
{
	(void)state;
	host_serves_ipv6();
	host_rules(TOOL_NFT, 0,
		NFT(NFT_TABLE("inet", "f") NFT_CHAIN("inet", "f", "in", "input", "0", "accept")
				NFT_RULE("inet", "f", "in", NFT_TCP "," NFT_ACCEPT)));
	host_judged();
	printed(false);
	assert_non_null(strstr(text,
		"\n          # nft 'add table ip6 tproxyctl_divert_tcp; delete table ip6 "
		"tproxyctl_divert_tcp; table ip6 tproxyctl_divert_tcp { chain divert { type filter "
		"hook "
		"prerouting priority mangle; meta l4proto tcp socket transparent 1 meta mark set "
		"0x1 accept; }; }'\n"));
	assert_tidy();
}

static void text_says_where_else_a_command_is_run(void **state)
{
	(void)state;
	waits_without_an_answer();
	printed(false);
	assert_non_null(strstr(text, "\n          on the server:  # ip -4 route replace "
				     "198.51.100.10/32 via 203.0.113.1\n"));
	assert_non_null(strstr(text, "\n1 item needs fixing. Run the commands marked #"));
	assert_tidy();
}

static void text_prints_all_that_is_wrong_about_an_item(void **state)
{
	(void)state;
	service_add_listener(&host.service, "[" VIP6 "]:80");
	service_add_server(&host.service, "[" SERVER6 "]:80");
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
	assert_non_null(strstr(text, "|| ip -4 rule add pref 1 fwmark 0x1 lookup 100\n"));
	assert_non_null(strstr(text, "|| ip -6 rule add fwmark 0x1 lookup 100\n"));
}

static unsigned times(const char *part)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		count++;
	return count;
}

static void text_prints_a_common_reason_once(void **state)
{
	(void)state;
	judge_without_sockets("cannot list sockets");
	printed(false);
	assert_non_null(strstr(text, "unknown\n          listener, capability, transparent, "));
	assert_non_null(strstr(text, "\n          cannot list sockets\n\n"));
	assert_int_equal(times("cannot list sockets"), 1);
	assert_tidy();
}

static const char *last_lines(void)
{
	const char *end = strstr(printed(false), "\nok\n");

	assert_non_null(end);
	assert_tidy();
	return strstr(end, "\n\n") + 2;
}

static void text_says_when_nothing_is_wrong(void **state)
{
	(void)state;
	host_connects(CLIENT4, 40001, SERVER4)->state = SOCKET_STATE_CONNECTED;
	host_serves("198.51.100.1:80", SERVER4 ":80");
	host.sockets[0].local = host_address("198.51.100.1", 80);
	host_judged();
	assert_string_equal(last_lines(),
		"Nothing is missing or harmful.\n"
		"If clients still time out, let one connect while `tproxyctl check --watch 10` runs.\n");
	host.snapshot.captured_known = true;
	host_judged();
	assert_non_null(strstr(last_lines(), "look at the way of the servers' answers"));
	host.snapshot.kernel_alone = true;
	host_built_with(HEADING, NULL, NULL);
	assert_string_equal(
		printed(false), "ok\n          kernel\n\nNothing is missing or harmful.\n");
}

static void text_says_what_other_hosts_decide(void **state)
{
	(void)state;
	host_judged();
	assert_string_equal(last_lines(),
		"Nothing is missing or harmful.\n"
		"Unknown, because other hosts decide: announce, return-path, path-mtu. To find out, let a client\n"
		"connect while `tproxyctl check --watch 10` runs.\n"
		"If clients still time out, let one connect while `tproxyctl check --watch 10` runs.\n");
}

/* What was not judged reads like no all-clear, and what would let it be is said. */
static void text_says_what_was_not_judged_and_the_remedies(void **state)
{
	(void)state;
	host.socket_count = 0;
	host.service.server_count = 0;
	host.routes[FOUR] = "[]";
	host_judged();
	assert_non_null(strstr(last_lines(), "Nothing is missing or harmful so far, but "));
	assert_non_null(strstr(text,
		" items were not judged. To judge them: bring a\n"
		"link up, or name a client (--client ADDR); name a server (--server ADDR); start the proxy; run\n"
		"`tproxyctl prove`, or give the complete kernel configuration (--kernel-config FILE); then check\n"
		"again.\n"
		"Unknown, because other hosts decide: announce. To find out, let a client connect while `tproxyctl\n"
		"check --watch 10` runs.\n"));
}

static void text_says_it_of_one_item(void **state)
{
	(void)state;
	host.snapshot.rules_unseen = (char *)"there is no program 'nft'";
	host_judged();
	assert_non_null(strstr(last_lines(), "items was not judged. To judge it: "));
}

static void text_says_it_beside_what_is_wrong_too(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_non_null(strstr(last_lines(),
		"1 item needs fixing. Run the commands marked #, then check again. They last until the next"));
	assert_non_null(strstr(text, " items were not judged. To judge them: first fix what "
				     "is missing or harmful;"));
}

static void text_has_advice_apart_from_what_is_wrong(void **state)
{
	(void)state;
	host.owners[0].owner.descriptors = 100;
	host_judged();
	printed(false);
	assert_order("unknown   ", "advice    limits: ");
	assert_order("advice    limits: ", "\nok\n");
	assert_order("\nok\n", "Nothing is missing or harmful.");
	assert_tidy();
}

static void text_names_apply_where_nothing_is_set_up(void **state)
{
	(void)state;
	host.saved_count = 0;
	host.policy[FOUR] = "[{\"priority\":9,\"table\":\"254\"}]";
	host.routes[FOUR] = "[{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
			    "{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	host_judged();
	assert_non_null(strstr(printed(false),
		"\n3 items need fixing. To set everything up, run `tproxyctl apply` with the same options.\n"));
}

static void text_promises_no_command_where_there_is_none(void **state)
{
	(void)state;
	service_add_server(&host.service, "192.0.2.9");
	host_judged();
	assert_non_null(strstr(printed(false), "\n1 item needs fixing.\n"));
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
	host_more_rules(TOOL_IPTABLES, AF_INET, rules);
	host_judged();
	assert_non_null(strstr(printed(false), "!\" -j DROP`"));
	assert_non_null(strstr(text, "drops"));
	assert_tidy();
	free(rules);
}

static void text_has_no_lines_of_others_in_it(void **state)
{
	(void)state;
	judge_without_sockets("one line\nand another \n");
	printed(true);
	assert_non_null(strstr(text, "          one line and another\n"));
	assert_tidy();
}

/* --- commands --- */

/* Two packets that no rule diverts, in two findings, need one command. */
static void a_command_that_two_findings_need_is_printed_once(void **state)
{
	json_t *made, *list;

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	host_judged();
	assert_int_equal(found_count(CHECK_DIVERT, CHECK_MISSING), 2);
	assert_int_equal(found_about(CHECK_DIVERT, CHECK_MISSING, ANSWERS4)->command_count, 1);
	printed(false);
	assert_int_equal(times("# iptables "), 1);
	free(text);
	made = printed_json();
	list = json_object_get(made, "commands");
	assert_int_equal(json_array_size(list), 1);
	assert_non_null(strstr(string(json_array_get(list, 0), "run"), "iptables -w -t mangle -I"));
	json_decref(made);
}

static void all_commands_stand_in_the_order_of_the_text(void **state)
{
	const struct check_command **list;
	size_t count;

	(void)state;
	host.policy[FOUR] = "[{\"priority\":9,\"table\":\"254\"}]";
	host_sysctl("net/ipv4/conf/server0/rp_filter", "1");
	host.owners[0].owner.capabilities = 0;
	host_more_rules(TOOL_IPTABLES, AF_INET, NAT("-A POSTROUTING -j MASQUERADE\n"));
	host_judged();
	count = check_commands(&host.report, &list);
	assert_true(count >= 3);
	printed(false);
	for (size_t i = 1; i < count; i++)
		assert_order(list[i - 1]->run, list[i]->run);
	free(list);
}

/* --- what others have named --- */

static void assert_no_control_characters(void)
{
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
		if ((*at < ' ' && *at != '\n') || *at >= 0x7f)
			fail_msg("byte %02x stands in\n%s", *at, text);
}

#define ODD_LINK "c\\u001b[2J"

/* A program, a link and a rule whose names would write to the reader's terminal. */
static void names_do_not_reach_a_terminal_as_they_are(void **state)
{
	(void)state;
	host.owner_count = 0;
	host_owned(&host.sockets[0], 7, "\x1b[2J", 0);
	host.links = "[{\"ifname\":\"lo\",\"flags\":[\"UP\"]},{\"ifname\":\"" ODD_LINK
		     "\",\"flags\":[\"UP\"],\"addr_info\":[{\"local\":\"198.51.100.1\","
		     "\"prefixlen\":24}]}]";
	host.routes[FOUR] = "[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":"
			    "\"100\"},{\"dst\":\"198.51.100.0/24\",\"dev\":\"" ODD_LINK
			    "\"},{\"dst\":\"203.0.113.0/24\",\"dev\":\"" ODD_LINK "\"}]";
	host_sysctl("net/ipv4/conf/all/src_valid_mark", "1");
	host_more_rules(TOOL_IPTABLES, AF_INET,
		"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment \"\x1b[2J\xc2\x9b\" "
		"-j DROP\nCOMMIT\n");
	host_judged();
	printed(true);
	assert_no_control_characters();
	assert_non_null(strstr(text, "\\x1b[2J (process 7) has neither"));
	assert_non_null(strstr(text, "\\x1b[2J\\xc2\\x9b"));
	free(text);
	json_decref(printed_json());
	assert_no_control_characters();
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(json_has_every_item_in_the_tables_order),
		WITH(json_has_findings_with_their_commands),
		WITH(json_says_null_where_nothing_takes_a_command_back),
		WITH(json_takes_names_that_are_not_utf_8),
		WITH(json_has_the_kernels_capabilities),
		WITH(text_begins_with_what_is_wrong),
		WITH(text_has_each_command_in_a_line_of_its_own),
		WITH(text_says_where_else_a_command_is_run),
		WITH(text_prints_all_that_is_wrong_about_an_item),
		WITH(text_prints_a_common_reason_once),
		WITH(text_says_when_nothing_is_wrong),
		WITH(text_says_what_other_hosts_decide),
		WITH(text_says_what_was_not_judged_and_the_remedies),
		WITH(text_says_it_of_one_item),
		WITH(text_says_it_beside_what_is_wrong_too),
		WITH(text_has_advice_apart_from_what_is_wrong),
		WITH(a_command_that_two_findings_need_is_printed_once),
		WITH(all_commands_stand_in_the_order_of_the_text),
		WITH(names_do_not_reach_a_terminal_as_they_are),
		WITH(text_names_apply_where_nothing_is_set_up),
		WITH(text_promises_no_command_where_there_is_none),
		WITH(text_has_long_rules_as_a_whole),
		WITH(text_has_no_lines_of_others_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
