/*
 * The results of capabilities: which options may be off, and whether a tool's message is about itself.
 */
#include "hoststate/capability.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct findings *findings;

static int begin(void **state)
{
	(void)state;
	findings = calloc(1, sizeof(*findings));
	return findings == NULL;
}

static int end(void **state)
{
	(void)state;
	free(findings);
	return 0;
}

static enum capability_name iptables(enum rules_feature feature)
{
	return capability_of_rules(TOOL_IPTABLES, feature);
}

static void every_capability_has_its_own_id(void **state)
{
	struct capability_key at = {0};
	char ids[2 * CAPABILITIES][CAPABILITY_ID_MAX];
	size_t count = 0;

	(void)state;
	while (capability_next(&at)) {
		capability_id(at.name, at.family, ids[count]);
		assert_non_null(capabilities[at.name].what);
		assert_non_null(capabilities[at.name].options[at.family == AF_INET6][0]);
		for (size_t i = 0; i < count; i++)
			assert_string_not_equal(ids[i], ids[count]);
		count++;
	}
	assert_string_equal(ids[0], "net-namespaces");
	assert_string_equal(ids[count - 1], "nat");
}

static void ids_of_two_families_name_the_family(void **state)
{
	char id[CAPABILITY_ID_MAX];

	(void)state;
	assert_string_equal(capability_id(CAPABILITY_TRANSPARENT, AF_INET, id), "transparent-4");
	assert_string_equal(capability_id(CAPABILITY_TRANSPARENT, AF_INET6, id), "transparent-6");
	assert_string_equal(capability_id(CAPABILITY_VETH, AF_INET6, id), "veth");
	assert_string_equal(
		capability_id(capability_of_rules(TOOL_LEGACY, RULES_TPROXY), AF_INET6, id),
		"iptables-legacy-tproxy-6");
}

static void options_of_a_working_capability_are_on(void **state)
{
	const char *options[CAPABILITY_OPTIONS_MAX];

	(void)state;
	findings_set_result(findings, iptables(RULES_TABLE), AF_INET, 0);
	findings_set_result(findings, iptables(RULES_SOCKET), AF_INET, 0);
	findings_set_message(findings, iptables(RULES_TPROXY), AF_INET, "missing kernel module?");
	assert_int_equal(capability_options(findings, iptables(RULES_TPROXY), AF_INET, options), 1);
	assert_string_equal(options[0], "CONFIG_NETFILTER_XT_TARGET_TPROXY");
}

static void if_all_options_are_on_all_are_named(void **state)
{
	const char *options[CAPABILITY_OPTIONS_MAX];

	(void)state;
	findings_set_result(findings, CAPABILITY_POLICY_RULE, AF_INET, 0);
	errno = EOPNOTSUPP;
	findings_set_result(findings, CAPABILITY_LOCAL_ROUTE, AF_INET, -1);
	assert_int_equal(capability_options(findings, CAPABILITY_LOCAL_ROUTE, AF_INET, options), 2);
	assert_string_equal(findings_get(findings, CAPABILITY_LOCAL_ROUTE, AF_INET)->detail,
		strerror(EOPNOTSUPP));
}

static void a_package_is_named_once(void **state)
{
	(void)state;
	findings_set_no_program(findings, CAPABILITY_NAT, AF_INET, "nft", "nftables");
	findings_set_no_program(findings, CAPABILITY_NFT_INET, AF_INET, "nft", "nftables");
	findings_set_no_program(findings, CAPABILITY_VETH, AF_INET, "ip", "iproute2");
	assert_string_equal(findings->packages[0], "nftables");
	assert_string_equal(findings->packages[1], "iproute2");
	assert_null(findings->packages[2]);
	assert_int_equal(
		findings_get(findings, CAPABILITY_NAT, AF_INET)->state, CAPABILITY_UNTRIED);
}

static void without_ipv6_what_was_not_tried_needs_it(void **state)
{
	(void)state;
	findings_set_result(findings, CAPABILITY_TRANSPARENT, AF_INET, 0);
	findings_set_no_ipv6(findings);
	assert_true(findings_can(findings, CAPABILITY_TRANSPARENT, AF_INET));
	assert_string_equal(
		findings_get(findings, CAPABILITY_TRANSPARENT, AF_INET6)->detail, "needs ipv6");
}

static void the_message_leaves_out_the_tools_advice(void **state)
{
	char message[320];

	(void)state;
	tool_message("/dev/stdin:3:1-9: Error: Could not process rule: No such file or directory\n"
		     "add rule ip transparent PREROUTING tproxy to :80\n"
		     "                                   ^^^^^^^^^^^^^\n",
		message, sizeof(message));
	assert_string_equal(message,
		"/dev/stdin:3:1-9: Error: Could not process rule: No such file or directory");
	tool_message("", message, sizeof(message));
	assert_string_equal(message, "it failed without a message");
	tool_message("first\n\xc3\xa4\x1b[1m\n", message, sizeof(message));
	assert_string_equal(message, "first; ???[1m");
}

static void a_missing_module_comes_first(void **state)
{
	char message[320];

	(void)state;
	tool_message("Warning: Extension TPROXY is not supported, missing kernel module?\n"
		     "iptables-restore v1.8.9 (legacy): unknown option \"--on-port\"\n",
		message, sizeof(message));
	assert_string_equal(message, "Extension TPROXY is not supported, missing kernel module?");
	assert_false(tool_is_at_fault(message));
}

static void long_messages_are_cut(void **state)
{
	char message[16];

	(void)state;
	tool_message("one line that is long\nanother\n", message, sizeof(message));
	assert_int_equal(strlen(message), sizeof(message) - 1);
}

static void a_tool_without_an_extension_is_at_fault(void **state)
{
	(void)state;
	assert_true(tool_is_at_fault("Couldn't load match `socket':No such file or directory"));
	assert_true(tool_is_at_fault("Error: syntax error, unexpected string"));
	assert_false(tool_is_at_fault("RTNETLINK answers: Operation not supported"));
	findings_set_message(findings, iptables(RULES_SOCKET), AF_INET6, "unknown option \"--x\"");
	assert_int_equal(findings_get(findings, iptables(RULES_SOCKET), AF_INET6)->state,
		CAPABILITY_UNTRIED);
	findings_set_message(findings, iptables(RULES_SOCKET), AF_INET6, "Operation not supported");
	assert_int_equal(findings_get(findings, iptables(RULES_SOCKET), AF_INET6)->state,
		CAPABILITY_MISSING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_capability_has_its_own_id),
		TEST(ids_of_two_families_name_the_family),
		TEST(options_of_a_working_capability_are_on),
		TEST(if_all_options_are_on_all_are_named),
		TEST(a_package_is_named_once),
		TEST(without_ipv6_what_was_not_tried_needs_it),
		TEST(the_message_leaves_out_the_tools_advice),
		TEST(a_missing_module_comes_first),
		TEST(long_messages_are_cut),
		TEST(a_tool_without_an_extension_is_at_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
