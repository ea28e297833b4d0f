/*
 * What `ip -j` prints about a host: its own output, complete and cut off, and other text.
 */
#include "hoststate/network.h"
#include "rulesets.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static struct network network;

static int done(void **state)
{
	(void)state;
	network_free(&network);
	return 0;
}

static struct addr at(const char *ip)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	return addr;
}

static void assert_ip(const struct addr *addr, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format_ip(addr, text), expected);
}

/* One way to read a text, whatever is in it. */
static bool of_links(const char *json)
{
	return network_parse_links(&network, json);
}

static bool of_family4(const char *json)
{
	return network_parse_family(&network, AF_INET, json);
}

static bool of_family6(const char *json)
{
	return network_parse_family(&network, AF_INET6, json);
}

static void take(bool (*read)(const char *), const char *name)
{
	char *text = fixture_text("network", name);

	assert_true(read(text));
	free(text);
}

/* --- what is read --- */

static void links_have_names_states_and_kinds(void **state)
{
	const struct network_link *client, *bridge;

	(void)state;
	take(of_links, "links.json");
	assert_int_equal(network.link_count, 6);
	client = network_find_link(&network, "client0");
	bridge = network_find_link(&network, "br0");
	assert_true(client->up && !client->bridge);
	assert_string_equal(client->mac, "02:00:00:00:00:01");
	assert_true(bridge->bridge && !bridge->up);
	assert_null(network_find_link(&network, "client"));
}

static void addresses_have_their_link_and_their_prefix(void **state)
{
	const struct network_address *own;
	struct addr four = at("198.51.100.1"), six = at("2001:db8:5::1");

	(void)state;
	take(of_links, "links.json");
	own = network_find_address(&network, &four);
	assert_string_equal(own->link, "client0");
	assert_int_equal(own->length, 24);
	own = network_find_address(&network, &six);
	assert_string_equal(own->link, "server0");
	assert_int_equal(own->length, 64);
}

static void an_address_beside_an_own_one_is_not_own(void **state)
{
	struct addr four = at("198.51.100.2"), six = at("2001:db8:5::2");

	(void)state;
	take(of_links, "links.json");
	assert_null(network_find_address(&network, &four));
	assert_null(network_find_address(&network, &six));
}

static void an_own_address_is_own_at_every_port(void **state)
{
	struct addr four = at("198.51.100.1");

	(void)state;
	addr_set_port(&four, 80);
	take(of_links, "links.json");
	assert_non_null(network_find_address(&network, &four));
}

static void an_empty_object_is_not_a_link(void **state)
{
	(void)state;
	assert_true(of_links("[{},{\"ifname\":\"lo\",\"flags\":[\"UP\"]},{}]"));
	assert_int_equal(network.link_count, 1);
	assert_true(network.links[0].up);
	assert_string_equal(network.links[0].mac, "");
}

static void a_list_without_links_is_refused(void **state)
{
	(void)state;
	assert_false(of_links(""));
	assert_false(of_links("[]"));
}

static void proxied_addresses_have_their_link(void **state)
{
	(void)state;
	take(of_family4, "proxied4.json");
	take(of_family6, "proxied6.json");
	assert_int_equal(network.proxied_count, 3);
	assert_string_equal(network.proxied[0].link, "server0");
	assert_ip(&network.proxied[0].address, "192.0.2.81");
	assert_ip(&network.proxied[2].address, "2001:db8:f::80");
}

static void rules_have_priorities_tables_marks_and_masks(void **state)
{
	const struct network_rule *rules;

	(void)state;
	take(of_family4, "rules4.json");
	assert_int_equal(network.rule_count, 6);
	rules = network.rules;
	assert_int_equal(rules[0].table, TABLE_LOCAL);
	assert_false(rules[0].has_mark);
	assert_true(rules[1].has_mark);
	assert_int_equal(rules[1].priority, 99);
	assert_int_equal(rules[1].mark, 1);
	assert_int_equal(rules[1].mask, 0xff);
	assert_int_equal(rules[1].table, 100);
	assert_int_equal(rules[2].mask, UINT32_MAX);
	assert_int_equal(rules[4].table, TABLE_MAIN);
	assert_string_equal(rules[4].text, "pref 32766 lookup main");
}

static void a_rule_for_all_but_a_mark_is_not_one_for_it(void **state)
{
	(void)state;
	take(of_family4, "rules4.json");
	assert_int_equal(network.rules[3].table, 51820);
	assert_false(network.rules[3].has_mark);
}

static void rules_of_both_families_stand_behind_each_other(void **state)
{
	(void)state;
	take(of_family4, "rules4.json");
	take(of_family6, "rules6.json");
	assert_int_equal(network.rule_count, 9);
	assert_int_equal(network.rules[5].family, AF_INET);
	assert_int_equal(network.rules[7].family, AF_INET6);
	assert_int_equal(network.rules[7].table, 100);
}

static void routes_have_networks_tables_and_links(void **state)
{
	const struct network_route *routes;

	(void)state;
	take(of_family4, "routes4.json");
	routes = network.routes;
	assert_int_equal(network.route_count, 12);
	assert_true(routes[0].local);
	assert_int_equal(routes[0].table, 100);
	assert_int_equal(routes[0].length, 0);
	assert_false(routes[1].local);
	assert_int_equal(routes[1].table, TABLE_MAIN);
	assert_string_equal(routes[1].link, "server0");
	assert_int_equal(routes[3].length, 24);
	assert_ip(&routes[3].to, "198.51.100.0");
}

static void a_route_that_leads_nowhere_has_no_link(void **state)
{
	(void)state;
	take(of_family4, "routes4.json");
	assert_ip(&network.routes[2].to, "192.0.2.128");
	assert_string_equal(network.routes[2].link, "");
	assert_false(network.routes[2].local);
	assert_ip(&network.routes[7].to, "127.255.255.255");
	assert_string_equal(network.routes[7].link, "");
}

static void names_of_types_are_read_like_their_numbers(void **state)
{
	(void)state;
	assert_true(of_family4("[{\"type\":\"local\",\"dst\":\"192.0.2.80\",\"dev\":\"lo\"},"
			       "{\"type\":\"unicast\",\"dst\":\"192.0.2.0/24\",\"dev\":\"a\"},"
			       "{\"type\":\"blackhole\",\"dst\":\"192.0.2.0/25\",\"dev\":\"a\"}]"));
	assert_true(network.routes[0].local);
	assert_int_equal(network.routes[0].length, 32);
	assert_string_equal(network.routes[1].link, "a");
	assert_string_equal(network.routes[2].link, "");
}

static void a_table_delivers_what_its_local_routes_cover(void **state)
{
	struct addr four = at("192.0.2.80"), six = at("2001:db8:f::80"), own = at("198.51.100.1");

	(void)state;
	take(of_family4, "routes4.json");
	assert_non_null(network_find_local_route(&network, 100, &four));
	assert_null(network_find_local_route(&network, 101, &four));
	assert_null(network_find_local_route(&network, TABLE_LOCAL, &four));
	assert_non_null(network_find_local_route(&network, TABLE_LOCAL, &own));
	assert_null(network_find_local_route(&network, 100, &six));
	take(of_family6, "routes6.json");
	assert_non_null(network_find_local_route(&network, 100, &six));
}

static void of_any_table_the_hosts_own_one_does_not_count(void **state)
{
	struct addr own = at("198.51.100.1"), other = at("192.0.2.80");

	(void)state;
	assert_true(of_family4("[{\"type\":\"2\",\"dst\":\"198.51.100.1\",\"table\":\"255\"},"
			       "{\"type\":\"2\",\"dst\":\"192.0.2.80\",\"table\":\"7\"}]"));
	assert_null(network_find_local_route(&network, 0, &own));
	assert_int_equal(network_find_local_route(&network, 0, &other)->table, 7);
}

/* --- what is not read --- */

/* Up to its last bracket every part of it is cut off; the memory ends where the text does. */
static void assert_refused_when_cut(bool (*read)(const char *), const char *name)
{
	char *text = fixture_text("network", name);
	size_t whole = (size_t)(strrchr(text, ']') - text);

	for (size_t length = 1; length <= whole; length++) {
		char *part = strndup(text, length);

		if (read(part))
			fail_msg("%s is taken when it is cut at %zu", name, length);
		free(part);
		network_free(&network);
	}
	free(text);
}

static void what_is_cut_off_anywhere_is_refused(void **state)
{
	(void)state;
	assert_refused_when_cut(of_links, "links.json");
	assert_refused_when_cut(of_family4, "proxied4.json");
	assert_refused_when_cut(of_family6, "proxied6.json");
	assert_refused_when_cut(of_family4, "rules4.json");
	assert_refused_when_cut(of_family6, "rules6.json");
	assert_refused_when_cut(of_family4, "routes4.json");
	assert_refused_when_cut(of_family6, "routes6.json");
}

/* Versions of `ip` print a list that is empty as nothing, so that the next one takes its place. */
static void lists_of_a_family_may_stand_in_any_order(void **state)
{
	static const char rule[] = "[{\"priority\":9,\"src\":\"all\",\"table\":\"100\"}]\n";
	static const char route[] = "[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\"}]\n";
	static const char entry[] = "[{\"dst\":\"192.0.2.80\",\"dev\":\"c\",\"proxy\":null}]\n";
	static const char *const orders[][4] = {
		{rule, route, entry, ""}, {entry, rule, "[]\n", route}, {route, "", entry, rule}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char text[512] = "";

		for (size_t j = 0; j < 4; j++)
			strcat(text, orders[i][j]);
		assert_true(of_family4(text));
		assert_int_equal(network.rule_count, 1);
		assert_int_equal(network.rules[0].table, 100);
		assert_int_equal(network.route_count, 1);
		assert_true(network.routes[0].local);
		assert_int_equal(network.proxied_count, 1);
		network_free(&network);
	}
}

static void an_empty_list_may_be_no_text_at_all(void **state)
{
	(void)state;
	assert_true(of_family4(""));
	assert_true(of_family6(" \n"));
	assert_true(of_family6("[]\n[]\n"));
	assert_int_equal(network.proxied_count + network.rule_count + network.route_count, 0);
}

static void json_of_something_else_is_refused(void **state)
{
	static bool (*const readers[])(const char *) = {of_links, of_family4, of_family6};
	static const char *const texts[] = {"{}", "7", "null", "\"lo\"", "[1,2]", "[\"lo\"]",
		"[null]", "[[]]", "[{\"nftables\":[]}]", "[{\"ifname\":7,\"dst\":7}]", "[] [",
		"Object \"x\" is unknown", "[]]"};

	(void)state;
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
			if (readers[i](texts[j]))
				fail_msg("reader %zu takes %s", i, texts[j]);
			network_free(&network);
		}
}

static void required_fields_are_checked(void **state)
{
	(void)state;
	assert_false(of_links("[{\"ifname\":\"lo\",\"addr_info\":[{\"local\":\"192.0.2.1\"}]}]"));
	assert_false(of_links("[{\"ifname\":\"lo\",\"addr_info\":[{\"prefixlen\":24}]}]"));
	assert_false(of_links("[{\"flags\":[\"UP\",7]}]"));
	assert_false(of_family4("[{\"dev\":\"client0\",\"proxy\":null}]"));
	assert_false(of_family4("[{\"src\":\"all\",\"table\":\"255\"}]"));
	assert_false(of_family4("[{\"priority\":\"0\",\"table\":\"255\"}]"));
	assert_false(of_family4("[{\"priority\":1,\"fwmark\":\"one\",\"table\":\"255\"}]"));
	assert_false(of_family4("[{\"priority\":1,\"fwmark\":\"1\",\"fwmask\":true}]"));
	assert_false(of_family4("[{\"dev\":\"lo\"}]"));
	assert_false(of_family4("[{\"dst\":\"192.0.2.1\",\"table\":\"mine\"}]"));
}

static void prefixes_are_no_longer_than_addresses(void **state)
{
	static const char link[] = "[{\"ifname\":\"lo\",\"addr_info\":[{\"local\":\"%s\","
				   "\"prefixlen\":%d}]}]";
	char text[128];

	(void)state;
	snprintf(text, sizeof(text), link, "192.0.2.1", 33);
	assert_false(of_links(text));
	snprintf(text, sizeof(text), link, "2001:db8::1", 129);
	assert_false(of_links(text));
	snprintf(text, sizeof(text), link, "2001:db8::1", -1);
	assert_false(of_links(text));
	assert_false(of_family4("[{\"dst\":\"192.0.2.0/33\"}]"));
	assert_false(of_family4("[{\"dst\":\"192.0.2.0/\"}]"));
	assert_false(of_family6("[{\"dst\":\"2001:db8::/129\"}]"));
	assert_true(of_family6("[{\"dst\":\"2001:db8::/128\"}]"));
}

static void a_family_has_no_routes_of_the_other(void **state)
{
	(void)state;
	assert_false(of_family4("[{\"dst\":\"2001:db8::/64\"}]"));
	assert_false(of_family6("[{\"dst\":\"192.0.2.0/24\"}]"));
	assert_false(of_family6("[{\"dst\":\"192.0.2.80\"}]"));
}

static void names_that_are_too_long_are_left_out(void **state)
{
	(void)state;
	assert_false(of_links("[{\"ifname\":\"a-name-that-no-link-can-have\"}]"));
	assert_int_equal(network.link_count, 0);
	assert_true(of_links("[{\"ifname\":\"ib0\",\"address\":"
			     "\"00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\"}]"));
	assert_string_equal(network.links[0].mac, "");
}

static void numbers_out_of_their_range_are_refused_and_not_kept(void **state)
{
	static const char *const lengths[] = {
		"-1", "33", "4294967320", "9223372036854775807", "24.0", "\"24\"", "null"};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		snprintf(text, sizeof(text),
			"[{\"ifname\":\"lo\",\"addr_info\":[{\"family\":\"inet\","
			"\"local\":\"192.0.2.1\",\"prefixlen\":%s}]}]",
			lengths[i]);
		assert_false(of_links(text));
		assert_int_equal(network.address_count, 0);
		network_free(&network);
	}
	assert_false(of_family4("[{\"dst\":\"192.0.2.0/850\",\"dev\":\"a\"}]"));
	assert_false(of_family4("[{\"dst\":\"192.0.2.0/4294967320\",\"dev\":\"a\"}]"));
	assert_false(of_family6("[{\"dst\":\"2001:db8::/129\",\"dev\":\"a\"}]"));
	assert_false(of_family4("[{\"dst\":\"192.0.2.0/24\",\"table\":\"4294967296\"}]"));
	assert_int_equal(network.route_count, 0);
	assert_false(of_family4("[{\"priority\":-1,\"table\":\"254\"}]"));
	assert_false(of_family4("[{\"priority\":4294967296,\"table\":\"254\"}]"));
	assert_false(of_family4("[{\"priority\":1,\"table\":\"main\"}]"));
	assert_false(of_family4("[{\"priority\":1,\"table\":254}]"));
	assert_int_equal(network.rule_count, 0);
}

static void an_address_that_cannot_be_read_is_refused(void **state)
{
	(void)state;
	assert_false(of_links("[{\"ifname\":\"a\",\"addr_info\":[{\"family\":\"inet6\","
			      "\"local\":\"192.0.2.1.1\",\"prefixlen\":24}]}]"));
}

static void nothing_of_a_refused_list_is_kept(void **state)
{
	char *problem = NULL, path[512], *old = text_copy(getenv("PATH"));

	(void)state;
	snprintf(path, sizeof(path), "tests/unit/hoststate/tools/half-a-network:%s", old);
	setenv("PATH", path, 1);
	assert_false(network_read(&network, &problem));
	setenv("PATH", old, 1);
	assert_string_equal(problem, "cannot parse the output of `ip -N -j -4 -batch -`");
	assert_int_equal(network.link_count + network.rule_count + network.route_count, 0);
	free(problem);
	free(old);
}

/* --- networks --- */

static bool covers(const char *net, unsigned length, const char *address)
{
	struct addr a = at(net), b = at(address);

	return network_covers(&a, length, &b);
}

static void a_network_covers_what_has_its_first_bits(void **state)
{
	(void)state;
	assert_false(covers("192.0.2.0", 850, "192.0.2.0"));
	assert_false(covers("2001:db8::", 129, "2001:db8::"));
	assert_true(covers("192.0.2.0", 24, "192.0.2.255"));
	assert_false(covers("192.0.2.0", 24, "192.0.3.0"));
	assert_true(covers("192.0.2.128", 25, "192.0.2.255"));
	assert_false(covers("192.0.2.128", 25, "192.0.2.127"));
	assert_true(covers("192.0.2.80", 32, "192.0.2.80"));
	assert_false(covers("192.0.2.80", 32, "192.0.2.81"));
	assert_true(covers("192.0.2.80", 31, "192.0.2.81"));
	assert_true(covers("2001:db8::", 33, "2001:db8:7fff::1"));
	assert_false(covers("2001:db8::", 33, "2001:db8:8000::1"));
	assert_false(covers("2001:db8::1", 128, "2001:db8::2"));
}

static void the_default_covers_its_whole_family_only(void **state)
{
	(void)state;
	assert_true(covers("0.0.0.0", 0, "203.0.113.9"));
	assert_true(covers("::", 0, "2001:db8::1"));
	assert_false(covers("0.0.0.0", 0, "2001:db8::1"));
	assert_false(covers("::", 0, "203.0.113.9"));
}

#define WITH(name) cmocka_unit_test_teardown(name, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(links_have_names_states_and_kinds),
		WITH(addresses_have_their_link_and_their_prefix),
		WITH(an_address_beside_an_own_one_is_not_own),
		WITH(an_own_address_is_own_at_every_port),
		WITH(an_empty_object_is_not_a_link),
		WITH(a_list_without_links_is_refused),
		WITH(proxied_addresses_have_their_link),
		WITH(rules_have_priorities_tables_marks_and_masks),
		WITH(a_rule_for_all_but_a_mark_is_not_one_for_it),
		WITH(rules_of_both_families_stand_behind_each_other),
		WITH(routes_have_networks_tables_and_links),
		WITH(a_route_that_leads_nowhere_has_no_link),
		WITH(names_of_types_are_read_like_their_numbers),
		WITH(a_table_delivers_what_its_local_routes_cover),
		WITH(of_any_table_the_hosts_own_one_does_not_count),
		WITH(what_is_cut_off_anywhere_is_refused),
		WITH(lists_of_a_family_may_stand_in_any_order),
		WITH(an_empty_list_may_be_no_text_at_all),
		WITH(json_of_something_else_is_refused),
		WITH(required_fields_are_checked),
		WITH(prefixes_are_no_longer_than_addresses),
		WITH(a_family_has_no_routes_of_the_other),
		WITH(names_that_are_too_long_are_left_out),
		WITH(numbers_out_of_their_range_are_refused_and_not_kept),
		WITH(an_address_that_cannot_be_read_is_refused),
		WITH(nothing_of_a_refused_list_is_kept),
		WITH(a_network_covers_what_has_its_first_bits),
		WITH(the_default_covers_its_whole_family_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
