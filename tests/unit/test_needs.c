/*
 * What a proxy asks of its host, from a configuration and from words.
 */
#include "tproxy/needs.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct needs needs;

static void the_example_is_transparent_on_both_sides(void **state)
{
	(void)state;
	needs_of_example(&needs);
	assert_true(needs.spoofs);
	assert_true(needs.listeners[0].transparent);
	assert_true(needs_family(&needs, AF_INET));
	assert_false(needs_family(&needs, AF_INET6));
}

static void words_are_read(void **state)
{
	(void)state;
	needs = (struct needs){0};
	assert_int_equal(needs_add_listener(&needs, "[2001:db8::80]:53/udp"), 0);
	assert_int_equal(needs_add_server(&needs, "203.0.113.20:8080"), 0);
	assert_int_equal(needs_add_server(&needs, "2001:db8:5::20"), 0);
	assert_int_equal(needs_add_client(&needs, "198.51.100.10"), 0);
	assert_true(needs_protocol(&needs, AF_INET6, IPPROTO_UDP));
	assert_false(needs_protocol(&needs, AF_INET6, IPPROTO_TCP));
	assert_int_equal(addr_port(&needs.listeners[0].address), 53);
	assert_int_equal(addr_port(&needs.servers[1]), 0);
}

static void other_words_are_refused(void **state)
{
	static const char *const wrong[] = {"", ":", ":80", "192.0.2.80",
		"192.0.2.80:", "192.0.2.80:0", "192.0.2.80:65536", "192.0.2.80:80x",
		"2001:db8::80:80", "[2001:db8::80]", "name:80", "192.0.2.80:80/sctp"};

	(void)state;
	needs = (struct needs){0};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(needs_add_listener(&needs, wrong[i]), -1);
	assert_int_equal(needs.listener_count, 0);
}

static void a_configuration_says_what_it_needs(void **state)
{
	static const char text[] = "defaults\n timeout connect 1s\n timeout client 1s\n"
				   " timeout server 1s\n"
				   "listen l\n bind 192.0.2.80:80 transparent\n"
				   " bind [2001:db8::80]:80\n source 0.0.0.0 usesrc clientip\n"
				   " server s 203.0.113.20:8080\n";
	struct diag *diag = diag_new();
	struct config *config;

	(void)state;
	assert_non_null(diag);
	config = config_parse("test", text, sizeof(text) - 1, diag);
	assert_non_null(config);
	needs = (struct needs){0};
	assert_int_equal(needs_of_config(&needs, config, "test"), 0);
	assert_true(needs.spoofs);
	assert_int_equal(needs.listener_count, 2);
	assert_true(needs.listeners[0].transparent);
	assert_false(needs.listeners[1].transparent);
	assert_int_equal(needs.server_count, 1);
	config_free(config);
	diag_free(diag);
}

static void assert_hears_ipv4(const char *bind, bool system, bool expected)
{
	char text[256];
	struct diag *diag = diag_new();
	struct config *config;

	snprintf(text, sizeof(text),
		"defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
		"listen l\n bind %s\n server s 203.0.113.20:8080\n",
		bind);
	config = config_parse("test", text, strlen(text), diag);
	assert_non_null(config);
	needs = (struct needs){0};
	assert_int_equal(needs_of_config(&needs, config, "test"), 0);
	needs_bindv6only(&needs, system);
	assert_int_equal(needs_hears(&needs.listeners[0], AF_INET), expected);
	assert_true(needs_hears(&needs.listeners[0], AF_INET6));
	config_free(config);
	diag_free(diag);
}

static void a_listener_on_the_ipv6_wildcard_hears_ipv4_unless_told_otherwise(void **state)
{
	(void)state;
	assert_hears_ipv4("[::]:80 transparent", false, true);
	assert_hears_ipv4("[::]:80 transparent", true, false);
	assert_hears_ipv4("[::]:80 transparent v4v6", true, true);
	assert_hears_ipv4("[::]:80 transparent v6only", false, false);
	assert_hears_ipv4("[2001:db8::80]:80 transparent", false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_transparent_on_both_sides),
		cmocka_unit_test(words_are_read),
		cmocka_unit_test(other_words_are_refused),
		cmocka_unit_test(a_configuration_says_what_it_needs),
		cmocka_unit_test(a_listener_on_the_ipv6_wildcard_hears_ipv4_unless_told_otherwise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
