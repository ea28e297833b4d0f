/*
 * Plans: from a service and what is in use to steps and rules, without a host.
 */
#include "setup/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct service service;
static struct in_use in_use;
static struct plan plan;

static int fresh(void **state)
{
	(void)state;
	service_free(&service);
	in_use = (struct in_use){.preference = {32765, 32765}};
	plan = (struct plan){.mark = 1, .table = 100};
	return 0;
}

static int done(void **state)
{
	(void)state;
	plan_free(&plan);
	in_use.links = NULL;
	in_use.link_count = 0;
	in_use_free(&in_use);
	return 0;
}

static const struct step *find(enum step_kind kind, int family)
{
	for (size_t i = 0; i < plan.step_count; i++)
		if (plan.steps[i].kind == kind && plan.steps[i].family == family)
			return &plan.steps[i];
	return NULL;
}

static void assert_command(const struct step *step, const char *verb, const char *expected)
{
	char *command = step_command(step, verb);

	assert_string_equal(command, expected);
	free(command);
}

static void the_example_is_the_walkthroughs(void **state)
{
	static const char rules[] =
		"*mangle\n:TPROXYCTL - [0:0]\n"
		"-A PREROUTING -p tcp -m socket --transparent -m comment --comment tproxyctl"
		" -j TPROXYCTL\n"
		"-A PREROUTING -p icmp -m socket --transparent -m comment --comment tproxyctl"
		" -j TPROXYCTL\n"
		"-A TPROXYCTL -m comment --comment tproxyctl -j MARK --set-mark 0x1\n"
		"-A TPROXYCTL -m comment --comment tproxyctl -j ACCEPT\nCOMMIT\n";

	(void)state;
	service_add_example(&service);
	plan_build(&plan, &service, &in_use);
	assert_int_equal(plan.step_count, 3);
	assert_command(&plan.steps[0], "add",
		"ip -4 route add local 0.0.0.0/0 dev lo table 100 proto 197");
	assert_command(&plan.steps[0], "show",
		"ip -4 route show table 100 type local dev lo proto 197 exact 0.0.0.0/0");
	assert_command(&plan.steps[1], "del",
		"ip -4 rule del pref 32765 fwmark 0x1 table 100 protocol 197");
	assert_string_equal(plan.steps[2].input, rules);
	assert_null(find(STEP_SYSCTL, AF_INET));
	assert_null(plan.notes);
}

static void only_what_is_served_is_diverted(void **state)
{
	const struct step *step;

	(void)state;
	service_add_listener(&service, "[2001:db8::80]:53/udp");
	plan_build(&plan, &service, &in_use);
	assert_null(find(STEP_FIREWALL, AF_INET));
	step = find(STEP_FIREWALL, AF_INET6);
	assert_non_null(step);
	assert_non_null(strstr(step->input, "-p udp -m socket --transparent "));
	assert_null(strstr(step->input, "-p tcp"));
	assert_non_null(strstr(step->input, "-p ipv6-icmp"));
}

static void by_nft_listeners_for_datagrams_are_named(void **state)
{
	const char *rules;

	(void)state;
	plan.tool = TOOL_NFT;
	service_add_listener(&service, "192.0.2.80:53");
	service_add_listener(&service, "192.0.2.80:53/udp");
	plan_build(&plan, &service, &in_use);
	rules = find(STEP_FIREWALL, AF_INET)->input;
	assert_non_null(strstr(rules, "udp dport 53 tproxy to 192.0.2.80:53 "));
	assert_null(strstr(rules, "tcp dport 53 tproxy"));
}

/* While the proxy is down, no connection passes it by. */
static void a_wildcard_listener_fails_closed_unless_the_user_says_otherwise(void **state)
{
	static const char *const closing[] = {
		[TOOL_IPTABLES] = "-A PREROUTING -p tcp --dport 80 -m addrtype ! --dst-type LOCAL",
		[TOOL_NFT] = "tcp dport 80 fib daddr type != local drop comment",
	};
	static const enum firewall_tool tools[] = {TOOL_IPTABLES, TOOL_NFT};

	(void)state;
	service_add_listener(&service, "0.0.0.0:80");
	for (size_t i = 0; i < 2; i++) {
		const char *rules;

		plan.tool = tools[i];
		plan.fail_open = false;
		plan_build(&plan, &service, &in_use);
		rules = strstr(find(STEP_FIREWALL, AF_INET)->input, closing[tools[i]]);
		assert_non_null(rules);
		assert_null(strstr(rules, "socket"));
		plan_free(&plan);
		plan.fail_open = true;
		plan_build(&plan, &service, &in_use);
		assert_null(strstr(find(STEP_FIREWALL, AF_INET)->input, closing[tools[i]]));
		plan_free(&plan);
	}
	plan.fail_open = false;
	plan.tool = TOOL_IPTABLES;
	plan.recipe = RECIPE_TPROXY;
	plan_build(&plan, &service, &in_use);
	assert_null(strstr(find(STEP_FIREWALL, AF_INET)->input, "-j DROP"));
}

static void a_listener_with_an_address_closes_nothing(void **state)
{
	(void)state;
	service_add_listener(&service, "192.0.2.80:80");
	plan_build(&plan, &service, &in_use);
	assert_null(strstr(find(STEP_FIREWALL, AF_INET)->input, "DROP"));
}

static void answers_of_servers_are_diverted_too(void **state)
{
	(void)state;
	service_add_listener(&service, "[::]:80");
	service_add_server(&service, "203.0.113.20");
	service.spoofs = true;
	plan_build(&plan, &service, &in_use);
	assert_non_null(find(STEP_FIREWALL, AF_INET6));
	assert_non_null(strstr(find(STEP_FIREWALL, AF_INET)->input, "--nowildcard"));
}

static void ipv4_clients_of_a_dual_stack_listener_are_diverted(void **state)
{
	(void)state;
	plan.recipe = RECIPE_TPROXY;
	service_add_listener(&service, "[::]:80");
	plan_build(&plan, &service, &in_use);
	assert_non_null(strstr(
		find(STEP_FIREWALL, AF_INET)->input, "-m socket --transparent --nowildcard"));
	assert_non_null(strstr(find(STEP_FIREWALL, AF_INET)->input, "-p tcp --dport 80 "));
	assert_true(service_has_wildcard(&service, AF_INET, IPPROTO_TCP));
	plan_free(&plan);
	service.listeners[0].transparent = false;
	plan_build(&plan, &service, &in_use);
	assert_null(find(STEP_FIREWALL, AF_INET));
}

/* TPROXY drops what it finds no transparent socket for: a rule too many cuts others off. */
static void only_transparent_listeners_that_hear_it_are_named(void **state)
{
	(void)state;
	plan.recipe = RECIPE_TPROXY;
	service_add_listener(&service, "[::]:80");
	service_add_listener(&service, "192.0.2.80:81");
	service_add_server(&service, "203.0.113.20");
	service.spoofs = true;
	service.listeners[1].transparent = false;
	service_set_bindv6only(&service, true);
	plan_build(&plan, &service, &in_use);
	assert_null(strstr(find(STEP_FIREWALL, AF_INET)->input, "TPROXY "));
	assert_null(strstr(find(STEP_FIREWALL, AF_INET)->input, "--nowildcard"));
	assert_non_null(strstr(find(STEP_FIREWALL, AF_INET6)->input, "TPROXY "));
}

static void listeners_are_named_once(void **state)
{
	const char *text, *again;

	(void)state;
	plan.recipe = RECIPE_TPROXY;
	plan.tool = TOOL_NFT;
	service_add_listener(&service, "192.0.2.80:80");
	service_add_listener(&service, "192.0.2.80:80");
	service_add_listener(&service, "0.0.0.0:8000");
	plan_build(&plan, &service, &in_use);
	text = find(STEP_FIREWALL, AF_INET)->input;
	again = strstr(text, "ip daddr 192.0.2.80 tcp dport 80 tproxy to 192.0.2.80:80 meta mark");
	assert_non_null(again);
	assert_null(strstr(again + 4, "ip daddr 192.0.2.80 tcp dport 80"));
	assert_non_null(strstr(text, "tcp dport 8000 tproxy to :8000 meta mark set 0x1 accept"));
}

static void assert_reads(enum firewall_tool tool, int family, const char *expected)
{
	const char *text;

	plan.fail_open = true; /* without rules that close the way past the proxy */
	plan.recipe = RECIPE_TPROXY;
	plan.tool = tool;
	plan_build(&plan, &service, &in_use);
	text = find(STEP_FIREWALL, family)->input;
	if (strstr(text, expected) == NULL)
		fail_msg("'%s' is not in\n%s", expected, text);
	plan_free(&plan);
}

static void a_run_of_ports_is_one_rule(void **state)
{
	char word[64];

	(void)state;
	for (unsigned port = 30000; port <= 65535; port++) {
		snprintf(word, sizeof(word), "0.0.0.0:%u", port);
		service_add_listener(&service, word);
		snprintf(word, sizeof(word), "192.0.2.80:%u", port);
		service_add_listener(&service, word);
		snprintf(word, sizeof(word), "[2001:db8::80]:%u", port);
		service_add_listener(&service, word);
	}
	/* What names its address comes first, or the wildcard's rule would take its packets. */
	assert_reads(TOOL_IPTABLES, AF_INET,
		"-A PREROUTING -p tcp -d 192.0.2.80 --dport 30000:65535 -m comment --comment "
		"tproxyctl -j TPROXY --on-ip 192.0.2.80 --on-port 0 --tproxy-mark 0x1\n"
		"-A PREROUTING -p tcp --dport 30000:65535 -m comment --comment tproxyctl"
		" -j TPROXY --on-port 0 --tproxy-mark 0x1\n"
		"-A TPROXYCTL ");
	assert_reads(TOOL_NFT, AF_INET,
		"\t\tip daddr 192.0.2.80 tcp dport 30000-65535 tproxy to 192.0.2.80 meta mark set "
		"0x1 accept comment \"tproxyctl\"\n"
		"\t\ttcp dport 30000-65535 tproxy to :0 meta mark set 0x1 accept comment "
		"\"tproxyctl\"\n\t}\n");
	assert_reads(TOOL_NFT, AF_INET6,
		"ip6 daddr 2001:db8::80 tcp dport 30000-65535 tproxy to 2001:db8::80 meta mark");
	service_free(&service);
	for (unsigned port = 79; port <= 80; port++) {
		snprintf(word, sizeof(word), "192.0.2.80:%u", port);
		service_add_listener(&service, word);
		service.listeners[port - 79].transparent = false;
	}
	plan_build(&plan, &service, &in_use);
	assert_string_equal(plan.notes,
		"the listener on 192.0.2.80:79-80 is not transparent: its packets are not "
		"diverted, so its address must be an address of this host\n");
}

static void local_routes_alone_need_no_mark(void **state)
{
	char *own[] = {(char *)"192.0.2.81"};

	(void)state;
	plan.recipe = RECIPE_LOCAL_ROUTE;
	in_use.local_addresses = own;
	in_use.local_count = 1;
	service_add_listener(&service, "192.0.2.80:80");
	service_add_listener(&service, "192.0.2.80:81");
	service_add_listener(&service, "192.0.2.81:80");
	service_add_listener(&service, "[2001:db8::80]:80");
	service.listeners[3].transparent = false;
	plan_build(&plan, &service, &in_use);
	in_use.local_addresses = NULL;
	in_use.local_count = 0;
	assert_false(plan.marks);
	assert_int_equal(plan.step_count, 3);
	assert_command(&plan.steps[0], "add",
		"ip -4 route add local 192.0.2.80/32 dev lo table local proto 197");
	assert_string_equal(find(STEP_SYSCTL, AF_INET6)->sysctl, "net/ipv6/ip_nonlocal_bind");
}

static void sources_of_clients_need_marks_with_local_routes_too(void **state)
{
	(void)state;
	plan.recipe = RECIPE_LOCAL_ROUTE;
	service_add_example(&service);
	plan_build(&plan, &service, &in_use);
	assert_true(plan.marks);
	assert_non_null(find(STEP_FIREWALL, AF_INET));
}

/* The sysctls that are set, in one text. */
static void assert_sysctls(const char *expected)
{
	char text[512] = "";

	for (size_t i = 0; i < plan.step_count; i++)
		if (plan.steps[i].kind == STEP_SYSCTL)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%s ",
				plan.steps[i].sysctl, plan.steps[i].value);
	assert_string_equal(text, expected);
	plan_free(&plan);
}

static void harmful_sysctls_are_fixed(void **state)
{
	struct in_use_link links[] = {{(char *)"eth0.5", 0, 0, 0}, {(char *)"all", 0, 0, 0}};

	(void)state;
	service_add_example(&service);
	in_use.links = links;
	in_use.link_count = 2;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
	links[0].src_valid_mark = 1;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("net/ipv4/conf/eth0.5/accept_local=1 ");
	links[1].rp_filter = 1;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("net/ipv4/conf/eth0.5/accept_local=1 net/ipv4/conf/eth0.5/rp_filter=2 ");
	links[1] = (struct in_use_link){(char *)"all", 1, 0, 0};
	plan_build(&plan, &service, &in_use);
	assert_sysctls("net/ipv4/conf/all/accept_local=1 ");
	links[1].accept_local = 1;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
}

static void accepted_sockets_inherit_no_mark(void **state)
{
	(void)state;
	in_use.fwmark_accept = 1;
	service_add_listener(&service, "[2001:db8::80]:80");
	plan_build(&plan, &service, &in_use);
	assert_sysctls("net/ipv4/tcp_fwmark_accept=0 ");
	plan.recipe = RECIPE_LOCAL_ROUTE;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
	service_free(&service);
	plan.recipe = RECIPE_DIVERT;
	service_add_listener(&service, "192.0.2.80:53/udp");
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
}

static void ports_that_rest_are_used_again_where_sources_are_spoofed(void **state)
{
	(void)state;
	service_add_example(&service);
	plan_build(&plan, &service, &in_use);
	assert_sysctls(""); /* the kernel has no such sysctl */
	in_use.tw_reuse_there = true;
	in_use.tw_reuse = 2;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("net/ipv4/tcp_tw_reuse=1 ");
	plan.recipe = RECIPE_LOCAL_ROUTE;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("net/ipv4/tcp_tw_reuse=1 ");
	in_use.no_timestamps = true;
	plan_build(&plan, &service, &in_use);
	assert_non_null(strstr(plan.notes, "net.ipv4.tcp_timestamps is 0"));
	assert_sysctls("");
	in_use.no_timestamps = false;
	service.spoofs = false;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
	service.spoofs = true;
	in_use.tw_reuse = 1;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
	in_use.tw_reuse = 0;
	service_free(&service);
	service_add_listener(&service, "192.0.2.80:53/udp");
	service.spoofs = true;
	plan_build(&plan, &service, &in_use);
	assert_sysctls("");
}

static void the_preference_of_a_rule_does_not_make_another_plan(void **state)
{
	struct plan first;

	(void)state;
	service_add_example(&service);
	plan_build(&plan, &service, &in_use);
	first = plan;
	plan = (struct plan){.mark = 1, .table = 100};
	in_use.preference[0] = 7;
	plan_build(&plan, &service, &in_use);
	assert_true(plan_same(&first, &plan));
	in_use.fwmark_accept = 1;
	plan_free(&plan);
	plan_build(&plan, &service, &in_use);
	assert_false(plan_same(&first, &plan)); /* a sysctl needs to be set */
	in_use.fwmark_accept = 0;
	plan_free(&plan);
	plan.mark = 2;
	plan_build(&plan, &service, &in_use);
	assert_false(plan_same(&first, &plan));
	plan_free(&plan);
	plan.mark = 1;
	service_add_listener(&service, "[2001:db8::80]:80");
	plan_build(&plan, &service, &in_use);
	assert_false(plan_same(&first, &plan)); /* IPv6 has steps, too */
	plan_free(&first);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(the_example_is_the_walkthroughs),
		WITH(only_what_is_served_is_diverted),
		WITH(by_nft_listeners_for_datagrams_are_named),
		WITH(a_wildcard_listener_fails_closed_unless_the_user_says_otherwise),
		WITH(a_listener_with_an_address_closes_nothing),
		WITH(answers_of_servers_are_diverted_too),
		WITH(ipv4_clients_of_a_dual_stack_listener_are_diverted),
		WITH(only_transparent_listeners_that_hear_it_are_named),
		WITH(listeners_are_named_once),
		WITH(a_run_of_ports_is_one_rule),
		WITH(local_routes_alone_need_no_mark),
		WITH(sources_of_clients_need_marks_with_local_routes_too),
		WITH(harmful_sysctls_are_fixed),
		WITH(accepted_sockets_inherit_no_mark),
		WITH(ports_that_rest_are_used_again_where_sources_are_spoofed),
		WITH(the_preference_of_a_rule_does_not_make_another_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
